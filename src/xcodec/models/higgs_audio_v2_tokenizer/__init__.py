"""The tokenizer of Higgs Audio v2 (Boson AI, 2025): X-Codec's network, eight residual codes every 40 ms at 24 kHz."""

from xcodec.models.family import Family
from xcodec.models.higgs_audio_v2_tokenizer.configuration import HiggsAudioV2TokenizerConfig
from xcodec.models.higgs_audio_v2_tokenizer.modeling import (
    HiggsAudioV2TokenizerDecoderOutput,
    HiggsAudioV2TokenizerEncoderOutput,
    HiggsAudioV2TokenizerModel,
    HiggsAudioV2TokenizerOutput,
    HiggsAudioV2TokenizerPreTrainedModel,
)
from xcodec.models.xcodec.feature_extraction import XcodecFeatureExtractor

__all__ = [
    "FAMILY",
    "HiggsAudioV2TokenizerConfig",
    "HiggsAudioV2TokenizerDecoderOutput",
    "HiggsAudioV2TokenizerEncoderOutput",
    "HiggsAudioV2TokenizerModel",
    "HiggsAudioV2TokenizerOutput",
    "HiggsAudioV2TokenizerPreTrainedModel",
]

FAMILY = Family(
    "Higgs Audio v2 tokenizer",
    HiggsAudioV2TokenizerConfig,
    XcodecFeatureExtractor,  # of another rate and hop, as DAC's is in transformers
    HiggsAudioV2TokenizerModel,
    names=("quantizer.quantizers.0.project_in.",),  # the others are X-Codec's
    original_names=("quantizer.vq.layers.0.project_in.",),
)
