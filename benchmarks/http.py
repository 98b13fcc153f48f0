"""How fast the API is: `python -m benchmarks.http [--small] [--only NAME]`.

The product as production runs it (granian with two workers, PostgreSQL that syncs to disk) and, in another process on
the same machine, clients that keep it busy. After each load the ledger is checked. All of it shares the machine's
cores, also the clients.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import databases
from benchmarks.driving import Driven, drive, request
from tests import servers

WORKERS, THREADS, CONNECTIONS = 2, 64, 64
BRANDS, CAMPAIGNS = 20, 200
MIB = 2**20


@dataclass(frozen=True)
class Size:
    """How much each load sends."""

    batches: int = 300
    batch: int = 1_000
    singles: int = 20_000
    holds: int = 10_000
    feed: int = 100_000
    polls: int = 2_000


SMALL = Size(batches=4, batch=50, singles=200, holds=200, feed=300, polls=20)


class Line(NamedTuple):
    """One line of the table."""

    load: str
    unit: str
    factor: int
    driven: Driven
    memory: float
    cpu: float
    goal: str
    note: str


def main(arguments: list[str]) -> int:
    """Run the loads one after the other and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="a few requests, to see that it runs")
    parser.add_argument("--only", default="", help="only the loads whose names contain this")
    options = parser.parse_args(arguments)
    with databases.fresh("postgresql"):
        world = World(SMALL if options.small else Size())
        with serving() as server:
            lines = [line for load in LOADS if (line := _line(load, world, server, options.only))]
    _print(lines)
    return 0


