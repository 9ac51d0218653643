"""What XcodecModel returns: transformers' outputs, and masks."""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput

__all__ = ["XcodecDecoderOutput", "XcodecEncoderOutput", "XcodecOutput"]


@dataclass
class XcodecEncoderOutput(ModelOutput):
    """What `XcodecModel.encode` returns.

    Attributes:
        audio_codes: int64 (batch, codebooks, codes), each in [0, codebook_size); 0 past a clip's end.
        audio_codes_mask: int32 (batch, 1, codes), one on every frame that the clip alone would give; None where no mask
            was given.
    """

    audio_codes: Tensor | None = None
    audio_codes_mask: Tensor | None = None


@dataclass
class XcodecDecoderOutput(ModelOutput):
    """What `XcodecModel.decode` returns.

    Attributes:
        audio_values: samples (batch, 1, codes * hop_length), zeros past a clip's end.
    """

    audio_values: Tensor | None = None


@dataclass
class XcodecOutput(ModelOutput):
    """What `XcodecModel.forward` returns.

    Attributes:
        audio_codes: as in `XcodecEncoderOutput`.
        audio_values: samples (batch, 1, samples), as long as the input, zeros past a clip's end.
        audio_codes_mask: as in `XcodecEncoderOutput`.
    """

    audio_codes: Tensor | None = None
    audio_values: Tensor | None = None
    audio_codes_mask: Tensor | None = None
