"""A language model that says texts for clients, each in a thread that feeds the client's stream."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xcodec.llasa import Llasa
from xcodec.serving.faults import Fault
from xcodec.serving.limits import Limits
from xcodec.serving.scheduler import OpenStream
from xcodec.serving.voices import BuiltInVoice

__all__ = ["Speaker", "Speeches"]


@dataclass(frozen=True)
class Speaker:
    """A language model that is served.

    Args:
        llasa: the language model, its prompts and its codec.
        name: what clients call it.
        defaults: how it speaks where a client does not say: keyword arguments of `Llasa.codes`.
        own_voice: in which it speaks where a client names none; None leaves that to the language model.
    """

    llasa: Llasa
    name: str
    defaults: dict[str, Any] = field(default_factory=dict)
    own_voice: BuiltInVoice | None = None

    def codes(self, text: str, how: dict[str, Any]) -> Generator[np.ndarray, None, None]:
        """Say a text, and yield its codes, int64 (frames,), while they are made; `how` goes before the defaults."""
        how = self.defaults | how
        if "voice" not in how and self.own_voice is not None:
            voice = self.own_voice.get()
            how |= {"voice": voice.codes, "voice_text": voice.text}
        return self.llasa.codes(text, lambda _: None, **how)


class Speeches:
    """The threads in which texts are being said.

    Args:
        limits: how many there may be.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.speeches
        self._pool = ThreadPoolExecutor(limits.speeches, thread_name_prefix="speech")
        self._num_running = 0

    def begin(self, speaker: Speaker, text: str, how: dict[str, Any], stream: OpenStream) -> None:
        """Say a text into a stream, which its reader closes; called in the event loop.

        Raises:
            Fault: where as many are being said as may be.
        """
        if self._num_running >= self._most:
            raise Fault.busy(f"{self._most} texts are being said, and no more are taken; try again")
        self._num_running += 1
        done = self._pool.submit(say, speaker, text, how, stream)
        done.add_done_callback(lambda _: self._end())

    def stop(self) -> None:
        """End the threads, as soon as each notices that its stream has ended."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _end(self) -> None:
        self._num_running -= 1


def say(speaker: Speaker, text: str, how: dict[str, Any], stream: OpenStream) -> None:
    """Say a text into a stream, until its end or until nobody listens."""
    try:
        with closing(speaker.codes(text, how)) as codes:
            for ids in codes:
                if len(ids):
                    stream.put_from_thread(ids[None])
        stream.end()
    except Exception as error:  # it belongs to the one who listens
        stream.fail(error)
