"""X-Codec2 (Ye et al., 2025): one code of 65,536 every 20 ms, from fused semantic and acoustic features."""

from xcodec.models.family import Family
from xcodec.models.xcodec2.configuration import Xcodec2Config
from xcodec.models.xcodec2.feature_extraction import Xcodec2FeatureExtractor
from xcodec.models.xcodec2.modeling import Xcodec2DecoderOutput, Xcodec2EncoderOutput, Xcodec2Model, Xcodec2Output
from xcodec.models.xcodec2.pretrained import Xcodec2PreTrainedModel

__all__ = [
    "FAMILY",
    "Xcodec2Config",
    "Xcodec2DecoderOutput",
    "Xcodec2EncoderOutput",
    "Xcodec2FeatureExtractor",
    "Xcodec2Model",
    "Xcodec2Output",
    "Xcodec2PreTrainedModel",
]

FAMILY = Family(
    "X-Codec2",
    Xcodec2Config,
    Xcodec2FeatureExtractor,
    Xcodec2Model,
    names=("semantic_adapter.", "fc_encoder.", "quantizer.project_in."),
    original_names=("CodecEnc.", "generator.backbone.", "generator.quantizer."),
    original_reader="xcodec.compat.XCodec2Model",
)
