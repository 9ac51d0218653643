"""A language model that says texts for clients, each in a thread that feeds the client's stream."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from xcodec.llasa import Llasa
from xcodec.serving.faults import Fault
from xcodec.serving.limits import Limits
from xcodec.serving.scheduler import OpenStream

__all__ = ["Speaker", "Speeches"]


@dataclass(frozen=True)
class Speaker:
    """A language model that is served.

    Args:
        llasa: the language model, its prompts and its codec.
        name: what clients call it.
        defaults: how it speaks where a client does not say: keyword arguments of `Llasa.codes`.
    """

    llasa: Llasa
    name: str
    defaults: dict[str, Any] = field(default_factory=dict)


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
        with closing(speaker.llasa.codes(text, lambda _: None, **speaker.defaults | how)) as codes:
            for ids in codes:
                if len(ids):
                    stream.put_from_thread(ids[None])
        stream.end()
    except Exception as error:  # it belongs to the one who listens
        stream.fail(error)
