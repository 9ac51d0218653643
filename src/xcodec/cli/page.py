"""`xcodec page`: the page as static files, with exported codecs that run in the browser."""

from typing import Annotated

import typer

from xcodec.cli.console import output
from xcodec.cli.paths import home
from xcodec.cli.values import not_empty, to_file

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Write the page that encodes and decodes in the browser, as static files.

DESTINATION becomes a folder, whole or not at all, that any web server can have:
the page of `xcodec serve`, the exported codecs, and onnxruntime-web, which runs
them. No server computes anything then, and no recording leaves its browser.

`xcodec serve --web DESTINATION` has them beside the codec of the server.

[bold]Examples[/bold]

  npm pack onnxruntime-web
  xcodec export mini mini-onnx/
  xcodec page mini-onnx/ -o web/ --onnxruntime onnxruntime-web-1.30.0.tgz
  python -m http.server --directory web/"""

EPILOG = "[bold]Exit codes[/bold]  0: written. 1: not, and nothing was written. 2: wrong usage. 130: interrupted."


def command(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Folders that `xcodec export` wrote.", callback=not_empty)
    ],
    destination: Annotated[
        str,
        typer.Option("--output", "-o", metavar="DESTINATION", help="The folder to write.", callback=to_file),
    ],
    runtime: Annotated[
        str,
        typer.Option(
            "--onnxruntime",
            metavar="PACKAGE",
            help="What `npm pack onnxruntime-web` fetches, or its folder.",
            callback=not_empty,
        ),
    ],
) -> None:
    """Write the page."""
    from xcodec.serving.static_page import write_static_page

    written = write_static_page(home(destination), [home(model) for model in models], home(runtime))
    output().print(
        f"{destination}: {len(written)} files, {sum(written.values()) / 1e6:.1f} MB", soft_wrap=True, markup=False
    )
