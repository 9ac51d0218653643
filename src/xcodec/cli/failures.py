"""Errors become one clear message and an exit code. No traceback reaches a user who did not ask for it."""

import errno
import os
from typing import Any

import typer
from typer.core import TyperCommand

from xcodec.cli.console import errors, show_error
from xcodec.errors import XcodecError

__all__ = ["FAILED", "INTERRUPTED", "Command", "explain"]

FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
TRACEBACK = "XCODEC_TRACEBACK"

# How the library's messages, which speak of arguments, are worded for those who give options.
OPTIONS = {
    "pass check_identity=False": "give --ignore-identity",
    "overwrite=True (--overwrite)": "--overwrite",
    "overwrite=True": "--overwrite",
    "check_identity=False": "--ignore-identity",
    "`semantic_encoder`": "--semantic-encoder",
    "semantic_encoder: ": "--semantic-encoder: ",
    "give num_attention_heads": "give --num-attention-heads",
    "device='": "--device '",
    "dtype='": "--dtype '",
    "bandwidth=": "--bandwidth ",
    "is longer than the limit of": "is longer than --longest allows,",
    "top_p=": "--top-p ",
    "repetition_penalty=": "--repetition-penalty ",
    "max_seconds=": "--max-seconds ",
    "Codes.save or `xcodec encode`": "`xcodec encode`",
}


class Command(TyperCommand):
    """A command whose errors are shown as messages."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            errors().print("interrupted; every file that was written is whole", style="red")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError) or getattr(error, "errno", None) == errno.EPIPE:
                raise  # whoever read our output has had enough; typer leaves quietly
            show_error(explain(error))
            raise typer.Exit(FAILED) from None


def explain(error: Exception) -> str:
    """Say in one line what went wrong.

    Raises:
        Exception: `error` itself, where the environment asks for tracebacks.
    """
    if os.environ.get(TRACEBACK):
        raise error
    text = " ".join(str(error).split())
    if isinstance(error, XcodecError):
        for argument, option in OPTIONS.items():
            text = text.replace(argument, option)
        return text
    if ran_out_of_memory(error):
        return "out of memory; give a smaller --batch-seconds, a shorter recording, or another --device"
    if could_not_compile(error):
        reason = str(error).strip().partition("\n")[0]
        return f"torch's compiler failed, so leave --compile out: {reason}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    kind = type(error).__name__
    return f"{kind}: {text}. This should not happen; please report it with what {TRACEBACK}=1 in the environment shows"


def could_not_compile(error: Exception) -> bool:
    """Whether layers were to be compiled and torch could not, say for want of a C++ compiler."""
    return any(kind.__name__ == "BackendCompilerFailed" for kind in type(error).__mro__)


def ran_out_of_memory(error: Exception) -> bool:
    """Whether Python, the CPU or an accelerator had too little; torch has a class for the last only."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
