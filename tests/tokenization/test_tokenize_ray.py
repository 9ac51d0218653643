"""The Ray engine, on a cluster that it starts here: the same bytes, and nothing for ever."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tokenize_builders import counts, job_for, output_of, run, write_clips
from xcodec.codec import Codec
from xcodec.errors import MissingExtraError
from xcodec.tokenization.engines import ray as engine_module
from xcodec.tokenization.engines.ray import ClusterError, RayEngine
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.run import IncompleteError, prepare, tokenize
from xcodec.tokenization.status import RunStatus, read_runs
from xcodec.tokenization.stores import FolderStore

ray = pytest.importorskip("ray", reason="needs pip install 'xcodec[ray]'")

pytestmark = [
    pytest.mark.slow,  # a cluster starts in ten seconds, an actor with torch in as many
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    paths = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, 16)
    (folder / "empty.wav").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def expected(model: Path, codec: Codec, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("expected")
    run(job_for(model, folder), codec, clips)
    return folder


def run_on_ray(folder: Path, model: Path, codec: Codec, clips: Path, engine: RayEngine, **options: Any) -> RunStatus:
    job = job_for(model, folder, workers=1)
    return tokenize(job, prepare(job, codec, Inputs([str(clips)]), 0.001), codec, engine, "ray", **options)


def actor_processes() -> list[int]:
    """The processes of living actors, by what Ray calls them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::ShardActor" in path.read_bytes() and os.getuid() == path.stat().st_uid:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_two_actors_give_the_same_bytes(model: Path, codec: Codec, clips: Path, expected: Path, tmp_path: Path) -> None:
    status = run_on_ray(tmp_path, model, codec, clips, RayEngine(actors=2))
    assert (status.standing.done, status.standing.failed, status.standing.left) == (16, 1, 0)
    assert read_runs(FolderStore(tmp_path))[0].engine == "ray"
    files = sorted(path.name for path in (expected / "codes").iterdir())
    assert len(files) > 2
    for name in files:
        assert (tmp_path / "codes" / name).read_bytes() == (expected / "codes" / name).read_bytes()


def test_shards_of_actors_that_die_or_stall_are_taken_over(
    model: Path, codec: Codec, clips: Path, expected: Path, tmp_path: Path
) -> None:
    hurt: list[tuple[int, int]] = []

    def hurt_actor(_: RunStatus) -> None:
        signals = [signal.SIGKILL, signal.SIGSTOP]
        known = {process for process, _ in hurt}
        if len(hurt) < len(signals) and (fresh := [each for each in actor_processes() if each not in known]):
            hurt.append((fresh[0], signals[len(hurt)]))
            os.kill(*hurt[-1])

    run_on_ray(tmp_path, model, codec, clips, RayEngine(actors=1, stall_seconds=8.0), on_status=hurt_actor)
    assert [each for _, each in hurt] == [signal.SIGKILL, signal.SIGSTOP]
    assert set(counts(tmp_path).values()) == {1}
    assert output_of(tmp_path) == output_of(expected)


def test_a_shard_that_always_fails_is_given_up(model: Path, codec: Codec, clips: Path, tmp_path: Path) -> None:
    job = job_for(model, tmp_path, workers=1)
    plan = prepare(job, codec, Inputs([str(clips)]), 1.0)
    (tmp_path / "codes").rmdir()
    (tmp_path / "codes").write_text("in the way of every shard")
    with pytest.raises(IncompleteError, match=r"1 of 1 shards were given up; .* shard 0, tried 2 times: .*codes"):
        tokenize(job, plan, codec, RayEngine(actors=1, attempts=2), "ray")
    assert Plan(tmp_path).done() == []


def test_a_cluster_that_gives_no_actor_is_an_error(model: Path, codec: Codec, clips: Path, tmp_path: Path) -> None:
    @ray.remote(num_cpus=2)
    class Occupant:
        def ready(self) -> bool:
            return True

    occupant = Occupant.remote()
    ray.get(occupant.ready.remote())
    try:
        with pytest.raises(ClusterError, match=r"gave no actor within 2 s: it has 2 processors and 0 GPUs"):
            run_on_ray(tmp_path, model, codec, clips, RayEngine(actors=1, start_seconds=2.0))
    finally:
        ray.kill(occupant)


def test_a_missing_ray_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'xcodec\[ray\]'"):
        engine_module.import_ray()
