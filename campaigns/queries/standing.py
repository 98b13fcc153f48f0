"""Standing: budget, spent and left of brands and campaigns, now, with their status and when a paused one resumes."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from campaigns.models.figures import Campaigns, figures, local_nows, zone_rows
from campaigns.models.rows import as_date, one_of
from campaigns.rules import reasons, verdict
from campaigns.rules.periods import Period
from campaigns.rules.reasons import Reason
from campaigns.rules.schedules import Schedule
from campaigns.rules.verdict import BudgetScope, Spent, Terms

CHUNK = 2_000
"""Rows fetched at a time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """One budget and what was spent of it, in micros. A budget of None is no limit."""

    budget: int | None
    spent: int

    @property
    def left(self) -> int | None:
        """What is left, 0 when it is spent; None without a limit."""
        return None if self.budget is None else max(self.budget - self.spent, 0)

    @property
    def overspend(self) -> int:
        """What was spent beyond the budget."""
        return 0 if self.budget is None else max(self.spent - self.budget, 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStanding:
    """One campaign, now. `brand_day` and `brand_month` are what it is held against of its brand's budgets."""

    id: int
    name: str
    reasons: Reason
    resumes_at: datetime | None
    day: Limit
    month: Limit
    total: Limit
    brand_day: Limit
    brand_month: Limit

    @property
    def left(self) -> int | None:
        """What it may still spend before the tightest of its limits stops it; None if nothing limits it."""
        return tightest(self.day, self.month, self.total, self.brand_day, self.brand_month)

    @property
    def is_active(self) -> bool:
        """Whether it may spend."""
        return self.reasons == reasons.NONE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BrandStanding:
    """One brand, now, with its campaigns that are not archived. `day` is the current budget day in its zone."""

    id: int
    name: str
    external_id: str | None
    zone: ZoneInfo
    currency: str
    scope: BudgetScope
    today: date
    day: Limit
    month: Limit
    campaigns: list[CampaignStanding]


def tightest(*limits: Limit) -> int | None:
    """Return the least that is left of some limits; None if none of them limits."""
    return min((limit.left for limit in limits if limit.left is not None), default=None)


def standing(*, now: datetime, brand_ids: list[int] | None = None) -> list[BrandStanding]:
    """Return the standing of some brands, or of all that are not archived, in the order of their names.

    Two queries, whatever the number of brands and campaigns.
    """
    which = Campaigns.everywhere() if brand_ids is None else Campaigns.of_brands(connection, brand_ids)
    campaigns: dict[int, list[CampaignStanding]] = defaultdict(list)
    for row in campaign_rows(which, now):
        campaigns[row["brand_id"]].append(campaign_standing(row, now))
    return [_brand(row, campaigns[row["id"]]) for row in _brand_rows(brand_ids, now)]


def campaign_rows(which: Campaigns, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield what the standing of each of the campaigns is made of, in the order of their names."""
    sql, params = figures(connection, which, now)
    yield from _rows(
        f"""
        SELECT f.*, c.name, b.timezone FROM ({sql}) f
        JOIN campaigns_campaign c ON c.id = f.campaign_id JOIN campaigns_brand b ON b.id = f.brand_id
        ORDER BY c.name, c.id
        """,
        params,
    )


def _brand_rows(brand_ids: list[int] | None, now: datetime) -> Iterator[dict[str, Any]]:
    only, ids = ("true", None) if brand_ids is None else one_of(connection, "b.id", brand_ids)
    zones = zone_rows(connection, local_nows(connection, now))
    yield from _rows(
        f"""
        SELECT b.id, b.name, b.external_id, b.timezone, b.currency, b.budget_scope, z.day,
            b.daily_budget, b.monthly_budget,
            COALESCE(bd.spent, 0) AS daily_spent, COALESCE(bm.spent, 0) AS monthly_spent
        FROM campaigns_brand b JOIN (SELECT * FROM {zones.sql}) z ON z.zone = b.timezone
        LEFT JOIN campaigns_brandcounter bd ON bd.period = {Period.DAY:d} AND bd.start = z.day AND bd.brand_id = b.id
        LEFT JOIN campaigns_brandcounter bm
          ON bm.period = {Period.MONTH:d} AND bm.start = z.month AND bm.brand_id = b.id
        WHERE b.archived_at IS NULL AND {only} ORDER BY b.name
        """,
        zones.params if ids is None else [*zones.params, ids],
    )


def _rows(sql: str, params: list[Any]) -> Iterator[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        names = [column[0] for column in cursor.description]
        while chunk := cursor.fetchmany(CHUNK):
            for row in chunk:
                yield dict(zip(names, row, strict=True))


def _brand(row: dict[str, Any], campaigns: list[CampaignStanding]) -> BrandStanding:
    return BrandStanding(
        id=row["id"],
        name=row["name"],
        external_id=row["external_id"],
        zone=ZoneInfo(row["timezone"]),
        currency=row["currency"],
        scope=BudgetScope(row["budget_scope"]),
        today=as_date(row["day"]),
        day=Limit(row["daily_budget"], row["daily_spent"]),
        month=Limit(row["monthly_budget"], row["monthly_spent"]),
        campaigns=campaigns,
    )


def campaign_standing(row: dict[str, Any], now: datetime) -> CampaignStanding:
    """Return the standing that a row of `campaign_rows` tells."""
    why = reasons.of(row["reasons"])
    terms, spent = _terms(row), _spent(row)
    alone = terms.budget_scope == BudgetScope.CAMPAIGN
    return CampaignStanding(
        id=row["campaign_id"],
        name=row["name"],
        reasons=why,
        resumes_at=verdict.resumes_at(terms, spent, now) if why else None,
        day=Limit(terms.campaign_daily_budget, spent.campaign_daily),
        month=Limit(terms.campaign_monthly_budget, spent.campaign_monthly),
        total=Limit(terms.campaign_total_budget, spent.campaign_total),
        brand_day=Limit(terms.brand_daily_budget, spent.campaign_daily if alone else spent.brand_daily),
        brand_month=Limit(terms.brand_monthly_budget, spent.campaign_monthly if alone else spent.brand_monthly),
    )


def _terms(row: dict[str, Any]) -> Terms:
    return Terms(
        zone=ZoneInfo(row["timezone"]),
        budget_scope=BudgetScope(row["budget_scope"]),
        brand_daily_budget=row["brand_daily_budget"],
        brand_monthly_budget=row["brand_monthly_budget"],
        campaign_daily_budget=row["campaign_daily_budget"],
        campaign_monthly_budget=row["campaign_monthly_budget"],
        campaign_total_budget=row["campaign_total_budget"],
        flight_start=None if row["flight_start"] is None else as_date(row["flight_start"]),
        flight_end=None if row["flight_end"] is None else as_date(row["flight_end"]),
        schedule=_schedule(row),
        paused_manually=bool(row["paused_manually"]),
    )


def _schedule(row: dict[str, Any]) -> Schedule | None:
    if row["schedule_id"] is None:
        return None
    if row["grid"] is not None:
        return Schedule.from_grid(row["grid"])
    return Schedule.from_window(row["start_hour"], row["end_hour"], row["weekdays"])


def _spent(row: dict[str, Any]) -> Spent:
    return Spent(
        brand_daily=row["brand_daily_spent"],
        brand_monthly=row["brand_monthly_spent"],
        campaign_daily=row["campaign_daily_spent"],
        campaign_monthly=row["campaign_monthly_spent"],
        campaign_total=row["campaign_total_spent"],
    )
