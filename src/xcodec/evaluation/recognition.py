"""Whether the words stay the same: the word error rate of a speech recogniser, by jiwer."""

import re
import unicodedata
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from xcodec.errors import CheckpointError, one_line, require
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Scale, Score, UndefinedError

__all__ = ["PocketSphinx", "Recognizer", "TransformersRecognizer", "WordErrorRate", "normalized"]

SAMPLING_RATE = 16_000


class Recognizer(Protocol):
    """Speech to text."""

    name: str
    packages: ClassVar[tuple[str, ...]]

    def transcribe(self, samples: np.ndarray) -> str:
        """Transcribe float32 (samples,) at 16 kHz."""


class PocketSphinx:
    """CMU PocketSphinx with the American English model that its package carries: small, offline, and often wrong.

    Raises:
        MissingExtraError: where it is not installed.
    """

    name = "pocketsphinx en-us"
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

    def transcribe(self, samples: np.ndarray) -> str:
        """Transcribe float32 (samples,) at 16 kHz."""
        return str(self._pipeline({"raw": samples.copy(), "sampling_rate": SAMPLING_RATE})["text"])


class WordErrorRate(Metric):
    """Substituted, deleted and inserted words, of those in the transcript.

    A clip counts by its number of words, so that the mean over clips is the rate over the whole.

    Args:
        recognizer: what listens.

    Raises:
        MissingExtraError: where jiwer is not installed.
    """

    needs_reference = False

    def __init__(self, recognizer: Recognizer) -> None:
        self._process_words = require("jiwer", "asr").process_words
        self.recognizer = recognizer
        self.packages = ("jiwer", *recognizer.packages)
        about = f"word error rate by {recognizer.name}, over all words of all clips; the recordings have one too"
        self.scales = (Scale("wer", "WER", about, 1, "%", higher_is_better=False),)

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a reconstruction."""
        if pair.clip.transcript is None:
            raise UndefinedError("there is no transcript of it")
        said = normalized(pair.clip.transcript)
        if not said:
            raise UndefinedError("its transcript has no words")
        heard = normalized(self.recognizer.transcribe(pair.at(SAMPLING_RATE)[1]))
        counts = self._process_words(said, heard)
        errors, words = counts.substitutions + counts.deletions + counts.insertions, len(said.split())
        return {"wer": Score(100 * errors / words, weight=words)}


def normalized(text: str) -> str:
    """Put words in lower case with single spaces between, and no punctuation but the apostrophe within a word."""
    text = unicodedata.normalize("NFKC", text).lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join(word.strip("'") for word in re.findall(r"[\w']+", text) if word.strip("'"))
