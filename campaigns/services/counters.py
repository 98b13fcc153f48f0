"""The counters, and nobody else writes them. They know owners and periods, never why.

Lock order: brand counters first, then campaign counters, each in the order of one sorted upsert. Every transaction
that changes what a budget is judged on takes these locks before it reads the other half.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple, cast

from django.db import DataError, IntegrityError, connection

from campaigns.models import BrandCounter, CampaignCounter
from campaigns.models.rows import Rows, as_date
from campaigns.rules import periods
from campaigns.rules.errors import BudgetError
from campaigns.rules.periods import Period

BRAND_PERIODS: tuple[Period, ...] = (Period.DAY, Period.MONTH)
CAMPAIGN_PERIODS: tuple[Period, ...] = (Period.DAY, Period.MONTH, Period.TOTAL)

BRAND = 0
"""The campaign id of a counter that is the brand's own."""


class Key(NamedTuple):
    """One counter, in the order in which counters are locked."""

    brand_id: int
    campaign_id: int
    period: Period
    start: date


class BudgetDay(NamedTuple):
    """A campaign's budget day: what the counters of the campaign and its brand are keyed by."""

    brand_id: int
    campaign_id: int
    day: date

    def counters(self) -> tuple[Key, Key, Key, Key, Key]:
        """The counters it counts in: the brand's day and month, the campaign's day, month and total."""
        brand_id, campaign_id, day = self
        month = periods.period_start(Period.MONTH, day)
        return (
            Key(brand_id, BRAND, Period.DAY, day),
            Key(brand_id, BRAND, Period.MONTH, month),
            Key(brand_id, campaign_id, Period.DAY, day),
            Key(brand_id, campaign_id, Period.MONTH, month),
            Key(brand_id, campaign_id, Period.TOTAL, periods.TOTAL_START),
        )


def spread(by_day: Mapping[BudgetDay, int]) -> dict[Key, int]:
    """Return what each counter is to be added when budget days are, in micros."""
    amounts: dict[Key, int] = defaultdict(int)
    for day, micros in by_day.items():
        for key in day.counters():
            amounts[key] += micros
    return amounts


def add(amounts: Mapping[Key, int]) -> dict[Key, int]:
    """Add amounts (micros, also negative or 0) to counters, create those that don't exist, and lock all of them.

    Return what each of them says now. Call inside a transaction. Raises BudgetError when a counter would pass what
    it can hold.
    """
    keys = sorted(amounts)
    brands = [key for key in keys if key.campaign_id == BRAND]
    campaigns = [key for key in keys if key.campaign_id != BRAND]
    try:
        return _add_to_brands(brands, amounts) | _add_to_campaigns(campaigns, amounts)
    except (DataError, IntegrityError) as error:
        if isinstance(error, IntegrityError) and "spent_in_range" not in str(error):
            raise
        raise BudgetError(
            "These amounts take a counter past 9,000,000,000,000, more than it can hold; nothing was recorded. "
            "Check the unit of the amounts."
        ) from error


def lock(brand_id: int, *days: date, campaign_id: int | None = None) -> None:
    """Lock what the brand's budgets, and the campaign's own if one is given, are judged on in some budget days.

    Whoever changes a budget holds these locks from before the change until its commit, so that no spend slips
    between the new budget and its verdict.
    """
    owners = [(BRAND, BRAND_PERIODS)]
    if campaign_id is not None:
        owners.append((campaign_id, CAMPAIGN_PERIODS))
    keys = {
        Key(brand_id, owner, period, periods.period_start(period, day))
        for owner, its_periods in owners
        for period in its_periods
        for day in days
    }
    add(dict.fromkeys(keys, 0))


def lock_all(keys: Iterable[Key]) -> None:
    """Lock any counters, for the same purpose: those of many campaigns at once."""
    add(dict.fromkeys(keys, 0))


