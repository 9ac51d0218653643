"""Codes that arrive one by one become audio that leaves piece by piece, and live audio becomes codes likewise.

Most models see their whole input at once: their attention and norms reach over all of it. A stream shows them a window
in place of the whole, with `lookahead` frames after the piece that is wanted. Before it is the past: decoders carry on
what they made of that, encoders are shown `context` frames of it again. What this costs is in benchmarks/streaming.py;
with windows as long as the whole, it costs nothing. Nor does it where a decoder looks ahead by so many frames and no
more, as a model's `lookahead` tells: its streams are exact.
"""

from xcodec.streaming.decoder import DecoderState, StreamDecoder
from xcodec.streaming.encoder import EncoderState, StreamEncoder
from xcodec.streaming.segments import decode_in_segments

__all__ = ["DecoderState", "EncoderState", "StreamDecoder", "StreamEncoder", "decode_in_segments"]
