"""NeuCodecModel: X-Codec2's network, whose head writes 24 kHz."""

from dataclasses import dataclass

from xcodec.models.neucodec.configuration import NeuCodecConfig
from xcodec.models.xcodec2.modeling import (
    Xcodec2DecoderOutput,
    Xcodec2EncoderOutput,
    Xcodec2Model,
    Xcodec2Output,
)
from xcodec.models.xcodec2.pretrained import Xcodec2PreTrainedModel

__all__ = [
    "NeuCodecDecoderOutput",
    "NeuCodecEncoderOutput",
    "NeuCodecModel",
    "NeuCodecOutput",
    "NeuCodecPreTrainedModel",
]


@dataclass
class NeuCodecEncoderOutput(Xcodec2EncoderOutput):
    """What `NeuCodecModel.encode` returns; the fields are those of `Xcodec2EncoderOutput`."""


@dataclass
class NeuCodecDecoderOutput(Xcodec2DecoderOutput):
    """What `NeuCodecModel.decode` returns; the field is that of `Xcodec2DecoderOutput`."""


@dataclass
class NeuCodecOutput(Xcodec2Output):
    """What `NeuCodecModel.forward` returns; the fields are those of `Xcodec2Output`."""


class NeuCodecPreTrainedModel(Xcodec2PreTrainedModel):
    """The base of NeuCodec's models, under the name that transformers gives it."""

    config_class = NeuCodecConfig
    config: NeuCodecConfig
    base_model_prefix = "neucodec"


class NeuCodecModel(NeuCodecPreTrainedModel, Xcodec2Model):
    """The NeuCodec codec (Neuphonic, 2025), with the interface and the checkpoints of transformers' class.

    A clip of n samples at 16 kHz gives n // 320 codes, and each of these 480 samples at 24 kHz. The semantic encoder
    sees no zeros around the clip, so it has one step less than the acoustic encoder, whose last one is left out.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    uncoded_hops = 1
    feature_margin = 0
    encoder_output = NeuCodecEncoderOutput
    decoder_output = NeuCodecDecoderOutput
    output = NeuCodecOutput
