"""An evaluation as one HTML file that needs nothing beside it: figures, players, spectrograms and code streams."""

import base64
import tempfile
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from xcodec.audio import Audio
from xcodec.evaluation.evaluation import Evaluation, Example, SystemResult
from xcodec.evaluation.figures import NONE, bitrate_text, heading, interval_text, mean_text, support_text
from xcodec.evaluation.metric import Scale, Score
from xcodec.evaluation.pictures import LEVEL_COLOURS, codes_picture, spectrogram_picture
from xcodec.evaluation.record import record
from xcodec.evaluation.systems import Reconstruction, Recordings

__all__ = ["page"]

SHOWN_SCORES = 3  # of each clip beside its player; all are in the tables


def page(evaluation: Evaluation) -> str:
    """The page, as text of HTML."""
    clips = evaluation.clips
    facts = record(evaluation)
    subtitle = (
        f"{len(clips)} clip{'s' * (len(clips) != 1)}, {sum(clips.values()):.1f} s of recordings · "
        f"{facts['created'].replace('T', ' ').removesuffix('+00:00')} UTC · {facts['machine']}"
    )
    sections = [
        _means(evaluation),
        _failures(evaluation),
        _codebooks(evaluation),
        _examples(evaluation),
        _rows(evaluation),
        _missing(evaluation),
        _method(evaluation, facts["intervals"], facts["versions"]),
    ]
    template = Template(files("xcodec.evaluation").joinpath("page.html").read_text(encoding="utf-8"))
    names = [system.name for system in evaluation.systems if system.name != Recordings.name]
    title = escape(", ".join(names))
    return template.substitute(title=title, subtitle=escape(subtitle), body="\n".join(sections))


