"""What a checkpoint does not tell itself."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from xcodec.errors import InputError
from xcodec.models.family import Family
from xcodec.models.stored import Stored

__all__ = ["Told"]


@dataclass(frozen=True)
class Told:
    """What the caller tells of a checkpoint that it does not tell itself; None where the caller does not either.

    Attributes:
        config: as for `xcodec.conversion.read_checkpoint`, and so are the next five.
        semantic_encoder: likewise.
        num_semantic_layers: likewise.
        num_attention_heads: likewise.
        model_type: likewise.
        codes_per_second: likewise.
        fetch_semantic_encoder: where an original lacks its semantic encoder, take the one that its authors' code takes.
        hub_arguments: of the hub, for the semantic encoder.
    """

    config: str | Path | None = None
    semantic_encoder: str | Path | None = None
    num_semantic_layers: int | None = None
    num_attention_heads: int | None = None
    model_type: str | None = None
    codes_per_second: float | None = None
    fetch_semantic_encoder: bool = False
    hub_arguments: Mapping[str, Any] = field(default_factory=dict)

    def check(self, used: Collection[str], found: Stored, family: Family, reason: str) -> None:
        """Refuse what there is no use for.

        Args:
            used: names of what there is a use for.
            found: what is told of.
            family: that it is of; whoever says just that is right.
            reason: why there is no other.

        Raises:
            InputError: names what was told.
        """
        for name in (
            each.name for each in fields(self) if each.name not in ("fetch_semantic_encoder", "hub_arguments")
        ):
            value = getattr(self, name)
            if value is not None and name not in used and (name, value) != ("model_type", family.model_type):
                raise InputError(reason, subject=found.name, argument=name, value=value)
