"""An evaluation as JSON: every score, every mean, and what they were made with."""

import platform
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from xcodec.evaluation.codebook import CodebookUse
from xcodec.evaluation.comparison import METHOD as COMPARISON_METHOD
from xcodec.evaluation.comparison import compare_all
from xcodec.evaluation.evaluation import Evaluation, SystemResult
from xcodec.evaluation.summary import METHOD

__all__ = ["record", "versions"]

FORMAT = "xcodec.evaluation"
FORMAT_VERSION = 1
ALWAYS = ("xcodec", "torch", "transformers", "numpy", "scipy", "soundfile", "soxr")


def record(evaluation: Evaluation) -> dict[str, Any]:
    """Convert an evaluation to what JSON can hold."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": versions((*ALWAYS, *evaluation.packages)),
        "levels_matched": evaluation.levels_matched,
        "intervals": METHOD,
        "metrics": [vars(scale) for scale in evaluation.scales],
        "missing": [vars(missing) for missing in evaluation.missing],
        "systems": [system_record(system, evaluation) for system in evaluation.systems],
        "comparison_method": COMPARISON_METHOD,
        "comparisons": [
            vars(comparison) | {"difference": vars(comparison.difference)} for comparison in compare_all(evaluation)
        ],
        "failures": [vars(failure) for failure in evaluation.failures],
    }


def system_record(system: SystemResult, evaluation: Evaluation) -> dict[str, Any]:
    """Convert one system: means, codebooks, and a row for each clip."""
    means = {scale.key: system.mean(scale.key) for scale in evaluation.scales}
    return {
        "name": system.name,
        "about": system.about,
        "bitrate": system.bitrate,
        "token_rate": system.token_rate,
        "parameters": system.parameters,
        "macs_per_second": system.macs,
        "real_time_factor": system.real_time_factor,
        "means": {key: vars(mean) if mean else None for key, mean in means.items()},
        "codebooks": [codebook_record(codebook) for codebook in system.codebooks],
        "clips": [
            {
                "name": row.name,
                "seconds": row.seconds,
                "bits": row.bits,
                "tokens": row.tokens,
                "took": row.took,
                "scores": {key: score and score.value for key, score in row.scores.items()},
                "reasons": row.reasons,
            }
            for row in system.rows
        ],
    }


def codebook_record(codebook: CodebookUse) -> dict[str, Any]:
    """Convert the use of one codebook."""
    return vars(codebook) | {"perplexity": codebook.perplexity, "level_entropies": codebook.level_entropies}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Look up the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a folder that was never installed
            continue
    return found
