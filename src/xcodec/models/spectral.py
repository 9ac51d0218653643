"""What codecs that read spectra have in common: fields of a configuration, and the encoder that these describe."""

import math
from collections.abc import Sequence
from typing import Any

from xcodec.errors import InputError
from xcodec.models.configuration import check_sizes
from xcodec.models.harmonic import HarmonicFields
from xcodec.modules.autocorrelation import Autocorrelation
from xcodec.modules.spectral_encoder import SpectralEncoder

__all__ = ["SpectralFields"]

PERIODS = 2  # of the lowest pitch in a window, at least, which is alike to itself where they overlap
SPECTRAL_ARCHITECTURE = (
    "encoder_windows",
    "encoder_frames",
    "encoder_mel_bins",
    "encoder_pitch_window",
    "encoder_intermediate_size",
    "encoder_num_layers",
)


class SpectralFields(HarmonicFields):
    """The part of a configuration that describes an encoder of spectra and a harmonic head, whose pitches it hears.

    It comes before the codec's own.

    Args:
        encoder_windows: samples in the windows of each filter bank that the acoustic encoder reads.
        encoder_frames: spectra of each for a code.
        encoder_mel_bins: mel filters of each.
        encoder_pitch_window: samples in the windows of which it reads, once a code, how alike they are to themselves a
            period later, for each of the pitches that the head may predict.
        encoder_intermediate_size: width inside the encoder's blocks.
        encoder_num_layers: its blocks.
        **kwargs: the fields of `HarmonicFields` and of the codec's configuration.

    Raises:
        InputError: where sizes do not fit together.
    """

    sampling_rate: int
    hop_length: int

    def __init__(
        self,
        encoder_windows: Sequence[int] = (400, 1024),
        encoder_frames: Sequence[int] = (4, 2),
        encoder_mel_bins: int = 80,
        encoder_pitch_window: int = 1024,
        encoder_intermediate_size: int = 768,
        encoder_num_layers: int = 4,
        **kwargs: Any,
    ) -> None:
        self.encoder_windows = list(encoder_windows)
        self.encoder_frames = list(encoder_frames)
        self.encoder_mel_bins = encoder_mel_bins
        self.encoder_pitch_window = encoder_pitch_window
        self.encoder_intermediate_size = encoder_intermediate_size
        self.encoder_num_layers = encoder_num_layers
        super().__init__(**kwargs)

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        return super().architecture() | {name: getattr(self, name) for name in SPECTRAL_ARCHITECTURE}

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number in the configuration repeats, by that number's name."""
        repeated: dict[str, int] = super().num_repeated()  # type: ignore[misc]
        return repeated | {"encoder_num_layers": self.encoder_num_layers}

    def spectral_encoder(self, hidden_size: int, output_size: int) -> SpectralEncoder:
        """Make the encoder, of blocks and latents of these widths."""
        pitches = Autocorrelation(
            self.sampling_rate,
            self.num_pitch_bins,
            self.lowest_pitch,
            self.highest_pitch,
            self.encoder_pitch_window,
            self.hop_length,
        )
        return SpectralEncoder(
            self.sampling_rate,
            self.hop_length,
            self.encoder_windows,
            self.encoder_frames,
            self.encoder_mel_bins,
            pitches,
            hidden_size,
            self.encoder_intermediate_size,
            self.encoder_num_layers,
            output_size,
        )

    def _check(self) -> None:
        check_sizes(self, *SPECTRAL_ARCHITECTURE)
        super()._check()
        windows, frames = self.encoder_windows, self.encoder_frames
        if len(windows) != len(frames):
            raise InputError(
                f"encoder_windows={windows} and encoder_frames={frames}: expected one of each per filter bank"
            )
        for window, number in zip(windows, frames, strict=True):
            if self.hop_length % number:
                raise InputError(
                    f"expected numbers that divide the {self.hop_length} samples of a code",
                    argument="encoder_frames",
                    value=frames,
                )
            if window < self.hop_length // number:
                raise InputError(
                    f"expected at least the {self.hop_length // number} samples that {number} windows a code are apart",
                    argument="encoder_windows",
                    value=windows,
                )
        least = max(self.hop_length, math.ceil(PERIODS * self.sampling_rate / self.lowest_pitch))
        if self.encoder_pitch_window < least:
            raise InputError(
                f"expected at least {least}: the samples of a code, and {PERIODS} periods of "
                f"lowest_pitch={self.lowest_pitch}",
                argument="encoder_pitch_window",
                value=self.encoder_pitch_window,
            )
