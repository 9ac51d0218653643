"""What describes an X-Codec2 whose decoder is causal."""

from typing import Any

from xcodec.errors import InputError
from xcodec.models.configuration import check_booleans, check_sizes, is_number
from xcodec.models.xcodec2.configuration import Xcodec2Config

__all__ = ["CausalXcodec2Config"]

CAUSAL_ARCHITECTURE = ("decoder_hidden_size", "lookahead", "sliding_window", "has_encoder", "rotary_base")


class CausalXcodec2Config(Xcodec2Config):
    """Configuration of `CausalXcodec2Model`; the defaults are the decoder of Nemotron Audex beside X-Codec2's encoder.

    The fields of `Xcodec2Config` that describe its decoder's transformer describe this one's; those of its upsampler
    are not for it.

    Args:
        decoder_hidden_size: width of the decoder, a multiple of `num_attention_heads`.
        intermediate_size: width inside the decoder's MLPs.
        num_attention_heads: attention heads of the decoder.
        num_key_value_heads: key and value heads of the decoder; None means as many as attention heads.
        head_dim: width of one attention head, even; None means decoder_hidden_size // num_attention_heads.
        lookahead: how many codes after its own a code's audio depends on.
        sliding_window: how many codes a layer's attention sees, the own included; None is all that came before.
        has_encoder: whether there is an encoder, and so codes of this model; False is a decoder of another one's codes.
        rope_parameters: of the decoder's rotary positions: `rope_theta`, and `rope_type` "default".
        **kwargs: the other fields of `Xcodec2Config`, and further ones of `PreTrainedConfig`.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "causal_xcodec2"
    codes_of = Xcodec2Config.model_type
    decoder_fields = (*Xcodec2Config.decoder_fields, *CAUSAL_ARCHITECTURE)
    renewed_parts = ("acoustic_decoder.",)
    renewed_fields = decoder_fields

    has_encoder: bool = True

    def __init__(
        self,
        decoder_hidden_size: int = 2048,
        intermediate_size: int = 8192,
        num_attention_heads: int = 32,
        num_key_value_heads: int | None = None,
        head_dim: int | None = None,
        lookahead: int = 4,
        sliding_window: int | None = None,
        has_encoder: bool = True,
        rope_parameters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.decoder_hidden_size = decoder_hidden_size
        self.lookahead = lookahead
        self.sliding_window = sliding_window
        self.has_encoder = has_encoder
        self.num_attention_heads = num_attention_heads
        check_sizes(self, "decoder_hidden_size", "num_attention_heads")
        super().__init__(
            intermediate_size=intermediate_size,
            num_attention_heads=num_attention_heads,
            num_key_value_heads=num_key_value_heads,
            head_dim=decoder_hidden_size // num_attention_heads if head_dim is None else head_dim,
            rope_parameters={"rope_theta": 10_000.0, "rope_type": "default"} | (rope_parameters or {}),
            **kwargs,
        )

    @property
    def decoder_width(self) -> int:
        """Numbers of a step in the decoder's layers."""
        return self.decoder_hidden_size

    @property
    def rotary_base(self) -> float:
        """How many times slower the last pair of a head turns than the first, about."""
        assert self.rope_parameters is not None, "__init__ sets them"
        return float(self.rope_parameters["rope_theta"])

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        return super().architecture() | {name: getattr(self, name) for name in CAUSAL_ARCHITECTURE}

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number repeats; a decoder alone has no semantic encoder."""
        repeated = super().num_repeated()
        return repeated if self.has_encoder else {"num_hidden_layers": repeated["num_hidden_layers"]}

    def _check(self) -> None:
        check_sizes(self, "lookahead", at_least=0)
        check_booleans(self, "has_encoder")
        if self.sliding_window is not None:
            check_sizes(self, "sliding_window")
        if self.decoder_hidden_size % self.num_attention_heads:
            raise InputError(
                f"expected a multiple of num_attention_heads={self.num_attention_heads}",
                argument="decoder_hidden_size",
                value=self.decoder_hidden_size,
            )
        super()._check()
        if self.head_dim is not None and self.head_dim % 2:
            raise InputError("expected an even number, for rotary positions", argument="head_dim", value=self.head_dim)
        told: dict[str, Any] = self.rope_parameters or {}
        if told["rope_type"] != "default" or not (is_number(told["rope_theta"]) and told["rope_theta"] > 0):
            raise InputError(
                "expected rope_type 'default' and a rope_theta above 0",
                argument="rope_parameters",
                value=self.rope_parameters,
            )
        if self.upsampling_ratios:
            raise InputError(
                "a causal decoder has no upsampler; decoder_hop_length tells its rate",
                argument="upsampling_ratios",
                value=self.upsampling_ratios,
            )
