"""Errors become one clear message and an exit code. No traceback reaches a user who did not ask for it."""

import errno
import os
import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from xcodec.cli.console import errors, show_error
from xcodec.cli.log_lines import logged_as
from xcodec.errors import XcodecError, first_line

__all__ = ["FAILED", "INTERRUPTED", "Command", "Failure", "explain"]

FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
TRACEBACK = "XCODEC_TRACEBACK"
SETTING = re.compile(r"\b(?P<name>[a-z]\w*)=(?P<value>\w+(\.\w+)*)")
"""How a remedy names an argument."""

_options: ContextVar[dict[str, TyperOption]] = ContextVar("_options", default={})  # noqa: B039  (never changed)
"""Options of the command that runs, by the names of their parameters, which are those of the package's arguments."""


class Command(TyperCommand):
    """A command whose errors are shown as messages."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; one with an option --log-format logs in that form, its errors, too."""
        with logged_as(ctx.params.get("log_format")):
            return self._invoke(ctx)

    def _invoke(self, ctx: Any) -> Any:
        before = _options.set({str(each.name): each for each in self.params if isinstance(each, TyperOption)})
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
        finally:
            _options.reset(before)


@dataclass(frozen=True)
class Failure:
    """What could not be done, a path or pattern, and why."""

    subject: str
    reason: str

    @classmethod
    def of(cls, subject: object, error: Exception) -> "Failure":
        """Describe an exception, which need not repeat what it is about.

        Raises:
            Exception: `error` itself, where the environment asks for tracebacks.
        """
        return cls(str(subject), explain(error, subject))

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"


def explain(error: Exception, subject: object | None = None) -> str:
    """Say in one line what went wrong.

    Args:
        error: what was raised.
        subject: what the line is about already, so that it need not be said again.

    Raises:
        Exception: `error` itself, where the environment asks for tracebacks.
    """
    if os.environ.get(TRACEBACK):
        raise error
    if isinstance(error, XcodecError):
        worded = in_options(error, _options.get())
        return " ".join((str(worded) if subject is None else worded.beside(subject)).split())
    if ran_out_of_memory(error):
        return "out of memory; give a smaller --batch-seconds, a shorter recording, or another --device"
    if could_not_compile(error):
        return f"torch's compiler failed, so leave --compile out: {first_line(error)}"
    if isinstance(error, OSError) and error.strerror:
        known = error.filename is None or str(error.filename) == str(subject)
        return error.strerror if known else f"{error.filename}: {error.strerror}"
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return f"{text}. This should not happen; please report it with what {TRACEBACK}=1 in the environment shows"


def in_options(error: XcodecError, options: dict[str, TyperOption]) -> XcodecError:
    """Word an error for whoever gave options: --bandwidth 3, where the package says bandwidth=3.0 of its argument."""

    def setting(found: re.Match[str]) -> str:
        option = options.get(found["name"])
        return found[0] if option is None else spelt(option, found["value"])

    argument, value = error.argument, error.value
    if argument in options:
        text = f"{value:g}" if isinstance(value, float) else "" if value is ... else repr(value)
        argument, value = spelt(options[argument], text), ...
    remedy = None if error.remedy is None else SETTING.sub(setting, error.remedy)
    item = spelt(options[error.item]) if error.item in options else None  # lists of inputs are no business of theirs
    return XcodecError(error.problem, subject=error.subject, argument=argument, value=value, remedy=remedy, item=item)


def spelt(option: TyperOption, value: str = "") -> str:
    """Spell an option as it is given; a switch takes no value."""
    name = max(option.opts, key=len)
    return name if option.is_flag or not value else f"{name} {value}"


def could_not_compile(error: Exception) -> bool:
    """Whether layers were to be compiled and torch could not, say for want of a C++ compiler."""
    return any(kind.__name__ == "BackendCompilerFailed" for kind in type(error).__mro__)


def ran_out_of_memory(error: Exception) -> bool:
    """Whether Python, the CPU or an accelerator had too little; torch has a class for the last only."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
