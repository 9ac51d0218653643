"""X-Codec's codes through a Vocos decoder (YuE, 2025): 44.1 kHz, of voices or of instruments."""

from xcodec.models.family import Family
from xcodec.models.xcodec.feature_extraction import XcodecFeatureExtractor
from xcodec.models.xcodec_vocos.configuration import XcodecVocosConfig
from xcodec.models.xcodec_vocos.modeling import XcodecVocosModel

__all__ = ["FAMILY", "XcodecVocosConfig", "XcodecVocosModel"]

FAMILY = Family(
    "X-Codec with a Vocos decoder",
    XcodecVocosConfig,
    XcodecFeatureExtractor,
    XcodecVocosModel,
    names=("acoustic_decoder.layers.0.scale",),  # the encoder's are X-Codec's
    original_names=(),
)
