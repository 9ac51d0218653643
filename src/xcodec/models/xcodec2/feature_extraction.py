"""From recordings to what Xcodec2Model reads: padded waveforms, filter-bank features and their masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import PaddingStrategy, TensorType, logging
from typing_extensions import Self

from xcodec.audio import pcm_to_float32
from xcodec.errors import AudioError, CheckpointError, InputError
from xcodec.models.checkpoint import find_small_files
from xcodec.models.semantic import STACKED_FRAMES, SemanticFeatures
from xcodec.modules.lengths import valid_steps

__all__ = ["Xcodec2FeatureExtractor"]

logger = logging.get_logger(__name__)

AudioInput = np.ndarray | torch.Tensor | Sequence[float] | Sequence[np.ndarray] | Sequence[torch.Tensor]


class Xcodec2FeatureExtractor(SequenceFeatureExtractor):
    """Pads waveforms to whole codes and computes their filter-bank features, batched, with no loop over clips.

    One zero sample is appended to each clip, then zeros up to a multiple of the hop length: a clip of n samples always
    gives n // hop_length + 1 codes.

    Args:
        feature_size: mel bins of the filter bank.
        sampling_rate: of the audio, in Hz.
        padding_value: what fills `input_features` past a clip's end.
        hop_length: samples per code.
        **kwargs: further fields of `SequenceFeatureExtractor`.
    """

    model_input_names = ["input_features", "input_values", "padding_mask", "input_features_mask"]  # noqa: RUF012

    def __init__(
        self,
        feature_size: int = 80,
        sampling_rate: int = 16000,
        padding_value: float = 1.0,
        hop_length: int = 320,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.hop_length = hop_length
        # Fixed by the semantic encoder; written to preprocessor_config.json as transformers does.
        self.stride = STACKED_FRAMES
        self.num_mel_bins = feature_size
        self.frame_length = 400
        self.frame_shift = 160

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:  # type: ignore[override]
        """Read preprocessor_config.json from a folder or from a model of the hub.

        Raises:
            CheckpointError: where the model or its file is not found, or the file is damaged.
        """
        folder, kwargs = find_small_files(pretrained_model_name_or_path, kwargs)
        try:
            extractor: Self = super().from_pretrained(folder, **kwargs)
        except (OSError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder} holds no preprocessor_config.json that can be read ({error}); "
                f"{cls.__name__}() with no arguments is that of the released model"
            ) from error
        return extractor

    def __call__(
        self,
        audio: AudioInput | None = None,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        truncation: bool = False,
        return_tensors: str | TensorType | None = None,
        sampling_rate: int | None = None,
        device: str | torch.device = "cpu",
        raw_audio: AudioInput | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Prepare one clip or a batch.

        Args:
            audio: a mono clip of shape (samples,) or (1, samples), numpy, torch or a list of numbers; or a list of
                these. Floating point has its full scale at 1.0; integers are PCM and are scaled by their range.
            padding: True or "longest" pads to the longest clip; "max_length" to `max_length`; False or "do_not_pad"
                leaves every clip at its own length (then `return_tensors` needs clips of one length).
            max_length: in samples, rounded up to whole codes.
            truncation: cut clips that are longer than `max_length`, the appended zero counted in.
            return_tensors: "pt" for torch tensors, "np" for numpy arrays, None for lists with one array per clip.
            sampling_rate: of `audio`, in Hz; give it, so that a wrong rate is an error rather than wrong codes.
            device: where the features are computed and, with "pt", returned.
            raw_audio: another name for `audio`, as X-Codec's extractor calls it.
            **kwargs: `return_attention_mask=True` and `pad_to_multiple_of=hop_length` say what is done anyway, and are
                taken; anything else is an error.

        Returns:
            `input_values` (batch, 1, samples) float32, zero-padded to a multiple of the hop length; `padding_mask`
            (batch, samples) int32, one on each clip's samples and its appended zero; `input_features` (batch, codes,
            2 * feature_size) float32; `input_features_mask` (batch, codes) int32.

        Raises:
            InputError: for a wrong sampling rate, more than one channel, no samples, or samples that are not numbers.
        """
        done_anyway = {"return_attention_mask": (True, None), "pad_to_multiple_of": (self.hop_length, None)}
        for name, value in kwargs.items():
            if value not in done_anyway.get(name, ()):
                raise InputError(f"{name}={value!r}: not known here; see the documentation for the arguments")
        if audio is not None and raw_audio is not None:
            raise InputError("`raw_audio` is another name of `audio`; give the audio once")
        audio = raw_audio if audio is None else audio
        if audio is None:
            raise InputError("no audio was given")
        self._check_sampling_rate(sampling_rate)
        clips = [as_waveform(clip, i) for i, clip in enumerate(as_clips(audio))]
        clips = [torch.cat([clip, clip.new_zeros(1)]) for clip in clips]
        strategy = padding_strategy(padding)
        if max_length is not None and (not isinstance(max_length, int) or max_length < 1):
            raise InputError(f"max_length={max_length!r}: expected a whole number of samples, at least 1")
        limit = None if max_length is None else -(-max_length // self.hop_length) * self.hop_length
        if limit is None and (truncation or strategy is PaddingStrategy.MAX_LENGTH):
            raise InputError("truncation=True and padding='max_length' need `max_length`, a number of samples")
        if truncation:
            clips = [clip[:limit] for clip in clips]

        frames = torch.tensor([-(-len(clip) // self.hop_length) for clip in clips])
        longest = int(frames.max())
        num_frames = longest
        if strategy is PaddingStrategy.MAX_LENGTH and limit is not None:
            num_frames = max(longest, limit // self.hop_length)
        values = torch.zeros(len(clips), num_frames * self.hop_length)
        for row, clip in zip(values, clips, strict=True):
            row[: len(clip)] = clip
        values, frames = values.to(device), frames.to(device)

        # Only as far as there is audio: padding='max_length' adds nothing to compute.
        features = self._features(values[:, : longest * self.hop_length], frames)
        features = torch.nn.functional.pad(features, (0, 0, 0, num_frames - longest))
        features_mask = valid_steps(frames, num_frames)
        outputs = {
            "input_values": values[:, None],
            "padding_mask": valid_steps(torch.tensor([len(c) for c in clips], device=device), values.shape[1]).int(),
            "input_features": features.masked_fill(~features_mask[..., None], self.padding_value),
            "input_features_mask": features_mask.int(),
        }
        if strategy is PaddingStrategy.DO_NOT_PAD and return_tensors is not None and len(set(frames.tolist())) > 1:
            raise InputError(
                f"with padding={padding!r} the clips keep their lengths ({frames.tolist()} codes) and cannot form one "
                f"tensor; use padding=True, or return_tensors=None for lists"
            )
        if return_tensors is None:
            if strategy is not PaddingStrategy.DO_NOT_PAD:
                frames = torch.full_like(frames, num_frames)
            return BatchFeature({name: self._as_list(name, x, frames) for name, x in outputs.items()})
        if TensorType(return_tensors) is TensorType.PYTORCH:
            return BatchFeature(outputs)
        return BatchFeature({name: x.cpu().numpy() for name, x in outputs.items()}, tensor_type=return_tensors)

    def _features(self, waveforms: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        compute = SemanticFeatures(self.sampling_rate, self.feature_size, self.hop_length)
        with torch.no_grad():
            return compute(waveforms, frames)

    def _as_list(self, name: str, batch: torch.Tensor, frames: torch.Tensor) -> list[np.ndarray]:
        steps = frames * self.hop_length if name in ("input_values", "padding_mask") else frames
        rows = zip(batch.cpu().numpy(), steps.tolist(), strict=True)
        return [row[:, :n] if name == "input_values" else row[:n] for row, n in rows]

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
    try:
        samples = clip.detach().cpu().float().numpy() if is_floating(clip) else np.asarray(clip)
        wave = torch.from_numpy(pcm_to_float32(samples))
    except (AudioError, TypeError, ValueError) as error:
        raise InputError(f"{where}: expected floating-point samples or PCM: {error}") from None
    if wave.ndim == 2 and wave.shape[0] == 1:
        wave = wave[0]
    if wave.ndim != 1:
        raise InputError(
            f"{where}: expected one channel, shape (samples,) or (1, samples), got {tuple(wave.shape)}; "
            "downmix it first (for several clips pass a list)"
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
