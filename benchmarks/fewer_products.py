"""Ways to convolve 7 taps in fewer products: how many each takes, and what it costs in exactness.

    python benchmarks/fewer_products.py [--channels 48 192 768] [--tiles 64] [--seed 0]

Each way is made in fractions and computed in float32, its combinations of the weight in float64 and then rounded, sums
of 64 channels by themselves, as the kernel does. Errors are root mean squares against float64 over those of the
definition's sums in float32, added up alike; of noise, and of noise whose steps resemble their neighbours. It needs
numpy alone.
"""

import argparse
import math
import os
import platform
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from importlib.metadata import version

import numpy as np

Matrix = list[list[Fraction]]

DEEPEST = 64
TAPS = 7


@dataclass(frozen=True)
class Way:
    """Outputs are products of combinations: outputs @ ((steps @ x) * (taps @ weight)).

    Attributes:
        steps: of the input that a tile sees, (products, seen).
        taps: of the weight, (products, taps).
        outputs: of the products, (outputs, products).
    """

    steps: Matrix
    taps: Matrix
    outputs: Matrix


ONE: Matrix = [[Fraction(1)]]


def toom(steps: int, taps: int, points: list[Fraction]) -> Way:
    """Give the way by the values of polynomials at some points and at infinity, which makes so many steps of output.

    It is the transpose of a product of polynomials of `steps` and `taps` coefficients, found from its values.
    """
    assert len(points) == steps + taps - 2, "one fewer than the steps seen, beside infinity"
    factors = [[-point, Fraction(1)] for point in points]
    seen, weight = [], []
    for k, point in enumerate(points):
        others = [factor for i, factor in enumerate(factors) if i != k]
        row = [*reduce(polynomial_product, others), Fraction(0)]
        whole = math.lcm(*(coefficient.denominator for coefficient in row))  # so that float32 holds them
        scale = whole * math.prod(point - other for i, other in enumerate(points) if i != k)
        seen.append([whole * coefficient for coefficient in row])
        weight.append([point**i / scale for i in range(taps)])
    seen.append(reduce(polynomial_product, factors))
    weight.append([Fraction(0)] * (taps - 1) + [Fraction(1)])
    outputs = [[*(point**i for point in points), Fraction(int(i == steps - 1))] for i in range(steps)]
    return Way(seen, weight, outputs)


def polynomial_product(first: list[Fraction], second: list[Fraction]) -> list[Fraction]:
    """Multiply polynomials, lowest power first."""
    found = [Fraction(0)] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            found[i + j] += a * b
    return found


def split(half: Way) -> Way:
    """Give the way that has even and odd steps and taps apart: three times `half`, for twice its outputs and its taps.

    With e and o the steps of either kind, y[2 i] = F0 e[i] + F1 o[i] and y[2 i + 1] = F0 o[i] + F1 e[i + 1], so both
    take (F0 + F1) o, and then F0 (e[i] - o[i]) and F1 (e[i + 1] - o[i]).
    """
    seen, taps, products = len(half.steps[0]), len(half.taps[0]), len(half.taps)
    odd, even, later = ([unit(2 * i + offset, 2 * seen + 1) for i in range(seen)] for offset in (1, 0, 2))
    f0, f1 = ([unit(2 * k + offset, 2 * taps) for k in range(taps)] for offset in (0, 1))
    steps = [*times(half.steps, odd), *times(half.steps, less(even, odd)), *times(half.steps, less(later, odd))]
    both = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(f0, f1, strict=True)]
    weight = [*times(half.taps, both), *times(half.taps, f0), *times(half.taps, f1)]
    none = [Fraction(0)] * products
    outputs = [line for row in half.outputs for line in (row + row + none, row + none + row)]
    return Way(steps, weight, outputs)


def unit(place: int, length: int) -> list[Fraction]:
    return [Fraction(int(i == place)) for i in range(length)]


def less(first: Matrix, second: Matrix) -> Matrix:
    return [[a - b for a, b in zip(*rows, strict=True)] for rows in zip(first, second, strict=True)]


def times(first: Matrix, second: Matrix) -> Matrix:
    columns = list(zip(*second, strict=True))
    return [
        [sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0)) for column in columns] for row in first
    ]


