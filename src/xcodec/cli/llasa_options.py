"""Options of `xcodec llasa`, in groups, and what is set by name."""

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Annotated, Any

import typer
import yaml

__all__ = ["TrainingOptions", "ValidationRows", "fields_of"]

ValidationRows = Annotated[
    int, typer.Option("--val-every", min=0, metavar="N", help="One row in so many is for validation; 0 is none.")
]


class TrainingPrecision(str, Enum):
    """What the passes are computed in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True)
class TrainingOptions:
    """How a language model is trained; the fields of `LanguageSettings`, by their names."""

    epochs: Annotated[float, typer.Option("--epochs", help="How often each row is seen.")] = 1.0
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps, whatever --epochs says.")] = None
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Rows that a process takes at once.")] = 4
    accumulate: Annotated[int, typer.Option("--accumulate", min=1, help="Batches that make one step.")] = 1
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", help="After the warm-up; it falls to a tenth, along a cosine.")
    ] = 5e-5
    warmup_steps: Annotated[int, typer.Option("--warmup-steps", min=0, help="Over which it rises.")] = 100
    weight_decay: Annotated[float, typer.Option("--weight-decay", min=0.0)] = 0.0
    clip: Annotated[float, typer.Option("--clip", help="Largest norm of a step's gradients.")] = 1.0
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the order of rows, and of dropout.")] = 0
    dtype: Annotated[
        TrainingPrecision,
        typer.Option("--dtype", metavar="TYPE", help="float32, or bfloat16: computed in it, and the model written in."),
    ] = TrainingPrecision.FLOAT32
    lora: Annotated[
        int | None, typer.Option("--lora", min=1, metavar="RANK", help="Train matrices of this rank, by peft.")
    ] = None
    lora_alpha: Annotated[
        float | None, typer.Option("--lora-alpha", help="Their scale is this over the rank; else twice the rank.")
    ] = None
    lora_tokens: Annotated[
        bool,
        typer.Option(
            "--lora-tokens/--no-lora-tokens",
            help="With --lora: train the speech tokens' own rows too, as a model needs that does not speak yet.",
        ),
    ] = True
    checkpoint_minutes: Annotated[
        float, typer.Option("--checkpoint-minutes", min=0.0, help="From one written state to the next.")
    ] = 15.0
    validation_minutes: Annotated[
        float, typer.Option("--validation-minutes", min=0.0, help="From one measured loss to the next.")
    ] = 30.0
    keep: Annotated[int, typer.Option("--keep", min=1, help="How many of the last states stay.")] = 2
    log_steps: Annotated[int, typer.Option("--log-steps", min=1, help="From one line to the next.")] = 10

    def settings(self) -> dict[str, Any]:
        """Give them as `LanguageSettings` takes them."""
        return asdict(self) | {"dtype": self.dtype.value}


def fields_of(settings: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE, whose values are YAML's numbers, words and switches.

    Raises:
        typer.BadParameter: for what is not so.
    """
    fields = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        try:
            read = yaml.safe_load(value) if equals and name else None
        except yaml.YAMLError:
            read = None
        if read is None:
            raise typer.BadParameter(f"'{setting}': expected NAME=VALUE, such as num_hidden_layers=6")
        fields[name] = read
    return fields
