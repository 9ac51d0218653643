"""What a conversion made of each tensor."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ConversionReport"]


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion made of each tensor.

    Attributes:
        source: the file or folder that was read.
        layout: "original" or "transformers".
        kept: for each tensor of the result, the tensors of the source that it was made of.
        folded: tensors of the result made by folding a weight norm.
        permuted: query and key projections whose rows went from interleaved to half-split rotary pairs.
        dropped: for each tensor of the source that was left out, why.
        num_kept: numbers in the result: its parameters and, of X-Codec, its codebooks.
        num_dropped: parameters and constants that were left out.
        family: as people write its name.
        decodes: the model whose codes the result decodes, if it was told.
    """

    source: str
    layout: str
    kept: Mapping[str, tuple[str, ...]]
    folded: tuple[str, ...]
    permuted: tuple[str, ...]
    dropped: Mapping[str, str]
    num_kept: int
    num_dropped: int
    family: str
    decodes: str | None = None

    def __str__(self) -> str:
        """Return the report as a few lines of text."""
        lines = [
            f"{self.source}: an {self.family} checkpoint in {self.layout} layout",
            f"  kept      {len(self.kept):5} tensors, {self.num_kept:,} numbers",
            f"  folded    {len(self.folded):5} weight norms into the weights they scale",
            f"  permuted  {len(self.permuted):5} query and key projections to half-split rotary pairs",
            f"  dropped   {len(self.dropped):5} tensors, {self.num_dropped:,} numbers",
        ]
        if not self.permuted:
            del lines[3]
        if self.decodes is not None:
            lines.insert(1, f"  decodes   the codes of {self.decodes}")
        lines += [f"    {count:9}   {reason}" for reason, count in Counter(self.dropped.values()).most_common()]
        return "\n".join(lines)
