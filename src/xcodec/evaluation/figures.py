"""Numbers as people read them, in the table of the terminal and on the page alike."""

from xcodec.evaluation.comparison import FEWEST, Comparison
from xcodec.evaluation.evaluation import SystemResult
from xcodec.evaluation.metric import Scale
from xcodec.evaluation.summary import Mean

__all__ = [
    "NONE",
    "comparison_text",
    "cost_texts",
    "half_interval_text",
    "heading",
    "interval_text",
    "mean_text",
    "support_text",
]

NONE = "-"


def heading(scale: Scale) -> str:
    """Label, unit, and an arrow to where better is."""
    unit = f" [{scale.unit}]" if scale.unit else ""
    return f"{scale.label}{unit}\N{NO-BREAK SPACE}{'↑' if scale.higher_is_better else '↓'}"


def mean_text(scale: Scale, mean: Mean | None) -> str:
    """Write a mean with the decimals that mean something."""
    return NONE if mean is None else f"{mean.value:.{scale.digits}f}"


def interval_text(scale: Scale, mean: Mean | None) -> str:
    """Write the interval of a mean; empty where there is none."""
    if mean is None or mean.low is None or mean.high is None:
        return ""
    return f"{mean.low:.{scale.digits}f} to {mean.high:.{scale.digits}f}"


def half_interval_text(scale: Scale, mean: Mean | None) -> str:
    """Write half the interval of a mean, such as "±0.005"; empty where there is none."""
    if mean is None or mean.low is None or mean.high is None:
        return ""
    return f"±{(mean.high - mean.low) / 2:.{scale.digits}f}"


def support_text(mean: Mean | None, clips: int) -> str:
    """Write of how many clips a mean is, where that is not all of them; else empty."""
    return "" if mean is None or mean.clips == clips else f"of {mean.clips} clip{'s' * (mean.clips != 1)}"


def cost_texts(system: SystemResult) -> dict[str, str]:
    """Write what a system takes, by the heading of each figure."""
    figures: dict[str, tuple[float | None, float, str]] = {
        "bit/s": (system.bitrate, 1, ",.0f"),
        "tokens/s": (system.token_rate, 1, ",.1f"),
        "parameters [M]": (system.parameters, 1e6, ",.2f"),
        "GMAC/s": (system.macs, 1e9, ",.2f"),
        "real-time factor": (system.real_time_factor, 1, ".3f"),
    }
    return {
        name: NONE if figure is None else format(figure / unit, digits)
        for name, (figure, unit, digits) in figures.items()
    }


def comparison_text(scale: Scale, comparison: Comparison) -> str:
    """Write what can be said of two systems, in a sentence."""
    difference, digits = comparison.difference, scale.digits
    unit = f" {scale.unit}" if scale.unit else ""
    first, second = comparison.first, comparison.second
    if difference.low is None or difference.high is None or difference.clips < FEWEST:
        clips = f"{difference.clips} clip{'s' * (difference.clips != 1)}"
        return f"of {first} and {second} nothing can be said from {clips}; it takes {FEWEST} at least"
    if comparison.better is None:
        interval = f"{difference.low:.{digits}f} to {difference.high:.{digits}f}"
        needed = comparison.clips_needed
        enough = "" if needed is None else f"; to see such a difference takes about {needed:,} clips"
        return (
            f"{first} and {second} cannot be told apart: they differ by {difference.value:.{digits}f}{unit} "
            f"(95% interval {interval}){enough}"
        )
    worse = second if comparison.better == first else first
    low, high = sorted((abs(difference.low), abs(difference.high)))
    return (
        f"{comparison.better} is better than {worse} by {abs(difference.value):.{digits}f}{unit} "
        f"(95% interval {low:.{digits}f} to {high:.{digits}f})"
    )
