"""What the feature extractors share: clips in any form become checked waveforms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.utils import PaddingStrategy, logging
from typing_extensions import Self

from xcodec.errors import InputError
from xcodec.models.checkpoint import HUB_ARGUMENTS, resolve_checkpoint

__all__ = ["AudioInput", "WaveformFeatureExtractor", "padding_strategy"]

logger = logging.get_logger(__name__)

AudioInput = np.ndarray | torch.Tensor | Sequence[float] | Sequence[np.ndarray] | Sequence[torch.Tensor]


class WaveformFeatureExtractor(SequenceFeatureExtractor):
    """A feature extractor that reads mono clips at one sampling rate."""

    sampling_rate: int

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:  # type: ignore[override]
        """Read preprocessor_config.json from a folder or from a model of the hub.

        Raises:
            CheckpointError: where the model is not found; it says what was tried.
        """
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            hub_arguments = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
            folder = resolve_checkpoint(pretrained_model_name_or_path, weights=False, **hub_arguments)
        extractor: Self = super().from_pretrained(folder, **kwargs)
        return extractor

    def _waveforms(
        self, audio: AudioInput | None, raw_audio: AudioInput | None, sampling_rate: int | None
    ) -> list[torch.Tensor]:
        """The clips that were given, under either name: float32 of shape (samples,), on the CPU."""
        if audio is not None and raw_audio is not None:
            raise InputError("`raw_audio` is another name of `audio`; give the audio once")
        audio = raw_audio if audio is None else audio
        if audio is None:
            raise InputError("no audio was given")
        self._check_sampling_rate(sampling_rate)
        return [as_waveform(clip, i) for i, clip in enumerate(as_clips(audio))]

    def _check_sampling_rate(self, sampling_rate: int | None) -> None:
        if sampling_rate is None:
            logger.warning(
                f"{type(self).__name__}: no sampling_rate given, so {self.sampling_rate} Hz is assumed; "
                "pass it, so that audio at another rate is noticed"
            )
        elif sampling_rate != self.sampling_rate:
            raise InputError(
                f"the audio is at {sampling_rate} Hz, the model reads {self.sampling_rate} Hz; resample it first "
                f"(xcodec.Audio(samples, {sampling_rate}).resample({self.sampling_rate}), or use xcodec.Codec)"
            )


def as_clips(audio: AudioInput) -> list[Any]:
    """Tell one clip from a list of clips."""
    if isinstance(audio, np.ndarray | torch.Tensor):
        return [audio]
    if not isinstance(audio, Sequence) or isinstance(audio, str | bytes):
        raise InputError(f"expected a numpy array, a torch tensor or a list of these, got {type(audio).__name__}")
    if len(audio) == 0:
        raise InputError("an empty list was given; expected at least one clip")
    return [np.asarray(audio)] if isinstance(audio[0], int | float) else list(audio)


def as_waveform(clip: Any, index: int) -> torch.Tensor:
    """Check one clip and turn it into float32 of shape (samples,) on the CPU, full scale at 1.0."""
    where = f"clip {index}"
    wave = clip.detach().cpu() if isinstance(clip, torch.Tensor) else torch.from_numpy(np.array(clip))
    if wave.dtype == torch.bool or wave.is_complex():
        raise InputError(f"{where}: expected floating-point or integer samples, got {wave.dtype}")
    if wave.ndim == 2 and wave.shape[0] == 1:
        wave = wave[0]
    if wave.ndim != 1:
        raise InputError(
            f"{where}: expected one channel, shape (samples,) or (1, samples), got {tuple(wave.shape)}; "
            "downmix it first (for several clips pass a list)"
        )
    if len(wave) == 0:
        raise InputError(f"{where} has no samples; one is enough")
    if not wave.is_floating_point():
        zero = 128.0 if wave.dtype == torch.uint8 else 0.0  # 8-bit PCM is unsigned
        wave = (wave.double() - zero) / -(torch.iinfo(wave.dtype).min - zero)
    wave = wave.float()
    if not wave.isfinite().all():
        raise InputError(f"{where} holds {int((~wave.isfinite()).sum())} samples that are NaN or infinite")
    return wave


def padding_strategy(padding: bool | str | PaddingStrategy) -> PaddingStrategy:
    """Spell transformers' `padding` argument as one of its three strategies."""
    if isinstance(padding, bool):
        return PaddingStrategy.LONGEST if padding else PaddingStrategy.DO_NOT_PAD
    return PaddingStrategy(padding)
