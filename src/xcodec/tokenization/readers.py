"""Reader processes, seen from the process with the model: killed when a file takes too long, started anew."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import xcodec
from xcodec.audio import Audio
from xcodec.errors import AudioError, InputError

__all__ = ["ReaderPool", "ReadingLimits", "Sound"]


@dataclass(frozen=True)
class Sound:
    """What was read: one channel at the model's rate, and the rate of its source in Hz."""

    audio: Audio
    source_rate: int


@dataclass(frozen=True)
class ReadingLimits:
    """What one file may take.

    Args:
        seconds_to_read: until its reader is killed.
        longest: audio that a recording may hold, in seconds.
    """

    seconds_to_read: float = 300.0
    longest: float = 3600.0


class ReaderDiedError(AudioError):
    """The process that read a file is gone, for a reason that may not be the file's."""


class ReaderProcess:
    """One reader process, which is started when needed."""

    def __init__(self, sampling_rate: int, limits: ReadingLimits) -> None:
        self.sampling_rate, self.limits = sampling_rate, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._expired = False

    def read(self, entry: Mapping[str, Any]) -> Sound:
        """Read an entry.

        Raises:
            AudioError: where it cannot be read, takes too long, or brings the reader down.
        """
        self._expired = False
        process = self._running()
        timer = threading.Timer(self.limits.seconds_to_read, self._expire, (process,))
        timer.daemon = True
        timer.start()
        try:
            return self._exchange(process, entry, self.sampling_rate)
        except (EOFError, BrokenPipeError):
            raise self._why_gone(process, entry["uri"]) from None
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the process, if there is one, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):  # a request that was still on its way
                    pipe.close()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            source = str(Path(xcodec.__file__).parent.parent)
            self._temporary = tempfile.TemporaryDirectory(prefix="xcodec-", ignore_cleanup_errors=True)
            path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "xcodec.tokenization.reader_process"),
                    *(str(self.sampling_rate), str(self.limits.longest), self._temporary.name),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for the process that was started by hand
            )
        return self._process

    @staticmethod
    def _exchange(process: subprocess.Popen[bytes], entry: Mapping[str, Any], sampling_rate: int) -> Sound:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(entry).encode() + b"\n")
        process.stdin.flush()
        header = process.stdout.readline()
        if not header.endswith(b"\n"):
            raise EOFError
        answer = json.loads(header)
        if "error" in answer:
            raise AudioError(answer["error"])
        samples = np.empty(answer["samples"], np.float32)
        if process.stdout.readinto(samples) != samples.nbytes:  # type: ignore[attr-defined]
            raise EOFError
        return Sound(Audio(samples, sampling_rate), answer["source_rate"])

    def _expire(self, process: subprocess.Popen[bytes]) -> None:
        self._expired = True
        process.kill()

    def _why_gone(self, process: subprocess.Popen[bytes], uri: str) -> AudioError:
        code = process.wait()
        self.close()
        if self._expired:
            return AudioError(f"{uri}: was not read within {self.limits.seconds_to_read:g} s; its reader was stopped")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ReaderDiedError(f"{uri}: brought down the process that read it, twice ({how})")


class ReaderPool:
    """So many reader processes, shared by threads.

    Args:
        count: of processes.
        sampling_rate: in Hz, of what is read.
        limits: for one file.
    """

    def __init__(self, count: int, sampling_rate: int, limits: ReadingLimits) -> None:
        if count < 1:
            raise InputError(f"workers={count!r}: expected a whole number, at least 1")
        self.count = count
        self._closed = False
        self.num_read = 0
        self._all = [ReaderProcess(sampling_rate, limits) for _ in range(count)]
        self._idle: queue.SimpleQueue[ReaderProcess] = queue.SimpleQueue()
        for reader in self._all:
            self._idle.put(reader)

    def read(self, entry: Mapping[str, Any]) -> Sound:
        """Read an entry with the next reader that is free; waits for one.

        Raises:
            AudioError: as `ReaderProcess.read`.
            InterruptedError: once the pool is closed.
        """
        reader = self._idle.get()
        try:
            if self._closed:
                raise InterruptedError("the readers are closed")
            try:
                return reader.read(entry)
            except ReaderDiedError:  # it may have been killed from outside, say for want of memory
                if self._closed:
                    raise InterruptedError("the readers are closed") from None
                return reader.read(entry)
        finally:
            self.num_read += 1  # threads may lose a count; it only has to grow
            self._idle.put(reader)

    def close(self) -> None:
        """End all processes at once, whatever they are doing."""
        self._closed = True
        for reader in self._all:
            reader.close()
