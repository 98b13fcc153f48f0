"""Group commit: what many threads ask for at the same moment becomes one call, and so one transaction.

A commit waits for the disk, and a hot counter's lock is held until the commit. Alone, 64 clients on one campaign would
wait in a queue of commits; together they share one. The first thread to come leads: it takes what has gathered, does
it in one call and hands the lead to the first who has come since. Whoever comes alone waits for nobody.

Source: group commit of databases, as in DeWitt et al., "Implementation Techniques for Main Memory Database Systems"
(SIGMOD 1984), section 5.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from campaigns.rules.errors import BudgetError

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

GATHER_SECONDS = 0.002
"""How long a leader waits for others when it has seen some lately."""

PATIENCE_SECONDS = 30.0
"""How long a thread waits for the answer before it gives up."""


class FullError(Exception):
    """More is waiting than may; nothing was done."""


class LateError(Exception):
    """No answer came in time; it is not known whether it was done."""


class Together(Generic[Ask, Answer]):
    """Calls `work` with what several threads ask for at once; every thread gets its own answer or error.

    work: takes asks, returns an answer or an error for each, in their order. If it raises BudgetError, nothing was
    done, and each is asked alone. weigh: how much of `most` (in one call) and of `waiting` (in the queue) an ask takes.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Ask]], Sequence[Answer | Exception]],
        *,
        weigh: Callable[[Ask], int] = lambda _: 1,
        most: int,
        waiting: int,
    ) -> None:
        self._work, self._weigh, self._most, self._room = work, weigh, most, waiting
        self._lock = threading.Lock()
        self._queue: deque[_Seat[Ask, Answer]] = deque()
        self._led = self._crowded = False

    def __call__(self, ask: Ask) -> Answer:
        """Return the answer to one ask, once it is done. Raises FullError, LateError, or the error it got."""
        seat = _Seat[Ask, Answer](ask, self._weigh(ask))
        with self._lock:
            if seat.weight > self._room:
                raise FullError
            self._room -= seat.weight
            self._queue.append(seat)
            seat.leads, self._led = not self._led, True
        try:
            # Looked at again after the wait: the lead may have come at the very moment of giving up.
            if not (seat.leads or seat.wait() or seat.leads):
                raise LateError
            if seat.leads:
                self._lead()
        except BaseException:
            self._vacate(seat)
            raise
        return seat.taken()

    def _vacate(self, seat: _Seat[Ask, Answer]) -> None:
        """Leave no place behind, for a thread that gives up or is ended: its ask is not done, its lead passed on."""
        following = None
        with self._lock:
            if seat in self._queue:
                self._queue.remove(seat)
                self._room += seat.weight
                following = self._pass_on() if seat.leads else None
        if following is not None:
            following.wake()

    def _pass_on(self) -> _Seat[Ask, Answer] | None:
        """Give the lead to the first who waits; return them, to be woken. The lock is held."""
        following = self._queue[0] if self._queue else None
        self._led = following is not None
        if following is not None:
            following.leads = True
        return following

    def _lead(self) -> None:
        """Do what has gathered, this thread's own ask first; then pass the lead on."""
        if self._crowded:
            time.sleep(GATHER_SECONDS)
        with self._lock:
            seats = self._take()
        try:
            self._answer(seats)
        finally:
            with self._lock:
                self._room += sum(seat.weight for seat in seats)
                self._crowded = len(seats) > 1 or bool(self._queue)
                following = self._pass_on()
            for seat in seats[1:]:
                seat.wake()
            if following is not None:
                following.wake()

    def _take(self) -> list[_Seat[Ask, Answer]]:
        seats = [self._queue.popleft()]
        weight = seats[0].weight
        while self._queue and weight + self._queue[0].weight <= self._most:
            seats.append(self._queue.popleft())
            weight += seats[-1].weight
        return seats

    def _answer(self, seats: Sequence[_Seat[Ask, Answer]]) -> None:
        try:
            answers = self._work([seat.ask for seat in seats])
            for seat, answer in zip(seats, answers, strict=True):
                seat.answer = answer
        except BudgetError as error:
            if len(seats) == 1:
                seats[0].answer = error
            else:
                for seat in seats:
                    self._answer([seat])
        except Exception as error:  # noqa: BLE001 - every thread that waits gets it, this one too
            for seat in seats:
                seat.answer = error


class _Seat(Generic[Ask, Answer]):
    """A thread's place in the queue."""

    __slots__ = ("_gate", "answer", "ask", "leads", "weight")

    def __init__(self, ask: Ask, weight: int) -> None:
        self.ask, self.weight = ask, weight
        self.answer: Answer | Exception = LateError()
        self.leads = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def wait(self) -> bool:
        """Wait until woken, half a minute at most; return whether it was."""
        return self._gate.acquire(timeout=PATIENCE_SECONDS)

    def wake(self) -> None:
        """Let its thread go on: it is answered, or it leads."""
        self._gate.release()

    def taken(self) -> Answer:
        """Return the answer, or raise the error."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer
