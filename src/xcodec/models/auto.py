"""Which class reads which checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES
from transformers.utils import logging

from xcodec.errors import CheckpointError
from xcodec.models.checkpoint import read_model_type
from xcodec.models.feature_extraction import WaveformFeatureExtractor
from xcodec.models.pretrained import StrictPreTrainedModel
from xcodec.models.xcodec import XcodecConfig, XcodecFeatureExtractor, XcodecModel
from xcodec.models.xcodec2 import Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model

__all__ = ["load_model", "register_auto_classes"]

FeatureExtractorClass: TypeAlias = type[Xcodec2FeatureExtractor] | type[XcodecFeatureExtractor]

FAMILIES: dict[str, tuple[type[PreTrainedConfig], FeatureExtractorClass, type[StrictPreTrainedModel]]] = {
    "xcodec2": (Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model),
    "xcodec": (XcodecConfig, XcodecFeatureExtractor, XcodecModel),
}


def load_model(folder: Path, **kwargs: Any) -> tuple[StrictPreTrainedModel, WaveformFeatureExtractor]:
    """Load the model and the feature extractor of a checkpoint folder, of whichever family its config names.

    Args:
        folder: as `xcodec.models.checkpoint.resolve_checkpoint` returns it.
        **kwargs: passed to the model's `from_pretrained`: `dtype`, `device_map`, ...
    """
    model_type = read_model_type(folder)
    if model_type not in FAMILIES:
        raise CheckpointError(
            f"{folder} is of model_type {model_type!r}; this package reads {', '.join(map(repr, FAMILIES))}"
        )
    _, feature_extractor_class, model_class = FAMILIES[model_type]
    with no_progress_bars():
        model = model_class.from_pretrained(folder, **kwargs)
    if (folder / "preprocessor_config.json").is_file():
        return model, feature_extractor_class.from_pretrained(folder)
    config = model.config
    return model, feature_extractor_class(sampling_rate=config.sampling_rate, hop_length=config.hop_length)


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar over the tensors of a file that is only mapped into memory."""
    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()


def register_auto_classes() -> None:
    """Put this package's classes behind transformers' AutoConfig, AutoFeatureExtractor and AutoModel.

    The one thing here that changes anything outside the package, so it is never done on import.
    """
    for model_type, (config_class, feature_extractor_class, model_class) in FAMILIES.items():
        # transformers looks feature extractors up by class name, its own before registered ones.
        FEATURE_EXTRACTOR_MAPPING_NAMES.pop(model_type, None)
        AutoConfig.register(model_type, config_class, exist_ok=True)
        AutoFeatureExtractor.register(config_class, feature_extractor_class, exist_ok=True)
        AutoModel.register(config_class, model_class, exist_ok=True)
