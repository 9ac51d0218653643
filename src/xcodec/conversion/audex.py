"""The speech decoder of Nemotron Audex (NVIDIA, 2026) in its authors' layout becomes a causal decoder in the one here.

Two things change beside names. Query and key projections are fused, and rotate neighbouring numbers. And the levels of
a code are spread evenly from -1 to 1, where X-Codec2 has a level at 0: the first linear map takes up the difference.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from xcodec.conversion.checkpoint import Checkpoint
from xcodec.conversion.key_map import KeyMap
from xcodec.conversion.original import Naming, checkpoint_of
from xcodec.conversion.told import Told
from xcodec.conversion.xcodec2_names import decoder_heads, split_fused_attention
from xcodec.errors import CheckpointError
from xcodec.models.causal_xcodec2 import FAMILY, CausalXcodec2Config
from xcodec.models.stored import Stored, unwrapped

__all__ = ["FAMILY", "convert_original"]

LEVELS = 4  # of each dimension of X-Codec2's codes
FRAME_RATE = 50  # Hz, of X-Codec2's codes
READ_HOP_LENGTH = 320  # samples, of which X-Codec2 makes a code
LAYER = "acoustic_decoder.layers.{b}"
RENAMES = KeyMap(
    [
        ("audex_speech_token_embedder.project_out.*", "quantizer.project_out.*"),
        ("fc_post_a.weight", "acoustic_decoder.fc.weight"),
        ("lookahead_conv.weight", "acoustic_decoder.lookahead.conv.weight"),
        ("lookahead_proj.weight", "acoustic_decoder.lookahead.proj.weight"),
        ("backbone.transformers.{b}.att_norm.weight", f"{LAYER}.input_layernorm.weight"),
        ("backbone.transformers.{b}.att.c_attn.weight", f"{LAYER}.self_attn.qkv_proj.weight"),
        ("backbone.transformers.{b}.att.c_proj.weight", f"{LAYER}.self_attn.o_proj.weight"),
        ("backbone.transformers.{b}.ffn_norm.weight", f"{LAYER}.post_attention_layernorm.weight"),
        ("backbone.transformers.{b}.mlp.*", f"{LAYER}.mlp.*"),
        ("backbone.final_layer_norm.weight", "acoustic_decoder.norm.weight"),
        ("head.proj.weight", "acoustic_decoder.head.proj.weight"),
    ]
)
UNUSED = {"wav_proj.weight": "unused: shows the decoder a recording, in training"}


def convert_original(source: Stored, told: Told) -> Checkpoint:
    """Convert a checkpoint of the speech decoder.

    Args:
        source: its tensors, and the fields of its config.json, if there is one.
        told: its heads, if config.json says nothing; else they are width / 64.

    Raises:
        CheckpointError: names what is missing, unexpected or of another shape.
    """
    naming = Naming(
        renames=RENAMES,
        plain_name=unwrapped,
        reason_to_drop=lambda name, _: UNUSED.get(name),
        infer_config=partial(infer_config, told=source.config, num_attention_heads=told.num_attention_heads),
        split=split,
        original_name=original_name,
    )
    checkpoint = checkpoint_of(source.tensors, naming, source.name)
    return replace(checkpoint, tensors=checkpoint.tensors | with_levels_around_zero(checkpoint))


def split(name: str, tensor: Tensor, config: CausalXcodec2Config) -> dict[str, Tensor] | None:
    """Take queries, keys and values apart, and turn a convolution of kernel size 1 into the linear map which it is."""
    if name.endswith(".self_attn.qkv_proj.weight"):
        parts = split_fused_attention(tensor, config.decoder_hidden_size, config.num_attention_heads)
        return {name.replace("qkv_proj", f"{letter}_proj"): part for letter, part in zip("qkv", parts, strict=True)}
    if name == "acoustic_decoder.lookahead.proj.weight" and tensor.ndim == 3 and tensor.shape[-1] == 1:
        return {name: tensor[..., 0]}
    return None


def original_name(name: str) -> str:
    """Give the original name of a tensor."""
    fused = re.sub(r"self_attn\.[qkv]_proj", "self_attn.qkv_proj", name)
    return RENAMES.trace(fused) or name


def with_levels_around_zero(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Fold into the map of codes that level i of n is 2 i / (n - 1) - 1 in the original, and i / (n // 2) - 1 here."""
    assert isinstance(checkpoint.config, CausalXcodec2Config), "its family's"
    names = ("quantizer.project_out.weight", "quantizer.project_out.bias")
    weight, bias = (checkpoint.tensors[name].double() for name in names)
    levels = checkpoint.config.quantization_levels
    scale = torch.tensor([2 * (count // 2) / (count - 1) for count in levels], dtype=torch.float64)
    folded = (weight * scale, bias + weight @ (scale - 1))
    return {name: tensor.float() for name, tensor in zip(names, folded, strict=True)}


def infer_config(
    tensors: Mapping[str, Tensor], told: Mapping[str, Any], num_attention_heads: int | None
) -> CausalXcodec2Config:
    """Read the configuration off the shapes of tensors, and off config.json what they do not tell.

    Args:
        tensors: by the names used here, the attention projections still fused as `qkv_proj`.
        told: the fields of config.json.
        num_attention_heads: as for `convert_original`.
    """

    def shape(name: str) -> tuple[int, ...]:
        if name not in tensors:
            raise CheckpointError(f"{original_name(name)} is missing, which tells a size of the model")
        return (*tensors[name].shape, 0, 0, 0)[:3]  # a missing dimension is found out by the check of all shapes

    width, quantization_dim, _ = shape("acoustic_decoder.fc.weight")
    hop_length = shape("acoustic_decoder.head.proj.weight")[0]
    heads = decoder_heads(width, told.get("heads") if num_attention_heads is None else num_attention_heads)
    for name, expected, why in (
        ("sample_rate", hop_length * FRAME_RATE, f"{hop_length} samples for each of {FRAME_RATE} codes a second"),
        ("pos_meb_dim", width // heads, "the width of a head"),
    ):
        if (found := told.get(name, expected)) != expected:
            raise CheckpointError(f"{name}={found!r} in its config.json; expected {expected}: {why}")
    ahead = "acoustic_decoder.lookahead.conv.weight"
    fields = {
        "decoder_hidden_size": width,
        "intermediate_size": shape("acoustic_decoder.layers.0.mlp.fc1.weight")[0],
        "num_hidden_layers": sum(name.endswith(".self_attn.qkv_proj.weight") for name in tensors),
        "num_attention_heads": heads,
        "lookahead": shape(ahead)[2] - 1 if ahead in tensors else 0,
        "has_encoder": False,
        "quantization_dim": quantization_dim,
        "quantization_levels": told.get("codebook_levels") or [LEVELS] * shape("quantizer.project_out.weight")[1],
        "architectures": [FAMILY.model.__name__],
    }
    if hop_length != READ_HOP_LENGTH:
        fields["decoder_hop_length"] = hop_length
    return CausalXcodec2Config.from_fields(fields, "its config.json")
