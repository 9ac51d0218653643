"""The command line: one file for each command."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the program on `sys.argv`, and exit."""
    try:
        from xcodec.cli.app import run  # here, so that Ctrl-C is heard while it is read too

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
