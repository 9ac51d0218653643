"""How much memory there is to be, and that it grows little with a recording's length."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xcodec import Codec, InputError
from xcodec.device import memory_size

STATUS = Path("/proc/self/status")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1, 1),
        (4_000_000_000, 4_000_000_000),
        ("123", 123),
        ("4GiB", 4 << 30),
        ("1.5 GiB", 3 << 29),
        ("500MB", 500_000_000),
        ("64kb", 64_000),
        (" 2 tib ", 2 << 40),
    ],
)
def test_memory_is_given_in_bytes_or_in_words(given, expected):
    assert memory_size(given) == expected


@pytest.mark.parametrize("given", [0, -1, True, 1e9j, "", "much", "4 G", "-1GiB", "0MB", "1e9", "4GiB!", None])
def test_what_is_no_size_is_refused(given):
    with pytest.raises(InputError, match=r"max_memory=.*: expected a number of bytes above 0, or such as '4GiB'"):
        memory_size(given)


def test_a_codec_is_told_how_much_memory_it_may_use():
    assert Codec.from_pretrained(max_memory="1GiB").model.max_memory == 1 << 30
    assert Codec.from_pretrained().model.max_memory is None
    with pytest.raises(InputError, match="max_memory='lots'"):
        Codec.from_pretrained(max_memory="lots")


MEASURE = """
import resource, sys
import numpy as np
from pathlib import Path
from xcodec import Codec

def peak():
    return int(next(line for line in Path("/proc/self/status").open() if line.startswith("VmHWM")).split()[1]) << 10

codec = Codec.from_pretrained(max_memory="32MiB")
codec.identity
wave = np.random.default_rng(0).standard_normal(int(sys.argv[1]) * 16000).astype(np.float32) * 0.1
Path("/proc/self/clear_refs").write_text("5")
codes = codec.encode(wave, 16000)
encoded = peak()
Path("/proc/self/clear_refs").write_text("5")
codec.decode(codes)
print(encoded, peak())
"""


@pytest.mark.skipif(not STATUS.is_file(), reason="only Linux tells a process's peak")
def test_memory_grows_little_with_length():
    """A second more takes 0.5 MB by the sums; it took 3 MB and more when convolutions were computed whole."""

    def peaks(seconds: int) -> list[int]:
        # What the allocator keeps would be measured too, and depends on who asks when; so it keeps nothing large.
        env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
        env["MALLOC_MMAP_THRESHOLD_"] = str(64 << 10)
        command = [sys.executable, "-c", MEASURE, str(seconds)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return [int(number) for number in done.stdout.split()]

    for short, long in zip(peaks(10), peaks(50), strict=True):
        assert (long - short) / 40 < 2e6, "bytes a second"
