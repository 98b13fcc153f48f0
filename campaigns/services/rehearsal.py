"""Rehearsal: do the real thing, see what it does, and take all of it back. How a change is shown before it is made.

There is no second path that says what a change would do, and so none that could say something else. A rehearsal holds
real locks, which spend may wait for: so it gives up soon where others are in its way, and after a second in any case.
What is more than a thousand campaigns is rehearsed in slices, one after the other, each with locks of its own: the
verdict on a campaign does not depend on what is set on another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable, QueryCanceled

from campaigns.rules.errors import BudgetError

LOCK_WAIT_MS, HELD_MS = 500, 1_000
"""How long a statement of a rehearsal waits for a lock (PostgreSQL), and how long all of it takes, in milliseconds."""

SLICE, SMALLEST_SLICE = 1_000, 125
"""Campaigns that are rehearsed at once: what spend may have to wait for."""

_Outcome = TypeVar("_Outcome")
_Item = TypeVar("_Item")


class RehearsalBusyError(BudgetError):
    """What was to be rehearsed is locked by somebody, or would have kept others waiting."""


class RehearsalTooLongError(RehearsalBusyError):
    """It was stopped before its end, so that spend does not wait for it."""

    def __init__(self) -> None:
        super().__init__(
            "Trying this out would keep spend waiting for too long, so it was stopped. Try again in a moment, or take "
            "fewer campaigns at once."
        )


def rehearse(work: Callable[[], _Outcome]) -> _Outcome:
    """Do `work` in a transaction that is rolled back, and return what it returned.

    Within somebody's transaction it is a savepoint. What the work raises comes through, with nothing left of it
    either. What is to be told of the outcome has to be read within the work: afterwards the database has forgotten it,
    and rows in Python that the work changed are not what is stored.

    Raises RehearsalBusyError where it can't be had soon.
    """
    try:
        with transaction.atomic(), connection.execute_wrapper(_Deadline()):
            outcome = work()
            transaction.set_rollback(True)
    except OperationalError as error:
        match error.__cause__:
            case QueryCanceled():
                raise RehearsalTooLongError from error
            case LockNotAvailable():
                raise _busy() from error
            case _ if connection.vendor == "sqlite":  # one writer at a time, and it was not our turn
                raise _busy() from error
        raise
    return outcome


def rehearse_in_slices(work: Callable[[Sequence[_Item]], _Outcome], items: Sequence[_Item]) -> Iterator[_Outcome]:
    """Rehearse work on many things, each for itself, some at a time; yield what it returned for each slice.

    The slices are of nearly the same size. Where they take too long, because the database has much to do, they become
    smaller.
    """
    size, at = SLICE, 0
    while at < len(items):
        left = len(items) - at
        part = items[at : at + _divided_up(left, _divided_up(left, size))]
        try:
            outcome = rehearse(partial(work, part))
        except RehearsalTooLongError:
            if size <= SMALLEST_SLICE:
                raise
            size //= 2
            continue
        yield outcome
        at += len(part)


def _divided_up(number: int, by: int) -> int:
    return -(-number // by)


class _Deadline:
    """Bounds all statements of a rehearsal together: each runs as long as is left since the first one began.

    The database has a bound for one statement, and PostgreSQL one for a transaction that ends the connection with it.
    """

    def __init__(self) -> None:
        self._ends = 0.0

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        if not str(sql).startswith(_SAVEPOINTS):  # which clean up after what has failed
            self._bound(context["connection"])
        return execute(sql, params, many, context)

    def _bound(self, database: Any) -> None:
        self._ends = self._ends or time.monotonic() + HELD_MS / 1_000
        left = int((self._ends - time.monotonic()) * 1_000)
        if left <= 0:
            raise RehearsalTooLongError
        # SQLite has its own bound for waiting, in the settings. No cursor of Django's: it would come back here.
        if database.vendor == "postgresql":
            bounds = f"SET LOCAL statement_timeout = {left:d}; SET LOCAL lock_timeout = {LOCK_WAIT_MS:d}"
            database.connection.execute(bounds, prepare=False)


_SAVEPOINTS = ("SAVEPOINT", "ROLLBACK", "RELEASE")


def _busy() -> RehearsalBusyError:
    return RehearsalBusyError("Busy: somebody is changing the same things right now. Try again in a moment.")
