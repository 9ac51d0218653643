"""CausalXcodec2Model: X-Codec2's codes, and a causal decoder of them."""

from xcodec.models.causal_xcodec2.configuration import CausalXcodec2Config
from xcodec.models.causal_xcodec2.decoder import CausalDecoder
from xcodec.models.xcodec2.modeling import Xcodec2Model
from xcodec.models.xcodec2.pretrained import Xcodec2PreTrainedModel

__all__ = ["CausalXcodec2Model", "CausalXcodec2PreTrainedModel"]


class CausalXcodec2PreTrainedModel(Xcodec2PreTrainedModel):
    """The base of X-Codec2's models with a causal decoder."""

    config_class = CausalXcodec2Config
    config: CausalXcodec2Config
    base_model_prefix = "causal_xcodec2"


class CausalXcodec2Model(CausalXcodec2PreTrainedModel, Xcodec2Model):
    """X-Codec2 with a decoder that sees `lookahead` codes ahead and no more, as Nemotron Audex (NVIDIA, 2026) has one.

    Its streams are exact: each code gives its samples, which are those of the whole, once so many codes have followed
    it. The encoder is X-Codec2's. Where the configuration says `has_encoder=False`, it is a decoder alone.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    config: CausalXcodec2Config
    decoder_class = CausalDecoder
    acoustic_decoder: CausalDecoder  # type: ignore[assignment]  # which makes its samples otherwise
    looks_ahead_once = True

    @property
    def lookahead(self) -> int:
        """How many codes after its own a code's audio depends on."""
        return self.config.lookahead
