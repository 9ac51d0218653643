"""Checkpoints of DistillNeuCodec in the original layout become the one layout used here.

Its decoder, its quantizer and what follows its semantic model have NeuCodec's names; its encoders have their own.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from xcodec.conversion import xcodec2_names, xcodec_names
from xcodec.conversion.checkpoint import Checkpoint
from xcodec.conversion.key_map import KeyMap, Pattern
from xcodec.conversion.original import Naming, checkpoint_of, has_semantic_encoder, with_semantic_encoder
from xcodec.conversion.told import Told
from xcodec.errors import CheckpointError
from xcodec.models.checkpoint import PREPROCESSOR, read_json, resolve_checkpoint
from xcodec.models.distill_neucodec import DistillNeuCodecConfig
from xcodec.models.stored import Stored

__all__ = ["SEMANTIC_ENCODER", "convert_original", "convert_state_dict"]

SEMANTIC_ENCODER = "ntu-spml/distilhubert"  # which original checkpoints leave out

CONVOLUTIONS = "codec_encoder.encoder.blocks"
STAGE = "acoustic_encoder.convolutions.stages"
UNIT = (("dw_conv", "conv"), ("pw_conv1", "fc1"), ("act", "snake"), ("grn", "norm"), ("pw_conv2", "fc2"))
MAX_STAGES = 8  # that the table below has rows for; the released model has four
LAYER = (
    ("0.norm", "input_layernorm"),
    ("0.to_qkv", "self_attn.qkv_proj"),
    ("0.to_out", "self_attn.o_proj"),
    ("1.0", "post_attention_layernorm"),
    ("1.1", "mlp.up_gate_proj"),
    ("1.4", "mlp.down_proj"),
)
TRANSFORMERS = (("down_trans.trans", "transformer1"), ("local_trans", "transformer2"))


def rows_of_stage(s: int) -> list[tuple[str, str]]:
    """Make the rows of a stage of convolutions, whose places the original counts on from those of the stage before."""
    units, conv = f"{CONVOLUTIONS}.{2 * s + 1}", f"{CONVOLUTIONS}.{2 * s + 2}"
    rows = [(f"{units}.{{u}}.module.{old}.*", f"{STAGE}.{s}.units.{{u}}.{new}.*") for old, new in UNIT]
    return [*rows, (f"{conv}.0.*", f"{STAGE}.{s}.conv.*"), (f"{conv}.*", f"{STAGE}.{s}.conv.*")]


def rows_of_transformer(original: str, ours: str) -> list[tuple[str, str]]:
    """Make the rows of a local transformer."""
    original, ours = f"codec_encoder.en_encoder.{original}", f"acoustic_encoder.{ours}"
    rows = [(f"{original}.layers.{{i}}.{old}.*", f"{ours}.layers.{{i}}.{new}.*") for old, new in LAYER]
    return rows + [
        (f"{original}.dynamic_pos_bias.mlp.{2 * i}.*", f"{ours}.distance_bias.fc{i + 1}.*") for i in range(3)
    ]


RENAMES = KeyMap(
    (
        ("semantic_model.*", "semantic_model.*"),
        (f"{CONVOLUTIONS}.0.blocks.{{i}}.1.*", "acoustic_encoder.convolutions.branches.convs.{i}.*"),
        (f"{CONVOLUTIONS}.0.conv_1.*", "acoustic_encoder.convolutions.branches.conv1.*"),
        (f"{CONVOLUTIONS}.0.conv_2.*", "acoustic_encoder.convolutions.branches.conv2.*"),
        *(row for s in range(MAX_STAGES) for row in rows_of_stage(s)),
        *(row for names in TRANSFORMERS for row in rows_of_transformer(*names)),
        ("codec_encoder.en_encoder.down_trans.down_layer.*", "acoustic_encoder.down.*"),
        ("fc_sq_prior.*", "fc_acoustic.*"),
        *xcodec2_names.ROWS,
    )
)
CACHE_TOKEN = "codec_encoder.en_encoder.cache_token"

# What no shape tells: pooling and windows of the released model.
POOL_SIZES = (1, 5, 11, 21, 45)
WINDOW_SIZES = (1500, 300)
LOCAL_HEADS = 4  # times as wide as a head is the width of a local transformer
FUSED = Pattern("acoustic_encoder.*.self_attn.qkv_proj.weight")
GATED = Pattern("acoustic_encoder.*.mlp.up_gate_proj.weight")
RESHAPED = (  # to the forms that they have here
    (Pattern("acoustic_encoder.*.snake.alpha"), (1, -1, 1)),
    (Pattern("acoustic_encoder.*.norm.gamma"), (-1,)),
    (Pattern("acoustic_encoder.*.norm.beta"), (-1,)),
)


def convert_original(source: Stored, told: Told) -> Checkpoint:
    """Convert an original checkpoint."""
    tensors, semantic_encoder = source.tensors, told.semantic_encoder
    if semantic_encoder is None and told.fetch_semantic_encoder and not has_semantic_encoder(tensors, plain_name):
        semantic_encoder = SEMANTIC_ENCODER
    if semantic_encoder is not None:
        tensors = with_semantic_encoder(
            tensors, semantic_encoder, {"hubert": SEMANTIC_ENCODER}, plain_name, told.hub_arguments
        )
        check_preprocessing(resolve_checkpoint(semantic_encoder, weights=False, **told.hub_arguments))
    return convert_state_dict(tensors, num_attention_heads=told.num_attention_heads, source=source.name)


def convert_state_dict(
    tensors: Mapping[str, Tensor], *, num_attention_heads: int | None = None, source: str = "the state dict"
) -> Checkpoint:
    """Convert a state dict of original names; sizes are read off the tensors' shapes.

    Args:
        tensors: by their original names.
        num_attention_heads: as for `xcodec.conversion.read_checkpoint`.
        source: what error messages and the report call it.

    Raises:
        CheckpointError: names what is missing, unexpected or of another shape.
    """
    if not has_semantic_encoder(tensors, plain_name):
        raise CheckpointError(
            "the semantic model is missing: semantic_model.* (it is frozen in training, so checkpoints leave it out)",
            subject=source,
            remedy=f"to add it, give semantic_encoder=FOLDER, of {SEMANTIC_ENCODER} in its own layout",
        )
    naming = Naming(
        renames=RENAMES,
        plain_name=plain_name,
        reason_to_drop=reason_to_drop,
        infer_config=partial(infer_config, num_attention_heads=num_attention_heads),
        split=split,
        original_name=original_name,
        folds_semantic=False,
    )
    return checkpoint_of(tensors, naming, source)


def check_preprocessing(folder: Path) -> None:
    """Refuse a semantic model that reads other than the samples themselves, as DistilHuBERT does not."""
    if (folder / PREPROCESSOR).is_file() and read_json(folder / PREPROCESSOR).get("do_normalize"):
        raise CheckpointError(
            "asks for samples that are normalised (do_normalize), which DistillNeuCodec does not give its semantic "
            "model here",
            subject=folder / PREPROCESSOR,
        )


def plain_name(name: str) -> str:
    """Strip a name of wrappers, and spell the weight norm of the semantic model's positions as torch now does."""
    return xcodec_names.plain_name(name)


