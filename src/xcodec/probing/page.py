"""A probing as one HTML file that needs nothing beside it: figures and plots."""

from xcodec.evaluation.comparison import compare_all, of_the_leader
from xcodec.evaluation.figures import NONE, comparison_text, cost_texts, heading, interval_text, mean_text
from xcodec.evaluation.page_parts import all_codebooks, colour, rendered
from xcodec.evaluation.record import record
from xcodec.probing.plot import COLOURS, plot_of
from xcodec.probing.run import Probing

__all__ = ["page"]


def page(probing: Probing) -> str:
    """Render the page, as text of HTML, by the template probing.html.

    Raises:
        MissingExtraError: without Jinja2 or Pillow.
    """
    evaluation = probing.evaluation
    facts, comparisons = record(evaluation), compare_all(evaluation)
    clips = evaluation.clips
    costs = {system.name: cost_texts(system) for system in evaluation.systems}
    return rendered(
        "probing.html",
        package="xcodec.probing",
        probing=probing,
        evaluation=evaluation,
        title=", ".join(probing.names),
        subtitle=f"{len(clips)} clip{'s' * (len(clips) != 1)}, {sum(clips.values()):.1f} s of recordings · "
        f"{facts['created'].replace('T', ' ').removesuffix('+00:00')} UTC · {facts['machine']}",
        legend=[(name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(probing.names)],
        costs={name: [costs[system][name] for system in costs] for name in ("bit/s", "tokens/s", "parameters [M]")},
        plots={
            probe.name: [plot for curve in probe.curves if (plot := plot_of(curve, probing)) is not None]
            for probe in probing.probes
        },
        codebooks=all_codebooks(evaluation),
        compared=[
            (scale, compared)
            for scale in evaluation.scales
            if (compared := of_the_leader(evaluation, comparisons, scale))
        ],
        missing=[(each.what, each.how_to_get) for each in evaluation.missing],
        method=[
            *((system.name, system.about) for system in evaluation.systems),
            *((scale.label, scale.about) for probe in probing.probes for scale in probing.scales_of(probe)),
            ("intervals", facts["intervals"]),
            ("comparisons", facts["comparison_method"]),
            ("versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
        ],
        none_text=NONE,
        colour=colour,
        comparison_text=comparison_text,
        heading=heading,
        interval_text=interval_text,
        mean_text=mean_text,
    )
