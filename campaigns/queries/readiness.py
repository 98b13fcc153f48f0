"""Readiness: whether this installation can do all of its work now, check by check, each told within a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from django.db import Error, connection, connections
from django.db.migrations.executor import MigrationExecutor

from campaigns.gateways import broker
from campaigns.gateways.broker import BrokerError
from campaigns.queries.health import Intervals, State, health

ANSWER_SECONDS = 1.0
"""How long a check may take; what has not answered by then is told as not answering."""

MOST_ASKED = 9
"""Questions that may be under way, those included that nobody waits for any more: a database that hangs holds few."""

NO_DATABASE = "The database does not answer."


class Check(NamedTuple):
    """One thing that has to be right. reason: what is wrong and what to do; empty where nothing is."""

    name: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is right."""
        return not self.reason


def database_trouble() -> str:
    """Return what keeps the database from serving this version, as a sentence; empty where nothing does."""
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "Migrations are missing: run manage.py migrate."
    except Error:  # InterfaceError is no DatabaseError
        return NO_DATABASE
    return ""


def readiness(*, now: datetime, intervals: Intervals, broker_url: str) -> list[Check]:
    """Return every check: database, migrations, broker, last_pass, worker and beat, in this order.

    They are asked side by side, each with a connection of its own, and told after a second at the latest.
    """
    until = time.monotonic() + ANSWER_SECONDS
    questions = [
        _Question(("database", "migrations"), _database, NO_DATABASE),
        _Question(("broker",), partial(_broker, broker_url), "The broker does not answer."),
        _Question(
            ("last_pass", "worker", "beat"),
            partial(_periodic, now, intervals, broker_url),
            "Can't be told: the record of runs could not be read within a second.",
        ),
    ]
    return [check for question in questions for check in question.answer(until)]


_room = threading.BoundedSemaphore(MOST_ASKED)


class _Question(threading.Thread):
    """A question asked in a thread of its own, so that whoever waits for the answer can stop waiting."""

    def __init__(self, names: Sequence[str], ask: Callable[[], list[Check]], otherwise: str) -> None:
        super().__init__(daemon=True, name=f"readiness {names[0]}")
        self._ask = ask
        self._checks = [Check(name, otherwise) for name in names]
        self._asked = _room.acquire(blocking=False)
        if self._asked:
            self.start()

    def run(self) -> None:
        """Ask, keep the answer, and give the connection back."""
        try:
            self._checks = self._ask()
        except Error:
            pass  # the answer that it has stays
        finally:
            connections.close_all()
            _room.release()

    def answer(self, until: float) -> list[Check]:
        """Return the checks, at a moment of the monotonic clock at the latest."""
        if self._asked:
            self.join(max(until - time.monotonic(), 0))
        return self._checks


def _database() -> list[Check]:
    trouble = database_trouble()
    if trouble == NO_DATABASE:
        return [Check("database", trouble), Check("migrations", "Can't be told while the database does not answer.")]
    return [Check("database"), Check("migrations", trouble)]


def _broker(url: str) -> list[Check]:
    try:
        broker.count_waiting(url)
    except BrokerError:
        return [Check("broker", "The broker does not answer; look at Redis or Valkey.")]
    return [Check("broker")]


def _periodic(now: datetime, intervals: Intervals, broker_url: str) -> list[Check]:
    """The pass, and who is missing if it does not run."""
    found = {item.key: item for item in health(now=now, intervals=intervals, broker_url=broker_url).items}
    of = {"last_pass": "pass", "worker": "worker", "beat": "beat"}
    return [Check(name, "" if found[key].state is State.OK else found[key].sentence) for name, key in of.items()]
