"""What the tests of probes build: coders whose codes are known, and clips of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import builders
from xcodec.evaluation.clips import Clip
from xcodec.probing.coder import Coder, Coding, as_long
from xcodec.probing.probe import CodedClip


class FrameCoder(Coder):
    """A codec of the mean of each hop, rounded to 256 levels: what it gives of any signal is known.

    Args:
        noise: deviation of what is added to each latent before it is rounded, in levels; drawn anew each time.
        depth: how many codebooks; each has the same code.
        hop: samples a frame; of few, what is decoded is like the recording.
    """

    def __init__(self, noise: float = 0.0, depth: int = 1, hop: int = 320) -> None:
        self.name = f"frames with noise {noise:g}" if noise else "frames"
        self.about = "the mean of each hop"
        self.sampling_rate, self.hop_length = 16_000, hop
        self.codebook_sizes = (256,) * depth
        self._noise, self._rng = noise, np.random.default_rng(0)

    def encode(self, signals: Sequence[np.ndarray]) -> list[Coding]:
        return [self.encode_with_latents(signal) for signal in signals]

    def encode_with_latents(self, signal: np.ndarray) -> Coding:
        whole = as_long(signal, -(-len(signal) // self.hop_length) * self.hop_length)
        levels = whole.reshape(-1, self.hop_length).mean(1) * 500 + 128
        levels = levels + self._noise * self._rng.standard_normal(len(levels))
        codes = levels.round().clip(0, 255).astype(np.int64)
        latents = codes[:, None].astype(np.float32)
        return Coding(np.stack([codes] * len(self.codebook_sizes)), len(signal), latents)

    def decode(self, ids: np.ndarray, coding: Coding) -> np.ndarray:
        levels = np.repeat((ids[0] - 128) / 500, self.hop_length)
        return as_long(levels.astype(np.float32), coding.num_samples)


def speech_clips(coder: Coder, *seconds: float) -> list[CodedClip]:
    """Clips of real speech that follow one another, as a coder at 16 kHz encodes them."""
    speech, start, clips = builders.speech(), 0, []
    for number, length in enumerate(seconds):
        samples = speech[start : start + int(length * 16_000)]
        start += len(samples)
        clips.append(
            CodedClip(Clip(f"{number}.wav", Path(f"{number}.wav")), samples, coder.encode_with_latents(samples))
        )
    return clips


def clips_of_codes(*ids: np.ndarray) -> list[CodedClip]:
    """Clips of given codes, each (codebooks, frames), whose frames last 320 samples at 16 kHz."""
    return [
        CodedClip(
            Clip(f"{number}.wav", Path(f"{number}.wav")),
            np.zeros(320 * codes.shape[1], np.float32),
            Coding(codes, 320 * codes.shape[1]),
        )
        for number, codes in enumerate(ids)
    ]
