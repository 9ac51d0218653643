"""What an output of `xcodec tokenize` holds, in figures: lengths, quality, use of the codebooks, failures."""

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from xcodec.evaluation.codebook import CodebookUse, CodeCounter
from xcodec.tokenization.headers import Failure
from xcodec.tokenization.quality import QUALITY
from xcodec.tokenization.readers import SlowRead, slowest_of
from xcodec.tokenization.status import RunStatus, Standing, failure_class, read_runs
from xcodec.tokenization.tokens import Tokens, batches_of

__all__ = ["DataSet", "FailureClass", "Histogram", "measure_data_set"]

_BARS = 48
_OUTLIERS = 0.005  # share of the values beyond either end of a histogram
_EXAMPLES = 3  # of a class of failures


@dataclass(frozen=True)
class Histogram:
    """How values are spread.

    Args:
        name: of the values.
        low: of the first bar; what is below it is counted there.
        high: of the last bar; what is above it is counted there.
        counts: of each bar.
        median: of all values.
        least: of all values.
        most: of all values.
        missing: recordings without a value.
    """

    name: str
    low: float
    high: float
    counts: tuple[int, ...]
    median: float
    least: float
    most: float
    missing: int

    @classmethod
    def of(cls, name: str, values: np.ndarray) -> "Histogram | None":
        """Count values, of which NaN are missing; None where all are."""
        there = values[~np.isnan(values)]
        if not len(there):
            return None
        low, median, high = (float(each) for each in np.quantile(there, [_OUTLIERS, 0.5, 1 - _OUTLIERS]))
        if low == high:
            low, high = low - 0.5, high + 0.5
        counts, _ = np.histogram(there.clip(low, high), _BARS, (low, high))
        least, most = float(there.min()), float(there.max())
        return cls(name, low, high, tuple(counts.tolist()), median, least, most, len(values) - len(there))

    def bars(self) -> Iterator[tuple[float, str]]:
        """The height of each bar, in percent of the highest, and what it stands for."""
        width = (self.high - self.low) / len(self.counts)
        for i, count in enumerate(self.counts):
            first, last = self.low + i * width, self.low + (i + 1) * width
            yield 100 * count / max(self.counts), f"{first:.4g} to {last:.4g}: {count:,}"


@dataclass(frozen=True)
class FailureClass:
    """Failures that are alike.

    Args:
        name: what they have in common.
        count: how many there are.
        examples: the first few.
    """

    name: str
    count: int
    examples: tuple[Failure, ...]


@dataclass(frozen=True)
class DataSet:
    """What an output holds.

    Args:
        standing: how far it is.
        lengths: of the recordings, in seconds; None where none has codes.
        quality: the columns that tell of it.
        codebooks: the use of each.
        failures: the classes, the largest first.
        runs: that have worked on it.
        slowest: the files that took longest to read.
    """

    standing: Standing
    lengths: Histogram | None
    quality: tuple[Histogram, ...]
    codebooks: tuple[CodebookUse, ...]
    failures: tuple[FailureClass, ...]
    runs: tuple[RunStatus, ...]
    slowest: tuple[SlowRead, ...]


def measure_data_set(tokens: Tokens, levels: Sequence[int] = ()) -> DataSet:
    """Read all of an output. Memory holds 8 bytes for each recording and column.

    Args:
        tokens: of the output, which need not be finished.
        levels: of the codec's finite scalar quantizer, if it has one.

    Raises:
        InputError: where a file of codes is damaged, or not of the plan.
    """
    plan = tokens.plan
    survey = plan.survey()
    survey.check()
    sizes = tokens.codec["codebook_sizes"]
    counters = [CodeCounter(size, levels) for size in sizes]
    further = tokens.further
    numeric = [name for name in QUALITY if name in further.names and pa.types.is_floating(further.field(name).type)]
    values = {name: array("d") for name in ("seconds", *numeric)}
    for number in survey.done:
        for batch in batches_of(plan.store, plan.output(number), ["codes", *values]):
            for counter, ids in zip(counters, codebooks_of(batch["codes"], len(sizes)), strict=True):
                counter.add(ids)
            for name, column in values.items():
                column.frombytes(batch[name].cast(pa.float64()).fill_null(math.nan).to_numpy().tobytes())
    runs = read_runs(plan.store)
    spread = {name: Histogram.of(name, np.asarray(column)) for name, column in values.items()}
    return DataSet(
        standing=Standing.of(plan),
        lengths=spread["seconds"],
        quality=tuple(each for name in numeric if (each := spread[name]) is not None),
        codebooks=tuple(counter.use() for counter in counters if counter.counts.any()),
        failures=tuple(classes_of(failure for header in survey.done.values() for failure in header.failures)),
        runs=tuple(runs),
        slowest=slowest_of(read for run in runs for read in run.slowest),
    )


def codebooks_of(codes: pa.Array, count: int) -> Iterator[np.ndarray]:
    """The ids of each codebook in some rows, one recording after the other."""
    if count == 1:
        yield codes.flatten().to_numpy()
        return
    lists = codes.flatten()
    for codebook in range(count):
        yield lists.take(pa.array(np.arange(codebook, len(lists), count))).flatten().to_numpy()


def classes_of(failures: Iterator[Failure]) -> Iterator[FailureClass]:
    """Failures by what they have in common, the largest classes first."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[Failure]] = {}
    for failure in failures:
        name = failure_class(failure)
        counts[name] += 1
        if counts[name] <= _EXAMPLES:
            examples.setdefault(name, []).append(failure)
    for name, count in counts.most_common():
        yield FailureClass(name, count, tuple(examples[name]))
