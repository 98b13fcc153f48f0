"""Month to day: the daily budget that an owner's month leaves for today, where people have switched that on.

Only what was spent before today counts, so that it is the same all day, however often it is worked out. What is left of
the month is divided by the time in which may be spent on each day that is left of it (`rules.forecast.daily_budget`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection

from campaigns.models.figures import Campaigns, figures, local_nows, zone_rows
from campaigns.models.rows import as_date, one_of
from campaigns.queries.owners import schedule_of
from campaigns.rules import forecast
from campaigns.rules.periods import Period
from campaigns.rules.schedules import Schedule


class Share(NamedTuple):
    """The daily budget that a brand (campaign_id None) or a campaign has, and which it should have, in micros."""

    brand_id: int
    campaign_id: int | None
    was: int | None
    becomes: int


def of_brands(brand_ids: Sequence[int], *, now: datetime) -> list[Share]:
    """Return the shares of those of some brands for which it is switched on and which should have another."""
    only, ids = one_of(connection, "b.id", brand_ids)
    zones = zone_rows(connection, local_nows(connection, now))
    rows = _rows(
        f"""
        SELECT b.id, NULL, b.daily_budget, b.monthly_budget, b.daily_least, b.daily_most,
            COALESCE(bm.spent, 0) - COALESCE(bd.spent, 0), b.timezone, z.day, NULL, NULL, NULL, NULL, NULL, NULL
        FROM campaigns_brand b JOIN (SELECT * FROM {zones.sql}) z ON z.zone = b.timezone
        LEFT JOIN campaigns_brandcounter bd ON bd.period = {Period.DAY:d} AND bd.start = z.day AND bd.brand_id = b.id
        LEFT JOIN campaigns_brandcounter bm
          ON bm.period = {Period.MONTH:d} AND bm.start = z.month AND bm.brand_id = b.id
        WHERE b.daily_from_month AND b.monthly_budget IS NOT NULL AND b.archived_at IS NULL AND {only} ORDER BY b.id
        """,
        [*zones.params, ids],
    )
    return list(_shares(rows))


def of_campaigns(campaign_ids: Sequence[int], *, now: datetime) -> list[Share]:
    """Return the shares of those of some campaigns, as above. campaign_ids: ascending, at least one."""
    which = Campaigns.with_ids(connection, campaign_ids).within(campaign_ids[0] - 1, campaign_ids[-1])
    sql, params = figures(connection, which, now)
    rows = _rows(
        f"""
        SELECT f.brand_id, f.campaign_id, f.campaign_daily_budget, f.campaign_monthly_budget,
            c.daily_least, c.daily_most, f.campaign_monthly_spent - f.campaign_daily_spent, b.timezone, f.day,
            f.start_hour, f.end_hour, f.weekdays, f.grid, f.flight_start, f.flight_end
        FROM ({sql}) f JOIN campaigns_campaign c ON c.id = f.campaign_id JOIN campaigns_brand b ON b.id = f.brand_id
        WHERE c.daily_from_month AND f.campaign_monthly_budget IS NOT NULL ORDER BY f.campaign_id
        """,
        params,
    )
    return list(_shares(rows))


def _shares(rows: Sequence[Sequence[Any]]) -> Iterator[Share]:
    for brand_id, campaign_id, was, budget, least, most, spent, zone, day, *hours, first, last in rows:
        days = (None if one is None else as_date(one) for one in (first, last))
        seconds = _seconds(as_date(day), ZoneInfo(zone), schedule_of(*hours), *days)
        share = forecast.daily_budget(budget=budget, spent=spent, seconds=seconds, least=least or 0, most=most)
        if share != was:
            yield Share(brand_id, campaign_id, was, share)


@lru_cache(maxsize=4096)
def _seconds(
    day: date, zone: ZoneInfo, schedule: Schedule | None, first: date | None, last: date | None
) -> tuple[int, ...]:
    """How long may be spent on each day from this one to the end of its month: worked out once for all alike."""
    return tuple(forecast.month_seconds(day, zone, schedule, first, last))


def _rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
