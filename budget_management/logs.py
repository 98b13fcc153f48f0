"""How a log line is written: for people, or as a line of JSON, and in either never with a secret in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime

import msgspec

from campaigns.gateways import traces

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
            **traces.ids(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return without_secrets(msgspec.json.encode(line, enc_hook=str).decode())


# --- What is away ----------------------------------------------------------------------------

_MOST_CAUSES = 20
_ABSENCES = ("08", "25P03", "53", "57")
"""Beginnings of SQLSTATE: no connection; ended, since we had slept in a transaction; no room (on the disk, in memory,
for another connection); shut down."""


class AbsenceInOneLine(logging.Filter):
    """Lets that a server is away take one line: libraries add a traceback each time, and where it was missed helps
    nobody."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the record if it is one of these, and let it pass in any case."""
        if record.exc_info and record.exc_info[1] is not None and _says_absence(record.exc_info[1]):
            first, *_ = record.getMessage().splitlines() or [""]
            record.msg, record.args, record.exc_info, record.exc_text = first, (), None, None
        return True


def _says_absence(error: BaseException) -> bool:
    """Whether broker or database was away, at first: what went wrong in dealing with that comes after it."""
    from redis.exceptions import ConnectionError as NoBrokerError
    from redis.exceptions import TimeoutError as SilentBrokerError

    following: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if following is None:
            return False
        if isinstance(following, NoBrokerError | SilentBrokerError) or _is_database_away(following):
            return True
        following = following.__cause__ or following.__context__
    return False


def _is_database_away(error: BaseException) -> bool:
    from psycopg import Error, InterfaceError, OperationalError

    if not isinstance(error, Error):
        return False
    if error.sqlstate is None:  # said by the client, not by the server
        return isinstance(error, InterfaceError | OperationalError)
    return error.sqlstate.startswith(_ABSENCES)  # a deadlock, say, is worth its traceback
