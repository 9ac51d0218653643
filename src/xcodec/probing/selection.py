"""Which probes are made, and what is missing for the others."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from xcodec.errors import InputError, MissingExtraError
from xcodec.evaluation.metric import Missing
from xcodec.probing.abx import PhoneDiscrimination
from xcodec.probing.alignment import PhoneAligner
from xcodec.probing.damage import CodeDamage
from xcodec.probing.phones import PhoneInformation
from xcodec.probing.predictability import Predictability
from xcodec.probing.probe import Probe
from xcodec.probing.quality import Quality
from xcodec.probing.repetition import RepeatEncoding
from xcodec.probing.robustness import Robustness
from xcodec.probing.shift import FrameShift
from xcodec.probing.speaker import SpeakerLeakage
from xcodec.probing.usage import Usage

__all__ = ["PROBES", "check_names", "select_probes"]

PROBES = {
    "robustness": "unit edit distance under noise, gain, resampling and MP3",
    "shift": "codes of a recording that begins a little later",
    "repetition": "ten generations of encoding and decoding",
    "damage": "flipped bits and lost frames",
    "usage": "entropy, bits used of bits paid, Zipf exponent",
    "phones": "phone purity, mutual information, bits a phone",
    "abx": "ABX error rates of phones",
    "speaker": "a linear probe that tells the speaker",
    "predictability": "bits a second of a small language model",
}
"""What each looks at, by the name that `--probe` has for it, in the order of reports."""


def select_probes(
    names: Sequence[str], depth: int, speakers: Mapping[str, str], language: str, steps: int
) -> tuple[list[Probe], list[Missing]]:
    """Make the probes that can be made, and tell of every other how to get it.

    Args:
        names: those that are wanted, of `PROBES`; all where there are none.
        depth: how many codebooks the codec with the most has.
        speakers: of each clip whose speaker is known, by its name.
        language: of the transcripts, as espeak-ng calls it.
        steps: of training a language model.

    Raises:
        InputError: for a name or a language that is not known.
    """
    check_names(names)
    aligner = cache(lambda: PhoneAligner(language))
    makers: dict[str, Callable[[], Probe]] = {
        "robustness": lambda: Robustness(depth),
        "shift": lambda: FrameShift(depth),
        "repetition": lambda: RepeatEncoding(depth, Quality()),
        "damage": lambda: CodeDamage(Quality()),
        "usage": Usage,
        "phones": lambda: PhoneInformation(aligner()),
        "abx": lambda: PhoneDiscrimination(aligner()),
        "speaker": lambda: SpeakerLeakage(speakers),
        "predictability": lambda: Predictability(steps),
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


def check_names(names: Sequence[str]) -> None:
    """Check that there are such probes, before anything is loaded for them.

    Raises:
        InputError: names one that there is not.
    """
    if unknown := sorted(set(names) - set(PROBES)):
        raise InputError(f"there is no probe {unknown[0]!r}; expected {', '.join(PROBES)}")
