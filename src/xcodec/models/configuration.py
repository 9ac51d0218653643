"""What the configurations share: their file is read strictly, their fields are checked, and some decide the outputs."""

import inspect
import math
import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import logging
from typing_extensions import Self

from xcodec.codes import CodecIdentity
from xcodec.errors import CheckpointError, CodesError, InputError, one_line
from xcodec.models.checkpoint import find_small_files, read_config

__all__ = [
    "CodecConfig",
    "check_booleans",
    "check_fractions",
    "check_numbers",
    "check_sampling_rate",
    "check_sizes",
    "is_number",
]

logger = logging.get_logger(__name__)

SAMPLING_RATES = (1_000, 1_000_000)  # Hz; audio has none beyond


class CodecConfig(PreTrainedConfig):
    """The base of the configurations.

    Args:
        decodes: the fields of the `CodecIdentity` of the model whose codes this one reads and writes, where they are
            another's: its decoder was trained for them. None means that its codes are its own.
        **kwargs: fields of `PreTrainedConfig`.

    Raises:
        InputError: where `decodes` is no such fields.

    Attributes:
        has_encoder: whether checkpoints hold an encoder; False is a decoder alone, of codes that another model makes.
    """

    has_encoder = True
    decodes: dict[str, str] | None = None

    # Names of the fields of `architecture()` that decide audio and no code.
    decoder_fields: ClassVar[tuple[str, ...]] = ()
    # The model_type of the family whose codes these are, where this one is another decoder of them.
    codes_of: ClassVar[str] = ""
    # Where training begins with a model of another family that has the same codes: how the names of those tensors
    # begin that are of this family's kind, and drawn anew whichever of the two is begun with, and the fields that are
    # then as they are by default.
    renewed_parts: ClassVar[tuple[str, ...]] = ()
    renewed_fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, decodes: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        if decodes is not None:
            try:
                self.decodes = vars(CodecIdentity(**decodes))  # a file has the field where it says something
            except (TypeError, CodesError):
                raise InputError(
                    "expected a model's name, config_hash and weights_hash", argument="decodes", value=decodes
                ) from None
        super().__init__(**kwargs)

    def code_architecture(self) -> dict[str, Any]:
        """The fields that decide the codes; what `architecture` has beside them concerns the decoder alone."""
        fields = {name: value for name, value in self.architecture().items() if name not in self.decoder_fields}
        return fields | {"model_type": self.code_family()}

    @classmethod
    def code_family(cls) -> str:
        """The model_type of the family whose codes these are."""
        return cls.codes_of or cls.model_type

    def architecture(self) -> dict[str, Any]:
        """The fields that decide the outputs; the others concern training, interchange or who wrote the file."""
        raise NotImplementedError

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number in the configuration repeats, by that number's name."""
        raise NotImplementedError

    @classmethod
    def field_names(cls) -> set[str]:
        """Name the fields that the family's configurations have beside those of transformers' own."""
        families = cls.__mro__[: cls.__mro__.index(CodecConfig)]
        names = {name for each in families for name in inspect.signature(each).parameters}
        return names - {"self", "args", "kwargs"}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:  # type: ignore[override]
        """Read config.json from a folder or from a model of the hub.

        Raises:
            CheckpointError: where it is not found, damaged, or describes no model.
        """
        folder, kwargs = find_small_files(pretrained_model_name_or_path, kwargs)
        fields = read_config(folder)
        if (model_type := fields.get("model_type")) != cls.model_type:
            logger.warning(
                f"the config.json of {pretrained_model_name_or_path} is of model_type {model_type!r}; it is read as "
                f"that of {cls.model_type!r}"
            )
        return cls.from_fields(fields, pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], source: str | Path, **kwargs: Any) -> Self:
        """Make a configuration of the fields of a file, whatever family the file itself says that it is of.

        Args:
            fields: as JSON holds them.
            source: whose they are, for messages.
            **kwargs: as for transformers' `from_dict`.

        Raises:
            CheckpointError: where they describe no model.
        """
        values = {name: value for name, value in fields.items() if name != "model_type"}
        if values.pop("quantization_config", None) is not None:  # one that is null is none; transformers 5.0 reads it
            raise CheckpointError(
                f"the config.json of {source} has a quantization_config, for weights quantized by other software; "
                "expected weights in floating point"
            )
        if methods := sorted(name for name in values if callable(getattr(cls, name, None))):
            raise CheckpointError(
                f"the config.json of {source} describes no model: {', '.join(methods)} cannot be fields"
            )
        try:
            config: Self = cls.from_dict(values, **kwargs)
            # What a field holds may be found out only where it is read.
            first = config[0] if isinstance(config, tuple) else config
            first.to_dict()
            first.architecture()
            if not (first.dtype is None or (isinstance(first.dtype, torch.dtype) and first.dtype.is_floating_point)):
                raise InputError(
                    "expected a floating-point dtype of torch, such as 'float32'", argument="dtype", value=first.dtype
                )
        except Exception as error:  # any, according to which field holds what
            raise CheckpointError(f"the config.json of {source} describes no model: {one_line(error)}") from error
        return config

    def check_against(self, num_tensors: int, source: str | Path) -> None:
        """Refuse numbers of layers that a checkpoint of so many tensors cannot have, before they are built.

        Raises:
            CheckpointError: names the field.
        """
        for name, count in self.num_repeated().items():
            if count > num_tensors:
                raise CheckpointError(
                    f"the config.json of {source} describes no model of its weights: {name} is {count}, and there are "
                    f"{num_tensors} tensors"
                )


def check_sizes(config: Any, *names: str, at_least: int = 1) -> None:
    """Refuse fields that are not whole numbers, or lists of whole numbers, of at least `at_least`.

    Raises:
        InputError: names the first such field.
    """
    for name in names:
        value = getattr(config, name)
        values = list(value) if isinstance(value, list | tuple) else [value]
        if not all(is_whole(item) and item >= at_least for item in values) or (values == [] and at_least > 0):
            many = "whole numbers" if isinstance(value, list | tuple) else "a whole number"
            raise InputError(f"expected {many} of at least {at_least}", argument=name, value=value)


def check_numbers(config: Any, *names: str) -> None:
    """Refuse fields that are not finite numbers of at least 0.

    Raises:
        InputError: names the first such field.
    """
    for name in names:
        value = getattr(config, name)
        if not (is_number(value) and math.isfinite(value) and value >= 0):
            raise InputError("expected a finite number of at least 0", argument=name, value=value)


def check_fractions(config: Any, *names: str) -> None:
    """Refuse fields that are not probabilities; None stands for 0.

    Raises:
        InputError: names the first such field.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not (is_number(value) and 0 <= value <= 1):
            raise InputError("expected a probability, from 0 to 1", argument=name, value=value)


def check_sampling_rate(name: str, value: Any) -> None:
    """Refuse what is no sampling rate of audio, in Hz.

    Raises:
        InputError: names the field.
    """
    low, high = SAMPLING_RATES
    if not (is_whole(value) and low <= value <= high):
        raise InputError(f"expected a whole number of Hz, from {low:,} to {high:,}", argument=name, value=value)


def check_booleans(config: Any, *names: str) -> None:
    """Refuse fields that are neither true nor false.

    Raises:
        InputError: names the first such field.
    """
    for name in names:
        if not isinstance(value := getattr(config, name), bool):
            raise InputError("expected true or false", argument=name, value=value)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, which True is not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a real number, which True is not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
