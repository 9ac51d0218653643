"""A real S3 server, in this process, which on demand throttles, loses connections and sends half of an answer."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Fault(Enum):
    """What may go wrong with a request."""

    THROTTLED = "503 SlowDown"
    LOST = "the connection is lost before anything is done"
    UNANSWERED = "it is done, but the connection is lost before the answer"
    HALF = "half of the answer arrives"


class S3Server:
    """moto's server behind a layer of faults.

    `fault_of` is told of each request its number, method and path, and says what goes wrong with it; `happened` counts.
    """

    def __init__(self) -> None:
        self.fault_of: Callable[[int, str, str], Fault | None] = lambda *_: None
        self.happened: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self._app: Any = DomainDispatcherApplication(create_backend_app)
        self._count = 0
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True)
        self._server.log = lambda *_: None  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        self._count += 1
        fault = self.fault_of(self._count, environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if fault is None:
            return self._app(environ, respond)
        self.happened[fault] += 1
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if fault is Fault.THROTTLED:
            environ["wsgi.input"].read(length)
            respond("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(SLOW_DOWN)))])
            return [SLOW_DOWN]
        if fault is Fault.LOST:
            environ["wsgi.input"].read(min(length, 100))  # of an upload, the beginning
            return self._hang_up(environ)
        answer = b"".join(self._app(environ, respond if fault is Fault.HALF else lambda *_: None))
        if fault is Fault.HALF:
            return self._cut(answer, environ)
        return self._hang_up(environ)

    def _cut(self, answer: bytes, environ: dict[str, Any]) -> Iterator[bytes]:
        yield answer[: len(answer) // 2]
        yield from self._hang_up(environ)

    def _hang_up(self, environ: dict[str, Any]) -> list[bytes]:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return []


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server with the bucket `corpus`, to which this process and its children go."""
    import fsspec

    server = S3Server()
    told = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",  # of botocore's own; s3fs tries again, and so do we
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("corpus")
        yield server
    server.close()
