"""A real worker and a real beat, on a real broker: what runs when, and what survives what."""

import importlib
import logging
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
import redis
import time_machine
from django.conf import settings
from django.db import connection, transaction

from budget_management import celery
from campaigns import tasks
from campaigns.models import PeriodicRun
from tests import servers
from tests.servers import Program, running, wait_until

TASKS = {
    tasks.enforce_campaign_status: ("enforcement", "enforce_all"),
    tasks.reset_daily: ("rollover", "reset_daily_budgets"),
    tasks.reset_monthly: ("rollover", "reset_monthly_budgets"),
    tasks.expire_holds: ("holds", "expire_holds"),
    tasks.sum_hours: ("hours", "sum_hours"),
    tasks.check_ledger: ("audit", "run_check"),
    tasks.pace_campaigns: ("pacing", "pace_all"),
}
QUEUE = "budget_management"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_reads_the_clock_and_calls_one_service(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, verb = TASKS[task]
    calls: list[datetime] = []
    service = importlib.import_module(f"campaigns.services.{module}")
    monkeypatch.setattr(service, verb, lambda *, now: calls.append(now))
    moment = datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)
    with time_machine.travel(moment, tick=False):
        task()
    assert calls == [moment]


def test_every_scheduled_task_exists_at_the_interval_of_its_setting() -> None:
    schedule = celery.app.conf.beat_schedule
    assert {entry["task"]: entry["schedule"].seconds for entry in schedule.values()} == {
        "campaigns.tasks.enforce_campaign_status": settings.ENFORCE_INTERVAL_SECONDS,
        "campaigns.tasks.reset_daily": settings.ROLLOVER_INTERVAL_SECONDS,
        "campaigns.tasks.reset_monthly": settings.ROLLOVER_INTERVAL_SECONDS,
        "campaigns.tasks.expire_holds": celery.EXPIRE_HOLDS_SECONDS,
        "campaigns.tasks.sum_hours": celery.SUM_HOURS_SECONDS,
        "campaigns.tasks.check_ledger": settings.LEDGER_CHECK_INTERVAL_SECONDS,
        "campaigns.tasks.pace_campaigns": settings.PACING_INTERVAL_SECONDS,
        "campaigns.tasks.look_for_alerts": settings.ALERTS_INTERVAL_SECONDS,
        "campaigns.tasks.deliver_alerts": celery.DELIVER_ALERTS_SECONDS,
    }
    # What alerts need beside the clock is tried in test_alert_workers.py.
    alerts = {tasks.look_for_alerts.name, tasks.deliver_alerts.name}
    assert {entry["task"] for entry in schedule.values()} == {task.name for task in TASKS} | alerts
    assert all(entry["options"]["expires"] <= entry["schedule"].seconds for entry in schedule.values())


@pytest.mark.once
def test_what_is_due_stays_due_when_the_clock_is_set_back() -> None:
    every = celery.Interval(60)
    with time_machine.travel(datetime.now(UTC) - timedelta(days=365)):
        began = every.now()
        assert datetime.now(UTC) < began - timedelta(days=300)  # it goes by another clock
        assert every.is_due(began - timedelta(seconds=61)).is_due
        later = every.is_due(began - timedelta(seconds=20))
    assert not later.is_due
    assert later.next == pytest.approx(40, abs=1)


@pytest.mark.once
def test_a_last_run_in_the_future_was_noted_by_a_wrong_clock() -> None:
    every = celery.Interval(60)
    assert every.is_due(every.now() + timedelta(days=365)) == (True, 60)
    assert pickle.loads(pickle.dumps(every)) == every  # noqa: S301 - as beat keeps it in its notes


@pytest.mark.once
def test_what_is_away_takes_one_line_in_the_log_and_everything_else_its_traceback() -> None:
    def logged(cause: Exception, message: str = "Message Error: %s\nand a stack") -> logging.LogRecord:
        error = RuntimeError("in dealing with it")
        error.__context__ = cause
        record = logging.LogRecord("celery.beat", logging.ERROR, "", 0, message, (cause,), (RuntimeError, error, None))
        assert all(handler.filter(record) for handler in logging.getLogger().handlers if handler.name == "console")
        return record

    for absence in (redis.ConnectionError("no broker"), psycopg_pool.PoolTimeout("none"), psycopg.errors.DiskFull()):
        record = logged(absence)
        assert (record.getMessage(), record.exc_info) == (f"Message Error: {absence}", None)
    for fault in (ValueError("100 %"), psycopg.errors.DeadlockDetected()):
        assert logged(fault).exc_info


def test_a_run_is_delivered_again_only_when_it_can_no_longer_be_running() -> None:
    conf = celery.app.conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.broker_transport_options["visibility_timeout"] > conf.task_time_limit > conf.task_soft_time_limit


@contextmanager
def program(name: str, environment: dict[str, str], log: Path, *options: str) -> Iterator[Program]:
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "budget_management", name, *options]
    with running(command, environment=environment, log=log) as started:
        started.wait_for("ready." if name == "worker" else "beat: Starting")
        yield started


def worker(environment: dict[str, str], log: Path, *options: str) -> AbstractContextManager[Program]:
    pool = ["--pool", "threads", "--concurrency", "2"]
    return program("worker", environment, log, *pool, "--without-mingle", "--without-gossip", *options)


def finished(task: PeriodicRun.Task, *, at_least: int = 1) -> bool:
    return PeriodicRun.objects.filter(task=task, finished_at__isnull=False).count() >= at_least


