"""X-Codec2 with a causal decoder, whose streams are exact; as in Nemotron Audex (NVIDIA, 2026), which has it alone."""

from xcodec.models.causal_xcodec2.configuration import CausalXcodec2Config
from xcodec.models.causal_xcodec2.modeling import CausalXcodec2Model, CausalXcodec2PreTrainedModel
from xcodec.models.family import Family
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor

__all__ = ["FAMILY", "CausalXcodec2Config", "CausalXcodec2Model", "CausalXcodec2PreTrainedModel"]

FAMILY = Family(
    "X-Codec2 (causal decoder)",
    CausalXcodec2Config,
    Xcodec2FeatureExtractor,
    CausalXcodec2Model,
    names=("acoustic_decoder.head.proj.", "acoustic_decoder.lookahead."),  # the encoder's are X-Codec2's
    original_names=("audex_speech_token_embedder.", "lookahead_conv."),
)
