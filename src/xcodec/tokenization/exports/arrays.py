"""A tree of .npy files like the input's tree of recordings."""

from pathlib import Path

import numpy as np

from xcodec.files import written_whole
from xcodec.tokenization.tokens import Tokens, path_below

__all__ = ["export_arrays"]


def export_arrays(tokens: Tokens, folder: Path) -> int:
    """Write ID.npy for each recording: uint16 of shape (T,), or (K, T) for several codebooks."""
    tokens.check_finished()
    count = 0
    for row in tokens.rows():
        path = path_below(folder, row.id, ".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part, part.open("wb") as file:
            np.save(file, row.codes[0] if len(row.codes) == 1 else row.codes)
        count += 1
    return count
