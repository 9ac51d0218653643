"""XcodecModel: waveforms to residual codes at several bandwidths, and codes to waveforms."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec.errors import InputError
from xcodec.models.acoustic import AcousticEncoder, EncoderBlock
from xcodec.models.masks import mask_lengths, unless_full
from xcodec.models.pretrained import refuse_wishes
from xcodec.models.xcodec.configuration import XcodecConfig
from xcodec.models.xcodec.decoder import AcousticDecoder, DecoderBlock
from xcodec.models.xcodec.outputs import XcodecDecoderOutput, XcodecEncoderOutput, XcodecOutput
from xcodec.models.xcodec.pretrained import XcodecPreTrainedModel
from xcodec.models.xcodec.semantic import SemanticDecoder, SemanticEncoder, build_semantic_model
from xcodec.modules.hubert import EncoderLayer
from xcodec.modules.lengths import valid_steps, zero_past_end
from xcodec.modules.linear import Linear
from xcodec.modules.snake import Snake
from xcodec.modules.time import Time
from xcodec.progress import share
from xcodec.quantizers.rvq import ResidualVectorQuantizer

__all__ = ["XcodecModel"]

SEMANTIC_SHARE = 0.6  # of the work of encoding a short clip


class XcodecModel(XcodecPreTrainedModel):
    """The X-Codec codec (Ye et al., "Codec Does Matter", 2024), with transformers' interface and checkpoints.

    A clip of n samples, prepared by `XcodecFeatureExtractor`, gives ceil(n / hop_length) frames of one code from each
    codebook, the same whatever else is in its batch. How many codebooks are used is chosen by `bandwidth`.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    encoder_parts = ("acoustic_encoder", "encoder_semantic", "semantic_model", "fc", "fc1", "decoder_semantic")
    # fc1 and decoder_semantic are for training, which needs both halves.
    decoder_parts = ("acoustic_decoder", "fc2", "fc1", "decoder_semantic")
    repeated_layers = (EncoderLayer,)
    single_blocks = (EncoderBlock, DecoderBlock)

    def __init__(self, config: XcodecConfig, encoder_only: bool = False, decoder_only: bool = False) -> None:
        super().__init__(config)
        self._choose_half(encoder_only, decoder_only)
        acoustic, semantic = config.acoustic_model_config, config.semantic_model_config
        self.pad = config.hop_length // 2
        convolutions = (
            semantic.hidden_size,
            config.channel_ratios,
            config.strides,
            config.kernel_size,
            config.unit_kernel_size,
            config.block_dilations,
        )
        if self.has_encoder:
            self.acoustic_encoder = AcousticEncoder(
                acoustic.encoder_hidden_size, acoustic.downsampling_ratios, acoustic.hidden_size, activation=Snake
            )
            self.encoder_semantic = SemanticEncoder(*convolutions)
            self.semantic_model = build_semantic_model(semantic)
            self.fc = Linear(config.hidden_size, config.hidden_size)
        self.quantizer = ResidualVectorQuantizer(config.codebook_dim, config.codebook_size, config.num_quantizers)
        if self.has_decoder:
            self.fc2 = Linear(config.hidden_size, acoustic.hidden_size)
            self.acoustic_decoder = AcousticDecoder(
                acoustic.hidden_size, acoustic.decoder_hidden_size, acoustic.upsampling_ratios
            )
        if self.has_encoder and self.has_decoder:  # what only training uses
            self.fc1 = Linear(config.hidden_size, semantic.hidden_size)
            self.decoder_semantic = SemanticDecoder(*convolutions)
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return self.config.hop_length

    @property
    def bytes_per_code(self) -> int:
        """About how much memory a code of a long clip takes, whatever the tiles."""
        states = 5 * self.config.semantic_model_config.hidden_size  # two, their sum, keys and values
        samples = 4 * self.hop_length  # four copies of them, as float32
        return states * self.quantizer.codebooks[0].embed.element_size() + samples * 4

    def num_quantizers_at(self, bandwidth: float | None) -> int:
        """How many codebooks a bandwidth of the config's `target_bandwidths`, in kbit/s, uses; None means the highest.

        Raises:
            InputError: where the bandwidth is not one of those.
        """
        offered = self.config.target_bandwidths
        if bandwidth is None:
            bandwidth = offered[-1]
        if bandwidth not in offered:
            raise InputError(
                f"This model doesn't support the bandwidth {bandwidth}. Select one of "
                f"{', '.join(f'{offer:g}' for offer in offered)} (kbit/s)"
            )
        per_codebook = math.log2(self.config.codebook_size) * self.config.frame_rate / 1000
        return max(1, math.floor(bandwidth / per_codebook))

    def encode(
        self,
        input_values: Tensor,
        bandwidth: float | None = None,
        return_dict: bool | None = None,
        padding_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> XcodecEncoderOutput | Tensor:
        """Encode waveforms.

        Args:
            input_values: samples at the config's rate, full scale at 1.0, shape (batch, 1, samples). Give whole hops,
                as the feature extractor does; without a `padding_mask`, other lengths are read as transformers reads
                them, which for most shifts the acoustic encoder by half a hop against the semantic one.
            bandwidth: in kbit/s, one of the config's `target_bandwidths`; None means the highest.
            return_dict: False returns the codes alone; None does as the config says.
            padding_mask: nonzero on each clip's own samples, (batch, samples) or (batch, 1, samples). Each clip is then
                encoded as it would be alone, with zeros up to whole hops. (transformers has no such argument, and its
                padded batches get other codes than single clips.)
            **kwargs: `output_attentions` and `output_hidden_states`, which change nothing, as in transformers; and what
                else it passes around, where it is False or None.

        Raises:
            InputError: where a shape or the bandwidth does not fit; it says what was expected.
        """
        refuse_wishes(kwargs)
        self._needs("encoder")
        codes, codes_mask, _ = self._encode(input_values, bandwidth, padding_mask)
        if not self._wants_dict(return_dict):
            return codes
        return XcodecEncoderOutput(audio_codes=codes, audio_codes_mask=codes_mask)

    def decode(
        self,
        audio_codes: Tensor,
        return_dict: bool | None = None,
        audio_codes_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> XcodecDecoderOutput | Tensor:
        """Decode codes to samples.

        Args:
            audio_codes: integers in [0, codebook_size), shape (batch, k, codes), of the first k codebooks: all of them,
                or as few as one, at the quality of a lower bandwidth. Past a clip's end they may be anything.
            return_dict: False returns the samples alone; None does as the config says.
            audio_codes_mask: nonzero on each clip's own frames, (batch, 1, codes) or (batch, codes), as `encode`
                returns it; None means that every frame counts.
            **kwargs: as in `encode`.

        Raises:
            InputError: where a shape, dtype or code does not fit.
        """
        refuse_wishes(kwargs)
        self._needs("decoder")
        self._check_codes_shape(audio_codes)
        lengths = None
        if audio_codes_mask is not None:
            batch, _, num_codes = audio_codes.shape
            lengths = mask_lengths(audio_codes_mask, batch, num_codes, "audio_codes_mask")
            audio_codes = audio_codes.masked_fill(~valid_steps(lengths, num_codes)[:, None], 0)
            lengths = unless_full(lengths, num_codes)
        audio_values = self._decode(audio_codes, lengths)
        return XcodecDecoderOutput(audio_values=audio_values) if self._wants_dict(return_dict) else audio_values

    def forward(
        self,
        input_values: Tensor,
        audio_codes: Tensor | None = None,
        bandwidth: float | None = None,
        return_dict: bool | None = None,
        padding_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> XcodecOutput | tuple[Tensor, Tensor]:
        """Encode and decode.

        Args:
            input_values: as for `encode`.
            audio_codes: codes to decode instead of encoding `input_values`, as for `decode`.
            bandwidth: as for `encode`.
            return_dict: False returns (codes, samples); None does as the config says.
            padding_mask: as for `encode`.
            **kwargs: as in `encode`.

        Raises:
            InputError: as in `encode` and `decode`.
        """
        refuse_wishes(kwargs)
        self._needs("encoder")
        self._needs("decoder")
        if audio_codes is None:
            codes, codes_mask, lengths = self._encode(input_values, bandwidth, padding_mask)
        else:
            self._check_codes_shape(audio_codes)
            codes, (codes_mask, lengths) = audio_codes, self._lengths_of(input_values, padding_mask)
        audio_values = self._decode(codes, lengths)[..., : input_values.shape[-1]]
        if not self._wants_dict(return_dict):
            return codes, audio_values
        return XcodecOutput(audio_codes=codes, audio_values=audio_values, audio_codes_mask=codes_mask)

    def _encode(
        self, input_values: Tensor, bandwidth: float | None, padding_mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Codes (batch, codebooks, codes), their mask (batch, 1, codes) and lengths in codes, if not full."""
        num_quantizers = self.num_quantizers_at(bandwidth)
        codes_mask, lengths = self._lengths_of(input_values, padding_mask)
        waveform, sample_lengths = input_values, None
        if padding_mask is not None:
            batch, _, num_samples = input_values.shape
            waveform = zero_past_end(waveform, mask_lengths(padding_mask, batch, num_samples, "padding_mask"))
            if num_samples % self.hop_length:  # what has whole hops is not copied
                waveform = F.pad(waveform, (0, -num_samples % self.hop_length))
        if lengths is not None:
            sample_lengths = lengths * self.hop_length
        waveform = waveform.to(self.dtype)

        with share(SEMANTIC_SHARE):
            states, frames = self._semantic_states(waveform, sample_lengths)
        num_codes = self.encoder_semantic.output_length(states.shape[1])
        if codes_mask is not None and num_codes != codes_mask.shape[-1]:
            raise InputError(
                f"{waveform.shape[-1]} samples give {num_codes} semantic frames, for {codes_mask.shape[-1]} hops of "
                f"{self.hop_length} samples; a padded batch needs a config whose two encoders keep step"
            )
        waveform, sample_lengths = self._acoustic_input(waveform, sample_lengths, num_codes)
        time = self.time_of(None, waveform.shape[0] * num_codes)
        semantic = self.encoder_semantic(states.transpose(1, 2), time.of(frames))  # (batch, channels, codes)
        del states
        acoustic = self.acoustic_encoder(waveform, time.of(sample_lengths))
        codes = self._quantized(acoustic, semantic, num_quantizers, time)
        if lengths is not None:
            codes = codes.masked_fill(~valid_steps(lengths, num_codes)[:, None], 0)
        return codes, codes_mask, lengths

    def _lengths_of(self, input_values: Tensor, padding_mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The mask (batch, 1, codes) of the frames that each clip alone gives, and their number, if not full."""
        if not isinstance(input_values, Tensor):
            raise InputError(f"input_values: expected a torch tensor, got {type(input_values).__name__}")
        if input_values.ndim != 3 or input_values.numel() == 0 or not input_values.is_floating_point():
            raise InputError(
                "input_values: expected floating-point samples of shape (batch, 1, samples), at least one, got "
                f"{input_values.dtype} {tuple(input_values.shape)}"
            )
        batch, channels, num_samples = input_values.shape
        if channels != 1:
            raise InputError(f"Audio must be mono, but got {channels} channels; downmix it first")
        if padding_mask is None:
            return None, None
        own = mask_lengths(padding_mask, batch, num_samples, "padding_mask")
        num_codes = -(-num_samples // self.hop_length)
        lengths = (own + self.hop_length - 1) // self.hop_length
        return valid_steps(lengths, num_codes)[:, None].int(), unless_full(lengths, num_codes)

    def _semantic_states(self, waveform: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, 1, samples) -> (batch, frames, channels), and the clips' own frames.

        The semantic model is frozen: no gradient enters it.
        """
        num_samples = waveform.shape[-1] + 2 * self.pad
        if self.semantic_model.output_length(num_samples) < 1:
            raise InputError(
                f"input_values: {waveform.shape[-1]} samples are too few for one code; pad them with zeros to "
                f"{self.hop_length}, as the feature extractor does"
            )
        own = None if lengths is None else lengths + 2 * self.pad
        with torch.no_grad():
            time = self.time_of(own, waveform.shape[0] * waveform.shape[-1] // self.hop_length)
            states = self.semantic_model(F.pad(waveform[:, 0], (self.pad, self.pad)), time)
        return states, None if own is None else self.semantic_model.output_length(own)

    def _acoustic_input(self, waveform: Tensor, lengths: Tensor | None, num_codes: int) -> tuple[Tensor, Tensor | None]:
        """What the acoustic encoder reads, (batch, 1, samples), and its lengths.

        Where the encoder would make another number of codes than the semantic one, it reads the waveform with half a
        hop of zeros on both sides: so does the original, on lengths that are not whole hops.
        """
        if self.acoustic_encoder.output_length(waveform.shape[-1]) != num_codes:
            waveform = F.pad(waveform, (self.pad, self.pad))
            lengths = None if lengths is None else lengths + 2 * self.pad
            if (found := self.acoustic_encoder.output_length(waveform.shape[-1])) != num_codes:
                raise InputError(
                    f"the acoustic encoder makes {found} codes where the semantic one makes {num_codes}: "
                    f"downsampling_ratios={self.config.acoustic_model_config.downsampling_ratios} does not go with "
                    f"conv_stride={list(self.config.semantic_model_config.conv_stride)} and strides="
                    f"{self.config.strides}; their products have to be equal"
                )
        return waveform, lengths

    def _quantized(self, acoustic: Tensor, semantic: Tensor, num_quantizers: int, time: Time) -> Tensor:
        """Two times (batch, channels, codes) -> codes (batch, num_quantizers, codes)."""

        def quantized(*parts: Tensor) -> Tensor:
            latents = self.fc(torch.cat(parts[:2], -1))
            if not torch.compiler.is_compiling() and not bool(latents.isfinite().all()):
                raise InputError(
                    "the input gives no codes: it holds samples that are NaN, infinite, or so far beyond full scale "
                    f"(1.0) that {latents.dtype} overflows"
                )
            return self.quantizer.encode(latents, num_quantizers).transpose(1, 2)  # -> (batch, codes, codebooks)

        both = (acoustic.transpose(1, 2), semantic.transpose(1, 2))
        width = max(self.fc.in_features, self.quantizer.codebook_size)
        return time.map(quantized, *both, width=width).transpose(1, 2).contiguous()

    def synthesize(self, codes: Tensor, time: Time) -> Tensor:
        """Decode codes at any kind of time: integers (batch, codebooks, codes) to samples (batch, 1, samples)."""

        def latents(part: Tensor, _: Tensor | None) -> Tensor:
            return self.fc2(self.quantizer.decode(part.transpose(1, 2)).to(self.dtype))

        x = time.map(latents, codes.transpose(1, 2), width=self.fc2.in_features)  # (batch, codes, channels)
        return self.acoustic_decoder(x.transpose(1, 2), time)

    def _decode(self, codes: Tensor, lengths: Tensor | None) -> Tensor:
        if not torch.compiler.is_compiling():
            low, high = int(codes.min()), int(codes.max())
            if low < 0 or high >= self.quantizer.codebook_size:
                raise InputError(
                    f"audio_codes: expected values in [0, {self.quantizer.codebook_size}), got {low} to {high}"
                )
        return self.synthesize(codes, self.time_of(lengths, codes.shape[0] * codes.shape[2]))

    def _check_codes_shape(self, codes: Tensor) -> None:
        most = len(self.quantizer.codebooks)
        wrong = codes.ndim != 3 or not 1 <= codes.shape[1] <= most or codes.numel() == 0
        if wrong or codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise InputError(
                f"audio_codes: expected integers of shape (batch, 1 to {most}, codes), got {codes.dtype} "
                f"{tuple(codes.shape)}"
            )

    def _wants_dict(self, return_dict: bool | None) -> Any:
        return self.config.return_dict if return_dict is None else return_dict
