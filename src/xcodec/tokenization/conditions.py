"""Conditions on figures, as text: `snr > 15 and clipping < 0.01`."""

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from xcodec.errors import InputError

__all__ = ["Condition", "parse_conditions"]

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Condition:
    """What a figure has to be.

    Args:
        name: of the figure.
        comparison: one of <, <=, > and >=.
        bound: with which it is compared.
    """

    name: str
    comparison: str
    bound: float

    def __str__(self) -> str:
        return f"{self.name} {self.comparison} {self.bound:g}"

    def is_met(self, figures: Mapping[str, float | None]) -> bool:
        """Whether a recording with these figures meets it; a figure that is not known does not."""
        value = figures[self.name]
        return value is not None and _COMPARISONS[self.comparison](value, self.bound)


def parse_conditions(text: str, names: Collection[str]) -> tuple[Condition, ...]:
    """Understand conditions, all of which are to be met.

    Args:
        text: comparisons of a name with a number, joined by `and`.
        names: those that may be compared.

    Raises:
        InputError: for anything else.
    """
    found = []
    for part in re.split(r"\band\b", text):
        match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\S+)\s*", part)
        if match is None:
            raise InputError(
                "expected comparisons of a figure with a number by <, <=, > or >=, joined by `and`, such as "
                "'snr > 15 and clipping < 0.01'",
                argument="where",
                value=text,
            )
        name, comparison, number = match.groups()
        if name not in names:
            raise InputError(
                f"no figure is called {name!r}; there are {', '.join(names)}", argument="where", value=text
            )
        found.append(Condition(name, comparison, finite(number, text)))
    return tuple(found)


def finite(number: str, text: str) -> float:
    """Understand a number.

    Raises:
        InputError: where it is none, or not finite.
    """
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{number!r} is no number", argument="where", value=text)
    return value
