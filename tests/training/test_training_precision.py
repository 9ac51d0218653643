"""Where a recipe leaves the precision open, the first steps of a run decide it, and the run keeps to it."""

from pathlib import Path

import pytest

from builders import speech
from training_builders import Clips, tiny_recipe
from xcodec.training.precision import Precisions
from xcodec.training.trainer import Trainer

STEPS = 10  # in which it is settled


@pytest.mark.parametrize(("float32", "bfloat16", "quicker"), [(1.0, 2.0, "float32"), (2.0, 1.0, "bfloat16")])
def test_steps_are_made_in_both_in_turn_and_then_in_the_quicker(float32: float, bfloat16: float, quicker: str) -> None:
    """The first step of each is slow, and one later step is: neither decides."""
    precisions = Precisions("auto")
    seconds = {"float32": [9 * float32, float32, 9.0, float32, float32], "bfloat16": [99 * bfloat16] + 4 * [bfloat16]}
    made = []
    for step in range(STEPS):
        assert precisions.settled is None
        made.append(precisions.next)
        precisions.took(seconds[made[-1]][step // 2])
    assert made == ["float32", "bfloat16"] * (STEPS // 2)
    assert precisions.settled == precisions.next == quicker


@pytest.mark.parametrize("asked", ["float32", "bfloat16", "float16"])
def test_what_a_recipe_says_is_not_measured(asked: str) -> None:
    precisions = Precisions(asked)
    precisions.took(1.0)
    assert precisions.settled == precisions.next == asked


@pytest.mark.gradients
def test_a_run_keeps_what_it_settled_for_when_it_is_taken_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Clips(list(speech(24.0).reshape(8, -1)))

    def run(steps: int) -> Trainer:
        trainer = Trainer(tiny_recipe(tmp_path, f"steps={steps}", "precision=auto"), source, tmp_path / "run")
        trainer.run()
        return trainer

    assert run(STEPS - 1).precisions.settled is None
    with caplog.at_level("INFO", "xcodec.training"):
        settled = run(2 * STEPS).precisions.settled
    assert f"{settled} is the quicker precision here" in caplog.text
    state = run(2 * STEPS).state()
    assert state["precision"] == settled
    assert settled in ("float32", "bfloat16")
