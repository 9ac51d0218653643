"""DistillNeuCodec (Neuphonic, 2025): NeuCodec's decoder behind encoders of 57M parameters; Apache-2.0."""

from xcodec.models.distill_neucodec.configuration import DistillNeuCodecConfig
from xcodec.models.distill_neucodec.feature_extraction import DistillNeuCodecFeatureExtractor
from xcodec.models.distill_neucodec.modeling import (
    DistillNeuCodecDecoderOutput,
    DistillNeuCodecEncoderOutput,
    DistillNeuCodecModel,
    DistillNeuCodecOutput,
    DistillNeuCodecPreTrainedModel,
)
from xcodec.models.family import Family

__all__ = [
    "FAMILY",
    "DistillNeuCodecConfig",
    "DistillNeuCodecDecoderOutput",
    "DistillNeuCodecEncoderOutput",
    "DistillNeuCodecFeatureExtractor",
    "DistillNeuCodecModel",
    "DistillNeuCodecOutput",
    "DistillNeuCodecPreTrainedModel",
]

FAMILY = Family(
    "DistillNeuCodec",
    DistillNeuCodecConfig,
    DistillNeuCodecFeatureExtractor,
    DistillNeuCodecModel,
    names=("fc_acoustic.",),  # the others are X-Codec2's, and X-Codec's
    original_names=("codec_encoder.", "fc_sq_prior."),
    original_reader="xcodec.compat.DistillNeuCodec",
)
