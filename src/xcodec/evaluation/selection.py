"""Which metrics can be taken here, and what is missing for the others."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from xcodec.errors import InputError, MissingExtraError
from xcodec.evaluation.distill_mos import DistillMos
from xcodec.evaluation.distortion import LogSpectralDistance, MelDistance, SiSdr
from xcodec.evaluation.intelligibility import Stoi
from xcodec.evaluation.metric import Metric, Missing
from xcodec.evaluation.opinion import Dnsmos, Utmos
from xcodec.evaluation.perceptual import Pesq
from xcodec.evaluation.pitch import Pitch
from xcodec.evaluation.recognition import RecognitionChange, RecognitionError, Transcriber
from xcodec.evaluation.recognizers import FasterWhisper, PocketSphinx, Recognizer, TransformersRecognizer
from xcodec.evaluation.speaker import SpeakerSimilarity
from xcodec.evaluation.visqol import Visqol

__all__ = ["NO_RECOGNIZER", "OPTIONAL", "POCKETSPHINX", "check_reports", "select_metrics"]

POCKETSPHINX = "pocketsphinx"
FASTER_WHISPER = "faster-whisper:"
NO_RECOGNIZER = "none"
OPTIONAL = ("stoi", "pesq", "dnsmos", "distillmos", "pitch", "visqol")
"""What can be left out of an evaluation, by the names that users give."""


def check_reports(page: bool) -> None:
    """Check, before hours of measuring, that what comes of it can be reported: the intervals, and the page if wanted.

    Raises:
        MissingExtraError: where a library for it is not installed.
    """
    absent = [name for name in ("scipy", *(("jinja2", "PIL") if page else ())) if find_spec(name) is None]
    if absent:
        raise MissingExtraError(f"reports need {' and '.join(absent)}: pip install 'xcodec[eval]'")


def select_metrics(
    *,
    transcribed: bool,
    recognizers: Sequence[str] = (),
    language: str = "en",
    speaker: str | None = None,
    utmos: Path | None = None,
    without: Sequence[str] = (),
    device: torch.device,
) -> tuple[list[Metric], list[Missing]]:
    """Load every metric that can be taken, and tell of every other how to get it.

    Args:
        transcribed: whether there is a transcript of any clip.
        recognizers: for the rates of word errors, each "pocketsphinx", "faster-whisper:FOLDER", a transformers id or
            folder, or "none" alone; without any, pocketsphinx where there are transcripts and it is installed.
        language: of the recordings, by its code; it decides how texts are normalised, and whether words are counted.
        speaker: a transformers id or folder of an x-vector model.
        utmos: a TorchScript file.
        without: which of `OPTIONAL` to leave out.
        device: where models run.

    Raises:
        CheckpointError: where a model that was asked for cannot be loaded.
        InputError: where something else is to be left out.
    """
    for name in without:
        if name not in OPTIONAL:
            raise InputError(f"expected one of {', '.join(OPTIONAL)}", argument="without", value=name)
    metrics: list[Metric] = []
    missing: list[Missing] = []

    def take(name: str, what: str, make: Callable[[], Metric]) -> None:
        if name in without:
            missing.append(Missing(what, f"leave --without {name} out"))
            return
        try:
            metrics.append(make())
        except MissingExtraError as error:
            missing.append(Missing(what, error.remedy or error.problem))

    take("stoi", "STOI", Stoi)
    take("stoi", "ESTOI", partial(Stoi, extended=True))
    take("pesq", "PESQ-WB", partial(Pesq, "wb"))
    take("pesq", "PESQ-NB", partial(Pesq, "nb"))
    metrics += [SiSdr(), MelDistance(), LogSpectralDistance()]
    take("dnsmos", "DNSMOS", Dnsmos)
    if utmos is not None:
        metrics.append(Utmos(utmos, device))
    else:
        missing.append(Missing("UTMOS", "give --utmos FILE, the predictor as TorchScript (docs/evaluate.md says how)"))
    take("distillmos", "DistillMOS", partial(DistillMos, device))
    take("pitch", "F0 correlation, voicing error", Pitch)
    take("visqol", "ViSQOL", Visqol)
    recognition, absent = select_recognition(transcribed, recognizers, language, device)
    metrics += recognition
    missing += absent
    if speaker is not None:
        metrics.append(SpeakerSimilarity(speaker, device))
    else:
        missing.append(Missing("SIM", "give --speaker, an x-vector model such as microsoft/wavlm-base-plus-sv"))
    return metrics, missing


def load_recognizer(name: str, language: str, device: torch.device) -> Recognizer:
    """Load a recogniser by its name: "pocketsphinx", "faster-whisper:FOLDER", or a transformers id or folder."""
    if name == POCKETSPHINX:
        return PocketSphinx()
    if name.startswith(FASTER_WHISPER):
        return FasterWhisper(name.removeprefix(FASTER_WHISPER), language, device)
    return TransformersRecognizer(name, device)


def select_recognition(
    transcribed: bool, names: Sequence[str], language: str, device: torch.device
) -> tuple[list[Metric], list[Missing]]:
    """Load the recognisers, with the metrics by each, and tell of what is missing.

    Raises:
        CheckpointError: where one that was asked for cannot be loaded.
        InputError: where "none" is not alone.
    """
    if NO_RECOGNIZER in names:
        if len(names) > 1:
            raise InputError("none is not for beside recognisers", argument="asr", remedy="leave it or them out")
        return [], [Missing("WER, dWER", "leave --asr none out")]
    metrics: list[Metric] = []
    missing: list[Missing] = []
    if not transcribed:
        how = "give --transcripts FILE, or put transcripts.tsv beside the recordings"
        missing.append(Missing("WER", how))
        if not names:
            missing.append(Missing("dWER", "name a recogniser by --asr; it needs no transcripts"))
            return metrics, missing
    for number, name in enumerate(names or (POCKETSPHINX,), 1):
        try:
            transcriber = Transcriber(
                load_recognizer(name, language, device), language, number if len(names) > 1 else 0
            )
        except MissingExtraError as error:
            missing.append(Missing(f"WER, dWER by {name}", error.remedy or error.problem))
            continue
        metrics += [*([RecognitionError(transcriber)] if transcribed else []), RecognitionChange(transcriber)]
    return metrics, missing