def points(*values: float) -> list[Fraction]:
    return [Fraction(value) for value in values]


WAYS = {
    "2 steps of 7 taps: 0, 1, -1, 2, -2, 1/2, -1/2 and infinity": toom(2, 7, points(0, 1, -1, 2, -2, 0.5, -0.5)),
    "4 steps of 7 taps: those, 4 and -4": toom(4, 7, points(0, 1, -1, 2, -2, 0.5, -0.5, 4, -4)),
    "4 steps of 7 taps: those, 4 and -1/4": toom(4, 7, points(0, 1, -1, 2, -2, 0.5, -0.5, 4, -0.25)),
    "even and odd apart (3 for 4), three times": split(split(split(Way(ONE, ONE, ONE)))),
    "even and odd apart, then 3 steps of 4 taps: 0, 1, -1, 2, -1/2 and infinity": split(
        toom(3, 4, points(0, 1, -1, 2, -0.5))
    ),
    "even and odd apart, then 4 steps of 4 taps: 0, 1, -1, 2, -2, -1/2 and infinity": split(
        toom(4, 4, points(0, 1, -1, 2, -2, -0.5))
    ),
}


def by_way(way: Way, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Convolve tiles `x` of (tiles, seen, channels) by (taps, channels, outputs) in float32."""
    steps, taps, outputs = (np.array(each, float) for each in (way.steps, way.taps, way.outputs))
    padded = np.pad(weight.astype(float), ((0, taps.shape[1] - len(weight)), (0, 0), (0, 0)))
    combined = np.einsum("pk,kcn->pcn", taps, padded).astype(np.float32)
    seen = np.einsum("ps,tsc->ptc", steps.astype(np.float32), x)
    found = np.zeros((len(steps), len(x), weight.shape[2]), np.float32)
    for first in range(0, x.shape[2], DEEPEST):
        block = slice(first, first + DEEPEST)
        found += seen[:, :, block] @ combined[:, block]
    return np.einsum("op,ptn->ton", outputs.astype(np.float32), found)


def by_definition(x: np.ndarray, weight: np.ndarray, steps: int) -> np.ndarray:
    """Do the same as the convolution is defined, in the dtype of both."""
    found = np.zeros((len(x), steps, weight.shape[2]), x.dtype)
    for first in range(0, x.shape[2], DEEPEST):
        block = slice(first, first + DEEPEST)
        for tap, each in enumerate(weight):
            found += x[:, tap : tap + steps, block] @ each[block]
    return found


def smoothed(noise: np.ndarray) -> np.ndarray:
    """Add to each step most of the one before it."""
    for i in range(1, noise.shape[1]):
        noise[:, i] = 0.95 * noise[:, i - 1] + 0.31 * noise[:, i]
    return noise


def error_ratio(way: Way, x: np.ndarray, weight: np.ndarray) -> float:
    steps = len(way.outputs)
    exact = by_definition(x.astype(float), weight.astype(float), steps)
    found, plain = by_way(way, x, weight), by_definition(x, weight, steps)
    return float(np.sqrt(np.square(found - exact).mean() / np.square(plain - exact).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", nargs="+", type=int, default=[48, 192, 768])
    parser.add_argument("--tiles", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}; numpy {version('numpy')}; {arguments}\n")
    print("| | products | saved | error, noise | error, smooth noise |\n|---|---|---|---|---|")
    for name, way in WAYS.items():
        rng, ratios = np.random.default_rng(arguments.seed), []
        for channels in arguments.channels:
            noise = rng.standard_normal((arguments.tiles, len(way.steps[0]), channels))
            weight = (rng.standard_normal((TAPS, channels, 64)) / np.sqrt(TAPS * channels)).astype(np.float32)
            inputs = noise.astype(np.float32), smoothed(noise).astype(np.float32)
            ratios.append([error_ratio(way, x, weight) for x in inputs])
        spreads = [f"{min(each):.1f} to {max(each):.1f}" for each in zip(*ratios, strict=True)]
        products, plain = len(way.steps), TAPS * len(way.outputs)
        print(f"| {name} | {products} for {plain} | {plain / products:.2f} | {' | '.join(spreads)} |", flush=True)


if __name__ == "__main__":
    main()
