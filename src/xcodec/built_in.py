"""The models that come with the package: what they are called, and the folders that they are in."""

from pathlib import Path

__all__ = ["BUILT_IN", "MINI"]

MINI = "mini"
"""The one that nobody has to name."""

BUILT_IN = {name: Path(__file__).parent / name for name in (MINI, "mini-general")}
