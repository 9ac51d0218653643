"""XcodecModel: waveforms to residual codes at several bandwidths, and codes to waveforms."""

from __future__ import annotations  # of functions made in forward, where torch 2.6 compiles no `Tensor | None`

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.errors import InputError
from xcodec.models.acoustic import AcousticEncoder, EncoderBlock
from xcodec.models.codec_model import Clips, SemanticStates, check_latents
from xcodec.models.pretrained import reject_unknown_kwargs
from xcodec.models.xcodec.configuration import XcodecConfig
from xcodec.models.xcodec.decoder import AcousticDecoder, DecoderBlock
from xcodec.models.xcodec.outputs import XcodecDecoderOutput, XcodecEncoderOutput, XcodecOutput
from xcodec.models.xcodec.pretrained import XcodecPreTrainedModel
from xcodec.models.xcodec.semantic import SemanticDecoder, SemanticEncoder, build_semantic_model
from xcodec.modules.hubert import EncoderLayer
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

    encoder_output: type[XcodecEncoderOutput] = XcodecEncoderOutput
    decoder_output: type[XcodecDecoderOutput] = XcodecDecoderOutput
    output: type[XcodecOutput] = XcodecOutput
    semantic_part = "semantic_model"
    semantic_stride = 1  # frames of the semantic model to a step of the semantic branch, which reads the first of them
    pads_to_whole_hops = False
    encoder_parts: tuple[str, ...] = (
        "acoustic_encoder",
        "encoder_semantic",
        "semantic_model",
        "fc",
        "fc1",
        "decoder_semantic",
    )
    # fc1 and decoder_semantic are for training, which needs both halves.
    decoder_parts: tuple[str, ...] = ("acoustic_decoder", "fc2", "fc1", "decoder_semantic")
    repeated_layers: tuple[type[nn.Module], ...] = (EncoderLayer,)
    single_blocks = (EncoderBlock, DecoderBlock)

    def __init__(self, config: XcodecConfig, encoder_only: bool = False, decoder_only: bool = False) -> None:
        super().__init__(config)
        self._choose_half(encoder_only, decoder_only)
        self.pad = self.semantic_pad = config.hop_length // 2
        if self.has_encoder:
            self._build_acoustic_encoder()
            self.encoder_semantic = SemanticEncoder(*self._convolutions)
            self.semantic_model = build_semantic_model(config.semantic_model_config)
            self.fc = Linear(config.hidden_size, config.hidden_size)
        self.quantizer = ResidualVectorQuantizer(
            config.hidden_size, config.codebook_size, config.num_quantizers, config.codebook_dim
        )
        if self.has_decoder:
            self._build_decoder()
        self.post_init()  # type: ignore[no-untyped-call]

    def _build_acoustic_encoder(self) -> None:
        acoustic = self.config.acoustic_model_config
        self.acoustic_encoder = AcousticEncoder(
            acoustic.encoder_hidden_size, acoustic.downsampling_ratios, acoustic.hidden_size, activation=Snake
        )

    def _build_decoder(self) -> None:
        acoustic = self.config.acoustic_model_config
        self.fc2 = Linear(self.config.hidden_size, acoustic.hidden_size)
        self.acoustic_decoder = AcousticDecoder(
            acoustic.hidden_size, acoustic.decoder_hidden_size, acoustic.upsampling_ratios
        )
        if self.has_encoder:  # what only training uses
            self.fc1 = Linear(self.config.hidden_size, self.config.semantic_model_config.hidden_size)
            self.decoder_semantic = SemanticDecoder(*self._convolutions)

    @property
    def _convolutions(self) -> tuple[Any, ...]:
        """The sizes of the semantic branch."""
        config = self.config
        return (
            config.semantic_model_config.hidden_size,
            config.channel_ratios,
            config.strides,
            config.kernel_size,
            config.unit_kernel_size,
            config.block_dilations,
        )

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """How many different codes each codebook has."""
        return (self.config.codebook_size,) * self.config.num_quantizers

    @property
    def quantization_width(self) -> int:
        """How many numbers a code takes at most while it is quantized: latents, or distances to a codebook's codes."""
        return max(self.fc.in_features, self.quantizer.codebook_size)

    @property
    def waveform_dtype(self) -> torch.dtype:
        """What the acoustic encoder reads."""
        return self.dtype

    @property
    def lookahead(self) -> int | None:
        """How many codes after its own a code's audio depends on."""
        return self.acoustic_decoder.halo

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """In kbit/s, ascending."""
        return tuple(float(bandwidth) for bandwidth in self.config.target_bandwidths)

    @property
    def bytes_per_code(self) -> int:
        """About how much memory a code of a long clip takes, whatever the tiles."""
        states = 5 * self.config.semantic_model_config.hidden_size  # two, their sum, keys and values
        samples = 4 * self.hop_length  # four copies of them, as float32
        return states * self.quantizer.codebooks[0].embed.element_size() + samples * 4

    def num_quantizers_at(self, bandwidth: float | None) -> int:
        """`CodecModel.num_quantizers_at`."""
        per_codebook = math.log2(self.config.codebook_size) * self.config.frame_rate / 1000
        return max(1, math.floor(self.bandwidth_at(bandwidth) / per_codebook))

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
        reject_unknown_kwargs(kwargs)
        encoded = self.encode_clips(input_values, padding_mask, bandwidth=bandwidth)
        if not self._wants_dict(return_dict):
            return encoded.codes
        return self.encoder_output(audio_codes=encoded.codes, audio_codes_mask=encoded.codes_mask)

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
        reject_unknown_kwargs(kwargs)
        audio_values = self.decode_clips(audio_codes, audio_codes_mask)
        return self.decoder_output(audio_values=audio_values) if self._wants_dict(return_dict) else audio_values

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
        reject_unknown_kwargs(kwargs)
        self._needs("decoder")
        if audio_codes is None:
            encoded = self.encode_clips(input_values, padding_mask, bandwidth=bandwidth)
            audio_codes, codes_mask = encoded.codes, encoded.codes_mask
        else:
            self._needs("encoder")
            codes_mask = self.clips(input_values, padding_mask).codes_mask
        audio_values = self.decode_clips(audio_codes, codes_mask)[..., : input_values.shape[-1]]
        if not self._wants_dict(return_dict):
            return audio_codes, audio_values
        return self.output(audio_codes=audio_codes, audio_values=audio_values, audio_codes_mask=codes_mask)

    def semantic_states(self, clips: Clips, input_features: Tensor | None = None) -> SemanticStates:
        """Compute the mean of HuBERT's or WavLM's states, (batch, frames, channels), from the waveforms themselves.

        The semantic model is frozen: no gradient enters it.
        """
        with torch.no_grad():
            return self.learning_semantic_states(clips, input_features)

    def learning_semantic_states(self, clips: Clips, input_features: Tensor | None = None) -> SemanticStates:
        """Do the same for a semantic model that is trained along: gradients enter it."""
        if input_features is not None:
            raise InputError(
                "X-Codec's semantic model reads the waveform", argument="input_features", remedy="leave them out"
            )
        batch, _, num_samples = clips.waveform.shape
        waveform, lengths = self.semantic_waveform(clips)
        if self.semantic_model.output_length(waveform.shape[-1] + 2 * self.semantic_pad) < 1:
            raise InputError(
                f"{num_samples} samples are too few for one code",
                argument="input_values",
                remedy=f"pad them with zeros to {self.hop_length}, as the feature extractor does",
            )
        padded = F.pad(waveform.to(self.dtype), (self.semantic_pad, self.semantic_pad))
        frames = None
        if lengths is not None:
            lengths = lengths + 2 * self.semantic_pad
            frames = (self.semantic_model.output_length(lengths) + self.semantic_stride - 1) // self.semantic_stride
        with share(SEMANTIC_SHARE):
            states = self.semantic_model(padded, self.time_of(lengths, batch * num_samples // self.hop_length))
        return SemanticStates(states[:, :: self.semantic_stride], frames)

    def semantic_waveform(self, clips: Clips) -> tuple[Tensor, Tensor | None]:
        """Give what the semantic model reads, (batch, samples), and the samples of each clip in it, if not all."""
        lengths = None if clips.lengths is None else clips.lengths * self.hop_length
        return clips.waveform[:, 0], lengths

    def semantic(self, states: SemanticStates) -> Tensor:
        """Encode semantic states: (batch, channels, codes)."""
        time = self.time_of(states.lengths, self._num_codes(states.values))
        encoded: Tensor = self.encoder_semantic(states.values.transpose(1, 2), time)
        return encoded

    def acoustic(self, clips: Clips, num_latents: int) -> Tensor:
        """Encode waveforms acoustically: (batch, channels, codes).

        Where the encoder would make another number of codes than the semantic one, it reads the waveform with half a
        hop of zeros on both sides: so does the original, on lengths that are not whole hops.
        """
        waveform = clips.waveform.to(self.waveform_dtype)
        lengths = None if clips.lengths is None else clips.lengths * self.hop_length
        if self.acoustic_encoder.output_length(waveform.shape[-1]) != num_latents:
            waveform = F.pad(waveform, (self.pad, self.pad))
            lengths = None if lengths is None else lengths + 2 * self.pad
            if (found := self.acoustic_encoder.output_length(waveform.shape[-1])) != num_latents:
                raise InputError(
                    f"the acoustic encoder makes {found} codes where the semantic one makes {num_latents}: "
                    f"downsampling_ratios={self.config.acoustic_model_config.downsampling_ratios} does not go with "
                    f"conv_stride={list(self.config.semantic_model_config.conv_stride)} and strides="
                    f"{self.config.strides}; their products have to be equal"
                )
        encoded: Tensor = self.acoustic_encoder(waveform, self.time_of(lengths, waveform.shape[0] * num_latents))
        return encoded

    def fuse(self, semantic: Tensor, acoustic: Tensor) -> Tensor:
        """Make the latents that are quantized of both branches: two times (batch, codes, channels) to one."""
        latents: Tensor = self.fc(torch.cat([acoustic, semantic], -1))
        return latents

    def quantize(self, latents: Tensor, num_quantizers: int, output_latents: bool) -> tuple[Tensor, Tensor | None]:
        """Quantize latents; see `CodecModel.quantize`."""
        check_latents(latents, "samples")
        codes = self.quantizer.encode(latents, num_quantizers)  # (batch, codebooks, codes)
        return codes.transpose(1, 2), self.quantizer.decode(codes) if output_latents else None

    def synthesize(self, codes: Tensor, time: Time) -> Tensor:
        """Decode codes at any kind of time: integers (batch, codebooks, codes) to samples (batch, 1, samples)."""

        def latents(part: Tensor, _: Tensor | None) -> Tensor:
            return self.fc2(self.quantizer.decode(part.transpose(1, 2)).to(self.dtype))

        x = time.map(latents, codes.transpose(1, 2), width=self.fc2.in_features)  # (batch, codes, channels)
        return self.acoustic_decoder(x.transpose(1, 2), time)

    def _num_codes(self, states: Tensor) -> int:
        """How many codes a batch of states (batch, frames, channels) makes, padding included."""
        return states.shape[0] * self.encoder_semantic.output_length(states.shape[1])

    def _wants_dict(self, return_dict: bool | None) -> Any:
        return self.config.return_dict if return_dict is None else return_dict
