"""The page's own files, and what of it a browser is told."""

from importlib.resources import files

__all__ = ["INDEX", "MEDIA_TYPES", "POLICY", "page_files"]

INDEX = "index.html"

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",  # WebAssembly is compiled: the codec in the browser
        "worker-src 'self' blob:",  # of threads that ONNX Runtime starts
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""The Content-Security-Policy: the page may load nothing from anywhere else, and send nothing there."""

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


def page_files() -> dict[str, bytes]:
    """Read the files of the page by their names: `INDEX`, and those that lie in page/ beside it.

    The player is the one of the report of `xcodec evaluate`.
    """
    found = [*(files("xcodec.serving") / "page").iterdir(), files("xcodec.evaluation") / "player.js"]
    return {file.name: file.read_bytes() for file in found if f".{file.name.rpartition('.')[2]}" in MEDIA_TYPES}
