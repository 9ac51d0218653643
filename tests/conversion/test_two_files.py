"""The codec of Inworld TTS-1, encoder and decoder in a file each, is read from the folder that holds both."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from builders import speech
from original import Head, OriginalXCodec2, ResnetBlock, randomize
from xcodec import CheckpointError, Codec
from xcodec.conversion import convert_checkpoint

RATES = {"sample_rate": 48000, "token_rate": 50, "hop_length": 160, "upsample_factors": [3, 2], "kernel_sizes": [9, 8]}


class Upsampler(nn.Module):
    """Transposed convolutions, each with a ResNet block, then linear and swish, with their original names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        stages = list(zip(RATES["upsample_factors"], RATES["kernel_sizes"], strict=True))
        self.upsample_layers = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(
                nn.ConvTranspose1d(width // 2**i, width // 2 ** (i + 1), taps, ratio, padding=(taps - ratio) // 2)
            )
            for i, (ratio, taps) in enumerate(stages)
        )
        self.resnet_blocks = nn.ModuleList(ResnetBlock(width // 2 ** (i + 1)) for i in range(len(stages)))
        self.out_proj = nn.Linear(width // 2 ** len(stages), width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        for layer, block in zip(self.upsample_layers, self.resnet_blocks, strict=True):
            x = block(layer(x))
        return nn.functional.silu(self.out_proj(x.transpose(1, 2)))


@pytest.fixture(scope="module")
def original() -> OriginalXCodec2:
    """X-Codec2 with an upsampler of 3 and 2 before a head of 160 samples: 48 kHz."""
    with torch.inference_mode(False):
        model = OriginalXCodec2(hidden=128, depth=1, heads=2, semantic_layers=16, used_semantic_layers=16)
        model.generator.head = Head(128, RATES["hop_length"])
        model.generator.upsampler = Upsampler(128)
        randomize(model)
        return model.eval()


def decoded(model: OriginalXCodec2, codes: Tensor) -> Tensor:
    with torch.no_grad():
        latents = model.generator.quantizer.get_output_from_indices(codes[:, 0])
        states = model.generator.backbone(model.fc_post_a(latents))
        return model.generator.head(model.generator.upsampler(states))


def renamed(state: dict[str, Tensor], **prefixes: str) -> dict[str, Tensor]:
    """What begins with one of the names, which then begins with the other one."""
    pairs = [(old.replace("__", "."), new) for old, new in prefixes.items()]
    return {new + name[len(old) :]: x for name, x in state.items() for old, new in pairs if name.startswith(old)}


@pytest.fixture(scope="module")
def folder(original: OriginalXCodec2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inworld") / "codec"
    state = original.state_dict()
    quantizer = renamed(state, generator__quantizer__="quantizer.")
    encoder = renamed(
        state, SemanticEncoder_module__="semantic_encoder.", CodecEnc__="acoustic_encoder.", fc_prior__="fusion_layer."
    )
    decoder = renamed(
        state,
        generator__backbone__="generator.decoder.backbone.",
        generator__head__="generator.decoder.head.",
        generator__quantizer__="generator.decoder.quantizer.",
        generator__upsampler__="generator.upsampler.",
        fc_post_a__="generator.fc_post_a.",
    )
    judges = {"mpd.discriminators.0.weight": torch.zeros(2), "msd.discriminators.0.weight": torch.zeros(2)}
    (folder / "encoder").mkdir(parents=True)
    (folder / "48khz").mkdir()
    torch.save(encoder | quantizer, folder / "encoder/model.pt")
    torch.save({"model": decoder | judges, "step": 3}, folder / "48khz/final_model.pt")
    (folder / "48khz/model_config.json").write_text(json.dumps(RATES))
    original.semantic_model.save_pretrained(folder.with_name("w2v-bert"))
    return folder


def test_both_halves_compute_what_the_original_does(original: OriginalXCodec2, folder: Path) -> None:
    report = convert_checkpoint(folder, folder.with_name("made"), semantic_encoder=folder.with_name("w2v-bert"))
    reasons = {reason.partition(":")[0] for reason in report.dropped.values()}
    assert reasons >= {"training only", "unused"}
    codec = Codec.from_pretrained(folder.with_name("made"))
    wave = speech(1.0)
    codes = original.encode_code(torch.tensor(wave)[None])
    assert np.array_equal(codec.encode(wave, 16000).ids, codes[0].numpy())
    audio = codec.decode(codes[0].numpy())
    assert audio.sampling_rate == 48000
    theirs = decoded(original, codes).flatten().numpy()
    np.testing.assert_allclose(audio.samples[0], theirs, atol=1e-4 * np.abs(theirs).max())


def test_files_beside_each_other_need_the_rates_too(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "encoder/model.pt", folder / "48khz/final_model.pt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match=r"is a folder without config\.json; give the checkpoint file itself"):
        Codec.from_pretrained(tmp_path)
    (tmp_path / "model_config.json").write_text(json.dumps(RATES | {"upsample_factors": [3]}))
    with pytest.raises(CheckpointError, match=r"an upsampler of 2 stages, and .* the ratios of 1 \(upsample_factors"):
        convert_checkpoint(tmp_path, tmp_path / "made", semantic_encoder=folder.with_name("w2v-bert"))


def test_two_files_that_are_no_pair_are_refused(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        torch.save({"acoustic_encoder.weight": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"is a folder without config\.json; give the checkpoint file itself"):
        Codec.from_pretrained(tmp_path)
