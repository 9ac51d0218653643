"""The interfaces of the packages that X-Codec2 and NeuCodec came in: only the import line changes.

from xcodec.compat import XCodec2Model  # for `xcodec2`
from xcodec.compat import NeuCodec  # for `neucodec`
"""

from xcodec.compat.neucodec import DistillNeuCodec, NeuCodec
from xcodec.compat.xcodec2 import XCodec2Model

__all__ = ["DistillNeuCodec", "NeuCodec", "XCodec2Model"]
