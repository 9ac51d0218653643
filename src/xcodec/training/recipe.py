"""The recipe of a training run: one YAML file, read strictly, so that a misspelt key is an error and not a default."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xcodec.errors import InputError, MissingExtraError

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

    @classmethod
    def read(cls, source: str | Path, overrides: tuple[str, ...] = ()) -> "Recipe":
        """Reads a recipe.

        Args:
            source: a YAML file, or the name of one that comes with the package, as "mini".
            overrides: settings "key=value" that replace the file's, with dots into sections: "optimizer.clip=0.5".

        Raises:
            InputError: there is no such recipe, or a key or value in it is wrong; the message lists each.
        """
        try:
            import yaml
        except ImportError as error:
            raise MissingExtraError("Recipes need pyyaml. Install it with: pip install 'xcodec[train]'") from error
        path = Path(source)
        if not path.suffix:
            path = Path(__file__).parent / "recipes" / f"{source}.yaml"
        if not path.is_file():
            built_in = ", ".join(sorted(file.stem for file in (Path(__file__).parent / "recipes").glob("*.yaml")))
            raise InputError(f"No recipe at {path}. Give a YAML file, or one of the built-in recipes: {built_in}.")
        values = yaml.safe_load(path.read_text())
        for override in overrides:
            key, separator, value = override.partition("=")
            if not separator:
                raise InputError(f"A setting reads key=value, as optimizer.clip=0.5, but {override!r} was given.")
            *sections, leaf = key.split(".")
            target = values
            for section in sections:
                target = target.setdefault(section, {})
            target[leaf] = yaml.safe_load(value)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = [f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
            raise InputError(
                f"The recipe {path} is wrong in {len(problems)} places:\n" + "\n".join(problems)
            ) from error
