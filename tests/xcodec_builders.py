"""What the tests of X-Codec build: tiny and released-size models of each semantic kind, with random weights."""

import re
from typing import Any

import numpy as np
import torch
from torch import nn

from builders import speech
from xcodec import XcodecFeatureExtractor, XcodecModel
from xcodec.models.auto import feature_extractor_of
from xcodec.models.family import Family
from xcodec.models.harmonic_xcodec import FAMILY as HARMONIC
from xcodec.models.harmonic_xcodec import HarmonicXcodecModel
from xcodec.models.higgs_audio_v2_tokenizer import FAMILY as HIGGS
from xcodec.models.higgs_audio_v2_tokenizer import HiggsAudioV2TokenizerModel
from xcodec.models.xcodec import FAMILY
from xcodec.models.xcodec_vocos import FAMILY as VOCOS
from xcodec.models.xcodec_vocos import XcodecVocosModel
from xcodec.quantizers.rvq import Codebook

# The semantic models of the released checkpoints, and the large layout: norms in every convolution and before layers.
KINDS: dict[str, dict[str, Any]] = {
    "hubert": {"model_type": "hubert"},
    "hubert-large": {
        "model_type": "hubert",
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "do_stable_layer_norm": True,
    },
    "wavlm": {"model_type": "wavlm"},
}
TINY_SEMANTIC: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
TINY_ACOUSTIC: dict[str, Any] = {"encoder_hidden_size": 4, "decoder_hidden_size": 32, "hidden_size": 24}


def prepare_xcodec(*clips: np.ndarray, **arguments: Any) -> Any:
    """The model inputs of a batch of clips."""
    arguments = {"sampling_rate": 16000, "return_tensors": "pt"} | arguments
    return XcodecFeatureExtractor()(list(clips), **arguments)


