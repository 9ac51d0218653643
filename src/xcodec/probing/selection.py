"""Which probes are made, and what is missing for the others."""

from collections.abc import Callable, Sequence

from xcodec.errors import InputError, MissingExtraError
from xcodec.evaluation.metric import Missing
from xcodec.probing.damage import CodeDamage
from xcodec.probing.probe import Probe
from xcodec.probing.quality import Quality
from xcodec.probing.repetition import RepeatEncoding
from xcodec.probing.robustness import Robustness
from xcodec.probing.shift import FrameShift
from xcodec.probing.usage import Usage

__all__ = ["PROBES", "select_probes"]

PROBES = {
    "robustness": "unit edit distance under noise, gain, resampling and MP3",
    "shift": "codes of a recording that begins a little later",
    "repetition": "ten generations of encoding and decoding",
    "damage": "flipped bits and lost frames",
    "usage": "entropy, bits used of bits paid, Zipf exponent",
}
"""What each looks at, by the name that `--probe` has for it, in the order of reports."""


def select_probes(names: Sequence[str], depth: int) -> tuple[list[Probe], list[Missing]]:
    """Make the probes that can be made, and tell of every other how to get it.

    Args:
        names: those that are wanted, of `PROBES`; all where there are none.
        depth: how many codebooks the codec with the most has.

    Raises:
        InputError: for a name that is not known.
    """
    if unknown := sorted(set(names) - set(PROBES)):
        raise InputError(f"there is no probe {unknown[0]}; expected {', '.join(PROBES)}", argument="probe")
    makers: dict[str, Callable[[], Probe]] = {
        "robustness": lambda: Robustness(depth),
        "shift": lambda: FrameShift(depth),
        "repetition": lambda: RepeatEncoding(depth, Quality()),
        "damage": lambda: CodeDamage(Quality()),
        "usage": Usage,
    }
    probes: list[Probe] = []
    missing: list[Missing] = []
    for name in PROBES:
        if names and name not in names:
            continue
        try:
            probes.append(makers[name]())
        except MissingExtraError as error:
            missing.append(Missing(PROBES[name], error.remedy or error.problem))
    return probes, missing
