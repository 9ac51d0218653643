"""The tensors of original X-Codec checkpoints: what each is called here, and the configuration that they imply.

The original names are those of the authors' `SoundStream` class; its configuration is a YAML file beside the weights.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor
from transformers import HubertConfig, WavLMConfig

from xcodec.conversion.key_map import KeyMap, Pattern
from xcodec.errors import CheckpointError, InputError, one_line
from xcodec.models.family import Family
from xcodec.models.stored import unwrapped
from xcodec.models.weights import respelled
from xcodec.models.xcodec.configuration import XcodecConfig

__all__ = ["count", "infer_config", "infer_semantic_config", "plain_name", "read_original_config", "renames"]

# Original name -> name here, of what does not depend on the number of acoustic blocks.
COMMON = (
    ("semantic_model.*", "semantic_model.*"),
    ("encoder_semantic.conv.conv.*", "encoder_semantic.conv.*"),
    ("encoder_semantic.conv_blocks.{b}.conv.conv.*", "encoder_semantic.conv_blocks.{b}.conv.*"),
    ("decoder_semantic.conv1.conv.*", "decoder_semantic.conv1.*"),
    ("decoder_semantic.conv2.conv.*", "decoder_semantic.conv2.*"),
    ("decoder_semantic.conv_blocks.{b}.conv.conv.*", "decoder_semantic.conv_blocks.{b}.conv.*"),
    ("decoder_semantic.conv_blocks.{b}.conv.deconv.*", "decoder_semantic.conv_blocks.{b}.conv.*"),
    *(
        (
            f"{coder}_semantic.conv_blocks.{{b}}.res_units.{{u}}.{old}",
            f"{coder}_semantic.conv_blocks.{{b}}.res_units.{{u}}.{new}",
        )
        for coder in ("encoder", "decoder")
        for old, new in (("conv1.conv.*", "conv1.*"), ("conv2.*", "conv2.*"))
    ),
    ("fc_prior.*", "fc.*"),
    ("fc_post1.*", "fc1.*"),
    ("fc_post2.*", "fc2.*"),
    ("quantizer.vq.layers.{q}._codebook.*", "quantizer.quantizers.{q}.codebook.*"),
    ("quantizer.vq.layers.{q}.project_in.*", "quantizer.quantizers.{q}.project_in.*"),  # of the Higgs tokenizer
    ("quantizer.vq.layers.{q}.project_out.*", "quantizer.quantizers.{q}.project_out.*"),
)
RESIDUAL_UNIT = ("snake1", "conv1", "snake2", "conv2")  # the places 0 to 3 of an original unit

# What the YAML calls a semantic model ("semantic_techer", as it is spelled there) -> whether it is a WavLM.
TEACHERS = {"hubert_base": False, "hubert_base_general": False, "wavlm_base_plus": True}
HEAD_SIZE = 64  # of HuBERT and WavLM, at every size
CONV_STRIDE = (5, 2, 2, 2, 2, 2, 2)  # likewise; no shape tells it


def plain_name(name: str) -> str:
    """Return an original name without wrappers, the positional convolution's weight norm spelled as torch now does."""
    return respelled(unwrapped(name))


def renames(num_blocks: int) -> KeyMap:
    """Make the table of all names, for so many acoustic blocks: what follows the last of them is numbered after it."""
    last = num_blocks + 1

    def unit(original: str, ours: str, offset: int) -> list[tuple[str, str]]:
        number = f"{{u{offset:+d}}}" if offset else "{u}"
        return [
            (f"{original}.block.{number}.block.{i}.*", f"{ours}.res_unit{{u}}.{part}.*")
            for i, part in enumerate(RESIDUAL_UNIT)
        ]

    return KeyMap(
        (
            *COMMON,
            ("encoder.block.0.*", "acoustic_encoder.conv1.*"),
            *unit("encoder.block.{b+1}", "acoustic_encoder.block.{b}", -1),
            ("encoder.block.{b+1}.block.3.*", "acoustic_encoder.block.{b}.snake1.*"),
            ("encoder.block.{b+1}.block.4.*", "acoustic_encoder.block.{b}.conv1.*"),
            (f"encoder.block.{last}.*", "acoustic_encoder.snake1.*"),
            (f"encoder.block.{last + 1}.*", "acoustic_encoder.conv2.*"),
            ("decoder_2.model.0.*", "acoustic_decoder.conv1.*"),
            ("decoder_2.model.{b+1}.block.0.*", "acoustic_decoder.block.{b}.snake1.*"),
            ("decoder_2.model.{b+1}.block.1.*", "acoustic_decoder.block.{b}.conv_t1.*"),
            *unit("decoder_2.model.{b+1}", "acoustic_decoder.block.{b}", 1),
            (f"decoder_2.model.{last}.*", "acoustic_decoder.snake1.*"),
            (f"decoder_2.model.{last + 1}.*", "acoustic_decoder.conv2.*"),
        )
    )


