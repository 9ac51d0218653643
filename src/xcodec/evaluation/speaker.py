"""Whether the voice stays the same: the similarity of speaker embeddings."""

from typing import Any

import numpy as np
import torch

from xcodec.errors import CheckpointError, one_line
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Scale, Score, UndefinedError, audible

__all__ = ["SpeakerSimilarity"]

SAMPLING_RATE = 16_000
SHORTEST = 0.3  # seconds; x-vectors look at tens of frames at a time


class SpeakerSimilarity(Metric):
    """The cosine between the x-vectors of a recording and its reconstruction.

    Args:
        name: a folder or hub id of a transformers model for speaker verification, such as
            "microsoft/wavlm-base-plus-sv".
        device: where it runs.

    Raises:
        CheckpointError: where it cannot be loaded, or has no x-vectors.
    """

    packages = ("transformers",)
    on_device = True

    def __init__(self, name: str, device: torch.device) -> None:
        from transformers import AutoFeatureExtractor, AutoModelForAudioXVector

        try:
            self._features: Any = AutoFeatureExtractor.from_pretrained(name)
            self._model: Any = AutoModelForAudioXVector.from_pretrained(name).to(device).eval()
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"cannot be loaded as a model of speakers' voices: {one_line(error)}", subject=name
            ) from None
        self.device = device
        about = f"cosine of x-vectors by {name}, at 16 kHz, 1 at best"
        self.scales = (Scale("speaker_similarity", "SIM", about, 3),)

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a pair."""
        both = pair.at(SAMPLING_RATE)
        if len(both[0]) < SHORTEST * SAMPLING_RATE:
            raise UndefinedError(f"shorter than {SHORTEST:g} s, too short for a voice")
        audible(both[0], "recording")
        audible(both[1], "reconstruction")
        voices = pair.of_reference(self, SAMPLING_RATE, self._voice), self._voice(both[1])
        return {"speaker_similarity": Score(float(torch.nn.functional.cosine_similarity(*voices, dim=0)))}

    def _voice(self, samples: np.ndarray) -> torch.Tensor:
        """Embed the voice of one recording, as long as it is."""
        inputs = self._features(samples, sampling_rate=SAMPLING_RATE, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            embedding: torch.Tensor = self._model(**inputs).embeddings[0].float()
        return embedding
