"""The figures a verdict stands on, as one SQL table expression: a row per campaign with its terms and counters.

`services/status.py` judges over it and `queries/standing.py` shows it, so that what is shown is what was judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.backends.base.base import BaseDatabaseWrapper

from campaigns.models.catalog import Brand
from campaigns.models.rows import Rows
from campaigns.rules import periods
from campaigns.rules.periods import TOTAL_START, LocalNow, Period


@dataclasses.dataclass(frozen=True, slots=True)
class Campaigns:
    """Which campaigns a statement is about: a condition on `c` (campaign) with its parameters."""

    condition: str
    params: tuple[Any, ...]

    @classmethod
    def everywhere(cls) -> Campaigns:
        return cls("true", ())

    @classmethod
    def with_ids(cls, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> Campaigns:
        rows = Rows(connection, {"id": "bigint"}, [ids])
        return cls(f"c.id IN (SELECT id FROM {rows.sql})", tuple(rows.params))

    @classmethod
    def of_brands(cls, connection: BaseDatabaseWrapper, brand_ids: Sequence[int]) -> Campaigns:
        rows = Rows(connection, {"id": "bigint"}, [brand_ids])
        return cls(f"c.brand_id IN (SELECT id FROM {rows.sql})", tuple(rows.params))

    @classmethod
    def between(cls, after_id: int, last_id: int) -> Campaigns:
        return cls("c.id > %s AND c.id <= %s", (after_id, last_id))

    def __and__(self, other: Campaigns) -> Campaigns:
        return Campaigns(f"({self.condition} AND {other.condition})", self.params + other.params)

    def __or__(self, other: Campaigns) -> Campaigns:
        return Campaigns(f"({self.condition} OR {other.condition})", self.params + other.params)


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
    COALESCE(ct.spent, 0) AS campaign_total_spent
"""


def figures(connection: BaseDatabaseWrapper, campaigns: Campaigns, now: datetime) -> tuple[str, list[Any]]:
    """Return the table expression and its parameters: one row per campaign of `campaigns` that is not archived."""
    zones = zone_rows(connection, local_nows(now))
    sql = f"""
        SELECT {COLUMNS}
        FROM campaigns_campaign c
        JOIN campaigns_brand b ON b.id = c.brand_id
        JOIN (SELECT * FROM {zones.sql}) z ON z.zone = b.timezone
        LEFT JOIN campaigns_daypartingschedule s ON s.campaign_id = c.id
        LEFT JOIN campaigns_brandcounter bd
          ON bd.period = {Period.DAY:d} AND bd.start = z.day AND bd.brand_id = b.id
        LEFT JOIN campaigns_brandcounter bm
          ON bm.period = {Period.MONTH:d} AND bm.start = z.month AND bm.brand_id = b.id
        LEFT JOIN campaigns_campaigncounter cd
          ON cd.period = {Period.DAY:d} AND cd.start = z.day AND cd.brand_id = b.id AND cd.campaign_id = c.id
        LEFT JOIN campaigns_campaigncounter cm
          ON cm.period = {Period.MONTH:d} AND cm.start = z.month AND cm.brand_id = b.id AND cm.campaign_id = c.id
        LEFT JOIN campaigns_campaigncounter ct
          ON ct.period = {Period.TOTAL:d} AND ct.start = '{TOTAL_START}' AND ct.brand_id = b.id
          AND ct.campaign_id = c.id
        WHERE c.archived_at IS NULL AND {campaigns.condition}
    """
    return sql, [*zones.params, *campaigns.params]


def local_nows(now: datetime) -> list[LocalNow]:
    """Return what `now` is in every time zone that a brand lives in: the one place where SQL meets time zones."""
    zones: Iterable[ZoneInfo] = Brand.objects.order_by().values_list("timezone", flat=True).distinct()
    return [periods.local_now(now, zone) for zone in zones]


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
