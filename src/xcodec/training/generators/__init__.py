"""The codecs in training, one file a family: from a batch to a reconstruction and the family's own losses."""

from xcodec.models.xcodec import XcodecModel
from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.training.generators.decoder import DecoderGenerator
from xcodec.training.generators.generator import Generator, GeneratorOutput
from xcodec.training.generators.xcodec import XcodecGenerator
from xcodec.training.generators.xcodec2 import Xcodec2Generator
from xcodec.training.recipe import Recipe
from xcodec.training.starting_point import build_model

__all__ = ["Generator", "GeneratorOutput", "build_generator"]


def build_generator(recipe: Recipe) -> Generator:
    """Build what `recipe` trains, as `build_model` does, with what training needs beside it."""
    model, drawn = build_model(recipe)
    if isinstance(model, XcodecModel):
        return XcodecGenerator(model, recipe.frozen, recipe.loss, drawn)
    assert isinstance(model, Xcodec2Model)
    if recipe.trains == "xcodec2-decoder":
        return DecoderGenerator(model, recipe.loss, drawn)
    return Xcodec2Generator(model, recipe.frozen, recipe.loss, drawn)
