"""A probing as tables for a terminal."""

from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from xcodec.evaluation.figures import cost_texts, half_interval_text, heading, mean_text
from xcodec.evaluation.metric import Scale
from xcodec.probing.run import Probing

__all__ = ["codecs_table", "probe_tables"]

COSTS = ("bit/s", "tokens/s", "parameters [M]")


def codecs_table(probing: Probing) -> Table:
    """Make a table of what each codec is."""
    clips = probing.evaluation.clips
    title = f"{len(clips)} clips, {sum(clips.values()):.1f} s; means ± half the 95% interval, where there is one"
    table = Table(box=box.ROUNDED, title=title, title_justify="left")
    table.add_column("", style="cyan")
    for name in probing.names:
        table.add_column(Text(name), justify="right")
    costs = [cost_texts(system) for system in probing.evaluation.systems]
    for cost in COSTS:
        table.add_row(Text(cost), *(Text(each[cost]) for each in costs))
    return table


def probe_tables(probing: Probing) -> Iterator[Table]:
    """Make a table for each probe, with a row for each figure and a column for each codec."""
    for probe in probing.probes:
        table = Table(box=box.ROUNDED, title=Text(probe.title), title_justify="left")
        table.add_column("", style="cyan")
        for name in probing.names:
            table.add_column(Text(name), justify="right")
        for scale in probing.scales_of(probe):
            table.add_row(Text(heading(scale)), *(_cell(probing, name, scale) for name in probing.names))
        if table.row_count:
            yield table


def _cell(probing: Probing, name: str, scale: Scale) -> Text:
    figure = probing.figure(name, scale.key)
    half = half_interval_text(scale, figure)
    return Text(" ".join(filter(None, (mean_text(scale, figure), half))))
