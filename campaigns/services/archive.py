"""Old months leave the ledger for Parquet files, one after the other; what they add up to stays.

Each step of a month can be cut short by whatever ends a process, and the next run goes on from there:

1. It is closed: nothing is added to it any more, nor to a month before it. A trigger sees to that.
2. Its rows are written to a file, which is read back and compared with the ledger, campaign by campaign and day by day.
3. It is sealed, in one transaction: the file gets its name, and what the rows add up to is kept. From that commit on
   these sums count and the rows in the ledger don't, be they still there or not (`services/audit.py`).
4. Its rows are deleted, some at a time, which a trigger allows of sealed months only; before, the file is read again.

So there is no moment at which a row is neither in the ledger nor in a file, or counts twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Sum
from psycopg.errors import LockNotAvailable

from campaigns.gateways import ledger_parquet
from campaigns.gateways.ledger_parquet import Written
from campaigns.models import ArchivedSpend, Brand, LedgerArchive, SpendLog
from campaigns.models.append_only import lock_out_recording
from campaigns.models.archive import DaySum
from campaigns.queries import archive as archive_queries
from campaigns.rules import money
from campaigns.rules.errors import BudgetError

REMOVED_AT_ONCE = 10_000
"""Rows deleted in one transaction."""

LATE = timedelta(days=31)
"""What a month has to be older by than the oldest spend that is accepted; more than `events.NEVER_ARCHIVED`."""

LOCK_WAIT_MS = 500
"""How long recording may queue behind the closing of a month; then it goes first, and the closing tries again."""

LOCK_ATTEMPTS = 60


class Plan(NamedTuple):
    """A month that would leave, or that is on its way: how many of its rows are in the ledger, and their sum."""

    month: date
    rows: int
    micros: int


class Step(NamedTuple):
    """What has just been done with a month, for whoever watches: its file was written, or rows have left.

    removed: how many have so far, in this run. done: whether these were the last.
    """

    archive: LedgerArchive
    removed: int = 0
    done: bool = False


def horizon(*, now: datetime) -> date:
    """Return the first day that stays in the ledger by the settings: the 1st of a month."""
    months = now.year * 12 + now.month - 1 - settings.LEDGER_KEEP_MONTHS
    return date(months // 12, months % 12 + 1, 1)


def check_before(before: date, *, now: datetime) -> None:
    """Raise BudgetError if spend may still come in for a day before this one, or if it does not begin a month."""
    if before.day != 1:
        raise BudgetError("Only whole months leave the ledger; name the first that stays, such as 2025-01.")
    latest = (now - timedelta(days=settings.SPEND_MAX_AGE_DAYS) - LATE).date().replace(day=1)
    if before > latest:
        raise BudgetError(
            f"Spend of {before - timedelta(days=1):%Y-%m} may still come in, or has just done so; "
            f"the first month that stays is {latest:%Y-%m} at the latest."
        )


def plan(*, before: date) -> list[Plan]:
    """Return what an archive of the months before a day would do, without doing it."""
    months = archive_queries.months_before(before)
    under_way = LedgerArchive.objects.filter(sealed_at__isnull=False, removed_at=None)
    plans = []
    for archive in [*under_way, *map(_unsaved, months)]:
        rows = micros = 0
        for day in archive_queries.sums_of_ledger(archive):
            rows, micros = rows + day.rows, micros + day.micros
        plans.append(Plan(archive.month, rows, micros))
    return plans


def archive_ledger(
    *, before: date, folder: Path, now: datetime, by: str = "", keep_rows: bool = False
) -> Iterator[Step]:
    """Archive every whole month before a day, the oldest first, and say so step by step; nothing is done in advance.

    What an earlier run has left undone is finished first. keep_rows: write and seal, but leave the rows in the ledger
    for a later run. Raises BudgetError where something does not agree, and OSError from the disk; no row has left then
    that is not in its file.
    """
    check_before(before, now=now)
    if not keep_rows:
        for archive in LedgerArchive.objects.filter(sealed_at__isnull=False, removed_at=None).order_by("month"):
            yield from _remove(archive, folder, now)
    for month in archive_queries.months_before(before):
        archive = _close(month, now, by)
        _seal(archive, folder, now)
        archive.refresh_from_db()
        yield Step(archive)
        if not keep_rows:
            yield from _remove(archive, folder, now)


def verify(archive: LedgerArchive, folder: Path) -> str:
    """Return what is wrong with the file of an archived month, as a sentence; empty if it is what it should be."""
    path = folder / archive.file
    if not path.is_file():
        return f"{archive.file} is not in {folder}."
    if ledger_parquet.digest(path) != archive.sha256:
        return f"{archive.file} is not the file that was written: its SHA-256 is another."
    differing = _first_difference(ledger_parquet.sums(path), archive_queries.sums_of_archive(archive))
    return f"{archive.file} and the database differ: {differing}" if differing else ""


# --- Step 1: close ----------------------------------------------------------------------------


def _close(month: date, now: datetime, by: str) -> LedgerArchive:
    """Let nothing be added to a month from now on; whoever was about to has ended when this returns."""
    for attempt in itertools.count(1):
        try:
            with transaction.atomic():
                lock_out_recording(connection, wait_ms=LOCK_WAIT_MS)
                archive, _ = LedgerArchive.objects.get_or_create(
                    month=month,
                    defaults={"until": _next_month(month), "closed_at": now, "archived_by": by},
                )
                return archive
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            if attempt == LOCK_ATTEMPTS:
                raise BudgetError("Somebody has been recording spend for half a minute; try again later.") from error
    raise AssertionError("unreachable")


# --- Steps 2 and 3: write and seal ------------------------------------------------------------


def _seal(archive: LedgerArchive, folder: Path, now: datetime) -> None:
    """Write a closed month to its file, and let the file and the sums count."""
    with ledger_parquet.writing(folder, archive.month) as path:
        currencies = dict(Brand.objects.order_by().values_list("pk", "currency"))
        written = ledger_parquet.write(path, archive.month, archive_queries.rows_of(archive), currencies)
        if differing := _first_difference(ledger_parquet.sums(path), archive_queries.sums_of_ledger(archive)):
            raise BudgetError(f"The file of {archive} is not what the ledger has; nothing was removed. {differing}")
        _check_free(archive, path, folder)
        _count(archive, written, folder, now)


def _check_free(archive: LedgerArchive, path: Path, folder: Path) -> None:
    """Raise BudgetError if another file has the name that this one is to get, and other rows.

    What a run has left that was killed before its commit has the same. Of another database's, which was given this
    folder as well, the rows may have left already.
    """
    there = folder / ledger_parquet.name_of(archive.month)
    if not there.exists() or ledger_parquet.alike(there, path):
        return
    if not LedgerArchive.objects.filter(pk=archive.pk, sealed_at__isnull=False).exists():  # else it is another run's
        raise BudgetError(
            f"{there.name} in {folder} has other rows than the ledger, so it is not replaced. Nothing was removed; "
            "move that file away, or name another folder."
        )


def _count(archive: LedgerArchive, written: Written, folder: Path, now: datetime) -> None:
    """The one commit at which a month changes over from its rows to its sums.

    Two runs at once may have written the same file; the second finds that the month is sealed. It must not put its
    file there then, since of that one the rows may have been leaving already.
    """
    with transaction.atomic():
        mine = LedgerArchive.objects.select_for_update().get(pk=archive.pk)
        if mine.sealed_at is not None:
            return
        _keep_sums(mine, written)
        ledger_parquet.keep(written.path, folder, mine.month)
        mine.file, mine.sha256, mine.rows = ledger_parquet.name_of(mine.month), written.sha256, written.rows
        mine.first_id, mine.last_id, mine.sealed_at = written.first_id, written.last_id, now
        mine.save()


def _keep_sums(archive: LedgerArchive, written: Written) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO campaigns_archivedspend (brand_id, campaign_id, day, amount, rows)
            SELECT brand_id, campaign_id, day, SUM(amount), COUNT(*) FROM campaigns_spendlog
            WHERE day >= %s AND day < %s GROUP BY brand_id, campaign_id, day
            """,
            [archive.month, archive.until],
        )
    kept = ArchivedSpend.objects.filter(day__gte=archive.month, day__lt=archive.until)
    if (kept.aggregate(rows=Sum("rows"))["rows"] or 0) != written.rows:
        raise BudgetError(f"The ledger of {archive} has changed since its file was written; nothing was removed.")


