"""What the configurations share: reading their file, and telling what of it decides a model's outputs."""

from pathlib import Path
from typing import Any

from transformers.configuration_utils import PreTrainedConfig
from typing_extensions import Self

from xcodec.errors import CheckpointError
from xcodec.models.checkpoint import find_small_files, read_config

__all__ = ["CodecConfig"]


class CodecConfig(PreTrainedConfig):
    """The base of the configurations."""

    def architecture(self) -> dict[str, Any]:
        """The fields that decide the outputs; the others concern training, interchange or who wrote the file."""
        raise NotImplementedError

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:  # type: ignore[override]
        """Read config.json from a folder or from a model of the hub.

        Raises:
            CheckpointError: where it is not found, damaged, or describes no model.
        """
        folder, kwargs = find_small_files(pretrained_model_name_or_path, kwargs)
        read_config(folder)
        try:
            config: Self = super().from_pretrained(folder, **kwargs)
        except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise CheckpointError(
                f"the config.json of {pretrained_model_name_or_path} describes no model: {error}"
            ) from error
        return config
