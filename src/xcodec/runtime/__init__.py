"""The runtime: codecs that `xcodec export` wrote, on ONNX Runtime, without torch.

    from xcodec.runtime import Codec

    codec = Codec("mini-onnx/")
    codes = codec.encode("speech.wav")

`Codec` has the interface of `xcodec.Codec`, and reads and writes the same `Codes`; `StreamDecoder` that of
`xcodec.StreamDecoder`, where the decoder's step was exported too.
"""

from xcodec.runtime.codec import Codec
from xcodec.runtime.stream_decoder import StreamDecoder

__all__ = ["Codec", "StreamDecoder"]