def original_name(name: str) -> str:
    """Return the original name of a tensor that is called `name` here."""
    fused = name.replace("mlp.up_proj", "mlp.up_gate_proj").replace("mlp.gate_proj", "mlp.up_gate_proj")
    for letter in "qkv":
        fused = fused.replace(f"self_attn.{letter}_proj", "self_attn.qkv_proj")
    if name.startswith("semantic_model."):
        return name
    return RENAMES.trace(fused) or name


def reason_to_drop(name: str, tensor: Tensor) -> str | None:
    """Why a tensor is left out, or None where it is kept; errors are those of NeuCodec's."""
    if name == CACHE_TOKEN:
        if tensor.numel():
            raise CheckpointError(
                f"{name} {tuple(tensor.shape)} holds tokens, of which DistillNeuCodec has none; the checkpoint is of "
                "a variant that is not known here"
            )
        return "constant: tokens between windows, of which there are none"
    if name.startswith("semantic_model."):
        return None
    return xcodec2_names.reason_to_drop(name, tensor, num_semantic_layers=0)


def split(name: str, tensor: Tensor, config: DistillNeuCodecConfig) -> dict[str, Tensor] | None:
    """Give what a tensor becomes that has another form here, by the names of its parts; None for any other."""
    if FUSED.match(name):
        return {name.replace("qkv", letter): part.clone() for letter, part in zip("qkv", tensor.chunk(3), strict=False)}
    if GATED.match(name):
        parts = zip(("up", "gate"), tensor.chunk(2), strict=False)
        return {name.replace("up_gate", part): rows.clone() for part, rows in parts}
    for pattern, shape in RESHAPED:
        if pattern.match(name):
            return {name: tensor.reshape(shape)}
    return xcodec2_names.split_attention(name, tensor, config.hidden_size, config.num_attention_heads)


