"""benchmarks/check.py: what it says of ratios that are given."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "benchmarks/check.py"
STEADY = [2.0, 2.02, 1.98, 2.01, 1.99, 2.03, 1.97]
NOISY = [1.0, 3.0, 2.0, 1.2, 2.8, 2.4, 1.6]


def record(**ratios: list[float]) -> dict[str, Any]:
    return {"processor": "A Processor (R) 9", "threads": 2, "versions": {"torch": "2"}, "ratios": ratios}


def check(folder: Path, measured: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "measured.json").write_text(json.dumps(measured))
    command = [sys.executable, SCRIPT, "--measured", folder / "measured.json", "--kept", folder / "kept", *options]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (STEADY, "as before"),
        ([0.8 * x for x in STEADY], "lost"),
        ([1.3 * x for x in STEADY], "gained"),
        ([0.97 * x for x in STEADY], "as before"),  # within what runs differ
        ([0.8 * x for x in NOISY], "as before"),  # which such a spread does not tell
    ],
)
def test_a_ratio_is_lost_where_the_interval_of_now_over_then_lies_below_one(
    tmp_path: Path, now: list[float], verdict: str
) -> None:
    assert check(tmp_path, record(encode=STEADY), "--keep").returncode == 0
    told = check(tmp_path, record(encode=now))
    (row,) = [line for line in told.stdout.splitlines() if line.startswith("| encode |")]
    assert row.split(" | ")[-1] == f"{verdict} |"
    assert told.returncode == (verdict == "lost")
    assert ("lost: encode" in told.stderr) == (verdict == "lost")


def test_a_ratio_that_is_no_longer_measured_is_lost_and_one_that_was_not_kept_is_new(tmp_path: Path) -> None:
    check(tmp_path, record(encode=STEADY, decode=STEADY), "--keep")
    told = check(tmp_path, record(encode=STEADY, attention=STEADY))
    assert "| decode | 2.00 |  |  | lost |" in told.stdout
    assert "| attention |  | 2.00 |  | new |" in told.stdout
    assert told.stderr.strip() == "lost: decode"


def test_ratios_of_another_processor_or_number_of_threads_are_not_compared(tmp_path: Path) -> None:
    check(tmp_path, record(encode=STEADY), "--keep")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["a-processor-r-9-2.json"]
    for other in ({"processor": "Another"}, {"threads": 1}):
        told = check(tmp_path, record(encode=[0.1] * 7) | other)
        assert told.returncode == 0
        assert "nothing is kept for this processor" in told.stdout


def test_the_ratios_that_are_kept_here_are_those_that_are_measured(tmp_path: Path) -> None:
    files = sorted((ROOT / "benchmarks/kept").glob("*.json"))
    assert files
    for file in files:
        kept = json.loads(file.read_text())
        assert all(len(each) >= 3 and min(each) > 0 for each in kept["ratios"].values())
        assert all(f'"{name}"' in SCRIPT.read_text() for name in kept["ratios"])
        told = check(tmp_path, kept)
        assert "nothing is kept" in told.stdout
        (tmp_path / "measured.json").unlink()
        assert subprocess.run([sys.executable, str(SCRIPT), "--measured", str(file)]).returncode == 0
