"""What HTML reports share: the style, cards with a spectrogram and a player, and the scripts that make them work."""

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from xcodec.audio import Audio
from xcodec.errors import MissingExtraError
from xcodec.evaluation.codebook import CodebookUse
from xcodec.evaluation.evaluation import Evaluation
from xcodec.evaluation.pictures import (
    DIFFERENCE_COLOURS,
    LEVEL_COLOURS,
    codes_picture,
    difference_picture,
    spectrogram_picture,
)
from xcodec.evaluation.systems.system import Coded

__all__ = ["Card", "Listening", "all_codebooks", "card_of", "colour", "rendered"]

OWN = "xcodec.evaluation"  # the package of the files that all reports share


@dataclass(frozen=True)
class Card:
    """What a report shows of one version of a recording; pictures and audio are data URLs.

    Args:
        name: of the version.
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


@dataclass(frozen=True)
class Listening:
    """A recording to listen to, in several versions.

    Args:
        name: its name.
        seconds: how long it is.
        transcript: what is said in it; empty where that is not known.
        cards: its versions.
    """

    name: str
    seconds: float
    transcript: str
    cards: tuple[Card, ...]


def card_of(
    name: str, scores: str, audio: Audio, reference: Audio, codes: Coded | None = None, levels: tuple[int, ...] = ()
) -> Card:
    """Draw a version of a recording.

    Args:
        name: of the version.
        scores: as text.
        audio: the version.
        reference: the recording, whose loudest point the spectrogram is beside.
        codes: of the version, if any.
        levels: of the finite scalar quantizer that made them, if one did.
    """
    return Card(
        name=name,
        scores=scores,
        spectrogram=_data_url("image/png", spectrogram_picture(audio, reference)),
        difference="" if audio is reference else _data_url("image/png", difference_picture(audio, reference)),
        codes="" if codes is None else _data_url("image/png", codes_picture(codes, levels)),
        audio=_data_url("audio/flac", _flac(audio)),
    )


def all_codebooks(evaluation: Evaluation) -> list[tuple[str, str, CodebookUse]]:
    """List the codebooks of all systems: the system's name, the codebook's, and its use."""
    return [
        (system.name, f"{system.name}, codebook {i}" if len(system.codebooks) > 1 else system.name, use)
        for system in evaluation.systems
        for i, use in enumerate(system.codebooks, 1)
    ]


def colour(level: int, levels: int) -> str:
    """Return the colour of one of so many levels."""
    return LEVEL_COLOURS[round(level * (len(LEVEL_COLOURS) - 1) / max(levels - 1, 1))]


def rendered(template: str, scripts: Sequence[str] = (), *, package: str = OWN, **values: Any) -> str:
    """Render a report, with the style and the scripts that all have, as `style` and `script`.

    Args:
        template: its file.
        scripts: files of its own, which follow those that all have.
        package: where the template lies.
        values: what the template names.

    Raises:
        MissingExtraError: without Jinja2.
    """
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtraError("pip install 'xcodec[eval]' (jinja2, which fills the page)") from error
    environment = Environment(
        loader=FunctionLoader(_own_file),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    style = environment.get_template("page.css").render(difference_colours=DIFFERENCE_COLOURS)
    script = "".join(map(_own_file, ("player.js", "page.js", *scripts)))
    text = files(package).joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(text).render(style=Markup(style), script=Markup(script), **values)


def _own_file(name: str) -> str:
    """Read a file that lies beside this one."""
    return files(OWN).joinpath(name).read_text(encoding="utf-8")


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _flac(audio: Audio) -> bytes:
    """Write the mono audio as a FLAC file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio.flac"
        audio.mono().save(path)
        return path.read_bytes()
