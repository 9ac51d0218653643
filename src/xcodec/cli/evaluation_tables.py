"""An evaluation as tables for a terminal."""

from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from xcodec.evaluation.codebook import CodebookUse
from xcodec.evaluation.comparison import compare_all, of_the_leader
from xcodec.evaluation.evaluation import Evaluation, SystemResult
from xcodec.evaluation.figures import (
    NONE,
    comparison_text,
    cost_texts,
    half_interval_text,
    heading,
    mean_text,
    support_text,
)
from xcodec.evaluation.metric import Scale

__all__ = ["WIDEST", "codebook_tables", "comparisons_table", "means_table", "rows_tables"]

WIDEST = 1000
"""Columns; a table wider than the terminal is broken there, and loses nothing."""


def means_table(evaluation: Evaluation) -> Table:
    """Make a table with a row for each metric and a column for each system."""
    clips = evaluation.clips
    title = f"{len(clips)} clips, {sum(clips.values()):.1f} s; means ± half the 95% interval"
    table = Table(box=box.ROUNDED, title=title, title_justify="left")
    table.add_column("", style="cyan")
    for system in evaluation.systems:
        table.add_column(Text(system.name), justify="right")
    for scale in evaluation.scales:
        cells = []
        for system in evaluation.systems:
            mean = system.mean(scale.key)
            below = (half_interval_text(scale, mean), support_text(mean, len(system.rows)))
            cells.append(Text("\n".join((mean_text(scale, mean), *filter(None, below)))))
        table.add_row(Text(heading(scale)), *cells)
    costs = [cost_texts(system) for system in evaluation.systems]
    for name in costs[0]:
        table.add_row(Text(name), *(Text(cost[name], style="bold" if name == "bit/s" else "") for cost in costs))
    return table


def comparisons_table(evaluation: Evaluation) -> Table | None:
    """Make a table of what can be said, by each metric, of the best system and the next; None for one system alone."""
    comparisons = compare_all(evaluation)
    table = Table(box=box.ROUNDED, title="the best and the next", title_justify="left", show_header=False)
    table.add_column("", style="cyan")
    for scale in evaluation.scales:
        for closest in of_the_leader(evaluation, comparisons, scale)[:1]:
            table.add_row(Text(scale.label), Text(comparison_text(scale, closest)))
    return table if table.row_count else None


def codebook_tables(evaluation: Evaluation) -> Iterator[Table]:
    """Make a table with a row for each codebook of each system, then one of its digits; none without codes."""
    used = [
        (f"{system.name}, {i}" if len(system.codebooks) > 1 else system.name, use)
        for system in evaluation.systems
        for i, use in enumerate(system.codebooks, 1)
    ]
    if not used:
        return
    table = Table(box=box.ROUNDED, title="use of the codebook", title_justify="left")
    table.add_column("codebook", style="cyan")
    for name in ("codes", "distinct", "of", "seen before", "bits", "corrected", "perplexity"):
        table.add_column(name, justify="right")
    for name, use in used:
        counts = (f"{use.codes:,}", f"{use.distinct:,}", f"{use.size:,}", f"{use.coverage:.0%}")
        bits = (f"{use.entropy:.2f}", f"{use.corrected_entropy:.2f}", f"{use.perplexity:,.0f}")
        table.add_row(Text(name), *counts, *bits)
    yield table
    for name, use in used:
        if use.levels:
            yield _digits_table(name, use)


def _digits_table(name: str, use: CodebookUse) -> Table:
    table = Table(box=box.ROUNDED, title=Text(f"digits of the codes of {name}"), title_justify="left")
    table.add_column("digit", style="cyan")
    for level in range(max(map(len, use.levels))):
        table.add_column(f"level {level}", justify="right")
    table.add_column("bits", justify="right")
    for i, (shares, bits) in enumerate(zip(use.levels, use.level_entropies, strict=True), 1):
        cells = [f"{share:.0%}" for share in shares] + [""] * (len(table.columns) - 2 - len(shares))
        table.add_row(str(i), *cells, f"{bits:.2f}")
    return table


def rows_tables(evaluation: Evaluation) -> Iterator[Table]:
    """Make a table for each system, with a row for each clip."""
    for system in evaluation.systems:
        scales = [scale for scale in evaluation.scales if any(scale.key in row.scores for row in system.rows)]
        table = Table(box=box.SIMPLE, title=Text(system.name), title_justify="left", title_style="bold")
        table.add_column("clip", style="cyan")
        table.add_column("s", justify="right")
        for scale in scales:
            table.add_column(Text(scale.label), justify="right")
        for cells in _cells(system, scales):
            table.add_row(*map(Text, cells))
        yield table


def _cells(system: SystemResult, scales: list[Scale]) -> Iterator[list[str]]:
    for row in system.rows:
        scores = [row.scores.get(scale.key) for scale in scales]
        values = [
            f"{score.value:.{scale.digits}f}" if score else NONE for scale, score in zip(scales, scores, strict=True)
        ]
        yield [row.name, f"{row.seconds:.2f}", *values]
