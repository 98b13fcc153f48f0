"""How fast a stream is consumed: `python -m benchmarks.consume [--small] [--database postgresql|sqlite]`.

One consumer, in this process, empties a stream on a broker of its own; against the service recording as many events
that are there already. The two take turns, stream by stream, so that both meet the same table and the same noise.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import databases
from tests import servers

if TYPE_CHECKING:
    import redis

STREAM = "spend-events"
BRANDS = 20


class Load(NamedTuple):
    """One line of the table: the form of a message, events in a batch and a stream, campaigns, and turns."""

    form: str
    batch: int
    campaigns: int
    events: int
    turns: int


LOADS = (
    Load("JSON", 1_000, 1, 20_000, 3),
    Load("JSON", 1_000, 200, 20_000, 3),
    Load("fields", 1_000, 200, 20_000, 3),
    Load("JSON", 10_000, 200, 40_000, 3),
    Load("JSON", 100, 200, 5_000, 3),
)
SMALL_LOADS = (Load("JSON", 50, 5, 120, 1), Load("fields", 50, 5, 120, 1))


def main(arguments: list[str]) -> int:
    """Print the table of one database, or of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--database", choices=databases.NAMES)
    parser.add_argument("--small", action="store_true", help="a few events, to see that it runs")
    options = parser.parse_args(arguments)
    if options.database is None:
        return databases.each("benchmarks.consume", arguments)
    with databases.fresh(options.database), servers.valkey() as url:
        measure(options.database, SMALL_LOADS if options.small else LOADS, url)
    return 0


def measure(database: str, loads: Sequence[Load], url: str) -> None:
    """Measure the loads and print the table, then audit what was recorded."""
    from campaigns.gateways.spend_json import WireEvent, read_event
    from campaigns.gateways.streams import connect
    from campaigns.models import SpendLog
    from campaigns.services import audit

    broker, now, chance = connect(url), datetime.now(UTC), random.Random(1)
    campaign_ids = _campaigns(max(load.campaigns for load in loads), now)
    table = Table(title=f"Consuming a stream, {database}, one process", title_justify="left")
    for name in ("message", "batch", "campaigns", "consumer, events/s", "service, events/s", "consumer / service"):
        table.add_column(name, justify="right")
    recorded = 0
    for load in loads:
        consumer_times, service_times = [], []
        for _ in range(load.turns):
            _fill(broker, load, _events(load, campaign_ids, now, chance))
            consumer_times.append(_timed(partial(_consume, url, load)))
            assert broker.xlen(STREAM) == 0
            read = [read_event(json.dumps(event).encode()) for event in _events(load, campaign_ids, now, chance)]
            events = [event for event in read if isinstance(event, WireEvent)]
            service_times.append(_timed(partial(_record, events, load, now)))
            recorded += 2 * load.events
        consumer, service = statistics.median(consumer_times), statistics.median(service_times)
        rates = (f"{load.events / consumer:,.0f}", f"{load.events / service:,.0f}", f"{service / consumer:.2f}")
        table.add_row(load.form, f"{load.batch:,}", f"{load.campaigns:,}", *rates)
    Console(width=120).print(table)
    assert SpendLog.objects.count() == recorded
    print(f"check_ledger: {len(audit.check_ledger())} differences after {recorded:,} events.")


def _campaigns(number: int, now: datetime) -> list[int]:
    """Brands with budgets that are never reached, so that consuming is measured and not pausing."""
    from campaigns.models import Campaign
    from campaigns.services import catalog

    made = []
    for first in range(min(BRANDS, number)):
        brand = catalog.create_brand(
            now=now, name=f"Brand {first}", timezone="Europe/Berlin", daily_budget="1000000000"
        )
        made += Campaign.objects.bulk_create(
            Campaign(brand=brand, name=f"Campaign {n}", daily_budget=Decimal(10_000_000))
            for n in range(first, number, min(BRANDS, number))
        )
    return [campaign.pk for campaign in made]


def _events(load: Load, campaign_ids: Sequence[int], now: datetime, chance: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "event_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "campaign_id": campaign_ids[chance.randrange(load.campaigns)],
            "amount": f"0.{chance.randint(1, 999_999):06d}",
            "timestamp": (now - timedelta(seconds=chance.randint(0, 300))).isoformat(),
        }
        for _ in range(load.events)
    ]


def _fill(broker: redis.Redis, load: Load, events: Sequence[dict[str, Any]]) -> None:
    with broker.pipeline(transaction=False) as pipeline:
        for event in events:
            fields: dict[Any, Any] = {"event": json.dumps(event)} if load.form == "JSON" else event
            pipeline.xadd(STREAM, fields)
        pipeline.execute()


def _consume(url: str, load: Load) -> None:
    from campaigns.gateways.streams import SpendStream, connect
    from campaigns.management.consuming import Consumer, Plan

    stream = SpendStream(connect(url), name=STREAM, group="budget", consumer="benchmark")
    Consumer(stream, Plan(batch=load.batch, claim_after=60, drain=True), say=lambda _: None).run()


def _record(events: Sequence[Any], load: Load, now: datetime) -> None:
    from campaigns.services.events import of_wire
    from campaigns.services.spend import record_spend

    for first in range(0, len(events), load.batch):
        record_spend([of_wire(event) for event in events[first : first + load.batch]], now=now)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
