"""Family: what a codec is called, the classes that make it, and how its checkpoints are told from others."""

from dataclasses import dataclass

from xcodec.models.codec_model import CodecModel
from xcodec.models.configuration import CodecConfig
from xcodec.models.feature_extraction import WaveformFeatureExtractor

__all__ = ["Family"]


@dataclass(frozen=True)
class Family:
    """A codec of this package, as the registry lists it.

    Attributes:
        name: as people write it.
        config: the class of its configurations, whose `model_type` is the family's key.
        feature_extractor: the class of its feature extractors.
        model: the class of its models.
        names: how tensors' names begin in its checkpoints and in no other codec's; config.json tells two with the
            same ones apart.
        original_names: the same in its authors' own checkpoints, which are converted first.
        original_reader: the class that reads its authors' checkpoints as they are, if there is one.
    """

    name: str
    config: type[CodecConfig]
    feature_extractor: type[WaveformFeatureExtractor]
    model: type[CodecModel]
    names: tuple[str, ...]
    original_names: tuple[str, ...]
    original_reader: str | None = None

    @property
    def model_type(self) -> str:
        """Its key, as config.json spells it."""
        return self.config.model_type

    def feature_extractor_for(self, config: CodecConfig) -> WaveformFeatureExtractor:
        """Make the feature extractor that goes with a configuration.

        Raises:
            InputError: where none does: X-Codec2 with codes that filter-bank frames do not keep step with.
        """
        return self.feature_extractor.for_config(config)
