"""HarmonicXcodecModel: an X-Codec at all its bandwidths that reads spectra, and speaks by a source of harmonics."""

import torch

from xcodec.models.harmonic_xcodec.configuration import HarmonicXcodecConfig
from xcodec.models.xcodec_vocos.modeling import XcodecVocosModel
from xcodec.modules.harmonic_head import HarmonicHead

__all__ = ["HarmonicXcodecModel"]


class HarmonicXcodecModel(XcodecVocosModel):
    """An X-Codec for small sizes, whose two ends are given what large ones have to learn.

    Its acoustic encoder reads spectra, and its decoder is Vocos up to its states, and then as that of
    `HarmonicXcodec2Model`. Its methods are those of `XcodecModel`. It has nothing that only training uses.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    config_class = HarmonicXcodecConfig
    config: HarmonicXcodecConfig
    waveform_dtype = torch.float32  # spectra of fewer bits are spectra of noise

    def _build_acoustic_encoder(self) -> None:
        acoustic = self.config.acoustic_model_config
        self.acoustic_encoder = self.config.spectral_encoder(  # type: ignore[assignment]
            acoustic.encoder_hidden_size, acoustic.hidden_size
        )

    def _build_head(self) -> HarmonicHead:
        return self.config.harmonic_head(self.config.decoder_hidden_size)
