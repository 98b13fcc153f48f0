"""The figures beside the rows of a list, and its order by them: a constant number of queries for any number of rows."""

from __future__ import annotations

import dataclasses
import enum
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from campaigns.models import ArchivedSpend, Brand, BrandCounter, Campaign, SpendLog
from campaigns.models.figures import Campaigns, figures, local_nows, zone_rows
from campaigns.models.rows import largest
from campaigns.queries import standing
from campaigns.queries.standing import CampaignStanding, Limit
from campaigns.rules import money, periods
from campaigns.rules.periods import Period
from campaigns.rules.verdict import BudgetScope


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BrandFigures:
    """What a brand has spent in its current budget day and month, and how many of its campaigns may spend.

    Archived campaigns are not counted.
    """

    day: Limit
    month: Limit
    active: int
    campaigns: int


def brand_figures(brands: Sequence[Brand], *, now: datetime) -> dict[int, BrandFigures]:
    """Return the figures of some brands by id, in two queries."""
    days = {brand.pk: periods.local_date(now, brand.timezone) for brand in brands}
    spent, counts = _brand_spent(days), _campaign_counts(days)
    return {
        brand.pk: BrandFigures(
            day=Limit(_micros(brand.daily_budget), spent[brand.pk, Period.DAY]),
            month=Limit(_micros(brand.monthly_budget), spent[brand.pk, Period.MONTH]),
            active=counts[brand.pk][0],
            campaigns=counts[brand.pk][1],
        )
        for brand in brands
    }


def campaign_standings(campaign_ids: Sequence[int], *, now: datetime) -> dict[int, CampaignStanding]:
    """Return the standing of some campaigns by id, in a constant number of queries; archived ones have none."""
    which = Campaigns.with_ids(connection, campaign_ids)
    return {campaign.id: campaign for campaign in standing.campaign_standings(which, now)}


class Binding(enum.StrEnum):
    """Which of its limits binds a campaign."""

    BRAND_DAY = "the brand's day"
    BRAND_MONTH = "the brand's month"
    DAY = "its own day"
    MONTH = "its own month"
    TOTAL = "its total"


class Share(NamedTuple):
    """The limit that is spent furthest, and which one it is."""

    limit: Limit
    which: Binding


def largest_share(campaign: CampaignStanding) -> Share | None:
    """Return the one of a campaign's limits that is spent furthest; None where nothing limits it."""
    limits = zip(
        (campaign.brand_day, campaign.brand_month, campaign.day, campaign.month, campaign.total), Binding, strict=True
    )
    shares = [Share(limit, which) for limit, which in limits if limit.budget is not None]
    return max(shares, key=lambda share: _part(share.limit), default=None)


def largest_brand_share(brand: Brand, found: BrandFigures) -> Share | None:
    """Return the one of a brand's budgets that is spent furthest; None without one, or where each campaign has it."""
    if brand.budget_scope == BudgetScope.CAMPAIGN:
        return None
    limits = zip((found.day, found.month), (Binding.BRAND_DAY, Binding.BRAND_MONTH), strict=True)
    shares = [Share(limit, which) for limit, which in limits if limit.budget is not None]
    return max(shares, key=lambda share: _part(share.limit), default=None)


def _part(limit: Limit) -> Fraction:
    return Fraction(max(limit.spent, 0), limit.budget) if limit.budget else Fraction(1)


class Rank(enum.Enum):
    """What a list can be ordered by beside the columns of its table."""

    DAY = "spent today"
    MONTH = "spent this month"
    SHARE = "share of budget"


def ranked_campaigns(
    rows: QuerySet[Campaign], by: Rank, *, descending: bool, now: datetime, start: int = 0, stop: int | None = None
) -> list[int]:
    """Return the ids of some campaigns in order, from the start-th to before the stop-th; ties by id.

    The figures of all of them are joined once. What has none comes last either way: archived campaigns, and by share
    those without any budget.
    """
    try:
        chosen, params = rows.order_by().values("id").query.sql_with_params()
    except EmptyResultSet:
        return []
    sql, of_figures = figures(connection, Campaigns(f"c.id IN ({chosen})", params), now)
    return _ordered(
        f"""
        SELECT chosen.id, ranked.amount FROM ({chosen}) chosen
        LEFT JOIN (SELECT f.campaign_id, {_campaign_rank(by)} AS amount FROM ({sql}) f) ranked
          ON ranked.campaign_id = chosen.id
        """,
        [*params, *of_figures],
        descending,
        start,
        stop,
    )


def ranked_brands(
    rows: QuerySet[Brand], by: Rank, *, descending: bool, now: datetime, start: int = 0, stop: int | None = None
) -> list[int]:
    """Return the ids of some brands in order, as above; by share those last whose campaigns have the budget alone."""
    try:
        chosen, params = rows.order_by().values("id").query.sql_with_params()
    except EmptyResultSet:
        return []
    zones = zone_rows(connection, local_nows(connection, now))
    return _ordered(
        f"""
        SELECT b.id, {_brand_rank(by)} AS amount
        FROM campaigns_brand b JOIN (SELECT * FROM {zones.sql}) z ON z.zone = b.timezone
        LEFT JOIN campaigns_brandcounter bd ON bd.period = {Period.DAY:d} AND bd.start = z.day AND bd.brand_id = b.id
        LEFT JOIN campaigns_brandcounter bm
          ON bm.period = {Period.MONTH:d} AND bm.start = z.month AND bm.brand_id = b.id
        WHERE b.id IN ({chosen})
        """,
        [*zones.params, *params],
        descending,
        start,
        stop,
    )


