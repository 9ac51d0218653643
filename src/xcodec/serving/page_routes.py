"""The page, and the exported codecs that it runs in the browser."""

import json
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from xcodec.errors import InputError
from xcodec.serving.faults import Fault
from xcodec.serving.page_files import INDEX, MEDIA_TYPES, POLICY, page_files
from xcodec.serving.static_page import DESCRIPTION, MODELS, RUNTIME

__all__ = ["router"]

HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",  # these two give the page the threads of WebAssembly
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def router(web_folder: Path | None) -> APIRouter:
    """Make the routes.

    Args:
        web_folder: what `xcodec page` wrote, of which the codecs are taken; None is nothing that runs in the browser.

    Raises:
        InputError: where the folder is none of these.
    """
    routes, own = APIRouter(tags=["page"]), page_files()
    browser, stored = (None, {}) if web_folder is None else codecs_in(web_folder)

    def answer(name: str, body: bytes) -> Response:
        return Response(body, media_type=MEDIA_TYPES[Path(name).suffix], headers=HEADERS)

    @routes.get("/", include_in_schema=False)
    def index() -> Response:
        """Show the page."""
        return answer(INDEX, own[INDEX])

    @routes.get("/page.json", include_in_schema=False)
    def description() -> Response:
        """Tell the page what there is."""
        return answer(DESCRIPTION, json.dumps({"server": True, "browser": browser}).encode())

    @routes.get("/page/{name}", include_in_schema=False)
    def page_file(name: str) -> Response:
        """Give a file of the page."""
        if name not in own:
            raise Fault(404, f"the page has no file {name[:100]!r}", "not_found")
        return answer(name, own[name])

    @routes.get(f"/{RUNTIME}/{{name}}", include_in_schema=False)
    @routes.get(f"/{MODELS}/{{folder}}/{{name}}", include_in_schema=False)
    def stored_file(name: str, folder: str = "") -> Response:
        """Give a file of what runs in the browser."""
        path = stored.get((folder, name))
        if path is None:
            raise Fault(404, f"there is no file {name[:100]!r} for the browser here", "not_found")
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=HEADERS)

    return routes


def codecs_in(web_folder: Path) -> tuple[dict[str, object], dict[tuple[str, str], Path]]:
    """Find what runs in the browser: what the page is told of it, and its files by folder and name.

    Raises:
        InputError: where the folder is not one that `xcodec page` wrote.
    """
    try:
        browser = json.loads((web_folder / DESCRIPTION).read_text(encoding="utf-8"))["browser"]
        paths = [*(web_folder / RUNTIME).iterdir()]
        models = [path for name in browser["models"] for path in (web_folder / MODELS / name).iterdir()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "is not a folder that `xcodec page` wrote", subject=web_folder, remedy="write one: xcodec page --help"
        ) from error
    served = {("", path.name): path for path in paths} | {(path.parent.name, path.name): path for path in models}
    return browser, {key: path for key, path in served.items() if path.suffix in MEDIA_TYPES}
