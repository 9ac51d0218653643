"""A sample of an output, encoded again and compared code by code; where a recording is away, its codes are decoded."""

import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xcodec.audio import Audio
from xcodec.errors import AudioError, InputError, XcodecError
from xcodec.tokenization.headers import ShardHeader
from xcodec.tokenization.inputs import ENTRY
from xcodec.tokenization.model import describe
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.readers import ReaderPool
from xcodec.tokenization.tokens import Row, Tokens
from xcodec.tokenization.verification import Fault, Verification

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["SampledRow", "check_same_codec", "check_sample", "sampled_rows"]


def check_same_codec(plan: Plan, codec: "Codec", bandwidth: float | None) -> None:
    """Refuse another codec than the plan's; a newer version of this package is welcome.

    Raises:
        InputError: names what differs.
    """
    plan.check_codec(describe(codec, bandwidth) | {"xcodec": plan.fingerprint.codec.get("xcodec")})


class SampledRow:
    """A recording of the sample.

    Args:
        number: of its shard.
        row: with its codes.
        entry: where it is, as it was planned.
        is_cut: whether the row may be a piece of it.
    """

    def __init__(self, number: int, row: Row, entry: Mapping[str, Any], is_cut: bool) -> None:
        self.number, self.row, self.entry, self.is_cut = number, row, entry, is_cut

    def of(self, audio: Audio) -> Audio:
        """The row's part of its recording, where that was cut; else all of it."""
        if not self.is_cut:
            return audio
        first, last = (self.row.carried[name] - self.entry["start"] for name in ("start", "end"))
        span = slice(*(round(each * audio.sampling_rate) for each in (first, last)))
        return Audio(audio.samples[..., span], audio.sampling_rate)


def sampled_rows(tokens: Tokens, done: Mapping[int, ShardHeader], count: int, seed: int) -> Iterator[SampledRow]:
    """Draw so many recordings of all that have codes, in the plan's order; the same of the same output and seed.

    Those in files that cannot be read are left out.
    """
    total = sum(header.rows for header in done.values())
    drawn = sorted(random.Random(seed).sample(range(total), min(count, total)))
    first = 0
    for number, header in done.items():
        wanted = {each - first for each in drawn if first <= each < first + header.rows}
        first += header.rows
        if not wanted:
            continue
        try:
            rows = [row for i, row in enumerate(tokens.shard(number)) if i in wanted]
        except (XcodecError, ValueError):
            continue
        planned = tokens.plan.shard(number)
        columns = planned.select([name for name in ENTRY.names if name in planned.schema.names])
        entries = {each["id"]: dict.fromkeys(ENTRY.names) | each for each in columns.to_pylist()}
        treatment = tokens.plan.fingerprint.treatment
        for row in rows:
            entry = entries.get(row.carried["parent"] if treatment.is_cut else row.id)
            if entry is not None:
                yield SampledRow(number, row, entry, treatment.is_cut)


def check_sample(
    tokens: Tokens,
    codec: "Codec",
    pool: ReaderPool,
    report: Verification,
    *,
    count: int,
    seed: int = 0,
    bandwidth: float | None = None,
    differ: float = 0.0,
) -> None:
    """Encode a sample again, or decode it.

    Args:
        tokens: an output.
        codec: that made it, encoder and decoder.
        pool: reads recordings.
        report: takes what is found.
        count: of recordings.
        seed: of which they are.
        bandwidth: in kbit/s, that it was made with.
        differ: the share of a recording's codes that may differ, 0 to 1.
    """
    for sampled in sampled_rows(tokens, tokens.plan.survey().done, count, seed):
        row = sampled.row
        [sound] = pool.read([sampled.entry])
        try:
            if isinstance(sound, AudioError):
                decode(tokens, codec, row)
                report.decoded += 1
                continue
            again = codec.encode(sampled.of(sound.audio), bandwidth=bandwidth).ids
        except XcodecError as error:
            report.faults.append(Fault.of(error, row.id, remedy(tokens, sampled.number)))
            continue
        report.compared += 1
        if problem := difference(row.codes, again, differ):
            report.faults.append(Fault(row.id, problem, remedy(tokens, sampled.number)))


def decode(tokens: Tokens, codec: "Codec", row: Row) -> None:
    """Decode a row.

    Raises:
        XcodecError: where that fails, or gives something else than sound of its length.
    """
    codes = tokens.codes(row)
    audio = codec.decode(codes)
    if audio.num_samples != codes.num_samples or not np.isfinite(audio.samples).all():
        raise InputError(f"is decoded to {audio.num_samples} samples, expected {codes.num_samples} finite ones")


def difference(was: np.ndarray, now: np.ndarray, allowed: float) -> str:
    """Say how the codes of a recording differ from those that it has now; empty where they may."""
    if was.shape != now.shape:
        return f"has {was.shape[0]} x {was.shape[1]} codes, and its recording gives {now.shape[0]} x {now.shape[1]}"
    other = was != now
    if other.mean() <= allowed:
        return ""
    frame = int(np.flatnonzero(other.any(axis=0))[0])
    return f"{other.sum():,} of {other.size:,} codes are not those of its recording, from frame {frame} on"


def remedy(tokens: Tokens, number: int) -> str:
    """What to do where codes are not those of their recording."""
    plan = tokens.plan
    return (
        f"delete {plan.store.called(plan.output(number))} and run `xcodec tokenize -o {plan.store}` again; codes of "
        "another device or in half precision may differ a little: allow that with differ=0.01"
    )
