"""HiggsAudioV2TokenizerModel: X-Codec's network at 24 kHz and 25 codes a second, its semantic model at 16 kHz."""

from dataclasses import dataclass

from torch import Tensor

from xcodec.models.codec_model import Clips
from xcodec.models.higgs_audio_v2_tokenizer.configuration import HiggsAudioV2TokenizerConfig
from xcodec.models.xcodec.modeling import XcodecModel
from xcodec.models.xcodec.outputs import XcodecDecoderOutput, XcodecEncoderOutput, XcodecOutput
from xcodec.models.xcodec.pretrained import XcodecPreTrainedModel
from xcodec.modules.lengths import zero_past_end
from xcodec.modules.sinc_resampling import SincResampler

__all__ = [
    "HiggsAudioV2TokenizerDecoderOutput",
    "HiggsAudioV2TokenizerEncoderOutput",
    "HiggsAudioV2TokenizerModel",
    "HiggsAudioV2TokenizerOutput",
    "HiggsAudioV2TokenizerPreTrainedModel",
]

SEMANTIC_PADDING = 160  # samples on both sides of what the semantic model reads


@dataclass
class HiggsAudioV2TokenizerEncoderOutput(XcodecEncoderOutput):
    """What `HiggsAudioV2TokenizerModel.encode` returns; the fields are those of `XcodecEncoderOutput`."""


@dataclass
class HiggsAudioV2TokenizerDecoderOutput(XcodecDecoderOutput):
    """What `HiggsAudioV2TokenizerModel.decode` returns; the field is that of `XcodecDecoderOutput`."""


@dataclass
class HiggsAudioV2TokenizerOutput(XcodecOutput):
    """What `HiggsAudioV2TokenizerModel.forward` returns; the fields are those of `XcodecOutput`."""


class HiggsAudioV2TokenizerPreTrainedModel(XcodecPreTrainedModel):
    """The base of the tokenizer's models, under the name that transformers gives it."""

    config_class = HiggsAudioV2TokenizerConfig
    config: HiggsAudioV2TokenizerConfig
    base_model_prefix = "higgs_audio_v2_tokenizer"


class HiggsAudioV2TokenizerModel(HiggsAudioV2TokenizerPreTrainedModel, XcodecModel):
    """The audio tokenizer of Higgs Audio v2 (Boson AI, 2025) and OmniVoice, with transformers' interface.

    A clip of n samples at 24 kHz gives ceil(n / 960) frames of one code from each of 8 codebooks. The semantic model
    reads it at 16 kHz, through a filter that is part of the model, and every second of its frames counts.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    unused_tensors = ("semantic_model.masked_spec_embed",)  # of HuBERT's pre-training
    encoder_output = HiggsAudioV2TokenizerEncoderOutput
    decoder_output = HiggsAudioV2TokenizerDecoderOutput
    output = HiggsAudioV2TokenizerOutput

    def __init__(
        self, config: HiggsAudioV2TokenizerConfig, encoder_only: bool = False, decoder_only: bool = False
    ) -> None:
        super().__init__(config, encoder_only, decoder_only)
        self.semantic_pad = SEMANTIC_PADDING
        self.semantic_stride = config.semantic_downsample_factor
        self.resampler = SincResampler(config.sample_rate, config.semantic_sample_rate)

    def semantic_waveform(self, clips: Clips) -> tuple[Tensor, Tensor | None]:
        """Resample waveforms for the semantic model; what the filter spreads past a clip's end is cut, as alone."""
        waveform: Tensor = self.resampler(clips.waveform[:, 0])
        if clips.lengths is None:
            return waveform, None
        lengths = self.resampler.output_length(clips.lengths * self.hop_length)
        return zero_past_end(waveform[:, None], lengths)[:, 0], lengths
