"""The recipe of a training run: one YAML file, read strictly, so that a misspelt key is an error and not a default."""

import inspect
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from huggingface_hub.errors import StrictDataclassError
from pydantic import Field, ValidationError, model_validator

from xcodec.errors import InputError, one_line, require
from xcodec.models.family import Family
from xcodec.models.registry import FAMILIES
from xcodec.training.sections import (
    AdversarialRecipe,
    AugmentationRecipe,
    Count,
    DataRecipe,
    LossRecipe,
    OptimizerRecipe,
    Probability,
    Section,
    SynthesisRecipe,
    ValidationRecipe,
)

__all__ = ["Recipe"]

SUFFIX = ".yaml"
VOCOS = ("xcodec_vocos", "harmonic_xcodec")  # of X-Codec's kinds, those without what only training uses
DECODER = "-decoder"  # how the names of what is trained end where it is a decoder alone
BUILT_IN = Path(__file__).parent / "recipes"


class Recipe(Section):
    """Everything that decides a run's outcome, except for the machine it runs on."""

    trains: Literal[
        "xcodec2",
        "harmonic_xcodec2",
        "xcodec2-decoder",
        "causal_xcodec2-decoder",
        "xcodec",
        "xcodec_vocos",
        "harmonic_xcodec",
    ] = "xcodec2"
    """X-Codec2; its decoder alone, or a causal one, from stored codes; X-Codec, with its own decoder or Vocos; or the
    small kind of either, which reads spectra and has a harmonic decoder."""
    model: dict[str, Any] = Field(default_factory=dict)
    """Fields of the family's configuration; what is not said is as in the model that the run starts from. Of a causal
    decoder for the codes of an X-Codec2 only what makes the codes is."""
    initialize_from: str | None = None
    """The model that the run starts from: a built-in one, a folder or hub id, or the state file of another run."""
    semantic_from: str | None = None
    """Where a run that starts from nothing takes its semantic encoder: a folder or hub id that transformers reads."""
    parts_from: dict[str, str] = Field(default_factory=dict)
    """Where a run that starts from nothing takes parts of its model, by their names: built-in models, folders or hub
    ids of models that have a part of that name. What fits there by name and shape is taken, the rest drawn."""
    frozen: list[str] = Field(default_factory=list)
    """Parts of the model that are not trained."""
    highest_bandwidth: Probability = 0.0
    """X-Codec: how often a batch has the highest bandwidth; else one is drawn among all, each as likely as another."""
    seed: int = 0
    steps: Count = 10_000
    accumulate: Count = 1
    """Batches whose gradients are added up for one step."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """What autocast computes in; weights and their optimizer stay in float32. "auto" makes the first steps of a run in
    float32 and bfloat16 in turn, goes on in the quicker one, and keeps to it when the run is taken up again."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights, which is then what is validated and exported; 0 keeps none."""
    synthesis: SynthesisRecipe | None = None
    """Speech to make where the folder to train on does not exist."""
    data: DataRecipe = DataRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    loss: LossRecipe = LossRecipe()
    adversarial: AdversarialRecipe | None = None
    optimizer: OptimizerRecipe = OptimizerRecipe()
    validation: ValidationRecipe = ValidationRecipe()

    @property
    def family(self) -> Family:
        """The codec whose model is trained, or a part of it."""
        return FAMILIES[self.trains.removesuffix(DECODER)]

    @property
    def trains_decoder(self) -> bool:
        """Whether only a decoder is trained, from stored codes."""
        return self.trains.endswith(DECODER)

    @model_validator(mode="after")
    def _check_model_and_losses(self) -> "Recipe":
        """Refuse what the configuration would take for a field of its own, and never look at again."""
        _check_model(self.family, self.model)
        if not self.model_fields_set & {"model", "initialize_from", "semantic_from"}:
            raise ValueError("model: Field required, or initialize_from, or semantic_from for the released size")
        if self.loss.perceptual and self.loss.perceptual_model is None:
            raise ValueError("loss.perceptual_model: Field required where loss.perceptual is not 0")
        if self.loss.head and not self.trains.startswith(("xcodec2", "xcodec_vocos")):
            raise ValueError("loss.head: only the head of X-Codec2 and of Vocos asks for a spectrum; give 0")
        self._check_teacher()
        if self.loss.pitch and not self.trains.startswith("harmonic_"):
            raise ValueError("loss.pitch: only a harmonic decoder predicts a pitch; give 0")
        if self.trains_decoder and not self.augmentation.changes_nothing:
            raise ValueError(
                "augmentation: stored codes are of recordings as they are; give level_db: null, speed: [1, 1] and "
                "probabilities of 0"
            )
        return self

    def _check_teacher(self) -> None:
        """Refuse a semantic loss that nothing is there for, and a teacher that nobody hears."""
        loss = self.loss
        if loss.semantic_teacher is not None and not (loss.semantic and self.trains in ("xcodec", *VOCOS)):
            raise ValueError(
                f"loss.semantic_teacher: it teaches an X-Codec where loss.semantic is not 0; trains={self.trains}, "
                f"loss.semantic={loss.semantic:g}"
            )
        if loss.semantic and loss.semantic_teacher is None and self.trains in VOCOS:
            raise ValueError(
                f"loss.semantic: {self.trains} has nothing that decodes semantic states; give 0, or a "
                "loss.semantic_teacher"
            )

    @classmethod
    def read(cls, source: str | Path, overrides: tuple[str, ...] = ()) -> "Recipe":
        """Read a recipe.

        Args:
            source: a YAML file, or the name of one that comes with the package, as "mini".
            overrides: settings "key=value" that replace the file's, with dots into sections: "optimizer.clip=0.5".

        Raises:
            InputError: where there is no such recipe, it is no YAML, or a key or value in it is wrong; the message
                lists each.
            MissingExtraError: without pyyaml.
        """
        path = Path(source)
        if not path.suffix:
            path = BUILT_IN / f"{source}{SUFFIX}"
        if not path.is_file():
            built_in = ", ".join(sorted(file.stem for file in BUILT_IN.glob(f"*{SUFFIX}")))
            raise InputError(
                f"no recipe at {path}", remedy=f"give a YAML file, or one of the built-in recipes: {built_in}"
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the recipe {path} cannot be read: {error}") from None
        values = _parsed(text, f"the recipe {path}")
        values = {} if values is None else values  # an empty file
        if not isinstance(values, dict):
            raise InputError(f"the recipe {path} holds a {type(values).__name__}; expected keys and values")
        for override in overrides:
            _override(values, override)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = [f"  {_problem_text(one)}" for one in error.errors()]
            count = f"{len(problems)} place{'s' * (len(problems) != 1)}"
            raise InputError(f"the recipe {path} is wrong in {count}:\n" + "\n".join(problems)) from error


def _problem_text(problem: Any) -> str:
    """Write where a problem is, and what it is."""
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(map(str, problem['loc']))}: {message}" if problem["loc"] else message


