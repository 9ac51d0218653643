"""The registry: the one list of the codecs here, and which of them a checkpoint is of."""

from collections.abc import Iterable
from dataclasses import dataclass

from xcodec.models import (
    causal_xcodec2,
    distill_neucodec,
    harmonic_xcodec,
    harmonic_xcodec2,
    higgs_audio_v2_tokenizer,
    neucodec,
    xcodec,
    xcodec2,
    xcodec_vocos,
)
from xcodec.models.family import Family
from xcodec.models.stored import Stored, unwrapped

__all__ = ["FAMILIES", "Layout", "family_of", "layout_of"]

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        causal_xcodec2.FAMILY,  # before X-Codec2, all of whose names it may have too
        distill_neucodec.FAMILY,  # before X-Codec2, all of whose names it has too
        harmonic_xcodec.FAMILY,  # before X-Codec, likewise
        harmonic_xcodec2.FAMILY,  # likewise
        xcodec2.FAMILY,
        neucodec.FAMILY,
        higgs_audio_v2_tokenizer.FAMILY,  # before X-Codec, all of whose names it has too
        xcodec_vocos.FAMILY,  # likewise
        xcodec.FAMILY,
    )
}
"""The codecs of this package, by the model_type of their configurations."""


@dataclass(frozen=True)
class Layout:
    """What the names of a checkpoint's tensors tell.

    Attributes:
        family: the codec.
        is_original: whether the names are its authors'; if not, they are transformers', which are used here.
    """

    family: Family
    is_original: bool


def layout_of(stored: Stored) -> Layout | None:
    """Tell a checkpoint's codec and layout by the names of its tensors; None where they are of no codec here.

    Where several codecs share their names, config.json says which of them it is; the first one, if it says nothing.
    """
    names = [unwrapped(name) for name in stored.tensors]
    # Of the two layouts of X-Codec, the original one has names that the other has too: originals come first.
    found = [Layout(family, True) for family in FAMILIES.values() if any_begins(names, family.original_names)]
    found = found or [Layout(family, False) for family in FAMILIES.values() if any_begins(names, family.names)]
    said = stored.config.get("model_type")
    return next((layout for layout in found if layout.family.model_type == said), found[0] if found else None)


def any_begins(names: Iterable[str], beginnings: tuple[str, ...]) -> bool:
    """Whether any of the names begins in one of these ways."""
    return any(name.startswith(beginnings) for name in names)


def family_of(stored: Stored) -> Family | None:
    """Tell the family of a checkpoint by its tensors' names or, where these tell none, by its configuration."""
    layout = layout_of(stored)
    if layout is not None:
        return layout.family
    said = stored.config.get("model_type")
    return FAMILIES.get(said) if isinstance(said, str) else None
