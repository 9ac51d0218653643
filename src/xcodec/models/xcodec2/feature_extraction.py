"""From recordings to what Xcodec2Model reads: padded waveforms, filter-bank features and their masks."""

from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import PaddingStrategy, TensorType
from typing_extensions import Self

from xcodec.errors import InputError
from xcodec.models.feature_extraction import AudioInput, WaveformFeatureExtractor, limit_of, padding_strategy
from xcodec.models.semantic import FRAME_SHIFT, SemanticFeatures
from xcodec.models.xcodec2.configuration import Xcodec2Config
from xcodec.modules.lengths import valid_steps

__all__ = ["Xcodec2FeatureExtractor"]


class Xcodec2FeatureExtractor(WaveformFeatureExtractor):
    """Pads waveforms to whole codes and computes their filter-bank features, batched, with no loop over clips.

    One zero sample is appended to each clip, then zeros up to a multiple of the hop length: a clip of n samples always
    gives n // hop_length + 1 codes.

    Args:
        feature_size: mel bins of the filter bank.
        sampling_rate: of the audio, in Hz.
        padding_value: what fills `input_features` past a clip's end.
        hop_length: samples per code, a multiple of 160: the filter bank has a frame every 10 ms at 16 kHz, and those of
            a code are stacked.
        **kwargs: further fields of `SequenceFeatureExtractor`.
    """

    model_input_names = ["input_features", "input_values", "padding_mask", "input_features_mask"]  # noqa: RUF012
    feature_margin = FRAME_SHIFT  # zeros on both sides of a clip, for its filter bank alone
    uncoded_hops = 0  # hops at a padded clip's end that have no features, and give no code

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
        self.stride = hop_length // FRAME_SHIFT
        self.num_mel_bins = feature_size
        self.frame_length = 400
        self.frame_shift = FRAME_SHIFT

    @classmethod
    def for_config(cls, config: Xcodec2Config) -> Self:
        """Make the feature extractor that goes with a model of this configuration.

        Raises:
            InputError: where filter-bank frames do not keep step with its codes.
        """
        width = config.semantic_model_config.feature_projection_input_dim
        hop_length = config.encoder_hop_length
        features = SemanticFeatures(config.sampling_rate, width, hop_length)
        features.check()
        return cls(width // features.num_stacked, sampling_rate=config.sampling_rate, hop_length=hop_length)

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
            stride * feature_size) float32; `input_features_mask` (batch, codes) int32.

        Raises:
            InputError: for a wrong sampling rate, more than one channel, no samples, or samples that are not numbers.
        """
        clips = self._waveforms(audio, raw_audio, sampling_rate, kwargs)
        strategy = padding_strategy(padding)
        limit = limit_of(max_length, self.hop_length, truncation or strategy is PaddingStrategy.MAX_LENGTH)
        lengths = torch.tensor([len(clip) + 1 for clip in clips])  # a zero is appended to each
        if truncation:
            clips = [clip[:limit] for clip in clips]
            lengths = lengths.clamp(max=limit)

        frames = (lengths + self.hop_length - 1) // self.hop_length - self.uncoded_hops
        self._check_frames(frames, clips)
        longest = int(frames.max())
        num_frames = longest
        if strategy is PaddingStrategy.MAX_LENGTH and limit is not None:
            num_frames = max(longest, limit // self.hop_length - self.uncoded_hops)
        values = torch.zeros(len(clips), (num_frames + self.uncoded_hops) * self.hop_length)
        for row, clip in zip(values, clips, strict=True):
            row[: len(clip)] = clip
        del clips  # a long one is worth freeing
        values, lengths, frames = values.to(device), lengths.to(device), frames.to(device)

        # Only as far as there is audio: padding='max_length' adds nothing to compute.
        features = self._features(values[:, : (longest + self.uncoded_hops) * self.hop_length], frames)
        features = torch.nn.functional.pad(features, (0, 0, 0, num_frames - longest))
        features_mask = valid_steps(frames, num_frames)
        outputs = {
            "input_values": values[:, None],
            "padding_mask": valid_steps(lengths, values.shape[1]).int(),
            "input_features": features.masked_fill(~features_mask[..., None], self.padding_value),
            "input_features_mask": features_mask.int(),
        }
        if strategy is PaddingStrategy.DO_NOT_PAD and return_tensors is not None and len(set(frames.tolist())) > 1:
            raise InputError(
                f"with padding={padding!r} the clips keep their lengths ({frames.tolist()} codes) and "
                "cannot form one tensor",
                remedy="use padding=True, or return_tensors=None for lists",
            )
        if return_tensors is None:
            if strategy is not PaddingStrategy.DO_NOT_PAD:
                frames = torch.full_like(frames, num_frames)
            return BatchFeature({name: self._as_list(name, x, frames) for name, x in outputs.items()})
        if TensorType(return_tensors) is TensorType.PYTORCH:
            return BatchFeature(outputs)
        return BatchFeature({name: x.cpu().numpy() for name, x in outputs.items()}, tensor_type=return_tensors)

    def _check_frames(self, frames: torch.Tensor, clips: list[torch.Tensor]) -> None:
        """Refuse clips that give no code at all."""
        shortest = int(frames.argmin())
        if int(frames[shortest]) < 1:
            raise InputError(
                f"clip {shortest} has {len(clips[shortest])} samples, too few for one code",
                remedy=f"pad it with zeros to {self.uncoded_hops * self.hop_length}",
            )

    def _features(self, waveforms: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        num_features = self.stride * self.feature_size
        compute = SemanticFeatures(self.sampling_rate, num_features, self.hop_length, self.feature_margin)
        with torch.no_grad():
            return compute(waveforms, frames)

    def _as_list(self, name: str, batch: torch.Tensor, frames: torch.Tensor) -> list[np.ndarray]:
        steps = (frames + self.uncoded_hops) * self.hop_length if name in ("input_values", "padding_mask") else frames
        rows = zip(batch.cpu().numpy(), steps.tolist(), strict=True)
        return [row[:, :n] if name == "input_values" else row[:n] for row, n in rows]