def _check_model(family: Family, model: dict[str, Any]) -> None:
    """Refuse fields and values that describe no model."""
    config: Any = family.config
    try:
        _check_names(model, config.field_names(), "")
        semantic = model.get("semantic_model_config")
        if isinstance(semantic, dict):
            known = inspect.signature(type(config().semantic_model_config)).parameters
            _check_names(semantic, set(known), "semantic_model_config.")
        config(**model)
    except (TypeError, AttributeError, ValueError, StrictDataclassError) as error:
        raise ValueError(f"model: {one_line(error)}") from None


def _parsed(text: str, name: str) -> Any:
    """Parse YAML, or say where it goes wrong."""
    yaml = require("yaml", "train", "pyyaml")
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name} is not YAML: {one_line(error)}") from None


def _override(values: dict[Any, Any], setting: str) -> None:
    """Put a "key=value" into a recipe's values."""
    key, separator, value = setting.partition("=")
    if not separator:
        raise InputError(f"a setting reads key=value, as optimizer.clip=0.5, but {setting!r} was given")
    *sections, leaf = key.split(".")
    target = values
    for section in sections:
        target[section] = target.get(section) or {}
        target = target[section]
        if not isinstance(target, dict):
            raise InputError(f"the setting {setting!r} goes into {section!r}, which is a value and no section")
    target[leaf] = _parsed(value, f"the value of the setting {setting!r}")


def _check_names(given: dict[str, Any], known: set[str], prefix: str) -> None:
    """Refuse names that are no fields of a configuration."""
    known = known - {"self", "kwargs"} | {"model_type"}
    for name in given:
        if name not in known:
            close = get_close_matches(str(name), known, 1)
            raise ValueError(f"no field is called {prefix}{name}" + (f"; is it {prefix}{close[0]}?" if close else ""))
