"""The runtime: codecs that `xcodec export` wrote, on ONNX Runtime, without torch.

    from xcodec.runtime import Codec

    codec = Codec("mini-onnx/")
    codes = codec.encode("speech.wav")

`Codec` has the interface of `xcodec.Codec`, and reads and writes the same `Codes`.
"""

from xcodec.runtime.codec import Codec

__all__ = ["Codec"]
