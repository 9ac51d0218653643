"""The pitch of recordings, which a decoder with a source of harmonics learns to predict.

It is taken from swift-f0 (Nieradzik, 2025), whose network comes with its package.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec.errors import InputError
from xcodec.evaluation.pitch import SAMPLING_RATE, pitch_network
from xcodec.modules.harmonic_head import PitchPredictor

__all__ = ["PitchTracker", "pitch_loss"]

FRAME = 256  # samples
VOICED = 0.6  # confidence from which on a frame's frequency is learned
FEWEST = 3  # frames that are voiced, without which a clip has no pitch
RESTING = 120.0  # Hz, of a clip without any


class PitchTracker:
    """Tell the fundamental frequency of recordings at a decoder's steps.

    Args:
        sampling_rate: of the recordings, in Hz.
        hop_length: samples in a step.

    Raises:
        InputError: for another rate than 16 kHz.
        MissingExtraError: where swift-f0 is not installed.
    """

    def __init__(self, sampling_rate: int, hop_length: int) -> None:
        if sampling_rate != SAMPLING_RATE:
            raise InputError(
                f"the pitch of recordings is tracked at {SAMPLING_RATE} Hz; this codec writes {sampling_rate} Hz"
            )
        self.hop_length = hop_length
        self._network = pitch_network(threads=1)  # beside a training step, which has the others

    def __call__(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Track recordings, float32 (clips, samples), samples a multiple of the step.

        Returns:
            Frequencies in Hz in the middle of each step, drawn through what is not voiced, and from 0 to 1 how much of
            the step is voiced: float32 (clips, steps) each.
        """
        tracked = [self._track(clip) for clip in audio.cpu().numpy()]
        pitch, voicing = (np.stack(each).astype(np.float32) for each in zip(*tracked, strict=True))
        return torch.from_numpy(pitch).to(audio.device), torch.from_numpy(voicing).to(audio.device)

    def _track(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = self._network.detect(samples, SAMPLING_RATE)
        voiced = found.confidence > VOICED
        middles = np.arange(len(samples) // self.hop_length) * self.hop_length + self.hop_length / 2
        if voiced.sum() < FEWEST:
            return np.full(len(middles), RESTING), np.zeros(len(middles))
        places = np.arange(len(voiced)) * FRAME + FRAME / 2
        logs = np.interp(middles, places[voiced], np.log(found.pitch_hz[voiced]))
        return np.exp(logs), np.interp(middles, places, voiced.astype(np.float64))


def pitch_loss(predictor: PitchPredictor, logits: Tensor, pitch: Tensor, voicing: Tensor) -> Tensor:
    """Compute the cross entropy of a pitch against its bins, where there is one.

    Args:
        predictor: what made the logits.
        logits: (clips, steps, bins).
        pitch: in Hz, (clips, steps).
        voicing: how much each step counts, (clips, steps).
    """
    centres = predictor.centres(logits.device)
    places = pitch.clamp(predictor.lowest, predictor.highest).log()[..., None]
    # A pitch between two bins is some of both, and of those beside them.
    wanted = (-0.5 * ((centres - places) / (centres[1] - centres[0])).square()).softmax(-1)
    entropies = F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(0, 1), reduction="none")
    return (entropies * voicing.flatten()).sum() / voicing.sum().clamp(min=1)
