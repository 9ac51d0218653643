"""Whether the words stay the same: the errors of a speech recogniser, by jiwer."""

from abc import abstractmethod
from typing import Any

import numpy as np

from xcodec.errors import require
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Scale, Score, UndefinedError
from xcodec.evaluation.recognizers import SAMPLING_RATE, Recognizer
from xcodec.evaluation.words import WITHOUT_SPACES, normalizer, units

__all__ = ["RecognitionChange", "RecognitionError", "RecognitionRate", "Transcriber"]


class Transcriber:
    """A recogniser, and how its errors are counted.

    Args:
        recognizer: what listens.
        language: of the recordings, by its code; it decides how texts are normalised, and whether words or characters
            are counted.
        number: of several recognisers, which one this is, from 1; 0 for the only one.

    Raises:
        MissingExtraError: where jiwer is not installed.
    """

    def __init__(self, recognizer: Recognizer, language: str = "en", number: int = 0) -> None:
        self._process_words = require("jiwer", "asr").process_words
        self._normalized = normalizer(language, recognizer.spelling)
        self.recognizer, self.language, self._number = recognizer, language, number
        self.packages = ("jiwer", "transformers", *recognizer.packages)
        self.unit = "character" if language in WITHOUT_SPACES else "word"
        self.rate = f"{self.unit[0].upper()}ER"
        self.suffix = f"_{number}" if number > 1 else ""
        self.label_suffix = f" ({recognizer.name})" if number else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.recognizer, self.language, self._number)

    def scale(self, label: str, about: str) -> Scale:
        """Make a scale of shares, in per cent, less being better."""
        key = f"{label.lower().replace(' ', '_')}{self.suffix}"
        return Scale(key, f"{label}{self.label_suffix}", about, 1, "%", higher_is_better=False)

    def heard(self, samples: np.ndarray) -> list[str]:
        """Transcribe float32 (samples,) at 16 kHz into words or characters."""
        return self.units(self.recognizer.transcribe(samples))

    def units(self, text: str) -> list[str]:
        """Split a text into normalised words or characters."""
        return units(self._normalized(text), self.language)

    def errors(self, said: list[str], heard: list[str]) -> tuple[Score, Score]:
        """Count substitutions, deletions and insertions, of so many units as were said, of which there is one at least.

        A clip counts by its number of units, so that the mean over clips is the rate over the whole.

        Returns:
            The rate of all of them, and that of the first two: of what was said and not heard.
        """
        counts = self._process_words(" ".join(said), " ".join(heard))
        missed = counts.substitutions + counts.deletions
        errors, missing = (100 * count / len(said) for count in (missed + counts.insertions, missed))
        return Score(errors, weight=len(said)), Score(missing, weight=len(said))


class RecognitionRate(Metric):
    """A rate of what is recognised otherwise than it was said.

    Args:
        transcriber: what listens and counts.
        prefix: in front of the rate's name.
        about: what is held against what, by the names {unit} and {name}.
    """

    def __init__(self, transcriber: Transcriber, prefix: str, about: str) -> None:
        self.transcriber, self.packages = transcriber, transcriber.packages
        self.on_device = transcriber.recognizer.on_device
        filled = about.format(unit=transcriber.unit, name=transcriber.recognizer.name)
        self.scales: tuple[Scale, ...] = (transcriber.scale(f"{prefix}{transcriber.rate}", filled),)

    @abstractmethod
    def said(self, pair: Pair) -> list[str]:
        """Give the words, or characters, that are right.

        Raises:
            UndefinedError: where there are none.
        """

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a pair."""
        said = self.said(pair)
        heard = pair.of_reconstruction(self.transcriber, SAMPLING_RATE, self.transcriber.heard)
        scores = self.transcriber.errors(said, heard)
        return {scale.key: score for scale, score in zip(self.scales, scores, strict=False)}  # not all ask for both


class RecognitionError(RecognitionRate):
    """Substituted, deleted and inserted words, or characters, of those in the transcript: WER, or CER.

    Beside it the share of what was said that was missed, which a recogniser that babbles does not move: WER counts each
    word that it makes up, and one clip of such may outweigh all others.

    Args:
        transcriber: what listens and counts.
    """

    needs_reference = False

    def __init__(self, transcriber: Transcriber) -> None:
        about = (
            "{unit} error rate by {name}, over all {unit}s of all clips, normalised as Whisper's authors do; the "
            "recordings have one too"
        )
        super().__init__(transcriber, "", about)
        missed = f"{transcriber.unit}s of the transcript that {transcriber.recognizer.name} does not hear, of all clips"
        self.scales += (transcriber.scale(f"{transcriber.unit}s missed", missed),)

    def said(self, pair: Pair) -> list[str]:
        """Give what the transcript says."""
        if pair.clip.transcript is None:
            raise UndefinedError("there is no transcript of it")
        said = self.transcriber.units(pair.clip.transcript)
        if not said:
            raise UndefinedError("its transcript has no words")
        return said


class RecognitionChange(RecognitionRate):
    """Words, or characters, that the recogniser hears otherwise than in the recording: dWER, or dCER.

    It needs no transcript, and does not count what the recogniser gets wrong of the recording too.

    Args:
        transcriber: what listens and counts.
    """

    def __init__(self, transcriber: Transcriber) -> None:
        about = (
            "{unit} error rate of what {name} hears in the reconstruction against what it hears in the recording, "
            "without any transcript"
        )
        super().__init__(transcriber, "d", about)

    def said(self, pair: Pair) -> list[str]:
        """Give what is heard in the recording."""
        said = pair.of_reference(self.transcriber, SAMPLING_RATE, self.transcriber.heard)
        if not said:
            raise UndefinedError("no word is heard in the recording")
        return said
