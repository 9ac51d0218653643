"""What happens, as JSON lines on standard error, for programs that gather logs."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from enum import Enum

__all__ = ["LogFormat", "is_logged", "logged_as"]


class LogFormat(str, Enum):
    """How a command tells what happens."""

    TEXT = "text"
    JSON = "json"


class JsonLines(logging.Handler):
    """Writes each record as a line: `time` in UTC, `level`, `event`, and the record's `fields`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        said = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        try:
            sys.stderr.write(json.dumps(said, ensure_ascii=False, default=str) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def is_logged() -> bool:
    """Whether standard error takes a log, so that nothing else is to be written there."""
    return any(isinstance(handler, JsonLines) for handler in logging.getLogger("xcodec").handlers)


@contextmanager
def logged_as(log_format: LogFormat | None) -> Iterator[None]:
    """Log in this form while the block runs; TEXT and None log nothing."""
    if log_format != LogFormat.JSON:
        yield
        return
    logger, handler = logging.getLogger("xcodec"), JsonLines()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
