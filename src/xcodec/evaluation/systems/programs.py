"""Other programs, run to their end."""

import os
import shutil
import signal
import subprocess

from xcodec.errors import MissingExtraError, first_line
from xcodec.evaluation.systems.system import ReconstructionError

__all__ = ["check_installed", "run"]


def check_installed(package: str, *programs: str) -> None:
    """Check that programs can be found.

    Raises:
        MissingExtraError: where they cannot.
    """
    if not all(map(shutil.which, programs)):
        raise MissingExtraError(
            f"{' and '.join(programs)} must be installed",
            remedy=f"apt-get install {package} ({' and '.join(programs)})",
        )


def run(*command: object, timeout: float | None = None) -> None:
    """Run a program whose words nobody needs unless it fails.

    Args:
        *command: the program and its arguments.
        timeout: in seconds, after which it is ended, with all that it started.

    Raises:
        ReconstructionError: where it cannot be started, fails, or takes longer; with the last line of what it said.
    """
    words = [str(part) for part in command]
    try:
        # In a group of its own, which can be ended whole: a shell's children would outlive it.
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ReconstructionError(f"{words[0]} cannot be run: {first_line(error)}") from None
    with process:
        try:
            said, complaint = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            end(process)
            raise ReconstructionError(f"{words[0]} was ended after {timeout:g} s") from None
        except BaseException:
            end(process)
            raise
    if process.returncode:
        lines = [line.strip() for line in (complaint.strip() or said).splitlines() if line.strip()]
        told = lines[-1] if lines else "it said nothing"
        raise ReconstructionError(f"{words[0]} failed with exit code {process.returncode}: {told}")


def end(process: subprocess.Popen[str]) -> None:
    """End a program and what it started."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
