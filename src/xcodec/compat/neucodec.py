"""The interface of the `neucodec` package, the home of NeuCodec and DistillNeuCodec: only the import line changes.

from xcodec.compat import NeuCodec  # and DistillNeuCodec

model = NeuCodec.from_pretrained("neuphonic/neucodec").eval()
codes = model.encode_code(wave)  # (batch, 1, samples) at 16 kHz, or a path -> (batch, 1, codes)
audio = model.decode_code(codes)  # -> (batch, 1, 480 * codes) at 24 kHz
"""

import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from xcodec.audio import Audio
from xcodec.conversion import Told, converted
from xcodec.conversion.source import read_source
from xcodec.errors import InputError
from xcodec.models import distill_neucodec, neucodec
from xcodec.models.checkpoint import for_another
from xcodec.models.distill_neucodec import DistillNeuCodecModel
from xcodec.models.neucodec import NeuCodecModel

__all__ = ["DistillNeuCodec", "NeuCodec"]


class NeuCodec(nn.Module):
    """NeuCodec with the methods of the original class; `model` is the `NeuCodecModel` behind it."""

    family = neucodec.FAMILY

    def __init__(self, model: NeuCodecModel | DistillNeuCodecModel) -> None:
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
        **hub_arguments: Any,
    ) -> Self:
        """Load an original checkpoint, converted in memory, or a converted one.

        Args:
            pretrained_model_name_or_path: as `source` of `xcodec.conversion.read_checkpoint`.
            semantic_encoder: folder or hub id of the semantic encoder, which original checkpoints leave out; None means
                "facebook/w2v-bert-2.0" or, of DistillNeuCodec, "ntu-spml/distilhubert".
            num_semantic_layers: as for `xcodec.conversion.read_checkpoint`.
            num_attention_heads: likewise.
            **hub_arguments: revision, cache_dir, token, local_files_only, force_download.

        Returns:
            The model in evaluation mode, on the CPU.

        Raises:
            CheckpointError: where a checkpoint is not found, not complete or of another codec.
        """
        told = Told(
            semantic_encoder=semantic_encoder,
            fetch_semantic_encoder=True,
            num_semantic_layers=num_semantic_layers,
            num_attention_heads=num_attention_heads,
            hub_arguments=for_another(hub_arguments),
        )
        checkpoint = converted(read_source(pretrained_model_name_or_path, hub_arguments), told)
        checkpoint.check_family(cls.family, cls.__name__, pretrained_model_name_or_path)
        model = checkpoint.build()
        assert isinstance(model, NeuCodecModel | DistillNeuCodecModel), "its family's"
        return cls(model)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.model.fc_encoder.weight.device

    @property
    def sample_rate(self) -> int:
        """In Hz, of the audio that is decoded."""
        return self.model.output_sampling_rate

    @property
    def hop_length(self) -> int:
        """Samples per code that the decoder writes."""
        return self.model.config.hop_length

    @torch.no_grad()
    def encode_code(self, audio_or_path: Tensor | Path | str) -> Tensor:
        """Encode waveforms, or a recording of any rate and channel count.

        Args:
            audio_or_path: floating-point samples at 16 kHz, full scale at 1.0, shape (batch, 1, samples), on any
                device; or a path.

        Returns:
            Codes in [0, 65536), int32, on the model's device: (batch, 1, samples // 320) or, of DistillNeuCodec, one
            more of each clip.

        Raises:
            AudioError: where a recording cannot be read.
            InputError: for another shape, or clips below one code.
        """
        if isinstance(audio_or_path, str | os.PathLike):
            recording = Audio.read(audio_or_path).mono().resample(self.model.sampling_rate)
            audio_or_path = torch.tensor(recording.samples)[None]
        if audio_or_path.ndim != 3:
            raise InputError(
                "expected floating-point samples of shape (batch, 1, samples), or a path, got shape "
                f"{tuple(audio_or_path.shape)}; one clip is wave[None, None]",
                argument="audio_or_path",
            )
        hop = self.model.hop_length
        # A clip that fills its last hop gets one more of zeros: the original pads hop - samples % hop, never nothing.
        padded = F.pad(audio_or_path.to(self.device), (0, hop - audio_or_path.shape[2] % hop))
        return self.model.encode_clips(padded).codes.to(torch.int32)  # as the original's quantizer gives them

    @torch.no_grad()
    def decode_code(self, fsq_codes: Tensor) -> Tensor:
        """Decode codes.

        Args:
            fsq_codes: integers in [0, 65536), shape (batch, 1, codes), on any device.

        Returns:
            float32 samples at 24 kHz, shape (batch, 1, 480 * codes), on the model's device.

        Raises:
            InputError: for another shape or dtype, or a code out of range.
        """
        return self.model.decode_clips(fsq_codes.to(self.device))


class DistillNeuCodec(NeuCodec):
    """DistillNeuCodec with the methods of the original class; `model` is the `DistillNeuCodecModel` behind it."""

    family = distill_neucodec.FAMILY
