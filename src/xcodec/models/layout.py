"""Which codec a checkpoint is of, and who named its tensors: told by these names, whatever its config.json says."""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Layout", "layout_of", "unwrapped"]

WRAPPERS = ("module.", "model.")  # what DataParallel and training scripts put before every name


@dataclass(frozen=True)
class Layout:
    """What the names of a checkpoint's tensors tell.

    Attributes:
        model_type: of the family, as its configuration spells it: "xcodec2" or "xcodec".
        is_original: whether the names are the authors'; if not, they are transformers', which are used here.
    """

    model_type: str
    is_original: bool


# How names begin that only one layout has, and no other codec: DAC and EnCodec have quantizers of X-Codec's names.
# X-Codec's two layouts have others in common, so the original ones come first.
SIGNS: tuple[tuple[Layout, tuple[str, ...]], ...] = (
    (Layout("xcodec2", is_original=True), ("CodecEnc.", "generator.backbone.", "generator.quantizer.")),
    (Layout("xcodec", is_original=True), ("decoder_2.", "fc_post1.", "fc_post2.")),
    (Layout("xcodec2", is_original=False), ("semantic_adapter.", "fc_encoder.", "quantizer.project_in.")),
    (Layout("xcodec", is_original=False), ("encoder_semantic.", "decoder_semantic.")),
)


def layout_of(names: Iterable[str]) -> Layout | None:
    """Tell the layout of a checkpoint by the names of its tensors; None where they are of no codec known here."""
    plain = [unwrapped(name) for name in names]
    return next((layout for layout, signs in SIGNS if any(name.startswith(signs) for name in plain)), None)


def unwrapped(name: str) -> str:
    """The name of a tensor without what torch.compile, DataParallel and training scripts add."""
    name = name.replace("_orig_mod.", "")
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name
