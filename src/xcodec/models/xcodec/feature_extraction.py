"""From recordings to what XcodecModel reads: waveforms padded to whole codes, and their mask."""

from typing import Any

import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import PaddingStrategy, TensorType
from typing_extensions import Self

from xcodec.errors import InputError
from xcodec.models.feature_extraction import AudioInput, WaveformFeatureExtractor, limit_of, padding_strategy
from xcodec.models.xcodec.configuration import XcodecConfig
from xcodec.modules.lengths import valid_steps

__all__ = ["XcodecFeatureExtractor"]


class XcodecFeatureExtractor(WaveformFeatureExtractor):
    """Pads waveforms with zeros to whole codes, as transformers' DacFeatureExtractor does on X-Codec's checkpoints.

    A clip of n samples gives ceil(n / hop_length) codes.

    Args:
        feature_size: channels; only 1 is supported.
        sampling_rate: of the audio, in Hz.
        padding_value: what fills `input_values` past a clip's end; the model takes zeros.
        hop_length: samples per code.
        **kwargs: further fields of `SequenceFeatureExtractor`.
    """

    model_input_names = ["input_values", "padding_mask"]  # noqa: RUF012
    appended_samples = 0  # zeros that every clip gets before it is filled up
    stored_name = "DacFeatureExtractor"  # by which a stored one is known, so that transformers reads it too

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        hop_length: int = 320,
        **kwargs: Any,
    ) -> None:
        if feature_size != 1:
            raise InputError("X-Codec reads one channel; expected 1", argument="feature_size", value=feature_size)
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.hop_length = hop_length

    @classmethod
    def for_config(cls, config: XcodecConfig) -> Self:
        """Make the feature extractor that goes with a model of this configuration."""
        return cls(sampling_rate=config.sample_rate, hop_length=config.hop_length)

    def __call__(
        self,
        raw_audio: AudioInput | None = None,
        padding: bool | str | PaddingStrategy | None = None,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: str | TensorType | None = None,
        sampling_rate: int | None = None,
        audio: AudioInput | None = None,
        device: str | torch.device = "cpu",
        **kwargs: Any,
    ) -> BatchFeature:
        """Prepare one clip or a batch.

        Args:
            raw_audio: a mono clip of shape (samples,) or (1, samples), numpy, torch or a list of numbers; or a list of
                these. Floating point has its full scale at 1.0; integers are PCM and are scaled by their range.
            padding: None, True or "longest" pads to the longest clip; "max_length" to `max_length`; False or
                "do_not_pad" leaves every clip at its own length (then `return_tensors` needs clips of one length), and
                there is no `padding_mask`.
            truncation: cut clips that are longer than `max_length`; not together with `padding`, which is done anyway.
            max_length: in samples, rounded up to whole codes.
            return_tensors: "pt" for torch tensors, "np" for numpy arrays, None for lists with one array per clip.
            sampling_rate: of the audio, in Hz; give it, so that a wrong rate is an error rather than wrong codes.
            audio: another name for `raw_audio`, as X-Codec2's extractor calls it.
            device: where the tensors are returned, with "pt".
            **kwargs: `return_attention_mask=True` and `pad_to_multiple_of=hop_length` say what is done anyway, and are
                taken; anything else is an error.

        Returns:
            `input_values` (batch, 1, samples) float32, padded to a multiple of the hop length; `padding_mask` (batch,
            samples) int32, one on each clip's own samples.

        Raises:
            InputError: for a wrong sampling rate, more than one channel, no samples, or samples that are not numbers.
        """
        if padding and truncation:
            raise InputError("Both padding and truncation were set. Make sure you only set one.")
        clips = self._waveforms(audio, raw_audio, sampling_rate, kwargs)
        strategy = padding_strategy(True if padding is None else padding)
        limit = limit_of(max_length, self.hop_length, truncation or strategy is PaddingStrategy.MAX_LENGTH)
        if self.appended_samples:
            clips = [torch.nn.functional.pad(clip, (0, self.appended_samples)) for clip in clips]
        if truncation:
            clips = [clip[:limit] for clip in clips]
        lengths = torch.tensor([len(clip) for clip in clips])
        if strategy is PaddingStrategy.DO_NOT_PAD:
            if return_tensors is not None and len(set(lengths.tolist())) > 1:
                raise InputError(
                    f"with padding={padding!r} the clips keep their lengths ({lengths.tolist()} samples) and "
                    "cannot form one tensor",
                    remedy="use padding=True, or return_tensors=None for lists",
                )
            return as_asked({"input_values": [clip[None] for clip in clips]}, return_tensors, device)
        longest = int(lengths.max())
        if strategy is PaddingStrategy.MAX_LENGTH and limit is not None:
            longest = max(longest, limit)
        num_samples = -(-longest // self.hop_length) * self.hop_length
        values = torch.full((len(clips), 1, num_samples), float(self.padding_value))
        for row, clip in zip(values, clips, strict=True):
            row[0, : len(clip)] = clip
        mask = valid_steps(lengths, num_samples).int()
        return as_asked({"input_values": list(values), "padding_mask": list(mask)}, return_tensors, device)

    def to_dict(self) -> dict[str, Any]:
        """The fields to store."""
        return super().to_dict() | {"feature_extractor_type": self.stored_name}


def as_asked(
    rows: dict[str, list[torch.Tensor]], return_tensors: str | TensorType | None, device: str | torch.device
) -> BatchFeature:
    """Torch tensors, numpy arrays, or lists with one numpy array per clip."""
    if return_tensors is None:
        return BatchFeature({name: [x.numpy() for x in tensors] for name, tensors in rows.items()})
    if TensorType(return_tensors) is TensorType.PYTORCH:
        return BatchFeature({name: torch.stack(tensors).to(device) for name, tensors in rows.items()})
    stacked = {name: torch.stack(tensors).numpy() for name, tensors in rows.items()}
    return BatchFeature(stacked, tensor_type=return_tensors)
