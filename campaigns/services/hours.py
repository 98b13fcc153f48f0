"""What brands have spent by hour of their clocks, added up from the ledger: the charts read this, never the ledger.

A brand's day is stale exactly when its stored hours do not add up to its counter. So nothing has to say that there was
spend, however late, and whatever goes wrong here is found and mended by the next run. Two events that cancel each other
out to the micro between two runs escape this until the day is spent in again; the sum of the day is right even then.

The same is kept of the campaigns that are paced by themselves, of their days that are over: their profiles are learned
from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from campaigns.models import Brand, BrandHour, CampaignHour
from campaigns.models.figures import local_nows
from campaigns.models.pacing import CAMPAIGN_IS_PACED
from campaigns.models.rows import ColumnType, Rows, as_date, for_update, literal, one_of
from campaigns.queries.reports import QUARTER_SECONDS, quarter_of
from campaigns.rules import periods
from campaigns.rules.periods import Period

KEPT_DAYS = 30
"""Budget days whose hours are kept, today included: four weeks to learn from, one more for zones that are ahead."""

NEAR_DAYS = 9
"""Those that every run looks at: a week to compare with, and the one for the zones. Of the others it takes one."""

BATCH = 100
"""Brands that are added up in one transaction: at most a quarter of an hour's row for each of their kept days."""

CAMPAIGN_BATCH = 500
"""Campaigns that are: of fewer days."""

MOST_DAYS = 2_000
"""Days of campaigns after which a run leaves the rest to the next: many may begin to be paced at once."""