def _first_difference(file: Iterable[DaySum], database: Iterable[DaySum]) -> str:
    """The first day on which a file and the database do not agree, as a sentence; both are in one order."""
    for in_file, in_database in itertools.zip_longest(file, database):
        if in_file != in_database:
            return f"The file has {_told(in_file)}, the database {_told(in_database)}."
    return ""


def _told(day: DaySum | None) -> str:
    if day is None:
        return "nothing more"
    return f"{money.to_text(day.micros)} in {day.rows:,} rows for campaign {day.campaign_id} on {day.day}"


# --- Step 4: remove ---------------------------------------------------------------------------


def _remove(archive: LedgerArchive, folder: Path, now: datetime) -> Iterator[Step]:
    """Delete the rows of a sealed month, unless its file is not there or not what it was."""
    if wrong := verify(archive, folder):
        raise BudgetError(f"{wrong} No row of {archive} was removed; bring the file back, or name its folder.")
    removed, after = 0, (archive.first_id or 0) - 1
    while ids := _next_ids(archive, after):
        _remove_some(archive, ids[0], ids[-1])
        removed, after = removed + len(ids), ids[-1]
        yield Step(archive, removed)
    LedgerArchive.objects.filter(pk=archive.pk, removed_at=None).update(removed_at=now)
    yield Step(archive, removed, done=True)


def _next_ids(archive: LedgerArchive, after: int) -> list[int]:
    rows = SpendLog.objects.filter(pk__gt=after, pk__lte=archive.last_id or 0)
    of_month = rows.filter(day__gte=archive.month, day__lt=archive.until)
    return list(of_month.order_by("pk").values_list("pk", flat=True)[:REMOVED_AT_ONCE])


def _remove_some(archive: LedgerArchive, first: int, last: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM campaigns_spendlog WHERE id >= %s AND id <= %s AND day >= %s AND day < %s",
            [first, last, archive.month, archive.until],
        )


def _unsaved(month: date) -> LedgerArchive:
    return LedgerArchive(month=month, until=_next_month(month))


def _next_month(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)
