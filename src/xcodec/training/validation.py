"""How a model in training sounds on recordings it never trains on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xcodec.errors import MissingExtraError
from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.training.forward import reconstruct
from xcodec.training.synthesis import SAMPLING_RATE

__all__ = ["Validation", "validate"]


@dataclass(frozen=True)
class Validation:
    """Means over the clips, and how the codebook is used by all of them together."""

    stoi: float
    pesq: float
    """Wide-band PESQ; NaN where it could not be computed."""
    distinct_codes: int
    codes: int
    entropy: float
    """Of the code distribution, in bits; at most log2 of the number of codes counted."""
    reconstructions: tuple[np.ndarray, ...]

    def __str__(self) -> str:
        used = f"{self.distinct_codes} distinct of {self.codes} codes, entropy {self.entropy:.2f} bit"
        return f"STOI {self.stoi:.4f}  PESQ-WB {self.pesq:.3f}  {used}"


def validate(model: Xcodec2Model, clips: Sequence[np.ndarray]) -> Validation:
    """Encode and decode each clip, float32 (samples,) at 16 kHz, whole and by itself.

    Raises:
        MissingExtraError: where pystoi or pesq is not installed.
    """
    try:
        from pesq import pesq
        from pystoi import stoi
    except ImportError as error:
        raise MissingExtraError("validation needs pystoi and pesq: pip install 'xcodec[eval]'") from error
    training = model.training
    model.train(False)
    stois, pesqs, codes, outputs = [], [], [], []
    hop = model.hop_length
    for clip in clips:
        length = (len(clip) // hop + 1) * hop
        waveform = torch.zeros(1, length)
        waveform[0, : len(clip)] = torch.tensor(clip)
        with torch.no_grad():
            result = reconstruct(model, waveform)
        output = result.audio[0, : len(clip)].numpy()
        outputs.append(output)
        codes.append(result.codes.flatten())
        stois.append(float(stoi(clip, output, SAMPLING_RATE)))
        try:
            pesqs.append(float(pesq(SAMPLING_RATE, clip, output, "wb")))
        except Exception:  # pesq has its own errors for outputs without speech, which early models give
            pesqs.append(float("nan"))
    model.train(training)
    used: Tensor = torch.cat(codes)
    counts = used.unique(return_counts=True)[1]
    shares = counts / counts.sum()
    entropy = float(-(shares * shares.log2()).sum())
    return Validation(float(np.mean(stois)), float(np.mean(pesqs)), len(counts), len(used), entropy, tuple(outputs))
