"""What listeners would say of a recording by itself, as models predict it: DNSMOS and UTMOS."""

import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xcodec.errors import CheckpointError, first_line, missing_extra, require
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Scale, Score, UndefinedError, audible

__all__ = ["Dnsmos", "Utmos"]

SAMPLING_RATE = 16_000


class Dnsmos(Metric):
    """DNSMOS P.835: the quality of the speech, of the background, and of both.

    The network is the one in the speechmos package, run by onnxruntime. The package itself is not imported: it needs
    librosa, for another network than this.

    Raises:
        MissingExtraError: where speechmos or onnxruntime is not installed.
    """

    packages = ("speechmos", "onnxruntime")
    needs_reference = False

    seconds = 9.01  # what the network takes; windows start every second, and shorter clips are repeated
    # From the network's outputs to opinions, by polynomials of the DNS challenge, highest power first.
    polynomials = (
        ("dnsmos_sig", (-0.08397278, 1.22083953, 0.0052439)),
        ("dnsmos_bak", (-0.13166888, 1.60915514, -0.39604546)),
        ("dnsmos_ovrl", (-0.06766283, 1.11546468, 0.04602535)),
    )

    def __init__(self) -> None:
        found = find_spec("speechmos")
        if found is None or not found.submodule_search_locations:
            raise missing_extra("speechmos", "dnsmos", "speechmos, which carries the network")
        onnxruntime = require("onnxruntime", "dnsmos")
        network = Path(found.submodule_search_locations[0]) / "dnsmos_models" / "sig_bak_ovr.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # clips are measured side by side, and more threads would wait in circles
        self._session = onnxruntime.InferenceSession(os.fspath(network), options, providers=["CPUExecutionProvider"])
        about = "predicted opinion of {}, 1 to 5, by DNSMOS P.835 (Reddy et al. 2022) at 16 kHz; needs no recording"
        labels = ("DNSMOS SIG", "DNSMOS BAK", "DNSMOS OVRL")
        of = ("the speech", "the background", "the whole")
        self.scales = tuple(
            Scale(key, label, about.format(what), 2)
            for (key, _), label, what in zip(self.polynomials, labels, of, strict=True)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a reconstruction."""
        samples = pair.at(SAMPLING_RATE)[1].clip(-1.0, 1.0)
        audible(samples, "reconstruction")
        length = int(self.seconds * SAMPLING_RATE)
        while len(samples) < length:
            samples = np.concatenate([samples, samples])
        count = int(len(samples) // SAMPLING_RATE - self.seconds) + 1
        starts = [i * SAMPLING_RATE for i in range(count) if i * SAMPLING_RATE + length <= len(samples)]
        raw = np.stack([self._session.run(None, {"input_1": samples[None, s : s + length]})[0][0] for s in starts])
        return {
            key: Score(float(np.polyval(polynomial, raw[:, i]).mean()))
            for i, (key, polynomial) in enumerate(self.polynomials)
        }


class Utmos(Metric):
    """UTMOS, or any other predictor of an opinion, from a TorchScript file.

    Args:
        path: a file of `torch.jit.save` whose `forward` takes float32 (1, samples) at 16 kHz and gives one number.
        device: where it runs.

    Raises:
        CheckpointError: where the file cannot be loaded.
    """

    packages = ("torch",)
    needs_reference = False
    on_device = True

    def __init__(self, path: str | os.PathLike[str], device: torch.device) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is old, and what UTMOS comes in
                self._predictor = torch.jit.load(os.fspath(path), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            reason = first_line(error)
            raise CheckpointError(f"is not a TorchScript file that can be loaded ({reason})", subject=path) from None
        self.path, self.device = Path(path), device
        about = f"predicted opinion, 1 to 5, by {self.path.name} at 16 kHz; needs no recording"
        self.scales = (Scale("utmos", "UTMOS", about, 2),)

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a reconstruction."""
        samples = torch.tensor(pair.at(SAMPLING_RATE)[1], device=self.device)[None]
        try:
            with torch.inference_mode():
                value = torch.as_tensor(self._predictor(samples))
        except RuntimeError as error:  # such as a clip shorter than a convolution's kernel
            raise UndefinedError(f"{self.path.name} says: {str(error).strip().splitlines()[-1]}") from None
        if value.numel() != 1:
            raise CheckpointError(f"gives {value.numel()} numbers for a clip; expected one", subject=self.path)
        return {"utmos": Score(value.item())}
