"""What the tests build: tiny and released-size models with random weights, and clips of real speech."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from xcodec.codec import Codec
from xcodec.models.auto import feature_extractor_of
from xcodec.models.causal_xcodec2 import FAMILY as CAUSAL
from xcodec.models.causal_xcodec2 import CausalXcodec2Model
from xcodec.models.distill_neucodec import FAMILY as DISTILL_NEUCODEC
from xcodec.models.distill_neucodec import DistillNeuCodecModel
from xcodec.models.family import Family
from xcodec.models.harmonic_xcodec2 import FAMILY as HARMONIC
from xcodec.models.harmonic_xcodec2 import HarmonicXcodec2Model
from xcodec.models.neucodec import FAMILY as NEUCODEC
from xcodec.models.neucodec import NeuCodecModel
from xcodec.models.xcodec2 import FAMILY, Xcodec2FeatureExtractor, Xcodec2Model

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++: apt-get install g++")
RECORDINGS = sorted((Path(__file__).parent / "audio").glob("austen-*.wav"))

TINY: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "encoder_hidden_size": 4,
    "quantization_dim": 96,
    "semantic_model_config": {
        "model_type": "wav2vec2-bert",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    },
}


TINY_DISTILL: dict[str, Any] = {name: TINY[name] for name in TINY if name not in ("encoder_hidden_size",)} | {
    "quantization_dim": 80,
    "encoder_hidden_size": 4,
    "branch_hidden_size": 2,
    "local_hidden_size": 32,
    "local_intermediate_size": 40,
    "local_num_hidden_layers": (1, 2),
    "local_num_attention_heads": 3,
    "local_head_dim": 8,
    "local_window_sizes": (50, 10),  # a fifth of a second each
    "adapter_hidden_size": 48,
    "acoustic_size": 24,
    "semantic_model_config": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "intermediate_size": 48,
        "conv_dim": [16] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
}


def speech(seconds: float | None = None, samples: int | None = None) -> np.ndarray:
    """The first so many seconds (or samples) of the five recordings laid end to end, 16 kHz mono float32."""
    whole = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in RECORDINGS])
    count = len(whole) if seconds is None and samples is None else samples or int(seconds * 16000)
    assert count <= len(whole)
    return whole[:count]


def spectral_snr(expected: np.ndarray, found: np.ndarray) -> float:
    """Compare float32 (samples,) by the magnitudes of frames of 1,024: in dB.

    Harmonics whose phase has moved compare as equal, as they sound.
    """
    window = torch.hann_window(1024)
    a, b = (torch.stft(torch.tensor(x), 1024, 256, window=window, return_complex=True).abs() for x in (expected, found))
    return float(10 * (a.square().sum() / (a - b).square().sum()).log10())


def prepare(*clips: np.ndarray, **arguments: Any) -> Any:
    """The model inputs of a batch of clips."""
    arguments = {"sampling_rate": 16000, "return_tensors": "pt"} | arguments
    return Xcodec2FeatureExtractor()(list(clips), **arguments)


def random_model(seed: int = 0, family: Family = FAMILY, **fields: Any) -> Any:
    """A model of random weights whose codes and audio vary as a trained model's do.

    Freshly initialised weights put every latent into a few cells and give audio near zero; so the quantizer's input is
    scaled to zero mean and unit variance on real speech, and the head to a level of speech.
    """
    torch.manual_seed(seed)
    model = family.model(family.config(**fields)).eval()
    if fields.get("hidden_size", 1024) < 256:  # at small widths a deviation of 0.02 lets the signal fade away
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    fit_quantizer(model)
    return model


def fit_quantizer(model: Any) -> None:
    """Scale what is quantized of real speech to zero mean and unit variance, and what is decoded to speech's level."""
    inputs = feature_extractor_of(model)([speech(2.0)], sampling_rate=16000, return_tensors="pt")
    taken: dict[str, torch.Tensor] = {}
    model.quantizer.project_in.register_forward_hook(lambda *call: taken.update(latents=call[2]))
    with torch.inference_mode():
        model.encode(**inputs)
        project_in = model.quantizer.project_in
        project_in._forward_hooks.clear()
        mean, std = taken["latents"].mean((0, 1)), taken["latents"].std((0, 1))
        project_in.weight.div_(std[:, None])
        project_in.bias.sub_(mean).div_(std)
        level = model(**inputs).audio_values.std()
        if isinstance(model, CausalXcodec2Model):
            model.acoustic_decoder.head.proj.weight.mul_(0.1 / level)
        elif isinstance(model, HarmonicXcodec2Model):
            model.acoustic_decoder.head.linear.bias.add_((0.1 / level).log())
        else:
            model.acoustic_decoder.head.linear.bias[: model.config.n_fft // 2 + 1].add_((0.1 / level).log())


def tiny_model(seed: int = 0, **fields: Any) -> Xcodec2Model:
    """A random model of a hundred thousand parameters or so."""
    return random_model(seed, **(TINY | fields))


def save_tiny(folder: Path, seed: int = 0) -> Path:
    """A checkpoint folder of `tiny_model`."""
    tiny_model(seed).save_pretrained(folder)
    Xcodec2FeatureExtractor().save_pretrained(folder)
    return folder


def tiny_pooled(seed: int = 0, **fields: Any) -> Xcodec2Model:
    """A random X-Codec2 of that size with 25 codes a second, which writes 24 kHz."""
    return tiny_model(seed, **({"latent_pooling": 2, "decoder_hop_length": 960} | fields))


def tiny_neucodec(seed: int = 0, **fields: Any) -> NeuCodecModel:
    """A random NeuCodec of that size."""
    return random_model(seed, NEUCODEC, **(TINY | fields))


def tiny_causal(seed: int = 0, **fields: Any) -> CausalXcodec2Model:
    """A random X-Codec2 of that size with a causal decoder."""
    sizes = {"decoder_hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 3}
    return random_model(seed, CAUSAL, **(TINY | sizes | fields))


def tiny_harmonic(seed: int = 0, **fields: Any) -> HarmonicXcodec2Model:
    """A random X-Codec2 of that size that reads spectra and has a harmonic decoder."""
    decoder = {"decoder_hidden_size": 16, "decoder_intermediate_size": 24, "decoder_num_layers": 2}
    head = {"filter_hidden_size": 16, "num_pitch_bins": 16}
    encoder = {"encoder_mel_bins": 10, "encoder_intermediate_size": 24, "encoder_num_layers": 2}
    return random_model(seed, HARMONIC, **(TINY | encoder | decoder | head | fields))


@torch.no_grad()
def tiny_distill(seed: int = 0, **fields: Any) -> DistillNeuCodecModel:
    """A random DistillNeuCodec of that size, all of whose norms and activations matter."""
    model = random_model(seed, DISTILL_NEUCODEC, **(TINY_DISTILL | fields))
    for name, parameter in model.named_parameters():
        if name.endswith("snake.alpha"):
            parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
        elif name.endswith(("norm.gamma", "norm.beta")):
            parameter.copy_(0.3 * torch.randn_like(parameter))
    fit_quantizer(model)
    return model


FEWEST_LAYERS: dict[str, Any] = {
    "num_hidden_layers": 1,
    "downsampling_ratios": [320],
    "semantic_model_config": TINY["semantic_model_config"] | {"num_hidden_layers": 1},
}
"""Of an X-Codec2 or NeuCodec that is exported: what exporting takes grows with their number."""


def codec_to_export() -> Codec:
    """A random X-Codec2 of as few layers as there can be."""
    return Codec(tiny_model(**FEWEST_LAYERS), FAMILY.feature_extractor(), name="tiny")


def randomized(module: torch.nn.Module) -> torch.nn.Module:
    """The module with random parameters, in evaluation mode."""
    torch.manual_seed(1)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.eval()
