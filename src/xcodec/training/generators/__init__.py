"""The codecs in training, one file a family: from a batch to a reconstruction and the family's own losses."""

from xcodec.models.xcodec import XcodecModel
from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.training.generators.decoder import DecoderGenerator
from xcodec.training.generators.generator import Generator, GeneratorOutput
from xcodec.training.generators.xcodec import XcodecGenerator
from xcodec.training.generators.xcodec2 import Xcodec2Generator
from xcodec.training.recipe import Recipe
from xcodec.training.starting_point import StartingPoint, build_model

__all__ = ["Generator", "GeneratorOutput", "build_generator"]


def build_generator(recipe: Recipe) -> Generator:
    """Build what `recipe` trains, as `build_model` does, with what training needs beside it."""
    start = build_model(recipe)
    generator = _generator_of(start, recipe)
    start.keep_maker(generator.frozen)
    return generator


def _generator_of(start: StartingPoint, recipe: Recipe) -> Generator:
    if isinstance(start.model, XcodecModel):
        return XcodecGenerator(start.model, recipe.frozen, recipe.loss, recipe.highest_bandwidth, start.drawn)
    assert isinstance(start.model, Xcodec2Model)
    if recipe.trains_decoder:
        return DecoderGenerator(start.model, recipe.loss, start.drawn)
    return Xcodec2Generator(start.model, recipe.frozen, recipe.loss, start.drawn)
