"""The application: what stands before the routes, and the routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from xcodec import __version__
from xcodec.serving import codec_routes, codec_socket, page_routes, speech_routes, status_routes
from xcodec.serving.access import Access, BodyLimit, Counted
from xcodec.serving.faults import install_handlers
from xcodec.serving.service import Service

__all__ = ["create_app"]


def create_app(service: Service, api_key: str | None = None, web_folder: Path | None = None) -> FastAPI:
    """Make an ASGI application of a service, which ends with it.

    Args:
        service: what is served.
        api_key: who does not give it is refused; None asks for none.
        web_folder: what `xcodec page` wrote, with codecs that the page runs in the browser.

    Raises:
        InputError: where the folder is none of these.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.stop()

    app = FastAPI(title="xcodec", version=__version__, lifespan=lifespan, redoc_url=None)
    install_handlers(app)
    for routes in (status_routes, codec_routes, codec_socket, speech_routes):
        app.include_router(routes.router(service))
    app.include_router(page_routes.router(web_folder))
    app.add_middleware(BodyLimit, most=service.limits.upload_bytes)
    app.add_middleware(Access, api_key=api_key)
    app.add_middleware(Counted, metrics=service.metrics)
    return app
