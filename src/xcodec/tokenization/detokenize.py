"""Back from an output to audio files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xcodec.audio import Audio
from xcodec.errors import InputError, XcodecError
from xcodec.tokenization.headers import Failure
from xcodec.tokenization.tokens import Places, Row, Tokens

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["DecodedReport", "detokenize"]

_WINDOW_BATCHES = 4
_PROBE_FRAMES = 10


@dataclass
class DecodedReport:
    """What was written.

    Args:
        written: files.
        seconds: of audio in them.
        there: files that were there already and were left alone.
        failures: ids that have no file now, and files of codes that could not be read, with the reasons.
    """

    written: int = 0
    seconds: float = 0.0
    there: int = 0
    failures: list[Failure] = field(default_factory=list)


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

    A row that cannot be decoded or written is a failure of the report, and all else is done.

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
        CodesError: where another model made the codes.
    """
    decoder = Decoder(tokens, codec, batch_seconds, check_identity)
    decoder.probe()
    report = DecodedReport()
    places = Places(folder, suffix, kept=True)
    missing = dict.fromkeys(ids or ())
    window: list[tuple[Path, Row]] = []

    def decode() -> None:
        for (path, row), audio in zip(window, decoder.decode([row for _, row in window]), strict=True):
            try:
                write(path, audio, report)
            except (XcodecError, OSError) as error:
                report.failures.append(Failure.of(row.id, str(path), "write", error))
        window.clear()
        on_progress(report)

    for row in tokens.rows(ids if ids is None else frozenset(ids), report.failures):
        missing.pop(row.id, None)
        try:
            path = places.of(row.id)
            is_there = path.exists()
        except (InputError, OSError) as error:
            report.failures.append(Failure.of(row.id, str(folder), "write", error))
            continue
        if is_there and not overwrite:
            report.there += 1
            continue
        window.append((path, row))
        if sum(each.seconds for _, each in window) >= _WINDOW_BATCHES * batch_seconds:
            decode()
    if window:
        decode()
    report.failures += [Failure(name, str(tokens.plan.store), "read", "has no codes here") for name in missing]
    return report


@dataclass(frozen=True)
class Decoder:
    """Decodes rows in batches, and finds out which of them is at fault where that fails."""

    tokens: Tokens
    codec: "Codec"
    batch_seconds: float
    check_identity: bool

    def probe(self) -> None:
        """Decode a few codes, which a working model can do.

        Raises:
            CodesError: where another model made the codes.
        """
        ids = np.zeros((len(self.tokens.codec["codebook_sizes"]), _PROBE_FRAMES), np.uint16)
        rate = self.tokens.codec["sampling_rate"]
        row = Row("", ids, _PROBE_FRAMES / self.tokens.codec["frame_rate"], rate, {})
        self.codec.decode(self.tokens.codes(row), check_identity=self.check_identity)

    def decode(self, rows: Sequence[Row]) -> list[Audio | Exception]:
        """The audio of each row, or why there is none.

        Raises:
            Exception: where the model does not work any more.
        """
        try:
            codes = [self.tokens.codes(row) for row in rows]
            return list(self.codec.decode(codes, batch_seconds=self.batch_seconds, check_identity=self.check_identity))
        except Exception as error:
            reason = error
        if len(rows) == 1:
            if not isinstance(reason, XcodecError):
                self.probe()
            return [reason]
        half = len(rows) // 2  # out of the handler, whose traceback would keep the failed batch's memory
        return self.decode(rows[:half]) + self.decode(rows[half:])


def write(path: Path, audio: Audio | Exception, report: DecodedReport) -> None:
    """Write one file, and the folders it belongs in."""
    if isinstance(audio, Exception):
        raise InputError(f"cannot be decoded: {audio}")
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.save(path)
    report.written += 1
    report.seconds += audio.duration
