"""Back from an output to audio files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xcodec.audio import Audio
from xcodec.errors import InputError
from xcodec.tokenization.tokens import Row, Tokens, path_below

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["DecodedReport", "detokenize"]

_WINDOW_BATCHES = 4
_NAMED = 5  # ids that an error spells out


@dataclass
class DecodedReport:
    """What was written.

    Args:
        written: files.
        seconds: of audio in them.
        there: files that were there already and were left alone.
    """

    written: int = 0
    seconds: float = 0.0
    there: int = 0


def detokenize(
    tokens: Tokens,
    codec: "Codec",
    folder: Path,
    ids: Sequence[str] | None = None,
    suffix: str = ".wav",
    overwrite: bool = False,
    batch_seconds: float = 60.0,
    check_identity: bool = True,
    on_progress: Callable[[DecodedReport], object] = lambda _: None,
) -> DecodedReport:
    """Decode rows to audio files, each in the place below `folder` that its id says.

    Args:
        tokens: an output, which need not be finished.
        codec: that made it.
        folder: to write to.
        ids: of the rows that are wanted; None is all.
        suffix: of the files; an id that ends in it keeps its name, to any other it is added.
        overwrite: whether files that are there are written anew.
        batch_seconds: padded audio that the model takes at once.
        check_identity: whether to refuse codes of another model.
        on_progress: called after each window of batches.

    Raises:
        InputError: for ids that have no codes, or whose file another id has taken ("a" and "a.wav" are one file); it
            names them. All else is written.
        CodesError: where another model made the codes.
    """
    report = DecodedReport()
    missing = dict.fromkeys(ids or ())
    taken: set[int] = set()  # hashes of paths: a few tens of megabytes for a million
    twice: list[str] = []
    window: list[tuple[Path, Row]] = []

    def decode() -> None:
        codes = [tokens.codes(row) for _, row in window]
        decoded = codec.decode(codes, batch_seconds=batch_seconds, check_identity=check_identity)
        for (path, _), audio in zip(window, decoded, strict=True):
            write(path, audio, report)
        window.clear()
        on_progress(report)

    for row in tokens.rows(ids if ids is None else frozenset(ids)):
        missing.pop(row.id, None)
        path = path_below(folder, row.id.removesuffix(suffix), suffix)
        if hash(path) in taken:
            twice.append(row.id)
            continue
        taken.add(hash(path))
        if path.exists() and not overwrite:
            report.there += 1
            continue
        window.append((path, row))
        if sum(each.seconds for _, each in window) >= _WINDOW_BATCHES * batch_seconds:
            decode()
    if window:
        decode()
    if missing:
        raise InputError(f"{tokens.plan.folder}: has no codes of {len(missing)} of the ids: {_some(list(missing))}")
    if twice:
        raise InputError(
            f"{len(twice)} ids have the file name of another, and were left out: {_some(twice)}; give these alone, "
            "and another folder"
        )
    return report


def _some(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:_NAMED])) + (", ..." if len(ids) > _NAMED else "")


def write(path: Path, audio: Audio, report: DecodedReport) -> None:
    """Write one file, and the folders it belongs in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.save(path)
    report.written += 1
    report.seconds += audio.duration
