"""An evaluation as one HTML file that needs nothing beside it: figures, players, spectrograms and code streams."""

from collections.abc import Iterator

from xcodec.evaluation.comparison import best_of, compare_all, of_the_leader
from xcodec.evaluation.evaluation import Evaluation, Example
from xcodec.evaluation.figures import NONE, comparison_text, cost_texts, heading, interval_text, mean_text, support_text
from xcodec.evaluation.page_parts import Card, Listening, all_codebooks, card_of, colour, rendered
from xcodec.evaluation.record import record
from xcodec.evaluation.systems.system import Reference

__all__ = ["page"]

LEVELS = {
    False: "reconstructions are as loud as they came; a louder one may win a listening test by that",
    True: "reconstructions were brought to the active level of their recording before they were measured",
}
SHOWN_SCORES = 3  # of each clip beside its player; all are in the tables


def page(evaluation: Evaluation) -> str:
    """Render the page, as text of HTML, by the template page.html.

    Raises:
        MissingExtraError: without Jinja2 or Pillow.
    """
    clips = evaluation.clips
    costs = {system.name: cost_texts(system) for system in evaluation.systems}
    facts, comparisons = record(evaluation), compare_all(evaluation)
    examples = [
        Listening(each.clip.name, each.recording.duration, each.clip.transcript or "", tuple(_cards(each, evaluation)))
        for each in evaluation.examples
    ]
    return rendered(
        "page.html",
        ("listening.js",),
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
        codebooks=all_codebooks(evaluation),
        examples=examples,
        shows_codes=any(result.codes for each in evaluation.examples for result in each.reconstructions.values()),
        tables=[
            (system, [scale for scale in evaluation.scales if any(scale.key in row.scores for row in system.rows)])
            for system in evaluation.systems
        ],
        missing=[(each.what, each.how_to_get) for each in evaluation.missing],
        method=[
            *((system.name, system.about) for system in evaluation.systems),
            *((scale.label, scale.about) for scale in evaluation.scales),
            ("levels", LEVELS[evaluation.levels_matched]),
            ("intervals", facts["intervals"]),
            ("comparisons", facts["comparison_method"]),
            ("versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
        ],
        heard=["recording", *(system.name for system in evaluation.systems if system.name != Reference.name)],
        none_text=NONE,
        costs=costs,
        known_costs=[name for name in next(iter(costs.values())) if any(each[name] != NONE for each in costs.values())],
        colour=colour,
        comparison_text=comparison_text,
        heading=heading,
        interval_text=interval_text,
        mean_text=mean_text,
        support_text=support_text,
    )


def _cards(example: Example, evaluation: Evaluation) -> Iterator[Card]:
    """Show the recording of a clip, then what each system gave back of it."""
    yield card_of("recording", "", example.recording, example.recording)
    for name, reconstruction in example.reconstructions.items():
        if name != Reference.name:
            scores = _scores(example.clip.name, name, evaluation)
            levels = evaluation.levels.get(name, ())
            yield card_of(name, scores, reconstruction.audio, example.recording, reconstruction.codes, levels)


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
