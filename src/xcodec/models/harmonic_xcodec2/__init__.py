"""X-Codec2 with a decoder that has a source of harmonics; `mini` is of this kind."""

from xcodec.models.family import Family
from xcodec.models.harmonic_xcodec2.configuration import HarmonicXcodec2Config
from xcodec.models.harmonic_xcodec2.modeling import HarmonicXcodec2Model, HarmonicXcodec2PreTrainedModel
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor

__all__ = ["FAMILY", "HarmonicXcodec2Config", "HarmonicXcodec2Model", "HarmonicXcodec2PreTrainedModel"]

FAMILY = Family(
    "X-Codec2 (harmonic decoder)",
    HarmonicXcodec2Config,
    Xcodec2FeatureExtractor,
    HarmonicXcodec2Model,
    names=("acoustic_decoder.head.pitch.",),  # the encoder's are X-Codec2's
    original_names=(),
)
