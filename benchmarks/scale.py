"""How it does at size: `python -m benchmarks.scale [--small] [--campaigns 1000000] [--rows 20000000]`, or `make scale`.

PostgreSQL only. A catalog and a ledger are built in bulk, with the counters that belong to them, so that check_ledger
is clean; then everything that must not follow from their size is measured, and what may is told.

What an event costs is compared with a ledger of a twentieth of the size in a second database of the same server. The
two take turns, batch by batch, so that both meet the same checkpoints and the same noise.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import time_machine
from rich.console import Console
from rich.table import Table

from benchmarks import databases, pages, record
from benchmarks.enforce import CAMPAIGNS_PER_BRAND, OPEN, SHUT, analyze, catalog_statements

if TYPE_CHECKING:
    from campaigns.services.spend import SpendEvent

CAMPAIGNS, ROWS = 1_000_000, 20_000_000
SMALL_CAMPAIGNS, SMALL_ROWS = 400, 8_000
SMALLER = 20
"""How many times smaller the ledger is that the cost of an event is compared with."""

BATCH, BATCHES, SMALL_BATCHES = 1_000, 600, 3
"""So many that every page of the key is met again and again: the first time after a checkpoint each is written whole
to the log, which at a steady rate is soon over."""

CAMPAIGNS_OF_BATCH = 200
OLD = date(2025, 1, 1)
"""The month that is archived; a quarter of the ledger is of its first days, the rest of the last five."""

_LEDGER = "brand_id, event_id, campaign_id, kind, amount, timestamp, day, note, recorded_at"


def main(arguments: list[str]) -> int:
    """Build, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="a few campaigns, to see that it runs")
    parser.add_argument("--campaigns", type=int)
    parser.add_argument("--rows", type=int, help="of the ledger, at least four for each campaign")
    parser.add_argument("--beside", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    campaigns = options.campaigns or (SMALL_CAMPAIGNS if options.small else CAMPAIGNS)
    rows = options.rows or (SMALL_ROWS if options.small else ROWS)
    os.environ.setdefault("LOG_LEVEL", "WARNING")  # not a line for each page
    if options.beside:
        os.environ["BENCHMARK_DATABASE_URL"] = options.beside
    with databases.fresh("postgresql"), time_machine.travel(OPEN, tick=False):
        fill(campaigns, rows)
        if options.beside:
            _answer(campaigns)
        else:
            measure(campaigns, rows, SMALL_BATCHES if options.small else BATCHES)
    return 0


# --- Building ---------------------------------------------------------------------------------


def fill(campaigns: int, rows: int) -> None:
    """Make campaigns, a ledger with random ids, and the counters that it adds up to."""
    from campaigns.services import audit, enforcement, hours

    _do("SET session_replication_role = replica")  # no foreign key is looked up for each of the rows
    for statement in catalog_statements(0, campaigns, "true"):
        _do(statement)
    with indexes_later("campaigns_spendlog"):
        _do(_ledger(campaigns, rows))
    for table, owner in (("brandcounter", "brand_id"), ("campaigncounter", "brand_id, campaign_id")):
        with indexes_later(f"campaigns_{table}"):
            for period, start in _periods(table):
                _do(f"""
                    INSERT INTO campaigns_{table} ({owner}, period, start, spent, held)
                    SELECT {owner}, {period}, {start} AS start, SUM(amount), 0 FROM campaigns_spendlog
                    GROUP BY {owner}, start
                """)
    _do("SET session_replication_role = origin")
    analyze()
    enforcement.enforce_all(now=OPEN)
    hours.sum_hours(now=OPEN)
    assert audit.count_counters() > campaigns


def _ledger(campaigns: int, rows: int) -> str:
    """Every campaign has as many rows, the first quarter of them in the old month."""
    old = f"i / {campaigns} < {rows // campaigns // 4}"
    day = (
        f"CASE WHEN {old} THEN date '{OLD}' + (i / {campaigns} % 28)::int "
        f"ELSE date '{OPEN.date()}' - (i / {campaigns} % 5)::int END"
    )
    return f"""
        INSERT INTO campaigns_spendlog ({_LEDGER})
        SELECT 1 + (campaign - 1) / {CAMPAIGNS_PER_BRAND}, gen_random_uuid()::text, campaign, 1, 1000, moment, day,
            '', moment
        FROM (
            SELECT campaign, day, day + interval '11 hours' * random() AS moment
            FROM (SELECT 1 + i % {campaigns} AS campaign, {day} AS day FROM generate_series(0, {rows - 1}) AS n(i)) d
        ) made
    """


def _periods(table: str) -> Iterator[tuple[int, str]]:
    yield 1, "day"
    yield 2, "date_trunc('month', day)::date"
    if table == "campaigncounter":
        yield 3, "date '1970-01-01'"


@contextmanager
def indexes_later(table: str) -> Iterator[None]:
    """Take a table's indexes away while it is filled, PostgreSQL only: sorting them once at the end is far faster."""
    constraints = _all(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = %s::regclass AND contype IN ('p', 'u') ORDER BY contype",
        table,
    )
    for name, _ in constraints:
        _do(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    indexes = _all("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", table)
    for name, _ in indexes:
        _do(f"DROP INDEX {name}")
    yield
    for name, definition in constraints:
        _do(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for _, definition in indexes:
        _do(definition)


# --- Measuring --------------------------------------------------------------------------------


def measure(campaigns: int, rows: int, batches: int) -> None:
    """Measure what there is, and print the tables."""
    from campaigns.models import Brand

    title = f"{campaigns:,} campaigns of {Brand.objects.count():,} brands, {rows:,} ledger rows"
    table = Table(title=f"At size: {title}", title_justify="left")
    table.add_column("what")
    table.add_column("took", justify="right")
    table.add_column("", justify="left")
    for what in (_check, _passes, _feed, _reports, _archive):
        for name, seconds, remark in what(campaigns):
            print(
                f"{name}: {seconds:,.3f} s {remark}", file=sys.stderr, flush=True
            )  # who waits for an hour wants to see
            table.add_row(name, f"{seconds:,.3f} s" if seconds < 1 else f"{seconds:,.1f} s", remark)
    pages.measure("postgresql", campaigns, rows)
    _recording(campaigns, rows, batches)
    table.caption = f"This process took {_memory()} at most."
    Console(width=140).print(table)


_Line = tuple[str, float, str]


def _check(_: int) -> Iterator[_Line]:
    from campaigns.services import audit

    found, seconds = _timed(audit.check_ledger)
    assert found == []
    yield "check_ledger", seconds, f"{audit.count_counters():,} counters, no difference"


def _passes(_: int) -> Iterator[_Line]:
    from campaigns.services import enforcement

    none = min(_timed(lambda: enforcement.enforce_all(now=OPEN))[1] for _ in range(3))
    yield "the pass, none changes", none, ""
    run, half = _timed(lambda: enforcement.enforce_all(now=SHUT))
    yield "the pass, half change", half, f"{run.changed:,} changed"
    enforcement.enforce_all(now=OPEN)
    analyze()


def _feed(campaigns: int) -> Iterator[_Line]:
    from campaigns.queries.status_feed import feed_since, has_changed, whole_feed
    from campaigns.services.spend import record_spend

    some = list(range(1, 1 + 1_000 // CAMPAIGNS_PER_BRAND))
    feed, seconds = _timed(lambda: whole_feed(now=OPEN, brand_ids=some))
    yield f"the status feed of {len(some)} brands, whole", seconds, f"{len(feed.campaigns):,} campaigns"
    feed, seconds = _timed(lambda: whole_feed(now=OPEN, brand_ids=None))
    yield "the status feed of all brands, whole", seconds, f"{len(feed.campaigns):,} campaigns"
    seen = feed.position
    _, seconds = _timed(lambda: has_changed(seen=seen, brand_ids=None))
    yield "the status feed by cursor, nothing new", seconds, ""
    chance = random.Random(3)
    big = [event_for(campaign, chance, amount="6000") for campaign in range(1, min(campaigns, 300) + 1)]
    record_spend(big, now=OPEN)
    feed, seconds = _timed(lambda: feed_since(seen=seen, now=OPEN, brand_ids=None))
    yield "the status feed by cursor, with news", seconds, f"{len(feed.campaigns):,} campaigns"


def _reports(_: int) -> Iterator[_Line]:
    from campaigns.queries.reports import GroupBy, spend_report

    last = OPEN.date()
    for group_by, days, named in (
        (GroupBy.DAY, 365, {}),
        (GroupBy.BRAND, 28, {}),
        (GroupBy.CAMPAIGN, 28, {}),
        (GroupBy.CAMPAIGN, 28, {"brand_id": 7}),
        (GroupBy.HOUR, 5, {"brand_id": 7}),
    ):
        ask = partial(spend_report, group_by=group_by, first=last - timedelta(days=days - 1), last=last, **named)  # type: ignore[arg-type]  # what is named differs
        report, seconds = _timed(ask)
        of = "of a brand" if named else "of all brands"
        yield f"a report by {group_by}, {days} days, {of}", seconds, f"{len(report.rows):,} rows"


def _archive(_: int) -> Iterator[_Line]:
    from campaigns.models import LedgerArchive, SpendLog
    from campaigns.services import archive, audit

    until = date(OLD.year, OLD.month + 1, 1)
    with tempfile.TemporaryDirectory(prefix="archive.") as folder:
        began = time.perf_counter()
        steps = archive.archive_ledger(before=until, folder=Path(folder), now=OPEN)
        times = [time.perf_counter() - began for _ in steps]
        written, done = times[0], times[-1]
        month = LedgerArchive.objects.get()
        size = (Path(folder) / month.file).stat().st_size
        yield "a month is written, compared and sealed", written, f"{month.rows:,} rows, {size / 2**20:,.0f} MiB"
        yield "its rows are compared again and removed", done - written, f"{month.rows / done:,.0f} rows/s in all"
        wrong, seconds = _timed(lambda: archive.verify(month, Path(folder)))
        assert wrong == ""
        yield "its file is verified", seconds, f"with all of this, this process took {_memory()}"
    assert not SpendLog.objects.filter(day__lt=until).exists()
    found, seconds = _timed(audit.check_ledger)
    assert found == []
    yield "check_ledger after it", seconds, "no difference"


# --- Recording --------------------------------------------------------------------------------


def _recording(campaigns: int, rows: int, batches: int) -> None:
    """Print what an event costs here and beside, and what raw rows do, with ids at random and in order of time."""
    from campaigns.services import audit

    table = Table(title=f"Recording in batches of {BATCH:,}, {rows:,} ledger rows", title_justify="left")
    for name in ("event ids", "events/s", f"at {rows // SMALLER:,} rows", "cost", "COPY, rows/s", "service / raw"):
        table.add_column(name, justify="left" if name == "event ids" else "right")
    with _beside(campaigns // SMALLER, rows // SMALLER) as other:
        for kind in ("random", "in order"):
            here, there, raw = _turns(campaigns, batches, kind, other)
            table.add_row(
                kind,
                f"{BATCH / here:,.0f}",
                f"{BATCH / there:,.0f}",
                f"{here / there:.2f}",
                f"{BATCH / raw:,.0f}",
                f"{raw / here:.2f}",
            )
    Console(width=140).print(table)
    print(f"check_ledger: {len(audit.check_ledger()):,} counters lack the raw rows, as they must.")


def _turns(campaigns: int, batches: int, kind: str, other: Callable[[str], float]) -> tuple[float, float, float]:
    """Seconds a batch takes here, beside, and raw: the medians of the last two thirds, when all of them are warm."""
    from campaigns.services.spend import record_spend

    chance = random.Random(kind)
    here, there, raw = [], [], []
    for _ in range(batches):
        events = events_of(campaigns, chance, kind)
        here.append(_timed(partial(record_spend, events, now=OPEN))[1])
        there.append(other(kind))
        lines = [_raw(event) for event in events_of(campaigns, chance, kind)]
        raw.append(_timed(partial(record.copy_rows, lines))[1])
    warm = batches // 3
    return statistics.median(here[warm:]), statistics.median(there[warm:]), statistics.median(raw[warm:])


@contextmanager
def _beside(campaigns: int, rows: int) -> Iterator[Callable[[str], float]]:
    """A process with the smaller ledger in a database beside ours: called, it records a batch and says how long."""
    _do("CREATE DATABASE beside")
    url = os.environ["DATABASE_URL"].rpartition("/")[0] + "/beside"
    size = ["--campaigns", str(campaigns), "--rows", str(rows)]
    command = [sys.executable, "-m", "benchmarks.scale", "--beside", url, *size]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout
        assert stdout.readline() == "ready\n"

        def ask(kind: str) -> float:
            print(kind, file=stdin, flush=True)
            return float(stdout.readline())

        yield ask
        stdin.close()


def _answer(campaigns: int) -> None:
    """Be the process beside: record a batch for each line that comes in, and tell the seconds."""
    from campaigns.services.spend import record_spend

    chance = random.Random(2)
    print("ready", flush=True)
    for line in sys.stdin:
        events = events_of(campaigns, chance, line.strip())
        print(_timed(partial(record_spend, events, now=OPEN))[1], flush=True)


def events_of(campaigns: int, chance: random.Random, kind: str) -> list[SpendEvent]:
    """A batch over some campaigns that lie anywhere."""
    chosen = [chance.randint(1, campaigns) for _ in range(CAMPAIGNS_OF_BATCH)]
    return [event_for(chance.choice(chosen), chance, kind=kind) for _ in range(BATCH)]


def event_for(campaign: int, chance: random.Random, *, kind: str = "random", amount: str = "0.001") -> SpendEvent:
    """An event of today. kind: whether its id is a random UUID, or one that begins with the time, as version 7 does."""
    from campaigns.services.spend import SpendEvent

    bits = chance.getrandbits(128)
    if kind == "in order":
        bits = (next(_clock) << 80) | (bits & (2**80 - 1))
    return SpendEvent(event_id=str(uuid.UUID(int=bits)), campaign_id=campaign, amount=amount, timestamp=OPEN)


_clock = itertools.count(int(OPEN.timestamp()) * 1_000)


def _raw(event: SpendEvent) -> tuple[Any, ...]:
    campaign = event.campaign_id or 0
    brand = 1 + (campaign - 1) // CAMPAIGNS_PER_BRAND
    return (brand, event.event_id, campaign, 1, 1_000, event.timestamp, OPEN.date(), "", OPEN)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - began


def _memory() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,} MiB"


def _do(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)


def _all(sql: str, *params: Any) -> Sequence[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
