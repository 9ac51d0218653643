"""What is counted, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["Metrics"]

SECONDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        here = self.registry
        ProcessCollector(registry=here)
        self.requests = Counter("xcodec_requests", "Requests, by path and status.", ["path", "status"], registry=here)
        self.request_seconds = Histogram(
            "xcodec_request_seconds",
            "From a request to the end of its answer.",
            ["path"],
            buckets=SECONDS,
            registry=here,
        )
        self.audio_seconds = Counter(
            "xcodec_audio_seconds", "Audio that was encoded or decoded, in seconds.", ["way"], registry=here
        )
        self.batch_streams = Histogram(
            "xcodec_batch_streams", "Streams that shared a step.", ["stream"], buckets=SIZES, registry=here
        )
        self.step_seconds = Histogram(
            "xcodec_step_seconds", "What a step took.", ["stream"], buckets=SECONDS, registry=here
        )
        self.first_audio = Histogram(
            "xcodec_first_audio_seconds",
            "From the opening of a stream to its first piece.",
            buckets=SECONDS,
            registry=here,
        )
        self.open_streams = Gauge("xcodec_open_streams", "Streams that are open.", registry=here)
        self.ready_streams = Gauge("xcodec_ready_streams", "Streams that waited for the last step.", registry=here)
        self.jobs = Gauge("xcodec_jobs", "Whole recordings at work or waiting.", registry=here)

    def step(self, stream: str, size: int, seconds: float) -> None:
        """Count a step of the scheduler."""
        self.batch_streams.labels(stream).observe(size)
        self.step_seconds.labels(stream).observe(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
