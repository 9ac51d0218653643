"""How a language model is trained: numbers, and their ranges."""

import json
import math
from dataclasses import asdict, dataclass

from xcodec.errors import InputError

__all__ = ["LanguageSettings"]

RESULTS_DO_NOT_DEPEND_ON = ("checkpoint_minutes", "validation_minutes", "keep", "log_steps")


@dataclass(frozen=True)
class LanguageSettings:
    """How a language model is trained.

    Args:
        epochs: how often each row is seen; the run's steps follow from it, unless `steps` says them.
        steps: steps of the run; None is as `epochs` says.
        batch_size: rows that one process takes at once.
        accumulate: batches of each process that make one step.
        learning_rate: after the warm-up; from there it falls to a tenth, along half a cosine.
        warmup_steps: over which it rises from near zero.
        weight_decay: of AdamW.
        clip: the largest norm of a step's gradients.
        seed: of the order of rows, of dropout, and of LoRA's matrices.
        dtype: float32; or bfloat16, in which the passes are computed where that is safe. Weights that are trained are
            float32 in both.
        lora: the rank of the matrices that are trained in place of the model's own; None trains the model.
        lora_alpha: their scale is this over the rank; None is twice the rank.
        lora_tokens: with `lora`: whether the speech tokens' own rows are trained too, as a model needs that does not
            speak yet.
        checkpoint_minutes: from one written state to the next.
        validation_minutes: from one measured loss to the next, where there are rows for it.
        keep: how many of the last states stay.
        log_steps: from one line of the log to the next.

    Raises:
        InputError: for a number out of its range.
    """

    epochs: float = 1.0
    steps: int | None = None
    batch_size: int = 4
    accumulate: int = 1
    learning_rate: float = 5e-5
    warmup_steps: int = 100
    weight_decay: float = 0.0
    clip: float = 1.0
    seed: int = 0
    dtype: str = "float32"
    lora: int | None = None
    lora_alpha: float | None = None
    lora_tokens: bool = True
    checkpoint_minutes: float = 15.0
    validation_minutes: float = 30.0
    keep: int = 2
    log_steps: int = 10

    def __post_init__(self) -> None:
        above_zero = ("epochs", "learning_rate", "clip", "lora_alpha")
        from_one = ("steps", "batch_size", "accumulate", "lora", "keep", "log_steps")
        from_zero = ("warmup_steps", "weight_decay", "seed", "checkpoint_minutes", "validation_minutes")
        for names, least, expected in (
            (above_zero, math.ulp(0.0), "above 0"),
            (from_one, 1, "1 or above"),
            (from_zero, 0, "0 or above"),
        ):
            for name in names:
                if (value := getattr(self, name)) is not None and not least <= value < math.inf:
                    raise InputError(f"expected a number {expected}", argument=name, value=value)
        if self.dtype not in ("float32", "bfloat16"):
            raise InputError("expected float32 or bfloat16", argument="dtype", value=self.dtype)

    def num_steps(self, rows: int, processes: int) -> int:
        """Tell how many steps the run has, the last of which may begin another epoch."""
        if self.steps is not None:
            return self.steps
        return max(1, math.ceil(self.epochs * rows / (self.batch_size * self.accumulate * processes) - 1e-9))

    def written(self) -> str:
        """Write down what the result depends on."""
        return json.dumps({k: v for k, v in asdict(self).items() if k not in RESULTS_DO_NOT_DEPEND_ON})

    def check_same(self, written: str, folder: object) -> None:
        """Refuse to go on with a run of other settings.

        Raises:
            InputError: names those that differ.
        """
        before, now = json.loads(written), json.loads(self.written())
        if differing := [name for name in now if before.get(name) != now[name]]:
            told = ", ".join(f"{name}={before.get(name)} and not {now[name]}" for name in differing)
            raise InputError(
                f"holds a run with {told}", subject=folder, remedy="give the same, or another folder to begin anew"
            )
