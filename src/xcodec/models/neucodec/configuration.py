"""NeuCodecConfig: X-Codec2's fields, but for two sampling rates in place of one."""

import math
from typing import Any

from xcodec.errors import InputError
from xcodec.models.configuration import check_sampling_rate
from xcodec.models.xcodec2.configuration import Xcodec2Config

__all__ = ["NeuCodecConfig"]


class NeuCodecConfig(Xcodec2Config):
    """The configuration of `NeuCodecModel`, with the field names of transformers' class.

    As there, `hop_length` is what the decoder writes of a code, and `encoder_hop_length` what the encoder reads.

    Args:
        input_sampling_rate: of the audio that is encoded, in Hz; also readable as `sampling_rate`.
        output_sampling_rate: of the audio that is decoded, in Hz.
        **kwargs: the other fields of `Xcodec2Config`, and further ones of `PreTrainedConfig`.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "neucodec"
    attribute_map = {"sampling_rate": "input_sampling_rate"}  # noqa: RUF012

    output_sampling_rate: int = 24000

    def __init__(self, input_sampling_rate: int = 16000, output_sampling_rate: int = 24000, **kwargs: Any) -> None:
        self.output_sampling_rate = output_sampling_rate
        check_sampling_rate("output_sampling_rate", output_sampling_rate)
        super().__init__(sampling_rate=input_sampling_rate, **kwargs)
        if self.code_hop_length * output_sampling_rate % (input_sampling_rate * math.prod(self.upsampling_ratios)):
            raise InputError(
                f"the {self.code_hop_length} samples of a code at {input_sampling_rate} Hz are no whole "
                f"number of samples, or of the steps of upsampling_ratios={self.upsampling_ratios}, at "
                "this rate",
                argument="output_sampling_rate",
                value=output_sampling_rate,
            )

    @property
    def hop_length(self) -> int:
        """Samples per code that the decoder writes."""
        return self.code_hop_length * self.output_sampling_rate // self.sampling_rate

    @property
    def output_hop_length(self) -> int:
        """Samples that the decoder's inverse STFT writes of a step."""
        return self.hop_length // math.prod(self.upsampling_ratios)

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        return super().architecture() | {"output_sampling_rate": self.output_sampling_rate}
