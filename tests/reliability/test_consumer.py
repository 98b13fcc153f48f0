"""Real consumers on a real stream: stopped, killed at the worst moments, without broker, without database.

The promise behind all of it: whatever was sent is counted once.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

from campaigns.models import Campaign, SpendLog
from campaigns.services import audit
from tests import factories, servers
from tests.servers import REPOSITORY, Program, running, wait_until

pytestmark = pytest.mark.processes

STREAM, GROUP, REJECTED = "spend-events", "budget", "spend-events:rejected"
SOON = ("--claim-after", "1")


@contextmanager
def consumer(environment: dict[str, str], log: Path, *options: str) -> Iterator[Program]:
    command = [sys.executable, "manage.py", "consume_spend", *options]
    with running(command, environment=environment, log=log) as started:
        started.wait_for("Reading spend-events")
        yield started


@pytest.fixture
def broker(environment: dict[str, str]) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        yield client


@pytest.fixture
def campaigns(environment: dict[str, str]) -> list[Campaign]:
    """Return campaigns of two brands, one of which runs out on the way."""
    brands = [factories.brand(now=timezone.now(), daily_budget=budget) for budget in ("500", None)]
    return [factories.campaign(brand, now=timezone.now()) for brand in brands for _ in range(3)]


def event(of: Campaign, number: object, amount: str = "0.01") -> dict[Any, Any]:
    return {"event_id": f"e-{number}", "campaign_id": of.pk, "amount": amount}


def fill(broker: redis.Redis, campaigns: list[Campaign], number: int) -> None:
    """Put so many events into the stream, in both forms."""
    with broker.pipeline(transaction=False) as pipeline:
        for n in range(number):
            fields = event(campaigns[n % len(campaigns)], n)
            pipeline.xadd(STREAM, fields if n % 2 else {"event": json.dumps(fields)})
        pipeline.execute()


def pending(broker: redis.Redis) -> int:
    summary: Any = broker.xpending(STREAM, GROUP)
    return int(summary["pending"])


def recorded() -> int:
    return SpendLog.objects.count()


def assert_each_counted_once(number: int, broker: redis.Redis) -> None:
    """Fail unless there are so many events, no more and no less, in ledger and counters, and nothing is left over."""
    assert recorded() == number
    assert SpendLog.objects.values("brand_id", "event_id").distinct().count() == number
    assert audit.check_ledger() == []
    assert (broker.xlen(STREAM), pending(broker)) == (0, 0)


# --- Stopping --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_mid_stream_after_the_batch_in_hand(
    number: signal.Signals,
    campaigns: list[Campaign],
    broker: redis.Redis,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    fill(broker, campaigns, 20_000)
    with consumer(environment, tmp_path / "log", "--batch", "100") as started:
        wait_until(lambda: recorded() >= 500, within=30, what="some batches")
        began = time.monotonic()
        assert started.stop(number) == 0
        assert time.monotonic() - began < 10
    assert 500 <= recorded() < 20_000
    assert (pending(broker), broker.xlen(STREAM)) == (0, 20_000 - recorded())
    assert f"recorded {recorded():,}," in started.output or started.output.count("recorded") > 1
    assert "Traceback" not in started.output

    with consumer(environment, tmp_path / "log-2", "--drain") as second:
        assert second.process.wait(60) == 0
    assert_each_counted_once(20_000, broker)


def test_a_signal_ends_it_when_there_is_nothing_to_do(
    broker: redis.Redis, environment: dict[str, str], tmp_path: Path
) -> None:
    with consumer(environment, tmp_path / "log") as started:
        wait_until(lambda: broker.exists(STREAM), within=10, what="the group")
        time.sleep(0.3)
        began = time.monotonic()
        assert started.stop() == 0
        assert time.monotonic() - began < 10
    assert started.output.count("\n") == 1


# --- Killed ----------------------------------------------------------------------------------


def keep_writers_out() -> None:
    """Let no other transaction write to the ledger before this one ends. On SQLite it can't anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE campaigns_spendlog IN SHARE MODE")


def test_killed_before_the_commit_it_loses_nothing(
    campaigns: list[Campaign], broker: redis.Redis, environment: dict[str, str], tmp_path: Path
) -> None:
    with consumer(environment, tmp_path / "first") as first:
        wait_until(lambda: broker.exists(STREAM), within=10, what="the group")
        with transaction.atomic():
            keep_writers_out()
            fill(broker, campaigns, 10)
            wait_until(lambda: pending(broker) > 0, within=10, what="a consumer that has them")
            time.sleep(0.5)  # it is now waiting to write
            assert 0 < pending(broker) <= broker.xlen(STREAM) == 10
            first.process.kill()
            first.process.wait()
    assert recorded() == 0
    with consumer(environment, tmp_path / "second", *SOON):
        wait_until(lambda: recorded() == 10, within=20, what="a consumer that takes over")
        wait_until(lambda: pending(broker) == 0, within=5, what="the acknowledgement")
    assert_each_counted_once(10, broker)


