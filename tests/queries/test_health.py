"""Health: who runs in time, who is missing, and that the broker is asked only then, and never for long."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.gateways import broker
from campaigns.models import PeriodicRun
from campaigns.queries.health import Health, Intervals, Item, LastRun, State, health
from tests import servers
from tests.factories import NOW

pytestmark = pytest.mark.django_db

Task = PeriodicRun.Task
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
HOUR = timedelta(hours=1)
INTERVALS = Intervals(enforce=MINUTE, roll_over=MINUTE, ledger_check=HOUR)
NOWHERE = f"redis://127.0.0.1:{servers.free_port()}/0"
"""An address at which nobody listens, told from one that must not be asked by what the items say."""


def ran(task: Task, ago: timedelta, took: timedelta | None = SECOND, *, judged: int = 0, changed: int = 0) -> None:
    """Record a run that began some time ago; without an end if it took nothing."""
    began = NOW - ago
    ended = None if took is None else began + took
    PeriodicRun.objects.create(task=task, started_at=began, finished_at=ended, judged=judged, changed=changed)


def all_well(ago: timedelta = 20 * SECOND) -> None:
    for task in (Task.RESET_DAILY, Task.RESET_MONTHLY):
        ran(task, ago)
    ran(Task.ENFORCE, ago, judged=1_204, changed=3)
    ran(Task.CHECK_LEDGER, 12 * MINUTE, judged=10_233)


def seen(broker_url: str = NOWHERE, intervals: Intervals = INTERVALS) -> Health:
    return health(now=NOW, intervals=intervals, broker_url=broker_url)


def item(found: Health, key: str) -> Item:
    return next(item for item in found.items if item.key == key)


def said(found: Health, key: str) -> tuple[State, str]:
    return item(found, key).state, item(found, key).sentence


@pytest.fixture
def queue(valkey_url: str) -> Iterator[str]:
    """Return the URL of a broker in whose queue nothing is waiting."""
    with redis.Redis.from_url(valkey_url) as client:
        client.delete(broker.QUEUE)
        yield valkey_url
        client.delete(broker.QUEUE)


def put(url: str, number: int) -> None:
    with redis.Redis.from_url(url) as client:
        client.rpush(broker.QUEUE, *["a task"] * number)


def test_all_is_well() -> None:
    all_well()
    found = seen()
    assert [(item.name, item.state, item.sentence) for item in found.items] == [
        ("Last pass", State.OK, "20 s ago, took 1 s: 1,204 campaigns judged, 3 changed."),
        ("Late passes", State.OK, "None in the last 24 hours."),
        ("Roll-overs", State.OK, "Looked for new days 20 s ago, for new months 20 s ago."),
        ("Worker", State.OK, "Takes what is due."),
        ("Beat", State.OK, "Sends what is due."),
        ("Ledger check", State.OK, "Checked 12 min ago: 10,233 counters, no difference."),
    ]
    assert (found.state, found.late, found.late_runs) == (State.OK, False, 0)
    assert found.last_pass == LastRun(started_at=NOW - 20 * SECOND, took=SECOND, judged=1_204, changed=3)
    assert found.daily is not None
    assert found.ledger_check is not None


def test_it_takes_two_statements_whatever_has_run() -> None:
    for minutes in range(100):
        all_well(minutes * MINUTE)
    with CaptureQueriesContext(connection) as captured:
        seen()
    assert len(captured.captured_queries) == 2


def test_the_last_run_is_the_one_that_began_last() -> None:
    all_well(5 * SECOND)
    ran(Task.ENFORCE, MINUTE, judged=7)  # recorded later, begun before
    assert seen().last_pass == LastRun(started_at=NOW - 5 * SECOND, took=SECOND, judged=1_204, changed=3)


# --- The pass --------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "late"), [(150, False), (151, True)])
def test_a_pass_is_late_after_two_intervals_and_a_while(seconds: int, late: bool, queue: str) -> None:
    all_well(seconds * SECOND)
    found = seen(queue)
    assert found.late is late
    assert item(found, "pass").state is (State.BAD if late else State.OK)


def test_a_late_pass_is_told(queue: str) -> None:
    all_well(5 * MINUTE)
    assert said(seen(queue), "pass") == (State.BAD, "The last pass was 5 min ago; one is due every 60 s.")


def test_a_pass_under_way_hides_neither_the_last_one_nor_that_it_hangs() -> None:
    all_well()
    ran(Task.ENFORCE, 2 * SECOND, None)
    assert said(seen(), "pass")[0] is State.OK
    PeriodicRun.objects.filter(task=Task.ENFORCE).delete()
    ran(Task.ENFORCE, 7 * MINUTE)
    ran(Task.ENFORCE, 5 * MINUTE, None)
    found = seen()
    assert (found.late, said(found, "pass")) == (
        True,
        (State.BAD, "The last one began 5 min ago and has not come to its end."),
    )


def test_passes_that_all_fail_are_late_though_new_ones_begin() -> None:
    all_well(5 * MINUTE)
    for minutes in range(5):
        ran(Task.ENFORCE, minutes * MINUTE, None)
    found = seen()
    assert found.late
    assert said(found, "pass") == (State.BAD, "The last pass was 5 min ago; one is due every 60 s.")
    assert item(found, "worker").state is State.OK


def test_late_passes_of_the_last_day_are_counted() -> None:
    for minutes in (0, 1, 2, 4, 6.5, 7.5, 20, 24 * 60 - 1, 24 * 60 + 30):
        ran(Task.ENFORCE, minutes * MINUTE)
    ran(Task.RESET_DAILY, 10 * MINUTE)
    found = seen()
    assert found.late_runs == 3
    assert said(found, "late") == (State.WARN, "3 passes began late in the last 24 hours.")


# --- Roll-overs ------------------------------------------------------------------------------


def test_roll_overs_that_nobody_looks_for_are_told() -> None:
    all_well()
    PeriodicRun.objects.filter(task=Task.RESET_MONTHLY).delete()
    assert said(seen(), "roll_overs") == (State.UNKNOWN, "Nobody has looked for new days and months yet.")
    ran(Task.RESET_MONTHLY, 3 * HOUR)
    assert said(seen(), "roll_overs") == (
        State.BAD,
        "Looked for new days 20 s ago, for new months 3 h ago. Both are due every 60 s.",
    )


# --- Worker and beat -------------------------------------------------------------------------


def test_nothing_is_asked_of_the_broker_while_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(broker, "count_waiting", asked.append)
    all_well(10 * MINUTE)
    ran(Task.RESET_DAILY, MINUTE, None)
    assert (said(seen(), "worker")[0], said(seen(), "beat")[0], asked) == (State.OK, State.OK, [])


def test_a_ledger_check_alone_does_not_prove_that_they_are_alive(queue: str) -> None:
    all_well(10 * MINUTE)
    ran(Task.CHECK_LEDGER, SECOND)
    assert item(seen(queue), "beat").state is State.BAD


def test_what_is_waiting_tells_of_a_missing_worker(queue: str) -> None:
    all_well(5 * MINUTE)
    put(queue, 12)
    found = seen(queue)
    assert said(found, "worker") == (State.BAD, "12 tasks are waiting and none is taken; start a worker.")
    assert said(found, "beat") == (State.UNKNOWN, "Can't be told while no worker takes what it sends.")


def test_a_worker_that_hangs_is_told_from_a_missing_one(queue: str) -> None:
    all_well(9 * MINUTE)
    ran(Task.ENFORCE, 5 * MINUTE, None)
    put(queue, 1)
    assert said(seen(queue), "worker") == (
        State.BAD,
        "1 task is waiting; it is busy with what it began 5 min ago, or was killed. Start a worker.",
    )


def test_an_empty_queue_tells_of_a_missing_beat(queue: str) -> None:
    all_well(5 * MINUTE)
    found = seen(queue)
    assert said(found, "worker") == (State.UNKNOWN, "Can't be told while nothing waits for it.")
    assert said(found, "beat") == (State.BAD, "Nothing has run for 5 min and nothing is waiting; start beat.")


def test_before_anything_has_run_it_is_no_alarm_yet(queue: str) -> None:
    found = seen(queue)
    assert [(item.key, item.state) for item in found.items] == [
        ("pass", State.UNKNOWN),
        ("late", State.OK),
        ("roll_overs", State.UNKNOWN),
        ("worker", State.UNKNOWN),
        ("beat", State.WARN),
        ("ledger", State.UNKNOWN),
    ]
    assert (found.state, found.late, found.last_pass) == (State.WARN, False, None)
    assert said(found, "pass")[1] == "No pass has come to its end yet; one is due every 60 s."


def silent(listener: socket.socket) -> str:
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.mark.parametrize("address", [lambda _: NOWHERE, silent], ids=["nobody listens", "nobody answers"])
def test_a_broker_that_does_not_answer_costs_less_than_a_second(address: Callable[[socket.socket], str]) -> None:
    all_well(5 * MINUTE)
    with socket.socket() as listener:
        url = address(listener)
        began = time.monotonic()
        found = seen(url)
        assert time.monotonic() - began < 4  # a second, and what a busy machine needs besides
    assert said(found, "worker") == (
        State.BAD,
        "The broker does not answer, so nothing can be started; look at Redis or Valkey.",
    )
    assert item(found, "beat").state is State.UNKNOWN


def test_what_waits_is_what_celery_puts_there(queue: str) -> None:
    from budget_management.celery import app

    assert app.conf.task_default_queue == broker.QUEUE
    with app.connection_for_write(queue) as link:
        for _ in range(3):
            app.send_task("campaigns.tasks.expire_holds", connection=link)
    assert broker.count_waiting(queue) == 3


def test_an_address_that_can_not_be_read_is_a_broker_that_does_not_answer() -> None:
    with pytest.raises(broker.BrokerError):
        broker.count_waiting("nonsense")


# --- The ledger ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], (State.UNKNOWN, "Not checked yet; a check is due every 60 min.")),
        ([(MINUTE, None, 0)], (State.UNKNOWN, "Not checked yet; a check is due every 60 min.")),
        (
            [(HOUR, SECOND, 1)],
            (State.BAD, "1 counter differs from the ledger, found 60 min ago; run check_ledger."),
        ),
        (
            [(2 * HOUR, SECOND, 5), (HOUR, SECOND, 2)],
            (State.BAD, "2 counters differ from the ledger, found 60 min ago; run check_ledger."),
        ),
        ([(2 * HOUR, SECOND, 5), (HOUR, SECOND, 0)], (State.OK, "Checked 60 min ago: 8 counters, no difference.")),
        (
            [(3 * HOUR, SECOND, 0), (HOUR, None, 0)],
            (State.WARN, "Checked 3 h ago: 8 counters, no difference. A check is due every 60 min."),
        ),
    ],
)
def test_what_the_last_check_of_the_ledger_found(runs: list[Any], expected: tuple[State, str]) -> None:
    for ago, took, changed in runs:
        ran(Task.CHECK_LEDGER, ago, took, judged=8, changed=changed)
    ran(Task.ENFORCE, SECOND)
    assert said(seen(), "ledger") == expected
