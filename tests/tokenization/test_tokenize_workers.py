"""Workers take shards until none is left, each shard once, whatever becomes of them; and what is told of it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tokenize_builders import assert_same_files, counts, job_for, run, strike_workers, write_clips
from xcodec.cli.app import app
from xcodec.cli.log_lines import is_logged
from xcodec.codec import Codec
from xcodec.tokenization.claims import Claims
from xcodec.tokenization.engines.local import with_following
from xcodec.tokenization.engines.processes import Processes
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.metrics import metrics_text
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.readers import SlowRead, slowest_of
from xcodec.tokenization.run import prepare, tokenize
from xcodec.tokenization.status import Standing, read_runs
from xcodec.tokenization.stores import FolderStore


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, 12)
    for i in range(5):
        (folder / f"empty-{i}.wav").touch()
    return folder


@pytest.fixture(scope="module")
def finished(model: Path, codec: Codec, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run(job_for(model, folder), codec, clips, hours=0.0005)
    return folder


@pytest.fixture
def planned(model: Path, codec: Codec, clips: Path, tmp_path: Path) -> Plan:
    """A plan of five shards or so, with nothing done."""
    return prepare(job_for(model, tmp_path / "out"), codec, Inputs([str(clips)]), 0.0005)


def do(plan: Plan, number: int) -> None:
    """Have a shard done, as far as claims look."""
    (plan.store.folder / plan.output(number)).touch()  # type: ignore[attr-defined]


# Claims


def test_two_workers_do_each_shard_once_the_own_ones_first(planned: Plan) -> None:
    numbers = list(planned.shards())
    assert len(numbers) >= 4
    taken: dict[int, list[int]] = {0: [], 1: []}
    with Claims(planned, numbers, (0, 2)) as first, Claims(planned, numbers, (1, 2)) as second:
        turns = {0: iter(first), 1: iter(second)}
        for turn in (0, 1, 0, 0, 0, 0, 0, 0, 1, 1):
            if (number := next(turns[turn], None)) is not None:
                taken[turn].append(number)
                if (turn, number) != (1, 1):
                    do(planned, number)
    assert taken[0][:2] == [0, 2]
    assert taken[1][0] == 1
    assert sorted(taken[0] + taken[1]) == numbers
    assert taken[0][-1] == numbers[-1] if numbers[-1] % 2 else numbers[-2] in taken[0]
    assert not list(planned.store.folder.glob(".claim*"))  # type: ignore[attr-defined]


def test_what_a_dead_worker_had_in_hand_is_taken_at_last(planned: Plan) -> None:
    folder = planned.store.folder  # type: ignore[attr-defined]
    (folder / ".claim-0000000").touch()  # a lock that ended with its process
    with Claims(planned, planned.shards(), (0, 1)) as claims:
        assert list(claims) == [*planned.shards()[1:], 0]


def test_what_another_has_in_hand_is_left_to_it(planned: Plan) -> None:
    with planned.store.lock(".claim-0000002") as other, Claims(planned, planned.shards(), (0, 1)) as claims:
        other.take(wait=False)
        assert list(claims) == [number for number in planned.shards() if number != 2]


def test_the_shard_after_the_one_in_hand_is_known() -> None:
    assert list(with_following([3, 5, 4])) == [(3, 5), (5, 4), (4, None)]
    assert list(with_following([])) == []


def test_the_first_of_two_workers_does_all_and_the_second_finds_nothing_left(
    model: Path, codec: Codec, planned: Plan, finished: Path
) -> None:
    from xcodec.tokenization.engines.local import run_locally

    job = job_for(model, planned.store.folder)  # type: ignore[attr-defined]
    first, second = (tokenize(job, planned, codec, run_locally, worker=(i, 2)) for i in range(2))
    assert (first.standing.done, first.standing.left, second.seconds) == (12, 0, 0.0)
    assert_same_files(Path(job.folder), finished)
    runs = read_runs(planned.store)
    assert [run.place for run in runs] == ["worker 1/2", "worker 2/2"]
    assert runs[0].seconds > 0.0
    assert not list(Path(job.folder).glob(".claim*"))


# Ends


@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_that_is_killed_with_a_shard_in_hand_is_started_again(
    model: Path,
    codec: Codec,
    planned: Plan,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    struck = strike_workers(tmp_path / "strike", monkeypatch, "xcodec.tokenization.engines.worker_process", "SIGKILL")
    job = job_for(model, tmp_path / "out", workers=1)
    status = tokenize(job, planned, codec, Processes(count))
    assert struck.exists()
    assert (status.state, status.standing.left) == ("finished", 0)
    # Of two, the other one may have done all that was left before anyone looked.
    assert status.restarts == 1 if count == 1 else status.restarts <= 1
    assert set(counts(tmp_path / "out").values()) == {1}
    assert_same_files(tmp_path / "out", finished)
    assert set(status.speeds) <= {f"worker {number + 1}/{count}" for number in range(count)}
    assert not list((tmp_path / "out").glob(".claim*"))


# What is told


def test_a_run_logs_json_lines_and_writes_metrics_and_its_status_names_examples(
    model: Path, clips: Path, tmp_path: Path
) -> None:
    command = ["tokenize", clips, "-o", tmp_path / "out", "-m", model, "--readers", 1, "--ignore-unreadable"]
    command += ["--log-format", "json", "--metrics-file", tmp_path / "xcodec.prom"]
    done = CliRunner().invoke(app, list(map(str, command)))
    assert done.exit_code == 0
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines if line["event"].startswith("run")] == ["run started", "run finished"]
    assert {line["id"] for line in lines if line["event"] == "recording failed"} == {f"empty-{i}.wav" for i in range(5)}
    assert sum(line["recordings"] for line in lines if line["event"] == "shard written") == 12
    assert (lines[-1]["done"], lines[-1]["left"], lines[-1]["level"]) == (12, 0, "info")
    metrics = (tmp_path / "xcodec.prom").read_text()
    assert f'xcodec_tokenize_recordings{{output="{tmp_path}/out",run="all",state="done"}} 12\n' in metrics
    assert 'class="read: is empty, N bytes; expected audio"} 5' in metrics
    shown = CliRunner().invoke(app, ["tokenize", "status", str(tmp_path / "out")]).stdout
    assert "5  read: is empty, N bytes; expected audio" in shown
    assert "such as empty-0.wav, empty-1.wav, empty-2.wav\n" in shown
    check = ["tokenize", "status", str(tmp_path / "out"), "--check"]
    assert CliRunner().invoke(app, check).exit_code == 1
    assert CliRunner().invoke(app, [*check, "--ignore-unreadable"]).exit_code == 0


def test_an_error_is_a_line_of_the_log_too(model: Path, tmp_path: Path) -> None:
    command = ["tokenize", "-o", str(tmp_path / "out"), "-m", str(model), "--log-format", "json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    [line] = map(json.loads, done.stderr.splitlines())
    assert line["level"] == "error"
    assert "nothing is planned here yet" in line["event"]
    assert not is_logged()


def test_metrics_are_what_prometheus_reads(model: Path, codec: Codec, clips: Path, finished: Path) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="needs pip install prometheus-client")
    [status] = read_runs(FolderStore(finished))
    families = parser.text_string_to_metric_families(metrics_text(status, 'a "b"\\'))
    samples = {each.name: each for family in families for each in family.samples}
    assert samples["xcodec_tokenize_audio_seconds_total"].value == status.seconds
    assert samples["xcodec_tokenize_running"].labels == {"output": 'a "b"\\', "run": "all"}


def test_the_slowest_reads_are_remembered(finished: Path, clips: Path) -> None:
    [status] = read_runs(FolderStore(finished))
    assert 0 < len(status.slowest) <= 10
    assert all(read.uri.startswith(str(clips)) for read in status.slowest)
    reads = [SlowRead(str(i), 0.0, float(i), 1.0) for i in range(30)]
    assert [read.seconds_to_read for read in slowest_of(reads + reads)] == list(map(float, range(29, 19, -1)))


def test_a_status_file_of_an_earlier_version_is_read(finished: Path, tmp_path: Path) -> None:
    stored = json.loads((finished / "status.json").read_text())
    for name in ("worker", "speeds", "restarts", "slowest"):
        del stored[name]
    del stored["standing"]["failure_examples"]
    (tmp_path / "status.json").write_text(json.dumps(stored))
    [status] = read_runs(FolderStore(tmp_path))
    assert status.standing.done == Standing.of(Plan(finished)).done
