"""What describes an X-Codec2 whose decoder has a source of harmonics."""

from typing import Any

from xcodec.errors import InputError
from xcodec.models.harmonic import HARMONIC_ARCHITECTURE, HarmonicFields
from xcodec.models.xcodec2.configuration import Xcodec2Config

__all__ = ["HarmonicXcodec2Config"]


class HarmonicXcodec2Config(HarmonicFields, Xcodec2Config):
    """Configuration of `HarmonicXcodec2Model`; the defaults are X-Codec2's size.

    The fields are those of `HarmonicFields` and of `Xcodec2Config`, but for the latter's upsampler's.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "harmonic_xcodec2"
    codes_of = Xcodec2Config.model_type
    decoder_fields = (*Xcodec2Config.decoder_fields, *HARMONIC_ARCHITECTURE)
    renewed_fields = ("upsampling_ratios", "upsampling_kernel_sizes")

    def __init__(self, **kwargs: Any) -> None:  # without one of its own, transformers would make one up
        super().__init__(**kwargs)

    def _check(self) -> None:
        super()._check()
        if self.upsampling_ratios:
            raise InputError(
                "a harmonic decoder has no upsampler; filters_per_code tells how often its filters change",
                argument="upsampling_ratios",
                value=self.upsampling_ratios,
            )
