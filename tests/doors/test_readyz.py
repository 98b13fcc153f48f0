"""/readyz: 200 only when everything does its work; each check by its name, told in time whatever hangs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from campaigns.models import PeriodicRun
from campaigns.queries import readiness
from tests import servers

pytestmark = pytest.mark.django_db(transaction=True)  # the checks have connections of their own

Task = PeriodicRun.Task
NAMES = ["database", "migrations", "broker", "last_pass", "worker", "beat"]


@pytest.fixture(autouse=True)
def broker(settings: Any, valkey_url: str) -> Iterator[str]:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    settings.REDIS_URL = valkey_url
    yield valkey_url
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()


def ran(ago: timedelta = timedelta(seconds=5)) -> None:
    began = timezone.now() - ago
    for task in (Task.ENFORCE, Task.RESET_DAILY, Task.RESET_MONTHLY):
        PeriodicRun.objects.create(task=task, started_at=began, finished_at=began, judged=1, changed=0)


def asked() -> tuple[int, dict[str, Any]]:
    """The status, and the reasons by check."""
    answer = Client().get("/readyz")
    body = answer.json()
    assert list(body["checks"]) == NAMES
    assert body["status"] == ("ready" if answer.status_code == 200 else "unavailable")
    assert "no-store" in answer["Cache-Control"]
    return answer.status_code, {name: check["reason"] for name, check in body["checks"].items() if not check["ok"]}


def test_it_is_ready_when_all_is_well() -> None:
    ran()
    assert asked() == (200, {})


def test_before_the_first_pass_it_is_not() -> None:
    status, reasons = asked()
    assert status == 503
    assert reasons["last_pass"] == "No pass has come to its end yet; one is due every 60 s."
    assert "database" not in reasons
    assert "broker" not in reasons


def test_a_late_pass_and_a_dead_beat_are_named() -> None:
    ran(timedelta(hours=1))
    status, reasons = asked()
    assert status == 503
    assert reasons["last_pass"] == "The last pass was 60 min ago; one is due every 60 s."
    assert reasons["beat"] == "Nothing has run for 60 min and nothing is waiting; start beat."


def test_a_dead_worker_is_named(broker: str) -> None:
    ran(timedelta(hours=1))
    with redis.Redis.from_url(broker) as client:
        client.rpush("budget_management", "tick")
    status, reasons = asked()
    assert (status, reasons["worker"]) == (503, "1 task is waiting and none is taken; start a worker.")


def test_missing_migrations_are_named() -> None:
    ran()
    [newest] = MigrationExecutor(connection).loader.graph.leaf_nodes("campaigns")
    MigrationRecorder(connection).record_unapplied(*newest)
    try:
        assert asked() == (503, {"migrations": "Migrations are missing: run manage.py migrate."})
    finally:
        MigrationRecorder(connection).record_applied(*newest)


def test_a_broker_that_is_gone_is_named_while_the_passes_are_still_fresh(settings: Any) -> None:
    ran()
    settings.REDIS_URL = f"redis://:a-password@127.0.0.1:{servers.free_port()}/0"
    assert asked() == (503, {"broker": "The broker does not answer; look at Redis or Valkey."})


def test_a_broker_that_hangs_costs_a_second_at_most(settings: Any) -> None:
    ran(timedelta(hours=1))  # so that it is asked for the waiting tasks, too
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        began = time.monotonic()
        status, reasons = asked()
    assert time.monotonic() - began < 4
    assert status == 503
    assert reasons["broker"].startswith("The broker does not answer")
    assert reasons["worker"].startswith("The broker does not answer")


def test_a_database_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(*args: object) -> None:
        raise OperationalError("could not connect to 10.0.0.1, password x")

    monkeypatch.setattr(MigrationExecutor, "__init__", dead)
    monkeypatch.setattr(readiness, "health", lambda **_: dead())
    status, reasons = asked()
    assert (status, reasons["database"]) == (503, "The database does not answer.")
    assert set(reasons) == {"database", "migrations", "last_pass", "worker", "beat"}
    assert "password" not in str(reasons)


def test_a_database_that_hangs_holds_few_threads_and_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    ran()
    monkeypatch.setattr(readiness, "ANSWER_SECONDS", 0.1)
    hangs = threading.Event()
    answers = readiness._database
    monkeypatch.setattr(readiness, "_database", lambda: answers() if hangs.wait(30) else [])
    try:
        began = time.monotonic()
        for _ in range(20):
            status, reasons = asked()
            assert (status, reasons["database"]) == (503, "The database does not answer.")
        assert time.monotonic() - began < 20 * 0.5
        waiting = [thread for thread in threading.enumerate() if thread.name.startswith("readiness")]
        assert len(waiting) <= readiness.MOST_ASKED
    finally:
        hangs.set()
    monkeypatch.setattr(readiness, "ANSWER_SECONDS", 1.0)
    servers.wait_until(lambda: asked() == (200, {}), within=5, what="it is ready once the database answers")


def test_a_visitor_may_only_read() -> None:
    assert Client().post("/readyz").status_code == 405
