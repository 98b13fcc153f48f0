"""Whether memory stays flat under load: `python -m benchmarks.soak [--small] [--minutes 10]`, or `make soak`.

The product as `manage.py up` runs it, web, worker, beat and consumer, on PostgreSQL and Valkey of their own, under a
steady load: batches and single events, holds, polls of the status feed, pages, and events in the stream. What each
process has in memory is sampled every few seconds. The first minute is for warming up. Fails if a process has grown by
more than the bound since, if something was not answered, or if an event is missing or counted twice at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import psutil
import redis
from rich.console import Console
from rich.table import Table

from benchmarks import databases
from benchmarks.driving import drive, request
from benchmarks.http import MIB, Size, World
from tests import servers

MINUTES, SMALL_MINUTES = 10.0, 0.3
WARM_UP, SMALL_WARM_UP = 60.0, 5.0
EVERY, SMALL_EVERY = 5.0, 1.0
"""Seconds between two samples."""

MOST_GROWTH = 16
"""MiB that a process may have grown by since it was warm."""

BATCH, BATCHES, SINGLES, HOLDS, IN_STREAM = 500, 2, 30, 10, 500
"""What is sent each second: events in a batch, batches, single events, holds, events into the stream."""

STREAM = "spend-events"
PROGRAMS = {"granian": "web", "worker": "worker", "beat": "beat", "consume_spend": "consumer", "guard.py": "guard"}
"""What each program is called, by how a word of its command line ends."""


class Sample(NamedTuple):
    """What the processes had in memory at a moment: seconds since the start, MiB by name."""

    at: float
    memory: dict[str, float]


class Sent(NamedTuple):
    """What was sent: how many events, and the statuses of the answers."""

    events: int
    statuses: Counter[int]


def main(arguments: list[str]) -> int:
    """Run the soak, print the table, and fail if memory is not flat."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="some seconds, to see that it runs")
    parser.add_argument("--minutes", type=float)
    options = parser.parse_args(arguments)
    seconds = (options.minutes or (SMALL_MINUTES if options.small else MINUTES)) * 60
    warm_up, every = (SMALL_WARM_UP, SMALL_EVERY) if options.small else (WARM_UP, EVERY)
    with databases.fresh("postgresql"), servers.valkey() as broker:
        os.environ["REDIS_URL"] = broker
        world = World(Size())
        with running() as (port, parent):
            samples, sent = _soak(world, port, parent, broker, seconds=seconds, every=every)
        grown = _print([sample for sample in samples if sample.at >= warm_up], warm_up)
        found = _audit(sent)
    if not options.small and grown > MOST_GROWTH:
        print(f"A process has grown by {grown:.1f} MiB; at most {MOST_GROWTH} MiB are flat.")
        return 1
    return 1 if found else 0


@contextmanager
def running() -> Iterator[tuple[int, psutil.Process]]:
    """Run the product; give its port and its first process."""
    from campaigns.management import probe

    port = servers.free_port()
    command = [sys.executable, "manage.py", "up", "--port", str(port)]
    log = Path(os.environ["DATA_DIR"], "up.log")
    environment = os.environ | {"ENVIRONMENT": "embedded", "LOG_LEVEL": "WARNING"}
    with servers.running(command, log=log, environment=environment) as program:
        servers.wait_until(lambda: probe.answers(port), within=120, what=f"the web answers; see {log}")
        yield port, psutil.Process(program.process.pid)


# --- The load ---------------------------------------------------------------------------------


def _soak(
    world: World, port: int, parent: psutil.Process, broker: str, *, seconds: float, every: float
) -> tuple[list[Sample], Sent]:
    """Send the load of a second in each second, and sample between; a machine that is too slow sends less."""
    samples: list[Sample] = []
    events, statuses = 0, Counter[int]()
    cookie = _cookie()
    began = next_sample = time.monotonic()
    with redis.Redis.from_url(broker) as stream:
        while (now := time.monotonic()) < began + seconds:
            if now >= next_sample:
                samples.append(Sample(now - began, _memory(parent)))
                next_sample += every
            driven = drive(port, _requests(world, cookie), connections=16)
            statuses += driven.statuses
            with stream.pipeline(transaction=False) as pipeline:
                for _ in range(IN_STREAM):
                    pipeline.xadd(STREAM, {"event": world.event(world.ids)})
                pipeline.execute()
            events += BATCH * BATCHES + SINGLES + IN_STREAM
            time.sleep(max(0.0, 1.0 - (time.monotonic() - now)))
        servers.wait_until(lambda: not _waiting(stream), within=300, what="the consumer has read all of the stream")
    return samples, Sent(events, statuses)


