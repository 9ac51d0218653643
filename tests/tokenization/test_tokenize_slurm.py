"""A data set goes through Slurm: planned, tokenized by an array of workers, checked; and what is asked of sbatch."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from slurm_builders import install_slurm
from tokenize_builders import counts, output_of, strike_workers, write_clips
from xcodec.cli.app import app
from xcodec.tokenization.slurm import SlurmRun
from xcodec.tokenization.stores import FolderStore


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, 6)
    (folder / "empty.wav").touch()
    return folder


def call(*arguments: object) -> tuple[int, str]:
    """The exit code, and all that was printed."""
    done = CliRunner().invoke(app, ["tokenize", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_a_data_set_goes_from_submit_to_check_and_a_worker_that_is_terminated_goes_on(
    model: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_slurm(tmp_path / "slurm", monkeypatch)
    struck = strike_workers(tmp_path / "strike", monkeypatch, "--worker", "SIGTERM")
    out = tmp_path / "out"
    options = ["-m", model, "--readers", 1, "--shard-hours", 0.0003, "--workers", 1, "--gpus", 0]
    code, told = call("submit", clips, "-o", out, *options, "--metrics-file", tmp_path / "xcodec.prom")
    assert code == 0, told
    assert "Submitted plan 41, workers 42, check 43" in told
    assert struck.exists()
    assert (tmp_path / "slurm/requeued").read_text() == "42_1\n"
    assert len(output_of(out)) == 6
    assert set(counts(out).values()) == {1}
    assert 'run="worker 1/1",state="failed"} 1' in (tmp_path / "xcodec-1.prom").read_text()
    assert pq.read_table(out / "failures.parquet")["id"].to_pylist() == ["empty.wav"]
    code, told = call("status", out)
    assert "Slurm plan 41: 1 completed" in told
    assert "Slurm workers 42: 1 completed" in told
    assert "Slurm check 43: 1 failed" in told  # since a recording could not be read


def test_the_scripts_are_shown_and_ask_for_what_was_said(tmp_path: Path) -> None:
    out = tmp_path / "out"
    wanted = ["--time", "2:00:00", "--sbatch=--partition=gpu long", "--sbatch-worker=--exclusive", "--image", "x.sif"]
    given = ["--channel", "left", "--texts", "--dtype", "bfloat16", "--compile", "--log-format", "json"]
    code, told = call("submit", "s3://b/in", "-o", out, "--workers", 5000, "--dry-run", *wanted, *given)
    assert code == 0
    plan, workers, check = told.split("#!/bin/bash")[1:]
    assert all("#SBATCH --partition=gpu long\n" in script for script in (plan, workers, check))
    image = Path("x.sif").absolute()
    assert (
        f"exec apptainer exec --nv {image} xcodec tokenize run -o {out} --channel left --texts --device cpu "
        "--dtype bfloat16 --plan-only --ignore-unreadable -- s3://b/in\n"
    ) in plan
    for line in ("array=1-5000", "requeue", "signal=TERM@60", "gpus=1", "cpus-per-task=8", "time=2:00:00", "exclusive"):
        assert f"#SBATCH --{line}\n" in workers
    task = '--worker "$SLURM_ARRAY_TASK_ID/5000"'
    assert f"xcodec tokenize run -o {out} --dtype bfloat16 --compile --log-format json {task}\n" in workers
    assert f"xcodec tokenize status {out} --check\n" in check
    assert not out.exists()


def test_what_cannot_be_submitted_is_told(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    assert "nothing is planned in" in call("submit", "-o", out)[1]
    assert "has no standard input" in " ".join(call("submit", "-", "-o", out)[1].split())
    assert "give one for the logs with --logs" in " ".join(call("submit", clips, "-o", "memory://x")[1].split())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no sbatch on the PATH" in call("submit", clips, "-o", out)[1]


def test_a_refusal_of_sbatch_is_told_with_its_reason(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_slurm(tmp_path / "slurm", monkeypatch)
    code, told = call("submit", clips, "-o", tmp_path / "out", "--sbatch=--nonsense")
    assert code == 1
    assert "sbatch refuses the plan job: sbatch: error: Batch job submission failed: Invalid qos" in told
    assert SlurmRun.of(FolderStore(tmp_path / "out")) is None


def test_waiting_tasks_are_counted_with_their_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_slurm(tmp_path / "slurm", monkeypatch)
    (tmp_path / "slurm/jobs.json").write_text('{"7_1": "RUNNING", "7_2": "PENDING", "7_3": "FAILED", "8": "PENDING"}')
    jobs = SlurmRun({"workers": "7", "check": "8"}, 3, "logs").jobs()
    assert [job.told for job in jobs] == ["1 failed, 1 pending, 1 running (Priority)", "1 pending (Priority)"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SlurmRun({"workers": "7"}, 3, "logs").jobs() == []
