"""Language models on disk: found as codecs are, read by transformers, and completely or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from xcodec.codes import CodecIdentity
from xcodec.device import choose_device, choose_dtype
from xcodec.errors import CheckpointError, CodesError, InputError, first_line, some_of
from xcodec.models.auto import no_progress_bars
from xcodec.models.checkpoint import HUB_ARGUMENTS, read_config, resolve_checkpoint

__all__ = ["SpokenCodec", "load_language_model", "load_tokenizer"]

TOKENIZER_FILES = ("*.jinja", "*.txt", "tokenizer.model")


def load_language_model(
    name_or_path: str | os.PathLike[str],
    device: str | torch.device | None,
    dtype: str | torch.dtype,
    hub_arguments: Mapping[str, Any],
) -> tuple[Any, Any]:
    """Load a causal language model of transformers, from safetensors, and its tokenizer.

    Args:
        name_or_path: a folder or a hub id.
        device: as in `xcodec.device.choose_device`.
        dtype: "auto" for what it is stored in, or as in `choose_dtype`.
        hub_arguments: for a hub id.

    Raises:
        CheckpointError: where it is not found, incomplete, damaged, or no language model.
        InputError: for an unknown or unavailable device, dtype or argument.
    """
    if unknown := sorted(hub_arguments.keys() - set(HUB_ARGUMENTS)):
        raise InputError(f"no argument {', '.join(unknown)}; of the hub there are {', '.join(HUB_ARGUMENTS)}")
    chosen_device = choose_device(device)
    chosen_dtype = dtype if dtype == "auto" else choose_dtype(dtype)
    folder = resolve_checkpoint(os.fspath(name_or_path), others=TOKENIZER_FILES, **hub_arguments)
    try:
        with no_progress_bars():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=chosen_dtype, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"is no language model that transformers reads: {first_line(error)}", subject=name_or_path
        ) from None
    model, report = loaded
    if absent := sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}):
        raise CheckpointError(f"is incomplete: it lacks {some_of(absent)}", subject=name_or_path)
    return model.to(chosen_device), load_tokenizer(name_or_path, folder)


def load_tokenizer(name_or_path: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> Any:
    """Load the tokenizer of a language model.

    Args:
        name_or_path: what the language model is called.
        folder: where it lies, if that is known.

    Raises:
        CheckpointError: where there is none.
    """
    try:
        given = Path(name_or_path).expanduser()
        return AutoTokenizer.from_pretrained(folder or (given if given.is_dir() else name_or_path))
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise CheckpointError(
            f"holds no tokenizer that transformers reads: {first_line(error)}", subject=name_or_path
        ) from None


class SpokenCodec:
    """The codec whose codes a language model speaks, as its config.json says.

    Args:
        llm: the language model, a folder or a hub id.
        hub_arguments: for a hub id.

    Attributes:
        config: the fields of its config.json.

    Raises:
        CheckpointError: where the language model is not found.
    """

    def __init__(self, llm: str | os.PathLike[str], hub_arguments: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._llm = llm
        self.config = read_config(resolve_checkpoint(os.fspath(llm), weights=False, **hub_arguments))

    @property
    def name(self) -> str | None:
        """What stands as `codec`, as `Codec.from_pretrained` takes it; None where nothing does.

        Raises:
            InputError: where that is no name.
        """
        name = self.config.get("codec")
        if name is not None and not (isinstance(name, str) and name):
            raise InputError(
                f"its config names {name!r} as codec; expected a folder, a hub id or a built-in model",
                subject=self._llm,
            )
        return name

    @property
    def identity(self) -> CodecIdentity | None:
        """What stands as `codec_identity`; None where nothing does, as in the published models.

        Raises:
            InputError: where that identifies no model.
        """
        told = self.config.get("codec_identity")
        try:
            return None if told is None else CodecIdentity(**told)
        except (TypeError, CodesError) as error:
            raise InputError(f"its config's codec_identity tells no model: {error}", subject=self._llm) from None
