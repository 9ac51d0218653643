"""What goes wrong with a request, in the shape in which OpenAI's service tells it."""

import logging
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from xcodec import errors
from xcodec.errors import CheckpointError, MissingExtraError, XcodecError

__all__ = ["Fault", "fault_of", "install_handlers"]

log = logging.getLogger("xcodec.serving")


class Fault(Exception):  # noqa: N818  (an XcodecError is what goes wrong in the package; this is what a client is told)
    """An answer that says why there is no other.

    Args:
        status: of HTTP.
        message: what is wrong, what was expected and what to do.
        code: a short name that programs can compare.
        param: which parameter of the request is at fault.
        retry_after: seconds after which the same request may succeed.
    """

    def __init__(
        self, status: int, message: str, code: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_after = status, message, code, param, retry_after

    @classmethod
    def busy(cls, message: str) -> "Fault":
        """The server has all the work that it takes."""
        return cls(503, message, "server_busy", retry_after=1)

    @classmethod
    def not_one_of(cls, known: Iterable[str], param: str, value: str) -> "Fault":
        """A parameter names nothing that there is."""
        return cls(400, f"{param}={value[:40]!r}: expected one of {', '.join(known)}", "invalid_value", param=param)

    @property
    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def response(self) -> Response:
        """The answer."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        if self.status == 413:
            headers["connection"] = "close"  # or the rest of what is too much would be read, and thrown away
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse(self.body, self.status, headers)


def fault_of(error: BaseException) -> Fault:
    """Say of any exception what a client is told; what nobody foresaw goes to the log, and not to the client."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, MissingExtraError):
        return Fault(501, f"this server cannot do that: {error}", "missing_extra")
    if isinstance(error, XcodecError) and not isinstance(error, CheckpointError):
        public = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in errors.__all__)
        code = public.removesuffix("Error").lower() + "_error"
        return Fault(400, str(error), code, param=error.argument)
    log.error("a request failed", exc_info=error)
    return Fault(500, f"the server failed ({type(error).__name__}); its log says more", "internal_error")


def install_handlers(app: FastAPI) -> None:
    """Let every error of an application be told in one shape."""

    async def told(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return fault_of(error).response

    async def told_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        return Fault(error.status_code, f"{request.method} {request.url.path}: {error.detail}", code).response

    async def told_validation(request: Request, error: Exception) -> Response:  # noqa: ARG001
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"][1:]) or None
        return Fault(400, f"{param or 'the request'}: {first['msg']}", "invalid_value", param=param).response

    app.add_exception_handler(Fault, told)
    app.add_exception_handler(XcodecError, told)
    app.add_exception_handler(HTTPException, told_http)
    app.add_exception_handler(RequestValidationError, told_validation)
    app.add_exception_handler(Exception, told)
