"""Which metrics can be taken here, and what is missing for the others."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from xcodec.errors import MissingExtraError
from xcodec.evaluation.distortion import LogSpectralDistance, MelDistance, SiSdr
from xcodec.evaluation.intelligibility import Stoi
from xcodec.evaluation.metric import Metric, Missing
from xcodec.evaluation.opinion import Dnsmos, Utmos
from xcodec.evaluation.perceptual import Pesq
from xcodec.evaluation.recognition import PocketSphinx, TransformersRecognizer, WordErrorRate
from xcodec.evaluation.speaker import SpeakerSimilarity

__all__ = ["NO_RECOGNIZER", "POCKETSPHINX", "check_reports", "select_metrics"]

POCKETSPHINX = "pocketsphinx"
NO_RECOGNIZER = "none"


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
    recognizer: str | None = None,
    speaker: str | None = None,
    utmos: Path | None = None,
    device: torch.device,
) -> tuple[list[Metric], list[Missing]]:
    """Load every metric that can be taken, and tell of every other how to get it.

    Args:
        transcribed: whether there is a transcript of any clip.
        recognizer: for the word error rate: "pocketsphinx", a transformers id or folder, or "none"; None takes
            pocketsphinx where it is installed.
        speaker: a transformers id or folder of an x-vector model.
        utmos: a TorchScript file.
        device: where models run.

    Raises:
        CheckpointError: where a model that was asked for cannot be loaded.
    """
    metrics: list[Metric] = []
    missing: list[Missing] = []

    def take(what: str, make: Callable[[], Metric]) -> None:
        try:
            metrics.append(make())
        except MissingExtraError as error:
            missing.append(Missing(what, error.remedy or error.problem))

    take("STOI", Stoi)
    take("ESTOI", partial(Stoi, extended=True))
    take("PESQ-WB", partial(Pesq, "wb"))
    take("PESQ-NB", partial(Pesq, "nb"))
    metrics += [SiSdr(), MelDistance(), LogSpectralDistance()]
    take("DNSMOS", Dnsmos)
    if utmos is not None:
        metrics.append(Utmos(utmos, device))
    else:
        missing.append(Missing("UTMOS", "give --utmos FILE, the predictor as TorchScript (docs/evaluate.md says how)"))
    if not transcribed:
        missing.append(Missing("WER", "give --transcripts FILE, or put transcripts.tsv beside the recordings"))
    elif recognizer == NO_RECOGNIZER:
        missing.append(Missing("WER", "leave --asr none out"))
    elif recognizer in (None, POCKETSPHINX):
        take("WER", lambda: WordErrorRate(PocketSphinx()))
    else:
        take("WER", lambda: WordErrorRate(TransformersRecognizer(recognizer, device)))
    if speaker is not None:
        metrics.append(SpeakerSimilarity(speaker, device))
    else:
        missing.append(Missing("SIM", "give --speaker, an x-vector model such as microsoft/wavlm-base-plus-sv"))
    return metrics, missing
