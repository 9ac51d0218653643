"""HarmonicXcodec2Model: an X-Codec2 that reads spectra, and speaks by a source of harmonics."""

import torch
from torch import nn
from transformers import initialization as init

from xcodec.models.harmonic_xcodec2.configuration import HarmonicXcodec2Config
from xcodec.models.xcodec2.modeling import Xcodec2Model
from xcodec.models.xcodec2.pretrained import Xcodec2PreTrainedModel
from xcodec.modules.vocos import VocosBlock
from xcodec.modules.vocos_decoder import VocosDecoder
from xcodec.modules.wav2vec2_bert import ConformerLayer

__all__ = ["HarmonicXcodec2Model", "HarmonicXcodec2PreTrainedModel"]


class HarmonicXcodec2PreTrainedModel(Xcodec2PreTrainedModel):
    """The base of X-Codec2's models that read spectra."""

    config_class = HarmonicXcodec2Config
    config: HarmonicXcodec2Config
    base_model_prefix = "harmonic_xcodec2"


class HarmonicXcodec2Model(HarmonicXcodec2PreTrainedModel, Xcodec2Model):
    """An X-Codec2 for small sizes, whose two ends are given what large ones have to learn.

    Its acoustic encoder reads log mel spectra and autocorrelations, as that of `HarmonicXcodecModel`; its decoder is
    Vocos' blocks, which learn from little, and then as that of `HarmonicXcodec2Model`. The rest, and its methods, are
    X-Codec2's.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    config: HarmonicXcodec2Config
    acoustic_decoder: VocosDecoder  # type: ignore[assignment]
    repeated_layers = (ConformerLayer, VocosBlock)
    single_blocks = ()
    waveform_dtype = torch.float32  # spectra of fewer bits are spectra of noise

    @property
    def lookahead(self) -> int:
        """How many codes after its own a code's audio depends on."""
        return self.acoustic_decoder.lookahead

    def _build_acoustic_encoder(self) -> None:
        self.acoustic_encoder = self.config.spectral_encoder(self.config.encoder_hidden_size, self.config.hidden_size)

    def _build_decoder(self) -> None:
        config = self.config
        head = config.harmonic_head(config.decoder_hidden_size)
        self.acoustic_decoder = config.vocos_decoder(config.quantization_dim, head)

    def _acoustic_products(self) -> int:
        return sum(parameter.numel() for parameter in self.acoustic_encoder.parameters())

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VocosBlock):
            init.constant_(module.scale, module.initial_scale)
