"""The Ray engine, on a cluster that it starts here: the same bytes, and nothing for ever."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
from ray.util.placement_group import placement_group, remove_placement_group  # noqa: E402

pytestmark = [
    pytest.mark.slow,  # a cluster starts in ten seconds, an actor with torch in as many
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]


STORE = {"object_store_memory": 100 * 2**20}
SHARD_HOURS = 0.0005  # makes five shards of the clips
PATHS = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")])


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Cluster]:
    """A cluster of one node with two processors; tests may add others."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", PATHS)
        environment.setenv("OMP_NUM_THREADS", "1")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, **STORE})
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
    run(job_for(model, folder), codec, clips, hours=SHARD_HOURS)
    return folder


def run_on_ray(folder: Path, model: Path, codec: Codec, clips: Path, engine: RayEngine, **options: Any) -> RunStatus:
    job = job_for(model, folder, workers=1)
    return tokenize(job, prepare(job, codec, Inputs([str(clips)]), SHARD_HOURS), codec, engine, "ray", **options)


@contextmanager
def all_processors_taken() -> Iterator[None]:
    """Reserve the processors that the cluster has, without a process, so that nothing else is done there."""
    group = placement_group([{"CPU": 2}])
    try:
        assert group.wait(60)
        yield
    finally:
        remove_placement_group(group)


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


def test_what_actors_that_die_or_stall_or_lose_their_node_had_in_hand_is_done_by_others(
    model: Path, codec: Codec, clips: Path, expected: Path, cluster: Cluster, tmp_path: Path
) -> None:
    """The first actor is killed, the second is stopped, and the third is on a node that is lost."""
    hurt: list[int] = []
    with ExitStack() as elsewhere:
        elsewhere.enter_context(all_processors_taken())
        lost = cluster.add_node(num_cpus=2, **STORE)
        cluster.wait_for_nodes()

        def hurt_actor(_: RunStatus) -> None:
            if not (fresh := [each for each in actor_processes() if each not in hurt]):
                return
            hurt.append(fresh[0])
            if len(hurt) < 3:
                os.kill(fresh[0], [signal.SIGKILL, signal.SIGSTOP][len(hurt) - 1])
            elif len(hurt) == 3:
                cluster.remove_node(lost, allow_graceful=False)
                elsewhere.close()
                wait_until(lambda: fresh[0] not in actor_processes())  # or it would do what is left before it dies

        engine = RayEngine(actors=1, attempts=5, stall_seconds=8.0)
        status = run_on_ray(tmp_path, model, codec, clips, engine, on_status=hurt_actor)
    assert len(hurt) >= 3  # a fourth does the rest, seen or not
    assert status.restarts >= 3
    assert list(status.speeds) == ["actor 1/1"]
    assert set(counts(tmp_path).values()) == {1}
    assert output_of(tmp_path) == output_of(expected)


DRIVER = """
import pickle, sys, time
from pathlib import Path
from xcodec.tokenization.engines.ray import RayEngine
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.run import tokenize

def stay(status):
    print("a shard is done", flush=True)
    time.sleep(1000)

job = pickle.loads(Path(sys.argv[2]).read_bytes())
tokenize(job, Plan(job.folder), None, RayEngine(actors=1, address=sys.argv[1]), "ray", on_status=stay)
"""


def test_where_the_driver_is_lost_two_actors_of_another_give_the_same_bytes(
    model: Path, codec: Codec, clips: Path, expected: Path, cluster: Cluster, tmp_path: Path
) -> None:
    job, folder = tmp_path / "job", tmp_path / "out"
    job.write_bytes(pickle.dumps(job_for(model, folder, workers=1)))
    plan = prepare(job_for(model, folder), codec, Inputs([str(clips)]), SHARD_HOURS)
    command = [sys.executable, "-W", "ignore", "-c", DRIVER, cluster.address, str(job)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert any(line == "a shard is done\n" for line in driver.stdout)  # Ray may say something before it
        driver.kill()
    wait_until(lambda: not actor_processes())
    assert 0 < len(plan.done()) < plan.fingerprint.shards - 1
    status = run_on_ray(folder, model, codec, clips, RayEngine(actors=2))
    assert (status.standing.done, status.standing.failed, status.standing.left) == (16, 1, 0)
    assert read_runs(FolderStore(folder))[0].engine == "ray"
    assert_same_files(folder, expected)


def test_a_shard_that_always_fails_is_given_up(model: Path, codec: Codec, clips: Path, tmp_path: Path) -> None:
    job = job_for(model, tmp_path, workers=1)
    plan = prepare(job, codec, Inputs([str(clips)]), 1.0)
    (tmp_path / "codes").rmdir()
    (tmp_path / "codes").write_text("in the way of every shard")
    with pytest.raises(IncompleteError, match=r"1 shards were given up; .* shard 0, tried 2 times: .*codes"):
        tokenize(job, plan, codec, RayEngine(actors=1, attempts=2), "ray")
    assert Plan(tmp_path).done() == []


def test_a_cluster_that_gives_no_actor_is_an_error(model: Path, codec: Codec, clips: Path, tmp_path: Path) -> None:
    gave_none = pytest.raises(ClusterError, match=r"gave no actor within 2 s: it has 2 processors and 0 GPUs")
    with all_processors_taken(), gave_none:
        run_on_ray(tmp_path, model, codec, clips, RayEngine(actors=1, start_seconds=2.0))


def test_a_missing_ray_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'xcodec\[ray\]'"):
        engine_module.import_ray()
