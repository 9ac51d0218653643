"""A run on disk: what it takes to go on as if never interrupted, and the model it has come to."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xcodec.errors import CheckpointError, first_line
from xcodec.files import written_whole
from xcodec.models.auto import feature_extractor_of
from xcodec.models.codec_model import CodecModel

__all__ = ["Checkpoints", "best_figure", "export", "feature_extractor_of", "load_state", "model_of"]


class Checkpoints:
    """The states of a run in its folder: the last few, and the best.

    Args:
        folder: made if it does not exist.
        keep: how many of the last states stay.
    """

    def __init__(self, folder: str | Path, keep: int) -> None:
        self.folder = Path(folder)
        self.keep = keep
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def best(self) -> Path:
        """Where the best state lies, if there is one."""
        return self.folder / "best.pt"

    def steps(self) -> list[Path]:
        """List the states by step, oldest first."""
        return sorted(self.folder.glob("step-*.pt"))

    @property
    def last(self) -> Path | None:
        """The newest state, if there is one."""
        return next(reversed(self.steps()), None)

    def save(self, state: dict[str, Any]) -> Path:
        """Write a state, whole or not at all, and then remove the oldest of too many."""
        path = self.folder / f"step-{int(state['step']):08}.pt"
        save_state(path, state)
        for old in self.steps()[: -self.keep]:
            old.unlink()
        return path

    def save_best(self, state: dict[str, Any]) -> None:
        """Write the best state."""
        save_state(self.best, state)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers and strings so that the file is the old one or the new one, whenever power fails."""
    with written_whole(path) as part:
        torch.save(state, part)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, executing nothing.

    Raises:
        CheckpointError: where it cannot be read.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"the state {path} cannot be read ({first_line(error)})",
            remedy="remove it to go on from the one before, or give another --output to begin anew",
        ) from error
    return state


def best_figure(state: dict[str, Any], score: str) -> float:
    """Tell how good the best model of a run was when the state was written.

    Args:
        state: of the run.
        score: the key of the score that decides now. Another one decided where the recipe was changed since; and states
            from before the score's name was kept hold the mel loss, where that decided, and not the mel distance.

    Returns:
        The figure, higher being better; minus infinity where another score decided.
    """
    decided = state.get("best_score")
    if decided is None:
        decided = {"stoi": "stoi", "pesq": "pesq_wb"}.get(json.loads(state["recipe"])["validation"]["best"])
    return float(state["best"]) if decided == score else -math.inf


def model_of(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the model in a run's state: its configuration's fields, and its weights, averaged ones where there are.

    Raises:
        CheckpointError: where it is no state of a run.
    """
    try:
        fields = json.loads(state["config"]) if "config" in state else json.loads(state["recipe"])["model"]
        prefix = "model."
        # States of version 0.1 hold the bare model.
        generator = state["generator"] if "generator" in state else {prefix + k: v for k, v in state["model"].items()}
        weights = {name.removeprefix(prefix): x for name, x in generator.items() if name.startswith(prefix)}
        return fields, weights | state["average"]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"this is no state of a training run: it has no {error}") from None


def export(model: CodecModel, folder: str | Path, dtype: torch.dtype) -> None:
    """Write a folder that `from_pretrained` reads.

    Args:
        model: what to write; it is not changed.
        folder: made if it does not exist.
        dtype: what floating-point weights are stored in.
    """
    copy = type(model)(model.config)
    copy.load_state_dict(model.state_dict())
    cast: nn.Module = copy
    cast.to(dtype)
    copy.save_pretrained(folder)
    feature_extractor_of(model).save_pretrained(folder)
