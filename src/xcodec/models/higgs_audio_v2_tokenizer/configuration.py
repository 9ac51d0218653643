"""HiggsAudioV2TokenizerConfig: X-Codec's fields, and those of a semantic model at another rate."""

from typing import Any

from xcodec.errors import InputError
from xcodec.models.configuration import check_sampling_rate, check_sizes
from xcodec.models.xcodec.configuration import XcodecConfig

__all__ = ["HiggsAudioV2TokenizerConfig"]


class HiggsAudioV2TokenizerConfig(XcodecConfig):
    """The configuration of `HiggsAudioV2TokenizerModel`, with the field names and defaults of transformers' class.

    The released tokenizer has `acoustic_model_config.downsampling_ratios` [8, 5, 4, 2, 3], so 25 codes a second, and
    `target_bandwidths` up to 2 kbit/s.

    Args:
        sample_rate: of the audio, in Hz.
        codebook_dim: width of the code vectors, to which the latents are projected.
        semantic_sample_rate: of the audio that the semantic model reads, in Hz.
        downsample_factor: samples of that audio in a frame of the semantic model.
        **kwargs: the other fields of `XcodecConfig`, and further ones of `PreTrainedConfig`.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "higgs_audio_v2_tokenizer"

    def __init__(
        self,
        sample_rate: int = 24000,
        codebook_dim: int = 64,
        semantic_sample_rate: int = 16000,
        downsample_factor: int = 320,
        **kwargs: Any,
    ) -> None:
        self.semantic_sample_rate = semantic_sample_rate
        self.downsample_factor = downsample_factor
        check_sampling_rate("semantic_sample_rate", semantic_sample_rate)
        check_sizes(self, "downsample_factor")
        semantic = kwargs.pop("semantic_model_config", None)
        if semantic is None or isinstance(semantic, dict):
            semantic = {"mask_time_prob": 0.0, **(semantic or {})}
        super().__init__(sample_rate=sample_rate, codebook_dim=codebook_dim, semantic_model_config=semantic, **kwargs)
        if self.hop_length * semantic_sample_rate % (sample_rate * downsample_factor):
            raise InputError(
                f"the {self.hop_length} samples of a code at {sample_rate} Hz are no whole number of "
                f"frames of so many samples at {semantic_sample_rate} Hz",
                argument="downsample_factor",
                value=downsample_factor,
            )

    @property
    def semantic_downsample_factor(self) -> int:
        """How many frames of the semantic model a code has, the first of which it reads."""
        return self.hop_length * self.semantic_sample_rate // (self.sample_rate * self.downsample_factor)

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        return super().architecture() | {
            "semantic_sample_rate": self.semantic_sample_rate,
            "downsample_factor": self.downsample_factor,
        }

    def _check_codebook_dim(self) -> None:
        check_sizes(self, "codebook_dim")
