"""The model whose codes a decoder was trained for: named, and seen to have the encoder that makes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from xcodec.codes import CodecIdentity, Codes
from xcodec.conversion.checkpoint import Checkpoint
from xcodec.errors import CheckpointError, InputError, some_of
from xcodec.models.identity import fingerprint_tensors

__all__ = ["Maker", "decoding"]

CODES_SUFFIX = ".codes"
ROUNDINGS = 8  # steps of a dtype by which equal weights may differ, as where weight norms were folded elsewhere


@dataclass(frozen=True)
class Maker:
    """A model whose codes another one decodes.

    Attributes:
        identity: which model it is; where it decodes another's codes itself, which model that is.
        checkpoint: its own; None where only codes that it made are there.
    """

    identity: CodecIdentity
    checkpoint: Checkpoint | None = None

    @classmethod
    def find(cls, source: str | Path, name: str, read: Callable[[], Checkpoint]) -> "Maker":
        """Tell the maker of codes.

        Args:
            source: its checkpoint, or a `.codes` file that it made.
            name: what to call it.
            read: reads the checkpoint, where it is one.

        Raises:
            InputError: for codes that do not say which model made them.
            CodesError: where these cannot be read.
            CheckpointError: as `read` raises it.
        """
        path = Path(source).expanduser()
        if path.suffix == CODES_SUFFIX and path.is_file():
            identity = Codes.load(path).codec
            if identity is None:
                raise InputError(
                    "the codes do not say which model made them",
                    argument="decodes",
                    value=str(source),
                    remedy="give the model's checkpoint, or codes that xcodec encoded",
                )
            return cls(identity)
        checkpoint = read()
        if (decoded := checkpoint.config.decodes) is not None:
            return cls(CodecIdentity(**decoded), checkpoint)
        return cls(fingerprint_tensors(checkpoint.tensors, checkpoint.config, name), checkpoint)


def decoding(checkpoint: Checkpoint, maker: Maker) -> Checkpoint:
    """Give a checkpoint that says in its configuration whose codes it decodes.

    Raises:
        CheckpointError: where it has an encoder that makes other codes than the maker's.
    """
    if maker.checkpoint is not None and checkpoint.config.has_encoder:
        check_same_encoder(checkpoint, maker.checkpoint, maker.identity.name)
    checkpoint.config.decodes = vars(maker.identity)
    return replace(checkpoint, report=replace(checkpoint.report, decodes=str(maker.identity)))


def check_same_encoder(checkpoint: Checkpoint, other: Checkpoint, name: str) -> None:
    """Refuse a checkpoint whose encoder is not the other's, but for rounding."""
    ours, theirs = checkpoint.config.code_architecture(), other.config.code_architecture()
    different = [field for field in sorted(ours.keys() | theirs.keys()) if ours.get(field) != theirs.get(field)]
    if not different:
        mine, wanted = encoder_of(checkpoint), encoder_of(other)
        different = [key for key in sorted(mine.keys() | wanted.keys()) if not alike(mine.get(key), wanted.get(key))]
    if different:
        raise CheckpointError(
            f"the encoder is not that of {name}, so the codes are others; they differ in {some_of(different, 4)}",
            argument="decodes",
            remedy="name the model that it was trained with, or leave it out for a codec of its own codes",
        )


def encoder_of(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """The tensors that decide codes: all but the decoder's."""
    decoder = checkpoint.family.model.decoder_parts
    return {name: x for name, x in checkpoint.tensors.items() if name.partition(".")[0] not in decoder}


def alike(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two tensors hold the same numbers, in the coarser of their dtypes."""
    if a is None or b is None or a.shape != b.shape:
        return False
    coarser = max(a.dtype, b.dtype, key=lambda dtype: torch.finfo(dtype).eps)
    a, b = a.to(coarser).float(), b.to(coarser).float()
    return torch.allclose(a, b, rtol=ROUNDINGS * torch.finfo(coarser).eps, atol=torch.finfo(coarser).tiny)
