"""An evaluation as one HTML file that needs nothing beside it: figures, players, spectrograms and code streams."""

import base64
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from xcodec.audio import Audio
from xcodec.errors import MissingExtraError
from xcodec.evaluation.comparison import best_of, compare_all, of_the_leader
from xcodec.evaluation.evaluation import Evaluation, Example
from xcodec.evaluation.figures import NONE, comparison_text, cost_texts, heading, interval_text, mean_text, support_text
from xcodec.evaluation.pictures import (
    DIFFERENCE_COLOURS,
    LEVEL_COLOURS,
    codes_picture,
    difference_picture,
    spectrogram_picture,
)
from xcodec.evaluation.record import record
from xcodec.evaluation.systems.system import Reconstruction, Reference

__all__ = ["page"]

SHOWN_SCORES = 3  # of each clip beside its player; all are in the tables


@dataclass(frozen=True)
class Card:
    """What the page shows of one system's reconstruction of a clip; pictures and audio are data URLs.

    Args:
        name: the system's.
        scores: the first few, as text.
        spectrogram: a PNG.
        difference: a PNG of where it has more or less than the recording; empty for the recording.
        codes: a PNG; empty for what has no codes.
        audio: FLAC, which every browser plays.
    """

    name: str
    scores: str
    spectrogram: str
    difference: str
    codes: str
    audio: str


def page(evaluation: Evaluation) -> str:
    """Render the page, as text of HTML, by the template page.html.

    Raises:
        MissingExtraError: without Jinja2 or Pillow.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtraError("pip install 'xcodec[eval]' (jinja2, which fills the page)") from error
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string(own_file("page.html"))
    clips = evaluation.clips
    facts, comparisons = record(evaluation), compare_all(evaluation)
    return template.render(
        evaluation=evaluation,
        title=", ".join(system.name for system in evaluation.systems if system.name != Reference.name),
        subtitle=f"{len(clips)} clip{'s' * (len(clips) != 1)}, {sum(clips.values()):.1f} s of recordings · "
        f"{facts['created'].replace('T', ' ').removesuffix('+00:00')} UTC · {facts['machine']}",
        num_clips=len(clips),
        best={scale.key: best_of(evaluation, comparisons, scale) for scale in evaluation.scales},
        compared=[
            (scale, compared)
            for scale in evaluation.scales
            if (compared := of_the_leader(evaluation, comparisons, scale))
        ],
        codebooks=[
            (f"{system.name}, codebook {i}" if len(system.codebooks) > 1 else system.name, use)
            for system in evaluation.systems
            for i, use in enumerate(system.codebooks, 1)
        ],
        examples=[(example, list(_cards(example, evaluation))) for example in evaluation.examples],
        shows_codes=any(result.codes for each in evaluation.examples for result in each.reconstructions.values()),
        tables=[
            (system, [scale for scale in evaluation.scales if any(scale.key in row.scores for row in system.rows)])
            for system in evaluation.systems
        ],
        missing=[(each.what, each.how_to_get) for each in evaluation.missing],
        method=[
            *((system.name, system.about) for system in evaluation.systems),
            *((scale.label, scale.about) for scale in evaluation.scales),
            ("intervals", facts["intervals"]),
            ("comparisons", facts["comparison_method"]),
            ("versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
        ],
        script=Markup("".join(own_file(name) for name in ("player.js", "page.js", "listening.js"))),
        difference_colours=DIFFERENCE_COLOURS,
        heard=["recording", *(system.name for system in evaluation.systems if system.name != Reference.name)],
        none_text=NONE,
        costs={system.name: cost_texts(system) for system in evaluation.systems},
        colour=_colour,
        comparison_text=comparison_text,
        heading=heading,
        interval_text=interval_text,
        mean_text=mean_text,
        support_text=support_text,
    )


def own_file(name: str) -> str:
    """Read a file that lies beside this one."""
    return files("xcodec.evaluation").joinpath(name).read_text(encoding="utf-8")


def _colour(level: int, levels: int) -> str:
    """Return the colour of one of so many levels."""
    return LEVEL_COLOURS[round(level * (len(LEVEL_COLOURS) - 1) / max(levels - 1, 1))]


def _cards(example: Example, evaluation: Evaluation) -> Iterator[Card]:
    """Show the recording of a clip, then what each system gave back of it."""
    yield _card("recording", "", Reconstruction(example.recording), example.recording)
    for name, reconstruction in example.reconstructions.items():
        if name != Reference.name:
            scores = _scores(example.clip.name, name, evaluation)
            yield _card(name, scores, reconstruction, example.recording, evaluation.levels.get(name, ()))


def _scores(clip: str, system_name: str, evaluation: Evaluation) -> str:
    """Return the first few scores of a clip that a system gave back."""
    system = next(system for system in evaluation.systems if system.name == system_name)
    row = next(row for row in system.rows if row.name == clip)
    shown = [
        f"{scale.label} {score.value:.{scale.digits}f}"
        for scale in evaluation.scales
        if (score := row.scores.get(scale.key)) is not None
    ]
    return " · ".join(shown[:SHOWN_SCORES])


def _card(name: str, scores: str, result: Reconstruction, recording: Audio, levels: tuple[int, ...] = ()) -> Card:
    is_recording = result.audio is recording
    return Card(
        name=name,
        scores=scores,
        difference="" if is_recording else _data_url("image/png", difference_picture(result.audio, recording)),
        spectrogram=_data_url("image/png", spectrogram_picture(result.audio, recording)),
        codes="" if result.codes is None else _data_url("image/png", codes_picture(result.codes, levels)),
        audio=_data_url("audio/flac", _flac(result.audio)),
    )


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _flac(audio: Audio) -> bytes:
    """Write the mono audio as a FLAC file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio.flac"
        audio.mono().save(path)
        return path.read_bytes()
