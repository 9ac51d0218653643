"""The program keeps the pages of what it frees; a library that is imported leaves that to whoever imports it."""

import os
import subprocess
import sys

import pytest

from xcodec.cli.allocator import SETTINGS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")

FAULTS = """
import resource
from xcodec.cli.allocator import keep_pages
if {keeps}:
    keep_pages()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytes(2**25).count(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([faults() for _ in range(4)][-1])
"""
PAGES = 2**25 // os.sysconf("SC_PAGE_SIZE")


def faults(keeps: bool, **environment: str) -> int:
    """Page faults of 32 MiB that are used again after they were freed."""
    bare = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "-c", FAULTS.format(keeps=keeps)]
    done = subprocess.run(command, env=bare | environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_block_that_was_freed_is_used_again_without_asking_the_system() -> None:
    assert faults(keeps=True) < PAGES / 100


def test_where_nobody_asked_or_the_environment_says_otherwise_the_allocator_is_as_it_was() -> None:
    assert faults(keeps=False) > PAGES / 2
    assert faults(keeps=True, MALLOC_TRIM_THRESHOLD_="131072") > PAGES / 2
