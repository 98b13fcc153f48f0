"""Rehearsal: do the real thing, see what it does, and take all of it back. How a change is shown before it is made.

There is no second path that says what a change would do, and so none that could say something else. A rehearsal holds
real locks, which spend may wait for: so it gives up soon where others are in its way, and where it takes long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable, QueryCanceled

from campaigns.rules.errors import BudgetError

LOCK_WAIT_MS, STATEMENT_MS = 500, 3_000
"""How long a statement of a rehearsal waits for a lock and how long it runs, on PostgreSQL, in milliseconds."""

_Outcome = TypeVar("_Outcome")


class RehearsalBusyError(BudgetError):
    """What was to be rehearsed is locked by somebody, or too much for a look ahead."""


def rehearse(work: Callable[[], _Outcome]) -> _Outcome:
    """Do `work` in a transaction that is rolled back, and return what it returned.

    Within somebody's transaction it is a savepoint. What the work raises comes through, with nothing left of it
    either. What is to be told of the outcome has to be read within the work: afterwards the database has forgotten it,
    and rows in Python that the work changed are not what is stored.

    Raises RehearsalBusyError where it can't be had soon.
    """
    try:
        with transaction.atomic():
            _bound()
            outcome = work()
            transaction.set_rollback(True)
    except OperationalError as error:
        match error.__cause__:
            case QueryCanceled():
                raise RehearsalBusyError("This touches too much to be tried out beforehand.") from error
            case LockNotAvailable():
                raise _busy() from error
            case _ if connection.vendor == "sqlite":  # one writer at a time, and it was not our turn
                raise _busy() from error
        raise
    return outcome


def _busy() -> RehearsalBusyError:
    return RehearsalBusyError("Busy: somebody is changing the same things right now. Try again in a moment.")


def _bound() -> None:
    """Bound the statements of this transaction. SQLite has its own bound for waiting, in the settings."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS:d}")
            cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_MS:d}")
