"""The recipe of the built-in model, with a tiny model in its place."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from builders import speech
from training_builders import TINY, Clips
from xcodec.training.recipe import BUILT_IN, Recipe
from xcodec.training.trainer import Trainer

STEPS = 50


@pytest.mark.gradients
def test_the_losses_of_mini_fall_in_the_first_fifty_steps(tmp_path: Path) -> None:
    """Without the recogniser, which no test has. What STOI hears falls later."""
    sections = yaml.safe_load((BUILT_IN / "mini.yaml").read_text())
    tiny = {name: x for name, x in yaml.safe_load(TINY)["model"].items() if name in sections["model"]}
    tiny |= {"encoder_hidden_size": 16, "encoder_intermediate_size": 24, "encoder_num_layers": 1, "encoder_mel_bins": 9}
    decoder = {"decoder_hidden_size": 32, "decoder_intermediate_size": 48, "decoder_num_layers": 1}
    sections |= {"parts_from": {}, "model": tiny | decoder | {"filter_hidden_size": 16}, "precision": "float32"}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(sections))
    settings = ("loss.perceptual=0", f"steps={STEPS}", "optimizer.warmup_steps=5", "data.batch_seconds=1")
    recipe = Recipe.read(path, (*settings, "optimizer.learning_rate=4.0e-3"))
    trainer = Trainer(recipe, Clips(list(speech(24.0).reshape(8, -1))), tmp_path / "run")
    steps = []
    train_step = trainer.train_step

    def step(batches):
        steps.append(train_step(batches))
        return steps[-1]

    trainer.train_step = step
    trainer.run()
    for name in ("mel", "stft", "loss"):
        values = [each[name] for each in steps]
        assert np.mean(values[-10:]) < 0.95 * np.mean(values[:10]), name
