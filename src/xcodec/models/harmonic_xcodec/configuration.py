"""What describes an X-Codec that reads spectra, and whose decoder has a source of harmonics."""

import math
from collections.abc import Sequence
from typing import Any

from xcodec.errors import InputError
from xcodec.models.configuration import check_sizes
from xcodec.models.harmonic import HarmonicFields
from xcodec.models.xcodec_vocos.configuration import XcodecVocosConfig

__all__ = ["HarmonicXcodecConfig"]


PERIODS = 2  # of the lowest pitch in a window, at least, which is alike to itself where they overlap
SPECTRAL_ARCHITECTURE = (
    "encoder_windows",
    "encoder_frames",
    "encoder_mel_bins",
    "encoder_pitch_window",
    "encoder_intermediate_size",
    "encoder_num_layers",
)


class HarmonicXcodecConfig(HarmonicFields, XcodecVocosConfig):
    """Configuration of `HarmonicXcodecModel`; the fields are those of `HarmonicFields` and of `XcodecVocosConfig`.

    Of the acoustic model's fields `hidden_size` is the width of its latents, `encoder_hidden_size` that of the
    encoder's blocks, and `downsampling_ratios` have the samples of a code as their product; the others mean nothing.

    Args:
        decoder_hop_length: samples that a code becomes; 320 is the rate that is encoded.
        encoder_windows: samples in the windows of each filter bank that the acoustic encoder reads.
        encoder_frames: spectra of each for a code.
        encoder_mel_bins: mel filters of each.
        encoder_pitch_window: samples in the windows of which it reads, once a code, how alike they are to themselves a
            period later, for each of the pitches that the head may predict.
        encoder_intermediate_size: width inside the encoder's blocks.
        encoder_num_layers: its blocks.
        **kwargs: the other fields.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "harmonic_xcodec"
    codes_of = ""  # of its own: the other X-Codecs read samples
    # Which pitches there are decides what the encoder reads, too.
    decoder_fields = (*XcodecVocosConfig.decoder_fields, "filters_per_code", "filter_hidden_size")

    def __init__(
        self,
        decoder_hop_length: int = 320,
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
        super().__init__(decoder_hop_length=decoder_hop_length, **kwargs)

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        return super().architecture() | {name: getattr(self, name) for name in SPECTRAL_ARCHITECTURE}

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number in the configuration repeats, by that number's name."""
        return super().num_repeated() | {"encoder_num_layers": self.encoder_num_layers}

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
        least = max(self.hop_length, math.ceil(PERIODS * self.sample_rate / self.lowest_pitch))
        if self.encoder_pitch_window < least:
            raise InputError(
                f"expected at least {least}: the samples of a code, and {PERIODS} periods of "
                f"lowest_pitch={self.lowest_pitch}",
                argument="encoder_pitch_window",
                value=self.encoder_pitch_window,
            )
