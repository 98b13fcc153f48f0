"""How a log line is written: for people, or as a line of JSON, and in either never with a secret in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime

import msgspec

context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default={})  # noqa: B039 - nobody changes it
"""What every line of a request or a task carries: `request_id`, or `task` and `task_id`."""

_KEY = re.compile(r"(bk_[0-9a-f]{12}_)[\w-]+")
"""A key of the API, wherever it stands. In JSON a line break is a backslash and a letter: no word begins at the key."""

_BEARER = re.compile(r"(bearer[\s:=+]+)(?!bk_)[^\s\"',;\\]+", re.IGNORECASE)
"""What follows the word Bearer, without the backslash of a quotation mark in JSON."""


def without_secrets(text: str) -> str:
    """Return a text with every key of the API cut to its beginning, which the admin shows, too."""
    if "bk_" in text:
        text = _KEY.sub(r"\1…", text)
    if "bearer" in text.lower():
        text = _BEARER.sub(r"\1…", text)
    return text


class Lines(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and what went wrong below it."""
        return without_secrets(super().format(record))


class JsonLines(logging.Formatter):
    """A line of JSON: time, level, logger, message, what the request or task is, and the record's own `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **context.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return without_secrets(msgspec.json.encode(line, enc_hook=str).decode())
