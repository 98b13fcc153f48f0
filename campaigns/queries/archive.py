"""The ledger by months, as the archive takes them out, and what is in the archive already."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date

from django.db import connection, transaction
from django.db.models import BigIntegerField, F, Max, QuerySet, Sum
from django.db.models.functions import Cast

from campaigns.models import ArchivedSpend, LedgerArchive, SpendLog
from campaigns.models.archive import DaySum, LedgerRow
from campaigns.models.rows import as_date, month_of

CHUNK = 10_000
"""Rows that are in memory at a time."""


def closed_until() -> date | None:
    """Return the first day that the ledger takes rows of; None if it takes them of any."""
    until: date | None = LedgerArchive.objects.aggregate(until=Max("until"))["until"]
    return until


def sealed_between(first: date, last: date) -> LedgerArchive | None:
    """Return the newest month that has left the ledger and has a day from `first` to `last`, if there is one."""
    sealed = LedgerArchive.objects.filter(sealed_at__isnull=False, month__lte=last, until__gt=first)
    return sealed.order_by("-month").first()


def archived_rows() -> int:
    """Return how many rows the files of the archive have that are no more in the ledger."""
    return LedgerArchive.objects.filter(removed_at__isnull=False).aggregate(rows=Sum("rows"))["rows"] or 0


def archived_until() -> date | None:
    """Return the first day after the newest month that has left the ledger; None if none has."""
    until: date | None = LedgerArchive.objects.filter(sealed_at__isnull=False).aggregate(until=Max("until"))["until"]
    return until


def has_spend(*, brand_id: int, campaign_id: int | None = None) -> bool:
    """Return whether a brand, or one campaign of it, has spend: in the ledger or in the archive."""
    if campaign_id is None:
        of_ledger: QuerySet[SpendLog] = SpendLog.objects.filter(brand=brand_id)
        archived: QuerySet[ArchivedSpend] = ArchivedSpend.objects.filter(brand=brand_id)
    else:
        of_ledger = SpendLog.objects.filter(campaign=campaign_id)
        archived = ArchivedSpend.objects.filter(brand=brand_id, campaign=campaign_id)
    return of_ledger.exists() or archived.exists()


def months_before(day: date) -> list[date]:
    """Return the months of the ledger that are over by a day and not sealed. Reads through the ledger once."""
    month = month_of(connection, "day")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT {month} FROM campaigns_spendlog WHERE day < %s", [day])
        months = {as_date(month) for (month,) in cursor.fetchall()}
    sealed = LedgerArchive.objects.filter(sealed_at__isnull=False).values_list("month", flat=True)
    return sorted(months.difference(sealed))


def rows_of(archive: LedgerArchive) -> Iterator[LedgerRow]:
    """Yield a month's rows by brand, campaign, day and id. The database sorts them, on its disk if need be."""
    rows = _of_month(archive).order_by("brand_id", "campaign_id", "day", "id")
    values = rows.annotate(micros=Cast("amount", BigIntegerField())).values_list(
        *("id", "brand_id", "campaign_id", "event_id", "kind", "micros", "timestamp", "day", "recorded_at", "note")
    )
    with _streaming():
        yield from map(LedgerRow._make, values.iterator(chunk_size=CHUNK))


def sums_of_ledger(archive: LedgerArchive) -> Iterator[DaySum]:
    """Yield what a month's rows in the ledger add up to, by brand, campaign and day."""
    sql = """
        SELECT brand_id, campaign_id, day, SUM(amount), COUNT(*) FROM campaigns_spendlog
        WHERE day >= %s AND day < %s GROUP BY brand_id, campaign_id, day ORDER BY brand_id, campaign_id, day
    """
    with _streaming(), connection.chunked_cursor() as cursor:
        cursor.execute(sql, [archive.month, archive.until])
        while rows := cursor.fetchmany(CHUNK):
            for brand_id, campaign_id, day, micros, number in rows:
                yield DaySum(brand_id, campaign_id, as_date(day), int(micros), number)


def sums_of_archive(archive: LedgerArchive) -> Iterator[DaySum]:
    """Yield what the archive says that a month's rows added up to, in the same order."""
    kept = ArchivedSpend.objects.filter(day__gte=archive.month, day__lt=archive.until)
    values = kept.annotate(micros=Cast("amount", BigIntegerField()), number=F("rows")).order_by(
        "brand_id", "campaign_id", "day"
    )
    with _streaming():
        columns = values.values_list("brand_id", "campaign_id", "day", "micros", "number")
        yield from map(DaySum._make, columns.iterator(chunk_size=CHUNK))


def _of_month(archive: LedgerArchive) -> QuerySet[SpendLog]:
    return SpendLog.objects.filter(day__gte=archive.month, day__lt=archive.until)


@contextlib.contextmanager
def _streaming() -> Iterator[None]:
    """A cursor that stays on the server needs a transaction on PostgreSQL; on SQLite one would keep writers out."""
    if connection.vendor == "postgresql":
        with transaction.atomic():
            yield
    else:
        yield