def _ordered(sql: str, params: Sequence[Any], descending: bool, start: int, stop: int | None) -> list[int]:
    page = "" if stop is None else f"LIMIT {stop - start:d} OFFSET {start:d}"
    direction = "DESC" if descending else "ASC"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM ({sql}) r ORDER BY amount IS NULL, amount {direction}, id {page}", params)
        return [row[0] for row in cursor.fetchall()]


def _campaign_rank(by: Rank) -> str:
    if by is not Rank.SHARE:
        return "f.campaign_daily_spent" if by is Rank.DAY else "f.campaign_monthly_spent"
    # A brand's budgets bind the sum of its campaigns, or each campaign alone.
    alone = "f.budget_scope = 'campaign'"
    spent = {
        period: f"(CASE WHEN {alone} THEN f.campaign_{period}_spent ELSE f.brand_{period}_spent END)"
        for period in ("daily", "monthly")
    }
    shares = [_share(spent[period], f"f.brand_{period}_budget") for period in spent]
    shares += [_share(f"f.campaign_{period}_spent", f"f.campaign_{period}_budget") for period in (*spent, "total")]
    return f"NULLIF({largest(connection, *shares)}, -1)"


def _brand_rank(by: Rank) -> str:
    if by is not Rank.SHARE:
        return f"COALESCE({'bd' if by is Rank.DAY else 'bm'}.spent, 0)"
    shares = [
        _share(
            f"COALESCE({counter}.spent, 0)",
            f"(CASE WHEN b.budget_scope = 'brand' THEN b.{period}_budget END)",
        )
        for counter, period in (("bd", "daily"), ("bm", "monthly"))
    ]
    return f"NULLIF({largest(connection, *shares)}, -1)"


def _share(spent: str, budget: str) -> str:
    """A share in millionths, -1 without a budget: whole numbers that no counter and no budget takes past 64 bits."""
    return f"""
        CASE WHEN {budget} IS NULL THEN -1 WHEN {budget} = 0 THEN 1000000 WHEN {spent} <= 0 THEN 0
             WHEN {spent} / {budget} >= 1000000000 THEN 1000000000000000
             ELSE {spent} / {budget} * 1000000 + (
               CASE WHEN {budget} < 9000000000000 THEN {spent} %% {budget} * 1000000 / {budget}
                    ELSE {spent} %% {budget} / ({budget} / 1000000) END) END
    """


def brands_with_spend(brand_ids: Collection[int]) -> set[int]:
    """Return which of the brands have spend, in the ledger or in its archive."""
    rows = SpendLog.objects.filter(brand=OuterRef("pk")).order_by()
    archived = ArchivedSpend.objects.filter(brand=OuterRef("pk")).order_by()
    spent = Brand.objects.filter(Exists(rows) | Exists(archived), pk__in=brand_ids)
    return set(spent.order_by().values_list("pk", flat=True))


def campaigns_with_spend(campaign_ids: Collection[int]) -> set[int]:
    """Return which of the campaigns have spend, in the ledger or in its archive."""
    rows = SpendLog.objects.filter(campaign=OuterRef("pk")).order_by()
    archived = ArchivedSpend.objects.filter(brand=OuterRef("brand"), campaign=OuterRef("pk")).order_by()
    spent = Campaign.objects.filter(Exists(rows) | Exists(archived), pk__in=campaign_ids)
    return set(spent.order_by().values_list("pk", flat=True))


def _brand_spent(days: Mapping[int, date]) -> dict[tuple[int, Period], int]:
    """What the counters of each brand's current day and month say, in micros."""
    months = {brand_id: periods.period_start(Period.MONTH, day) for brand_id, day in days.items()}
    current = Q(period=Period.DAY, start__in=set(days.values())) | Q(
        period=Period.MONTH, start__in=set(months.values())
    )
    spent: dict[tuple[int, Period], int] = defaultdict(int)
    rows = BrandCounter.objects.filter(current, brand__in=list(days)).values_list(
        "brand_id", "period", "start", "spent"
    )
    for brand_id, period, start, amount in rows:
        # Brands live in several zones, so that more than one day is current: each takes its own.
        if start == (days if period == Period.DAY else months)[brand_id]:
            spent[brand_id, Period(period)] = money.to_micros(amount)
    return spent


def _campaign_counts(brand_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """How many campaigns of each brand may spend, and how many there are."""
    counts: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    rows = Campaign.objects.filter(brand__in=list(brand_ids), archived_at=None).order_by().values_list("brand_id")
    for brand_id, active, total in rows.annotate(active=Count("pk", filter=Q(is_active=True)), total=Count("pk")):
        counts[brand_id] = active, total
    return counts


def _micros(budget: object) -> int | None:
    return money.parse_budget(budget)
