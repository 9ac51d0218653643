"""Recipes are read strictly, and those that come with the package describe what can be built."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from xcodec.errors import InputError
from xcodec.models.xcodec import XcodecConfig, XcodecModel
from xcodec.models.xcodec2 import Xcodec2Config, Xcodec2Model
from xcodec.training.optimization import learning_rate
from xcodec.training.recipe import BUILT_IN, Recipe
from xcodec.training.sections import OptimizerRecipe


def test_the_recipe_of_a_small_xcodec2_is_read_and_describes_a_model_of_at_most_15_million_parameters() -> None:
    from xcodec.models.xcodec2 import Xcodec2Config

    small = Recipe.read("xcodec2-small")
    with torch.device("meta"):
        model = Xcodec2Model(Xcodec2Config(**small.model))
    assert sum(parameter.numel() for parameter in model.parameters()) <= 15e6
    assert model.config.codebook_size == 65_536
    assert model.config.frame_rate == 50.0


def test_unknown_keys_and_wrong_values_are_errors_that_name_them(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("model: {}\nstpes: 5\noptimizer: {clip: -1}\n")
    with pytest.raises(InputError, match=r"wrong in 2 places(.|\n)*optimizer\.clip: (.|\n)*stpes: Extra inputs"):
        Recipe.read(path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{hiden_size: 64}", "model: .*no field is called hiden_size; is it hidden_size"),
        (
            "{semantic_model_config: {layer_drop: 0.0}}",
            "model: .*called semantic_model_config.layer_drop; is it .*layerdrop",
        ),
        ("{zzz: 1}", "model: .*no field is called zzz$"),
        ("{hidden_size: 100}", "model: .*hidden_size"),  # names are right, values do not fit
        ("{semantic_model_config: {num_hidden_layers: many}}", "model: .*num_hidden_layers"),
        ("[1]", "model: .*dictionary"),
    ],
)
def test_a_model_that_cannot_be_meant_is_an_error_that_names_the_field(
    tmp_path: Path, model: str, message: str
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"model: {model}\n")
    with pytest.raises(InputError, match=rf"recipe\.yaml is wrong in 1 place:\n  {message}"):
        Recipe.read(path)


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"", (), r"is wrong in 1 place:\n  model: Field required"),
        (b"", ("steps=5",), r"is wrong in 1 place:\n  model: Field required"),
        (b"model: {", (), "is not YAML: while parsing a flow node"),
        (b"model: {}\nseed: 2001-99-99\n", (), "is not YAML: month must be in 1..12"),
        (b"- 1\n", (), "holds a list; expected keys and values"),
        (b"\xff\xfe\xff", (), "cannot be read"),
        (b"model: {}", ("steps=[",), r"the value of the setting 'steps=\[' is not YAML"),
        (b"model: {}\nsteps: 5", ("steps.x=1",), r"the setting 'steps\.x=1' goes into 'steps', which is a value"),
    ],
)
def test_a_recipe_that_cannot_be_read_says_why(
    tmp_path: Path, content: bytes, settings: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Recipe.read(path, settings)


def test_a_section_that_the_file_leaves_empty_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("model: {}\noptimizer:\n")
    assert Recipe.read(path, ("optimizer.clip=0.5",)).optimizer.clip == 0.5


def test_settings_replace_what_the_file_says() -> None:
    changed = Recipe.read("mini", ("steps=7", "optimizer.clip=0.5", "data.crop_seconds=[1, 2]"))
    assert (changed.steps, changed.optimizer.clip, changed.data.crop_seconds) == (7, 0.5, (1.0, 2.0))
    with pytest.raises(InputError, match=r"key=value, as optimizer\.clip=0\.5, but 'steps' was given"):
        Recipe.read("mini", ("steps",))


def test_a_recipe_that_does_not_exist_is_said_with_those_that_do() -> None:
    with pytest.raises(InputError, match=r"no recipe at .*maxi.yaml(.|\n)*built-in recipes: mini"):
        Recipe.read("maxi")


def test_the_learning_rate_warms_up_and_falls_to_the_end() -> None:
    rates = [learning_rate(OptimizerRecipe(warmup_steps=10), step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(5e-5)
    assert max(rates) == pytest.approx(5e-4)
    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(2e-5)


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN.glob("*.yaml")))
def test_every_built_in_recipe_is_read(name: str) -> None:
    recipe = Recipe.read(name)
    assert recipe.adversarial is not None or recipe.loss.pitch > 0, "more than spectra"
    assert recipe.steps >= 2000
    parts = recipe.family.model
    with torch.device("meta"):
        model = parts(parts.config_class(**recipe.model))
    for part in recipe.frozen:
        assert model.get_submodule(part) is not None


def test_the_released_recipes_are_the_size_of_what_was_released() -> None:
    with torch.device("meta"):
        for name, config, model, count in (
            ("xcodec2", Xcodec2Config, Xcodec2Model, 629_281_706),
            ("xcodec", XcodecConfig, XcodecModel, 160_698_625),
        ):
            built = model(config(**Recipe.read(name).model))
            assert sum(parameter.numel() for parameter in built.parameters()) == count


def test_a_decoder_for_stored_codes_takes_recordings_as_they_are() -> None:
    assert Recipe.read("xcodec2-decoder").augmentation.changes_nothing
    with pytest.raises(InputError, match="augmentation: stored codes are of recordings as they are"):
        Recipe.read("xcodec2-decoder", ("augmentation.noise_probability=0.5",))


def test_a_perceptual_loss_needs_its_model() -> None:
    with pytest.raises(InputError, match=r"loss\.perceptual_model: Field required"):
        Recipe.read("mini", ("loss.perceptual_model=null",))
