"""How fast a step of pacing is: `python -m benchmarks.pace [--small] [--database postgresql|sqlite]`.

Every campaign is paced evenly by a daily budget of its own, half of them have hours, fifty share a brand. Measured are
the first step, in which rows are made and profiles learned from 28 days of each brand's hours, and later ones: nobody
has spent, everybody has, and one right after another, which takes no step.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks import databases
from benchmarks.enforce import OPEN, analyze, grow

if TYPE_CHECKING:
    from campaigns.services.runs import Outcome

SIZES = (10_000, 100_000)
SMALL_SIZES = (200,)
MINUTE = timedelta(minutes=1)
LEARNED_DAYS = 28


def main(arguments: list[str]) -> int:
    """Print the table of one database, or of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--database", choices=databases.NAMES)
    parser.add_argument("--small", action="store_true", help="a few campaigns, to see that it runs")
    parser.add_argument("--sizes", type=int, nargs="*", help="other numbers of campaigns")
    options = parser.parse_args(arguments)
    if options.database is None:
        return databases.each("benchmarks.pace", arguments)
    with databases.fresh(options.database):
        measure(options.database, options.sizes or (SMALL_SIZES if options.small else SIZES))
    return 0


def measure(database: str, sizes: Sequence[int]) -> None:
    """Measure the sizes, growing the same database, and print the table."""
    from campaigns.services.pacing import pace_all

    table = Table(title=f"A step of pacing, {database}, one process", title_justify="left")
    for name in (
        "campaigns paced",
        "first",
        "nobody spent",
        "all spent",
        "of that CPU",
        "told",
        "a second time",
        "memory",
    ):
        table.add_column(name, justify="right")
    made = 0
    for number, size in enumerate(sizes):
        grow(made, size)
        made = size
        _pace_evenly()
        analyze()
        now = OPEN + number * 10 * MINUTE
        with_profiles, first = _timed(lambda: pace_all(now=now))  # noqa: B023 - called at once
        analyze()
        _, idle = _timed(lambda: pace_all(now=now + MINUTE))  # noqa: B023
        _spend_some()
        cpu = time.process_time()
        busy, all_spent = _timed(lambda: pace_all(now=now + 2 * MINUTE))  # noqa: B023
        cpu = time.process_time() - cpu
        none, again = _timed(lambda: pace_all(now=now + 2 * MINUTE))  # noqa: B023
        assert (with_profiles.judged, busy.judged, none.judged) == (size, size, 0)
        table.add_row(
            f"{size:,}",
            f"{first:.2f} s",
            f"{idle:.2f} s",
            f"{all_spent:.2f} s",
            f"{cpu:.2f} s",
            f"{busy.changed:,}",
            f"{again:.2f} s",
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB",
        )
    Console(width=120).print(table)


def _pace_evenly() -> None:
    """Pace every campaign that is not yet, and give its brand hours to learn from."""
    from campaigns.models import BrandHour, Campaign

    Campaign.objects.filter(pacing="asap").update(pacing="even", daily_budget=1_000)
    known = set(BrandHour.objects.values_list("brand_id", flat=True).distinct())
    brands = set(Campaign.objects.order_by().values_list("brand_id", flat=True).distinct()) - known
    for brand in sorted(brands):  # one after the other: the memory that is measured is not to be this
        BrandHour.objects.bulk_create(
            BrandHour(brand_id=brand, day=OPEN.date() - timedelta(days=back), hour=hour, spent=10 + hour)
            for back in range(1, LEARNED_DAYS + 1)
            for hour in range(24)
        )


def _spend_some() -> None:
    """Let the counters of today say that everybody has spent since: what is measured is who reads them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE campaigns_campaigncounter SET spent = spent + 500000 WHERE period = 1 AND start = %s", [OPEN.date()]
        )


def _timed(work: Callable[[], Outcome]) -> tuple[Outcome, float]:
    began = time.perf_counter()
    outcome = work()
    return outcome, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