def infer_config(tensors: Mapping[str, Tensor], num_attention_heads: int | None = None) -> DistillNeuCodecConfig:
    """Read a model's sizes off the shapes of its tensors.

    Args:
        tensors: by the names used here, before they are split.
        num_attention_heads: heads of the decoder, which no shape tells; None means heads of 64 channels.

    Raises:
        CheckpointError: where a tensor that tells a size is missing.
        InputError: where sizes contradict each other, or the heads do not divide the hidden size.
    """

    def shape(name: str) -> tuple[int, ...]:
        if name not in tensors:
            raise CheckpointError(f"{original_name(name)} is missing, which tells a size of the model")
        return (*tensors[name].shape, 0, 0, 0)[:3]  # a missing dimension is found out by the check of all shapes

    def count(pattern: str) -> int:
        return xcodec_names.count(tensors, pattern)

    num_stages = count(f"{STAGE}.{{i}}.*")
    strides = [shape(f"{STAGE}.{i}.conv.weight")[2] for i in range(num_stages - 1)]
    hidden_size = shape("acoustic_decoder.fc.weight")[0]
    heads = xcodec2_names.decoder_heads(hidden_size, num_attention_heads)
    local_size, inner = shape("acoustic_encoder.transformer1.layers.0.self_attn.o_proj.weight")[:2]
    head_dim = local_size // LOCAL_HEADS
    pools = count("acoustic_encoder.convolutions.branches.convs.{i}.*")
    if pools != len(POOL_SIZES) or not head_dim:
        raise CheckpointError(
            f"the acoustic encoder's first block has {pools} branches; expected {len(POOL_SIZES)}, whose pooling no "
            "tensor tells"
        )
    strides.append(shape("acoustic_encoder.down.weight")[2])
    samples = shape("acoustic_decoder.head.linear.weight")[0] - 2
    return DistillNeuCodecConfig(
        output_sampling_rate=output_rate(samples, strides),
        hidden_size=hidden_size,
        intermediate_size=shape("acoustic_decoder.layers.0.mlp.fc1.weight")[0],
        num_hidden_layers=count("acoustic_decoder.layers.{i}.*"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hidden_size // heads,
        rope_parameters=dict(xcodec2_names.ROTARY),
        encoder_hidden_size=shape("acoustic_encoder.convolutions.branches.conv2.weight")[0],
        downsampling_ratios=strides,
        encoder_depths=[count(f"{STAGE}.{s}.units.{{i}}.*") for s in range(num_stages)],
        pooling_kernel_sizes=POOL_SIZES,
        branch_hidden_size=shape("acoustic_encoder.convolutions.branches.convs.0.weight")[0],
        local_hidden_size=local_size,
        local_intermediate_size=shape("acoustic_encoder.transformer1.layers.0.mlp.down_proj.weight")[1],
        local_num_hidden_layers=[count(f"acoustic_encoder.{ours}.layers.{{i}}.*") for _, ours in TRANSFORMERS],
        local_num_attention_heads=max(1, inner // head_dim),
        local_head_dim=head_dim,
        local_window_sizes=WINDOW_SIZES,
        semantic_model_config=infer_semantic_config(tensors, shape),
        adapter_hidden_size=shape("semantic_adapter.conv1.weight")[0],
        acoustic_size=shape("fc_acoustic.weight")[0],
        quantization_dim=shape("fc_encoder.weight")[0],
        quantization_levels=[xcodec2_names.FSQ_LEVELS] * shape("quantizer.project_in.weight")[0],
        architectures=["DistillNeuCodecModel"],
        dtype=tensors["fc_encoder.weight"].dtype,
    )


def output_rate(n_fft: int, strides: list[int]) -> int:
    """Tell the rate that the decoder writes, in Hz, by the points of its inverse STFT and the encoder's strides."""
    read = math.prod(strides)
    if (n_fft * xcodec2_names.INPUT_RATE) % (4 * read):
        raise CheckpointError(
            f"the decoder's inverse STFT has {n_fft} points, while the encoder's strides are {strides}"
        )
    return n_fft * xcodec2_names.INPUT_RATE // (4 * read)


def infer_semantic_config(tensors: Mapping[str, Tensor], shape: Callable[[str], tuple[int, ...]]) -> dict[str, Any]:
    """Read the sizes of the semantic model off its tensors."""
    fields = xcodec_names.infer_semantic_config(tensors, shape, "hubert_base").to_dict()
    return fields | {"feat_proj_layer_norm": "semantic_model.feature_projection.layer_norm.weight" in tensors}
