"""Things at once: threads with connections of their own, and two transactions put in a chosen order."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import pytest
from django.db import connection, transaction

PATIENCE = 20.0
"""Seconds after which a thread is taken to hang."""

T = TypeVar("T")


class Worker(threading.Thread, Generic[T]):
    """A thread that does one piece of work on a connection of its own and gives it back."""

    def __init__(self, work: Callable[[], T], *, after: threading.Barrier | None = None) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._after = after
        self._error: BaseException | None = None
        self._result: T
        self.backend: int | None = None

    def run(self) -> None:
        """Do the work and keep its result or error."""
        try:
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    self.backend = cursor.fetchone()[0]
            if self._after is not None:
                self._after.wait(PATIENCE)
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is asked for
            self._error = error
        finally:
            connection.close()

    def result(self) -> T:
        """Wait for the work and return its result, or raise its error."""
        self.join(PATIENCE)
        assert not self.is_alive(), "a thread hangs"
        if self._error is not None:
            raise self._error
        return self._result


def together(*works: Callable[[], T]) -> list[T]:
    """Do several pieces of work at once, begun at the same moment; return their results in order."""
    barrier = threading.Barrier(len(works))
    workers = [Worker(work, after=barrier) for work in works]
    for worker in workers:
        worker.start()
    return results_of(workers)


def results_of(workers: Sequence[Worker[T]]) -> list[T]:
    """Wait for all of them, also where one has failed: none may go on into the next test."""
    for worker in workers:
        worker.join(PATIENCE)
    return [worker.result() for worker in workers]


@dataclass(frozen=True)
class Meeting:
    """How two transactions met: their results, and whether the second had to wait for the first."""

    first: Any
    second: Any
    waited: bool


def meet(
    first: Callable[[], Any],
    second: Callable[[], Any],
    *,
    at: tuple[object, str],
    when: Literal["before", "after"],
) -> Meeting:
    """Stop `first` before or after its first call of a function; let `second` go as far as it can; let `first` go on.

    at: the module and the name of the function. PostgreSQL only: that is where a waiting transaction can be seen.
    """
    owner, name = at
    plain = getattr(owner, name)
    reached, go_on = threading.Event(), threading.Event()

    def stop() -> None:
        if threading.current_thread() is one and not reached.is_set():
            reached.set()
            assert go_on.wait(PATIENCE)

    def stopping(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            stop()
        result = plain(*args, **kwargs)
        if when == "after":
            stop()
        return result

    one, two = Worker(first), Worker(second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, stopping)
        try:
            one.start()
            _until(lambda: reached.is_set() or not one.is_alive())
            assert reached.is_set(), f"{name} was not called: {one.result()}"
            two.start()
            _until(lambda: not two.is_alive() or waits_for_a_lock(two))
            waited = two.is_alive()
        finally:
            go_on.set()
        first_result, second_result = results_of([one, two])
        return Meeting(first_result, second_result, waited)


@contextmanager
def holding(work: Callable[[], object]) -> Iterator[None]:
    """Keep the locks that a piece of work takes as long as the block lasts, then roll the work back."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            work()
            held.set()
            assert let_go.wait(PATIENCE)
            transaction.set_rollback(True)

    holder = Worker(hold)
    holder.start()
    _until(lambda: held.is_set() or not holder.is_alive())
    try:
        yield
    finally:
        let_go.set()
        holder.result()


def queued(*works: Callable[[], Any], behind: Callable[[], object]) -> list[Any]:
    """Begin pieces of work one after the other, each once the one before it waits; then let the first one through.

    behind: what holds the locks that all of them come to need. PostgreSQL only.
    """
    workers = [Worker(work) for work in works]
    with holding(behind):
        for worker in workers:
            worker.start()
            _until(lambda of=worker: not of.is_alive() or waits_for_a_lock(of))  # type: ignore[misc]
    return results_of(workers)


def waits_for_a_lock(worker: Worker[Any]) -> bool:
    """Return whether a worker's statement waits for another transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", [worker.backend])
        row = cursor.fetchone()
    return bool(row and row[0])


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "a thread hangs"
        time.sleep(0.002)
