"""Speech to text: the recognisers whose errors are counted."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from xcodec.errors import CheckpointError, one_line, require

__all__ = ["PocketSphinx", "Recognizer", "TransformersRecognizer"]

SAMPLING_RATE = 16_000


class Recognizer(Protocol):
    """Speech to text."""

    name: str
    packages: ClassVar[tuple[str, ...]]
    spelling: Mapping[str, str]
    """Of words whose spelling varies, the one that both sides are brought to; empty where the model brings none."""

    def transcribe(self, samples: np.ndarray) -> str:
        """Transcribe float32 (samples,) at 16 kHz."""


class PocketSphinx:
    """CMU PocketSphinx with the American English model that its package carries: small, offline, and often wrong.

    Raises:
        MissingExtraError: where it is not installed.
    """

    name = "pocketsphinx en-us"
    spelling: Mapping[str, str] = MappingProxyType({})
    packages: ClassVar[tuple[str, ...]] = ("pocketsphinx",)

    def __init__(self) -> None:
        self._new_decoder = require("pocketsphinx", "asr").Decoder

    def transcribe(self, samples: np.ndarray) -> str:
        """Transcribe float32 (samples,) at 16 kHz."""
        # A decoder adapts to what it hears; a new one each time keeps a clip's score its own.
        decoder = self._new_decoder(samprate=SAMPLING_RATE, loglevel="FATAL")
        pcm = np.round(samples.clip(-1.0, 1.0) * 32767).astype("<i2")
        decoder.start_utt()
        decoder.process_raw(pcm.tobytes(), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""


class TransformersRecognizer:
    """A speech recognition model of transformers, such as "facebook/hubert-large-ls960-ft" or "openai/whisper-small".

    Args:
        name: a folder or a hub id.
        device: where it runs.

    Raises:
        CheckpointError: where it cannot be loaded.
    """

    packages: ClassVar[tuple[str, ...]] = ("transformers", "torch")

    def __init__(self, name: str, device: torch.device) -> None:
        from transformers import pipeline

        self.name = name
        try:
            self._pipeline: Any = pipeline("automatic-speech-recognition", model=name, device=device)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"cannot be loaded as a speech recogniser: {one_line(error)}", subject=name) from None
        # Whisper's tokenizer brings the table that goes with its normaliser.
        self.spelling: Mapping[str, str] = getattr(
            self._pipeline.tokenizer, "english_spelling_normalizer", None
        ) or MappingProxyType({})

    def transcribe(self, samples: np.ndarray) -> str:
        """Transcribe float32 (samples,) at 16 kHz."""
        return str(self._pipeline({"raw": samples.copy(), "sampling_rate": SAMPLING_RATE})["text"])
