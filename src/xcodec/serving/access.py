"""Who may ask, and how much at once: what stands before all routes."""

import hmac
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xcodec.serving.faults import Fault
from xcodec.serving.metrics import Metrics

__all__ = ["Access", "BodyLimit", "Counted"]

KEY_PROTOCOL = "xcodec-api-key."
"""What a browser, which can give a WebSocket no header, puts before the key in the name of a subprotocol."""

OPEN_PATHS = ("/", "/health", "/page.json")
OPEN_FOLDERS = ("/page/", "/onnxruntime/")
"""What needs no key: the page, which asks its visitor for it."""


class Access:
    """Refuses who does not know the key, and pages of other origins.

    A page that somebody has open may send requests to servers on the same machine; its browser tells the page's origin.

    Args:
        app: what stands behind.
        api_key: None asks for none.
    """

    def __init__(self, app: ASGIApp, api_key: str | None) -> None:
        self._app, self._key = app, api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] in ("http", "websocket") and (fault := self._refusal(scope)):
            if scope["type"] == "websocket":
                await receive()  # the request to connect
                await send({"type": "websocket.close", "code": 1008, "reason": fault.message[:120]})
                return
            await fault.response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Fault | None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return Fault(403, f"pages of {origin[:100]} may not ask this server", "other_origin")
        if self._key is None or scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_FOLDERS):
            return None
        if any(hmac.compare_digest(given.encode(), self._key.encode()) for given in given_keys(headers)):
            return None
        return Fault(401, "give the API key: Authorization: Bearer KEY", "invalid_api_key")


def given_keys(headers: Headers) -> list[str]:
    """The keys that a request brings."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    protocols = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    keys = [name.removeprefix(KEY_PROTOCOL) for name in protocols if name.startswith(KEY_PROTOCOL)]
    return [*([token.strip()] if scheme.lower() == "bearer" else []), *keys]


class BodyLimit:
    """Refuses requests that are too large, before they are read whole.

    Args:
        app: what stands behind.
        most: bytes.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, whose body ends with an error where it is too long."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        too_large = Fault(413, f"the request has more than the {self._most:,} bytes that are taken", "upload_too_large")
        told = Headers(scope=scope).get("content-length", "0")
        if not told.isdecimal() or int(told) > self._most:
            await too_large.response(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most:
                raise too_large
            return message

        await self._app(scope, counted, send)


class Counted:
    """Counts requests and how long they take.

    Args:
        app: what stands behind.
        metrics: to be told.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), "101" if scope["type"] == "websocket" else "500"

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            route = scope.get("route")  # of unknown paths there are as many as anybody likes
            path = route.path if route is not None else "unknown"
            self._metrics.requests.labels(path, status).inc()
            self._metrics.request_seconds.labels(path).observe(time.perf_counter() - started)
