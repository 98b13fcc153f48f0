"""Owners of budgets: what a brand or a campaign may spend today, and when. Pacing and forecasts stand on this."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection

from campaigns.models.figures import Campaigns, figures, local_nows, zone_rows
from campaigns.models.pacing import BRAND_IS_PACED, CAMPAIGN_IS_PACED
from campaigns.models.rows import as_date, one_of
from campaigns.rules import pacing
from campaigns.rules.pacing import OpenDay
from campaigns.rules.periods import Period
from campaigns.rules.schedules import Schedule
from campaigns.rules.verdict import BudgetScope

CHUNK = 2_000
"""Rows fetched at a time."""


class Binding(NamedTuple):
    """A budget that binds an owner alone, in micros, with what its current period has spent and holds."""

    budget: int | None
    spent: int
    held: int


class Owner(NamedTuple):
    """A brand (campaign_id None) or a campaign, now.

    day: the current budget day. active: whether it may spend; a brand, whether any of its campaigns may. paced: evenly.
    limits: of the day, the month and, for a campaign, in total; then the brand's of day and month, where these bind
    each campaign alone. A brand whose budgets do so has none itself.
    """

    brand_id: int
    campaign_id: int | None
    zone: ZoneInfo
    day: date
    schedule: Schedule | None
    flight_start: date | None
    flight_end: date | None
    active: bool
    paced: bool
    limits: Sequence[Binding]

    @property
    def open_day(self) -> OpenDay:
        """Return the hours in which it may spend today."""
        return pacing.open_day(self.day, self.zone, self.schedule, self.flight_start, self.flight_end)

    @property
    def gone(self) -> int:
        """Return what is spent of today or held: a hold is money on its way out, and is decided already."""
        return self.limits[0].spent + self.limits[0].held

    @property
    def allowance(self) -> int | None:
        """Return what may be spent in all of today under every budget at once, in micros; None without a budget."""
        return pacing.day_limit(self.gone, ((one.budget, one.spent + one.held) for one in self.limits))

    @property
    def months(self) -> list[Binding]:
        """Return the monthly budgets that bind."""
        return [self.limits[1], *self.limits[4:5]]


def brand_owners(brand_ids: Sequence[int], *, now: datetime) -> Iterator[Owner]:
    """Yield some brands, those that are not archived, by their ids."""
    only, ids = one_of(connection, "b.id", brand_ids)
    zones = zone_rows(connection, local_nows(connection, now))
    rows = _rows(
        f"""
        SELECT b.id, b.timezone, z.day, b.budget_scope, {BRAND_IS_PACED} AS paced,
            EXISTS (SELECT 1 FROM campaigns_campaign c WHERE c.brand_id = b.id AND c.is_active
                    AND c.archived_at IS NULL) AS active,
            b.daily_budget, COALESCE(bd.spent, 0), COALESCE(bd.held, 0),
            b.monthly_budget, COALESCE(bm.spent, 0), COALESCE(bm.held, 0)
        FROM campaigns_brand b JOIN (SELECT * FROM {zones.sql}) z ON z.zone = b.timezone
        LEFT JOIN campaigns_brandcounter bd ON bd.period = {Period.DAY:d} AND bd.start = z.day AND bd.brand_id = b.id
        LEFT JOIN campaigns_brandcounter bm
          ON bm.period = {Period.MONTH:d} AND bm.start = z.month AND bm.brand_id = b.id
        WHERE b.archived_at IS NULL AND {only} ORDER BY b.id
        """,
        [*zones.params, ids],
    )
    for brand_id, zone, day, scope, paced, active, *limits in rows:
        together = scope == BudgetScope.BRAND
        daily, monthly = (limits[0], limits[3]) if together else (None, None)
        bindings = (Binding(daily, *limits[1:3]), Binding(monthly, *limits[4:6]))
        yield Owner(brand_id, None, ZoneInfo(zone), as_date(day), None, None, None, bool(active), bool(paced), bindings)


def campaign_owners(campaign_ids: Sequence[int], *, now: datetime) -> Iterator[Owner]:
    """Yield some campaigns, those that are not archived, by their ids. campaign_ids: ascending, at least one."""
    which = Campaigns.with_ids(connection, campaign_ids).within(campaign_ids[0] - 1, campaign_ids[-1])
    sql, params = figures(connection, which, now)
    rows = _rows(
        f"""
        SELECT f.brand_id, f.campaign_id, b.timezone, f.day, f.start_hour, f.end_hour, f.weekdays, f.grid,
            f.flight_start, f.flight_end, f.reasons, {CAMPAIGN_IS_PACED} AS paced, f.budget_scope,
            f.brand_daily_budget, f.brand_monthly_budget,
            f.campaign_daily_budget, f.campaign_daily_spent, f.campaign_daily_held,
            f.campaign_monthly_budget, f.campaign_monthly_spent, f.campaign_monthly_held,
            f.campaign_total_budget, f.campaign_total_spent, f.campaign_total_held
        FROM ({sql}) f JOIN campaigns_campaign c ON c.id = f.campaign_id JOIN campaigns_brand b ON b.id = f.brand_id
        ORDER BY f.campaign_id
        """,
        params,
    )
    for row in rows:
        yield _campaign(row)


def _campaign(row: Sequence[Any]) -> Owner:
    brand_id, campaign_id, zone, day, start_hour, end_hour, weekdays, grid, *others = row
    flight_start, flight_end, reasons, paced, scope, brand_daily, brand_monthly, *own = others
    limits = [Binding(*own[0:3]), Binding(*own[3:6]), Binding(*own[6:9])]
    if scope == BudgetScope.CAMPAIGN:
        limits += [Binding(brand_daily, *own[1:3]), Binding(brand_monthly, *own[4:6])]
    return Owner(
        brand_id,
        campaign_id,
        ZoneInfo(zone),
        as_date(day),
        schedule_of(start_hour, end_hour, weekdays, grid),
        None if flight_start is None else as_date(flight_start),
        None if flight_end is None else as_date(flight_end),
        not reasons,
        bool(paced),
        limits,
    )


@lru_cache(maxsize=4096)
def schedule_of(
    start_hour: int | None, end_hour: int | None, weekdays: int | None, grid: str | None
) -> Schedule | None:
    """Return the schedule that the columns of its row say; None for none."""
    if grid is not None:
        return Schedule.from_grid(grid)
    if start_hour is None or end_hour is None or weekdays is None:
        return None
    return Schedule.from_window(start_hour, end_hour, weekdays)


def _rows(sql: str, params: Sequence[Any]) -> Iterator[Sequence[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        while chunk := cursor.fetchmany(CHUNK):
            yield from chunk
