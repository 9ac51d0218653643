"""XcodecVocosModel: X-Codec's encoder and codes, decoded by Vocos from the quantized latents themselves."""

from __future__ import annotations  # of functions made in forward, where torch 2.6 compiles no `Tensor | None`

import torch
from torch import Tensor, nn
from transformers import initialization as init

from xcodec.models.xcodec.modeling import XcodecModel
from xcodec.models.xcodec_vocos.configuration import XcodecVocosConfig
from xcodec.modules.harmonic_head import HarmonicHead
from xcodec.modules.hubert import EncoderLayer
from xcodec.modules.istft import OVERLAP, ISTFTHead
from xcodec.modules.time import Time
from xcodec.modules.vocos import VocosBlock
from xcodec.modules.vocos_decoder import VocosDecoder

__all__ = ["XcodecVocosModel"]


class XcodecVocosModel(XcodecModel):
    """An X-Codec whose decoder is one of YuE's (2025): from 16 kHz to 44.1 kHz, of voices or of instruments.

    Its methods are those of `XcodecModel`. It has nothing that only training uses.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    config_class: type[XcodecVocosConfig] = XcodecVocosConfig
    config: XcodecVocosConfig
    encoder_parts = ("acoustic_encoder", "encoder_semantic", "semantic_model", "fc")
    decoder_parts = ("acoustic_decoder",)
    repeated_layers = (EncoderLayer, VocosBlock)

    def _build_decoder(self) -> None:
        self.acoustic_decoder = self.config.vocos_decoder(  # type: ignore[assignment]
            self.config.hidden_size, self._build_head()
        )

    def _build_head(self) -> ISTFTHead | HarmonicHead:
        hop_length = self.config.decoder_hop_length
        return ISTFTHead(self.config.decoder_hidden_size, OVERLAP * hop_length, hop_length)

    @property
    def output_sampling_rate(self) -> int:
        """In Hz, of the audio that is decoded."""
        return self.config.output_sampling_rate

    @property
    def lookahead(self) -> int | None:
        """How many codes ahead of its own a code's audio depends on."""
        decoder = self.acoustic_decoder
        assert isinstance(decoder, VocosDecoder)
        return decoder.lookahead

    @property
    def bytes_per_code(self) -> int:
        """About how much memory a code of a long clip takes, whatever the tiles."""
        return super().bytes_per_code + 4 * (self.config.hidden_size + 4 * self.config.decoder_hop_length)

    def synthesize(self, codes: Tensor, time: Time) -> Tensor:
        """Decode codes at any kind of time: integers (batch, codebooks, codes) to samples (batch, 1, samples)."""

        def latents(part: Tensor, _: Tensor | None) -> Tensor:
            return self.quantizer.decode(part.transpose(1, 2)).to(self.dtype)

        x = time.map(latents, codes.transpose(1, 2), width=self.config.hidden_size)  # (batch, codes, channels)
        return self.acoustic_decoder(x, time)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VocosBlock):
            init.constant_(module.scale, module.initial_scale)
