"""Curves of figures as vector graphics."""

from collections.abc import Sequence
from dataclasses import dataclass

from xcodec.evaluation.figures import interval_text, mean_text
from xcodec.evaluation.metric import Scale
from xcodec.evaluation.summary import Mean
from xcodec.probing.probe import Curve
from xcodec.probing.run import Probing

__all__ = ["COLOURS", "Plot", "plot_of"]

COLOURS = ("#c1543c", "#3b7dbb", "#5a9a3c", "#8a63b5", "#b8860b", "#2a9d8f", "#d1609f", "#7a7a7a")
"""Of the codecs, in their order; legible on light and on dark paper. The ninth has the first's again."""

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 350, 10, 180  # of the area that is plotted in


@dataclass(frozen=True)
class Mark:
    """A point: where it stands, where its interval ends above and below, and what it says."""

    x: float
    y: float
    top: float
    bottom: float
    meaning: str


@dataclass(frozen=True)
class Line:
    """What a codec has in a plot: a colour, and marks from left to right."""

    name: str
    colour: str
    marks: tuple[Mark, ...]

    @property
    def path(self) -> str:
        """The marks as SVG's `points`."""
        return " ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in self.marks)


@dataclass(frozen=True)
class Plot:
    """A plot, laid out.

    Args:
        title: what is plotted.
        axis: what changes along x.
        columns: where each label of the axis stands, and the label.
        rows: likewise, of the scale.
        lines: one for each codec that has figures.
    """

    title: str
    axis: str
    columns: tuple[tuple[float, str], ...]
    rows: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]


def plot_of(curve: Curve, probing: Probing) -> Plot | None:
    """Lay out a curve with a line for each codec; None where none has two figures."""
    scales = {scale.key: scale for probe in probing.probes for scale in probe.scales}
    figures = {name: [probing.figure(name, key) for _, key in curve.points] for name in probing.names}
    drawn = {name: each for name, each in figures.items() if sum(figure is not None for figure in each) > 1}
    if not drawn:
        return None
    scale = scales[curve.points[0][1]]
    low, high, steps = axis_of(
        [value for each in drawn.values() for figure in each if figure is not None for value in ends(figure)], scale
    )
    places = [LEFT + 12 + (RIGHT - LEFT - 24) * i / (len(curve.points) - 1) for i in range(len(curve.points))]

    def height(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)

    lines = []
    for number, name in enumerate(probing.names):
        if name not in drawn:
            continue
        marks = []
        for x, (label, _), figure in zip(places, curve.points, drawn[name], strict=True):
            if figure is not None:
                bottom, top = ends(figure)
                meaning = f"{name}, {label}: {mean_text(scale, figure)} {scale.unit}".rstrip()
                interval = interval_text(scale, figure)
                meaning += f" ({interval})" if interval else ""
                marks.append(Mark(x, height(figure.value), height(top), height(bottom), meaning))
        lines.append(Line(name, COLOURS[number % len(COLOURS)], tuple(marks)))
    columns = tuple(zip(places, (label for label, _ in curve.points), strict=True))
    unit = f", {scale.unit}" if scale.unit else ""
    return Plot(
        curve.title + unit, curve.axis, columns, tuple((height(step), f"{step:g}") for step in steps), tuple(lines)
    )


def ends(figure: Mean) -> tuple[float, float]:
    """Give the ends of a figure's interval, or twice the figure where there is none."""
    if figure.low is None or figure.high is None:
        return figure.value, figure.value
    return figure.low, figure.high


def axis_of(values: Sequence[float], scale: Scale) -> tuple[float, float, list[float]]:
    """Give the ends of an axis that holds values, and round numbers to label; percentages begin at 0."""
    low, high = min(values), max(values)
    if scale.unit == "%":
        low = min(low, 0.0)
    spread = (high - low) or abs(high) or 1.0
    step = 10.0 ** len(str(int(spread * 1e6))) / 1e6 / 100  # a hundredth to a tenth of the spread
    step *= next(factor for factor in (1, 2, 5, 10, 20, 50, 100) if spread / (step * factor) <= 5)
    first, last = int(low // step), -int(-high // step)
    last = max(last, first + 1)
    return first * step, last * step, [round(i * step, 9) for i in range(first, last + 1)]
