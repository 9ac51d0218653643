"""A small X-Codec that reads spectra and speaks by a source of harmonics; the recipe `mini-general` trains one."""

from xcodec.models.family import Family
from xcodec.models.harmonic_xcodec.configuration import HarmonicXcodecConfig
from xcodec.models.harmonic_xcodec.modeling import HarmonicXcodecModel
from xcodec.models.xcodec.feature_extraction import XcodecFeatureExtractor

__all__ = ["FAMILY", "HarmonicXcodecConfig", "HarmonicXcodecModel"]

FAMILY = Family(
    "X-Codec (spectral encoder, harmonic decoder)",
    HarmonicXcodecConfig,
    XcodecFeatureExtractor,
    HarmonicXcodecModel,
    names=("acoustic_encoder.direct.", "acoustic_decoder.head.pitch."),  # of a decoder alone, config.json tells
    original_names=(),
)
