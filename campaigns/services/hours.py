"""What brands have spent by hour of their clocks, added up from the ledger: the charts read this, never the ledger.

A brand's day is stale exactly when its stored hours do not add up to its counter. So nothing has to say that there was
spend, however late, and whatever goes wrong here is found and mended by the next run. Two events that cancel each other
out to the micro between two runs escape this until the day is spent in again; the sum of the day is right even then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from campaigns.models import Brand, BrandHour
from campaigns.models.figures import in_range, local_nows
from campaigns.models.rows import Rows, as_date, for_update, literal, one_of
from campaigns.queries.reports import QUARTER_SECONDS, quarter_of
from campaigns.rules.periods import Period

KEPT_DAYS = 30
"""Budget days whose hours are kept, today included: four weeks to learn from, one more for zones that are ahead."""

NEAR_DAYS = 9
"""Those that every run looks at: a week to compare with, and the one for the zones. Of the others it takes one."""

BATCH = 100
"""Brands that are added up in one transaction: at most a quarter of an hour's row for each of their kept days."""


class BrandDay(NamedTuple):
    """One budget day of a brand."""

    brand_id: int
    day: date


class Hour(NamedTuple):
    """One hour of a brand's budget day."""

    brand_id: int
    day: date
    hour: int


def sum_hours(*, now: datetime) -> int:
    """Add up the hours of each brand's last budget days where they are stale; return how many days were.

    Every run looks at the last nine and at one day of the three weeks before, another one each minute: spend that comes
    in so late is only learned from. Hours older than that are deleted. Safe to run at any time, twice, or at the same
    time as itself: hours are written as what they are and never added to. The ledger is read before anything is locked,
    so that nobody waits for that: of two runs at once the one may write what it read before the other did, and as that
    does not add up to the counter, the next run finds it.
    """
    todays = {clock.day for clock in local_nows(connection, now)}
    if not todays:
        return 0
    BrandHour.objects.filter(day__lt=min(todays) - timedelta(days=KEPT_DAYS - 1)).delete()
    days = sorted({today - timedelta(days=back) for today in todays for back in (*range(NEAR_DAYS), _far(now))})
    summed = 0
    for stale in _stale(days):
        hours = _from_ledger(stale, _zones({day.brand_id for day in stale}))
        with transaction.atomic():
            _lock({day.brand_id for day in stale})
            _replace(stale, hours)
        summed += len(stale)
    return summed


def _far(now: datetime) -> int:
    """How many days back the day lies that is looked at in this minute beside the last ones."""
    return NEAR_DAYS + int(now.timestamp()) // 60 % (KEPT_DAYS - NEAR_DAYS)


def _stale(days: Sequence[date]) -> Iterator[list[BrandDay]]:
    """The days whose hours do not add up to the counter, some brands at a time."""
    after = 0
    while (last := _last_of_batch(after)) is not None:
        if stale := _stale_of(after, last, days):
            yield stale
        after = last


def _last_of_batch(after: int) -> int | None:
    rows = _rows(
        "SELECT max(id) FROM (SELECT id FROM campaigns_brand WHERE id > %s ORDER BY id LIMIT %s) batch", [after, BATCH]
    )
    last: int | None = rows[0][0]
    return last


def _stale_of(after: int, last: int, days: Sequence[date]) -> list[BrandDay]:
    these, brands = ", ".join(literal(connection, day) for day in days), in_range("brand_id", after, last)
    rows = _rows(
        f"""
        SELECT brand_id, day FROM (
            SELECT brand_id, start AS day, spent FROM campaigns_brandcounter
            WHERE period = {Period.DAY:d} AND start IN ({these}) AND {brands}
            UNION ALL SELECT brand_id, day, -spent FROM campaigns_brandhour WHERE day IN ({these}) AND {brands}
        ) either GROUP BY brand_id, day HAVING SUM(spent) <> 0 ORDER BY brand_id, day
        """
    )
    return [BrandDay(brand_id, as_date(day)) for brand_id, day in rows]


