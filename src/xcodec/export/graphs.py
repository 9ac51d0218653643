"""The two halves of a codec as graphs that take padded batches with their lengths."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from xcodec.models.codec_model import CodecModel
from xcodec.modules.lengths import valid_steps, zero_past_end

__all__ = ["DecoderGraph", "EncoderGraph", "Graph"]

EXAMPLE_CODES = 25  # in the input that a graph is made with; it serves every other length


class Graph(nn.Module):
    """One half of a codec.

    Args:
        model: what `portable` made of a codec's model.

    Attributes:
        inputs: their names.
        outputs: theirs.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __init__(self, model: CodecModel) -> None:
        super().__init__()
        self.model = model

    @abstractmethod
    def examples(self) -> tuple[Tensor, ...]:
        """Make inputs of the shapes that the graph takes."""

    @property
    @abstractmethod
    def dynamic_shapes(self) -> dict[str, Any]:
        """Which dimensions of each input may have any size, and what they are called."""


class EncoderGraph(Graph):
    """From waveforms of whole hops to codes: computes features, encodes."""

    inputs = ("audio", "lengths")
    outputs = ("codes", "code_lengths")

    @property
    def hop_length(self) -> int:
        """Of how many samples the waveforms are whole numbers."""
        return self.model.latent_hop_length

    @property
    def least_padding(self) -> int:
        """How many samples each waveform has at least past its clip's end."""
        return self.model.appended_samples

    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode.

        Args:
            audio: float32 (batch, samples), full scale at 1.0; past a clip's end it may be anything.
            lengths: samples of each clip, int64 (batch,).

        Returns:
            Codes, int64 (batch, codebooks, frames), 0 past a clip's end; and how many frames each clip has, int64
            (batch,).
        """
        mask = valid_steps(lengths + self.least_padding, audio.shape[1])
        encoded = self.model.encode_clips(zero_past_end(audio.unsqueeze(1), lengths), mask)
        assert encoded.lengths is not None, "there is a mask"
        return encoded.codes, encoded.lengths

    def examples(self) -> tuple[Tensor, ...]:
        """`Graph.examples`."""
        num_samples = EXAMPLE_CODES * self.model.hop_length
        return torch.zeros(2, num_samples), torch.tensor([num_samples - self.least_padding, num_samples // 2])

    @property
    def dynamic_shapes(self) -> dict[str, dict[int, Dim]]:
        """`Graph.dynamic_shapes`."""
        batch = Dim("batch")
        return {"audio": {0: batch, 1: self.hop_length * Dim("hops")}, "lengths": {0: batch}}


class DecoderGraph(Graph):
    """From codes to waveforms."""

    inputs = ("codes", "lengths")
    outputs = ("audio", "audio_lengths")

    def forward(self, codes: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Decode.

        Args:
            codes: int64 (batch, codebooks, frames); those of a codebook that is left out are -1, and past a clip's end
                they may be anything.
            lengths: frames of each clip, int64 (batch,).

        Returns:
            Samples, float32 (batch, samples), zeros past a clip's end; and how many each clip has, int64 (batch,).
        """
        samples = self.model.decode_clips(codes, valid_steps(lengths, codes.shape[2]))
        return samples[:, 0].float(), lengths * (samples.shape[-1] // codes.shape[2])

    def examples(self) -> tuple[Tensor, ...]:
        """`Graph.examples`."""
        codes = torch.zeros(2, len(self.model.codebook_sizes), EXAMPLE_CODES, dtype=torch.int64)
        return codes, torch.tensor([EXAMPLE_CODES, EXAMPLE_CODES // 2])

    @property
    def dynamic_shapes(self) -> dict[str, dict[int, Dim]]:
        """`Graph.dynamic_shapes`."""
        batch = Dim("batch")
        return {"codes": {0: batch, 2: Dim("frames")}, "lengths": {0: batch}}
