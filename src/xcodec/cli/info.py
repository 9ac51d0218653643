"""`xcodec info`: what a model, a file of codes or a recording is."""

import glob
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from xcodec.built_in import BUILT_IN
from xcodec.cli.console import show_error, spoken_bytes, spoken_seconds
from xcodec.cli.failures import FAILED, Failure
from xcodec.cli.options import Precision, load_codec
from xcodec.cli.paths import CODES_SUFFIX, find_files, home
from xcodec.cli.places import STANDARD, Source, fetched, is_remote
from xcodec.cli.table import table
from xcodec.cli.values import not_empty
from xcodec.errors import CheckpointError, CodesError

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Tell what a model, a file of codes or a recording is.

[bold]What is told[/bold]

  a model        size, parameters of each part, rates, codebooks, licence,
                 identity, and whose codes it decodes, if another's; its weights are read and checked completely
  codes          shape, duration, bitrate, rates, and which model made them
  a recording    rate, channels, duration and format, as its header has them;
                 where it has no length, the recording is decoded and counted

A folder with config.json is a model, and so is one with a checkpoint in its
authors' layout, or its file; of any other, the recordings and files of codes in
it and below are told. Patterns may be left to xcodec in quotes.

[bold]Examples[/bold]

  xcodec info mini
  xcodec info my-model/ HKUSTAudio/xcodec2-hf
  xcodec info speech.mp3 codes/*.codes
  xcodec info codes/ --json | jq .duration"""

EPILOG = "[bold]Exit codes[/bold]  0: all were read. 1: some were not. 2: wrong usage. 130: interrupted."

CONFIG = "config.json"
CHECKPOINT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

BOSON = "Boson Higgs Audio 2 Community License"
LICENCES = {
    "HKUSTAudio/xcodec2": "CC-BY-NC-4.0",
    "HKUSTAudio/xcodec2-hf": "CC-BY-NC-4.0",
    "NandemoGHS/Anime-XCodec2-44.1kHz": "CC-BY-NC-4.0",
    "NandemoGHS/Anime-XCodec2-44.1kHz-v2": "CC-BY-NC-4.0",
    "hf-audio/xcodec-wavlm-more-data": "CC-BY-4.0",
    "neuphonic/neucodec": "Apache-2.0",
    "neuphonic/distill-neucodec": "Apache-2.0",
    "BobJames/open-higgs-tokenizer": "Apache-2.0",
    "bosonai/higgs-audio-v2-tokenizer": BOSON,
    "eustlb/higgs-audio-v2-tokenizer": BOSON,
    "k2-fsa/OmniVoice/audio_tokenizer": BOSON,
}
# What licences say of commercial use, by the beginning of their names in lower case; the longer first.
COMMERCIAL_USE = {
    "cc-by-nc": "no commercial use",
    "cc-by": "commercial use with attribution",
    "cc0": "commercial use",
    "apache-2.0": "commercial use",
    "mit": "commercial use",
    "boson": "commercial use up to 100,000 annual users",
}


@dataclass(frozen=True)
class Fact:
    """One thing to tell: its key and value for machines, its label and text for people. Either may be left out."""

    key: str
    value: Any
    label: str = ""
    text: str = ""


def command(
    subjects: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH_OR_ID",
            help="Files, folders, glob patterns, URLs, hub ids, mini, mini-general; or -, standard input.",
            show_default=False,
            callback=not_empty,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, in the order of the input.")] = False,
) -> None:
    """Tell what a model, a file of codes or a recording is."""
    failures: list[Failure] = []
    for subject in (each for named in subjects for each in expand(named, failures)):
        try:
            facts = facts_of(subject)
        except Exception as error:
            failures.append(Failure.of(subject, error))
            continue
        if as_json:
            typer.echo(json.dumps({"subject": str(subject)} | {fact.key: fact.value for fact in facts if fact.key}))
        else:
            typer.echo(f"{subject}\n{table((fact.label, fact.text) for fact in facts if fact.label)}")
    for failure in failures:
        show_error(str(failure))
    if failures:
        raise typer.Exit(FAILED)


def expand(subject: str, failures: list[Failure]) -> "Iterator[str | Source]":
    """What someone names by a pattern or a folder, which is itself where it is a model; adds what is there in vain.

    Yields:
        What was named here as it is called, and what is elsewhere as a source to fetch.
    """
    path = home(subject)
    if subject in BUILT_IN or (subject != STANDARD and os.path.isfile(path)):  # noqa: PTH113  (a name that is too long is a no)
        yield subject
        return
    from xcodec.audio import MEDIA_SUFFIXES

    if subject == STANDARD or is_remote(subject):
        found, vain = find_files([subject], (*MEDIA_SUFFIXES, CODES_SUFFIX))
        failures += vain
        yield from (item.source for item in found)
    elif os.path.isdir(path):  # noqa: PTH112  (a name that is too long is a no)
        if (path / CONFIG).is_file():
            yield subject
            return
        found, unreadable = find_files([subject], (*MEDIA_SUFFIXES, CODES_SUFFIX))
        yield from (str(item.source) for item in found)
        if found or len(unreadable) > 1:  # the last says that nothing was found
            failures += unreadable if found else unreadable[:-1]
        elif any(file.suffix in CHECKPOINT_SUFFIXES for depth in ("*", "*/*") for file in path.glob(depth)):
            yield subject  # a checkpoint in its authors' layout
        else:
            failures.append(Failure(subject, f"holds neither {CONFIG}, nor recordings or {CODES_SUFFIX} files"))
    elif glob.has_magic(subject) and not os.path.lexists(path):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  (Path.glob takes no absolute patterns)
        if not matches:
            failures.append(Failure(subject, "no file matches this pattern"))
        for match in matches:
            yield from expand(match, failures)
    else:
        yield subject


