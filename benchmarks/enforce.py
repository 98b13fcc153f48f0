"""How fast the periodic pass is: `python -m benchmarks.enforce [--small] [--database postgresql|sqlite]`.

All campaigns are judged, first when none of them changes and then when half of them do (their hours end), against a
loop that judges and saves row by row, as one would write it first, on a smaller number of campaigns.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from benchmarks import databases

SIZES = (10_000, 100_000, 1_000_000)
SMALL_SIZES = (200,)
LOOP = 2_000
"""Campaigns that the loop judges; more of them take it proportionally longer."""

CAMPAIGNS_PER_BRAND = 50
DAYS = ("2026-03-07", "2026-03-08", "2026-03-09", "2026-03-10")
MONTHS = ("2026-02-01", "2026-03-01")
"""Periods in which every campaign has a counter: the current ones and some that are past."""

OPEN = datetime(2026, 3, 10, 11, 30, tzinfo=UTC)
SHUT = OPEN + timedelta(hours=1)
"""An hour later the windows of half of the campaigns have ended."""


def main(arguments: list[str]) -> int:
    """Print the table of one database, or of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--database", choices=databases.NAMES)
    parser.add_argument("--small", action="store_true", help="a few campaigns, to see that it runs")
    parser.add_argument("--sizes", type=int, nargs="*", help="other numbers of campaigns")
    options = parser.parse_args(arguments)
    if options.database is None:
        return databases.each("benchmarks.enforce", arguments)
    with databases.fresh(options.database):
        measure(options.database, options.sizes or (SMALL_SIZES if options.small else SIZES))
    return 0


def measure(database: str, sizes: Sequence[int]) -> None:
    """Measure the sizes, growing the same database, and print the table."""
    from campaigns.models import Campaign
    from campaigns.services import enforcement

    table = Table(title=f"The periodic pass, {database}, one process", title_justify="left")
    for name in ("campaigns", "none changes", "half change", "changed", "a second time", "row by row, none", "memory"):
        table.add_column(name, justify="right")
    made = 0
    for size in sizes:
        grow(made, size)
        made = size
        enforcement.enforce_all(now=OPEN)
        analyze()
        none = min(_timed(lambda: enforcement.enforce_all(now=OPEN)) for _ in range(3))
        began = time.perf_counter()
        changed = enforcement.enforce_all(now=SHUT).changed
        half = time.perf_counter() - began
        again = _timed(lambda: enforcement.enforce_all(now=SHUT))
        loop_size = min(LOOP, size)
        loop = _timed(lambda: _row_by_row(loop_size)) / loop_size * size  # noqa: B023 - called at once
        assert Campaign.objects.filter(is_active=False).count() == changed == size // 2
        table.add_row(
            f"{size:,}",
            f"{none:.2f} s",
            f"{half:.2f} s",
            f"{changed:,}",
            f"{again:.2f} s",
            f"{loop:,.1f} s",
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB",
        )
        enforcement.enforce_all(now=OPEN)
    Console(width=120).print(table)
    print(f"Row by row: measured on {min(LOOP, max(sizes)):,} campaigns, scaled to the number.")


def grow(already: int, size: int) -> None:
    """Make campaigns up to `size`: half with hours, a third with a daily budget, all with spend and history."""
    from django.db import connection

    with connection.cursor() as cursor:
        for statement in _statements(already, size, "true" if connection.vendor == "postgresql" else "1"):
            cursor.execute(statement)


def catalog_statements(first: int, last: int, true: str) -> Iterator[str]:
    """What makes brands, campaigns and hours. One clock in four zones, so that half of the campaigns change at once."""
    numbers = f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {last})"
    brands = f"FROM n WHERE i % {CAMPAIGNS_PER_BRAND} = 0"
    zone = "CASE i % 4 WHEN 0 THEN 'UTC' WHEN 1 THEN 'Europe/London' WHEN 2 THEN 'Africa/Abidjan' ELSE 'Etc/UTC' END"
    brand = f"1 + i / {CAMPAIGNS_PER_BRAND}"
    made = "'2026-01-01 00:00:00+00'"
    yield f"""
        INSERT INTO campaigns_brand
          (id, name, timezone, currency, daily_budget, monthly_budget, budget_scope,
          pacing, daily_from_month, created_at)
        {numbers} SELECT {brand}, 'Brand ' || i, {zone}, 'USD', 1000000000000, 20000000000000, 'brand', 'asap',
          NOT {true}, {made} {brands}
    """
    yield f"""
        INSERT INTO campaigns_campaign
          (id, brand_id, name, daily_budget, pacing, daily_from_month, paused_manually, is_active, reasons, created_at)
        {numbers} SELECT 1 + i, {brand}, 'Campaign ' || i, CASE WHEN i % 3 = 0 THEN 5000000000 END,
          'asap', NOT {true}, NOT {true}, {true}, 0, {made} FROM n
    """
    yield f"""
        INSERT INTO campaigns_daypartingschedule (campaign_id, start_hour, end_hour, weekdays)
        {numbers} SELECT 1 + i, 6, 12, 127 FROM n WHERE i % 2 = 0
    """


def _statements(first: int, last: int, true: str) -> Iterator[str]:
    yield from catalog_statements(first, last, true)
    numbers = f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {last})"
    brands, brand = f"FROM n WHERE i % {CAMPAIGNS_PER_BRAND} = 0", f"1 + i / {CAMPAIGNS_PER_BRAND}"
    for period, starts in {1: DAYS, 2: MONTHS, 3: ("1970-01-01",)}.items():
        for start in starts:
            counter = (
                f"{period}, date '{start}', 100000000, 0" if true == "true" else f"{period}, '{start}', 100000000, 0"
            )
            yield f"""
                INSERT INTO campaigns_campaigncounter (brand_id, campaign_id, period, start, spent, held)
                {numbers} SELECT {brand}, 1 + i, {counter} FROM n
            """
            if period != 3:
                yield f"""
                    INSERT INTO campaigns_brandcounter (brand_id, period, start, spent, held)
                    {numbers} SELECT {brand}, {counter} {brands}
                """


def analyze() -> None:
    """Do what the databases' own housekeeping does in time: fresh statistics for their planners."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def _row_by_row(number: int) -> None:
    """The brief's pseudo-code to the letter: for each campaign look up, judge, save."""
    from campaigns.models import Campaign
    from campaigns.services import enforcement

    for campaign_id in Campaign.objects.order_by("pk").values_list("pk", flat=True)[:number]:
        campaign = Campaign.objects.select_related("brand").get(pk=campaign_id)
        within_hours = enforcement.is_within_dayparting(campaign=campaign, now=SHUT)
        brand = campaign.brand
        spent = (brand.daily_budget is not None and campaign.current_daily_spend >= brand.daily_budget) or (
            brand.monthly_budget is not None and campaign.current_monthly_spend >= brand.monthly_budget
        )
        assert (within_hours and not spent) == campaign.is_active
        campaign.save(update_fields=["is_active"])


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
