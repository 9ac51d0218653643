"""The Ray engine, on a cluster that it starts here: the same bytes, and nothing for ever."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tokenize_builders import assert_same_files, counts, job_for, output_of, run, write_clips
from waiting import wait_until
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

from ray.cluster_utils import Cluster  # noqa: E402

pytestmark = [
    pytest.mark.slow,  # a cluster starts in ten seconds, an actor with torch in as many
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]


STORE = {"object_store_memory": 100 * 2**20}
PATHS = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")])


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Cluster]:
    """A cluster of one node with two processors, beside one that does nothing; tests may add others."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", PATHS)
        environment.setenv("OMP_NUM_THREADS", "1")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **STORE})
        cluster.add_node(num_cpus=2, **STORE)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        yield cluster
        ray.shutdown()
        cluster.shutdown()


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
    assert len(list((expected / "codes").iterdir())) > 2
    assert_same_files(tmp_path, expected)


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


@ray.remote(num_cpus=2)
class Occupant:
    """Takes the processors of a node, so that nothing else is done there."""

    def ready(self) -> bool:
        return True


def test_what_a_lost_node_had_in_hand_is_done_on_another(
    model: Path, codec: Codec, clips: Path, expected: Path, cluster: Cluster, tmp_path: Path
) -> None:
    occupant = Occupant.remote()
    ray.get(occupant.ready.remote())
    lost = [cluster.add_node(num_cpus=2, **STORE)]
    cluster.wait_for_nodes()

    def lose_node(_: RunStatus) -> None:
        if lost:
            cluster.remove_node(lost.pop(), allow_graceful=False)
            ray.kill(occupant)

    status = run_on_ray(tmp_path, model, codec, clips, RayEngine(actors=1), on_status=lose_node)
    assert not lost
    assert (status.restarts, list(status.speeds)) == (1, ["actor 1/1"])
    assert set(counts(tmp_path).values()) == {1}
    assert_same_files(tmp_path, expected)


DRIVER = """
import sys, time
from pathlib import Path
from tokenize_builders import job_for
from xcodec.tokenization.engines.ray import RayEngine
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.run import tokenize

def stay(status):
    print("a shard is done", flush=True)
    time.sleep(1000)

address, model, out = sys.argv[1:]
job = job_for(Path(model), Path(out), workers=1)
tokenize(job, Plan(out), None, RayEngine(actors=1, address=address), "ray", on_status=stay)
"""


def test_where_the_driver_is_lost_another_one_goes_on(
    model: Path, codec: Codec, clips: Path, expected: Path, cluster: Cluster, tmp_path: Path
) -> None:
    prepare(job_for(model, tmp_path), codec, Inputs([str(clips)]), 0.001)
    command = [sys.executable, "-W", "ignore", "-c", DRIVER, cluster.address, str(model), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "a shard is done\n"
        driver.kill()
    wait_until(lambda: not actor_processes())
    assert 0 < len(Plan(tmp_path).done()) < Plan(tmp_path).fingerprint.shards
    status = run_on_ray(tmp_path, model, codec, clips, RayEngine(actors=1))
    assert status.standing.left == 0
    assert_same_files(tmp_path, expected)


def test_a_shard_that_always_fails_is_given_up(model: Path, codec: Codec, clips: Path, tmp_path: Path) -> None:
    job = job_for(model, tmp_path, workers=1)
    plan = prepare(job, codec, Inputs([str(clips)]), 1.0)
    (tmp_path / "codes").rmdir()
    (tmp_path / "codes").write_text("in the way of every shard")
    with pytest.raises(IncompleteError, match=r"1 shards were given up; .* shard 0, tried 2 times: .*codes"):
        tokenize(job, plan, codec, RayEngine(actors=1, attempts=2), "ray")
    assert Plan(tmp_path).done() == []


def test_a_cluster_that_gives_no_actor_is_an_error(model: Path, codec: Codec, clips: Path, tmp_path: Path) -> None:
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
