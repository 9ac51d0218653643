"""The unit of work: a shard is read, batched by length, encoded, and written; nothing in it is lost."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from xcodec.audio import Audio
from xcodec.batching import batches
from xcodec.codes import Codes
from xcodec.errors import InputError, XcodecError
from xcodec.tokenization.feed import Feed, Loaded
from xcodec.tokenization.headers import Failure, ShardHeader
from xcodec.tokenization.inputs import ENTRY
from xcodec.tokenization.job import Job
from xcodec.tokenization.model import probe
from xcodec.tokenization.outcomes import Excluded, Outcome
from xcodec.tokenization.pieces import Piece, piece_id
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.readers import ReaderPool, SlowRead, Sound
from xcodec.tokenization.sinks import write_shard

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["BatchReport", "ShardWorker"]

_NOT_PLANNED = dict.fromkeys(ENTRY.names)  # columns that plans of the first format had not
Results: TypeAlias = dict[int, list[Outcome]]
"""What became of each row of a shard, and of its pieces."""

_WINDOW_BATCHES = 4  # read ahead: enough to find clips of like length, so that little is padded


@dataclass(frozen=True)
class BatchReport:
    """What one batch took.

    Args:
        seconds: of audio.
        padded_seconds: of audio and padding, as the model saw it.
        model_seconds: that the model took.
        slowest: of all reads of the worker until then, those that took longest.
    """

    seconds: float
    padded_seconds: float
    model_seconds: float
    slowest: tuple[SlowRead, ...] = ()


@dataclass(frozen=True)
class OpenShard:
    """A shard that is being read, without its rows that name nothing to read: `faults`."""

    number: int
    table: pa.Table
    rows: Sequence[Mapping[str, Any]]
    feed: Feed
    faults: Mapping[int, Failure]


@dataclass(frozen=True)
class Clip:
    """A recording, or a piece of one, that is encoded by itself.

    Args:
        row: of the shard.
        id: of the clip.
        uri: of its file.
        audio: what is encoded.
        source_rate: of its file, in Hz.
        piece: of the recording.
        is_cut: whether there are more pieces of it.
    """

    row: int
    id: str
    uri: str
    audio: Audio
    source_rate: int
    piece: Piece
    is_cut: bool


class ShardWorker:
    """A codec with its reader processes, which does one shard after the other.

    Args:
        plan: what is tokenized.
        codec: the plan's.
        job: sizes of batches, readers, limits and the bandwidth; its folder is not read.
        on_batch: called after each batch.
    """

    def __init__(
        self,
        plan: Plan,
        codec: "Codec",
        job: Job,
        on_batch: Callable[[BatchReport], object],
    ) -> None:
        self.plan, self.codec, self.bandwidth = plan, codec, job.model.bandwidth
        self.batch_seconds, self.on_batch = job.batch_seconds, on_batch
        self.treatment = plan.fingerprint.treatment
        inspection = self.treatment.inspection(codec.sampling_rate, codec.format.hop_length)
        self.pool = ReaderPool(job.workers, codec.sampling_rate, job.limits, inspection)
        self._ahead: OpenShard | None = None

    def __enter__(self) -> "ShardWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()

    def tokenize(self, number: int, following: int | None = None) -> ShardHeader:
        """Do a shard.

        Args:
            number: of the shard.
            following: the shard that comes next, if that is known: it is read while the end of this one is encoded.

        Returns:
            What was written.

        Raises:
            Exception: where the model does not work any more; nothing is written then.
        """
        shard, self._ahead = self._ahead, None
        if shard is None or shard.number != number:
            self._drop(shard)
            shard = self._open(number)
        results: Results = {row: [Outcome(failure.id, failure)] for row, failure in shard.faults.items()}
        try:
            while len(results) < len(shard.rows):
                window = shard.feed.window()
                if following is not None and self._ahead is None and shard.feed.is_read:
                    self._ahead = self._open(following)
                self._encode_window(window, shard.rows, results)
        finally:
            self._drop(shard)
        return write_shard(
            self.plan.store,
            self.plan.output(number),
            number,
            self.plan.fingerprint,
            shard.table,
            self.plan.carried,
            results,
        )

    def attempt(self, number: int, is_over: Callable[[], bool]) -> None:
        """Read and encode recordings of a shard, and write nothing.

        Args:
            number: of the shard.
            is_over: asked before each window of recordings.

        Raises:
            Exception: as `tokenize`.
        """
        shard = self._open(number)
        results: Results = {row: [Outcome(failure.id, failure)] for row, failure in shard.faults.items()}
        try:
            while len(results) < len(shard.rows) and not is_over():
                self._encode_window(shard.feed.window(), shard.rows, results)
        finally:
            self._drop(shard)

    def _open(self, number: int) -> OpenShard:
        table = self.plan.shard(number)
        rows = table.select([name for name in ENTRY.names if name in table.schema.names]).to_pylist()
        rows = [_NOT_PLANNED | row for row in rows]
        faults = {
            i: Failure.of(row["id"], row["uri"], "plan", InputError(row["fault"]))
            for i, row in enumerate(rows)
            if row["fault"] is not None
        }
        wanted = [i for i in range(len(rows)) if i not in faults]
        feed = Feed(rows, wanted, self.pool, _WINDOW_BATCHES * self.batch_seconds)
        return OpenShard(number, table, rows, feed, faults)

    @staticmethod
    def _drop(shard: OpenShard | None) -> None:
        if shard is not None:
            shard.feed.stop()

    def _encode_window(self, window: Sequence[Loaded], rows: Sequence[Mapping[str, Any]], results: Results) -> None:
        """Encode what was read, and tell of all rows in it what became of them."""
        clips: list[Clip] = []
        for loaded in window:
            row = rows[loaded.row]
            if isinstance(loaded.sound, Sound):
                clips += self._clips(row, loaded.row, loaded.sound)
            else:
                results[loaded.row] = [Outcome(row["id"], Failure.of(row["id"], row["uri"], "read", loaded.sound))]
        clips.sort(key=lambda clip: (clip.row, clip.piece.start))
        found: dict[int, Codes | Failure | Excluded] = {}
        wanted: list[int] = []
        for i, clip in enumerate(clips):
            if (reason := self.treatment.unmet(clip.piece, self.codec.sampling_rate, clip.source_rate)) is None:
                wanted.append(i)
            else:
                found[i] = Excluded(reason, clip.audio.duration, clip.source_rate)
        frame = 1 / self.codec.frame_rate
        for batch in batches([clips[i].audio.duration + frame for i in wanted], self.batch_seconds):
            self._encode([wanted[i] for i in batch], clips, found)
        for i, clip in enumerate(clips):
            results.setdefault(clip.row, []).append(Outcome(clip.id, found[i], clip.piece, clip.is_cut))

    def _clips(self, row: Mapping[str, Any], number: int, sound: Sound) -> list[Clip]:
        """What of a recording is encoded by itself."""
        rate, count = self.codec.sampling_rate, len(sound.pieces)
        return [
            Clip(
                number,
                piece_id(row, piece, count, rate),
                row["uri"],
                sound.audio if count == 1 else Audio(sound.audio.samples[:, piece.start : piece.stop], rate),
                sound.source_rate,
                piece,
                count > 1,
            )
            for piece in sound.pieces
        ]

    def _encode(
        self, batch: Sequence[int], clips: Sequence[Clip], found: dict[int, Codes | Failure | Excluded]
    ) -> None:
        """Encode some clips as one batch; where that fails, in halves, to find out which of them is at fault."""
        audio = [clips[i].audio for i in batch]
        started = time.perf_counter()
        try:
            if len(batch) == 1:
                encoded = [self.codec.encode(audio[0], bandwidth=self.bandwidth)]
            else:
                encoded = self.codec.encode(audio, bandwidth=self.bandwidth, batch_seconds=self.batch_seconds)
        except Exception as error:
            reason = error if len(batch) == 1 else None
        else:
            padded = len(audio) * max(each.duration for each in audio)
            seconds = sum(each.duration for each in audio)
            self.on_batch(BatchReport(seconds, padded, time.perf_counter() - started, self.pool.slowest))
            for i, codes in zip(batch, encoded, strict=True):
                found[i] = replace(codes, source_sampling_rate=clips[i].source_rate)
            return
        if reason is None:  # out of the handler, whose traceback would keep the failed batch's memory
            half = len(batch) // 2
            self._encode(batch[:half], clips, found)
            self._encode(batch[half:], clips, found)
            return
        if not isinstance(reason, XcodecError):
            probe(self.codec, self.bandwidth)  # raises where it is not the recording, but the model or its device
        found[batch[0]] = Failure.of(clips[batch[0]].id, clips[batch[0]].uri, "encode", reason)
