"""A lock of an object store: an object that its holder writes anew every few seconds, until it lets go or dies."""

import functools
import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xcodec.tokenization.stores.store import Store

__all__ = ["Lease"]

BEAT = 10.0
"""Seconds between two signs of life of a holder."""

SILENCE = 60.0
"""Seconds without one, after which a holder is taken for dead."""

_LOOK = 1.0  # seconds between two looks at another's lease


class Lease:
    """A lease on a name of a store.

    No clocks are compared: who finds the lease taken watches whether it is renewed. A holder whose process on this
    machine is gone is not waited for. Two may take over a dead holder's lease at the same moment, and a holder may be
    cut off and come back: then both work, and what they write once is still there once.

    Args:
        store: that all see.
        name: of the object.
    """

    def __init__(self, store: "Store", name: str) -> None:
        self._store, self._name = store, name
        self._own = {"processes": _processes(), "pid": os.getpid(), "token": uuid.uuid4().hex}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.is_kept = False
        self.holder = ""

    def take(self, wait: bool) -> bool:
        """Take the lease; where another holds it who is alive, wait, or tell so."""
        while not self._store.create(self._name, self._contents(0)):
            seen, since = self._seen(), time.monotonic()
            while seen is not None and self._seen() == seen:
                if _is_dead(seen) or time.monotonic() - since > SILENCE:
                    self._write(0)
                    return self._hold()
                time.sleep(_LOOK)
            if not wait and (now := self._seen()) is not None:
                self.holder = str(now.get("holder"))
                return False
        return self._hold()

    def _hold(self) -> bool:
        self.is_kept = True
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return True

    def _renew(self) -> None:
        beat = 0
        while not self._over.wait(BEAT):
            beat += 1
            with suppress(Exception):  # a store that cannot be reached is told where codes are written
                self._write(beat)

    def _write(self, beat: int) -> None:
        with self._store.writing(self._name) as part:
            part.write_bytes(self._contents(beat))

    def _contents(self, beat: int) -> bytes:
        said = f"another run (process {self._own['pid']} on {socket.gethostname()})"
        return json.dumps(self._own | {"holder": said, "beat": beat}).encode()

    def _seen(self) -> dict[str, Any] | None:
        """What the lease says now, or where it is no lease, its text; None where there is none."""
        try:
            contents = self._store.read(self._name)
            return dict(json.loads(contents))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            return {"holder": contents.decode(errors="replace")}

    def close(self) -> None:
        """Let go."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self.is_kept and (now := self._seen()) is not None and now.get("token") == self._own["token"]:
            self._store.remove(self._name)
        self.is_kept = False

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@functools.cache
def _processes() -> str:
    """Name the processes among which a number means the same one: those of a container, since the machine started."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{started} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux: nobody is known to be dead
        return uuid.uuid4().hex


def _is_dead(lease: dict[str, Any]) -> bool:
    """Whether the holder of a lease is one of the processes seen here, and is gone."""
    if lease.get("processes") != _processes():
        return False
    try:
        os.kill(lease["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
