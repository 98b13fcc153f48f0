"""Positions in the status feed: what a reader has seen, exact under concurrent writers.

Numbers that are drawn in order are not committed in order, so "all rows after the last number I saw" misses what is
committed late. On PostgreSQL every row of the journals therefore carries the id of its transaction, and a position is
a snapshot: the transactions that had been committed when the reader looked. What it has not seen is what that
snapshot does not contain. SQLite has one writer at a time, so there a plain number in commit order is enough.

Source: PostgreSQL's documentation of `pg_current_snapshot`, "Transaction ID and Snapshot Information Functions".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

JOURNALS = ("campaigns_statuschange", "campaigns_catalogchange", "campaigns_ownerpace")
"""Tables whose rows say by `transaction_id` when something was news. Paces are updated in place: theirs is the latest.
No row of theirs is ever deleted but with its owner, of which the journal tells: numbers would be given out again."""

_LAST = ", ".join(f"COALESCE((SELECT max(transaction_id) FROM {journal}), 0)" for journal in JOURNALS)
_SNAPSHOT = re.compile(r"\d{1,19}:\d{1,19}:(\d{1,19}(,\d{1,19})*)?", re.ASCII)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_MAX_POSITION = 20_000  # characters; a transaction in progress takes about ten


class PositionError(ValueError):
    """Not a position of this database; the message is one sentence for people."""


class Since(NamedTuple):
    """The condition that a row of a journal is news, with its parameters."""

    condition: str
    params: tuple[str | int, ...]


def transaction_id(connection: BaseDatabaseWrapper) -> str:
    """The expression for the `transaction_id` of a row that is being inserted into a journal."""
    return "pg_current_xact_id()::text::bigint" if connection.vendor == "postgresql" else f"(1 + max({_LAST}))"


# A snapshot means something only as long as its transactions are numbered on. After a restart they may not be: a
# restore, a fail-over and a crash can take numbers back and give them out again. So a position names the run of the
# server, the database and the table that it was read from.
_INCARNATION = """
    left(md5(concat_ws('/', extract(epoch FROM pg_postmaster_start_time()), current_database(),
        'campaigns_statuschange'::regclass::oid, pg_is_in_recovery())), 8)
"""


def position(connection: BaseDatabaseWrapper) -> str:
    """Return where the feed stands now. Read it before the rows: then nothing falls between the two."""
    snapshot = f"{_INCARNATION} || '/' || pg_current_snapshot()::text"
    expression = snapshot if connection.vendor == "postgresql" else f"max({_LAST})"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {expression}")
        return str(cursor.fetchone()[0])


def since(connection: BaseDatabaseWrapper, seen: str) -> Since:
    """Return what tells the rows of a journal that a reader at the position `seen` has not seen.

    Raises PositionError for what is no position, or one of another database or of a time before a restore.
    """
    if connection.vendor != "postgresql":
        if not _NUMBER.fullmatch(seen) or int(seen) > int(position(connection)):
            raise _unknown()
        return Since("transaction_id > %s", (int(seen),))
    incarnation, _, snapshot = seen.partition("/")
    if len(seen) > _MAX_POSITION or not _SNAPSHOT.fullmatch(snapshot):
        raise _unknown()
    oldest_running, next_to_come = _bounds(snapshot)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_INCARNATION}, pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        now, newest = cursor.fetchone()
    if incarnation != now or next_to_come > newest:
        raise _unknown()
    # The bounds let the index find the few rows that come into question; the second one leaves out rows that a
    # restored database has from transactions which it has yet to come to itself.
    return Since(
        "transaction_id >= %s AND transaction_id <= %s "
        "AND NOT pg_visible_in_snapshot(transaction_id::text::xid8, %s::pg_snapshot)",
        (oldest_running, newest, snapshot),
    )


def _bounds(snapshot: str) -> tuple[int, int]:
    oldest_running, next_to_come, running = snapshot.split(":")
    if not int(oldest_running) <= int(next_to_come) < 2**63 or not int(oldest_running):
        raise _unknown()
    between = [int(one) for one in running.split(",") if one]
    if between != sorted(set(between)) or any(not int(oldest_running) <= one < int(next_to_come) for one in between):
        raise _unknown()
    return int(oldest_running), int(next_to_come)


def _unknown() -> PositionError:
    return PositionError(
        "This cursor is not one of this feed; fetch the feed without changed_since and go on from there."
    )
