"""Checkpoints of any codec, in the authors' layout or in transformers', become the one layout that is used here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xcodec.conversion import audex, distill_neucodec, xcodec, xcodec2
from xcodec.conversion.checkpoint import Checkpoint, read_transformers_layout, write_whole
from xcodec.conversion.maker import Maker, decoding
from xcodec.conversion.report import ConversionReport
from xcodec.conversion.source import read_source
from xcodec.conversion.told import Told
from xcodec.conversion.vocos import with_vocos_decoder
from xcodec.errors import CheckpointError, about, some_of
from xcodec.models.checkpoint import CONFIG, for_another, public_name
from xcodec.models.family import Family
from xcodec.models.registry import FAMILIES, layout_of
from xcodec.models.stored import Stored

__all__ = [
    "Checkpoint",
    "ConversionReport",
    "Told",
    "convert_checkpoint",
    "converted",
    "read_checkpoint",
]


@dataclass(frozen=True)
class Reader:
    """How checkpoints of a codec are read.

    Attributes:
        convert_original: reads one in its authors' layout, if there is such.
        uses: what the caller can tell of such a one.
        read_transformers_layout: reads one that has our names.
    """

    convert_original: Callable[[Stored, Told], Checkpoint] | None = None
    uses: frozenset[str] = frozenset()
    read_transformers_layout: Callable[[Stored, Family], Checkpoint] = read_transformers_layout


OF_XCODEC2 = Reader(
    xcodec2.convert_original,
    frozenset({"semantic_encoder", "num_semantic_layers", "num_attention_heads", "model_type", "codes_per_second"}),
)
READERS = {
    "xcodec2": OF_XCODEC2,
    "neucodec": OF_XCODEC2,
    "distill_neucodec": Reader(
        distill_neucodec.convert_original, frozenset({"semantic_encoder", "num_attention_heads"})
    ),
    "causal_xcodec2": Reader(audex.convert_original, frozenset({"num_attention_heads"})),
    "xcodec": Reader(
        xcodec.convert_original, frozenset({"config", "semantic_encoder"}), xcodec.read_transformers_layout
    ),
    "higgs_audio_v2_tokenizer": Reader(
        xcodec.convert_original_higgs, frozenset({"semantic_encoder"}), xcodec.read_transformers_layout
    ),
    "xcodec_vocos": Reader(read_transformers_layout=xcodec.read_transformers_layout),
    "harmonic_xcodec": Reader(read_transformers_layout=xcodec.read_transformers_layout),
}
"""By the model_type of their families: of all that are read in more ways than one."""


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
        num_semantic_layers: of originals with w2v-BERT 2.0: how many of its layers to keep; the codec reads the output
            of the last of them. None means 16.
        num_attention_heads: of originals with a transformer for decoder: its heads; None means hidden size / 64.
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
    told = Told(
        config=config,
        semantic_encoder=semantic_encoder,
        num_semantic_layers=num_semantic_layers,
        num_attention_heads=num_attention_heads,
        model_type=model_type,
        codes_per_second=codes_per_second,
        hub_arguments=for_another(hub_arguments),
    )
    if decodes is None:
        return converted(found, told, decoder)
    maker = find_maker(decodes, told.hub_arguments)
    if maker.checkpoint is not None and is_original_xcodec2(found):
        told = told_by(maker.checkpoint, told)
    checkpoint = converted(found, told, decoder)
    with about(found.name):
        return decoding(checkpoint, maker)


def find_maker(source: str | Path, hub_arguments: Mapping[str, Any]) -> Maker:
    """Find the model whose codes are decoded."""

    def read() -> Checkpoint:
        found = read_source(source, hub_arguments)
        return converted(found, Told(fetch_semantic_encoder=True, hub_arguments=hub_arguments))

    return Maker.find(source, public_name(str(source)), read)


def told_by(maker: Checkpoint, told: Told) -> Told:
    """Add what the model whose codes are decoded tells of the decoder."""
    own = maker.family.model_type
    return replace(
        told,
        model_type=told.model_type or (own if own in xcodec2.MODEL_TYPES else None),
        codes_per_second=told.codes_per_second or maker.config.frame_rate,
    )


def is_original_xcodec2(found: Stored) -> bool:
    """Whether a checkpoint has the names that the originals of X-Codec2 and NeuCodec share."""
    layout = layout_of(found)
    return layout is not None and layout.is_original and layout.family.model_type in xcodec2.MODEL_TYPES


def converted(found: Stored, told: Told, decoder: str | Path | None = None) -> Checkpoint:
    """Convert what was read; errors are those of `read_checkpoint`.

    Args:
        found: as `xcodec.conversion.source.read_source` gives it.
        told: what it does not tell itself.
        decoder: as for `read_checkpoint`.
    """
    layout = layout_of(found)
    if layout is None:
        said = f"it is of model_type {found.config['model_type']!r}, " if "model_type" in found.config else ""
        names = ", ".join(family.name for family in FAMILIES.values())
        raise CheckpointError(
            f"is no checkpoint of {names}: {said}its tensors are {some_of(sorted(found.tensors), 3)}; "
            "expected CodecEnc.*, generator.* (original X-Codec2 and NeuCodec), codec_encoder.* (original "
            "DistillNeuCodec), decoder_2.*, quantizer.vq.* (original X-Codec and Higgs tokenizer), "
            "audex_speech_token_embedder.* (Nemotron Audex), or transformers' names",
            subject=found.name,
        )
    family = layout.family
    reader = READERS.get(family.model_type, Reader())
    if layout.is_original:
        assert reader.convert_original is not None, "it has names of its authors"
        told.check(reader.uses, found, family, f"of no use for an original checkpoint of {family.name}")
        checkpoint = reader.convert_original(found, told)
    else:
        if not found.config:
            raise CheckpointError(
                f"has transformers' names, whose sizes its {CONFIG} tells, and there is none",
                subject=found.name,
                remedy="give the folder that holds both",
            )
        told.check((), found, family, f"is for original checkpoints, and this one is complete, with its {CONFIG}")
        checkpoint = reader.read_transformers_layout(found, family)
    if decoder is None:
        return checkpoint
    return with_vocos_decoder(checkpoint, decoder, found.path, public_name(found.name))