def facts_of(subject: "str | Source") -> list[Fact]:
    """What there is to tell about a path or a hub id, or about what is fetched."""
    if isinstance(subject, str):
        return list(kind_of(subject)(subject))
    with fetched(subject) as path:
        return list(kind_of(str(path))(str(path)))


def kind_of(subject: str) -> Callable[[str], Iterator[Fact]]:
    """Which of the three kinds something is.

    Raises:
        CheckpointError: where it is the file of a checkpoint that is a folder.
    """
    path = home(subject)
    if path.is_file():
        if path.suffix in CHECKPOINT_SUFFIXES and not holds_codes(path):
            if (path.parent / CONFIG).is_file():
                raise CheckpointError(
                    f"is a file of a checkpoint; give its folder: xcodec info {path.parent}", subject=subject
                )
            return model_facts  # in its authors' layout
        with path.open("rb") as file:
            head = file.read(9)
        # safetensors: eight bytes of length, then a JSON object
        return codes_facts if path.suffix == CODES_SUFFIX or head[8:] == b"{" else audio_facts
    if path.suffix == CODES_SUFFIX:
        return codes_facts
    from xcodec.audio import MEDIA_SUFFIXES

    return audio_facts if path.suffix.lower() in MEDIA_SUFFIXES else model_facts


def holds_codes(path: Path) -> bool:
    """Whether a file is one of codes."""
    from xcodec.codes import Codes

    try:
        Codes.load(path)
    except CodesError:
        return False
    return True


def audio_facts(subject: str) -> Iterator[Fact]:
    """Of a recording."""
    from xcodec.audio import AudioFile

    path = home(subject)
    with AudioFile(path) as file:
        info, num_samples = file.info, file.count_samples()
    duration = num_samples / info.sampling_rate
    yield Fact("kind", "audio", "kind", "recording")
    yield Fact("format", info.format, "format", f"{info.format}, {info.subtype}")
    yield Fact("subtype", info.subtype)
    yield Fact("sampling_rate", info.sampling_rate, "rate", f"{info.sampling_rate:,} Hz")
    yield Fact("num_channels", info.num_channels, "channels", str(info.num_channels))
    yield Fact("duration", duration, "duration", f"{spoken_seconds(duration)} ({num_samples:,} samples)")
    yield Fact("num_samples", num_samples)
    yield size_fact(path.stat().st_size)


def codes_facts(subject: str) -> Iterator[Fact]:
    """Of a file of codes."""
    from xcodec.codes import Codes

    path = home(subject)
    codes = Codes.load(path)
    yield Fact("kind", "codes", "kind", "codes")
    yield Fact("shape", list(codes.ids.shape), "shape", "{} x {:,} (codebooks x frames)".format(*codes.ids.shape))
    yield Fact("duration", codes.duration, "duration", spoken_seconds(codes.duration))
    yield Fact("num_samples", codes.num_samples, "samples", f"{codes.num_samples:,}")
    segments = f"{len(codes.segment_starts)}, encoded one by one" if len(codes.segment_starts) > 1 else "1, the whole"
    yield Fact("segment_starts", list(codes.segment_starts), "segments", segments)
    yield from stream_facts(codes.frame_rate, codes.codebook_sizes)
    rate, source = codes.sampling_rate, codes.source_sampling_rate
    yield Fact("sampling_rate", rate, "rate", f"{rate:,} Hz, from a recording at {source:,} Hz")
    yield Fact("source_sampling_rate", source)
    yield size_fact(path.stat().st_size)
    if codes.codec is None:
        yield Fact("model", None, "model", "not known")
    else:
        yield Fact("model", codes.codec.name, "model", codes.codec.name)
        yield from identity_facts(codes.codec.config_hash, codes.codec.weights_hash)