def _means(evaluation: Evaluation) -> str:
    head = "".join(f"<th>{escape(heading(scale))}</th>" for scale in evaluation.scales)
    body = []
    for system in evaluation.systems:
        cells = [f"<th>{escape(system.name)}</th><td>{bitrate_text(system.bitrate)}</td>"]
        for scale in evaluation.scales:
            mean = system.mean(scale.key)
            kind = ' class="best"' if system is _best(evaluation, scale) else ""
            below = (interval_text(scale, mean), support_text(mean, len(system.rows)))
            small = "".join(f"<small>{text}</small>" for text in below if text)
            cells.append(f"<td{kind}>{mean_text(scale, mean)}{small}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<h2>Means</h2><div class="scroll"><table><thead><tr><th></th><th>bit/s</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _best(evaluation: Evaluation, scale: Scale) -> SystemResult | None:
    """The system whose mean is best, of two at least; the recordings themselves do not compete."""
    means = {
        system.name: mean.value
        for system in evaluation.systems
        if system.name != Recordings.name and (mean := system.mean(scale.key)) is not None
    }
    if len(means) < 2:
        return None
    name = (max if scale.higher_is_better else min)(means, key=lambda name: means[name])
    return next(system for system in evaluation.systems if system.name == name)


def _failures(evaluation: Evaluation) -> str:
    if not evaluation.failures:
        return ""
    items = "".join(f'<li class="failure">{escape(str(failure))}</li>' for failure in evaluation.failures)
    return f"<h2>What failed</h2><ul>{items}</ul>"


def _codebooks(evaluation: Evaluation) -> str:
    parts = []
    for system in evaluation.systems:
        for i, use in enumerate(system.codebooks, 1):
            name = f"{system.name}, codebook {i}" if len(system.codebooks) > 1 else system.name
            parts.append(
                f"<p><b>{escape(name)}</b><br>{use.codes:,} codes, {use.distinct:,} different ones of {use.size:,}. "
                f"Entropy {use.entropy:.2f} bit as observed, {use.corrected_entropy:.2f} bit corrected for what was "
                f"not seen yet, a perplexity of {use.perplexity:,.0f}. {use.coverage:.0%} of further codes would be "
                "ones seen here.</p>"
            )
            rows = []
            for dimension, shares in enumerate(use.levels, 1):
                bars = "".join(
                    f'<span style="width:{100 * share:.2f}%;background:{_colour(level, len(shares))}" '
                    f'title="level {level}: {share:.1%}"></span>'
                    for level, share in enumerate(shares)
                )
                entropy = f"{use.level_entropies[dimension - 1]:.2f} bit"
                rows.append(f'<span>digit {dimension}</span><span class="bar">{bars}</span><span>{entropy}</span>')
            if rows:
                parts.append(f'<div class="digits">{"".join(rows)}</div>')
    return f"<h2>Use of the codebook</h2>{''.join(parts)}" if parts else ""


def _colour(level: int, levels: int) -> str:
    return LEVEL_COLOURS[round(level * (len(LEVEL_COLOURS) - 1) / max(levels - 1, 1))]


def _examples(evaluation: Evaluation) -> str:
    if not evaluation.examples:
        return ""
    total, shown = len(evaluation.clips), len(evaluation.examples)
    note = "" if shown == total else f' <small class="faint">{shown} of {total} clips, evenly spaced</small>'
    about = "Spectrograms reach from 0 to 8 kHz and 75 dB down from the recording's loudest point."
    if any(result.codes for example in evaluation.examples for result in example.reconstructions.values()):
        about += " Below a model's spectrogram are its codes, a column for each."
    return f"<h2>Listen{note}</h2><p>{about}</p>" + "".join(_example(each, evaluation) for each in evaluation.examples)


def _example(example: Example, evaluation: Evaluation) -> str:
    said = f" <q>{escape(example.clip.transcript)}</q>" if example.clip.transcript else ""
    cards = [_card("recording", "", Reconstruction(example.recording), example.recording)]
    for name, reconstruction in example.reconstructions.items():
        if name != Recordings.name:
            levels = evaluation.levels.get(name, ())
            scores = _scores(example.clip.name, name, evaluation)
            cards.append(_card(name, scores, reconstruction, example.recording, levels))
    return (
        f"<h3>{escape(example.clip.name)} <small>{example.recording.duration:.2f} s</small>{said}</h3>"
        f'<div class="cards">{"".join(cards)}</div>'
    )


def _scores(clip: str, system_name: str, evaluation: Evaluation) -> str:
    system = next(system for system in evaluation.systems if system.name == system_name)
    row = next(row for row in system.rows if row.name == clip)
    told = [
        f"{scale.label} {score.value:.{scale.digits}f}"
        for scale in evaluation.scales
        if (score := row.scores.get(scale.key)) is not None
    ]
    return " · ".join(told[:SHOWN_SCORES])


def _card(name: str, scores: str, result: Reconstruction, recording: Audio, levels: tuple[int, ...] = ()) -> str:
    pictures = _image("spectrogram", f"spectrogram of {name}", spectrogram_picture(result.audio, recording))
    if result.codes is not None:
        pictures += _image("codes", f"codes of {name}", codes_picture(result.codes, levels))
    return (
        f"<figure><figcaption>{escape(name)} <small>{escape(scores)}</small></figcaption>{pictures}"
        f'<audio controls preload="none" src="data:audio/flac;base64,{_flac(result.audio)}"></audio></figure>'
    )


def _image(kind: str, alt: str, png: bytes) -> str:
    data = base64.b64encode(png).decode()
    return f'<img class="{kind}" alt="{escape(alt)}" src="data:image/png;base64,{data}">'


def _flac(audio: Audio) -> str:
    """The mono audio as FLAC, which every browser plays, in base64."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio.flac"
        audio.mono().save(path)
        return base64.b64encode(path.read_bytes()).decode()


def _rows(evaluation: Evaluation) -> str:
    parts = []
    for system in evaluation.systems:
        scales = [scale for scale in evaluation.scales if any(scale.key in row.scores for row in system.rows)]
        head = "".join(f"<th>{escape(heading(scale))}</th>" for scale in scales)
        body = []
        for row in system.rows:
            cells = "".join(_cell(scale, row.scores.get(scale.key), row.reasons.get(scale.key, "")) for scale in scales)
            body.append(f"<tr><td>{escape(row.name)}</td><td>{row.seconds:.2f}</td>{cells}</tr>")
        parts.append(
            f'<details><summary>{escape(system.name)}</summary><div class="scroll"><table><thead><tr><th>clip</th>'
            f"<th>seconds</th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div></details>"
        )
    return "<h2>Every clip</h2>" + "".join(parts)


def _cell(scale: Scale, score: Score | None, reason: str) -> str:
    if score is None:
        return f'<td title="{escape(reason)}">{NONE}</td>'
    return f"<td>{score.value:.{scale.digits}f}</td>"


def _missing(evaluation: Evaluation) -> str:
    if not evaluation.missing:
        return ""
    return f"<h2>Not measured</h2>{_list((each.what, each.how_to_get) for each in evaluation.missing)}"


def _method(evaluation: Evaluation, intervals: str, versions: dict[str, str]) -> str:
    entries = [(system.name, system.about) for system in evaluation.systems]
    entries += [(scale.label, scale.about) for scale in evaluation.scales]
    entries += [("intervals", intervals), ("versions", ", ".join(f"{name} {v}" for name, v in versions.items()))]
    return f"<h2>How this was measured</h2>{_list(entries)}"


def _list(entries: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(term)}</dt><dd>{escape(text)}</dd>' for term, text in entries)}</dl>"
