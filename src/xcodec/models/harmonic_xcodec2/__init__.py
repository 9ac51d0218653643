"""A small X-Codec2 that reads spectra and speaks by a source of harmonics; `mini` is of this kind."""

from xcodec.models.family import Family
from xcodec.models.harmonic_xcodec2.configuration import HarmonicXcodec2Config
from xcodec.models.harmonic_xcodec2.modeling import HarmonicXcodec2Model, HarmonicXcodec2PreTrainedModel
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor

__all__ = ["FAMILY", "HarmonicXcodec2Config", "HarmonicXcodec2Model", "HarmonicXcodec2PreTrainedModel"]

FAMILY = Family(
    "X-Codec2 (spectral encoder, harmonic decoder)",
    HarmonicXcodec2Config,
    Xcodec2FeatureExtractor,
    HarmonicXcodec2Model,
    names=("acoustic_encoder.direct.", "acoustic_decoder.head.pitch."),  # config.json tells it from an X-Codec's
    original_names=(),
)
