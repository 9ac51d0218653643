"""The tensors of original X-Codec2 checkpoints: what each is called, what becomes of it, and the sizes that they imply.

The original names are those of the `xcodec2` package and of its training code.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Wav2Vec2BertConfig

from xcodec.conversion.key_map import KeyMap, Pattern
from xcodec.errors import CheckpointError, InputError
from xcodec.models.neucodec.configuration import NeuCodecConfig
from xcodec.models.registry import FAMILIES
from xcodec.models.stored import unwrapped
from xcodec.models.xcodec2.configuration import Xcodec2Config
from xcodec.modules.snake import FILTER_TAPS, RATIO, kaiser_sinc_filter

__all__ = [
    "RENAMES",
    "ROWS",
    "decoder_heads",
    "infer_config",
    "original_name",
    "plain_name",
    "reason_to_drop",
    "split_attention",
]

INPUT_RATE = 16000  # Hz, of what both encoders read
BLOCK = "generator.backbone.transformers.{i}"
LAYER = "acoustic_decoder.layers.{i}"
UNIT = "CodecEnc.conv_blocks.{b}.block.{u}.block"
RES_UNIT = "acoustic_encoder.block.{b-1}.res_unit{u+1}"

# Original name -> name here. `qkv_proj` is split further into q_proj, k_proj and v_proj.
ROWS = (
    ("semantic_model.*", "semantic_encoder.*"),
    ("SemanticEncoder_module.initial_conv.*", "semantic_adapter.conv1.*"),
    ("SemanticEncoder_module.residual_blocks.1.*", "semantic_adapter.conv2.*"),
    ("SemanticEncoder_module.residual_blocks.3.*", "semantic_adapter.conv3.*"),
    ("SemanticEncoder_module.final_conv.*", "semantic_adapter.conv4.*"),
    ("CodecEnc.conv_blocks.0.*", "acoustic_encoder.conv1.*"),
    (f"{UNIT}.0.*", f"{RES_UNIT}.snake1.*"),
    (f"{UNIT}.1.*", f"{RES_UNIT}.conv1.*"),
    (f"{UNIT}.2.*", f"{RES_UNIT}.snake2.*"),
    (f"{UNIT}.3.*", f"{RES_UNIT}.conv2.*"),
    ("CodecEnc.conv_blocks.{b}.block.3.*", "acoustic_encoder.block.{b-1}.snake1.*"),
    ("CodecEnc.conv_blocks.{b}.block.4.*", "acoustic_encoder.block.{b-1}.conv1.*"),
    ("CodecEnc.conv_final_block.0.*", "acoustic_encoder.snake1.*"),
    ("CodecEnc.conv_final_block.1.*", "acoustic_encoder.conv2.*"),
    ("fc_prior.*", "fc_encoder.*"),
    ("generator.quantizer.project_in.*", "quantizer.project_in.*"),
    ("generator.quantizer.project_out.*", "quantizer.project_out.*"),
    ("fc_post_a.*", "acoustic_decoder.fc.*"),
    ("generator.backbone.embed.*", "acoustic_decoder.embed.*"),
    ("generator.backbone.prior_net.*", "acoustic_decoder.prior_net.*"),
    (f"{BLOCK}.att_norm.*", f"{LAYER}.input_layernorm.*"),
    (f"{BLOCK}.att.c_attn.*", f"{LAYER}.self_attn.qkv_proj.*"),
    (f"{BLOCK}.att.c_proj.*", f"{LAYER}.self_attn.o_proj.*"),
    (f"{BLOCK}.ffn_norm.*", f"{LAYER}.post_attention_layernorm.*"),
    (f"{BLOCK}.mlp.*", f"{LAYER}.mlp.*"),
    ("generator.backbone.post_net.*", "acoustic_decoder.post_net.*"),
    ("generator.backbone.final_layer_norm.*", "acoustic_decoder.norm.*"),
    ("generator.upsampler.upsample_layers.{i}.*", "acoustic_decoder.upsampler.convs.{i}.*"),
    ("generator.upsampler.resnet_blocks.{i}.*", "acoustic_decoder.upsampler.blocks.{i}.*"),
    ("generator.upsampler.out_proj.*", "acoustic_decoder.upsampler.linear.*"),
    ("generator.head.out.*", "acoustic_decoder.head.linear.*"),
)
RENAMES = KeyMap(ROWS)
FUSED = Pattern(f"{LAYER}.self_attn.qkv_proj.weight")

# What only training needs -> why it is dropped.
TRAINING_ONLY = (
    (Pattern("fc_post_s.*"), "training only: input of the semantic decoder"),
    (Pattern("SemanticDecoder_module.*"), "training only: decoder of the semantic reconstruction loss"),
    (Pattern("discriminator.*"), "training only: multi-period discriminator"),
    (Pattern("spec_discriminator.*"), "training only: spectral discriminator"),
    (Pattern("criteria.*"), "training only: the losses"),
    (Pattern("perception_model.*"), "training only: model of the perceptual loss"),
    (Pattern("model_spk.*"), "training only: speaker model of the validation"),
    (Pattern("unread.*"), "unused: of the quantizer in the file of the half that does not read it"),
)


def low_pass_taps(_: Tensor) -> Tensor:
    """Return the filter of the anti-aliased activations, both ways."""
    return torch.tensor(kaiser_sinc_filter(0.5 / RATIO, 0.6 / RATIO, FILTER_TAPS)).view(1, 1, -1)


def hann_window(stored: Tensor) -> Tensor:
    """Return the window of the inverse STFT."""
    return torch.hann_window(stored.numel())


# What is computed rather than stored -> why it is dropped, and what it must have held (None: it does not matter).
CONSTANTS: tuple[tuple[Pattern, str, Callable[[Tensor], Tensor] | None], ...] = (
    (Pattern("*.upsample.filter"), "constant: low-pass filter of an activation", low_pass_taps),
    (Pattern("*.downsample.lowpass.filter"), "constant: low-pass filter of an activation", low_pass_taps),
    (Pattern("generator.head.istft.window"), "constant: window of the inverse STFT", hann_window),
    (Pattern("generator.quantizer.scales"), "constant: scale of the one quantizer", torch.ones_like),
    (Pattern("generator.quantizer.layers.0.*"), "constant: tables of the FSQ", None),
    (Pattern(f"{BLOCK}.att.rotary_embed.*"), "constant: rotary tables; the rotation cancels out", None),
)

SEMANTIC_LAYER = Pattern("semantic_model.encoder.layers.{i}.*")
DECODER_HEAD_SIZE = 64
DOUBTFUL_RATE = 48000  # Hz; or half of it, from half as many codes
FSQ_LEVELS = 4  # per dimension of the quantizer
SEMANTIC_POSITIONS = (64, 8)  # relative positions to the left and right, of w2v-BERT 2.0
ROTARY = {"rope_type": "default", "rope_theta": 10000.0}  # not used here; read by transformers


def plain_name(name: str) -> str:
    """Strip a name of wrappers, and spell SnakeBeta's magnitude `beta`, which the original module calls `bias`."""
    name = unwrapped(name)
    if name.startswith("CodecEnc.") and name.endswith(".act.bias"):
        return name.removesuffix("bias") + "beta"
    return name


