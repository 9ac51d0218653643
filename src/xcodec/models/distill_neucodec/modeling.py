"""DistillNeuCodecModel: NeuCodec's decoder behind encoders of a tenth of the size."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init

from xcodec.errors import InputError
from xcodec.models.codec_model import Clips, SemanticStates
from xcodec.models.distill_neucodec.acoustic import AcousticEncoder
from xcodec.models.distill_neucodec.configuration import DistillNeuCodecConfig
from xcodec.models.semantic import SemanticAdapter
from xcodec.models.xcodec.semantic import build_semantic_model
from xcodec.models.xcodec2.configuration import Xcodec2Config
from xcodec.models.xcodec2.modeling import (
    Xcodec2DecoderOutput,
    Xcodec2EncoderOutput,
    Xcodec2Model,
    Xcodec2Output,
)
from xcodec.models.xcodec2.pretrained import Xcodec2PreTrainedModel
from xcodec.modules.convnext import GlobalResponseNorm
from xcodec.modules.convnext_encoder import ConvEncoder
from xcodec.modules.hubert import EncoderLayer
from xcodec.modules.linear import Linear
from xcodec.modules.local_attention import LocalTransformer
from xcodec.modules.resnet import ResNetBlock
from xcodec.modules.transformer import TransformerLayer
from xcodec.progress import share

__all__ = [
    "DistillNeuCodecDecoderOutput",
    "DistillNeuCodecEncoderOutput",
    "DistillNeuCodecModel",
    "DistillNeuCodecOutput",
    "DistillNeuCodecPreTrainedModel",
]

SEMANTIC_SHARE = 0.4  # of the work of encoding a short clip


@dataclass
class DistillNeuCodecEncoderOutput(Xcodec2EncoderOutput):
    """What `DistillNeuCodecModel.encode` returns; the fields are those of `Xcodec2EncoderOutput`."""


@dataclass
class DistillNeuCodecDecoderOutput(Xcodec2DecoderOutput):
    """What `DistillNeuCodecModel.decode` returns; the field is that of `Xcodec2DecoderOutput`."""


@dataclass
class DistillNeuCodecOutput(Xcodec2Output):
    """What `DistillNeuCodecModel.forward` returns; the fields are those of `Xcodec2Output`."""


class DistillNeuCodecPreTrainedModel(Xcodec2PreTrainedModel):
    """The base of DistillNeuCodec's models."""

    config_class = DistillNeuCodecConfig
    config: DistillNeuCodecConfig
    base_model_prefix = "distill_neucodec"
    _no_split_modules = ["ConvLayer", "EncoderLayer", "Stage", "LocalLayer", "TransformerLayer"]  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, GlobalResponseNorm):
            init.zeros_(module.gamma)
            init.zeros_(module.beta)


class DistillNeuCodecModel(DistillNeuCodecPreTrainedModel, Xcodec2Model):
    """The DistillNeuCodec codec (Neuphonic, 2025): 16 kHz to 24 kHz, through codes of its own.

    A clip of n samples gives n // 320 + 1 codes, and each of these 480 samples at 24 kHz. `encode`, `decode` and
    `forward` are NeuCodec's, but that the semantic model reads the waveform and there are no `input_features`.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    encoder_output = DistillNeuCodecEncoderOutput
    decoder_output = DistillNeuCodecDecoderOutput
    output = DistillNeuCodecOutput
    semantic_part = "semantic_model"
    encoder_parts = ("semantic_model", "semantic_adapter", "acoustic_encoder", "fc_acoustic", "fc_encoder")
    repeated_layers = (EncoderLayer, TransformerLayer, ResNetBlock)
    single_blocks = ()

    def _build_encoder(self, config: Xcodec2Config) -> None:
        assert isinstance(config, DistillNeuCodecConfig)
        semantic = config.semantic_model_config
        *strides, last_stride = config.downsampling_ratios
        size = config.local_hidden_size
        self.semantic_model = build_semantic_model(semantic, averages=False)
        self.semantic_adapter = SemanticAdapter(semantic.hidden_size, config.adapter_hidden_size)
        convolutions = ConvEncoder(
            config.pooling_kernel_sizes,
            config.branch_hidden_size,
            config.encoder_hidden_size,
            strides,
            config.encoder_depths,
            size,
        )
        transformer1, transformer2 = (
            LocalTransformer(
                num_layers,
                size,
                config.local_intermediate_size,
                config.local_num_attention_heads,
                config.local_head_dim,
                window_size,
            )
            for num_layers, window_size in zip(config.local_num_hidden_layers, config.local_window_sizes, strict=True)
        )
        self.acoustic_encoder = AcousticEncoder(convolutions, transformer1, last_stride, transformer2, size)
        self.fc_acoustic = Linear(size, config.acoustic_size)
        self.fc_encoder = Linear(semantic.hidden_size + config.acoustic_size, config.quantization_dim)

    @property
    def bytes_per_code(self) -> int:
        """About how much memory a code of a long clip takes, whatever the tiles."""
        config = self.config
        states = 5 * config.semantic_model_config.hidden_size  # two, keys and values, and what is made of them
        steps = (config.downsampling_ratios[-1] + 1) * config.local_hidden_size
        channels = max(states + steps, config.quantization_dim + 3 * config.hidden_size)  # of encoding, of decoding
        return (
            channels * self._dtype.itemsize + 4 * self.latent_hop_length * 4
        )  # four copies of the samples, as float32

    def features(self, clips: Clips) -> Tensor:  # noqa: ARG002
        """Refuse: the semantic model reads the waveform itself."""
        raise InputError("DistillNeuCodec's semantic model reads waveforms and no features of them")

    def semantic_states(self, clips: Clips, input_features: Tensor | None = None) -> SemanticStates:
        """Compute DistilHuBERT's last states, of which each latent has one, with half a hop of zeros on both sides."""
        if input_features is not None:
            raise InputError(
                "DistillNeuCodec's semantic model reads the waveform",
                argument="input_features",
                remedy="leave them out",
            )
        batch, _, num_samples = clips.waveform.shape
        margin = self.latent_hop_length // 2
        padded = F.pad(clips.waveform[:, 0].to(self._dtype), (margin, margin))
        samples = None if clips.lengths is None else clips.lengths * self.latent_hop_length + 2 * margin
        time = self.time_of(samples, batch * num_samples // self.latent_hop_length)
        with share(SEMANTIC_SHARE):
            states: Tensor = self.semantic_model(padded, time)
        return SemanticStates(states, clips.lengths)

    def fuse(self, semantic: Tensor, acoustic: Tensor) -> Tensor:
        """Make what is quantized of both branches: two times (batch, latents, channels) to (batch, codes, channels)."""
        return super().fuse(semantic, self.fc_acoustic(acoustic))

    def _check_widths(self, config: Xcodec2Config) -> None:
        """Both branches are projected to the latents' width."""