def remove_empty(*, brand_id: int | None = None, campaign_id: int | None = None) -> None:
    """Remove the counters of a brand with its campaigns, or of a campaign, that say nothing.

    One that says something, since the caller has found no spend, stays and keeps its owner from being deleted.
    """
    if brand_id is not None:
        BrandCounter.objects.filter(brand=brand_id, spent=0, held=0).delete()
        CampaignCounter.objects.filter(brand=brand_id, spent=0, held=0).delete()
    if campaign_id is not None:
        CampaignCounter.objects.filter(campaign=campaign_id, spent=0, held=0).delete()


def hold(amounts: Mapping[Key, int]) -> None:
    """Add amounts (micros, also negative) to what counters hold. The caller has locked them by `add` or `lock`.

    A statement of its own, and no part of the upsert: a row that takes something away would have to pass for one
    that holds less than nothing before the database finds that there is a row to add it to.
    """
    brands = [key for key in sorted(amounts) if key.campaign_id == BRAND and amounts[key]]
    campaigns = [key for key in sorted(amounts) if key.campaign_id != BRAND and amounts[key]]
    for table, keys in (("campaigns_brandcounter", brands), ("campaigns_campaigncounter", campaigns)):
        if keys:
            of_campaign = " AND counter.campaign_id = rows.campaign_id" if keys is campaigns else ""
            rows = Rows(
                connection,
                {
                    "brand_id": "bigint",
                    "campaign_id": "bigint",
                    "period": "smallint",
                    "start": "date",
                    "held": "bigint",
                },
                [*zip(*((k.brand_id, k.campaign_id, k.period.value, k.start, amounts[k]) for k in keys), strict=True)],
            )
            with connection.cursor() as cursor:
                cursor.execute(
                    f"""
                    UPDATE {table} AS counter SET held = counter.held + rows.held FROM {rows.sql}
                    WHERE counter.period = rows.period AND counter.start = rows.start
                        AND counter.brand_id = rows.brand_id{of_campaign}
                    """,
                    rows.params,
                )


def _add_to_brands(keys: Sequence[Key], amounts: Mapping[Key, int]) -> dict[Key, int]:
    if not keys:
        return {}
    rows = Rows(
        connection,
        {"brand_id": "bigint", "period": "smallint", "start": "date", "spent": "bigint"},
        [
            [key.brand_id for key in keys],
            [key.period.value for key in keys],
            [key.start for key in keys],
            [amounts[key] for key in keys],
        ],
    )
    sql = f"""
        INSERT INTO campaigns_brandcounter AS counter (brand_id, period, start, spent, held)
        SELECT brand_id, period, start, spent, 0 FROM {rows.sql} WHERE true ORDER BY brand_id, period, start
        ON CONFLICT (period, start, brand_id) DO UPDATE SET spent = counter.spent + excluded.spent
        RETURNING brand_id, 0, period, start, spent
    """
    return _upsert(sql, rows)


def _add_to_campaigns(keys: Sequence[Key], amounts: Mapping[Key, int]) -> dict[Key, int]:
    if not keys:
        return {}
    rows = Rows(
        connection,
        {"brand_id": "bigint", "campaign_id": "bigint", "period": "smallint", "start": "date", "spent": "bigint"},
        [
            [key.brand_id for key in keys],
            [key.campaign_id for key in keys],
            [key.period.value for key in keys],
            [key.start for key in keys],
            [amounts[key] for key in keys],
        ],
    )
    sql = f"""
        INSERT INTO campaigns_campaigncounter AS counter (brand_id, campaign_id, period, start, spent, held)
        SELECT brand_id, campaign_id, period, start, spent, 0 FROM {rows.sql} WHERE true
        ORDER BY brand_id, campaign_id, period, start
        ON CONFLICT (period, start, campaign_id, brand_id) DO UPDATE SET spent = counter.spent + excluded.spent
        RETURNING brand_id, campaign_id, period, start, spent
    """
    return _upsert(sql, rows)


def _upsert(sql: str, rows: Rows) -> dict[Key, int]:
    with connection.cursor() as cursor:
        cursor.execute(sql, rows.params)
        # A plain tuple equals the key of the same values, and a thousand of them are built four times as fast.
        return {
            cast("Key", (brand_id, campaign_id, period, as_date(start))): spent
            for brand_id, campaign_id, period, start, spent in cursor.fetchall()
        }