def test_killed_between_commit_and_acknowledgement_it_counts_nothing_twice(
    campaigns: list[Campaign], broker: redis.Redis, environment: dict[str, str], tmp_path: Path
) -> None:
    with consumer(environment, tmp_path / "first") as first, ExitStack() as stack:
        wait_until(lambda: blocked(broker), within=10, what="a consumer that waits for messages")
        stack.callback(broker.client_unpause)
        with broker.pipeline(transaction=False) as pipeline:
            pipeline.xadd(STREAM, event(campaigns[0], "only"))
            pipeline.client_pause(60_000, all=False)  # it gets its message; no acknowledgement gets through
            pipeline.execute()
        wait_until(lambda: recorded() == 1, within=20, what="the commit")
        first.process.kill()
        first.process.wait()
    assert (pending(broker), broker.xlen(STREAM)) == (1, 1)
    with consumer(environment, tmp_path / "second", *SOON) as second:
        wait_until(lambda: pending(broker) == 0, within=20, what="a consumer that takes over")
        assert second.stop() == 0
    assert "recorded 0, duplicates 1, conflicts 0, rejected 0" in second.output
    assert_each_counted_once(1, broker)


def blocked(broker: redis.Redis) -> bool:
    info: Any = broker.info("clients")
    return bool(info["blocked_clients"])


def test_killed_again_and_again_under_load_every_event_counts_once(
    campaigns: list[Campaign], broker: redis.Redis, environment: dict[str, str], tmp_path: Path
) -> None:
    """Reporters that send some events several times, some that can't be read, and consumers that don't live long."""
    sent, stop = [0], threading.Event()
    sender = threading.Thread(target=send_until, args=(stop, environment["REDIS_URL"], campaigns, sent))
    chance = random.Random(3)
    left_behind = 0
    with ExitStack() as stack:
        stack.callback(stop.set)
        steady = stack.enter_context(consumer(environment, tmp_path / "steady", "--batch", "200", *SOON))
        sender.start()
        for round_ in range(6):
            with consumer(environment, tmp_path / f"mortal-{round_}", "--batch", "200", *SOON) as mortal:
                time.sleep(chance.uniform(0, 0.3))
                wait_until(partial(held_by, broker, mortal), within=20, what="a batch in hand", every=0.001)
                mortal.process.kill()
                mortal.process.wait()
                left_behind += held_by(broker, mortal)
        stop.set()
        sender.join(60)
        wait_until(lambda: broker.xlen(STREAM) == 0 and pending(broker) == 0, within=60, what="an empty stream")
        assert steady.stop() == 0
    [number] = sent
    assert_each_counted_once(number, broker)
    assert SpendLog.objects.filter(amount=Decimal("0.01")).count() == number
    assert broker.xlen(REJECTED) == number // 100
    assert "Traceback" not in steady.output
    assert left_behind > 0, "no kill hit a batch in hand; the test has shown nothing"


def send_until(stop: threading.Event, url: str, campaigns: list[Campaign], sent: list[int]) -> None:
    chance = random.Random(4)
    with redis.Redis.from_url(url) as broker:
        while not stop.wait(0.08):
            with broker.pipeline(transaction=False) as pipeline:
                for n in range(sent[0], sent[0] + 100):
                    for _ in range(chance.choice([1, 1, 1, 2, 3])):
                        pipeline.xadd(STREAM, event(campaigns[n % len(campaigns)], n))
                pipeline.xadd(STREAM, {"event": b"\xff"})
                pipeline.execute()
            sent[0] += 100


def held_by(broker: redis.Redis, program: Program) -> int:
    """How many messages a consumer has not acknowledged."""
    ending = f"-{program.process.pid}".encode()
    return sum(each["pending"] for each in broker.xinfo_consumers(STREAM, GROUP) if each["name"].endswith(ending))


# --- Without broker, without database --------------------------------------------------------