def _replace(stale: Sequence[BrandDay], hours: Mapping[Hour, int]) -> None:
    """Let the stored hours of some days be these."""
    stored = _stored(stale)
    wrong = [row_id for hour, (row_id, micros) in stored.items() if hours.get(hour) != micros]
    missing = {hour: micros for hour, micros in hours.items() if hour not in stored or stored[hour][1] != micros}
    BrandHour.objects.filter(pk__in=wrong).delete()
    _insert(missing)


def _zones(brand_ids: set[int]) -> dict[int, ZoneInfo]:
    """The time zones of some brands; one that was deleted has none."""
    return dict(Brand.objects.filter(pk__in=brand_ids).order_by().values_list("pk", "timezone"))


def _lock(brand_ids: set[int]) -> None:
    """Lock some brands, in the order of their ids, for as long as it takes to write: two runs write in turn.

    Spend does not wait for this lock, which its counters' keys are compatible with.
    """
    condition, parameter = one_of(connection, "b.id", sorted(brand_ids))
    _rows(f"SELECT b.id FROM campaigns_brand b WHERE {condition} ORDER BY b.id{for_update(connection)}", [parameter])


def _from_ledger(stale: Sequence[BrandDay], zones: Mapping[int, ZoneInfo]) -> dict[Hour, int]:
    """What the ledger has of some days by hour of the clock of each brand's zone, in micros."""
    these = _as_rows(stale)
    brands = in_range("c.brand_id", stale[0].brand_id - 1, stale[-1].brand_id)
    days = ", ".join(literal(connection, day) for day in sorted({day.day for day in stale}))
    # By way of the campaigns, since the ledger's index is by campaign and day. The rows say which brands and days, too,
    # but only constants keep the planner from reading all that these campaigns ever spent.
    rows = _rows(
        f"""
        SELECT c.brand_id, l.day, {quarter_of("l.timestamp")} AS quarter, SUM(l.amount)
        FROM {these.sql} JOIN campaigns_campaign c ON c.brand_id = rows.brand_id AND {brands}
        JOIN campaigns_spendlog l ON l.campaign_id = c.id AND l.day IN ({days}) AND l.day = rows.day
        GROUP BY c.brand_id, l.day, quarter
        """,
        these.params,
    )
    hours: dict[Hour, int] = defaultdict(int)
    for brand_id, day, quarter, micros in rows:
        if zone := zones.get(brand_id):
            begins = datetime.fromtimestamp(quarter * QUARTER_SECONDS, UTC)
            hours[Hour(brand_id, as_date(day), begins.astimezone(zone).hour)] += int(micros)
    return hours


def _stored(stale: Sequence[BrandDay]) -> dict[Hour, tuple[int, int]]:
    """The stored hours of some days: row id and micros."""
    these = _as_rows(stale)
    rows = _rows(
        f"""
        SELECT h.brand_id, h.day, h.hour, h.id, h.spent FROM {these.sql}
        JOIN campaigns_brandhour h ON h.day = rows.day AND h.brand_id = rows.brand_id
        """,
        these.params,
    )
    return {Hour(brand_id, as_date(day), hour): (row_id, spent) for brand_id, day, hour, row_id, spent in rows}


def _insert(hours: Mapping[Hour, int]) -> None:
    if not hours:
        return
    these = Rows(
        connection,
        {"brand_id": "bigint", "day": "date", "hour": "smallint", "spent": "bigint"},
        [*zip(*((*hour, micros) for hour, micros in hours.items()), strict=True)],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO campaigns_brandhour (brand_id, day, hour, spent) SELECT * FROM {these.sql}", these.params
        )


def _as_rows(days: Sequence[BrandDay]) -> Rows:
    return Rows(
        connection,
        {"brand_id": "bigint", "day": "date"},
        [[day.brand_id for day in days], [day.day for day in days]],
    )


def _rows(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
