"""Numbers as people read them, in the table of the terminal and on the page alike."""

from xcodec.evaluation.metric import Scale
from xcodec.evaluation.summary import Mean

__all__ = ["NONE", "bitrate_text", "half_interval_text", "heading", "interval_text", "mean_text", "support_text"]

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


def bitrate_text(bitrate: float | None) -> str:
    """Write a bitrate in bit/s."""
    return NONE if bitrate is None else f"{bitrate:,.0f}"
