"""kill -9 of web, consumer and worker under load: every answered event is in the ledger, and is there once."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis
from django.utils import timezone

from campaigns.management import probe
from campaigns.models import Campaign, Scope, SpendLog
from campaigns.services import audit, keys
from tests import factories
from tests.servers import Program, free_port, running, wait_until

CLIENTS, KILLS = 8, 3
STREAMED = 2_000


class Mortal:
    """A program that is killed without warning and started anew."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.environment = environment
        self._command, self._log = command, log
        self._stack = ExitStack()
        self._runs = 0
        self.program: Program

    def start(self) -> None:
        """Start it."""
        self._runs += 1
        log = self._log.with_suffix(f".{self._runs}")
        self.program = self._stack.enter_context(running(self._command, environment=self.environment, log=log))

    def kill(self) -> None:
        """Kill it with everything that it has started, at once and without a word."""
        os.killpg(self.program.process.pid, signal.SIGKILL)
        self.program.process.wait(10)

    def end(self) -> None:
        """Stop it in peace."""
        self._stack.close()


@contextmanager
def product(environment: dict[str, str], folder: Path) -> Iterator[dict[str, Mortal]]:
    """Run web, consumer and worker as production does."""
    port = free_port()
    python = sys.executable
    web = [python, "-m", "granian", "--interface", "wsgi", "--no-ws", "--host", "127.0.0.1", "--port", str(port)]
    web += ["--workers", "2", "--blocking-threads", "16", "budget_management.wsgi:application"]
    worker = [python, "-m", "celery", "--quiet", "-A", "budget_management", "worker", "--pool", "threads", "--beat"]
    consumer = [python, "manage.py", "consume_spend", "--batch", "50", "--claim-after", "1"]
    quick = environment | {"ENFORCE_INTERVAL_SECONDS": "1", "PORT": str(port)}
    programs = {
        "web": Mortal(web, quick, folder / "web"),
        "consumer": Mortal(consumer, quick, folder / "consumer"),
        "worker": Mortal([*worker, "--schedule", str(folder / "beat")], quick, folder / "worker"),
    }
    try:
        for program in programs.values():
            program.start()
        wait_until(partial(probe.answers, port), within=30, what="the web answers")
        yield programs
    finally:
        for program in programs.values():
            program.end()


class Client(threading.Thread):
    """Reports events one request after the other, each again and again until it is answered."""

    def __init__(self, number: int, port: int, secret: str, campaign_ids: list[int], over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._number, self._port, self._campaigns, self._over = number, port, campaign_ids, over
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self.answered: list[str] = []
        self.statuses: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        """Report until told to end."""
        number = 0
        while not self._over.is_set():
            events = [
                {
                    "event_id": f"{self._number}-{number}-{part}",
                    "campaign_id": self._campaigns[(self._number + number + part) % len(self._campaigns)],
                    "amount": "0.01",
                }
                for part in range(1 + number % 5)
            ]
            self._report(events)
            number += 1

    def _report(self, events: list[dict[str, object]]) -> None:
        body = json.dumps({"events": events})
        while not self._over.is_set():
            answer = self._send(body)
            if answer is None:
                time.sleep(0.02)  # nobody there: the same again
                continue
            self.statuses.update(result["status"] for result in answer["results"])
            self.answered += [result["event_id"] for result in answer["results"]]
            return

    def _send(self, body: str) -> dict[str, list[dict[str, str]]] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("POST", "/api/v1/spend-events", body, self._headers)
            response = connection.getresponse()
            content = response.read()
            if response.status == http.client.OK:
                answer: dict[str, list[dict[str, str]]] = json.loads(content)
                return answer
            if response.status != http.client.SERVICE_UNAVAILABLE:
                self.wrong.append(f"{response.status} {content[:200]!r}")
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        return None


@pytest.mark.postgresql
@pytest.mark.processes
def test_nothing_is_lost_and_nothing_counted_twice(environment: dict[str, str], tmp_path: Path) -> None:
    now = timezone.now()
    brand = factories.brand(now=now, daily_budget=5)  # soon spent: every kill may also fall into a crossing
    campaign_ids = [factories.campaign(brand, now=now).pk for _ in range(5)]
    _, secret = keys.create_key(name="Test", scopes=[Scope.SPEND], now=now)
    over = threading.Event()
    with product(environment, tmp_path) as programs, redis.Redis.from_url(environment["REDIS_URL"]) as broker:
        port = int(programs["web"].environment["PORT"])
        clients = [Client(number, port, secret, campaign_ids, over) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        streamed = [f"stream-{number}" for number in range(STREAMED)]
        for round_ in range(KILLS):
            _stream(broker, streamed[round_::KILLS], campaign_ids)
            for program in programs.values():
                time.sleep(0.7)
                program.kill()
                program.start()
            wait_until(partial(probe.answers, port), within=30, what="the web answers again")
        wait_until(lambda: not broker.xlen("spend-events"), within=60, what="the stream is empty")
        time.sleep(1)
        over.set()
        for client in clients:
            client.join(30)
    answered = [event_id for client in clients for event_id in client.answered]
    assert [wrong for client in clients for wrong in client.wrong] == []
    assert len(answered) == len(set(answered)) > 100
    assert sum((client.statuses for client in clients), Counter()).keys() <= {"recorded", "duplicate"}
    ledger = Counter(SpendLog.objects.values_list("event_id", flat=True))
    assert {event_id for event_id in [*answered, *streamed] if ledger[event_id] != 1} == set()
    assert audit.check_ledger() == []
    assert set(Campaign.objects.values_list("is_active", flat=True)) == {False}


def _stream(broker: redis.Redis, event_ids: list[str], campaign_ids: list[int]) -> None:
    pipeline = broker.pipeline()
    for at, event_id in enumerate(event_ids):
        event = {"event_id": event_id, "campaign_id": campaign_ids[at % len(campaign_ids)], "amount": "0.01"}
        pipeline.xadd("spend-events", {"event": json.dumps(event)})
    pipeline.execute()
