"""Several sources as one."""

from collections.abc import Sequence

import numpy as np

from xcodec.training.data.dataset import ClipExcerpt, Dataset

__all__ = ["Mixture"]


class Mixture:
    """The clips of several sources, numbered through. The attributes are those of `Dataset`."""

    def __init__(self, members: Sequence[Dataset]) -> None:
        self.members = list(members)
        self.seconds = np.concatenate([member.seconds for member in self.members])
        self.sources = list(dict.fromkeys(name for member in self.members for name in member.sources))
        self.source_ids = np.concatenate(
            [np.array([self.sources.index(name) for name in m.sources])[m.source_ids] for m in self.members]
        )
        self.makers = {maker for member in self.members for maker in member.makers}
        self._firsts = np.cumsum([0, *(len(member.seconds) for member in self.members)])

    def excerpt(self, clip: int, start: float, seconds: float) -> ClipExcerpt:
        """Read a piece of a clip; it is shorter where the clip ends."""
        member = int(np.searchsorted(self._firsts, clip, "right")) - 1
        return self.members[member].excerpt(clip - int(self._firsts[member]), start, seconds)

    def hours(self) -> dict[str, float]:
        """Compute the hours of audio by origin."""
        counts = np.bincount(self.source_ids, weights=self.seconds, minlength=len(self.sources))
        return {name: float(count) / 3600 for name, count in zip(self.sources, counts, strict=True)}
