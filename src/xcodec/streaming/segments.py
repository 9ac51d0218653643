"""A long recording, decoded as a stream of long chunks."""

import math
from collections.abc import Callable

import numpy as np

from xcodec.audio import Audio, resampled_length
from xcodec.codec import Codec, CodesSource
from xcodec.errors import InputError
from xcodec.progress import shares, told_to
from xcodec.streaming.decoder import StreamDecoder

__all__ = ["decode_in_segments"]

LOOKAHEAD = 50  # frames, to which so many more cost little


def decode_in_segments(
    codec: Codec,
    codes: CodesSource,
    segment_seconds: float,
    *,
    check_identity: bool = True,
    on_progress: Callable[[float], object] | None = None,
) -> Audio:
    """Decode a long recording as a stream of long chunks, so that the time it takes grows with its length alone.

    What the decoder made of a segment is carried on into the next, which sees the whole of the one before it; nothing
    is joined that was decoded apart. What was encoded in segments begins anew where these do.

    Args:
        codec: the model.
        codes: as for `Codec.decode`.
        segment_seconds: how much is decoded at a time, at least 1 second.
        check_identity: as for `Codec.decode`.
        on_progress: likewise.

    Raises:
        InputError: for less than a second.
        CodesError: as `Codec.decode`.
    """
    if not 1 <= segment_seconds < math.inf:
        raise InputError("expected a number of seconds, at least 1", argument="segment_seconds", value=segment_seconds)
    loaded = codec.checked_codes(codes, check_identity)
    chunk = round(segment_seconds * codec.frame_rate)
    pieces: list[Audio | None] = []
    with told_to(on_progress, loaded.duration):
        for segment in shares(loaded.segments, [segment.shape[1] for segment in loaded.segments]):
            decoder = StreamDecoder(codec, context=chunk, lookahead=LOOKAHEAD, chunk=chunk)
            starts = range(0, segment.shape[1], chunk)
            pieces += [decoder.push(segment[:, start : start + chunk]) for start in shares(starts)]
            pieces.append(decoder.flush())
    decoded = [piece for piece in pieces if piece is not None]
    rate = decoded[0].sampling_rate
    samples = np.concatenate([piece.samples[0] for piece in decoded])
    return Audio(samples[: resampled_length(loaded.num_samples, loaded.sampling_rate, rate)], rate)
