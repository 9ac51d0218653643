"""The speech decoder of Nemotron Audex (NVIDIA, 2026) in its authors' layout becomes a causal decoder in the one here.

Two things change beside names. Query and key projections are fused, and rotate neighbouring numbers. And the levels of
a code are spread evenly from -1 to 1, where X-Codec2 has a level at 0: the first linear map takes up the difference.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xcodec.conversion.checkpoint import Checkpoint, check_complete
from xcodec.conversion.key_map import KeyMap
from xcodec.conversion.report import ConversionReport
from xcodec.conversion.told import Told
from xcodec.conversion.xcodec2_names import decoder_heads, split_fused_attention
from xcodec.errors import CheckpointError, about
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
    given: dict[str, str] = {}  # name here -> name in the source
    dropped: dict[str, str] = {}
    renamed: dict[str, Tensor] = {}
    with about(source.name):
        for name, tensor in source.tensors.items():
            plain = unwrapped(name)
            if plain in UNUSED:
                dropped[name] = UNUSED[plain]
                continue
            key = RENAMES.rename(plain) or plain
            if key in given:
                raise CheckpointError(f"{given[key]} and {name} are two spellings of one tensor")
            given[key] = name
            renamed[key] = without_last_axis(tensor) if key.endswith("lookahead.proj.weight") else tensor
        config = infer_config(renamed, source.config, told.num_attention_heads)
        kept = {name: (origin,) for name, origin in given.items()}
        permuted = []
        for fused in [name for name in renamed if name.endswith(".self_attn.qkv_proj.weight")]:
            origins = kept.pop(fused)
            parts = split_fused_attention(renamed.pop(fused), config.decoder_hidden_size, config.num_attention_heads)
            for letter, part in zip("qkv", parts, strict=True):
                target = fused.replace("qkv_proj", f"{letter}_proj")
                renamed[target], kept[target] = part, origins
                permuted += [target] * (letter != "v")

        def spell(name: str) -> str:
            return kept.get(name, (original_name(name),))[0]

        check_complete(renamed, FAMILY, config, spell)
        renamed |= with_levels_around_zero(renamed, config.quantization_levels)
    report = ConversionReport(
        source=source.name,
        layout="original",
        kept=kept,
        folded=(),
        permuted=tuple(permuted),
        dropped=dropped,
        num_kept=sum(tensor.numel() for tensor in renamed.values()),
        num_dropped=sum(source.tensors[name].numel() for name in dropped),
        family=FAMILY.name,
    )
    return Checkpoint(FAMILY, config, {name: tensor.contiguous() for name, tensor in renamed.items()}, report)


def without_last_axis(tensor: Tensor) -> Tensor:
    """Turn the weight of a convolution of kernel size 1 into that of the linear map which it is."""
    return tensor[..., 0] if tensor.ndim == 3 and tensor.shape[-1] == 1 else tensor


def original_name(name: str) -> str:
    """Give the original name of a tensor."""
    fused = re.sub(r"self_attn\.[qkv]_proj", "self_attn.qkv_proj", name)
    return RENAMES.trace(fused) or name


def with_levels_around_zero(tensors: Mapping[str, Tensor], levels: list[int]) -> dict[str, Tensor]:
    """Fold into the map of codes that level i of n is 2 i / (n - 1) - 1 in the original, and i / (n // 2) - 1 here."""
    names = ("quantizer.project_out.weight", "quantizer.project_out.bias")
    weight, bias = (tensors[name].double() for name in names)
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
