"""HarmonicXcodec2Model: X-Codec2's codes, and a decoder of them that has a source of harmonics."""

from xcodec.models.harmonic_xcodec2.configuration import HarmonicXcodec2Config
from xcodec.models.harmonic_xcodec2.decoder import HarmonicDecoder
from xcodec.models.xcodec2.modeling import Xcodec2Model
from xcodec.models.xcodec2.pretrained import Xcodec2PreTrainedModel

__all__ = ["HarmonicXcodec2Model", "HarmonicXcodec2PreTrainedModel"]


class HarmonicXcodec2PreTrainedModel(Xcodec2PreTrainedModel):
    """The base of X-Codec2's models with a harmonic decoder."""

    config_class = HarmonicXcodec2Config
    config: HarmonicXcodec2Config
    base_model_prefix = "harmonic_xcodec2"


class HarmonicXcodec2Model(HarmonicXcodec2PreTrainedModel, Xcodec2Model):
    """X-Codec2 whose decoder predicts a fundamental frequency and two filters instead of a spectrum with phases.

    A small decoder has no capacity, and its training no time, to learn how phases go on from frame to frame; what it
    makes without is a buzz at the rate of the codes. Here pulses at the fundamental frequency and noise pass the
    filters (see `xcodec.modules.harmonic_head`). The fundamental frequency is rounded to 10 cents, so that it is a
    decision, as a code is: the same wherever two machines compute nearly the same. The encoder is X-Codec2's.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    config: HarmonicXcodec2Config
    decoder_class = HarmonicDecoder
    acoustic_decoder: HarmonicDecoder
