"""Codes that arrive one by one become audio that leaves piece by piece, decoded by torch."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from xcodec.code_stream import Auto, CodeStream, DecoderState, Window
from xcodec.codec import Codec
from xcodec.errors import InputError
from xcodec.modules.time import Streamed

__all__ = ["DecoderState", "StreamDecoder"]


class StreamDecoder(CodeStream):
    """Decode a stream of codes; many may share one codec.

    Audio of a frame leaves when it is decoded with `lookahead` frames after it. What convolutions reach of the past is
    always there, and norms over time know all of it. Where a window shows all that its audio depends on, the audio is
    that of the whole. Elsewhere the next window fades in over one frame of the last, so that no seam can click.

    Args:
        codec: the model.
        context: frames of the past that attention sees, at least 0; None is all of them, for which memory grows with
            the stream unless the model itself forgets. "auto" is all of them where a stream can be exact, and else 500.
        lookahead: frames after a piece that its window waits for: at least 1, or as many as the model's audio depends
            on if it looks ahead only once. "auto" is as many as the audio depends on, and 10 where it depends on all.
        chunk: frames decoded at a time, at least 1. More costs less and comes later. Several numbers are those of the
            first pieces, and the last of them is that of all others: audio that begins soon, and then costs less.
            "auto" is 10, or 1 where one at a time costs no more.

    Attributes:
        state: all that changes.
        is_exact: whether windows show all that their audio depends on of what comes after it.

    Raises:
        InputError: for a number out of range, or a codec without a decoder.
    """

    def __init__(
        self,
        codec: Codec,
        context: int | Auto | None = "auto",
        lookahead: int | Auto = "auto",
        chunk: int | Sequence[int] | Auto = "auto",
    ) -> None:
        if not codec.model.has_decoder:
            raise InputError(
                "the codec was loaded with encoder_only=True and has no decoder", remedy="load it without that"
            )
        super().__init__(codec, context, lookahead, chunk)

    @staticmethod
    @torch.inference_mode()
    def decode_alike(windows: Sequence[Window]) -> tuple[Sequence[np.ndarray], Sequence[Any]]:
        """`CodeStream.decode_alike`: as one batch."""
        stream = windows[0].stream
        codec = stream.codec
        assert isinstance(codec, Codec), "as it was made"
        model = codec.model
        codes = torch.tensor(np.stack([window.ids for window in windows])).to(codec.device)
        pasts: list[Any] = [window.past for window in windows]
        time = Streamed(pasts, windows[0].num_final, stream.context)
        # Compiled layers are for whole clips: torch is told, for the whole process, to leave graphs aside meanwhile.
        with torch.compiler.set_stance("force_eager") if model.has_compiled_layers else nullcontext():
            samples = model.synthesize(codes, time)[:, 0]
        return list(samples.cpu().numpy()), time.after