def model_facts(subject: str) -> Iterator[Fact]:
    """Of a checkpoint, which is loaded, and so checked completely."""
    from xcodec import kernels

    codec = load_codec(subject, "cpu", Precision.FLOAT32, pack=False)
    folder = Path(str(codec.model.name_or_path))
    parts = {name: sum(x.numel() for x in part.parameters()) for name, part in codec.model.named_children()}
    total = sum(parameter.numel() for parameter in codec.model.parameters())
    yield Fact("kind", "model", "kind", f"model, {codec.model.config.model_type}")
    yield Fact("model_type", codec.model.config.model_type)
    yield Fact("folder", str(folder), "folder", str(folder))
    files = [folder] if folder.is_file() else [path for path in folder.iterdir() if path.is_file()]
    yield size_fact(sum(path.stat().st_size for path in files))
    yield Fact("num_parameters", total, "parameters", f"{total:,}")
    listed = {name: count for name, count in parts.items() if count}
    yield Fact("parameters", listed)
    for name, count in listed.items():
        yield Fact("", None, f"  {name}", f"{count:,}")
    written = codec.output_sampling_rate
    spoken = f"{codec.sampling_rate:,} Hz, mono" + (
        f"; writes {written:,} Hz" if written != codec.sampling_rate else ""
    )
    yield Fact("sampling_rate", codec.sampling_rate, "rate", spoken)
    yield Fact("output_sampling_rate", written)
    yield from stream_facts(codec.frame_rate, codec.codebook_sizes)
    offers = ", ".join(f"{bandwidth:g}" for bandwidth in codec.bandwidths)
    yield Fact("bandwidths", list(codec.bandwidths), "bandwidths", f"{offers} kbit/s")
    yield Fact("has_encoder", codec.model.has_encoder, "" if codec.model.has_encoder else "encoder", "none: it decodes")
    ahead = codec.model.lookahead
    yield Fact("lookahead", ahead, "looks ahead", "as far as codes come" if ahead is None else f"{ahead} codes")
    licence = licence_of(subject, folder)
    yield Fact("licence", licence, "licence", "not known" if licence is None else licence + commercial_use(licence))
    stale = "; what is compiled is of another version, install xcodec again" if kernels.is_stale() else ""
    yield Fact("kernel", kernels.variant(), "kernel", kernels.variant() + stale)
    yield from identity_facts(codec.identity.config_hash, codec.identity.weights_hash)
    decoded = codec.model.decodes
    yield Fact(
        "decodes",
        None if decoded is None else vars(decoded),
        "" if decoded is None else "decodes",
        f"the codes of {decoded}",
    )


def stream_facts(frame_rate: float, codebook_sizes: tuple[int, ...]) -> Iterator[Fact]:
    """Of codes over time."""
    from xcodec.codes import bitrate

    rate = bitrate(frame_rate, codebook_sizes)
    yield Fact("frame_rate", frame_rate, "frames", f"{frame_rate:g} per second")
    sizes = ", ".join(f"{size:,}" for size in codebook_sizes) + " codes"
    if len(codebook_sizes) > 1 and len(set(codebook_sizes)) == 1:
        sizes = f"{codebook_sizes[0]:,} codes each"
    yield Fact("codebook_sizes", list(codebook_sizes), "codebooks", f"{len(codebook_sizes)}, of {sizes}")
    yield Fact("bitrate", rate, "bitrate", f"{rate / 1000:g} kbit/s")


def identity_facts(config_hash: str, weights_hash: str) -> Iterator[Fact]:
    """Of which model it is: equal hashes are equal models."""
    yield Fact("config_hash", config_hash, "identity", f"config  {config_hash[:16]}\nweights {weights_hash[:16]}")
    yield Fact("weights_hash", weights_hash)


def size_fact(num_bytes: int) -> Fact:
    """Of the room on disk."""
    return Fact("num_bytes", num_bytes, "on disk", spoken_bytes(num_bytes))


def commercial_use(licence: str) -> str:
    """What a licence says of commercial use, as an addition to its name; nothing where that is not known here."""
    said = [use for name, use in COMMERCIAL_USE.items() if licence.lower().startswith(name)]
    return f": {said[0]}" if said else ""


def licence_of(subject: str, folder: Path) -> str | None:
    """What the model card in the folder says, or what is known of a model of the hub."""
    card = folder / "README.md"
    if card.is_file():
        head, _, _ = card.read_text(encoding="utf-8", errors="replace").removeprefix("---").partition("\n---")
        for line in head.splitlines():
            if line.startswith("license:"):
                return line.removeprefix("license:").strip()
    return LICENCES.get(subject)
