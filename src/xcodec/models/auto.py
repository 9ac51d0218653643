"""Which class reads which checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES
from transformers.utils import logging

from xcodec.errors import CheckpointError, InputError
from xcodec.models.checkpoint import read_model_type
from xcodec.models.conversion import ConversionReport, Source
from xcodec.models.feature_extraction import WaveformFeatureExtractor
from xcodec.models.pretrained import StrictPreTrainedModel
from xcodec.models.xcodec import XcodecConfig, XcodecFeatureExtractor, XcodecModel
from xcodec.models.xcodec import conversion as xcodec_conversion
from xcodec.models.xcodec2 import Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model
from xcodec.models.xcodec2 import conversion as xcodec2_conversion

__all__ = ["convert_checkpoint", "load_model", "register_auto_classes"]

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


def convert_checkpoint(
    source: str | Path,
    destination: str | Path,
    *,
    overwrite: bool = False,
    config: str | Path | None = None,
    semantic_encoder: str | Path | None = None,
    num_semantic_layers: int | None = None,
    num_attention_heads: int | None = None,
    **hub_arguments: Any,
) -> ConversionReport:
    """Write a checkpoint of either family, in whatever layout, as a folder in transformers' layout.

    Args:
        source: a folder, hub id or file, as the families' `read_checkpoint` takes it.
        destination: the folder to write, whole or not at all.
        overwrite: replace a checkpoint folder that is there already.
        config: X-Codec only: the YAML file of an original checkpoint, if it is not the one beside it.
        semantic_encoder: X-Codec2 only, as in `xcodec.models.xcodec2.conversion.read_checkpoint`; so are the next two.
        num_semantic_layers: likewise.
        num_attention_heads: likewise.
        **hub_arguments: revision, cache_dir, token, local_files_only, ...

    Raises:
        CheckpointError: where the source is not found, not complete or of neither family, or the destination exists.
        InputError: for an option of the other family.
    """
    own = {
        "semantic_encoder": semantic_encoder,
        "num_semantic_layers": num_semantic_layers,
        "num_attention_heads": num_attention_heads,
    }
    given = {name: value for name, value in own.items() if value is not None}
    found = Source.read(source, hub_arguments)
    if xcodec_conversion.is_xcodec(found.config, found.tensors):
        if given:
            raise InputError(f"{source} is an X-Codec checkpoint; {', '.join(given)}: only for X-Codec2")
        return xcodec_conversion.convert_checkpoint(
            source, destination, overwrite=overwrite, config=config, **hub_arguments
        )
    if config is not None:
        raise InputError(f"{source} is no original X-Codec checkpoint; config, a YAML file, is only for these")
    return xcodec2_conversion.convert_checkpoint(source, destination, overwrite=overwrite, **given, **hub_arguments)


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

    X-Codec's checkpoints name `DacFeatureExtractor` as theirs, and AutoFeatureExtractor goes on giving that, as it does
    for DAC: it prepares the very tensors that `XcodecFeatureExtractor` does, and `XcodecModel` takes them.
    """
    for model_type, (config_class, feature_extractor_class, model_class) in FAMILIES.items():
        # transformers looks feature extractors up by class name, its own before registered ones.
        FEATURE_EXTRACTOR_MAPPING_NAMES.pop(model_type, None)
        AutoConfig.register(model_type, config_class, exist_ok=True)
        AutoFeatureExtractor.register(config_class, feature_extractor_class, exist_ok=True)
        AutoModel.register(config_class, model_class, exist_ok=True)