def original_name(name: str) -> str:
    """Return the original name of a tensor that is called `name` here."""
    return RENAMES.trace(re.sub(r"\.self_attn\.[qkv]_proj\.", ".self_attn.qkv_proj.", name)) or name


def reason_to_drop(name: str, tensor: Tensor, num_semantic_layers: int) -> str | None:
    """Why a tensor is left out, or None where it is kept.

    Args:
        name: as `plain_name` spells it.
        tensor: what it holds.
        num_semantic_layers: layers of the semantic encoder whose output is used.

    Raises:
        CheckpointError: where it should be a known constant and is not.
    """
    layer = SEMANTIC_LAYER.match(name)
    if layer is not None and int(layer["i"]) >= num_semantic_layers:
        return f"unused: layers of the semantic encoder past the first {num_semantic_layers}"
    for pattern, reason in TRAINING_ONLY:
        if pattern.match(name) is not None:
            return reason
    for pattern, reason, constant in CONSTANTS:
        if pattern.match(name) is None:
            continue
        expected = tensor.float() if constant is None else constant(tensor)
        tolerance = max(1e-5, torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0)
        if expected.shape != tensor.shape or not torch.allclose(tensor.float(), expected, atol=tolerance):
            raise CheckpointError(
                f"{name} {tuple(tensor.shape)} is not the constant that X-Codec2 has there "
                f"({reason.partition(': ')[2]}); the checkpoint is of a variant that is not known here"
            )
        return reason
    return None


