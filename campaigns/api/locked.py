"""Waiting for locks, with a bound: one brand that somebody keeps locked must not hold up all the others.

What many threads ask for is done in one transaction, so it waits for the locks of all of them. Where one can't be had
soon, each is done alone: those of the locked brand are told to come again, the others get through.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from django.db import Error, OperationalError, connection
from psycopg.errors import LockNotAvailable

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

PATIENT_MS, HURRIED_MS = 1_500, 100
"""How long a statement waits for a lock, in milliseconds: together with others, and alone after that has failed."""


def past_locks(
    work: Callable[[Sequence[Ask]], Sequence[Answer | Exception]],
) -> Callable[[Sequence[Ask]], Sequence[Answer | Exception]]:
    """Return work that waits for locks only so long, and then does each ask alone."""

    @functools.wraps(work)
    def bounded(asks: Sequence[Ask]) -> Sequence[Answer | Exception]:
        try:
            with _waiting(PATIENT_MS):
                return work(asks)
        except OperationalError as error:
            if len(asks) == 1 or not isinstance(error.__cause__, LockNotAvailable):
                raise
        with _waiting(HURRIED_MS):
            return [_alone(work, ask) for ask in asks]

    return bounded


def _alone(work: Callable[[Sequence[Ask]], Sequence[Answer | Exception]], ask: Ask) -> Answer | Exception:
    try:
        (answer,) = work([ask])
    except Exception as error:  # noqa: BLE001 - it is the answer to this ask, and to no other
        return error
    return answer


@contextlib.contextmanager
def _waiting(milliseconds: int) -> Iterator[None]:
    """Bound how long this connection waits for a lock. SQLite has its own bound, in the settings."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {milliseconds:d}")
    try:
        yield
    finally:
        with contextlib.suppress(Error), connection.cursor() as cursor:  # the connection itself may be gone
            cursor.execute("RESET lock_timeout")
