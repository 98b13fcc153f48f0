"""Standing: budget, spent, held and left of brands and campaigns, now, with status and when a paused one resumes."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from campaigns.models.figures import Campaigns, figures, local_nows, zone_rows
from campaigns.models.pacing import PACES, PROBABILITIES
from campaigns.models.rows import as_date, one_of
from campaigns.queries import holds
from campaigns.rules import pacing, periods, reasons, verdict
from campaigns.rules.periods import Period
from campaigns.rules.reasons import Reason
from campaigns.rules.schedules import Schedule
from campaigns.rules.verdict import BudgetScope, Spent, Terms

CHUNK = 2_000
"""Rows fetched at a time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """One budget and what was spent and is held of it, in micros. A budget of None is no limit."""

    budget: int | None
    spent: int
    held: int = 0

    @property
    def left(self) -> int | None:
        """What is left, 0 when it is spent or held; None without a limit."""
        return None if self.budget is None else max(self.budget - self.spent - self.held, 0)

    @property
    def overspend(self) -> int:
        """What was spent beyond the budget."""
        return 0 if self.budget is None else max(self.spent - self.budget, 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStanding:
    """One campaign, now. `brand_day` and `brand_month` are what it is held against of its brand's budgets.

    probability: with which it serves, in millionths: 1,000,000 unless it or its brand is paced, 0 while it is paused.
    """

    id: int
    brand_id: int
    name: str
    external_id: str | None
    reasons: Reason
    resumes_at: datetime | None
    day: Limit
    month: Limit
    total: Limit
    brand_day: Limit
    brand_month: Limit
    probability: int

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

    A constant number of queries, whatever the number of brands and campaigns.
    """
    which = Campaigns.everywhere() if brand_ids is None else Campaigns.of_brands(connection, brand_ids)
    campaigns: dict[int, list[CampaignStanding]] = defaultdict(list)
    for campaign in campaign_standings(which, now):
        campaigns[campaign.brand_id].append(campaign)
    expired = _Expired(now, brand_ids)
    return [_brand(row, campaigns[row["id"]], expired) for row in _brand_rows(brand_ids, now)]


def brand_standing(*, brand_id: int, now: datetime) -> BrandStanding | None:
    """Return the standing of one brand without its campaigns, of which it may have very many; None if archived."""
    expired = _Expired(now, [brand_id])
    return next((_brand(row, [], expired) for row in _brand_rows([brand_id], now)), None)


class _Expired:
    """What expired holds still have in the counters: it counts for nothing."""

    def __init__(self, now: datetime, brand_ids: list[int] | None) -> None:
        self._of: dict[tuple[int, int, Period, date], int] = defaultdict(int)
        for (brand_id, campaign_id, day), micros in holds.expired(now=now, brand_ids=brand_ids).items():
            for owner in (BRAND, campaign_id):
                for period in Period:
                    self._of[brand_id, owner, period, periods.period_start(period, day)] += micros

    def of(self, brand_id: int, campaign_id: int, period: Period, today: date) -> int:
        """Return what is to be taken off one counter of a current period, in micros; a brand's campaign id is 0."""
        return self._of.get((brand_id, campaign_id, period, periods.period_start(period, today)), 0)


BRAND = 0
"""In place of a campaign id: the counter is the brand's own."""


def campaign_standings(which: Campaigns, now: datetime) -> Iterator[CampaignStanding]:
    """Yield the standing of each of the campaigns, in the order of their names; archived ones have none."""
    rows = _campaign_rows(which, now)
    while chunk := list(itertools.islice(rows, CHUNK)):
        # The brand's month may still have what others held on a day before: those that are not among these rows.
        with_holds = {row["brand_id"] for row in chunk if any(row[f"{counter}_held"] for counter in _COUNTERS)}
        expired = _Expired(now, sorted(with_holds)) if with_holds else None
        for row in chunk:
            yield _campaign(row, now, expired)


_COUNTERS = ("brand_daily", "brand_monthly", "campaign_daily", "campaign_monthly", "campaign_total")


def _campaign_rows(which: Campaigns, now: datetime) -> Iterator[dict[str, Any]]:
    sql, params = figures(connection, which, now)
    yield from _rows(
        f"""
        SELECT f.*, c.name, c.external_id, b.timezone, {PROBABILITIES} FROM ({sql}) f
        JOIN campaigns_campaign c ON c.id = f.campaign_id JOIN campaigns_brand b ON b.id = f.brand_id {PACES}
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
            COALESCE(bd.spent, 0) AS daily_spent, COALESCE(bm.spent, 0) AS monthly_spent,
            COALESCE(bd.held, 0) AS daily_held, COALESCE(bm.held, 0) AS monthly_held
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


def _brand(row: dict[str, Any], campaigns: list[CampaignStanding], expired: _Expired) -> BrandStanding:
    today = as_date(row["day"])
    daily_held = row["daily_held"] - expired.of(row["id"], BRAND, Period.DAY, today)
    monthly_held = row["monthly_held"] - expired.of(row["id"], BRAND, Period.MONTH, today)
    return BrandStanding(
        id=row["id"],
        name=row["name"],
        external_id=row["external_id"],
        zone=ZoneInfo(row["timezone"]),
        currency=row["currency"],
        scope=BudgetScope(row["budget_scope"]),
        today=today,
        day=Limit(row["daily_budget"], row["daily_spent"], daily_held),
        month=Limit(row["monthly_budget"], row["monthly_spent"], monthly_held),
        campaigns=campaigns,
    )


def _campaign(row: dict[str, Any], now: datetime, expired: _Expired | None) -> CampaignStanding:
    why = reasons.of(row["reasons"])
    terms, spent = _terms(row), _spent(row)
    brand_daily, brand_monthly, daily, monthly, total = _held(row, expired)
    day = Limit(terms.campaign_daily_budget, spent.campaign_daily, daily)
    month = Limit(terms.campaign_monthly_budget, spent.campaign_monthly, monthly)
    if terms.budget_scope == BudgetScope.CAMPAIGN:
        brand_day = dataclasses.replace(day, budget=terms.brand_daily_budget)
        brand_month = dataclasses.replace(month, budget=terms.brand_monthly_budget)
    else:
        brand_day = Limit(terms.brand_daily_budget, spent.brand_daily, brand_daily)
        brand_month = Limit(terms.brand_monthly_budget, spent.brand_monthly, brand_monthly)
    return CampaignStanding(
        id=row["campaign_id"],
        brand_id=row["brand_id"],
        name=row["name"],
        external_id=row["external_id"],
        reasons=why,
        resumes_at=verdict.resumes_at(terms, spent, now) if why else None,
        day=day,
        month=month,
        total=Limit(terms.campaign_total_budget, spent.campaign_total, total),
        brand_day=brand_day,
        brand_month=brand_month,
        probability=0 if why else pacing.effective(row["own_probability"], row["brand_probability"]),
    )


def _held(row: dict[str, Any], expired: _Expired | None) -> list[int]:
    """What is held of each of the five counters, in micros."""
    held = [row[f"{counter}_held"] for counter in _COUNTERS]
    if expired is None:
        return held
    brand_id, campaign_id, today = row["brand_id"], row["campaign_id"], as_date(row["day"])
    owners = (BRAND, BRAND, campaign_id, campaign_id, campaign_id)
    kinds = (Period.DAY, Period.MONTH, Period.DAY, Period.MONTH, Period.TOTAL)
    over = (expired.of(brand_id, owner, period, today) for owner, period in zip(owners, kinds, strict=True))
    return [micros - gone for micros, gone in zip(held, over, strict=True)]


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
