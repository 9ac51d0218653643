"""Two processes train one model: gradients of codec and discriminators are averaged, and weights stay equal."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys; sys.path.insert(0, sys.argv[2])
from pathlib import Path
import torch
import torch.distributed as dist
torch.set_num_threads(1)
from builders import speech
from training_builders import Clips, tiny_recipe
from xcodec.training.distributed import joined
from xcodec.training.trainer import Trainer


def watched(trainer):
    # The gradients that the optimizers are given, in order of the parameters.
    seen = {}
    for name in ("_generator_optimization", "_discriminator_optimization"):
        optimization = getattr(trainer, name)
        def update(rate, optimization=optimization, name=name, update=optimization.update):
            seen[name] = [None if p.grad is None else p.grad.clone() for p in optimization.parameters]
            return update(rate)
        optimization.update = update
    return seen


with joined("cpu") as processes:
    assert processes.count == 2
    folder = Path(sys.argv[1])
    settings = ("accumulate=2", "adversarial.lead_steps=0", "optimizer.warmup_steps=0")
    recipe = tiny_recipe(folder / str(processes.rank), *settings)
    source = Clips(list(speech(24.0).reshape(8, -1)))
    together = Trainer(recipe, source, folder / "run", processes)
    made = [together.batches.batch(step, together.position)[0] for step in range(2)]
    mine = made[0].waveform[0, :1000].contiguous()
    both = [torch.empty_like(mine) for _ in range(2)]
    dist.all_gather(both, mine)
    assert not torch.equal(*both), "the processes see different audio"
    together.generator.begin(made[0])  # from each one's own batch: the first one's has to hold for both
    processes.broadcast(together.generator)
    together.generator.drawn = frozenset()
    shared = watched(together)

    alone = Trainer(recipe, source, folder / f"alone-{processes.rank}")
    alone.generator.load_state_dict(together.generator.state_dict())
    alone.generator.drawn = frozenset()
    alone.processes = type(processes)(torch.device("cpu"), rank=processes.rank)
    own = watched(alone)
    together.train_step(made)
    alone.train_step(made)
    for name in ("_generator_optimization", "_discriminator_optimization"):
        assert len(shared[name]) > 10
        for i, (ours, theirs) in enumerate(zip(shared[name], own[name])):
            mean = torch.zeros_like(together.__dict__[name].parameters[i]) if theirs is None else theirs.clone()
            dist.all_reduce(mean)
            ours = torch.zeros_like(mean) if ours is None else ours
            torch.testing.assert_close(ours, mean / 2, rtol=1e-3, atol=1e-5)

    for step in range(2, 5):
        together.train_step([together.batches.batch(step, together.position)[0]] * 2)
    for part in (together.generator, together.discriminators):
        for name, tensor in part.state_dict().items():
            first = tensor.clone()
            dist.broadcast(first, 0)
            assert torch.equal(first, tensor), name
    together.save()
    again = Trainer(recipe, source, folder / "run", processes)
    assert again.step == together.step == 4
    (folder / f"equal-{processes.rank}").touch()  # not a line: lines of several processes may run into each other
"""


CODEBOOKS = """
import sys; sys.path.insert(0, sys.argv[2])
from pathlib import Path
import torch
import torch.distributed as dist
torch.set_num_threads(1)
from builders import speech
from training_builders import Clips, tiny_recipe
from xcodec_builders import TINY_ACOUSTIC, TINY_SEMANTIC
from xcodec.training.distributed import joined
from xcodec.training.trainer import Trainer

with joined("cpu") as processes:
    folder = Path(sys.argv[1])
    model = {"semantic_model_config": TINY_SEMANTIC, "acoustic_model_config": TINY_ACOUSTIC, "codebook_size": 16}
    recipe = tiny_recipe(
        folder / str(processes.rank),
        trains="xcodec",
        model=model | {"target_bandwidths": [0.2, 0.4, 0.8]},
        loss={"mel": 1.0, "commitment": 1.0},
        adversarial=None,
    )
    trainer = Trainer(recipe, Clips(list(speech(24.0).reshape(8, -1))), folder / "run", processes)
    for step in range(6):
        trainer.train_step([trainer.batches.batch(step, trainer.position)[0]])
    for name, tensor in trainer.generator.state_dict().items():
        first = tensor.clone()
        dist.broadcast(first, 0)
        assert torch.equal(first, tensor), name
    (folder / f"equal-{processes.rank}").touch()
"""


def run_in_two_processes(script: str, folder: Path) -> None:
    """Run a script that leaves a file for each process that came to its end."""
    (folder / "script.py").write_text(script)
    for rank in range(2):
        (folder / str(rank)).mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ran = subprocess.run(
        [*command, str(folder / "script.py"), str(folder), str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert all((folder / f"equal-{rank}").exists() for rank in range(2))


@pytest.mark.gradients
def test_two_processes_average_the_gradients_of_codec_and_discriminators(tmp_path: Path) -> None:
    run_in_two_processes(SCRIPT, tmp_path)


@pytest.mark.gradients
def test_codebooks_of_two_processes_stay_equal_whatever_bandwidths_are_drawn(tmp_path: Path) -> None:
    run_in_two_processes(CODEBOOKS, tmp_path)
