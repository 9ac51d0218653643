"""NeuCodec (Neuphonic, 2025): X-Codec2's network with its own weights, from 16 kHz to 24 kHz; Apache-2.0."""

from xcodec.models.family import Family
from xcodec.models.neucodec.configuration import NeuCodecConfig
from xcodec.models.neucodec.feature_extraction import NeuCodecFeatureExtractor
from xcodec.models.neucodec.modeling import (
    NeuCodecDecoderOutput,
    NeuCodecEncoderOutput,
    NeuCodecModel,
    NeuCodecOutput,
    NeuCodecPreTrainedModel,
)
from xcodec.models.xcodec2 import FAMILY as XCODEC2

__all__ = [
    "FAMILY",
    "NeuCodecConfig",
    "NeuCodecDecoderOutput",
    "NeuCodecEncoderOutput",
    "NeuCodecFeatureExtractor",
    "NeuCodecModel",
    "NeuCodecOutput",
    "NeuCodecPreTrainedModel",
]

FAMILY = Family(
    "NeuCodec",
    NeuCodecConfig,
    NeuCodecFeatureExtractor,
    NeuCodecModel,
    names=XCODEC2.names,  # the tensors are X-Codec2's: config.json tells which of them it is
    original_names=XCODEC2.original_names,
)
