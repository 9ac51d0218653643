"""The authors' package on the same random weights, at the released size, where it can be imported."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from builders import speech
from xcodec.conversion.distill_neucodec import convert_state_dict
from xcodec.models.auto import feature_extractor_of

neucodec = pytest.importorskip("neucodec.model", reason="the authors' package is missing: pip install neucodec")


class FromPretrained:
    """Stands for a class of transformers that would download what it is asked for."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def from_pretrained(self, *_: Any, **__: Any) -> Any:
        return self.made


@pytest.fixture(scope="module")
def theirs() -> Any:
    """The authors' model of random weights, all of which matter, whose codes vary on speech."""
    torch.manual_seed(0)
    semantic = HubertModel(HubertConfig(num_hidden_layers=2, feat_proj_layer_norm=False))
    extractor = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=False)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode(False), torch.no_grad():
        patch.setattr(neucodec, "HubertModel", FromPretrained(semantic))
        patch.setattr(neucodec, "AutoFeatureExtractor", FromPretrained(extractor))
        model = neucodec.DistillNeuCodec(24000, 480).eval()
        for name, parameter in model.named_parameters():
            if name.startswith("semantic_model.") or not parameter.numel():
                continue
            if name.endswith("original0"):
                parameter.copy_(torch.exp(0.3 * torch.randn_like(parameter)))
            elif name.endswith("alpha"):
                parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
            elif ".grn." in name:
                parameter.copy_(0.3 * torch.randn_like(parameter))
            elif parameter.ndim > 1 and "original" not in name:
                parameter.copy_(parameter[0].numel() ** -0.5 * torch.randn_like(parameter))
        projected: list[Tensor] = []
        project_in = model.generator.quantizer.project_in
        hook = project_in.register_forward_hook(lambda *call: projected.append(call[2].flatten(0, -2)))
        model.encode_code(torch.from_numpy(speech(3.0))[None, None])
        hook.remove()
        mean, deviation = projected[0].mean(0), projected[0].std(0)
        project_in.weight.div_(deviation[:, None])
        project_in.bias.sub_(mean).div_(deviation)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 320, 44580, 96000, 200001])
def test_codes_and_audio_are_those_of_the_authors_package(theirs: Any, samples: int) -> None:
    ours = convert_state_dict(theirs.state_dict()).build()
    clip = speech(samples=samples)
    inputs = feature_extractor_of(ours)(audio=[clip], sampling_rate=16000, return_tensors="pt")
    output = ours.encode(**inputs)
    expected = theirs.encode_code(torch.from_numpy(clip)[None, None])
    assert torch.equal(output.audio_codes, expected)
    assert torch.allclose(ours.decode(expected).audio_values, theirs.decode_code(expected), atol=1e-4)
