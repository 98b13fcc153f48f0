"""How fast the pages are: `python -m benchmarks.pages [--small] [--database postgresql|sqlite]`.

Each page is asked for as a browser asks, of the application itself, with many campaigns and a ledger that nothing on
a page may read through: its time and its number of statements must not follow from what there is.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import time_machine
from rich.console import Console
from rich.table import Table

from benchmarks import databases
from benchmarks.enforce import OPEN, analyze, grow

CAMPAIGNS, ROWS = 100_000, 10_000_000
SMALL_CAMPAIGNS, SMALL_ROWS = 200, 2_000
BUSY = 100_000
"""Rows of the ledger that one campaign has of today."""

TIMES = 7
PAGES = (
    ("dashboard", "/admin/"),
    ("dashboard, refreshed", "/admin/live/?live=0"),
    ("campaigns", "/admin/campaigns/campaign/"),
    ("campaigns by share of budget", "/admin/campaigns/campaign/?o=-7"),
    ("campaigns by spend today, page 4", "/admin/campaigns/campaign/?o=-5&p=4"),
    ("campaigns, searched", "/admin/campaigns/campaign/?q=Campaign+77"),
    ("brands by spend this month", "/admin/campaigns/brand/?o=-3"),
    ("a campaign", "/admin/campaigns/campaign/2/overview/"),
    ("a busy campaign", "/admin/campaigns/campaign/1/overview/"),
    ("a brand", "/admin/campaigns/brand/1/overview/"),
    ("spend log", "/admin/campaigns/spendlog/"),
    ("spend log of a brand", "/admin/campaigns/spendlog/?brand__id__exact=7"),
    ("status changes", "/admin/campaigns/statuschange/"),
)


def main(arguments: list[str]) -> int:
    """Print the table of one database, or of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--database", choices=databases.NAMES)
    parser.add_argument("--small", action="store_true", help="a few campaigns, to see that it runs")
    options = parser.parse_args(arguments)
    if options.database is None:
        return databases.each("benchmarks.pages", arguments)
    os.environ.setdefault("LOG_LEVEL", "WARNING")  # not a line for each page
    with databases.fresh(options.database), time_machine.travel(OPEN, tick=False):
        campaigns, rows = (SMALL_CAMPAIGNS, SMALL_ROWS) if options.small else (CAMPAIGNS, ROWS)
        fill(campaigns, rows)
        measure(options.database, campaigns, rows)
    return 0


def fill(campaigns: int, rows: int) -> None:
    """Make campaigns, a ledger of the last thirty days, the hours of the charts, and a journal of one pass."""
    from django.db import connection

    from campaigns.services import enforcement, hours

    grow(0, campaigns)
    postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute(_ledger(campaigns, rows, postgresql=postgresql))
    analyze()
    enforcement.enforce_all(now=OPEN)
    hours.sum_hours(now=OPEN)
    analyze()


def _ledger(campaigns: int, rows: int, *, postgresql: bool) -> str:
    """One campaign is busy today; the others share the rest evenly, a day after the other."""
    busy = rows // 100 if rows < BUSY else BUSY
    campaign = f"CASE WHEN i < {busy} THEN 1 ELSE 1 + i % {campaigns} END"
    ago = f"CASE WHEN i < {busy} THEN 0 ELSE (i / {campaigns}) % 30 END"
    if postgresql:
        numbers, series = "", f"generate_series(0, {rows - 1}) AS n(i)"
        day, moment = (
            f"date '{OPEN:%Y-%m-%d}' - ({ago})::int",
            f"timestamptz '{OPEN}' - ({ago})::int * interval '1 day'",
        )
    else:
        numbers = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})"
        series = "n"
        day = f"date('{OPEN:%Y-%m-%d}', '-' || ({ago}) || ' days')"
        moment = f"datetime('{OPEN:%Y-%m-%d %H:%M:%S}', '-' || ({ago}) || ' days')"
    return f"""
        INSERT INTO campaigns_spendlog
          (brand_id, campaign_id, event_id, kind, amount, timestamp, day, recorded_at, note)
        {numbers} SELECT 1 + (({campaign}) - 1) / 50, {campaign}, 'event-' || i, 1, 1000, {moment}, {day}, {moment}, ''
        FROM {series}
    """


def measure(database: str, campaigns: int, rows: int) -> None:
    """Ask for each page some times and print the table."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("ada"))
    title = f"Pages, {database}: {campaigns:,} campaigns, {rows:,} ledger rows"
    table = Table(title=title, title_justify="left")
    for name, justify in (("page", "left"), ("median", "right"), ("slowest", "right"), ("statements", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # rich takes these words
    for name, address in PAGES:
        took, statements = _asked(client, address)
        table.add_row(name, f"{statistics.median(took):,.0f} ms", f"{max(took):,.0f} ms", str(statements))
    Console(width=120).print(table)


def _asked(client: Any, address: str) -> tuple[Sequence[float], int]:
    """Milliseconds of each answer but the first, and the number of statements of one."""
    from django.db import connection

    statements: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        answer = client.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return [_milliseconds(client, address) for _ in range(TIMES)], len(statements)


def _milliseconds(client: Any, address: str) -> float:
    began = time.perf_counter()
    client.get(address)
    return (time.perf_counter() - began) * 1_000


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