def _requests(world: World, cookie: str) -> list[bytes]:
    key, page = world.key, f"Cookie: {cookie}\r\n"
    batches = [
        request("POST", "/api/v1/spend-events?results=problems", key=key, body=_body(world, BATCH))
        for _ in range(BATCHES)
    ]
    singles = [request("POST", "/api/v1/spend-events", key=key, body=_body(world, 1)) for _ in range(SINGLES)]
    holds = [request("POST", "/api/v1/holds", key=key, body=_hold(world)) for _ in range(HOLDS)]
    polls = list(repeat(request("GET", "/api/v1/campaigns/status", key=key), 2))
    pages = [
        request("GET", path, key=key, headers=page)
        for path in ("/admin/", "/admin/campaigns/campaign/", f"/admin/campaigns/campaign/{world.ids[0]}/overview/")
    ]
    return [*batches, *singles, *holds, *polls, *pages]


def _body(world: World, number: int) -> bytes:
    return f'{{"events":[{",".join(world.event(world.ids) for _ in range(number))}]}}'.encode()


def _hold(world: World) -> bytes:
    key = str(uuid.UUID(int=world.chance.getrandbits(128)))
    campaign = world.chance.choice(world.held)
    return json.dumps({"campaign_id": campaign, "amount": "0.01", "ttl_seconds": 30, "key": key}).encode()


def _cookie() -> str:
    """The session of a person who has logged in."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("ada"))
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}"


def _waiting(stream: redis.Redis) -> int:
    """How many events nobody has recorded: those of the stream, which the consumer empties."""
    return int(stream.xlen(STREAM))


# --- Memory -----------------------------------------------------------------------------------


def _memory(parent: psutil.Process) -> dict[str, float]:
    """What each process has in memory, in MiB: the first, the programs that it has started, and their processes."""
    memory = {"up": parent.memory_info().rss / MIB}
    for child in parent.children():
        words = child.cmdline()
        name = next((name for end, name in PROGRAMS.items() if any(word.endswith(end) for word in words)), "")
        for number, process in enumerate([child, *child.children(recursive=True)]):
            with suppress(psutil.NoSuchProcess):
                memory[name if not number else f"{name}, process {number + 1}"] = process.memory_info().rss / MIB
    return memory


def _print(samples: Sequence[Sample], warm_up: float) -> float:
    """Print the table; return by how much the process that grew most has grown."""
    table = Table(title=f"Memory, from {warm_up:.0f} s on to {samples[-1].at:.0f} s", title_justify="left")
    for name in ("process", "start", "end", "most", "grown by", "a minute"):
        table.add_column(name, justify="left" if name == "process" else "right")
    grown = {name: _line(table, name, samples) for name in samples[-1].memory}
    Console(width=120).print(table)
    return max(grown.values())


def _line(table: Table, name: str, samples: Sequence[Sample]) -> float:
    """Start and end are the medians of the first and the last fifth; the slope is that of a line through all."""
    times = [sample.at / 60 for sample in samples if name in sample.memory]
    sizes = [sample.memory[name] for sample in samples if name in sample.memory]
    fifth = -(-len(sizes) // 5)
    start, end = statistics.median(sizes[:fifth]), statistics.median(sizes[-fifth:])
    slope = statistics.linear_regression(times, sizes).slope if len(sizes) > 1 else 0
    figures = (f"{start:.1f} MiB", f"{end:.1f} MiB", f"{max(sizes):.1f} MiB", f"{end - start:+.1f} MiB")
    table.add_row(name, *figures, f"{slope:+.2f} MiB")
    return end - start


def _audit(sent: Sent) -> int:
    """Print what became of the load; return how much is wrong."""
    from campaigns.models import SpendLog
    from campaigns.services import audit

    recorded, differences = SpendLog.objects.count(), len(audit.check_ledger())
    bad = sum(number for status, number in sent.statuses.items() if status >= 400)
    print(f"{sum(sent.statuses.values()):,} requests, {_told(sent.statuses)}.")
    print(f"{sent.events:,} events sent, {recorded:,} recorded; check_ledger: {differences} differences.")
    return bad + differences + abs(sent.events - recorded)


def _told(statuses: Mapping[int, int]) -> str:
    return ", ".join(f"{number:,} answered {status}" for status, number in sorted(statuses.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
