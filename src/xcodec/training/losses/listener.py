"""Frozen speech models of transformers that listen to audio in training: they give their hidden states."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.errors import CheckpointError
from xcodec.modules.autocast import without_autocast

__all__ = ["Listener", "WaveformListener", "read_listener"]

WHISPER = "whisper"  # transformers' name of the kind
WHISPER_N_FFT = 400
WHISPER_HOP_LENGTH = 160
WHISPER_RANGE = 8.0  # powers of ten below a clip's loudest band


def read_listener(name_or_path: str, role: str) -> "Listener":
    """Read a model that reads waveforms at 16 kHz, as "facebook/wav2vec2-large-xlsr-53", or the encoder of a Whisper.

    Args:
        name_or_path: a folder or hub id that transformers reads.
        role: what it is for, for messages.

    Raises:
        CheckpointError: where there is no such model.
    """
    from transformers import AutoModel

    try:
        model = AutoModel.from_pretrained(name_or_path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{role}, {name_or_path}: {error}") from error
    is_whisper = model.config.model_type == WHISPER
    listener = WhisperListener(model.encoder) if is_whisper else WaveformListener(model)
    return listener.requires_grad_(False).train(False)


class Listener(nn.Module):
    """A model whose hidden states are heard.

    Attributes:
        width: of a hidden state.
        num_states: how many there are, what enters the first layer included.
    """

    width: int
    num_states: int

    def forward(self, audio: Tensor) -> tuple[Tensor, ...] | list[Tensor]:
        """Return the hidden states of (clips, samples), (clips, frames, width) each."""
        raise NotImplementedError

    def _describe(self, config: Any) -> None:
        self.width = int(config.hidden_size)
        self.num_states = int(config.num_hidden_layers) + 1


class WaveformListener(Listener):
    """A model of transformers that reads waveforms.

    Args:
        model: it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._describe(model.config)
        self.model = model

    def forward(self, audio: Tensor) -> tuple[Tensor, ...]:
        """Return the hidden states of (clips, samples), each clip at zero mean and unit variance."""
        centred = audio - audio.mean(-1, keepdim=True)
        states: tuple[Tensor, ...] = self.model(
            centred / (audio.var(-1, keepdim=True) + 1e-7).sqrt(), output_hidden_states=True
        ).hidden_states
        return states


class WhisperListener(Listener):
    """Whisper's encoder, on clips as long as they are in place of 30 seconds.

    Args:
        encoder: of transformers' WhisperModel.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        self._describe(encoder.config)
        self.encoder = encoder
        bins, bands = WHISPER_N_FFT // 2 + 1, encoder.config.num_mel_bins
        filters = mel_filter_bank(bins, bands, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
        self.register_buffer("window", torch.hann_window(WHISPER_N_FFT), persistent=False)
        self.register_buffer("filters", torch.tensor(filters, dtype=torch.float32), persistent=False)

    def forward(self, audio: Tensor) -> list[Tensor]:
        """Return the hidden states of (clips, samples): what enters the first layer, and what each layer gives."""
        encoder = self.encoder
        with without_autocast(audio):
            features = self.features(audio)
        x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(features)))).transpose(1, 2)
        states = [x + encoder.embed_positions.weight[: x.shape[1]]]
        for layer in encoder.layers:
            states.append(layer(states[-1], None))
        states[-1] = encoder.layer_norm(states[-1])
        return states

    def features(self, audio: Tensor) -> Tensor:
        """Compute Whisper's log-mel spectra of float32 (clips, samples): (clips, bands, frames of 10 ms)."""
        transform = torch.stft(audio, WHISPER_N_FFT, WHISPER_HOP_LENGTH, window=self.window, return_complex=True)
        power = transform.real.square() + transform.imag.square()
        mel = (self.filters.T @ power[..., :-1]).clamp(min=1e-10).log10()
        return (torch.maximum(mel, mel.amax((1, 2), keepdim=True) - WHISPER_RANGE) + 4) / 4
