"""A table from one spelling of a checkpoint's tensor names to another, read in either direction."""

import re
from collections.abc import Sequence

__all__ = ["KeyMap", "Pattern"]

SLOT = re.compile(r"\{(?P<name>[a-z]+)(?P<offset>[+-]\d+)?\}|\*")


class Pattern:
    """A tensor name with slots: `*` for any text, `{b}` for a number, `{b-1}` for that number less one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.slots = [(slot["name"] or "*", int(slot["offset"] or 0)) for slot in SLOT.finditer(text)]
        literals = [re.escape(literal) for literal in re.split(r"\{[^}]*\}|\*", text)]
        groups = ["(.+)" if name == "*" else r"(\d+)" for name, _ in self.slots]
        self._regex = re.compile("".join(a + b for a, b in zip(literals, [*groups, ""], strict=True)))

    def match(self, name: str) -> dict[str, str | int] | None:
        """Return what the slots hold where `name` has this shape, else None."""
        found = self._regex.fullmatch(name)
        if found is None:
            return None
        slots = zip(self.slots, found.groups(), strict=True)
        return {slot: text if slot == "*" else int(text) - offset for (slot, offset), text in slots}

    def fill(self, values: dict[str, str | int]) -> str:
        """Return the name whose slots hold `values`."""

        def text(slot: re.Match[str]) -> str:
            value = values[slot["name"] or "*"]
            return value if isinstance(value, str) else str(value + int(slot["offset"] or 0))

        return SLOT.sub(text, self.text)


class KeyMap:
    """Pairs of patterns; the first pair that matches a name renames it."""

    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        self.rows = [(Pattern(source), Pattern(target)) for source, target in rows]

    def rename(self, name: str) -> str | None:
        """Return the name on the right of the table for one on the left, or None."""
        for source, target in self.rows:
            if (values := source.match(name)) is not None:
                return target.fill(values)
        return None

    def trace(self, name: str) -> str | None:
        """Return the name on the left of the table for one on the right, or None."""
        for source, target in self.rows:
            if (values := target.match(name)) is not None:
                return source.fill(values)
        return None
