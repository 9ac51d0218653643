"""X-Codec (Ye et al., 2024): up to eight residual codes every 20 ms, for speech and for general audio."""

from xcodec.models.family import Family
from xcodec.models.xcodec.configuration import XcodecConfig
from xcodec.models.xcodec.feature_extraction import XcodecFeatureExtractor
from xcodec.models.xcodec.modeling import XcodecModel
from xcodec.models.xcodec.outputs import XcodecDecoderOutput, XcodecEncoderOutput, XcodecOutput
from xcodec.models.xcodec.pretrained import XcodecPreTrainedModel

__all__ = [
    "FAMILY",
    "XcodecConfig",
    "XcodecDecoderOutput",
    "XcodecEncoderOutput",
    "XcodecFeatureExtractor",
    "XcodecModel",
    "XcodecOutput",
    "XcodecPreTrainedModel",
]

FAMILY = Family(
    "X-Codec",
    XcodecConfig,
    XcodecFeatureExtractor,
    XcodecModel,
    names=("encoder_semantic.", "decoder_semantic."),  # DAC and EnCodec have quantizers of X-Codec's names
    original_names=("decoder_2.", "fc_post1.", "fc_post2."),
)
