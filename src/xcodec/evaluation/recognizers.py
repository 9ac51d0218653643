"""Speech to text: the recognisers whose errors are counted."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from xcodec.errors import CheckpointError, one_line, require, some_of

__all__ = ["FasterWhisper", "PocketSphinx", "Recognizer", "TransformersRecognizer"]

SAMPLING_RATE = 16_000


class Recognizer(Protocol):
    """Speech to text."""

    name: str
    packages: ClassVar[tuple[str, ...]]
    spelling: Mapping[str, str]
    """Of words whose spelling varies, the one that both sides are brought to; empty where the model brings none."""
    on_device: bool
    """Whether a model of torch does the work; if not, the recogniser can be pickled."""

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
    on_device = False

    def __init__(self) -> None:
        self._new_decoder = require("pocketsphinx", "asr").Decoder

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    @cached_property
    def _listening(self) -> tuple[Any, str]:
        """A decoder, whose models take as long to load as a second of speech, and the cepstral mean it begins with."""
        decoder = self._new_decoder(samprate=SAMPLING_RATE, loglevel="FATAL")
        return decoder, decoder.get_cmn(False)

    def transcribe(self, samples: np.ndarray) -> str:
        """Transcribe float32 (samples,) at 16 kHz."""
        decoder, mean = self._listening
        decoder.set_cmn(mean)  # which it adapts to what it hears; a clip's score is to be its own
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
    on_device = True

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


class FasterWhisper:
    """A Whisper that CTranslate2 runs, by faster-whisper.

    It searches with a beam of 5 and takes the best: nothing is drawn, so that a clip's score is always the same. No
    detector of speech cuts the recording beforehand, and no text of one window goes into the next.

    Args:
        folder: what `ct2-transformers-converter` wrote, with the model's tokenizer.json beside it.
        language: of the recordings, by its code.
        device: where it runs.

    Raises:
        CheckpointError: where the folder holds no such model.
        MissingExtraError: where faster-whisper is not installed.
    """

    packages: ClassVar[tuple[str, ...]] = ("faster-whisper", "ctranslate2")
    on_device = True

    def __init__(self, folder: str, language: str, device: torch.device) -> None:
        package = require("faster_whisper", "whisper", "faster-whisper")
        for name in ("model.bin", "tokenizer.json"):
            if not (Path(folder) / name).is_file():
                raise CheckpointError(
                    f"holds no {name}; expected a Whisper of CTranslate2",
                    subject=folder,
                    remedy="convert it by ct2-transformers-converter --copy_files tokenizer.json "
                    "preprocessor_config.json",
                )
        self.name = f"faster-whisper {folder}"
        try:
            self._model: Any = package.WhisperModel(
                folder, device=device.type, device_index=device.index or 0, cpu_threads=torch.get_num_threads()
            )
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"cannot be loaded by faster-whisper: {one_line(error)}", subject=folder) from None
        if language not in self._model.supported_languages:
            raise CheckpointError(
                f"knows {some_of(self._model.supported_languages)}, and not {language}",
                subject=folder,
                remedy="give another recogniser, or --language",
            )
        self.language = language
        table = Path(folder) / "normalizer.json"  # of Whisper's tokenizer, where it was copied too
        self.spelling: Mapping[str, str] = json.loads(table.read_text("utf-8")) if table.is_file() else {}

    def transcribe(self, samples: np.ndarray) -> str:
        """Transcribe float32 (samples,) at 16 kHz."""
        segments, _ = self._model.transcribe(
            samples, language=self.language, beam_size=5, temperature=0.0, condition_on_previous_text=False
        )
        return " ".join(segment.text.strip() for segment in segments)