def test_the_broker_is_waited_for_and_its_group_made_anew(
    campaigns: list[Campaign], environment: dict[str, str], tmp_path: Path
) -> None:
    port = servers.free_port()
    environment["REDIS_URL"] = f"redis://:{servers.PASSWORD}@127.0.0.1:{port}/0"
    with consumer(environment, tmp_path / "log") as started, ExitStack() as stack:
        started.wait_for("The broker does not answer")  # it was not there in the first place
        for sent in (1, 2, 3):
            with servers.valkey(port) as url, redis.Redis.from_url(url) as broker:
                broker.xadd(STREAM, event(campaigns[0], sent))
                wait_until(partial(lambda number: recorded() == number, sent), within=20, what="it works again")
                wait_until(lambda: pending(broker) == 0, within=5, what="the acknowledgement")
                assert_each_counted_once(sent, broker)
                broker.flushall()  # as good as another restart: the group is gone
                broker.xadd(STREAM, event(campaigns[0], sent))
                wait_until(lambda: broker.xlen(STREAM) == 0, within=20, what="the group, made anew")
            wait_until(
                partial(lambda number: warnings(started) == number, sent + 1), within=20, what="a line that it is gone"
            )
        time.sleep(2)
        assert warnings(started) == 4  # not one a second
        assert started.output.count("It works again, after ") == 3
        assert started.stop() == 0
        stack.close()
    assert servers.PASSWORD not in started.output
    assert "Traceback" not in started.output


def warnings(program: Program) -> int:
    return program.output.count(" WARNING ")


@pytest.mark.postgresql
def test_the_database_is_waited_for_and_nothing_acknowledged_meanwhile(
    campaigns: list[Campaign], broker: redis.Redis, environment: dict[str, str], tmp_path: Path
) -> None:
    with consumer(environment, tmp_path / "log", "--batch", "50") as started:
        fill(broker, campaigns, 50)
        wait_until(lambda: recorded() == 50, within=20, what="a first batch")
        with locked_out():
            fill(broker, campaigns, 300)
            started.wait_for("The database does not answer: ")
            time.sleep(6)
            assert broker.xlen(STREAM) == 300
            assert 0 < pending(broker) <= 50
            assert warnings(started) == 1  # not one a second
        wait_until(lambda: broker.xlen(STREAM) == 0, within=30, what="the rest")
        assert started.stop() == 0
    assert started.output.count("It works again, after ") == 1
    assert (warnings(started), started.output.count("Traceback")) == (1, 0)
    assert_each_counted_once(300, broker)


@contextmanager
def locked_out() -> Iterator[None]:
    """Refuse every new connection to the test database, and end those of others."""
    settings = connection.settings_dict
    url = f"postgresql://{settings['USER']}:{settings['PASSWORD']}@{settings['HOST']}:{settings['PORT']}/postgres"
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    name = sql.Identifier(settings["NAME"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [own] = cursor.fetchone()
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(allow.format(name, sql.SQL("false")))
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
            admin.execute(end, [settings["NAME"], own])
            try:
                yield
            finally:
                admin.execute(allow.format(name, sql.SQL("true")))
    # Our own pool lost its idle connections, too, and would look for new ones with growing pauses.
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # only this backend has one


@pytest.mark.sqlite
def test_a_database_without_tables_is_waited_for(
    broker: redis.Redis, environment: dict[str, str], tmp_path: Path
) -> None:
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'new.sqlite3'}"
    with consumer(environment, tmp_path / "log") as started:
        broker.xadd(STREAM, {"event_id": "e", "campaign_id": "1", "amount": "1"})
        started.wait_for("The database is not up to date; bring it there with: python manage.py migrate.")
        assert (pending(broker), broker.exists(REJECTED)) == (1, 0)
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, env=environment, cwd=REPOSITORY, check=True)
        wait_until(lambda: broker.xlen(REJECTED) == 1, within=20, what="its verdict: there is no such campaign")
        assert started.stop() == 0
    assert (warnings(started), started.output.count("Traceback")) == (1, 0)


def test_a_wrong_password_is_said_and_not_repeated(environment: dict[str, str], tmp_path: Path) -> None:
    environment["REDIS_URL"] = environment["REDIS_URL"].replace(servers.PASSWORD, "wr0ng-s3cret")
    with consumer(environment, tmp_path / "log") as started:
        started.wait_for("The broker does not answer as it should: invalid username-password pair")
        assert started.stop() == 0
    assert "s3cret" not in started.output


def test_several_share_a_stream(
    campaigns: list[Campaign], broker: redis.Redis, environment: dict[str, str], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        programs = [stack.enter_context(consumer(environment, tmp_path / str(n), "--batch", "100")) for n in range(3)]
        fill(broker, campaigns, 6_000)
        wait_until(lambda: broker.xlen(STREAM) == 0 and pending(broker) == 0, within=60, what="an empty stream")
        for program in programs:
            assert program.stop() == 0
    assert_each_counted_once(6_000, broker)
    assert all("recorded" in program.output and "Traceback" not in program.output for program in programs)
