"""Hashes of big checkpoints, kept in the user's cache, so that not every process reads gigabytes to name its model."""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xcodec.files import written_whole

__all__ = ["KnownHashes"]

LEAST_BYTES = 1 << 28  # a fifth of a second; less is not worth a file
SETTLED = 2.0  # seconds; a file that was changed a moment ago may be changed again with no other time to show for it


@dataclass(frozen=True)
class KnownHashes:
    """A folder of hashes, each under what tells whether its checkpoint is still the same.

    Attributes:
        folder: where they are; None keeps nothing.
        least_bytes: checkpoints that are smaller are hashed every time.
    """

    folder: Path | None
    least_bytes: int = LEAST_BYTES

    @classmethod
    def of_user(cls) -> "KnownHashes":
        """Those in the folder that XCODEC_CACHE names, empty for none; else in the cache of whoever runs this."""
        named = os.environ.get("XCODEC_CACHE")
        if named is not None:
            return cls(Path(named) / "hashes" if named else None)
        try:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        except RuntimeError:  # nobody's home
            return cls(None)
        return cls(cache / "xcodec" / "hashes")

    def get(self, files: Sequence[Path], unused_tensors: Collection[str], compute: Callable[[], str]) -> str:
        """The hash of the tensors in `files`: as it is known, or computed and kept.

        Args:
            files: all of the checkpoint's weights.
            unused_tensors: names of tensors that do not count in it.
            compute: works it out.
        """
        if self.folder is None or sum(path.stat().st_size for path in files) < self.least_bytes:
            return compute()
        key, started = key_of(files, unused_tensors), time.time()
        known = self.folder / key
        with suppress(OSError, UnicodeDecodeError):
            if re.fullmatch("[0-9a-f]{64}", text := known.read_text(encoding="ascii")):
                return text
        found = compute()
        if key_of(files, unused_tensors) == key and last_change(files) < started - SETTLED:
            with suppress(OSError):  # a home that cannot be written is no reason to fail
                self.folder.mkdir(parents=True, exist_ok=True)
                with written_whole(known) as part:
                    part.write_text(found, encoding="ascii")
        return found


def key_of(files: Sequence[Path], unused_tensors: Collection[str]) -> str:
    """A name for files as they are: where, which, how long, and when they were changed."""
    found = [(path.resolve(), path.stat()) for path in files]
    told = [[str(path), s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for path, s in found]
    return hashlib.sha256(json.dumps([told, sorted(unused_tensors)]).encode()).hexdigest()


def last_change(files: Sequence[Path]) -> float:
    """When the last of the files was changed, in seconds."""
    return max(max(path.stat().st_mtime, path.stat().st_ctime) for path in files)
