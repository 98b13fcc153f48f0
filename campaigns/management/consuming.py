"""Recording what comes over a stream, batch by batch, until it is told to stop.

The order is the promise: a batch is committed first and acknowledged then. Whoever dies between the two leaves
messages that are delivered again, and the ledger knows them. Nothing is kept in memory from one batch to the next.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import redis
from django.db import DataError, Error, IntegrityError, close_old_connections
from django.utils import timezone

from campaigns.gateways import meters
from campaigns.gateways.spend_json import Unreadable
from campaigns.gateways.streams import Message, NoGroupError, Refused, SpendStream, read_message
from campaigns.management.console import database_sentence, one_line
from campaigns.rules.errors import BudgetError
from campaigns.services.events import of_wire
from campaigns.services.spend import Outcome, SpendEvent, SpendResult, record_spend

logger = logging.getLogger(__name__)

BLOCK_MS = 1_000
"""How long a read waits for a message, and so how long a stop may take when there is none."""

TELL_SECONDS = 10
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.5, 5.0
NAP_SECONDS = 0.1

FORGET_EVERY_SECONDS = 600
FORGOTTEN_AFTER_SECONDS = 3_600
"""A consumer that lives asks for messages every second. One that was silent for an hour is no more."""

_ACKNOWLEDGED = (Outcome.RECORDED, Outcome.DUPLICATE)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to consume. batch: messages in a transaction. claim_after: seconds without a sign of life, after which
    messages are taken over. drain: end when there is nothing left.
    """

    batch: int
    claim_after: int
    drain: bool = False


class _UnexplainedError(Exception):
    """Nothing of a batch could be recorded, and neither the events nor the database seem to be the reason."""


@dataclass
class _Trouble:
    """What keeps us from working: since when, and for how many attempts."""

    where: str
    since: float
    attempts: int = 0


