"""What an exported codec makes of real speech, beside what torch makes of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xcodec.audio import Audio
from xcodec.code_stream import CodeStream
from xcodec.codec import Codec
from xcodec.errors import XcodecError
from xcodec.runtime import Codec as RuntimeCodec
from xcodec.runtime import StreamDecoder as ExportedStream
from xcodec.streaming import StreamDecoder

__all__ = ["Agreement", "compare"]

SPEECH = Path(__file__).with_name("speech.flac")  # 3 s of LibriVox, in the public domain
CUTS = (1.0, 0.583, 0.171)  # of it: clips of several lengths, one of which fills no frame
MOST_TIES = 0.005  # of all codes: where two are nearly equally near, rounding decides
MOST_ERROR = 1e-4  # of full scale


@dataclass(frozen=True)
class Agreement:
    """How far an exported codec agrees with torch, on clips alone and in one padded batch.

    Attributes:
        codes: how many codes were compared; 0 where there is no encoder.
        ties: how many of them differ.
        audio_error: the largest difference of samples decoded from torch's codes; None where there is no decoder.
    """

    codes: int = 0
    ties: int = 0
    audio_error: float | None = None

    def __str__(self) -> str:
        told = []
        if self.codes:
            told.append(f"{self.codes - self.ties} of {self.codes} codes equal torch's")
        if self.audio_error is not None:
            told.append(f"audio within {self.audio_error:.1e} of torch's")
        return ", ".join(told)


def compare(
    codec: Codec, exported: RuntimeCodec, has_encoder: bool, has_decoder: bool, has_step: bool = False
) -> Agreement:
    """Encode and decode speech with both, each clip alone and all in one padded batch.

    Args:
        codec: what was exported, in float32.
        exported: what came of it.
        has_encoder: whether there is an encoder in it.
        has_decoder: whether there is a decoder in it.
        has_step: whether there is a decoder's step in it.

    Raises:
        XcodecError: where float32 weights make other codes than a few ties, or audio that differs by more than 1e-4.
    """
    speech = Audio.read(SPEECH).resample(codec.sampling_rate).samples[0]
    clips = [speech[: int(cut * len(speech))] for cut in CUTS]
    if codec.model.has_encoder:
        ids = codec.encode_samples(clips, None)
    else:
        random = np.random.default_rng(0)
        frames = [int(cut * 3 * codec.frame_rate) for cut in CUTS]
        ids = [np.stack([random.integers(0, size, n) for size in codec.codebook_sizes]) for n in frames]
    codes = ties = 0
    if has_encoder:
        for found in (exported.encode_samples(clips, None), encoded_together(exported.encoder, clips)):
            codes += sum(clip.size for clip in ids)
            ties += sum(int((a != b).sum()) for a, b in zip(ids, found, strict=True))
    errors = []
    if has_decoder:
        expected = codec.decode_ids(ids)
        for found in (exported.decode_ids(ids), decoded_together(exported.decoder, ids)):
            errors += [float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True)]
    if has_step:
        streams = [decoded_as_stream(stream, ids[0]) for stream in (StreamDecoder(codec), ExportedStream(exported))]
        errors.append(float(np.abs(streams[0] - streams[1]).max()))
    error = max(errors, default=None)
    agreement = Agreement(codes, ties, error)
    if exported.manifest.dtype == "float32" and (ties > MOST_TIES * codes or (error or 0.0) > MOST_ERROR):
        raise XcodecError(f"the exported graphs do not do what torch does: {agreement}", subject=codec.name)
    return agreement


def decoded_as_stream(stream: CodeStream, ids: np.ndarray) -> np.ndarray:
    """Decode a clip of (codebooks, frames) as it comes, in pushes of several sizes: its samples."""
    starts = [0, 1, 12, 13, 40]
    pieces = [stream.push(ids[:, i:j]) for i, j in zip(starts, [*starts[1:], None], strict=True)]
    return np.concatenate([piece.samples[0] for piece in (*pieces, stream.flush()) if piece is not None])


def encoded_together(encoder: Any, clips: list[np.ndarray]) -> list[np.ndarray]:
    """Encode clips as one batch whose padding is noise: the ids of each, (codebooks, frames)."""
    lengths = np.array([len(clip) for clip in clips], np.int64)
    audio = np.random.default_rng(0).uniform(-1, 1, (len(clips), max(lengths))).astype(np.float32)
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = clip
    codes, lengths = encoder.run(None, {"audio": audio, "lengths": lengths})
    return [ids[:, :length] for ids, length in zip(codes, lengths, strict=True)]


def decoded_together(decoder: Any, ids: list[np.ndarray]) -> list[np.ndarray]:
    """Decode clips of (codebooks, frames) as one batch: the samples of each."""
    lengths = np.array([clip.shape[1] for clip in ids], np.int64)
    codes = np.ones((len(ids), len(ids[0]), max(lengths)), np.int64)
    for row, clip in zip(codes, ids, strict=True):
        row[:, : clip.shape[1]] = clip
    audio, lengths = decoder.run(None, {"codes": codes, "lengths": lengths})
    return [samples[:length] for samples, length in zip(audio, lengths, strict=True)]
