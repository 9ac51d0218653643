"""What a server has: a codec, the thread that steps its streams, and the one for whole recordings."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from xcodec.codec import Codec
from xcodec.serving.faults import Fault
from xcodec.serving.jobs import Jobs
from xcodec.serving.limits import Limits
from xcodec.serving.metrics import Metrics
from xcodec.serving.scheduler import OpenStream, Scheduler
from xcodec.serving.speaker import Speaker, Speeches
from xcodec.serving.voices import Voices
from xcodec.streaming import StreamDecoder, StreamEncoder

__all__ = ["CHUNKS", "CHUNKS_ONWARD", "CONTEXT", "LOOKAHEAD", "Service"]

CHUNKS = (5, 10, 20, 40)
"""Frames in the first pieces of a stream, and in all others: audio begins early, and later costs less."""

CHUNKS_ONWARD = (1, 2, 4, 8, 16)
"""The same of a model that looks ahead once, for which a short first piece costs no more than itself."""

LOOKAHEAD = 5
"""Frames that a decoded piece waits for."""

CONTEXT = 200
"""Frames of the past that attention sees, where a stream cannot be exact: more is hardly heard, and has to be kept."""

ENCODED_CHUNK = 25
"""Frames that are encoded at a time: each time the encoder is shown the past again."""


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

    @property
    def lookahead(self) -> int:
        """Frames that a decoded piece waits for, where a client says nothing else."""
        model = self.codec.model
        return model.lookahead if model.looks_ahead_once and model.lookahead is not None else LOOKAHEAD

    @property
    def context(self) -> int | None:
        """Frames of the past that attention sees."""
        return CONTEXT if self.codec.model.lookahead is None else None

    @property
    def chunks(self) -> tuple[int, ...]:
        """Frames in the pieces of a decoded stream, where a client says nothing else."""
        return CHUNKS_ONWARD if self.codec.model.looks_ahead_once else CHUNKS

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not self.scheduler.num_open and not self.jobs.num_admitted

    def open_decoder(self, lookahead: int | None = None, chunks: tuple[int, ...] | None = None) -> OpenStream:
        """Begin a stream of codes that become audio; its input is int64 (codebooks, frames).

        Args:
            lookahead: frames that a piece waits for; None is `lookahead` of this service.
            chunks: frames in the first pieces and in all others; None is `chunks` of this service.

        Raises:
            Fault: where there are too many, or the server is ending.
            InputError: for windows that are none.
        """
        lookahead = self.lookahead if lookahead is None else lookahead
        chunks = self.chunks if chunks is None else chunks
        self._check(lookahead, max(chunks, default=0))
        decoder = StreamDecoder(self.codec, self.context, lookahead, chunks)
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