class Consumer:
    """Reads a stream, records what is in it and acknowledges it, in this order."""

    def __init__(self, stream: SpendStream, plan: Plan, *, say: Callable[[str], None]) -> None:
        """Prepare; nothing is read yet. say: prints a line for people."""
        self._stream = stream
        self._plan = plan
        self._say = say
        self._stopped = False
        self._has_group = False
        self._own_pending = True  # of a consumer of our name that was before us, or after a failure
        self._trouble: _Trouble | None = None
        self._tally: Counter[Outcome] = Counter()
        beginning = time.monotonic()
        self._next_claim = self._next_forget = beginning
        self._next_line = beginning + TELL_SECONDS

    def stop(self) -> None:
        """Ask it to end after the batch in hand; a signal handler may call this.

        A plain flag: an Event's lock, taken in a handler that interrupts its holder, would never be free again.
        """
        self._stopped = True

    def run(self) -> None:
        """Consume until stopped. Raises StreamError when a key at the broker holds something else than a stream.

        What does not answer is waited for: nothing is acknowledged meanwhile.
        """
        while not self._stopped:
            try:
                if not self._turn() and self._plan.drain:
                    break
            except NoGroupError:
                self._has_group = False
            except (redis.RedisError, Error, _UnexplainedError) as error:
                self._wait_out(error)
            if time.monotonic() >= self._next_line:
                self._tell()
        self._tell()

    def _turn(self) -> bool:
        """Work off one batch; return whether there was one."""
        if not self._has_group:
            self._stream.create_group()
            self._has_group = True
        batch = self._next_batch()
        if batch:
            self._work_off(batch, now=timezone.now())
        self._end_trouble()
        if time.monotonic() >= self._next_forget:
            # Set first: where it fails, because scripts are not allowed say, it must not fail at every turn.
            self._next_forget = time.monotonic() + FORGET_EVERY_SECONDS
            self._stream.forget_consumers(idle_ms=FORGOTTEN_AFTER_SECONDS * 1_000)
        return bool(batch)

    def _next_batch(self) -> list[Message]:
        """Our own that we have not settled; then what others have left behind; then what is new."""
        size = self._plan.batch
        if self._own_pending:
            if own := self._stream.read_own(size):
                # New ones beside them: the company in which one that nobody can record is found out.
                return own + self._stream.read_new(size - len(own))
            self._own_pending = False
        if time.monotonic() >= self._next_claim:
            if claimed := self._stream.claim(size, idle_ms=self._plan.claim_after * 1_000):
                return claimed
            self._next_claim = time.monotonic() + self._plan.claim_after / 4
        return self._stream.read_new(size, block_ms=0 if self._plan.drain else BLOCK_MS)

    # --- A batch -----------------------------------------------------------------------------

    def _work_off(self, batch: Sequence[Message], *, now: datetime) -> None:
        messages, events, refused = [], [], []
        for message in batch:
            event = read_message(message)
            if isinstance(event, Unreadable):
                refused.append(Refused(message, event.detail))
            else:
                messages.append(message)
                events.append(of_wire(event))
        self._refuse(refused, now)
        if messages:
            self._record(messages, events, now)

    def _record(self, messages: Sequence[Message], events: Sequence[SpendEvent], now: datetime) -> None:
        """Record in one transaction. What is refused as a whole is halved until the cause stands alone."""
        parts = [(messages, events)]
        puzzles: list[tuple[Message, Exception]] = []
        got_through = False
        while parts:
            some, of_them = parts.pop()
            try:
                results = record_spend(of_them, now=now).results
            except Exception as error:
                if _is_the_databases(error):
                    raise
                if len(some) > 1:
                    middle = len(some) // 2
                    parts += [(some[middle:], of_them[middle:]), (some[:middle], of_them[:middle])]
                elif isinstance(error, BudgetError):
                    self._refuse([Refused(some[0], str(error))], now)
                else:
                    puzzles.append((some[0], error))
            else:
                got_through = True
                self._settle(some, results, now)
            if self._stopped:
                return  # the rest stays pending, for whoever comes next
        self._give_up(puzzles, now, at_fault=got_through)

    def _give_up(self, puzzles: Sequence[tuple[Message, Exception]], now: datetime, *, at_fault: bool) -> None:
        """Refuse the events that failed alone for no reason that the service names.

        Only if others got through, so that they are at fault; if none did, it is more likely we who are, and in the
        end all of the stream would be refused.
        """
        if puzzles and not at_fault:
            raise _UnexplainedError(_named(puzzles[0][1])) from puzzles[0][1]
        self._refuse([Refused(message, f"It can't be recorded: {_named(error)}.") for message, error in puzzles], now)

    def _settle(self, messages: Sequence[Message], results: Sequence[SpendResult], now: datetime) -> None:
        done, refused = [], []
        meters.count_events("stream", Counter(result.outcome for result in results))
        for message, result in zip(messages, results, strict=True):
            if result.outcome in _ACKNOWLEDGED:
                done.append(message)
            else:
                refused.append(Refused(message, result.detail))
            self._tally[result.outcome] += 1
        self._stream.settle(done, refused, now=now)

    def _refuse(self, refused: Sequence[Refused], now: datetime) -> None:
        if refused:
            self._tally[Outcome.REJECTED] += len(refused)
            meters.count_events("stream", {Outcome.REJECTED: len(refused)})
            self._stream.settle((), refused, now=now)

    def _tell(self) -> None:
        """Print what became of the events since the last line, if there were any."""
        if self._tally:
            names = {"recorded": Outcome.RECORDED, "duplicates": Outcome.DUPLICATE}
            names |= {"conflicts": Outcome.CONFLICT, "rejected": Outcome.REJECTED}
            self._say(", ".join(f"{name} {self._tally[outcome]:,}" for name, outcome in names.items()))
        self._tally.clear()
        self._next_line = time.monotonic() + TELL_SECONDS

    # --- Trouble -----------------------------------------------------------------------------

    def _wait_out(self, error: Exception) -> None:
        """Wait a while, longer each time in a row; say so only when it begins."""
        where, sentence = _explained(error)
        if self._trouble is None or self._trouble.where != where:
            self._trouble = _Trouble(where, since=time.monotonic())
            logger.warning("%s Nothing is acknowledged until it works again.", sentence)
        logger.debug("Attempt %d", self._trouble.attempts + 1, exc_info=error)
        self._own_pending = True  # what was in hand is read again
        if isinstance(error, Error):
            close_old_connections()  # one that has died would stay dead
        delay = min(FIRST_DELAY_SECONDS * 2 ** min(self._trouble.attempts, 10), LONGEST_DELAY_SECONDS)
        self._trouble.attempts += 1
        until = time.monotonic() + delay
        while not self._stopped and time.monotonic() < until:
            time.sleep(NAP_SECONDS)

    def _end_trouble(self) -> None:
        if self._trouble is not None:
            logger.info("It works again, after %.0f s.", time.monotonic() - self._trouble.since)
            self._trouble = None


def _is_the_databases(error: Exception) -> bool:
    """Whether an error says that the database can't record now, whatever the events are."""
    return isinstance(error, Error) and not isinstance(error, DataError | IntegrityError)


def _explained(error: Exception) -> tuple[str, str]:
    """Where an error comes from, and a sentence that says it."""
    if isinstance(error, Error):
        return "database", database_sentence(error)
    if isinstance(error, _UnexplainedError):
        return "service", f"Not one event of a batch can be recorded: {error}."
    return "broker", f"The broker does not answer as it should: {_first_line(error)}."


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    first, *_ = str(error).strip().splitlines() or [type(error).__name__]
    return one_line(first)[:200].rstrip(".")