def read_original_config(path: Path) -> dict[str, Any]:
    """Read the part of an original YAML file that describes the model.

    Returns:
        `D`, `ratios`, `target_bandwidths`, `sample_rate`, `bins`; and `semantic_techer`, None where only the tensors
        tell it.

    Raises:
        CheckpointError: where it is not found, not YAML, or says something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            "no such file; expected the YAML file that came with the checkpoint", subject=path
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"is no YAML file ({one_line(error)})", subject=path) from None
    generator = content.get("generator") if isinstance(content, dict) else None
    fields = generator.get("config") if isinstance(generator, dict) else None
    wanted = ("D", "ratios", "target_bandwidths", "sample_rate", "bins")
    absent = [name for name in wanted if not isinstance(fields, dict) or name not in fields]
    if not isinstance(fields, dict) or absent:
        raise CheckpointError(
            f"does not describe an X-Codec: under generator, config it lacks {', '.join(absent)}", subject=path
        )
    teacher = fields.get("semantic_techer")
    if teacher is not None and teacher not in TEACHERS:
        raise CheckpointError(
            f"semantic_techer {teacher!r} is not known; expected one of {', '.join(TEACHERS)}", subject=path
        )
    return {name: fields[name] for name in wanted} | {"semantic_techer": teacher}


def infer_config(tensors: Mapping[str, Tensor], original: Mapping[str, Any], family: Family) -> XcodecConfig:
    """Put together a model's configuration from the original's and from the shapes of its tensors.

    Args:
        tensors: by the names used here.
        original: as `read_original_config` gives it, or `xcodec.conversion.higgs_names.original_fields`.
        family: of the model, X-Codec or one with its fields.

    Raises:
        CheckpointError: where a tensor that tells a size is missing, or sizes contradict each other.
    """

    def shape(name: str) -> tuple[int, ...]:
        if name not in tensors:
            raise CheckpointError(f"the tensor that becomes {name} is missing, which tells a size of the model")
        return (*tensors[name].shape, 0, 0, 0)[:3]  # a missing dimension is found out by the check of all shapes

    ratios = list(original["ratios"])
    strides = [shape(f"acoustic_encoder.block.{i}.conv1.weight")[2] // 2 for i in range(len(ratios))]
    if strides != ratios:
        raise CheckpointError(f"the encoder's kernels are for strides {strides}, while the YAML says ratios {ratios}")
    config_class: Any = family.config
    try:
        config: XcodecConfig = config_class(
            target_bandwidths=bandwidths_of(original),
            sample_rate=original["sample_rate"],
            codebook_size=original["bins"],
            acoustic_model_config={
                "encoder_hidden_size": shape("acoustic_encoder.conv1.weight")[0],
                "decoder_hidden_size": shape("acoustic_decoder.conv1.weight")[0],
                "downsampling_ratios": ratios,
                "upsampling_ratios": ratios,
                "hidden_size": original["D"],
                "sampling_rate": original["sample_rate"],
            },
            semantic_model_config=infer_semantic_config(tensors, shape, original["semantic_techer"]),
            architectures=[family.model.__name__],
            dtype=tensors["fc.weight"].dtype if "fc.weight" in tensors else None,
            **original.get("further", {}),
        )
        return config
    except InputError as error:
        raise CheckpointError(f"the YAML and the tensors do not fit together: {error}") from None


def bandwidths_of(original: Mapping[str, Any]) -> list[float]:
    """Give the bandwidths that there are codebooks for, in kbit/s; the last one says how many there are."""
    told = list(original["target_bandwidths"])
    if "num_quantizers" not in original:
        return told
    bits = math.log2(original["bins"]) * math.ceil(original["sample_rate"] / math.prod(original["ratios"]))
    most = original["num_quantizers"] * bits / 1000
    return [*(bandwidth for bandwidth in told if bandwidth < most), int(most) if most.is_integer() else most]


def count(names: Iterable[str], pattern: str) -> int:
    """Return one more than the largest number in the slot {i} of a pattern, over the names that match it."""
    matches = map(Pattern(pattern).match, names)
    return 1 + max((int(slots["i"]) for slots in matches if slots is not None), default=-1)


def infer_semantic_config(
    tensors: Mapping[str, Tensor], shape: Callable[[str], tuple[int, ...]], teacher: str | None
) -> HubertConfig | WavLMConfig:
    """Read the sizes of the semantic model off its tensors."""
    layer = "semantic_model.encoder.layers"
    buckets = f"{layer}.0.attention.rel_attn_embed.weight"
    is_wavlm = buckets in tensors
    if teacher is not None and is_wavlm != TEACHERS[teacher]:
        found = "a WavLM" if buckets in tensors else "a HuBERT"
        raise CheckpointError(f"the semantic model is {found}, while the YAML says {teacher!r}")
    convolutions = count(tensors, "semantic_model.feature_extractor.conv_layers.{i}.*")
    if convolutions != len(CONV_STRIDE):
        raise CheckpointError(
            f"the semantic model has {convolutions} convolutions; expected {len(CONV_STRIDE)}, as HuBERT and WavLM have"
        )
    kernels = [shape(f"semantic_model.feature_extractor.conv_layers.{i}.conv.weight") for i in range(convolutions)]
    normed_throughout = "semantic_model.feature_extractor.conv_layers.1.layer_norm.weight" in tensors
    hidden_size = shape("semantic_model.feature_projection.projection.weight")[0]
    positions = shape("semantic_model.encoder.pos_conv_embed.conv.parametrizations.weight.original1")
    fields: dict[str, Any] = {
        "hidden_size": hidden_size,
        "num_hidden_layers": count(tensors, f"{layer}.{{i}}.*"),
        "num_attention_heads": max(1, hidden_size // HEAD_SIZE),
        "intermediate_size": shape(f"{layer}.0.feed_forward.intermediate_dense.weight")[0],
        "conv_dim": [kernel[0] for kernel in kernels],
        "conv_kernel": [kernel[2] for kernel in kernels],
        "conv_stride": list(CONV_STRIDE),
        "conv_bias": "semantic_model.feature_extractor.conv_layers.0.conv.bias" in tensors,
        # The large models have both; no tensor tells the second.
        "feat_extract_norm": "layer" if normed_throughout else "group",
        "do_stable_layer_norm": normed_throughout,
        "num_conv_pos_embeddings": positions[2],
        "num_conv_pos_embedding_groups": hidden_size // max(positions[1], 1),
        "mask_time_prob": 0.05 if "semantic_model.masked_spec_embed" in tensors else 0.0,
    }
    if not is_wavlm:
        return HubertConfig(**fields)
    num_buckets, heads, _ = shape(buckets)
    return WavLMConfig(**(fields | {"num_buckets": num_buckets, "num_attention_heads": heads}))
