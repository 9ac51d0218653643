"""How tests wait for what another process does: for as long as it takes, on however slow a machine."""

import subprocess
import time
from collections.abc import Callable

PATIENCE = 600  # seconds, after which something hangs


def wait_until(happened: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Wait until something has happened; it is an error if the process that should do it ends, or takes for ever."""
    began = time.monotonic()
    while not happened():
        assert process is None or process.poll() is None or happened(), f"ended with {process.returncode} before that"
        assert time.monotonic() - began < PATIENCE, "nothing happened"
        time.sleep(0.01)
