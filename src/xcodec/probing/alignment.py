"""Which phone is when in a recording whose words are known: it is warped onto what espeak-ng says, phone by phone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xcodec.audio import Audio
from xcodec.errors import InputError
from xcodec.evaluation.distortion import decibels, magnitudes
from xcodec.modules.mel import mel_filters
from xcodec.probing.probe import CodedClip
from xcodec.training.phones import SILENCE, UNKNOWN
from xcodec.training.synthesis import SAMPLING_RATE, Espeak

__all__ = ["Phone", "PhoneAligner", "frame_labels", "warping_path"]

HOP, WINDOW, BANDS = 160, 400, 40  # samples at 16 kHz: 10 and 25 ms
COEFFICIENTS = 13
VOICES = ("", "+f2")  # a man's and a woman's; the one whose path is cheaper is taken


@dataclass(frozen=True)
class Phone:
    """A phone of a recording.

    Args:
        label: in `xcodec.training.phones`.
        start: in seconds.
        end: likewise.
    """

    label: int
    start: float
    end: float


class PhoneAligner:
    """Tells which phone is when, by dynamic time warping against synthesized speech.

    espeak-ng says the transcript and tells when each phone begins. Mel cepstra of that and of the recording, normalised
    over time, are warped onto each other (Sakoe and Chiba 1978; forced alignment by synthesis as Malfrère and Dutoit
    1997), which carries the times over. It knows no other pronunciation than espeak-ng's, hears no hesitation that is
    not in the transcript, and boundaries are off by a few hundredths of a second: enough to compare codecs on the same
    labels, not to judge phones.

    Args:
        language: as espeak-ng calls it, such as en-us, de or fr.

    Raises:
        MissingExtraError: where the wheel that carries espeak-ng is not installed.
        InputError: where espeak-ng does not know the language.
    """

    def __init__(self, language: str = "en-us") -> None:
        self._engine, self._language = Espeak(), language
        self._aligned: dict[str, tuple[Phone, ...]] = {}
        if self._engine.speak("a", language) is None:
            raise InputError("espeak-ng has no such voice", argument="language", value=language)

    def phones(self, clip: CodedClip, sampling_rate: int) -> tuple[Phone, ...]:
        """Return a clip's phones in order, pauses included; none without a transcript.

        Args:
            clip: what is said is in its transcript.
            sampling_rate: of its samples, in Hz.
        """
        if clip.clip.name not in self._aligned:
            samples = Audio(clip.samples, sampling_rate).resample(SAMPLING_RATE).samples[0]
            self._aligned[clip.clip.name] = self._align(samples, clip.clip.transcript or "")
        return self._aligned[clip.clip.name]

    def _align(self, samples: np.ndarray, text: str) -> tuple[Phone, ...]:
        if not text.strip():
            return ()
        recorded = cepstra(samples)
        found: list[tuple[float, tuple[Phone, ...]]] = []
        for voice in VOICES:
            spoken = self._engine.speak(text, self._language + voice)
            if spoken is None or not spoken.phones:
                continue
            path, cost = warping_path(recorded, cepstra(spoken.samples))
            found.append((cost, carried_over(spoken.phones, path, len(samples) / SAMPLING_RATE)))
        return min(found, key=lambda each: each[0])[1] if found else ()


def carried_over(phones: Sequence[tuple[float, int]], path: np.ndarray, seconds: float) -> tuple[Phone, ...]:
    """Give phones their times in the recording.

    Args:
        phones: when each begins in the synthesized speech, in seconds, and its label.
        path: pairs of frames of the recording and of the synthesized speech, (steps, 2), ascending.
        seconds: of the recording.
    """
    frames = np.unique(path[:, 1])
    matched = np.array([path[path[:, 1] == frame, 0].mean() for frame in frames])
    starts = np.interp([second * SAMPLING_RATE / HOP for second, _ in phones], frames, matched) * HOP / SAMPLING_RATE
    ends = [*starts[1:], seconds]
    return tuple(
        Phone(label, float(start), float(end)) for (_, label), start, end in zip(phones, starts, ends, strict=True)
    )


def cepstra(samples: np.ndarray) -> np.ndarray:
    """Compute mel cepstra and their slopes, each of zero mean and unit variance over time.

    Args:
        samples: float32 (samples,) at 16 kHz.

    Returns:
        (frames, 26), a frame each 10 ms.
    """
    filters = mel_filters(BANDS, WINDOW, SAMPLING_RATE).double()
    bands = decibels(magnitudes(torch.tensor(samples), WINDOW, HOP) @ filters).numpy()
    order = np.arange(COEFFICIENTS)[:, None] * np.pi / BANDS
    static = bands @ np.cos(order * (np.arange(BANDS) + 0.5)).T  # the cosine transform
    both = np.concatenate([static, np.gradient(static, axis=0)], axis=1) if len(static) > 1 else np.tile(static, 2)
    return np.asarray((both - both.mean(0)) / (both.std(0) + 1e-6))


def warping_path(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, float]:
    """Warp two sequences onto each other so that the distances along the way are least.

    Args:
        first: (n, features).
        second: (m, features).

    Returns:
        Pairs of their indices, (steps, 2), from (0, 0) to the ends; and the mean distance along the way.
    """
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    distances = np.sqrt(np.maximum(squares, 0))
    total = np.empty_like(distances)
    total[0] = distances[0].cumsum()
    for i in range(1, len(distances)):
        # From above or from above left; then, along the row, from the left, which a running minimum covers.
        entered = np.minimum(total[i - 1], np.concatenate([[np.inf], total[i - 1, :-1]]))
        along = distances[i].cumsum()
        total[i] = np.minimum.accumulate(entered - along + distances[i]) + along
    i, j = len(first) - 1, len(second) - 1
    path = [(i, j)]
    while i or j:
        options = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        i, j = min((each for each in options if min(each) >= 0), key=lambda each: total[each])
        path.append((i, j))
    return np.array(path[::-1]), float(total[-1, -1] / len(path))


def frame_labels(phones: Sequence[Phone], frames: int, frame_rate: float) -> np.ndarray:
    """Label frames (frames,) by the phone at their middle; SILENCE in pauses, UNKNOWN outside of all phones."""
    labels = np.full(frames, UNKNOWN)
    for phone in phones:
        labels[slice(*frames_of(phone, frames, frame_rate))] = phone.label
    return labels


def frames_of(phone: Phone, frames: int, frame_rate: float) -> tuple[int, int]:
    """Give the first frame whose middle is in a phone, and the one after the last."""
    first, last = (min(frames, max(0, round(time * frame_rate))) for time in (phone.start, phone.end))
    return first, last


def is_spoken(label: int) -> bool:
    """Tell whether a label is of a phone, and not of a pause or unknown."""
    return label not in (SILENCE, UNKNOWN)
