"""The recipe of a training run: one YAML file, read strictly, so that a misspelt key is an error and not a default."""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from huggingface_hub.errors import StrictDataclassError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from transformers import Wav2Vec2BertConfig

from xcodec.errors import InputError, MissingExtraError
from xcodec.models.xcodec2 import Xcodec2Config

__all__ = [
    "AugmentationRecipe",
    "LossRecipe",
    "OptimizerRecipe",
    "Recipe",
    "SynthesisRecipe",
    "ValidationRecipe",
]

Probability = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[float, float]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SynthesisRecipe(_Section):
    """Which speech is made, and how much."""

    seed: int = 0
    hours: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=lambda: {"espeak": 1.0})
    """Hours of speech by synthesizer: espeak, flite, festival."""
    optional: list[str] = []
    """Synthesizers that are left out, with a notice, where they are not installed."""
    recordings: str | None = None
    """A folder of recordings of people to add, used where it exists."""
    shares: dict[str, Annotated[float, Field(gt=0)]] = {}
    """How much likelier a second of a source is drawn in training: 1 where not said. Recordings are "recordings"."""


class AugmentationRecipe(_Section):
    """What is done to a crop before it is both input and target."""

    level_db: Interval = (-25.0, 0.0)
    """Peak level, in dB relative to full scale."""
    speed: Interval = (0.88, 1.12)
    """Factor of the resampling that changes pitch and pace together."""
    tilt_probability: Probability = 0.7
    reverberation_probability: Probability = 0.2
    noise_probability: Probability = 0.4
    noise_snr_db: Interval = (15.0, 40.0)


class LossRecipe(_Section):
    """Weights of the loss terms."""

    windows: list[int] = [64, 128, 256, 512, 1024, 2048]
    """STFT windows of the mel loss, in samples; each hops by a quarter of itself."""
    mels: list[int] = [5, 10, 20, 40, 80, 160]
    """Mel bands, one number for each window."""
    mel: float = 1.0
    """L1 of log mel spectra, averaged over the windows."""
    magnitude: float = 0.5
    """L1 of mel spectra in linear scale relative to the target's mean, averaged over the windows."""
    head: float = 1.0
    """L1 between the log magnitudes that the decoder's head asks for and the target's: it reaches the codes at once,
    before the phases are good enough for the waveform to tell."""
    spread: float = 0.5
    """How strongly the quantizer's inputs are held at zero mean, unit variance and no correlation."""


class OptimizerRecipe(_Section):
    """AdamW, warm-up, cosine."""

    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    final_learning_rate: Annotated[float, Field(ge=0)] = 2e-5
    warmup_steps: Annotated[int, Field(ge=0)] = 300
    betas: tuple[float, float] = (0.8, 0.9)
    weight_decay: float = 0.01
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the whole gradient."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the moving average of the weights, which is what is validated and exported."""


class ValidationRecipe(_Section):
    """When the moving average is measured, and what is kept."""

    every_minutes: Annotated[float, Field(gt=0)] = 5.0
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    log_steps: Annotated[int, Field(gt=0)] = 50


class Recipe(_Section):
    """Everything that decides a run's outcome, except for the machine it runs on."""

    seed: int = 0
    model: dict[str, Any]
    """Arguments of `Xcodec2Config`."""
    steps: Annotated[int, Field(gt=0)] = 10_000
    batch_seconds: Annotated[float, Field(gt=0)] = 16.0
    """Audio in a batch; the number of clips follows from the crop's length."""
    crop_seconds: Interval = (1.0, 3.0)
    """Crops are as long as a number drawn from here, one for each batch."""
    precision: Literal["float32", "bfloat16"] = "float32"
    synthesis: SynthesisRecipe = SynthesisRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    loss: LossRecipe = LossRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    validation: ValidationRecipe = ValidationRecipe()

    @field_validator("model")
    @classmethod
    def _describes_a_model(cls, model: dict[str, Any]) -> dict[str, Any]:
        """Refuse what the configuration would take for a field of its own, and never look at again."""
        _check_names(model, Xcodec2Config.__init__, "")
        semantic = model.get("semantic_model_config")
        if isinstance(semantic, dict):
            _check_names(semantic, Wav2Vec2BertConfig, "semantic_model_config.")
        try:
            Xcodec2Config(**model)
        except (TypeError, AttributeError, StrictDataclassError) as error:
            raise ValueError(" ".join(str(error).split())) from None
        return model

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
            path = Path(__file__).parent / "recipes" / f"{source}.yaml"
        if not path.is_file():
            built_in = ", ".join(sorted(file.stem for file in (Path(__file__).parent / "recipes").glob("*.yaml")))
            raise InputError(f"no recipe at {path}; give a YAML file, or one of the built-in recipes: {built_in}")
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
            problems = [f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
            count = f"{len(problems)} place{'s' * (len(problems) != 1)}"
            raise InputError(f"the recipe {path} is wrong in {count}:\n" + "\n".join(problems)) from error


def _parsed(text: str, name: str) -> Any:
    """Parse YAML, or say where it goes wrong."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("recipes need pyyaml; install it with: pip install 'xcodec[train]'") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name} is not YAML: {' '.join(str(error).split())}") from None


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


def _check_names(given: dict[str, Any], owner: Callable[..., Any], prefix: str) -> None:
    """Refuse names that are no parameters of a configuration."""
    known = {name for name in inspect.signature(owner).parameters if name not in ("self", "kwargs")} | {"model_type"}
    for name in given:
        if name not in known:
            close = get_close_matches(str(name), known, 1)
            raise ValueError(f"no field is called {prefix}{name}" + (f"; is it {prefix}{close[0]}?" if close else ""))
