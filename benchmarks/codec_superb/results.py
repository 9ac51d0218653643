"""The JSON of `xcodec evaluate` in the form of Codec-SUPERB's result files.

    python benchmarks/codec_superb/results.py report.json results.json

By system and category, means over clips; a category is the first folder in which a clip lies, and `overall` is all.
Only what is measured by the same definition is handed over: wide-band PESQ, as `pesq` and `pesq-wb`, and STOI. What it
calls mel, stft, waveform and f0corr is defined otherwise there: run its own benchmarking.py for these.
Clips without a score are left out of a mean; Codec-SUPERB counts them as 1 (PESQ) and 0 (STOI).
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

KEYS = {"pesq": "pesq_wb", "pesq-wb": "pesq_wb", "stoi": "stoi"}
"""Its names, and ours."""


def results(report: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Turn a report into results."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for system in report["systems"]:
        scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for clip in system["clips"]:
            folder, inside, _ = clip["name"].partition("/")
            for theirs, ours in KEYS.items():
                score = clip["scores"].get(ours)
                for category in ("overall", *([folder] if inside else [])):
                    if score is not None:
                        scores[category][theirs].append(score)
        if scores:  # the recordings themselves have none of these
            found[system["name"]] = {
                category: {key: sum(values) / len(values) for key, values in each.items()}
                for category, each in scores.items()
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("results", type=Path)
    arguments = parser.parse_args()
    report = json.loads(arguments.report.read_text(encoding="utf-8"))
    arguments.results.write_text(json.dumps(results(report), indent=4) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
