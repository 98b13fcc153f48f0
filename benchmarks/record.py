"""How fast spend is recorded: `python -m benchmarks.record [--small] [--database postgresql|sqlite]`.

The service (validation, dedupe, ledger, counters, verdicts, commit) against the least that could be done with the
same rows: a raw binary COPY of them into the same table on PostgreSQL, `executemany` on SQLite, one transaction per
batch. The two take turns, batch by batch, so that both meet the same table and the same noise.
"""

from __future__ import annotations

import argparse
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

if TYPE_CHECKING:
    from campaigns.services.spend import SpendEvent

GOAL = 0.4
"""Of the speed of a raw COPY, in batches of 1,000 on PostgreSQL (docs/benchmarks.md)."""


class Load(NamedTuple):
    """One line of the table: events in a batch, the campaigns they are spread over, batches on each side."""

    size: int
    campaigns: int
    batches: int


LOADS = (
    Load(1, 200, 400),
    Load(100, 200, 100),
    Load(1_000, 1, 40),
    Load(1_000, 200, 40),
    Load(1_000, 1_000, 40),
    Load(10_000, 200, 10),
    Load(10_000, 1_000, 10),
)
SMALL_LOADS = (Load(1, 5, 3), Load(100, 5, 2))

BRANDS = 20
_COLUMNS = "brand_id, event_id, campaign_id, kind, amount, timestamp, day, note, recorded_at"
_TYPES = ("int8", "varchar", "int8", "int2", "int8", "timestamptz", "date", "varchar", "timestamptz")


def main(arguments: list[str]) -> int:
    """Print the table of one database, or of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--database", choices=databases.NAMES)
    parser.add_argument("--small", action="store_true", help="a few rows, to see that it runs")
    options = parser.parse_args(arguments)
    if options.database is None:
        return databases.each("benchmarks.record", arguments)
    with databases.fresh(options.database):
        measure(options.database, SMALL_LOADS if options.small else LOADS)
    return 0


def measure(database: str, loads: Sequence[Load]) -> None:
    """Measure the loads and print the table, then audit what was recorded."""
    from campaigns.services import audit, spend

    now = datetime.now(UTC)
    chance = random.Random(1)
    campaign_ids = _campaigns(max(load.campaigns for load in loads), now)
    raw_name = "COPY" if database == "postgresql" else "executemany"
    table = Table(title=f"Recording spend, {database}, one process", title_justify="left")
    for name in ("batch", "campaigns", "service, events/s", f"{raw_name}, rows/s", "service / raw", "p99 of a batch"):
        table.add_column(name, justify="right")
    raw_write = copy_rows if database == "postgresql" else _executemany
    raw_rows = 0
    for load in loads:
        service_times, raw_times = [], []
        for _ in range(load.batches):
            events = _events(load, campaign_ids, now, chance)
            service_times.append(_timed(partial(spend.record_spend, events, now=now)))
            rows = _rows(_events(load, campaign_ids, now, chance), now)
            raw_times.append(_timed(partial(raw_write, rows)))
            raw_rows += load.size
        service, raw = statistics.median(service_times), statistics.median(raw_times)
        table.add_row(
            f"{load.size:,}",
            f"{load.campaigns:,}",
            f"{load.size / service:,.0f}",
            f"{load.size / raw:,.0f}",
            f"{raw / service:.2f}",
            f"{sorted(service_times)[int(len(service_times) * 0.99)] * 1000:,.1f} ms",
        )
    Console(width=120).print(table)
    # The raw rows are in the ledger and in no counter: exactly their days and months must differ.
    print(f"check_ledger: {len(audit.check_ledger()):,} counters lack the {raw_rows:,} raw rows, as they must.")


def _campaigns(number: int, now: datetime) -> list[tuple[int, int]]:
    """Brands with budgets that are never reached, so that recording is measured and not pausing."""
    from campaigns.models import Campaign
    from campaigns.services import catalog

    zones = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kathmandu")
    made = []
    for brand_number in range(min(BRANDS, number)):
        brand = catalog.create_brand(
            now=now,
            name=f"Brand {brand_number}",
            timezone=zones[brand_number % len(zones)],
            daily_budget="1000000000",
            monthly_budget="1000000000",
        )
        made += Campaign.objects.bulk_create(
            Campaign(brand=brand, name=f"Campaign {n}", daily_budget=Decimal(10_000_000))
            for n in range(brand_number, number, min(BRANDS, number))
        )
    return [(campaign.pk, campaign.brand_id) for campaign in made]


def _events(load: Load, campaigns: Sequence[tuple[int, int]], now: datetime, chance: random.Random) -> list[SpendEvent]:
    from campaigns.services.spend import SpendEvent

    chosen = campaigns[: load.campaigns]
    return [
        SpendEvent(
            event_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            campaign_id=chosen[chance.randrange(len(chosen))][0],
            amount=f"0.{chance.randint(1, 999_999):06d}",
            timestamp=now - timedelta(seconds=chance.randint(0, 300)),
        )
        for _ in range(load.size)
    ]


def _rows(events: Sequence[SpendEvent], now: datetime) -> list[tuple[Any, ...]]:
    """The same events as the ledger keeps them, made ready before the clock runs."""
    from campaigns.models import Campaign
    from campaigns.rules import money, periods

    homes = {c.pk: c.brand for c in Campaign.objects.select_related("brand")}
    return [
        (
            homes[event.campaign_id or 0].pk,
            event.event_id,
            event.campaign_id,
            1,
            money.parse_amount(event.amount),
            event.timestamp,
            periods.local_date(event.timestamp or now, homes[event.campaign_id or 0].timezone),
            "",
            now,
        )
        for event in events
    ]


def copy_rows(rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows of the ledger, and nothing else, in the fastest way that PostgreSQL has."""
    from django.db import connection, transaction

    command = f"COPY campaigns_spendlog ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(command) as copy:
        copy.set_types(_TYPES)
        for row in rows:
            copy.write_row(row)


def _executemany(rows: Sequence[tuple[Any, ...]]) -> None:
    from django.db import connection, transaction

    marks = ", ".join(["%s"] * 9)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO campaigns_spendlog ({_COLUMNS}) VALUES ({marks})", rows)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
