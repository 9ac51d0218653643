"""A probing as JSON: every figure, every clip's score, and what they were made with."""

from typing import Any

from xcodec.evaluation import record as evaluation_record
from xcodec.probing.run import Probing

__all__ = ["record"]

FORMAT = "xcodec.probing"
FORMAT_VERSION = 1


def record(probing: Probing) -> dict[str, Any]:
    """Convert a probing to what JSON can hold: what an evaluation has, figures by probe, and the curves' points."""
    return evaluation_record.record(probing.evaluation) | {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "probes": [
            {
                "name": probe.name,
                "title": probe.title,
                "scales": [vars(scale) for scale in probing.scales_of(probe)],
                "curves": [vars(curve) for curve in probe.curves],
            }
            for probe in probing.probes
        ],
        "figures": {name: _figures(probing, name) for name in probing.names},
        "reasons": probing.reasons,
    }


def _figures(probing: Probing, name: str) -> dict[str, Any]:
    """Give a codec's figures by key: means over clips, and those of all clips together."""
    return {
        scale.key: vars(figure)
        for probe in probing.probes
        for scale in probe.scales
        if (figure := probing.figure(name, scale.key)) is not None
    }