def split_attention(name: str, tensor: Tensor, hidden_size: int, num_heads: int) -> dict[str, Tensor] | None:
    """Split the fused projection of a layer of the decoder, by the names of its parts; None where it is none."""
    if FUSED.match(name) is None:
        return None
    parts = split_fused_attention(tensor, hidden_size, num_heads)
    return {name.replace("qkv_proj", f"{letter}_proj"): part for letter, part in zip("qkv", parts, strict=True)}


def split_fused_attention(fused: Tensor, hidden_size: int, num_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split the fused projection into query, key and value, with the rotary pairs as transformers lays them out.

    Args:
        fused: shape (3 * hidden_size, hidden_size); its rows are (query, key, value), each (heads, head_dim).
        hidden_size: width of the decoder.
        num_heads: its attention heads.
    """
    if tuple(fused.shape) != (3 * hidden_size, hidden_size):
        raise CheckpointError(
            f"an att.c_attn.weight has shape {tuple(fused.shape)}; expected {(3 * hidden_size, hidden_size)}: query, "
            f"key and value of the decoder's hidden size {hidden_size}"
        )
    query, key, value = fused.chunk(3)
    return half_split_pairs(query, num_heads), half_split_pairs(key, num_heads), value.clone()


def half_split_pairs(rows: Tensor, num_heads: int) -> Tensor:
    """Reorder each head's rows from rotary pairs (0, 1), (2, 3), ... to pairs (0, d / 2), (1, d / 2 + 1), ...

    The original rotates neighbouring channels, transformers channels half a head apart; with the rows reordered both
    rotate the same numbers by the same angles.
    """
    # (heads, pairs, 2, width) -> (heads, 2, pairs, width)
    return rows.view(num_heads, -1, 2, rows.shape[-1]).transpose(1, 2).reshape(rows.shape)


def infer_config(
    tensors: Mapping[str, Tensor],
    num_semantic_layers: int = 16,
    num_attention_heads: int | None = None,
    model_type: str | None = None,
    upsampling_ratios: Sequence[int] = (),
    likely_model_type: str | None = None,
    codes_per_second: float | None = None,
) -> Xcodec2Config:
    """Read a model's sizes off the shapes of its tensors.

    Args:
        tensors: by the names used here, the attention projections still fused as `qkv_proj`.
        num_semantic_layers: layers of the semantic encoder.
        num_attention_heads: heads of the decoder, which no shape tells; None means heads of 64 channels.
        model_type: whose codes the decoder reads; None means X-Codec2's at 16 kHz, and NeuCodec's at 24 kHz.
        upsampling_ratios: of the stages of an upsampler before the head, which no shape tells.
        likely_model_type: of the family, where the rate is of neither.
        codes_per_second: in Hz, which no shape tells either; None means one of each latent, where that may be.

    Raises:
        CheckpointError: where a tensor that tells a size is missing, or sizes contradict each other.
        InputError: where the heads do not divide the hidden size, or the codes not the latents.
    """

    def shape(name: str) -> tuple[int, ...]:
        if name not in tensors:
            raise CheckpointError(f"{original_name(name)} is missing, which tells a size of the model")
        return (*tensors[name].shape, 0, 0, 0)[:3]  # a missing dimension is found out by the check of all shapes

    def count(pattern: Pattern) -> int:
        return 1 + max((int(slots["i"]) for name in tensors if (slots := pattern.match(name))), default=-1)

    hidden_size = shape("acoustic_decoder.fc.weight")[0]
    num_blocks = count(Pattern("acoustic_encoder.block.{i}.*"))
    # A strided convolution has kernels of twice its stride.
    strides = [shape(f"acoustic_encoder.block.{i}.conv1.weight")[2] // 2 for i in range(num_blocks)]
    n_fft = shape("acoustic_decoder.head.linear.weight")[0] - 2
    kernel_sizes = [
        shape(f"acoustic_decoder.upsampler.convs.{i}.weight")[2]
        for i in range(count(Pattern("acoustic_decoder.upsampler.convs.{i}.*")))
    ]
    if len(kernel_sizes) != len(upsampling_ratios):
        raise CheckpointError(
            f"the decoder has an upsampler of {len(kernel_sizes)} stages, and the config.json beside it tells the "
            f"ratios of {len(upsampling_ratios)} (upsample_factors), which no tensor does"
        )
    pooling = pooling_of(n_fft, strides, codes_per_second, upsampling_ratios)
    if pooling > 1:
        if model_type not in (None, Xcodec2Config.model_type):
            raise InputError("only X-Codec2 has children with fewer codes than latents", argument="codes_per_second")
        model_type = Xcodec2Config.model_type
    config_class, rates = rates_of(n_fft, strides, model_type, upsampling_ratios, likely_model_type)
    if pooling > 1:
        rates |= {"latent_pooling": pooling, "decoder_hop_length": n_fft // 4}
    if kernel_sizes:
        rates |= {"upsampling_ratios": list(upsampling_ratios), "upsampling_kernel_sizes": kernel_sizes}
    num_layers = count(Pattern(f"{LAYER}.*"))
    heads = decoder_heads(hidden_size, num_attention_heads)
    return config_class(
        hidden_size=hidden_size,
        intermediate_size=shape("acoustic_decoder.layers.0.mlp.fc1.weight")[0],
        num_hidden_layers=num_layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hidden_size // heads,
        rope_parameters=dict(ROTARY),
        encoder_hidden_size=shape("acoustic_encoder.conv1.weight")[0],
        downsampling_ratios=strides,
        semantic_model_config=infer_semantic_config(tensors, shape, num_semantic_layers),
        quantization_dim=shape("fc_encoder.weight")[0],
        quantization_levels=[FSQ_LEVELS] * shape("quantizer.project_in.weight")[0],
        **rates,
        architectures=[FAMILIES[config_class.model_type].model.__name__],
        dtype=tensors["fc_encoder.weight"].dtype,
    )


def pooling_of(
    n_fft: int, strides: list[int], codes_per_second: float | None, upsampling_ratios: Sequence[int] = ()
) -> int:
    """Tell how many latents make a code; arguments are those of `rates_of` and `infer_config`.

    Raises:
        CheckpointError: where a decoder may be one of 48 kHz or of 24 kHz at half as many codes, and nothing tells.
        InputError: where there are no whole number of latents to a code.
    """
    read = math.prod(strides)
    latents_per_second = INPUT_RATE / read
    if codes_per_second is None:
        if n_fft * INPUT_RATE == 4 * read * DOUBTFUL_RATE and not upsampling_ratios:
            raise CheckpointError(
                f"the decoder's inverse STFT has {n_fft} points, for {n_fft // 4} samples per code: it writes "
                f"{DOUBTFUL_RATE} Hz from {latents_per_second:g} codes a second or, as malaysia-ai/xcodec2-25TPS-24k "
                f"does, {DOUBTFUL_RATE // 2} Hz from {latents_per_second / 2:g}, each of two latents, and no tensor "
                "tells which. Give codes_per_second (--codes-per-second)"
            )
        return 1
    pooling = latents_per_second / codes_per_second
    if not pooling.is_integer() or pooling < 1:
        raise InputError(
            f"the encoder makes {latents_per_second:g} latents a second, and a whole number of them makes a code",
            argument="codes_per_second",
            value=codes_per_second,
        )
    return int(pooling)


def rates_of(
    n_fft: int,
    strides: list[int],
    model_type: str | None,
    upsampling_ratios: Sequence[int] = (),
    likely_model_type: str | None = None,
) -> tuple[type[Xcodec2Config], dict[str, Any]]:
    """Tell the family of a decoder by the rate that it writes, and the fields that say this rate.

    Args:
        n_fft: points of its inverse STFT, four times the samples of a step.
        strides: of the encoder, whose product is the samples that it reads for a code.
        model_type: of the family, if that is known.
        upsampling_ratios: of the stages of an upsampler, whose product is the steps of a code.
        likely_model_type: of the family, where the rate is of neither.
    """
    step, read = n_fft / 4, math.prod(strides)
    written = step * math.prod(upsampling_ratios)
    if model_type is None and 2 * written == 3 * read:
        model_type = "neucodec"
    elif model_type is None and written != read:
        model_type = likely_model_type
    if model_type == "neucodec" and written * INPUT_RATE % read == 0:
        return NeuCodecConfig, {"output_sampling_rate": int(written * INPUT_RATE) // read}
    if model_type == "xcodec2" and step.is_integer():
        return Xcodec2Config, {} if step == read else {"decoder_hop_length": int(step)}
    if model_type is None and written == read:
        return Xcodec2Config, {}
    raise CheckpointError(
        f"the decoder's inverse STFT has {n_fft} points, for {written:g} samples per code, while the encoder's strides "
        f"{strides} read {read}: it writes {written / read * INPUT_RATE:g} Hz, and no tensor tells whose codes "
        "it reads. Give model_type, xcodec2 or neucodec (--model-type)"
    )


def infer_semantic_config(
    tensors: Mapping[str, Tensor], shape: Callable[[str], tuple[int, ...]], num_layers: int
) -> Wav2Vec2BertConfig:
    """Read the sizes of the semantic encoder off its tensors."""
    first = "semantic_encoder.encoder.layers.0"
    hidden_size, input_size, _ = shape("semantic_encoder.feature_projection.projection.weight")
    num_positions, head_size, _ = shape(f"{first}.self_attn.distance_embedding.weight")
    left, right = SEMANTIC_POSITIONS
    if num_positions != left + 1 + right or hidden_size % max(head_size, 1):
        raise CheckpointError(
            f"{original_name(f'{first}.self_attn.distance_embedding.weight')} has shape {(num_positions, head_size)}; "
            f"expected {left + 1 + right} positions ({left} to the left, {right} to the right, as w2v-BERT 2.0 has) "
            f"and a head size that divides {hidden_size}"
        )
    has_mask_embedding = "semantic_encoder.masked_spec_embed" in tensors
    return Wav2Vec2BertConfig(
        feature_projection_input_dim=input_size,
        hidden_size=hidden_size,
        intermediate_size=shape(f"{first}.ffn1.intermediate_dense.weight")[0],
        num_hidden_layers=num_layers,
        num_attention_heads=hidden_size // head_size,
        conv_depthwise_kernel_size=shape(f"{first}.conv_module.depthwise_conv.weight")[2],
        left_max_position_embeddings=left,
        right_max_position_embeddings=right,
        mask_time_prob=0.05 if has_mask_embedding else 0.0,
    )


def decoder_heads(hidden_size: int, given: int | None) -> int:
    """Attention heads of the decoder."""
    if given is None and hidden_size % DECODER_HEAD_SIZE:
        raise InputError(
            f"the decoder's hidden size {hidden_size} is no multiple of {DECODER_HEAD_SIZE}, the "
            "released head size, and the number of heads cannot be read off the tensors",
            remedy="give num_attention_heads=N",
        )
    heads = hidden_size // DECODER_HEAD_SIZE if given is None else given
    if heads < 1 or hidden_size % (2 * heads):
        raise InputError(
            f"does not fit the decoder's hidden size {hidden_size}; expected heads of an even number of channels",
            argument="num_attention_heads",
            value=heads,
        )
    return heads
