"""How recordings and codes show themselves in a notebook: HTML that needs nothing from elsewhere."""

import base64
import io
import wave
from collections.abc import Sequence

import numpy as np

__all__ = ["picture", "player"]

PLAYER_SECONDS = 60.0  # more would make a notebook's file large
PICTURE_FRAMES = 600
SHADES = 16
ROW_HEIGHT = 12  # pixels
WIDTH = 720


def player(samples: np.ndarray, sampling_rate: int) -> str:
    """Return an audio player that holds the recording itself, or the first minute of a longer one.

    Args:
        samples: float32 of shape (channels, samples); beyond full scale they are clipped. More than two channels are
            averaged.
        sampling_rate: in Hz.
    """
    channels, length = samples.shape
    shown = samples[:, : int(PLAYER_SECONDS * sampling_rate)]
    if channels > 2:
        shown = shown.mean(axis=0, keepdims=True)
    data = base64.b64encode(_wav(shown, sampling_rate)).decode("ascii")
    facts = f"{length / sampling_rate:.2f} s, {sampling_rate:,} Hz, {channels} channel{'s' * (channels != 1)}"
    if shown.shape[1] < length:
        facts += f"; the first {PLAYER_SECONDS:g} s"
    return f'<audio controls preload="metadata" src="data:audio/wav;base64,{data}"></audio><br><small>{facts}</small>'


def _wav(samples: np.ndarray, sampling_rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(len(samples))
        written.setsampwidth(2)
        written.setframerate(sampling_rate)
        written.writeframes((samples.T.clip(-1.0, 1.0) * 32767).round().astype("<i2").tobytes())
    return file.getvalue()


def picture(ids: np.ndarray, codebook_sizes: Sequence[int]) -> str:
    """Return an SVG picture of codes: a row for each codebook, time from left to right, darker the higher the code.

    Args:
        ids: integers of shape (codebooks, frames), of which the first 600 frames are drawn.
        codebook_sizes: the number of different codes in each codebook.
    """
    shown = ids[:, :PICTURE_FRAMES]
    shades = [[code * SHADES // size for code in row] for row, size in zip(shown.tolist(), codebook_sizes, strict=True)]
    paths = []
    for shade in range(SHADES):
        cells = [f"M{t} {k}h1v1h-1z" for k, row in enumerate(shades) for t, found in enumerate(row) if found == shade]
        if cells:
            paths.append(f'<path fill="hsl(205 55% {90 - 70 * shade // (SHADES - 1)}%)" d="{"".join(cells)}"/>')
    rows, frames = shown.shape
    height = ROW_HEIGHT * max(rows, 2)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {frames} {rows}" preserveAspectRatio="none" '
        f'style="width:100%;max-width:{WIDTH}px;height:{height}px" shape-rendering="crispEdges">{"".join(paths)}</svg>'
    )
