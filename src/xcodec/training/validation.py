"""How a model in training sounds on recordings it never trains on."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch

from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.training.losses.mel import MelLoss

__all__ = ["Validation", "scores_installed", "validate"]

SCORE_RATE = 16_000  # Hz, of STOI and wide-band PESQ
WINDOWS, MELS = (64, 128, 256, 512, 1024, 2048), (5, 10, 20, 40, 80, 160)


@dataclass(frozen=True)
class Validation:
    """Means over the clips that a measure can be computed for, and how the codebook is used by all of them together."""

    mel: float
    """Distance of log mel spectra, averaged over six resolutions."""
    stoi: float
    """NaN where pystoi is not installed."""
    pesq: float
    """Wide-band PESQ; NaN where it could not be computed, or pesq is not installed."""
    distinct_codes: int
    codes: int
    entropy: float
    """Of the code distribution, in bits; at most log2 of the number of codes counted."""
    reconstructions: tuple[Audio, ...]

    def __str__(self) -> str:
        scores = "".join(
            f"  {name} {value:.{digits}f}"
            for name, value, digits in (("STOI", self.stoi, 4), ("PESQ-WB", self.pesq, 3))
            if not np.isnan(value)
        )
        used = f"{self.distinct_codes} distinct of {self.codes} codes, entropy {self.entropy:.2f} bit"
        return f"mel distance {self.mel:.4f}{scores}  {used}"

    def figure(self, measure: str) -> float:
        """A number that is higher for the better model; minus infinity where it could not be computed."""
        value = -self.mel if measure == "mel" else float(getattr(self, measure))
        return value if np.isfinite(value) else -np.inf


def scores_installed() -> bool:
    """Whether STOI and PESQ can be computed; they come with xcodec[eval]."""
    return all(find_spec(name) is not None for name in ("pystoi", "pesq"))


def validate(codec: Codec, clips: Sequence[Audio]) -> Validation:
    """Encode and decode each recording, whole and by itself, and compare."""
    codes = [codec.encode(clip) for clip in clips]
    outputs = [codec.decode(each, check_identity=False) for each in codes]
    used = torch.tensor(np.concatenate([each.ids.flatten().astype(np.int64) for each in codes]))
    counts = used.unique(return_counts=True)[1]
    shares = counts / counts.sum()
    mels, stois, pesqs = [], [], []
    for clip, output in zip(clips, outputs, strict=True):
        mels.append(_mel_distance(clip, output))
        if scores_installed():
            stoi, pesq = _scores(clip, output)
            stois.append(stoi)
            pesqs.append(pesq)
    return Validation(
        mel=float(np.mean(mels)),
        stoi=_mean(stois),
        pesq=_mean(pesqs),
        distinct_codes=len(counts),
        codes=len(used),
        entropy=float(-(shares * shares.log2()).sum()),
        reconstructions=tuple(outputs),
    )


def _pair(clip: Audio, output: Audio, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Both at one rate, of one length."""
    wanted, given = (audio.mono().resample(rate).samples[0] for audio in (clip, output))
    length = min(len(wanted), len(given))
    return wanted[:length], given[:length]


def _mel_distance(clip: Audio, output: Audio) -> float:
    wanted, given = (torch.tensor(x)[None] for x in _pair(clip, output, output.sampling_rate))
    shortest = 2048  # of what the longest window can reflect
    wanted, given = (torch.nn.functional.pad(x, (0, max(0, shortest - x.shape[1]))) for x in (wanted, given))
    with torch.no_grad():
        return float(MelLoss(WINDOWS, MELS, output.sampling_rate)(given, wanted)[0])


def _scores(clip: Audio, output: Audio) -> tuple[float, float]:
    """STOI and PESQ; NaN where a recording is too short or holds no speech, of which both complain."""
    from pesq import pesq
    from pystoi import stoi

    wanted, given = _pair(clip, output, SCORE_RATE)
    try:
        quality = float(pesq(SCORE_RATE, wanted, given, "wb"))
    except Exception:  # pesq has its own errors for outputs without speech, which early models give
        quality = float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            intelligibility = float(stoi(wanted, given, SCORE_RATE))
        except RuntimeWarning:
            intelligibility = float("nan")
    return intelligibility, quality


def _mean(values: Sequence[float]) -> float:
    """Of those that could be computed."""
    computed = [value for value in values if np.isfinite(value)]
    return float(np.mean(computed)) if computed else float("nan")
