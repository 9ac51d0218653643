"""The codecs at their released sizes, with random weights: ours, and transformers' beside them."""

import importlib
import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import xcodec
from xcodec import Audio
from xcodec.models.auto import feature_extractor_of
from xcodec.models.codec_model import CodecModel
from xcodec.models.registry import FAMILIES
from xcodec.modules.sinc_resampling import SincResampler
from xcodec.training.initialization import initialize
from xcodec.training.recipe import Recipe

__all__ = [
    "THEIRS",
    "has_theirs",
    "new_model",
    "prepared",
    "random_model",
    "save_small_xcodec2",
    "speech",
    "their_class",
]

THEIRS = "transformers"
RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
HIGGS_STRIDES = {"downsampling_ratios": [8, 5, 4, 2, 3], "upsampling_ratios": [8, 5, 4, 2, 3]}
# Fields of the released models that are not their configurations' defaults.
FIELDS: dict[str, dict[str, Any]] = {
    "higgs_audio_v2_tokenizer": {"acoustic_model_config": HIGGS_STRIDES, "target_bandwidths": [0.5, 1, 1.5, 2]}
}


def speech(seconds: float, rate: int) -> np.ndarray:
    """So many seconds of read speech, the recordings repeated as needed."""
    spoken = np.concatenate([Audio.read(path).resample(rate).samples[0] for path in RECORDINGS])
    return np.resize(spoken, int(seconds * rate))


def new_model(model_type: str, implementation: str = "ours") -> Any:
    """A model of the released size as it is before training; ours has the same weights at every call."""
    torch.manual_seed(0)
    family = FAMILIES[model_type]
    model_class: Any = their_class(model_type) if implementation == THEIRS else family.model
    return model_class(model_class.config_class(**FIELDS.get(model_type, {}))).eval()


@torch.inference_mode()
def random_model(model_type: str) -> CodecModel:
    """The same of ours, and where it quantizes to a grid, so that codes differ as a trained model's do."""
    model: CodecModel = new_model(model_type)
    if isinstance(model, xcodec.Xcodec2Model):
        vary_codes(model)
    return model


def save_small_xcodec2(folder: Path) -> None:
    """Save an X-Codec2 of 12M parameters, with random weights, in a form that transformers reads too."""
    torch.manual_seed(0)
    model: Any = xcodec.Xcodec2Model(xcodec.Xcodec2Config(**Recipe.read("xcodec2-small").model))
    initialize(model)
    with torch.inference_mode():
        vary_codes(model)
    model.save_pretrained(folder)


def vary_codes(model: xcodec.Xcodec2Model) -> None:
    """Give the quantizer's input a deviation of 1: fresh weights put every latent into a few cells."""
    taken: list[Tensor] = []
    project_in = model.quantizer.project_in
    hook = project_in.register_forward_hook(lambda *call: taken.append(call[2]))
    clip = speech(5, model.sampling_rate)
    model.encode(**feature_extractor_of(model)([clip], sampling_rate=model.sampling_rate, return_tensors="pt"))
    hook.remove()
    project_in.weight.div_(taken[0].std((0, 1))[:, None])
    project_in.bias.sub_(taken[0].mean((0, 1))).div_(taken[0].std((0, 1)))


def has_theirs(model_type: str) -> bool:
    """Whether transformers has the model."""
    return importlib.util.find_spec(f"transformers.models.{model_type}") is not None


def their_class(model_type: str) -> Any:
    """Transformers' model, with a torchaudio of the one function that it may ask for, whose binary may not load."""
    if "torchaudio" not in sys.modules and importlib.util.find_spec("torchaudio") is None:
        module: Any = types.ModuleType("torchaudio")
        module.__spec__, module.__version__ = importlib.machinery.ModuleSpec("torchaudio", None), "2.11.0"
        module.functional = types.SimpleNamespace(
            resample=lambda waveform, source, target: SincResampler(source, target)(waveform.flatten(0, -2)).view(
                *waveform.shape[:-1], -1
            )
        )
        sys.modules["torchaudio"] = module
    modeling = importlib.import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    return getattr(modeling, FAMILIES[model_type].model.__name__)


def prepared(model: Any, implementation: str, seconds: float, batch: int) -> Any:
    """A batch of speech as a model of either implementation takes it; transformers' extractors may need torchaudio."""
    family = FAMILIES[model.config.model_type]
    extractor = family.feature_extractor_for(family.config.from_fields(model.config.to_dict(), implementation))
    rate = extractor.sampling_rate
    inputs = extractor([speech(seconds, rate)] * batch, sampling_rate=rate, return_tensors="pt")
    if issubclass(family.model, xcodec.XcodecModel) and implementation == THEIRS:
        del inputs["padding_mask"]  # which it does not know
    return inputs