def send(task: Any, url: str, **options: Any) -> None:
    with celery.app.connection_for_write(url) as broker:
        task.apply_async(connection=broker, **options)


@pytest.mark.processes
@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_does_every_task(pool: str, environment: dict[str, str], tmp_path: Path) -> None:
    with worker(environment, tmp_path / "log", "--pool", pool) as started:
        for task in TASKS:
            send(task, environment["REDIS_URL"])
        for kind in PeriodicRun.Task:
            wait_until(partial(finished, kind), within=20, what=f"{kind}; the worker said: {started.output}")
        assert started.stop() == 0
    assert "Traceback" not in started.output


@pytest.mark.processes
def test_beat_keeps_the_interval_of_the_settings(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {
        "ENFORCE_INTERVAL_SECONDS": "1",
        "ROLLOVER_INTERVAL_SECONDS": "2",
        "LEDGER_CHECK_INTERVAL_SECONDS": "2",
    }
    with worker(environment, tmp_path / "worker"), program("beat", environment, tmp_path / "beat", "--pidfile="):
        for kind in set(PeriodicRun.Task) - {PeriodicRun.Task.PACE}:  # that one comes every half minute at most
            wait_until(partial(finished, kind, at_least=3), within=30, what=f"three runs of {kind}")
    starts = (
        PeriodicRun.objects.filter(task=PeriodicRun.Task.ENFORCE).order_by("id").values_list("started_at", flat=True)
    )
    gaps = [(after - before).total_seconds() for before, after in pairwise(starts)]
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(1, abs=0.4)
    assert not Path("celerybeat-schedule").exists()  # its notes belong into DATA_DIR
    assert list(tmp_path.glob("celerybeat-schedule*"))


@pytest.mark.processes
def test_ticks_that_nobody_took_in_time_are_dropped(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"ENFORCE_INTERVAL_SECONDS": "1"}
    with redis.Redis.from_url(environment["REDIS_URL"]) as broker:
        with program("beat", environment, tmp_path / "beat", "--pidfile="):
            wait_until(lambda: broker.llen(QUEUE) >= 5, within=30, what="five ticks in the queue")
        backlog = broker.llen(QUEUE)
        time.sleep(1.5)  # longer than a tick lives
        with worker(environment, tmp_path / "worker") as started:
            wait_until(lambda: broker.llen(QUEUE) == 0, within=20, what="an empty queue")
            wait_until(
                lambda: started.output.count("Discarding revoked task") >= backlog, within=10, what="expired ticks"
            )
    assert not PeriodicRun.objects.filter(task=PeriodicRun.Task.ENFORCE).exists()


@pytest.mark.processes
@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_run_is_finished_though_the_broker_goes_away(pool: str, environment: dict[str, str], tmp_path: Path) -> None:
    """A worker that loses the broker during a run finishes the run; it may end then, to be started again.

    (Celery's Redis transport trips over what it can't give back and stops the worker.)
    """
    port = servers.free_port()
    with ExitStack() as stack:
        broker = stack.enter_context(ExitStack())
        url = environment["REDIS_URL"] = broker.enter_context(servers.valkey(port))
        first = stack.enter_context(worker(environment, tmp_path / "worker", "--pool", pool))
        with transaction.atomic():
            keep_writers_out()
            send(tasks.enforce_campaign_status, url)
            first.wait_for("received")
            broker.close()
            first.wait_for("Connection to broker lost")
            assert not PeriodicRun.objects.exists()
        wait_until(partial(finished, PeriodicRun.Task.ENFORCE), within=15, what=f"the end of the run: {first.output}")

        broker.enter_context(servers.valkey(port))
        wait_until(
            lambda: ended(first) or connections(first) == 2, within=30, what=f"an end or a return: {first.output}"
        )
        if ended(first):
            stack.enter_context(worker(environment, tmp_path / "worker-2", "--pool", pool))
        send(tasks.reset_daily, url)
        wait_until(partial(finished, PeriodicRun.Task.RESET_DAILY), within=20, what="the next run")


def ended(program: Program) -> bool:
    return program.process.poll() is not None


def connections(program: Program) -> int:
    return program.output.count("Connected to redis")


def keep_writers_out() -> None:
    """Let no other transaction write a run before this one ends. On SQLite it can't anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE campaigns_periodicrun IN SHARE MODE")


@pytest.mark.processes
def test_work_goes_on_after_worker_broker_and_beat_are_killed(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"ENFORCE_INTERVAL_SECONDS": "1"}
    port = servers.free_port()

    def goes_on(what: str) -> None:
        before = PeriodicRun.objects.filter(finished_at__isnull=False).count()
        wait_until(
            lambda: PeriodicRun.objects.filter(finished_at__isnull=False).count() >= before + 2, within=40, what=what
        )

    with ExitStack() as stack:
        broker = stack.enter_context(ExitStack())
        environment["REDIS_URL"] = broker.enter_context(servers.valkey(port))
        first = stack.enter_context(worker(environment, tmp_path / "worker"))
        beat = stack.enter_context(program("beat", environment, tmp_path / "beat", "--pidfile="))
        goes_on("runs at the start")

        broker.close()
        broker.enter_context(servers.valkey(port))
        goes_on("runs after the broker was lost with all it held")

        first.stop(signal.SIGKILL)
        stack.enter_context(worker(environment, tmp_path / "worker-2"))
        goes_on("runs after the worker was killed")

        beat.stop(signal.SIGKILL)
        stack.enter_context(program("beat", environment, tmp_path / "beat-2", "--pidfile="))
        goes_on("runs after beat was killed")
