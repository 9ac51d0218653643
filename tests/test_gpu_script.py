"""scripts/gpu.py, on a CPU: its parts run, one that fails or is slow keeps no other from running, nothing is lost."""

import json
import runpy
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
GPU: dict[str, Any] = runpy.run_path(str(ROOT / "scripts/gpu.py"))


def test_a_state_comes_back_in_pieces_and_is_put_together_again(tmp_path: Path) -> None:
    (tmp_path / "step-7.pt").write_bytes(bytes(range(250)))
    pieces = GPU["split"](tmp_path / "step-7.pt", tmp_path / "pieces", 100)
    assert [(piece.name, piece.stat().st_size) for piece in pieces] == [
        ("step-7.pt.000", 100),
        ("step-7.pt.001", 100),
        ("step-7.pt.002", 50),
    ]
    whole = GPU["join"](tmp_path / "pieces", tmp_path / "run")
    assert (whole.name, whole.read_bytes()) == ("step-7.pt", bytes(range(250)))
    assert GPU["PIECE"] < 16_000_000
    pieces[1].unlink()
    with pytest.raises(SystemExit, match=r"expected the pieces.*000.*002"):
        GPU["join"](tmp_path / "pieces", tmp_path / "run")


def test_a_part_that_fails_or_is_slow_says_so(tmp_path: Path) -> None:
    failed = GPU["run"]("bad", [sys.executable, "-c", "print(1 / 0)"], tmp_path, 60)
    assert failed["ended"] == 1
    assert "ZeroDivisionError" in (tmp_path / "bad.log").read_text()
    slow = GPU["run"]("slow", [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path, 1)
    assert slow["ended"] == "its time was up"


def test_rows_of_different_figures_are_one_table() -> None:
    rows = [{"a": 1, "b": 2.34567}, {"a": "x|y", "failed": "out of memory"}, {"a": None}]
    assert GPU["table"](rows).splitlines() == [
        "| a | b | failed |",
        "| --- | --- | --- |",
        "| 1 | 2.35 |  |",
        "| x/y |  | out of memory |",
        "|  |  |  |",
    ]


def test_the_parts_run_and_training_goes_on_from_the_state_that_was_left(tmp_path: Path) -> None:
    def run(output: str, *more: object) -> dict[str, Any]:
        command = [
            sys.executable,
            ROOT / "scripts/gpu.py",
            "--small",
            "--minutes",
            "600",
            "--output",
            tmp_path / output,
        ]
        done = subprocess.run([*command, *more], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        parts: dict[str, Any] = json.loads((tmp_path / output / "report.json").read_text())["parts"]
        assert [part["ended"] for part in parts.values()] == [0] * len(parts)
        return parts

    parts = run("first", "--parts", "streams", "train")
    assert [row["streams"] for row in parts["streams"]["rows"]] == [1, 2]
    assert "| model | streams |" in (tmp_path / "first/report.md").read_text()
    assert parts["train"]["state"] == "step-00000002.pt"
    pieces = sorted((tmp_path / "first/state").iterdir())
    assert [piece.name for piece in pieces] == parts["train"]["pieces"]
    assert all(piece.stat().st_size < 16_000_000 for piece in pieces)

    speech = tmp_path / "speech.tar"
    with tarfile.open(speech, "w") as archive:
        archive.add(ROOT / "tests/audio/austen-0880.wav", "austen-0880.wav")
    parts = run("second", "--parts", "train", "--state", tmp_path / "first/state", "--data", speech)
    assert parts["train"]["state"] == "step-00000004.pt"
