"""What a server has: a codec, the thread that steps its streams, and the one for whole recordings."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from xcodec.codec import Codec
from xcodec.models.codec_model import CodecModel
from xcodec.serving.faults import Fault
from xcodec.serving.jobs import Jobs
from xcodec.serving.limits import Limits
from xcodec.serving.metrics import Metrics
from xcodec.serving.scheduler import OpenStream, Scheduler
from xcodec.serving.speaker import Speaker, Speeches
from xcodec.serving.voices import Voices
from xcodec.streaming import StreamDecoder, StreamEncoder

__all__ = ["CHUNKS", "CHUNKS_ONWARD", "CONTEXT", "LOOKAHEAD", "Service", "Windows", "windows_of"]

CHUNKS = (5, 10, 20, 40)
"""Frames in the first pieces of a stream, and in all others: audio begins early, and later costs less."""

CHUNKS_ONWARD = (1, 2, 4, 8, 16)
"""The same of a model that looks no further ahead than a piece may wait: its audio begins at once, and is exact."""

LOOKAHEAD = 5
"""Frames that a decoded piece waits for, where its audio depends on more."""

CONTEXT = 200
"""Frames of the past that attention sees, where a stream cannot be exact: more is hardly heard, and has to be kept."""

ENCODED_CHUNK = 25
"""Frames that are encoded at a time: each time the encoder is shown the past again."""


class Windows(NamedTuple):
    """How a stream of codes is cut.

    Attributes:
        context: frames of the past that attention sees; None is all of them.
        lookahead: frames that a piece waits for.
        chunks: frames in the first pieces, and in all others.
    """

    context: int | None
    lookahead: int
    chunks: tuple[int, ...]


def windows_of(model: CodecModel) -> Windows:
    """Say how streams of a model are cut: exactly, where a piece may wait for all that it depends on."""
    lookahead = model.lookahead
    if lookahead is None:
        return Windows(CONTEXT, LOOKAHEAD, CHUNKS)
    if model.looks_ahead_once or lookahead <= LOOKAHEAD:
        return Windows(None, lookahead, CHUNKS_ONWARD)
    return Windows(None, LOOKAHEAD, CHUNKS)


@dataclass
class Service:
    """A codec that is served.

    Args:
        codec: the model.
        limits: what may be asked for.
        speaker: a language model that speaks the codec's codes; None where nothing can be said.
        voices_folder: where its voices are.
    """

    codec: Codec
    limits: Limits = field(default_factory=Limits)
    speaker: Speaker | None = None
    voices_folder: Path | None = None
    metrics: Metrics = field(default_factory=Metrics)
    is_draining: bool = False

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.limits, self.metrics, self.codec.frame_rate)
        self.jobs = Jobs(self.limits, self.metrics)
        self.voices = Voices(self.voices_folder, self.codec)
        self.speeches = Speeches(self.limits)

    @cached_property
    def most_pending(self) -> int:
        """Frames of a stream's input that may wait."""
        return int(self.limits.pending_seconds * self.codec.frame_rate)

    @cached_property
    def windows(self) -> Windows:
        """Of a decoded stream, where a client says nothing else."""
        return windows_of(self.codec.model)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not self.scheduler.num_open and not self.jobs.num_admitted

    def open_decoder(self, lookahead: int | None = None, chunks: tuple[int, ...] | None = None) -> OpenStream:
        """Begin a stream of codes that become audio; its input is int64 (codebooks, frames).

        Args:
            lookahead: frames that a piece waits for; None is that of `windows`.
            chunks: frames in the first pieces and in all others; None are those of `windows`.

        Raises:
            Fault: where there are too many, or the server is ending.
            InputError: for windows that are none.
        """
        windows = self.windows
        lookahead = windows.lookahead if lookahead is None else lookahead
        chunks = windows.chunks if chunks is None else chunks
        self._check(lookahead, max(chunks, default=0))
        decoder = StreamDecoder(self.codec, windows.context, lookahead, chunks)
        return self.scheduler.open(decoder, self.codec.frame_rate)

    def open_encoder(
        self, lookahead: int = LOOKAHEAD, chunk: int = ENCODED_CHUNK, bandwidth: float | None = None
    ) -> OpenStream:
        """Begin a stream of audio that becomes codes; its input is float32 (samples,) at the codec's rate.

        Raises:
            Fault: as `open_decoder`.
            InputError: as `open_decoder`, and for a bandwidth that the codec does not have.
        """
        self._check(lookahead, chunk)
        self.codec.check_bandwidth(bandwidth)
        encoder = StreamEncoder(self.codec, lookahead=lookahead, chunk=chunk, bandwidth=bandwidth)
        return self.scheduler.open(encoder, self.codec.sampling_rate)

    def check_open(self) -> None:
        """Refuse new work while the server is ending.

        Raises:
            Fault: where it is.
        """
        if self.is_draining:
            raise Fault(503, "the server is shutting down; ask another one", "shutting_down", retry_after=5)

    def stop(self) -> None:
        """End both threads."""
        self.scheduler.stop()
        self.jobs.stop()
        self.speeches.stop()

    def _check(self, lookahead: int, chunk: int) -> None:
        self.check_open()
        if lookahead + chunk > self.most_pending:
            raise Fault(
                400,
                f"a window of {lookahead + chunk} frames: of a stream at most {self.most_pending} are kept",
                "invalid_value",
                param="chunk",
            )