class Server(NamedTuple):
    """The product, answering at a port."""

    port: int
    process: psutil.Process

    def memory(self) -> float:
        """Return what its processes have in memory, in MiB."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(one.memory_info().rss for one in family) / MIB

    def cpu(self) -> float:
        """Return the processor time that its processes have taken so far, in seconds."""
        times = [one.cpu_times() for one in (self.process, *self.process.children(recursive=True))]
        return sum(time.user + time.system for time in times)


@contextmanager
def serving() -> Iterator[Server]:
    """Run the web as production does."""
    from campaigns.management import probe

    port = servers.free_port()
    environment = os.environ | {
        "ENVIRONMENT": "production",
        "SECRET_KEY": uuid.uuid4().hex,
        "ALLOWED_HOSTS": "localhost",
        "HTTPS_ONLY": "false",
        "REDIS_URL": "redis://127.0.0.1:1/0",  # nothing here asks for it
        "LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", str(WORKERS), "--blocking-threads", str(THREADS)]
    command += ["budget_management.wsgi:application"]
    log = Path(os.environ["DATA_DIR"], "web.log")
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            servers.wait_until(lambda: probe.answers(port), within=60, what=f"the web answers; see {log}")
            yield Server(port, psutil.Process(process.pid))
        finally:
            process.terminate()


class World:
    """Brands, campaigns and a key, and the requests made of them."""

    def __init__(self, size: Size) -> None:
        from campaigns.models import Scope
        from campaigns.services import keys

        self.size = size
        self.now = datetime.now(UTC)
        self.chance = random.Random(1)
        self.key = keys.create_key(name="benchmark", scopes=list(Scope), now=self.now)[1]
        self.ids = self._campaigns(BRANDS, CAMPAIGNS, "Spread")
        self.hot = self._campaigns(1, 1, "Hot")
        self.held = self._campaigns(1, 10, "Held")
        self.scarce = self._campaigns(1, 10, "Scarce", Decimal(size.holds // 10))

    def _campaigns(self, brands: int, number: int, name: str, budget: Decimal = Decimal(100_000_000)) -> list[int]:
        from campaigns.models import Campaign
        from campaigns.services import catalog

        made = []
        for brand_number in range(brands):
            brand = catalog.create_brand(
                now=self.now, name=f"{name} {brand_number}", daily_budget=budget, monthly_budget=budget * 30
            )
            made += Campaign.objects.bulk_create(
                Campaign(brand=brand, name=f"{name} {n}", daily_budget=Decimal(100_000_000))
                for n in range(brand_number, number, brands)
            )
        return [campaign.pk for campaign in made]

    def event(self, campaign_ids: Sequence[int]) -> str:
        """Return a spend event as JSON."""
        event_id = uuid.UUID(int=self.chance.getrandbits(128), version=4)
        campaign_id = campaign_ids[self.chance.randrange(len(campaign_ids))]
        amount = f"0.{self.chance.randint(1, 999_999):06d}"
        at = self.now.isoformat()
        return f'{{"event_id":"{event_id}","campaign_id":{campaign_id},"amount":"{amount}","timestamp":"{at}"}}'

    def batches(self, campaign_ids: Sequence[int]) -> list[bytes]:
        """Return requests of many events."""
        return [self._spend(campaign_ids, self.size.batch, "?results=problems") for _ in range(self.size.batches)]

    def singles(self, campaign_ids: Sequence[int]) -> list[bytes]:
        """Return requests of one event."""
        return [self._spend(campaign_ids, 1) for _ in range(self.size.singles)]

    def _spend(self, campaign_ids: Sequence[int], number: int, query: str = "") -> bytes:
        events = ",".join(self.event(campaign_ids) for _ in range(number))
        body = f'{{"events":[{events}]}}'.encode()
        return request("POST", f"/api/v1/spend-events{query}", key=self.key, body=body)

    def holds(self, campaign_ids: Sequence[int]) -> list[bytes]:
        """Return requests for holds of 1.00."""
        return [
            request("POST", "/api/v1/holds", key=self.key, body=self._hold(campaign_ids, number))
            for number in range(self.size.holds)
        ]

    def _hold(self, campaign_ids: Sequence[int], number: int) -> bytes:
        campaign_id = campaign_ids[number % len(campaign_ids)]
        key = f"{campaign_id}-{number}"
        return f'{{"campaign_id":{campaign_id},"amount":"1.00","ttl_seconds":3600,"key":"{key}"}}'.encode()


@dataclass(frozen=True)
class Load:
    """One kind of load: its requests, on how many connections, and what a request is worth in the unit."""

    name: str
    unit: str
    goal: str
    requests: Callable[[World], Sequence[bytes]]
    connections: int = CONNECTIONS
    factor: Callable[[Size], int] = lambda _: 1
    after: Callable[[World], str] = lambda _: ""


def _sums(campaign_of: Callable[[World], Sequence[int]]) -> Callable[[World], str]:
    def after(world: World) -> str:
        from django.db.models import Sum

        from campaigns.models import BrandCounter, Campaign, Hold
        from campaigns.rules.periods import Period

        brand = Campaign.objects.get(pk=campaign_of(world)[0]).brand
        held = BrandCounter.objects.get(brand=brand, period=Period.DAY).held
        assert brand.daily_budget is not None
        assert held <= brand.daily_budget, f"{held} is held of {brand.daily_budget}"
        granted = Hold.objects.filter(brand=brand).aggregate(sum=Sum("amount"))["sum"]
        return f"{granted.normalize():f} granted of a budget of {brand.daily_budget.normalize():f}"

    return after


def _feed(world: World, query: str = "") -> bytes:
    return request("GET", f"/api/v1/campaigns/status{query}", key=world.key)


def _whole_feed(world: World) -> list[bytes]:
    from campaigns.models import Brand, Campaign

    brand = Brand.objects.create(name="Feed", daily_budget=Decimal(1_000_000))
    Campaign.objects.bulk_create(
        (
            Campaign(
                brand=brand,
                name=f"Feed {number}",
                external_id=f"feed-{number}",
                is_active=bool(number % 2),
                reasons=0 if number % 2 else 64,
            )
            for number in range(world.size.feed)
        ),
        batch_size=10_000,
    )
    return [_feed(world)] * 10


def _polls(world: World) -> list[bytes]:
    from campaigns.api import status
    from campaigns.queries import status_feed

    cursor = status.cursor_of(status_feed.whole_feed(now=world.now, brand_ids=None).position, None)
    return [_feed(world, f"?changed_since={cursor}")] * world.size.polls


LOADS = (
    Load(
        "batches of 1,000 events over 200 campaigns",
        "events",
        "50,000",
        lambda world: world.batches(world.ids),
        connections=4,
        factor=lambda size: size.batch,
    ),
    Load("single events over 200 campaigns", "events", "3,000", lambda world: world.singles(world.ids)),
    Load("single events on one hot campaign", "events", "3,000", lambda world: world.singles(world.hot)),
    Load(
        "holds on one hot brand",
        "holds",
        "1,500",
        lambda world: world.holds(world.held),
        after=_sums(lambda world: world.held),
    ),
    Load(
        "holds, budget for a tenth of them",
        "asks",
        "overspend 0",
        lambda world: world.holds(world.scarce),
        after=_sums(lambda world: world.scarce),
    ),
    Load("the whole status feed, 100,000 campaigns", "feeds", "", _whole_feed, connections=1),
    Load("the status feed by cursor, nothing new", "polls", "", _polls, connections=16),
)


def _line(load: Load, world: World, server: Server, only: str) -> Line | None:
    if only not in load.name:
        return None
    requests = load.requests(world)
    drive(server.port, [_feed(world, "?changed_since=x")] * WORKERS * 4, connections=WORKERS * 4)  # wakes it up
    before = server.cpu()
    with _watched(server) as memory:
        driven = drive(server.port, requests, connections=load.connections)
    cpu = (server.cpu() - before) / len(driven.latencies)
    _insist_on_soundness(driven)
    return Line(load.name, load.unit, load.factor(world.size), driven, max(memory), cpu, load.goal, load.after(world))


@contextmanager
def _watched(server: Server) -> Iterator[list[float]]:
    """Look at the memory of the web while the block lasts."""
    seen, over = [server.memory()], threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            seen.append(server.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _insist_on_soundness(driven: Driven) -> None:
    from campaigns.services import audit

    bad = {status: number for status, number in driven.statuses.items() if status not in {200, 201, 304, 409}}
    assert not bad, f"answers that no load should get: {bad}"
    assert audit.check_ledger() == [], "the ledger is not clean"


def _print(lines: Sequence[Line]) -> None:
    table = Table(title=f"HTTP to durable, {WORKERS} workers, {os.cpu_count()} cores for all", title_justify="left")
    for name in ("load", "connections", "a second", "goal", "p50", "p99", "web CPU a request", "memory of the web", ""):
        table.add_column(name, justify="left" if name in {"load", ""} else "right")
    for load, line in ((load, line) for line in lines for load in LOADS if load.name == line.load):
        speed = line.driven.per_second * line.factor
        table.add_row(
            line.load,
            str(load.connections),
            f"{speed:,.0f} {line.unit}" if speed >= 10 else f"{speed:,.1f} {line.unit}",
            line.goal,
            f"{line.driven.percentile(50) * 1_000:,.1f} ms",
            f"{line.driven.percentile(99) * 1_000:,.1f} ms",
            f"{line.cpu * 1_000:,.2f} ms",
            f"{line.memory:,.0f} MiB",
            line.note or ", ".join(f"{number:,} × {status}" for status, number in sorted(line.driven.statuses.items())),
        )
    Console(width=200).print(table)


if __name__ == "__main__":
    began = time.perf_counter()
    code = main(sys.argv[1:])
    sys.stdout.write(f"{time.perf_counter() - began:.0f} s; the ledger was clean after each load.\n")
    sys.exit(code)
