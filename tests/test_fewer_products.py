"""benchmarks/fewer_products.py: each way that it compares is the convolution, exactly."""

import runpy
from fractions import Fraction
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "fewer_products.py"
PARTS = runpy.run_path(str(SCRIPT))


def applied(matrix: list[list[Fraction]], given: list[Fraction]) -> list[Fraction]:
    """Multiply a matrix by a column."""
    return [sum((a * b for a, b in zip(row, given, strict=True)), Fraction(0)) for row in matrix]


@pytest.mark.parametrize("name", PARTS["WAYS"])
def test_a_way_is_the_convolution_in_fractions(name: str) -> None:
    way = PARTS["WAYS"][name]
    steps = [Fraction(3 * i * i - 7 * i + 1) for i in range(len(way.steps[0]))]
    taps = [*(Fraction(5 - 2 * k * k + k) for k in range(7)), Fraction(0)][: len(way.taps[0])]
    seen, weight = applied(way.steps, steps), applied(way.taps, taps)
    products = [a * b for a, b in zip(seen, weight, strict=True)]
    assert applied(way.outputs, products) == [
        sum(taps[k] * steps[i + k] for k in range(7)) for i in range(len(way.outputs))
    ]
