"""Checkpoints of any codec, in the authors' layout or in transformers', become the one layout that is used here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xcodec.conversion import audex, distill_neucodec, xcodec, xcodec2
from xcodec.conversion.checkpoint import Checkpoint, write_whole
from xcodec.conversion.maker import Maker, decoding
from xcodec.conversion.original import has_semantic_encoder
from xcodec.conversion.report import ConversionReport
from xcodec.conversion.source import read_source
from xcodec.conversion.vocos import with_vocos_decoder
from xcodec.errors import CheckpointError, InputError, about, some_of
from xcodec.models.checkpoint import CONFIG, for_another, public_name
from xcodec.models.registry import FAMILIES, layout_of
from xcodec.models.stored import Stored, unwrapped

__all__ = [
    "Checkpoint",
    "ConversionReport",
    "convert_checkpoint",
    "converted",
    "read_checkpoint",
]

SEMANTIC_LAYERS = 16  # of the released X-Codec2's semantic encoder, as many as the codec reads


def convert_checkpoint(
    source: str | Path, destination: str | Path, *, overwrite: bool = False, **options: Any
) -> ConversionReport:
    """Write a checkpoint as a folder in transformers' layout, which appears whole or not at all.

    Args:
        source: as for `read_checkpoint`.
        destination: the folder to write: config.json, preprocessor_config.json and model.safetensors.
        overwrite: replace a checkpoint folder that is there already.
        **options: as for `read_checkpoint`.

    Raises:
        CheckpointError: where the source is not found, not complete or of neither codec, or the destination exists.
        InputError: for an option that the source has no use for.
    """
    return write_whole(destination, overwrite, lambda: read_checkpoint(source, **options))


def read_checkpoint(
    source: str | Path,
    *,
    config: str | Path | None = None,
    semantic_encoder: str | Path | None = None,
    num_semantic_layers: int | None = None,
    num_attention_heads: int | None = None,
    model_type: str | None = None,
    decoder: str | Path | None = None,
    codes_per_second: float | None = None,
    decodes: str | Path | None = None,
    **hub_arguments: Any,
) -> Checkpoint:
    """Read a checkpoint of either codec in whatever layout. The names of its tensors tell which, not its config.json.

    Args:
        source: a folder or hub id, in the authors' layout or transformers'; or a file of the authors' names: a
            `.safetensors`, or what torch.save wrote, such as a Lightning `.ckpt` or a `.pth`. No pickle is executed.
        config: X-Codec's originals only: the YAML file that came with it; None takes the one YAML file beside it.
        semantic_encoder: folder or hub id of the semantic encoder in transformers' layout, for an original that was
            saved without `semantic_model.*`: facebook/w2v-bert-2.0 for X-Codec2 and NeuCodec, ntu-spml/distilhubert for
            DistillNeuCodec, bosonai/hubert_base for the Higgs tokenizer.
        num_semantic_layers: X-Codec2's originals only, as is the next: layers of the semantic encoder to keep; the
            codec reads the output of the last of them. None means 16.
        num_attention_heads: heads of the decoder; None means hidden size / 64.
        num_semantic_layers: layers of w2v-BERT 2.0 to keep; the codec reads the output of the last of them. None means
            16.
        model_type: "xcodec2" or "neucodec", for an original checkpoint in the names that both have: whose codes the
            decoder reads. None means that of the rate which it writes: 16 kHz is X-Codec2's, 24 kHz NeuCodec's; or that
            of `decodes`.
        decoder: X-Codec only: a Vocos decoder to put in place of its own, "vocal" or "instrumental" of those that came
            with YuE's, or the file of one.
        codes_per_second: X-Codec2's originals only, in Hz: at 25 each two of its 50 latents make a code, as those of
            malaysia-ai/xcodec2-25TPS-24k. None means 50, unless the decoder's rate leaves it in doubt, or that of
            `decodes`.
        decodes: the checkpoint of another model whose codes the decoder was trained for, in any layout, or a `.codes`
            file that it made. The result says so, and decodes them.
        **hub_arguments: revision, subfolder, cache_dir, token, local_files_only, ...

    Raises:
        CheckpointError: where it is not found, not complete, of neither codec, or a pickle that would run code.
        InputError: for an option that the source has no use for.
    """
    found = read_source(source, hub_arguments)
    maker = None if decodes is None else find_maker(decodes, hub_arguments)
    if model_type is None and maker is not None and maker.checkpoint is not None:
        told = maker.checkpoint.family.model_type
        model_type = told if told in xcodec2.MODEL_TYPES and is_original_xcodec2(found) else None
    if codes_per_second is None and maker is not None and maker.checkpoint is not None and is_original_xcodec2(found):
        codes_per_second = maker.checkpoint.config.frame_rate
    checkpoint = converted(
        found,
        config=config,
        semantic_encoder=semantic_encoder,
        num_semantic_layers=num_semantic_layers,
        num_attention_heads=num_attention_heads,
        model_type=model_type,
        decoder=decoder,
        codes_per_second=codes_per_second,
        hub_arguments=hub_arguments,
    )
    if maker is None:
        return checkpoint
    with about(found.name):
        return decoding(checkpoint, maker)


def find_maker(source: str | Path, hub_arguments: Mapping[str, Any]) -> Maker:
    """Find the model whose codes are decoded; its revision is not that of the decoder."""
    of_the_maker = for_another(hub_arguments)

    def read() -> Checkpoint:
        found = read_source(source, of_the_maker)
        return converted(found, fetch_semantic_encoder=True, hub_arguments=of_the_maker)

    return Maker.find(source, public_name(str(source)), read)


def is_original_xcodec2(found: Stored) -> bool:
    """Whether a checkpoint has the names that the originals of X-Codec2 and NeuCodec share."""
    layout = layout_of(found)
    return layout is not None and layout.is_original and layout.family.model_type in xcodec2.MODEL_TYPES


def converted(
    found: Stored,
    *,
    config: str | Path | None = None,
    semantic_encoder: str | Path | None = None,
    num_semantic_layers: int | None = None,
    num_attention_heads: int | None = None,
    model_type: str | None = None,
    decoder: str | Path | None = None,
    codes_per_second: float | None = None,
    fetch_semantic_encoder: bool = False,
    hub_arguments: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Convert what was read; arguments and errors are those of `read_checkpoint`.

    Args:
        found: as `xcodec.conversion.source.read_source` gives it.
        config: as for `read_checkpoint`, and so are the next five.
        semantic_encoder: likewise.
        num_semantic_layers: likewise.
        num_attention_heads: likewise.
        model_type: likewise.
        decoder: likewise.
        codes_per_second: likewise.
        fetch_semantic_encoder: where an original lacks its semantic encoder, take the one that its authors' code takes.
        hub_arguments: of the hub, for the semantic encoder; `revision` and `subfolder` are of the codec alone.
    """
    if decoder is not None:
        whole = converted(
            found,
            config=config,
            semantic_encoder=semantic_encoder,
            num_semantic_layers=num_semantic_layers,
            num_attention_heads=num_attention_heads,
            model_type=model_type,
            fetch_semantic_encoder=fetch_semantic_encoder,
            hub_arguments=hub_arguments,
        )
        return with_vocos_decoder(whole, decoder, found.path, public_name(found.name))
    source = found.name
    layout = layout_of(found)
    if layout is None:
        said = f"it is of model_type {found.config['model_type']!r}, " if "model_type" in found.config else ""
        names = ", ".join(family.name for family in FAMILIES.values())
        raise CheckpointError(
            f"is no checkpoint of {names}: {said}its tensors are {some_of(sorted(found.tensors), 3)}; "
            "expected CodecEnc.*, generator.* (original X-Codec2 and NeuCodec), codec_encoder.* (original "
            "DistillNeuCodec), decoder_2.*, quantizer.vq.* (original X-Codec and Higgs tokenizer), "
            "audex_speech_token_embedder.* (Nemotron Audex), or transformers' names",
            subject=source,
        )
    is_causal = layout.family is audex.FAMILY
    if layout.is_original and is_causal:
        for_others = {
            "config": config,
            "semantic_encoder": semantic_encoder,
            "num_semantic_layers": num_semantic_layers,
            "model_type": model_type,
            "codes_per_second": codes_per_second,
        }
        if unused := [name for name, value in for_others.items() if value is not None]:
            raise InputError("the speech decoder of Nemotron Audex has no use for it", argument=unused[0])
        return audex.convert_original(found, num_attention_heads)
    is_distilled = layout.family.model_type == distill_neucodec.MODEL_TYPE
    is_xcodec2 = is_distilled or layout.family.model_type in xcodec2.MODEL_TYPES
    for_xcodec2 = {
        "num_semantic_layers": num_semantic_layers,
        "num_attention_heads": num_attention_heads,
        "model_type": model_type,
        "codes_per_second": codes_per_second,
    }
    if is_distilled:
        del for_xcodec2["num_attention_heads"]  # of the decoder, which it has too
        if model_type == distill_neucodec.MODEL_TYPE:
            del for_xcodec2["model_type"]
    if (is_distilled or not is_xcodec2) and (
        unused := [name for name, value in for_xcodec2.items() if value is not None]
    ):
        raise InputError(
            f"only for X-Codec2, and this is an {layout.family.name} checkpoint", subject=source, argument=unused[0]
        )
    if config is not None and (layout.family is not FAMILIES["xcodec"] or not layout.is_original):
        raise InputError(
            "a YAML file is only for original X-Codec checkpoints, and this is none", subject=source, argument="config"
        )
    if not layout.is_original:
        if not found.config:
            raise CheckpointError(
                f"has transformers' names, whose sizes its {CONFIG} tells, and there is none",
                subject=source,
                remedy="give the folder that holds both",
            )
        if semantic_encoder is not None:
            raise InputError(
                "is for original checkpoints without one, and this one is complete",
                subject=source,
                argument="semantic_encoder",
            )
        if codes_per_second is not None:
            raise InputError(
                f"is for original checkpoints, and here {CONFIG} tells it",
                subject=source,
                argument="codes_per_second",
                value=codes_per_second,
            )
        if model_type not in (None, layout.family.model_type):
            raise InputError(
                f"the checkpoint is of {layout.family.model_type!r}, as its config.json says",
                subject=source,
                argument="model_type",
                value=model_type,
            )
        reader = xcodec2 if is_xcodec2 or is_causal else xcodec
        return reader.read_transformers_layout(found, layout.family)
    of_another = for_another(hub_arguments or {})
    if not is_xcodec2:
        return xcodec.convert_original(
            found, layout.family, config, semantic_encoder, fetch_semantic_encoder, of_another
        )
    if fetch_semantic_encoder and semantic_encoder is None and not has_semantic_encoder(found.tensors, unwrapped):
        semantic_encoder = distill_neucodec.SEMANTIC_ENCODER if is_distilled else xcodec2.SEMANTIC_ENCODER
    if is_distilled:
        return distill_neucodec.convert_original(found, semantic_encoder, num_attention_heads, of_another)
    num_layers = SEMANTIC_LAYERS if num_semantic_layers is None else num_semantic_layers
    if model_type is not None and model_type not in xcodec2.MODEL_TYPES:
        raise InputError(f"expected one of {', '.join(xcodec2.MODEL_TYPES)}", argument="model_type", value=model_type)
    return xcodec2.convert_original(
        found, semantic_encoder, num_layers, num_attention_heads, model_type, codes_per_second, of_another
    )
