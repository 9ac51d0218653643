"""Reader processes, seen from the process with the model: killed when a file takes too long, started anew."""

import heapq
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import xcodec
from xcodec.audio import Audio
from xcodec.errors import AudioError, InputError
from xcodec.tokenization.lock import ScratchFolder
from xcodec.tokenization.pieces import SAMPLES_ALONE, Inspection, Piece

__all__ = ["ReaderPool", "ReadingLimits", "SlowRead", "Sound", "slowest_of"]


@dataclass(frozen=True)
class Sound:
    """What was read: one channel at the model's rate, the rate of its source in Hz, and how it is cut."""

    audio: Audio
    source_rate: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class SlowRead:
    """A recording, or a span of one, that took long to read.

    Args:
        uri: of the file.
        start: of the span, in seconds.
        seconds_to_read: that it took, the resampling included.
        seconds: of audio in it; 0 where it could not be read.
    """

    uri: str
    start: float
    seconds_to_read: float
    seconds: float


NUM_SLOWEST = 10
"""Of the slowest reads, how many are remembered."""


def slowest_of(reads: Iterable[SlowRead]) -> tuple[SlowRead, ...]:
    """Those reads that took longest, the longest first; what is told twice counts once."""
    return tuple(heapq.nlargest(NUM_SLOWEST, dict.fromkeys(reads), key=lambda read: read.seconds_to_read))


@dataclass(frozen=True)
class ReadingLimits:
    """What one file may take.

    Args:
        seconds_to_read: until its reader is killed.
        longest: audio that a recording may hold, in seconds.
    """

    seconds_to_read: float = 300.0
    longest: float = 3600.0


class ReaderGoneError(AudioError):
    """The process that read a file is gone.

    Args:
        problem: says why.
        may_try_again: whether the reason may not be the file's.
        **fields: as all errors have them.
    """

    def __init__(self, problem: str = "", *, may_try_again: bool = False, **fields: Any) -> None:
        super().__init__(problem, **fields)
        self.may_try_again = may_try_again


