"""The base of the models: transformers' PreTrainedModel with strict loading."""

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from typing_extensions import Self

from xcodec.errors import CheckpointError
from xcodec.models.checkpoint import HUB_ARGUMENTS, check_tensors, read_model_type, read_shapes, resolve_checkpoint

__all__ = ["StrictPreTrainedModel"]


class StrictPreTrainedModel(PreTrainedModel):
    """A model whose checkpoint loads completely or not at all."""

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any
    ) -> Self:
        """Load a checkpoint in transformers' layout.

        Args:
            pretrained_model_name_or_path: a folder, or a hub id.
            *args: as in `transformers.PreTrainedModel.from_pretrained`.
            **kwargs: likewise: `dtype`, `device_map`, `revision`, `cache_dir`, `local_files_only`, `config`, ...

        Raises:
            CheckpointError: where the checkpoint is not found, is of another model, or lacks, adds or reshapes a
                tensor; it names them.
        """
        hub_arguments = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir() or "subfolder" not in kwargs:
            folder = resolve_checkpoint(pretrained_model_name_or_path, **hub_arguments)
        folder = folder / (kwargs.pop("subfolder", None) or ".")
        assert cls.config_class is not None
        model_type = read_model_type(folder)
        if model_type != cls.config_class.model_type:
            raise CheckpointError(
                f"{pretrained_model_name_or_path} is of model_type {model_type!r}; {cls.__name__} reads "
                f"{cls.config_class.model_type!r}. Original checkpoints are converted with `xcodec convert`"
            )
        config = kwargs.get("config")
        if not isinstance(config, cls.config_class):
            config = cls.config_class.from_pretrained(folder if config is None else config)
        try:
            with torch.device("meta"):
                expected = {name: tuple(tensor.shape) for name, tensor in cls(config).state_dict().items()}
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
            raise CheckpointError(
                f"the config of {pretrained_model_name_or_path} describes no model that can be built: {error}"
            ) from error
        check_tensors(read_shapes(folder), expected, pretrained_model_name_or_path)
        model: Self = super().from_pretrained(folder, *args, **kwargs)
        return model
