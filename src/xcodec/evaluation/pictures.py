"""Spectrograms and codes as PNG files."""

import io
from collections.abc import Sequence

import numpy as np
import torch

from xcodec.audio import Audio
from xcodec.errors import MissingExtraError
from xcodec.evaluation.distortion import decibels, magnitudes
from xcodec.evaluation.systems.system import Coded

__all__ = [
    "DIFFERENCE_COLOURS",
    "LEVEL_COLOURS",
    "codes_picture",
    "difference_picture",
    "spectrogram_picture",
]

SAMPLING_RATE = 16_000
WINDOW, HOP = 512, 128  # 32 ms every 8 ms
RANGE = 75.0  # decibels below the loudest point of the recording that are shown
DIFFERENCE = 20.0  # decibels that are the deepest colour
DIFFERENCE_COLOURS = ("#2c5aa0", "#9db7dc", "#f5f2ea", "#e6a58f", "#b8321a")  # from less to more
LEVEL_COLOURS = ("#22223b", "#6a4c93", "#e07a5f", "#f6d99a")  # from the lowest to the highest


def spectrogram_picture(audio: Audio, reference: Audio) -> bytes:
    """Draw the spectrogram of a mono or averaged signal up to 8 kHz, as loud as it is beside a reference's loudest.

    Returns:
        A PNG file, one column every 8 ms, 0 Hz at the bottom.
    """
    # Of a reference that is silence the loudest point would be the floor, and all of the picture bright.
    power, top = _spectrogram(audio), max(_spectrogram(reference).max(), RANGE - 100)
    shade = ((power - top + RANGE) / RANGE).clip(0.0, 1.0)
    return png(np.round(255 * shade[:-1][::-1]).astype(np.uint8), ramp(256))  # without Nyquist: 256 rows


def difference_picture(audio: Audio, reference: Audio) -> bytes:
    """Draw how many decibels a signal has more or less than a reference, down to 75 dB below the reference's loudest.

    Returns:
        A PNG file like `spectrogram_picture`'s, as long as the shorter.
    """
    both = [_spectrogram(each) for each in (audio, reference)]
    floor = max(both[1].max() - RANGE, -100.0)
    frames = min(each.shape[1] for each in both)
    power, expected = (each[:-1, :frames].clip(min=floor) for each in both)
    shade = ((power - expected) / DIFFERENCE).clip(-1.0, 1.0)
    return png(np.round(127.5 * (shade[::-1] + 1)).astype(np.uint8), ramp(256, DIFFERENCE_COLOURS))


def codes_picture(codes: Coded, levels: tuple[int, ...] = ()) -> bytes:
    """Draw a code stream: a column for each frame, a row for each digit of its code, or else for each codebook.

    Args:
        codes: the stream.
        levels: of each dimension of a finite scalar quantizer of one codebook, the first being the least significant
            digit.

    Returns:
        A PNG file of one pixel a cell; darker is lower.
    """
    if levels:
        basis = np.cumprod([1, *levels[:-1]])
        cells = codes.ids[0][None] // basis[:, None] % np.array(levels)[:, None]
        highest = np.array(levels)[:, None] - 1
    else:
        cells, highest = codes.ids, np.array(codes.codebook_sizes)[:, None] - 1
    return png(np.round(255 * cells / np.maximum(highest, 1)).astype(np.uint8), ramp(256))


def ramp(steps: int, colours: Sequence[str] = LEVEL_COLOURS) -> np.ndarray:
    """Interpolate between colours, (steps, 3) uint8; without any given, from dark to light as a code's levels."""
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours])
    places = np.linspace(0, len(anchors) - 1, steps)
    channels = [np.interp(places, np.arange(len(anchors)), anchors[:, c]) for c in range(3)]
    return np.round(np.stack(channels, 1)).astype(np.uint8)


def png(pixels: np.ndarray, palette: np.ndarray) -> bytes:
    """Write a PNG file of (rows, columns) uint8, indices into a palette of (256, 3) uint8.

    Raises:
        MissingExtraError: without Pillow.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("pip install 'xcodec[eval]' (pillow, which writes pictures)") from error
    picture = Image.fromarray(pixels)
    picture.putpalette(palette.tobytes())  # makes an indexed picture of it
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _spectrogram(audio: Audio) -> np.ndarray:
    samples = torch.tensor(audio.mono().resample(SAMPLING_RATE).samples[0])
    return decibels(magnitudes(samples, WINDOW, HOP)).T.numpy()  # (frames, frequencies) -> (frequencies, frames)
