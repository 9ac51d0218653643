"""HarmonicXcodecModel: an X-Codec at all its bandwidths that reads spectra, and speaks by a source of harmonics."""

import torch

from xcodec.models.harmonic_xcodec.configuration import HarmonicXcodecConfig
from xcodec.models.harmonic_xcodec.decoder import HarmonicVocosDecoder
from xcodec.models.harmonic_xcodec.encoder import SpectralEncoder
from xcodec.models.xcodec_vocos.modeling import XcodecVocosModel
from xcodec.modules.autocorrelation import Autocorrelation

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
    decoder_class = HarmonicVocosDecoder
    waveform_dtype = torch.float32  # spectra of fewer bits are spectra of noise

    def _build_acoustic_encoder(self) -> None:
        config, acoustic = self.config, self.config.acoustic_model_config
        pitches = Autocorrelation(
            config.sample_rate,
            config.num_pitch_bins,
            config.lowest_pitch,
            config.highest_pitch,
            config.encoder_pitch_window,
            config.hop_length,
        )
        self.acoustic_encoder = SpectralEncoder(  # type: ignore[assignment]
            config.sample_rate,
            config.hop_length,
            config.encoder_windows,
            config.encoder_frames,
            config.encoder_mel_bins,
            pitches,
            acoustic.encoder_hidden_size,
            config.encoder_intermediate_size,
            config.encoder_num_layers,
            acoustic.hidden_size,
        )

    @property
    def lookahead(self) -> None:
        """A code's audio depends on all codes: on what is near by its filters, on those before it by its phase."""
