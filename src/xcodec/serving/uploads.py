"""What a request brings: a file and parameters, as a form, as JSON, or as a body with a query."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from xcodec.serving.faults import Fault

__all__ = ["Upload", "read_upload"]


@dataclass(frozen=True)
class Upload:
    """The bytes of a file, and what was said beside it.

    Args:
        body: of the file.
        given: parameters by name, as text.
    """

    body: bytes
    given: dict[str, str] = field(default_factory=dict)

    def text(self, name: str, default: str) -> str:
        """Give a parameter."""
        return self.given.get(name, default)

    def number(self, name: str) -> float | None:
        """Give a number, or None where there is none.

        Raises:
            Fault: where it is something else.
        """
        return None if name not in self.given else number(name, self.given[name])


def number(name: str, text: str) -> float:
    """Read a parameter that is a number.

    Raises:
        Fault: where it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise Fault(400, f"{name}={text[:40]!r}: expected a number", "invalid_value", param=name) from None


async def read_upload(request: Request, idle_seconds: float, part: str = "file") -> Upload:
    """Read a request whole.

    Args:
        request: with the file as a part of a form, or as its body.
        idle_seconds: how long it may take.
        part: the name of the file's part.

    Raises:
        Fault: where there is no file, or it has not come in time.
    """
    try:
        return await asyncio.wait_for(_read(request, part), idle_seconds)
    except asyncio.TimeoutError:
        raise Fault(408, f"the upload has not come within {idle_seconds:g} s", "upload_timeout") from None


async def _read(request: Request, part: str) -> Upload:
    given: dict[str, Any] = dict(request.query_params)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        body = await request.body()
        if not body:
            raise Fault(400, f"the request is empty; give the file as its body, or as {part} of a form", "no_file")
        return Upload(body, given)
    try:
        async with request.form(max_files=1, max_fields=16) as form:
            given |= {name: value for name, value in form.items() if isinstance(value, str)}
            file = form.get(part)
            if not isinstance(file, UploadFile):
                raise Fault(400, f"the form has no file called {part}", "no_file", param=part)
            return Upload(await file.read(), given)
    except MultiPartException as error:
        raise Fault(400, f"the form cannot be read: {error.message}", "bad_form") from None
