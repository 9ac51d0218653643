"""What listeners would say of a recording by itself, as DistillMOS predicts it."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType

import torch

from xcodec.errors import require
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Scale, Score, audible

__all__ = ["DistillMos"]

SAMPLING_RATE = 16_000


class DistillMos(Metric):
    """DistillMOS, a small network that was taught by a large one, with the weights that its package carries.

    Args:
        device: where it runs.

    Raises:
        MissingExtraError: where distillmos is not installed.
    """

    packages = ("distillmos", "torch")
    needs_reference = False
    on_device = True

    def __init__(self, device: torch.device) -> None:
        with without_torchaudio():
            package = require("distillmos.sqa", "distillmos", "distillmos, which carries its network")
        with redirect_stdout(io.StringIO()):  # it says where its weights are
            self._network = package.ConvTransformerSQAModel().to(device).eval()
        self.device = device
        about = "predicted opinion, 1 to 5, by DistillMOS (Stahl and Gamper 2025) at 16 kHz; needs no recording"
        self.scales = (Scale("distill_mos", "DistillMOS", about, 2),)

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a reconstruction."""
        samples = pair.at(SAMPLING_RATE)[1]
        audible(samples, "reconstruction")
        with torch.inference_mode():
            opinion = self._network(torch.tensor(samples, device=self.device)[None])
        return {"distill_mos": Score(float(opinion))}


@contextmanager
def without_torchaudio() -> Iterator[None]:
    """Let an empty module stand for torchaudio while the package is imported.

    Its program alone reads audio by it, and its wheels are not for every torch.
    """
    before = sys.modules.get("torchaudio")
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    try:
        yield
    finally:
        if before is None:
            del sys.modules["torchaudio"]
        else:
            sys.modules["torchaudio"] = before
