"""What the feature extractors share: clips in any form become checked waveforms."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import PaddingStrategy, logging
from typing_extensions import Self

from xcodec.audio import pcm_to_float32
from xcodec.errors import AudioError, CheckpointError, InputError
from xcodec.models.checkpoint import PREPROCESSOR, find_small_files, read_json

__all__ = ["AudioInput", "WaveformFeatureExtractor", "limit_of", "padding_strategy"]

logger = logging.get_logger(__name__)

AudioInput = np.ndarray | torch.Tensor | Sequence[float] | Sequence[np.ndarray] | Sequence[torch.Tensor]


class WaveformFeatureExtractor(SequenceFeatureExtractor):
    """A feature extractor that reads mono clips at one sampling rate."""

    sampling_rate: int
    hop_length: int

    def __call__(self, *args: Any, **kwargs: Any) -> BatchFeature:
        """Prepare clips for a model; each family documents its arguments. All take `audio` by name."""
        raise NotImplementedError

    @classmethod
    def for_config(cls, config: Any) -> Self:
        """Make the one that goes with a configuration of its family."""
        raise NotImplementedError

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:  # type: ignore[override]
        """Read preprocessor_config.json from a folder or from a model of the hub.

        Raises:
            CheckpointError: where the model or its file is not found, or the file is damaged.
        """
        folder, kwargs = find_small_files(pretrained_model_name_or_path, kwargs)
        if (folder / PREPROCESSOR).is_file():
            read_json(folder / PREPROCESSOR)
        try:
            extractor: Self = super().from_pretrained(folder, **kwargs)
        except Exception as error:  # any, according to which field holds what
            raise CheckpointError(
                f"holds no preprocessor_config.json that can be read ({error}); {cls.__name__}() with no "
                "arguments is that of the released model",
                subject=folder,
            ) from error
        return extractor

    def _waveforms(
        self,
        audio: AudioInput | None,
        raw_audio: AudioInput | None,
        sampling_rate: int | None,
        further: Mapping[str, Any],
    ) -> list[torch.Tensor]:
        """The clips that were given, under either name: float32 of shape (samples,), on the CPU.

        Of `further` arguments those are taken that say what is done anyway.
        """
        done_anyway = {"return_attention_mask": (True, None), "pad_to_multiple_of": (self.hop_length, None)}
        for name, value in further.items():
            if value not in done_anyway.get(name, ()):
                raise InputError("not known here; see the documentation for the arguments", argument=name, value=value)
        if audio is not None and raw_audio is not None:
            raise InputError("`raw_audio` is another name of `audio`", remedy="give the audio once")
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
                f"the audio is at {sampling_rate} Hz, the model reads {self.sampling_rate} Hz",
                remedy="resample it first (xcodec.Audio(samples, "
                f"{sampling_rate}).resample({self.sampling_rate}), or use xcodec.Codec)",
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
    try:
        samples = clip.detach().cpu().float().numpy() if is_floating(clip) else np.asarray(clip)
        wave = torch.from_numpy(pcm_to_float32(samples))
    except (AudioError, TypeError, ValueError) as error:
        raise InputError(f"expected floating-point samples or PCM: {error}", subject=where) from None
    if wave.ndim == 2 and wave.shape[0] == 1:
        wave = wave[0]
    if wave.ndim != 1:
        raise InputError(
            f"expected one channel, shape (samples,) or (1, samples), got {tuple(wave.shape)}",
            subject=where,
            remedy="downmix it first (for several clips pass a list)",
        )
    if len(wave) == 0:
        raise InputError(f"{where} has no samples; one is enough")
    if not wave.isfinite().all():
        raise InputError(f"{where} holds {int((~wave.isfinite()).sum())} samples that are NaN or infinite")
    return wave


def is_floating(clip: Any) -> bool:
    """Whether `clip` is a torch tensor of floating point, of which numpy knows not every kind."""
    return isinstance(clip, torch.Tensor) and clip.is_floating_point()


def padding_strategy(padding: bool | str | PaddingStrategy) -> PaddingStrategy:
    """Spell transformers' `padding` argument as one of its three strategies."""
    if isinstance(padding, bool):
        return PaddingStrategy.LONGEST if padding else PaddingStrategy.DO_NOT_PAD
    return PaddingStrategy(padding)


def limit_of(max_length: Any, hop_length: int, is_needed: bool) -> int | None:
    """Check `max_length`, in samples, and round it up to whole codes."""
    if max_length is not None and (not isinstance(max_length, int) or max_length < 1):
        raise InputError("expected a whole number of samples, at least 1", argument="max_length", value=max_length)
    if max_length is None:
        if is_needed:
            raise InputError("truncation=True and padding='max_length' need `max_length`, a number of samples")
        return None
    return -(-max_length // hop_length) * hop_length