def randomize(model: nn.Module, seed: int) -> None:
    """Give every parameter a value that matters, at scales that neither fade nor blow up."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith(("alpha", "gru_rel_pos_const")):
            parameter.copy_(1 + 0.2 * torch.rand_like(parameter))
        elif name.endswith("rel_attn_embed.weight"):
            nn.init.normal_(parameter)
        elif parameter.ndim > 1:  # what a residual unit adds is kept small, or loud inputs turn Snake into a hash
            gain = 0.3 if re.search(r"res_unit\d\.conv2", name) else 1.0
            nn.init.normal_(parameter, std=gain * parameter[0].numel() ** -0.5)
        elif name.endswith("norm.weight"):
            parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
        else:
            nn.init.normal_(parameter, std=0.1)


def latents_of(model: XcodecModel, wave: torch.Tensor) -> torch.Tensor:
    """What is quantized: (1, 1, samples) -> (codes, channels)."""
    taken: dict[str, torch.Tensor] = {}
    hook = model.fc.register_forward_hook(lambda *call: taken.update(latents=call[2]))
    model.encode(wave)
    hook.remove()
    return taken["latents"].flatten(0, 1)


def clear_ties(codebook: Codebook, latents: torch.Tensor, margin: float = 5e-6) -> None:
    """Move code vectors that are the second nearest by a hair, relative to the squares that are subtracted, away."""
    for _ in range(20):
        squares = latents.double().square().sum(-1)
        nearest = torch.cdist(latents.double(), codebook.embed.double()).square().topk(2, largest=False)
        close = nearest.values[:, 1] - nearest.values[:, 0] < margin * squares
        if not close.any():
            return
        runners_up = nearest.indices[close, 1]
        codebook.embed[runners_up] += 0.01 * (codebook.embed[runners_up] - latents[close])
    raise AssertionError("the ties do not go away")


@torch.no_grad()
def random_xcodec(
    kind: str, seed: int = 0, wave: torch.Tensor | None = None, family: Family = FAMILY, **fields: Any
) -> Any:
    """A model of random weights whose codes and audio vary as a trained model's do.

    Each codebook is laid around what the ones before it leave of real speech, and the decoder is brought to a level of
    speech. On `wave`, (1, 1, samples), no two codes are so nearly at one distance that rounding would decide.
    """
    semantic = KINDS[kind] | fields.pop("semantic_model_config", {})
    model = family.model(family.config(semantic_model_config=semantic, **fields)).eval()
    randomize(model, seed)
    inputs = feature_extractor_of(model)(speech(4.0), sampling_rate=model.sampling_rate, return_tensors="pt")
    residual = latents_of(model, inputs["input_values"])
    asked = None if wave is None else latents_of(model, wave)
    for stage in model.quantizer.stages:
        codebook, left = stage.codebook, residual
        if stage.projects:  # to dimensions all of which matter
            for layer in (stage.project_in, stage.project_out):
                nn.init.orthogonal_(layer.weight)
                nn.init.zeros_(layer.bias)
            left, asked = stage.project_in(residual), None
        chosen = left[torch.randint(len(left), (len(codebook.embed),))]
        codebook.embed.copy_(chosen + 0.5 * left.std(0) * torch.randn_like(chosen))
        if asked is not None:
            clear_ties(codebook, asked)
            asked = asked - codebook.decode(codebook.encode(asked))
        codebook.embed_avg.copy_(codebook.embed)
        residual = residual - stage.decode(stage.encode(residual))
    level = model(**inputs).audio_values.std()
    if family is VOCOS:
        head = model.acoustic_decoder.head
        head.linear.bias[: head.n_fft // 2 + 1].add_((0.1 / level).log())
    elif family is HARMONIC:
        model.acoustic_decoder.head.linear.bias.add_((0.1 / level).log())
    else:
        model.acoustic_decoder.conv2.weight.mul_(0.1 / level)
    return model


def tiny_higgs(seed: int = 0, **fields: Any) -> HiggsAudioV2TokenizerModel:
    """A random Higgs tokenizer of that size: 24 kHz, eight codes every 960 samples."""
    strides = {"downsampling_ratios": [8, 5, 4, 2, 3], "upsampling_ratios": [8, 5, 4, 2, 3]}
    sizes = {"acoustic_model_config": TINY_ACOUSTIC | strides, "semantic_model_config": TINY_SEMANTIC}
    rates = {"target_bandwidths": [0.5, 1, 1.5, 2], "codebook_dim": 8}
    return random_xcodec("hubert", seed, family=HIGGS, **(sizes | rates | fields))


def tiny_vocos(seed: int = 0, **fields: Any) -> XcodecVocosModel:
    """A random X-Codec of that size with a Vocos decoder: 44.1 kHz out."""
    sizes = {"acoustic_model_config": TINY_ACOUSTIC, "semantic_model_config": TINY_SEMANTIC}
    decoder = {"decoder_hidden_size": 16, "decoder_intermediate_size": 24, "decoder_num_layers": 2}
    return random_xcodec("hubert", seed, family=VOCOS, **(sizes | decoder | fields))


def tiny_harmonic_xcodec(seed: int = 0, **fields: Any) -> HarmonicXcodecModel:
    """A random X-Codec of that size that reads spectra and has a harmonic decoder."""
    sizes = {"acoustic_model_config": TINY_ACOUSTIC, "semantic_model_config": TINY_SEMANTIC}
    decoder = {"decoder_hidden_size": 16, "decoder_intermediate_size": 24, "decoder_num_layers": 2}
    head = {"filter_hidden_size": 16, "num_pitch_bins": 16}
    encoder = {"encoder_mel_bins": 10, "encoder_intermediate_size": 24, "encoder_num_layers": 2}
    return random_xcodec("hubert", seed, family=HARMONIC, **(sizes | encoder | decoder | head | fields))


def xcodec_of_fewest_layers(kind: str) -> XcodecModel:
    """A random model with every kind of block once: what compiling and exporting take grows with their number."""
    return tiny_xcodec(
        kind,
        semantic_model_config={"num_hidden_layers": 1},
        acoustic_model_config={"downsampling_ratios": [16, 20], "upsampling_ratios": [20, 16]},
        target_bandwidths=[0.5, 1],
        strides=[1],
        channel_ratios=[1],
        block_dilations=[1],
    )


def tiny_xcodec(kind: str = "hubert", seed: int = 0, wave: torch.Tensor | None = None, **fields: Any) -> XcodecModel:
    """A random model of a hundred thousand parameters or so."""
    semantic = TINY_SEMANTIC | fields.pop("semantic_model_config", {})
    acoustic = TINY_ACOUSTIC | fields.pop("acoustic_model_config", {})
    return random_xcodec(kind, seed, wave, semantic_model_config=semantic, acoustic_model_config=acoustic, **fields)
