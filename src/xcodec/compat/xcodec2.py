"""The interface of the `xcodec2` package, X-Codec2's original home: only the import line changes.

    from xcodec.compat import XCodec2Model

    model = XCodec2Model.from_pretrained("HKUSTAudio/xcodec2").eval()
    codes = model.encode_code(input_waveform=wave)  # (batch, samples) -> (batch, 1, codes)
    audio = model.decode_code(codes)  # -> (batch, 1, 320 * codes)

It differs in one thing: a batch gives for every row what the row alone gives, where the original computed the semantic
features of its first row for all.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from xcodec.conversion import read_checkpoint
from xcodec.errors import InputError
from xcodec.models.xcodec2 import FAMILY, Xcodec2Config, Xcodec2Model

__all__ = ["XCodec2Model"]


class XCodec2Model(nn.Module):
    """X-Codec2 with the methods of the original class; `model` is the `Xcodec2Model` behind it."""

    def __init__(self, model: Xcodec2Model) -> None:
        super().__init__()
        self.model = model

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        semantic_encoder: str | Path | None = None,
        num_semantic_layers: int | None = None,
        num_attention_heads: int | None = None,
        dtype: torch.dtype | None = None,
        torch_dtype: torch.dtype | None = None,
        **hub_arguments: Any,
    ) -> Self:
        """Load an original checkpoint, converted in memory, or a converted one.

        Args:
            pretrained_model_name_or_path: as `source` of `xcodec.conversion.read_checkpoint`.
            semantic_encoder: likewise.
            num_semantic_layers: likewise.
            num_attention_heads: likewise.
            dtype: of the parameters; None keeps that of the checkpoint.
            torch_dtype: the older name of `dtype`.
            **hub_arguments: revision, cache_dir, token, local_files_only, force_download.

        Returns:
            The model in evaluation mode, on the CPU.

        Raises:
            CheckpointError: where the checkpoint is not found, not complete or not X-Codec2.
        """
        checkpoint = read_checkpoint(
            pretrained_model_name_or_path,
            semantic_encoder=semantic_encoder,
            num_semantic_layers=num_semantic_layers,
            num_attention_heads=num_attention_heads,
            **hub_arguments,
        )
        checkpoint.check_family(FAMILY, "XCodec2Model", pretrained_model_name_or_path)
        model = checkpoint.build()
        assert isinstance(model, Xcodec2Model), "its family's"
        loaded = cls(model).eval()
        dtype = torch_dtype if dtype is None else dtype
        return loaded if dtype is None else loaded.to(dtype)

    @property
    def config(self) -> Xcodec2Config:
        """The configuration of the model behind."""
        return self.model.config

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.model.fc_encoder.weight.device

    @torch.no_grad()
    def encode_code(self, input_waveform: Tensor, sample_rate: int = 16000) -> Tensor:
        """Encode waveforms.

        Args:
            input_waveform: floating-point samples, full scale at 1.0, shape (batch, samples), on any device.
            sample_rate: of the waveform, in Hz; X-Codec2 reads 16000.

        Returns:
            Codes in [0, 65536), int32, shape (batch, 1, samples // 320 + 1), on the model's device.

        Raises:
            InputError: for another rate or shape.
        """
        self._check_rate(sample_rate)
        if input_waveform.ndim != 2 or not input_waveform.is_floating_point() or input_waveform.shape[1] == 0:
            raise InputError(
                "expected floating-point samples of shape (batch, samples), one or more, got "
                f"{input_waveform.dtype} {tuple(input_waveform.shape)}; one clip is wave.unsqueeze(0)",
                argument="input_waveform",
            )
        hop = self.model.hop_length
        # A clip that fills its last hop gets one more of zeros: the original pads hop - samples % hop, never nothing.
        padded = F.pad(input_waveform.to(self.device), (0, hop - input_waveform.shape[1] % hop))
        return self._encode(padded[:, None], None)

    @torch.no_grad()
    def encode_batch_feats(self, input_waveform: Tensor, input_features: Tensor) -> Tensor:
        """Encode waveforms whose filter-bank features were computed before.

        Args:
            input_waveform: samples, padded to whole codes, shape (batch, 1, 320 * codes).
            input_features: what w2v-BERT's feature extractor makes of the same samples with 160 zeros more on both
                sides, shape (batch, 1, codes, 160).

        Returns:
            Codes, int32, shape (batch, 1, codes).

        Raises:
            InputError: for another shape.
        """
        hop = self.model.hop_length
        if input_waveform.ndim != 3 or input_waveform.shape[1] != 1 or input_waveform.shape[2] % hop:
            raise InputError(
                f"expected shape (batch, 1, samples) with a multiple of {hop} samples, got "
                f"{tuple(input_waveform.shape)}",
                argument="input_waveform",
            )
        if input_features.ndim != 4 or input_features.shape[1] != 1:
            raise InputError(
                f"expected shape (batch, 1, codes, features), got {tuple(input_features.shape)}",
                argument="input_features",
            )
        return self._encode(input_waveform.to(self.device), input_features[:, 0].to(self.device))

    @torch.no_grad()
    def decode_code(self, vq_code: Tensor) -> Tensor:
        """Decode codes.

        Args:
            vq_code: integers in [0, 65536), shape (batch, 1, codes), on any device.

        Returns:
            float32 samples at 16 kHz, shape (batch, 1, 320 * codes), on the model's device.

        Raises:
            InputError: for another shape or dtype, or a code out of range.
        """
        return self._decode(vq_code)

    def forward(self, input_waveform: Tensor, sample_rate: int = 16000) -> Tensor:
        """Encode and decode: (batch, samples) -> (batch, 1, 320 * codes), a little longer than the input.

        Gradients reach the decoder only, as in the original.
        """
        return self._decode(self.encode_code(input_waveform, sample_rate))

    def _encode(self, input_values: Tensor, input_features: Tensor | None) -> Tensor:
        codes: Tensor = self.model.encode(input_values, input_features)[0]
        return codes.to(torch.int32)  # as the original's quantizer gives them

    def _decode(self, codes: Tensor) -> Tensor:
        audio: Tensor = self.model.decode(codes.to(self.device))[0]
        return audio

    def _check_rate(self, sample_rate: int) -> None:
        expected = self.config.sampling_rate
        if sample_rate != expected:
            raise InputError(
                f"X-Codec2 reads {expected} Hz",
                argument="sample_rate",
                value=sample_rate,
                remedy="resample the waveform first, for example with xcodec.Audio(samples, "
                f"{sample_rate}).resample({expected})",
            )
