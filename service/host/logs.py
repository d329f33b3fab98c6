"""Logs of the service's processes, for people or as JSON: one line an event, whatever is in it."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum

FORMAT_ENV, LEVEL_ENV = "REWARDPLANE_LOG_FORMAT", "REWARDPLANE_LOG_LEVEL"
FIELDS = ("request_id", "trace_id", "job", "step", "reward")
"""What a record may carry (`extra`) beside its text."""

# A stranger's request id is part of a text: no control character of it may begin another line.
_ESCAPED = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))},
    0x0A: "\\n",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


class LogFormat(StrEnum):
    """How logs are written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """What is written: this level and those above it."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class JsonFormatter(logging.Formatter):
    """A JSON object a line: time, level, logger, message, and the FIELDS that a record has."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, ""))}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, logger and message; a traceback follows in lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its base's name
        """The line of a record, without control characters."""
        record.message = record.message.translate(_ESCAPED)
        return super().formatMessage(record)


def choose(form: LogFormat, level: LogLevel) -> None:
    """Sets the choice, for this process and those that it starts."""
    os.environ[FORMAT_ENV], os.environ[LEVEL_ENV] = form, level


def chosen() -> dict[str, str]:
    """The choice as environment variables, for processes that others start."""
    return {name: os.environ[name] for name in (FORMAT_ENV, LEVEL_ENV) if name in os.environ}


def to_stderr() -> None:
    """Our logs go to this process's own stderr, in the form that was chosen.

    Serve puts its logger in the place of `sys.stderr`.
    """
    is_json = os.environ.get(FORMAT_ENV) == LogFormat.JSON
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(JsonFormatter() if is_json else TextFormatter())
    ours = logging.getLogger("rewardplane")
    for old in list(ours.handlers):
        ours.removeHandler(old)
    ours.addHandler(handler)
    ours.setLevel(os.environ.get(LEVEL_ENV, LogLevel.WARNING).upper())
    ours.propagate = False