class ReaderProcess:
    """One reader process, which is started when needed.

    One thread reads; another may close it meanwhile, for good.
    """

    def __init__(self, sampling_rate: int, limits: ReadingLimits, inspection: Inspection) -> None:
        self.sampling_rate, self.limits, self.inspection = sampling_rate, limits, inspection
        self._changing = threading.Lock()  # held while the process is started or ended
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: ScratchFolder | None = None
        self._expired = False
        self._closed = False

    def read(self, entries: Sequence[Mapping[str, Any]]) -> Generator[Sound | AudioError, None, None]:
        """Read entries that are spans of one file; of each its sound, or why it cannot be read.

        Raises:
            ReaderGoneError: where the process is gone, which is about the entry whose turn it was.
        """
        waiting = len(entries)
        try:
            for answer in self._answers({"entries": entries}, entries[0]["uri"], waiting):
                waiting -= 1
                yield answer if isinstance(answer, AudioError) else self._sound(answer)
        finally:
            if waiting:  # nobody waits for the rest of the answers
                self._end()

    def channels(self, entry: Mapping[str, Any]) -> int | None:
        """How many channels an entry's file has; None where it cannot be read."""
        try:
            [answer] = self._answers({"channels": entry}, entry["uri"], 1)
        except ReaderGoneError:
            return None
        return None if isinstance(answer, AudioError) else int(answer["channels"])

    def close(self) -> None:
        """End the process, whatever it is doing; it is not started again."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        """End the process, if there is one, whatever it is doing."""
        with self._changing:
            process, self._process = self._process, None
            if process is not None:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    assert pipe is not None
                    with suppress(BrokenPipeError):  # a request that was still on its way
                        pipe.close()
            if self._scratch is not None:
                self._scratch.close()
                self._scratch = None

    def _running(self) -> subprocess.Popen[bytes]:
        with self._changing:
            if self._closed:
                raise InterruptedError("the reader is closed")
            if self._process is None:
                self._scratch = self._scratch or ScratchFolder()
                self._process = self._start(self._scratch)
            return self._process

    def _start(self, scratch: ScratchFolder) -> subprocess.Popen[bytes]:
        source = str(Path(xcodec.__file__).parent.parent)
        path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "xcodec.tokenization.reader_process"),
                *(str(self.sampling_rate), str(self.limits.longest), str(scratch.path)),
                json.dumps(asdict(self.inspection)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the process that was started by hand
        )

    def _answers(self, request: Mapping[str, Any], uri: str, count: int) -> Iterator[dict[str, Any] | AudioError]:
        """Ask, and wait for so many answers, each within the time that reading one file may take."""
        self._expired = False
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            for _ in range(count):
                with self._in_time(process):
                    header = process.stdout.readline()
                    if not header.endswith(b"\n"):
                        raise EOFError
                    answer = json.loads(header)
                    if "samples" in answer:
                        answer["sound"] = np.empty(answer["samples"], np.float32)
                        if process.stdout.readinto(answer["sound"]) != answer["sound"].nbytes:  # type: ignore[attr-defined]
                            raise EOFError
                yield AudioError(**answer["error"]) if "error" in answer else answer
        except (EOFError, BrokenPipeError):
            raise self._why_gone(process, uri) from None
        except ValueError:
            if not self._closed:
                raise
            raise InterruptedError("the reader is closed") from None  # and with it the pipe, in another thread

    @contextmanager
    def _in_time(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Kill the process where the block takes too long."""
        timer = threading.Timer(self.limits.seconds_to_read, self._expire, (process,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _sound(self, answer: Mapping[str, Any]) -> Sound:
        pieces = tuple(Piece(**each) for each in answer["pieces"])
        return Sound(Audio(answer["sound"], self.sampling_rate), answer["source_rate"], pieces)

    def _expire(self, process: subprocess.Popen[bytes]) -> None:
        self._expired = True
        process.kill()

    def _why_gone(self, process: subprocess.Popen[bytes], uri: str) -> "ReaderGoneError":
        code = process.wait()
        self._end()
        if self._expired:
            said = f"was not read within {self.limits.seconds_to_read:g} s; its reader was stopped"
            return ReaderGoneError(said, subject=uri)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        said = f"brought down the process that read it, twice ({how})"
        return ReaderGoneError(said, subject=uri, may_try_again=True)


class ReaderPool:
    """So many reader processes, shared by threads.

    Args:
        count: of processes.
        sampling_rate: in Hz, of what is read.
        limits: for one file.
        inspection: what to find out about what is read.
    """

    def __init__(
        self, count: int, sampling_rate: int, limits: ReadingLimits, inspection: Inspection = SAMPLES_ALONE
    ) -> None:
        if count < 1:
            raise InputError("expected a whole number, at least 1", argument="workers", value=count)
        self.count = count
        self._closed = False
        self.num_read = 0
        self.slowest: tuple[SlowRead, ...] = ()
        self._changing = threading.Lock()  # held while that is changed
        self._all = [ReaderProcess(sampling_rate, limits, inspection) for _ in range(count)]
        self._idle: queue.SimpleQueue[ReaderProcess] = queue.SimpleQueue()
        for reader in self._all:
            self._idle.put(reader)

    def read(self, entries: Sequence[Mapping[str, Any]]) -> Generator[Sound | AudioError, None, None]:
        """Read entries that are spans of one channel of one file, with the next reader that is free; waits for one.

        Yields:
            Of each entry its sound, or why it cannot be read: takes too long, or brings the reader down, too.

        Raises:
            InterruptedError: once the pool is closed.
        """
        with self._reader() as reader:
            done, tried = 0, False
            while done < len(entries):
                began = time.perf_counter()
                try:
                    with closing(reader.read(entries[done:])) as sounds:
                        for sound in sounds:
                            self._count(entries[done], sound, time.perf_counter() - began)
                            done, tried = done + 1, False
                            yield sound
                            began = time.perf_counter()  # not before whoever takes the sounds wants the next one
                except ReaderGoneError as error:
                    if self._closed:
                        raise InterruptedError("the readers are closed") from None
                    if (
                        error.may_try_again and not tried
                    ):  # it may have been killed from outside, say for want of memory
                        tried = True
                        continue
                    failure = AudioError(**error.fields())
                    self._count(entries[done], failure, time.perf_counter() - began)
                    done, tried = done + 1, False
                    yield failure

    def _count(self, entry: Mapping[str, Any], sound: Sound | AudioError, seconds: float) -> None:
        """Count what was read, and remember it if it is among the slowest."""
        self.num_read += 1  # threads may lose a count; it only has to grow
        if len(self.slowest) < NUM_SLOWEST or seconds > self.slowest[-1].seconds_to_read:
            duration = sound.audio.duration if isinstance(sound, Sound) else 0.0
            read = SlowRead(entry["uri"], entry["start"], round(seconds, 3), duration)
            with self._changing:
                self.slowest = slowest_of((*self.slowest, read))

    def channels(self, entry: Mapping[str, Any]) -> int | None:
        """How many channels an entry's file has, from the next reader that is free; None where it cannot be read."""
        with self._reader() as reader:
            return reader.channels(entry)

    @contextmanager
    def _reader(self) -> Iterator[ReaderProcess]:
        reader = self._idle.get()
        try:
            if self._closed:
                raise InterruptedError("the readers are closed")
            yield reader
        finally:
            self._idle.put(reader)

    def close(self) -> None:
        """End all processes at once, whatever they are doing."""
        self._closed = True
        for reader in self._all:
            reader.close()

    def __enter__(self) -> "ReaderPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