class Kind(NamedTuple):
    """Whose hours are added up. table, counters: where they and their sums are. owner: the column that has whose.

    of_campaign: the same of a campaign `c`. batch: a statement for some of them after an id, with their brands. days:
    how many days back those lie that every run looks at; after them, it takes one. most: days of a run, if bounded.
    """

    model: type[BrandHour | CampaignHour]
    table: str
    counters: str
    owner: str
    of_campaign: str
    batch: str
    days: range
    most: int | None = None

    def looked_at(self, now: datetime) -> list[int]:
        """Return how many days back those lie that a run looks at: the last, and in each minute another one."""
        far = range(self.days.stop, KEPT_DAYS)
        return [*self.days, far[int(now.timestamp()) // 60 % len(far)]]


def _brands() -> Kind:
    return Kind(
        model=BrandHour,
        table="campaigns_brandhour",
        counters="campaigns_brandcounter",
        owner="brand_id",
        of_campaign="brand_id",
        batch=f"SELECT id, id FROM campaigns_brand WHERE id > %s ORDER BY id LIMIT {BATCH:d}",
        days=range(NEAR_DAYS),
    )


def _campaigns() -> Kind:
    """Those that have a pace: they are found without a look at all the others. Not today, of which nothing is learned:
    each of their days is read once, when it is over."""
    return Kind(
        model=CampaignHour,
        table="campaigns_campaignhour",
        counters="campaigns_campaigncounter",
        owner="campaign_id",
        of_campaign="id",
        batch=f"""
            SELECT p.campaign_id, p.brand_id FROM campaigns_ownerpace p
            JOIN campaigns_campaign c ON c.id = p.campaign_id JOIN campaigns_brand b ON b.id = p.brand_id
            WHERE p.campaign_id > %s AND c.archived_at IS NULL AND {CAMPAIGN_IS_PACED}
            ORDER BY p.campaign_id LIMIT {CAMPAIGN_BATCH:d}
        """,
        days=range(1, 2),
        most=MOST_DAYS,
    )


class OwnerDay(NamedTuple):
    """One budget day of a brand or a campaign."""

    brand_id: int
    owner_id: int
    day: date


class Hour(NamedTuple):
    """One hour of such a day."""

    brand_id: int
    owner_id: int
    day: date
    hour: int


def sum_hours(*, now: datetime) -> int:
    """Add up the hours of each brand's last budget days where they are stale; return how many days were.

    Every run looks at the last nine and at one day of the three weeks before, another one each minute: spend that comes
    in so late is only learned from. Of a campaign that is paced by itself it looks at yesterday and at one day of the
    four weeks before. Hours older than that are deleted. Safe to run at any time, twice, or at the same time as itself:
    hours are written as what they are and never added to. The ledger is read before anything is locked, so that nobody
    waits for that: of two runs at once the one may write what it read before the other did, and as that does not add up
    to the counter, the next run finds it.
    """
    todays = {clock.day for clock in local_nows(connection, now)}
    return sum(_sum(kind, todays, now) for kind in (_brands(), _campaigns())) if todays else 0


def _sum(kind: Kind, todays: set[date], now: datetime) -> int:
    kind.model.objects.filter(day__lt=min(todays) - timedelta(days=KEPT_DAYS - 1)).delete()
    days = sorted({today - timedelta(days=back) for today in todays for back in kind.looked_at(now)})
    summed = 0
    for found in _stale(kind, days):
        zones = _zones({day.brand_id for day in found})
        stale = [day for day in found if _is_due(kind, day, zones, now)]
        if not stale:
            continue
        hours = _from_ledger(kind, stale, zones)
        with transaction.atomic():
            _lock({day.brand_id for day in stale})
            _replace(kind, stale, hours)
        summed += len(stale)
        if kind.most is not None and summed >= kind.most:
            break
    return summed


def _is_due(kind: Kind, day: OwnerDay, zones: Mapping[int, ZoneInfo], now: datetime) -> bool:
    """Whether a day has come so far; it may be a later one where the day of another zone is looked at."""
    zone = zones.get(day.brand_id)
    return zone is not None and day.day <= periods.local_date(now, zone) - timedelta(days=kind.days.start)


def _stale(kind: Kind, days: Sequence[date]) -> Iterator[list[OwnerDay]]:
    """The days whose hours do not add up to the counter, some owners at a time."""
    after = 0
    while brands := dict(_rows(kind.batch, [after])):
        if stale := _stale_of(kind, brands, days):
            yield stale
        after = max(brands)


def _stale_of(kind: Kind, brands: Mapping[int, int], days: Sequence[date]) -> list[OwnerDay]:
    """Those of some owners. brands: theirs."""
    these = ", ".join(literal(connection, day) for day in days)
    only, ids = one_of(connection, kind.owner, list(brands))
    rows = _rows(
        f"""
        SELECT owner_id, day FROM (
            SELECT {kind.owner} AS owner_id, start AS day, spent FROM {kind.counters}
            WHERE period = {Period.DAY:d} AND start IN ({these}) AND {only}
            UNION ALL SELECT {kind.owner}, day, -spent FROM {kind.table} WHERE day IN ({these}) AND {only}
        ) either GROUP BY owner_id, day HAVING SUM(spent) <> 0 ORDER BY owner_id, day
        """,
        [ids, ids],
    )
    return [OwnerDay(brands[owner_id], owner_id, as_date(day)) for owner_id, day in rows]


def _replace(kind: Kind, stale: Sequence[OwnerDay], hours: Mapping[Hour, int]) -> None:
    """Let the stored hours of some days be these."""
    stored = _stored(kind, stale)
    wrong = [row_id for hour, (row_id, micros) in stored.items() if hours.get(hour) != micros]
    missing = {hour: micros for hour, micros in hours.items() if hour not in stored or stored[hour][1] != micros}
    kind.model.objects.filter(pk__in=wrong).delete()
    _insert(kind, missing)


def _zones(brand_ids: set[int]) -> dict[int, ZoneInfo]:
    """The time zones of some brands; one that was deleted has none."""
    return dict(Brand.objects.filter(pk__in=brand_ids).order_by().values_list("pk", "timezone"))


def _lock(brand_ids: set[int]) -> None:
    """Lock some brands, in the order of their ids, for as long as it takes to write: two runs write in turn.

    Spend does not wait for this lock, which its counters' keys are compatible with.
    """
    condition, parameter = one_of(connection, "b.id", sorted(brand_ids))
    _rows(f"SELECT b.id FROM campaigns_brand b WHERE {condition} ORDER BY b.id{for_update(connection)}", [parameter])


def _from_ledger(kind: Kind, stale: Sequence[OwnerDay], zones: Mapping[int, ZoneInfo]) -> dict[Hour, int]:
    """What the ledger has of some days by hour of the clock of each brand's zone, in micros."""
    these = _as_rows(stale)
    only, ids = one_of(connection, f"c.{kind.of_campaign}", sorted({day.owner_id for day in stale}))
    days = ", ".join(literal(connection, day) for day in sorted({day.day for day in stale}))
    # By way of the campaigns, since the ledger's index is by campaign and day. The rows say which owners and days, too,
    # but only constants keep the planner from reading all that these campaigns ever spent.
    rows = _rows(
        f"""
        SELECT c.brand_id, rows.owner_id, l.day, {quarter_of("l.timestamp")} AS quarter, SUM(l.amount)
        FROM {these.sql} JOIN campaigns_campaign c ON c.{kind.of_campaign} = rows.owner_id AND {only}
        JOIN campaigns_spendlog l ON l.campaign_id = c.id AND l.day IN ({days}) AND l.day = rows.day
        GROUP BY c.brand_id, rows.owner_id, l.day, quarter
        """,
        [*these.params, ids],
    )
    hours: dict[Hour, int] = defaultdict(int)
    for brand_id, owner_id, day, quarter, micros in rows:
        if zone := zones.get(brand_id):
            begins = datetime.fromtimestamp(quarter * QUARTER_SECONDS, UTC)
            hours[Hour(brand_id, owner_id, as_date(day), begins.astimezone(zone).hour)] += int(micros)
    return hours


def _stored(kind: Kind, stale: Sequence[OwnerDay]) -> dict[Hour, tuple[int, int]]:
    """The stored hours of some days: row id and micros."""
    these = _as_rows(stale)
    rows = _rows(
        f"""
        SELECT h.brand_id, h.{kind.owner}, h.day, h.hour, h.id, h.spent FROM {these.sql}
        JOIN {kind.table} h ON h.day = rows.day AND h.{kind.owner} = rows.owner_id
        """,
        these.params,
    )
    return {
        Hour(brand_id, owner_id, as_date(day), hour): (row_id, spent)
        for brand_id, owner_id, day, hour, row_id, spent in rows
    }


def _insert(kind: Kind, hours: Mapping[Hour, int]) -> None:
    if not hours:
        return
    # For brands, the first two columns are one.
    columns: dict[str, tuple[ColumnType, list[Any]]] = {
        "brand_id": ("bigint", [hour.brand_id for hour in hours]),
        kind.owner: ("bigint", [hour.owner_id for hour in hours]),
        "day": ("date", [hour.day for hour in hours]),
        "hour": ("smallint", [hour.hour for hour in hours]),
        "spent": ("bigint", [*hours.values()]),
    }
    these = Rows(
        connection,
        {name: of_type for name, (of_type, _) in columns.items()},
        [values for _, values in columns.values()],
    )
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {kind.table} ({', '.join(columns)}) SELECT * FROM {these.sql}", these.params)


def _as_rows(days: Sequence[OwnerDay]) -> Rows:
    return Rows(
        connection,
        {"owner_id": "bigint", "day": "date"},
        [[day.owner_id for day in days], [day.day for day in days]],
    )


def _rows(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
