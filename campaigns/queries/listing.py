"""The figures beside the rows of a list: a constant number of queries, whatever the number of rows."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q

from campaigns.models import Brand, BrandCounter, Campaign, SpendLog
from campaigns.models.figures import Campaigns
from campaigns.queries import standing
from campaigns.queries.standing import CampaignStanding, Limit
from campaigns.rules import money, periods
from campaigns.rules.periods import Period


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


def brands_with_spend(brand_ids: Collection[int]) -> set[int]:
    """Return which of the brands have a row in the ledger."""
    rows = SpendLog.objects.filter(brand=OuterRef("pk")).order_by()
    return set(Brand.objects.filter(Exists(rows), pk__in=brand_ids).order_by().values_list("pk", flat=True))


def campaigns_with_spend(campaign_ids: Collection[int]) -> set[int]:
    """Return which of the campaigns have a row in the ledger."""
    rows = SpendLog.objects.filter(campaign=OuterRef("pk")).order_by()
    return set(Campaign.objects.filter(Exists(rows), pk__in=campaign_ids).order_by().values_list("pk", flat=True))


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
