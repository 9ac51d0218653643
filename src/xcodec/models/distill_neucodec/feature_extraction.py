"""The feature extractor of DistillNeuCodec."""

from typing_extensions import Self

from xcodec.models.distill_neucodec.configuration import DistillNeuCodecConfig
from xcodec.models.xcodec.feature_extraction import XcodecFeatureExtractor

__all__ = ["DistillNeuCodecFeatureExtractor"]


class DistillNeuCodecFeatureExtractor(XcodecFeatureExtractor):
    """Pads waveforms with zeros to whole codes, all that `DistillNeuCodecModel` needs; one zero is always appended.

    A clip of n samples gives n // hop_length + 1 codes. The arguments are those of `XcodecFeatureExtractor`.
    """

    appended_samples = 1
    stored_name = "DistillNeuCodecFeatureExtractor"

    @classmethod
    def for_config(cls, config: DistillNeuCodecConfig) -> Self:  # type: ignore[override]
        """Make the feature extractor that goes with a model of this configuration."""
        return cls(sampling_rate=config.sampling_rate, hop_length=config.encoder_hop_length)
