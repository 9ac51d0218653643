"""How a run is doing, as Prometheus reads it: the text that node_exporter's textfile collector takes up."""

from collections.abc import Iterator, Mapping

from xcodec.tokenization.status import RunStatus

__all__ = ["metrics_text"]

_Sample = tuple[Mapping[str, str], float]


def metrics_text(status: RunStatus, output: str) -> str:
    """Describe a run in Prometheus' text format, each metric with the labels `output` and `run`.

    Args:
        status: of the run.
        output: its place.
    """
    labels = {"output": output, "run": status.place or "all"}
    lines = []
    for name, kind, told, samples in _metrics(status):
        lines += [f"# HELP xcodec_tokenize_{name} {told}", f"# TYPE xcodec_tokenize_{name} {kind}"]
        for further, value in samples:
            named = ",".join(f'{key}="{_escaped(text)}"' for key, text in {**labels, **further}.items())
            lines.append(f"xcodec_tokenize_{name}{{{named}}} {value!r}")
    return "\n".join(lines) + "\n"


def _metrics(status: RunStatus) -> Iterator[tuple[str, str, str, list[_Sample]]]:
    """Each metric: its name, its type, what it is, and its samples with the labels that only they have."""
    standing = status.standing
    states = {
        "done": standing.done, "excluded": standing.excluded, "failed": standing.failed, "left": standing.left
    }  # fmt: skip
    shards = {"done": standing.shards_done, "left": standing.shards - standing.shards_done}
    yield "running", "gauge", "1 while the run works.", [({}, int(status.state == "running"))]
    yield (
        "recordings", "gauge", "Recordings of the output's plan, by what became of them.",
        [({"state": state}, count) for state, count in states.items()],
    )  # fmt: skip
    yield (
        "shards", "gauge", "Shards of the output's plan.",
        [({"state": state}, count) for state, count in shards.items()],
    )  # fmt: skip
    yield (
        "failures", "gauge", "Recordings without codes, by the class of their failure.",
        [({"class": name}, count) for name, count in standing.failure_classes],
    )  # fmt: skip
    yield "audio_done_seconds", "gauge", "Audio in codes.", [({}, standing.seconds_done)]
    yield "audio_left_seconds", "gauge", "Audio that is expected in the rest.", [({}, standing.seconds_left)]
    yield "audio_seconds_total", "counter", "Audio that this run has encoded.", [({}, status.seconds)]
    yield "speed_ratio", "gauge", "Audio-seconds per second, over the run.", [({}, status.seconds_per_second)]
    yield (
        "worker_speed_ratio", "gauge", "Audio-seconds per second of each worker.",
        [({"worker": name}, speed) for name, speed in status.speeds.items()],
    )  # fmt: skip
    yield "model_ratio", "gauge", "Share of the time in which a model worked.", [({}, status.model_share)]
    yield "padding_ratio", "gauge", "Share of the models' input that was padding.", [({}, status.padding_share)]
    yield "restarts_total", "counter", "Workers that were started anew.", [({}, status.restarts)]
    yield "updated_timestamp_seconds", "gauge", "When this was written, since 1970.", [({}, status.updated)]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
