"""The figures a verdict stands on, as one SQL table expression: a row per campaign with its terms and counters.

`services/status.py` judges over it and `queries/standing.py` shows it, so that what is shown is what was judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.backends.base.base import BaseDatabaseWrapper

from campaigns.models.rows import Rows, one_of
from campaigns.rules import periods
from campaigns.rules.periods import TOTAL_START, LocalNow, Period


@dataclasses.dataclass(frozen=True, slots=True)
class Campaigns:
    """Which campaigns a statement is about: a condition on `c` (campaign) with its parameters.

    ids: the range (after, last) that all of their ids lie in, if that is known. Told to the database for every table
    that a campaign has rows in, it keeps a batch from reading those of all the others.
    """

    condition: str
    params: tuple[Any, ...] = ()
    ids: tuple[int, int] | None = None

    @classmethod
    def everywhere(cls) -> Campaigns:
        return cls("true")

    @classmethod
    def with_ids(cls, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> Campaigns:
        condition, parameter = one_of(connection, "c.id", ids)
        return cls(condition, (parameter,))

    @classmethod
    def of_brands(cls, connection: BaseDatabaseWrapper, brand_ids: Sequence[int]) -> Campaigns:
        condition, parameter = one_of(connection, "c.brand_id", brand_ids)
        return cls(condition, (parameter,))

    def within(self, after: int, last: int) -> Campaigns:
        """Those of them whose id is above `after` and at most `last`."""
        condition = f"({self.condition} AND {in_range('c.id', after, last)})"
        return Campaigns(condition, self.params, (after, last))


def in_range(column: str, after: int, last: int) -> str:
    """The condition that a column of ids lies in a range."""
    return f"{column} > {after:d} AND {column} <= {last:d}"


COLUMNS = """
    c.id AS campaign_id, c.brand_id, c.reasons, c.paused_manually, c.flight_start, c.flight_end,
    z.day, z.weekday, z.hour,
    s.id AS schedule_id, s.start_hour, s.end_hour, s.weekdays, s.grid,
    b.budget_scope,
    b.daily_budget AS brand_daily_budget, b.monthly_budget AS brand_monthly_budget,
    c.daily_budget AS campaign_daily_budget, c.monthly_budget AS campaign_monthly_budget,
    c.total_budget AS campaign_total_budget,
    COALESCE(bd.spent, 0) AS brand_daily_spent, COALESCE(bm.spent, 0) AS brand_monthly_spent,
    COALESCE(cd.spent, 0) AS campaign_daily_spent, COALESCE(cm.spent, 0) AS campaign_monthly_spent,
    COALESCE(ct.spent, 0) AS campaign_total_spent,
    COALESCE(bd.held, 0) AS brand_daily_held, COALESCE(bm.held, 0) AS brand_monthly_held,
    COALESCE(cd.held, 0) AS campaign_daily_held, COALESCE(cm.held, 0) AS campaign_monthly_held,
    COALESCE(ct.held, 0) AS campaign_total_held
"""


def figures(connection: BaseDatabaseWrapper, campaigns: Campaigns, now: datetime) -> tuple[str, list[Any]]:
    """Return the table expression and its parameters: one row per campaign of `campaigns` that is not archived."""
    nows = local_nows(connection, now, campaigns)
    zones = zone_rows(connection, nows)
    day, month = _one_of({now.day for now in nows}), _one_of({now.month for now in nows})
    total = f"= '{TOTAL_START}'"
    sql = f"""
        SELECT {COLUMNS}
        FROM campaigns_campaign c
        JOIN campaigns_brand b ON b.id = c.brand_id
        JOIN (SELECT * FROM {zones.sql}) z ON z.zone = b.timezone
        LEFT JOIN campaigns_daypartingschedule s ON s.campaign_id = c.id {_same_range("s", campaigns)}
        LEFT JOIN campaigns_brandcounter bd
          ON bd.period = {Period.DAY:d} AND bd.start {day} AND bd.start = z.day AND bd.brand_id = b.id
        LEFT JOIN campaigns_brandcounter bm
          ON bm.period = {Period.MONTH:d} AND bm.start {month} AND bm.start = z.month AND bm.brand_id = b.id
        LEFT JOIN campaigns_campaigncounter cd
          ON cd.period = {Period.DAY:d} AND cd.start {day} AND cd.start = z.day
          AND cd.brand_id = b.id AND cd.campaign_id = c.id {_same_range("cd", campaigns)}
        LEFT JOIN campaigns_campaigncounter cm
          ON cm.period = {Period.MONTH:d} AND cm.start {month} AND cm.start = z.month
          AND cm.brand_id = b.id AND cm.campaign_id = c.id {_same_range("cm", campaigns)}
        LEFT JOIN campaigns_campaigncounter ct
          ON ct.period = {Period.TOTAL:d} AND ct.start {total}
          AND ct.brand_id = b.id AND ct.campaign_id = c.id {_same_range("ct", campaigns)}
        WHERE c.archived_at IS NULL AND {campaigns.condition}
    """
    return sql, [*zones.params, *campaigns.params]


def _one_of(starts: set[date]) -> str:
    # The join says it, too, but only a constant lets the planner see that this is one day's part of the index.
    return "IN ({})".format(", ".join(f"'{start}'" for start in sorted(starts)) or "NULL")


def _same_range(table: str, campaigns: Campaigns) -> str:
    return f"AND {in_range(f'{table}.campaign_id', *campaigns.ids)}" if campaigns.ids else ""


def local_nows(connection: BaseDatabaseWrapper, now: datetime, campaigns: Campaigns | None = None) -> list[LocalNow]:
    """Return what `now` is in every time zone that a brand lives in: the one place where SQL meets time zones.

    campaigns: only the zones of these, where they are few enough that this saves reading all brands.
    """
    few = campaigns is not None and campaigns.ids is None and campaigns.params
    of_few = f"JOIN campaigns_campaign c ON c.brand_id = b.id WHERE {campaigns.condition}" if campaigns and few else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT b.timezone FROM campaigns_brand b {of_few}", campaigns.params if campaigns and few else ()
        )
        return [periods.local_now(now, ZoneInfo(zone)) for (zone,) in cursor.fetchall()]


def zone_rows(connection: BaseDatabaseWrapper, zones: Sequence[LocalNow]) -> Rows:
    """Return the zones as rows (zone, day, month, weekday, hour)."""
    return Rows(
        connection,
        {"zone": "text", "day": "date", "month": "date", "weekday": "smallint", "hour": "smallint"},
        [
            [zone.zone for zone in zones],
            [zone.day for zone in zones],
            [zone.month for zone in zones],
            [zone.weekday for zone in zones],
            [zone.hour for zone in zones],
        ],
    )
