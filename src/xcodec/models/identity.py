"""Which model a checkpoint is: hashes of what in its configuration decides outputs, and of its tensors' numbers."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from transformers import PreTrainedModel

from xcodec.codes import CodecIdentity
from xcodec.errors import InputError
from xcodec.models.known_hashes import KnownHashes
from xcodec.models.weights import read_tensors, weight_files

__all__ = ["fingerprint_checkpoint", "fingerprint_model", "fingerprint_tensors"]


class Architecture(Protocol):
    """A configuration that can tell what of it decides the model's outputs."""

    def architecture(self) -> dict[str, Any]:
        """Fields and values, of JSON's types."""


def fingerprint_checkpoint(
    folder: Path, config: Architecture, name: str, unused_tensors: Collection[str] = ()
) -> CodecIdentity:
    """Identify a stored checkpoint by its architecture and all numbers in its tensors, whatever dtype it is loaded in.

    Args:
        folder: of the checkpoint.
        config: as read from it. Who wrote the file, and fields that change no output, do not matter.
        name: what to call it.
        unused_tensors: names of tensors that do not count.
    """

    def compute() -> str:
        return hash_tensors((key, x) for key, x in read_tensors(folder).items() if key not in unused_tensors)

    hashed = KnownHashes.of_user().get(weight_files(folder), unused_tensors, compute)
    return CodecIdentity(name, hash_architecture(config), hashed)


def fingerprint_tensors(tensors: Mapping[str, Tensor], config: Architecture, name: str) -> CodecIdentity:
    """Identify a checkpoint in memory as `fingerprint_checkpoint` would once it was stored."""
    return CodecIdentity(name, hash_architecture(config), hash_tensors(tensors.items()))


def fingerprint_model(model: PreTrainedModel, name: str) -> CodecIdentity:
    """Identify a model in memory as `fingerprint_checkpoint` would once it was saved.

    Raises:
        InputError: for half a model, whose numbers are not all there.
    """
    if getattr(model, "is_half", False):
        raise InputError(
            "half a model does not tell which model it is",
            remedy="load it with Codec.from_pretrained, which reads that from the checkpoint, or give Codec "
            "the `identity`",
        )
    return fingerprint_tensors(model.state_dict(), model.config, name)


def hash_architecture(config: Architecture) -> str:
    """SHA-256 of what in a configuration decides the model's outputs."""
    return hashlib.sha256(json.dumps(config.architecture(), sort_keys=True).encode()).hexdigest()


def hash_tensors(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over the tensors in order of name: of each, its name, its shape, and its numbers as float32.

    Half precision is widened, which changes no number, so that it does not matter which of them stores the same ones.
    """

    def digest(item: tuple[str, Tensor]) -> bytes:
        name, tensor = item
        state = hashlib.sha256(f"{name}|{tuple(tensor.shape)}|".encode())
        state.update(tensor.detach().cpu().float().contiguous().numpy().data)
        return state.digest()

    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock
        return hashlib.sha256(b"".join(pool.map(digest, sorted(tensors, key=lambda item: item[0])))).hexdigest()
