"""Alerts through real workers: spend that crosses a budget is told once, whatever is doubled or killed."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from budget_management import celery
from campaigns.gateways import nudges
from campaigns.models import Alert, Attempt, Channel, Delivery
from tests import factories
from tests.gateways.receivers import answering, receiving
from tests.servers import Program, running, wait_until
from tests.services import alerting

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


@contextmanager
def workers(number: int, environment: dict[str, str], folder: Path) -> Iterator[list[Program]]:
    """Workers that take every queue."""
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "budget_management", "worker", "--pool", "threads"]
    command += ["--concurrency", "2", "--without-mingle", "--without-gossip"]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                running([*command, "-n", f"w{at}@here"], environment=environment, log=folder / f"worker-{at}")
            )
            for at in range(number)
        ]
        for one in started:
            one.wait_for("ready.", within=120)
        yield started


def send(task: str, url: str) -> None:
    with celery.app.connection_for_write(url) as broker:
        celery.app.send_task(task, connection=broker)


def delivered() -> bool:
    return Delivery.objects.filter(state=Delivery.State.DELIVERED).count() == 2


def tried() -> str:
    """What the log of the deliveries says, for when they do not come."""
    return str(list(Attempt.objects.values_list("delivery", "status", "error")))


def test_two_workers_and_doubled_tasks_deliver_each_alert_once(
    environment: dict[str, str], tmp_path: Path, settings: Any
) -> None:
    environment |= {"WEBHOOKS_ALLOW_PRIVATE": "true", "SECRET_KEY": settings.SECRET_KEY}
    now = timezone.now()
    with receiving(answering()) as receiver, workers(2, environment, tmp_path) as started:
        for _ in range(2):
            alerting.channel(receiver.url(), now=now)
        brand = factories.brand(now=now, daily_budget=10)
        factories.spend(factories.campaign(brand, now=now), 10, now=now)
        for _ in range(4):
            send(nudges.LOOK, environment["REDIS_URL"])
        wait_until(Alert.objects.exists, within=90, what=f"an alert: {started[0].output}")
        for _ in range(4):  # beside the one that the look has hurried
            send(nudges.DELIVER, environment["REDIS_URL"])
        try:
            wait_until(delivered, within=40, what="two deliveries")
        except AssertionError as error:
            raise AssertionError(f"{tried()}\n{started[0].output}{started[1].output}") from error
        for _ in range(2):
            send(nudges.DELIVER, environment["REDIS_URL"])
        for one in started:
            one.stop()
    assert Alert.objects.count() == 1
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert ids == [Alert.objects.get().uid] * 2  # once for each channel
    assert "Traceback" not in started[0].output + started[1].output


def test_what_a_killed_worker_was_sending_is_sent_by_the_next(
    environment: dict[str, str], tmp_path: Path, settings: Any
) -> None:
    environment |= {"WEBHOOKS_ALLOW_PRIVATE": "true", "SECRET_KEY": settings.SECRET_KEY}
    now = timezone.now()
    stuck = threading.Event()

    def first_one_hangs(connection: Any, number: int) -> None:
        if number == 1:
            stuck.wait(60)
        else:
            answering()(connection, number)

    with receiving(first_one_hangs) as receiver:
        channel = alerting.channel(receiver.url(), now=now)
        with workers(1, environment, tmp_path) as (worker,):
            alert = alerting.alert(now=now)
            send(nudges.DELIVER, environment["REDIS_URL"])
            receiver.wait_for(1, within=90)
            worker.process.send_signal(signal.SIGKILL)
            worker.process.wait(30)
        stuck.set()
        row = Channel.objects.get(pk=channel.pk)
        assert row.lease != ""
        Channel.objects.update(lease_until=now)  # three minutes later
        with workers(1, environment, tmp_path) as (worker,):
            send(nudges.DELIVER, environment["REDIS_URL"])
            receiver.wait_for(2, within=90)
            state = Delivery.State.DELIVERED
            wait_until(lambda: Delivery.objects.get().state == state, within=60, what=f"delivered: {worker.output}")
    assert [request.headers["webhook-id"] for request in receiver.requests] == [alert.uid] * 2
