"""The overview: what is spent, what has stopped and why, over all brands that a person sees.

It is asked for every few seconds by everybody who has the page open. So it adds up counters and stored hours, never
the ledger; it ranks brands in the database, where there may be thousands; and its number of statements is constant.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection

from campaigns.models.figures import local_nows, zone_rows
from campaigns.models.rows import Rows, as_date, literal, one_of
from campaigns.queries import changes, holds
from campaigns.queries.standing import Limit
from campaigns.rules import money, periods, reasons
from campaigns.rules.periods import LocalNow, Period
from campaigns.rules.reasons import Reason
from campaigns.rules.verdict import BudgetScope

DAYS_BEFORE = 7
"""Budget days before today that its hours are held against."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PeriodSpend:
    """What some brands have spent in the current period, in micros, each in its own.

    budget: the sum of the brands' budgets that bind all of a brand's campaigns together, None where no brand has one.
    budgeted_spent: what the brands with such a budget have spent of it. without_budget: how many brands have none.
    overspend: what brands have spent beyond such a budget.
    """

    spent: int
    budget: int | None
    budgeted_spent: int
    without_budget: int
    overspend: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CurrencySpend:
    """What the brands of one currency have spent today and this month."""

    currency: str
    brands: int
    day: PeriodSpend
    month: PeriodSpend


class Level(enum.IntEnum):
    """How much attention a brand needs; the higher, the more."""

    FINE = 0
    NEARLY = 1
    """80 % of a budget is spent."""
    EXHAUSTED = 2
    """A budget is spent."""
    OVERSPENT = 3
    """More than a budget is spent."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BrandAttention:
    """One brand, now: its budget day and month, and how many of its campaigns may spend. Archived ones don't count.

    today: the budget day on its own clock. Where its budgets bind each campaign alone, the limits have no budget, and
    day_each and month_each are what they let each campaign spend, in micros.
    """

    id: int
    name: str
    zone: ZoneInfo
    currency: str
    scope: BudgetScope
    today: date
    day: Limit
    month: Limit
    active: int
    campaigns: int
    level: Level
    day_each: int | None
    month_each: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CurrencyHours:
    """What the brands of one currency spend by hour of their own clocks, in micros; both lists have 24 hours.

    today: None for an hour that no brand has reached and in which nothing was spent. They add up to what was spent
    today. before: the average of the `days` budget days before, which are seven, or fewer where spend began later;
    all 0 if there are none.
    """

    currency: str
    today: list[int | None]
    before: list[int]
    days: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All that the first page shows, of the brands that are not archived and that the person who asks may see.

    currencies, hours: in the order of how many brands they have, then by code. by_reason: a campaign with several
    reasons counts in each; the most frequent first. attention: the first brands by what needs attention; more_brands:
    how many there are beyond these; levels: how many brands of each level there are. changes: the newest first.
    """

    currencies: list[CurrencySpend]
    brands: int
    campaigns: int
    active: int
    paused: int
    by_reason: list[tuple[Reason, int]]
    attention: list[BrandAttention]
    more_brands: int
    levels: Mapping[Level, int]
    hours: list[CurrencyHours]
    changes: list[changes.ToldChange]


def overview(*, now: datetime, brand_ids: Sequence[int] | None, attention: int = 12) -> Overview:
    """Return the overview of some brands, or of all (None); at most `attention` of them one by one.

    A constant number of statements, at most 11, none of which reads the ledger. Each has its own snapshot: spend that
    arrives in between shows in the later ones only.
    """
    seen = _Seen.at(now, brand_ids)
    sums = _sums(seen)
    counts = _status_counts(seen)
    ranked, levels = _attention(seen, attention, now)
    active = counts.get(reasons.NONE, 0)
    return Overview(
        currencies=_currencies(sums),
        brands=sum(row.brands for row in sums),
        campaigns=sum(counts.values()),
        active=active,
        paused=sum(counts.values()) - active,
        by_reason=_by_reason(counts),
        attention=ranked,
        more_brands=sum(levels.values()) - len(ranked),
        levels=levels,
        hours=_hours(seen, sums),
        changes=changes.latest_changes(now=now, brand_ids=brand_ids),
    )


class _Seen(NamedTuple):
    """The brands `b` that are looked at, with the clock `z` of each one's zone."""

    nows: list[LocalNow]
    brand_ids: Sequence[int] | None
    zones: Rows
    condition: str
    params: list[Any]

    @classmethod
    def at(cls, now: datetime, brand_ids: Sequence[int] | None) -> _Seen:
        nows = local_nows(connection, now)
        only, params = _only("b.id", brand_ids)
        zones = zone_rows(connection, nows)
        return cls(nows, brand_ids, zones, f"b.archived_at IS NULL AND {only}", [*zones.params, *params])

    @property
    def brands(self) -> str:
        """The brands with their clocks, where a table may stand; its parameters belong to zones."""
        return f"campaigns_brand b JOIN (SELECT * FROM {self.zones.sql}) z ON z.zone = b.timezone"

    @property
    def counters(self) -> str:
        """The joins of each brand's counters of the current day, `bd`, and month, `bm`."""
        # The join says which day, too, but only constants let the planner see that this is one part of the index.
        days, months = _dates({now.day for now in self.nows}), _dates({now.month for now in self.nows})
        return f"""
            LEFT JOIN campaigns_brandcounter bd ON bd.period = {Period.DAY:d} AND bd.start IN ({days})
              AND bd.start = z.day AND bd.brand_id = b.id
            LEFT JOIN campaigns_brandcounter bm ON bm.period = {Period.MONTH:d} AND bm.start IN ({months})
              AND bm.start = z.month AND bm.brand_id = b.id
        """


def _only(column: str, brand_ids: Sequence[int] | None) -> tuple[str, list[Any]]:
    if brand_ids is None:
        return "true", []
    condition, parameter = one_of(connection, column, brand_ids)
    return condition, [parameter]


def _dates(days: Iterable[date]) -> str:
    return ", ".join(literal(connection, day) for day in sorted(days)) or "NULL"


# --- Spend by currency -----------------------------------------------------------------------


class _Sums(NamedTuple):
    """What the brands of one currency and one zone come to."""

    currency: str
    zone: str
    brands: int
    day: PeriodSpend
    month: PeriodSpend


def _sums(seen: _Seen) -> list[_Sums]:
    """By currency and zone: few rows, from which the hours of each zone's clock can still be told apart."""
    rows = _rows(
        f"""
        SELECT b.currency, b.timezone, COUNT(*), {_period_sums("bd.spent", "b.daily_budget")},
          {_period_sums("bm.spent", "b.monthly_budget")}
        FROM {seen.brands} {seen.counters} WHERE {seen.condition} GROUP BY b.currency, b.timezone
        """,
        seen.params,
    )
    return [_Sums(row[0], row[1], row[2], _period_spend(row[3:12]), _period_spend(row[12:21])) for row in rows]


def _period_sums(spent: str, budget: str) -> str:
    bound = f"b.budget_scope = '{BudgetScope.BRAND.value}' AND {budget} IS NOT NULL"
    return f"""
        {_sum(spent)}, {_sum(f"CASE WHEN {bound} THEN {budget} END")}, {_sum(f"CASE WHEN {bound} THEN {spent} END")},
        {_sum(f"CASE WHEN {bound} AND {spent} > {budget} THEN {spent} - {budget} END")},
        SUM(CASE WHEN {bound} THEN 0 ELSE 1 END)
    """


def _sum(micros: str) -> str:
    """Two sums, of whole units and of the rest: ten of the largest budgets would be too much for SQLite's 64 bits."""
    return f"SUM(({micros}) / {money.MICROS}), SUM(({micros}) %% {money.MICROS})"


def _period_spend(row: Sequence[Any]) -> PeriodSpend:
    *halves, without_budget = row
    spent, budget, budgeted_spent, overspend = (
        None if units is None else int(units) * money.MICROS + int(rest)
        for units, rest in zip(halves[::2], halves[1::2], strict=True)
    )
    return PeriodSpend(
        spent=spent or 0,
        budget=budget,
        budgeted_spent=budgeted_spent or 0,
        without_budget=int(without_budget),
        overspend=overspend or 0,
    )


def _currencies(sums: Sequence[_Sums]) -> list[CurrencySpend]:
    by_currency: dict[str, list[_Sums]] = defaultdict(list)
    for row in sums:
        by_currency[row.currency].append(row)
    found = [
        CurrencySpend(
            currency=currency,
            brands=sum(row.brands for row in rows),
            day=_together([row.day for row in rows]),
            month=_together([row.month for row in rows]),
        )
        for currency, rows in by_currency.items()
    ]
    return sorted(found, key=lambda spend: (-spend.brands, spend.currency))


def _together(parts: Sequence[PeriodSpend]) -> PeriodSpend:
    budgets = [part.budget for part in parts if part.budget is not None]
    return PeriodSpend(
        spent=sum(part.spent for part in parts),
        budget=sum(budgets) if budgets else None,
        budgeted_spent=sum(part.budgeted_spent for part in parts),
        without_budget=sum(part.without_budget for part in parts),
        overspend=sum(part.overspend for part in parts),
    )


# --- Campaigns by status ---------------------------------------------------------------------


def _status_counts(seen: _Seen) -> dict[Reason, int]:
    """How many campaigns have each set of reasons."""
    # Without their brands: one that is archived has no campaign that is not.
    only, params = _only("c.brand_id", seen.brand_ids)
    rows = _rows(
        f"""
        SELECT c.reasons, COUNT(*) FROM campaigns_campaign c WHERE c.archived_at IS NULL AND {only} GROUP BY c.reasons
        """,
        params,
    )
    return {reasons.of(bits): count for bits, count in rows}


def _by_reason(counts: Mapping[Reason, int]) -> list[tuple[Reason, int]]:
    by_reason: dict[Reason, int] = defaultdict(int)
    for why, count in counts.items():
        for reason in why:
            by_reason[reason] += count
    return sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))


# --- Brands by what needs attention ----------------------------------------------------------

_BUDGET_REASONS = Reason.BRAND_DAILY_BUDGET | Reason.BRAND_MONTHLY_BUDGET
_BRAND_SCOPE = f"b.budget_scope = '{BudgetScope.BRAND.value}'"


def _level(spent: str, budget: str) -> str:
    """The level that one budget gives its brand. Without a product, which could pass 64 bits."""
    return f"""
        CASE WHEN {budget} IS NULL THEN {Level.FINE:d}
             WHEN {spent} > {budget} THEN {Level.OVERSPENT:d}
             WHEN {spent} = {budget} OR {budget} = 0 THEN {Level.EXHAUSTED:d}
             WHEN {budget} - {spent} <= {budget} / 5 THEN {Level.NEARLY:d} ELSE {Level.FINE:d} END
    """


def _share(spent: str, budget: str) -> str:
    """What of a budget is spent, in whole ten-thousandths, within 64 bits: an order, and no figure that is shown."""
    few, most = 10**12, 9 * 10**14
    return f"""
        CASE WHEN {budget} IS NULL THEN -1 WHEN {budget} = 0 THEN 10000
             WHEN {budget} >= {few} THEN {spent} / ({budget} / 10000)
             WHEN {spent} >= {most} THEN {most} * 10000 / {budget} ELSE {spent} * 10000 / {budget} END
    """


def _ranked(seen: _Seen) -> str:
    """Every brand, `ranked` with its level and share, as table expressions."""
    # Materialized: written out where they are used, the campaigns would be looked through once for each use.
    return f"""
        brands AS MATERIALIZED (
            SELECT b.id, b.name, b.timezone, b.currency, b.budget_scope, z.day,
              CASE WHEN {_BRAND_SCOPE} THEN b.daily_budget END AS day_bound,
              CASE WHEN {_BRAND_SCOPE} THEN b.monthly_budget END AS month_bound,
              CASE WHEN {_BRAND_SCOPE} THEN NULL ELSE b.daily_budget END AS day_each,
              CASE WHEN {_BRAND_SCOPE} THEN NULL ELSE b.monthly_budget END AS month_each,
              COALESCE(bd.spent, 0) AS day_spent, COALESCE(bm.spent, 0) AS month_spent,
              COALESCE(bd.held, 0) AS day_held, COALESCE(bm.held, 0) AS month_held,
              CASE WHEN {_BRAND_SCOPE} THEN false ELSE EXISTS (
                SELECT 1 FROM campaigns_campaign c WHERE c.brand_id = b.id AND c.archived_at IS NULL
                  AND (c.reasons & {_BUDGET_REASONS:d}) <> 0
              ) END AS stopped
            FROM {seen.brands} {seen.counters} WHERE {seen.condition}
        ),
        rated AS MATERIALIZED (
            SELECT d.*, {_share("d.day_spent", "d.day_bound")} AS day_share,
              {_share("d.month_spent", "d.month_bound")} AS month_share,
              {_level("d.day_spent", "d.day_bound")} AS day_level,
              CASE WHEN d.stopped THEN {Level.EXHAUSTED:d} ELSE {_level("d.month_spent", "d.month_bound")} END
                AS month_level
            FROM brands d
        ),
        ranked AS MATERIALIZED (
            SELECT f.*, CASE WHEN f.day_level > f.month_level THEN f.day_level ELSE f.month_level END AS level,
              CASE WHEN f.day_share > f.month_share THEN f.day_share ELSE f.month_share END AS share
            FROM rated f
        )
    """


def _attention(seen: _Seen, most: int, now: datetime) -> tuple[list[BrandAttention], dict[Level, int]]:
    """The first brands, and how many brands of each level there are."""
    counts = ", ".join(f"SUM(CASE WHEN r.level = {level:d} THEN 1 ELSE 0 END) OVER ()" for level in Level)
    count = "(SELECT COUNT(*) FROM campaigns_campaign c WHERE c.brand_id = shown.id AND c.archived_at IS NULL"
    rows = _rows(
        f"""
        WITH {_ranked(seen)}, shown AS (
            SELECT r.id, r.name, r.timezone, r.currency, r.budget_scope, r.day, r.day_bound, r.month_bound,
              r.day_spent, r.month_spent, r.day_held, r.month_held, r.level, r.day_each, r.month_each, r.share, {counts}
            FROM ranked r ORDER BY r.level DESC, r.share DESC, r.name LIMIT {most:d}
        )
        SELECT {count} AND c.is_active), {count}), shown.* FROM shown ORDER BY level DESC, share DESC, name
        """,
        seen.params,
    )
    if not rows:
        return [], dict.fromkeys(Level, 0)
    levels = {level: int(number) for level, number in zip(Level, rows[0][-len(Level) :], strict=True)}
    expired = _expired_holds(now, rows)
    return [_brand(row, expired) for row in rows], levels


def _expired_holds(now: datetime, rows: Sequence[Sequence[Any]]) -> dict[tuple[int, Period, date], int]:
    """What expired holds still have in the counters of some brands, by brand and period: it counts for nothing."""
    expired: dict[tuple[int, Period, date], int] = defaultdict(int)
    for (brand_id, _, day), micros in holds.expired(now=now, brand_ids=[row[2] for row in rows]).items():
        for period in (Period.DAY, Period.MONTH):
            expired[brand_id, period, periods.period_start(period, day)] += micros
    return expired


def _brand(row: Sequence[Any], expired: Mapping[tuple[int, Period, date], int]) -> BrandAttention:
    active, campaigns, brand_id, name, zone, currency, scope, day, *figures = row
    day_budget, month_budget, day_spent, month_spent, day_held, month_held, level, day_each, month_each = figures[:9]
    today = as_date(day)
    day_held -= expired.get((brand_id, Period.DAY, today), 0)
    month_held -= expired.get((brand_id, Period.MONTH, today.replace(day=1)), 0)
    return BrandAttention(
        id=brand_id,
        name=name,
        zone=ZoneInfo(zone),
        currency=currency,
        scope=BudgetScope(scope),
        today=today,
        day=Limit(day_budget, day_spent, day_held),
        month=Limit(month_budget, month_spent, month_held),
        active=active,
        campaigns=campaigns,
        level=Level(level),
        day_each=day_each,
        month_each=month_each,
    )


# --- Spend by hour ---------------------------------------------------------------------------


class _HourSum(NamedTuple):
    """What the brands of one currency and one zone have stored for one hour of one budget day."""

    currency: str
    zone: str
    day: date
    hour: int
    spent: int


def _hours(seen: _Seen, sums: Sequence[_Sums]) -> list[CurrencyHours]:
    clocks = {now.zone: now for now in seen.nows}
    stored: dict[str, list[_HourSum]] = defaultdict(list)
    for hour in _hour_sums(seen):
        stored[hour.currency].append(hour)
    parts: dict[str, list[_Sums]] = defaultdict(list)
    for part in sums:
        parts[part.currency].append(part)
    order = [spend.currency for spend in _currencies(sums)]
    return [_currency_hours(currency, stored[currency], parts[currency], clocks) for currency in order]


def _hour_sums(seen: _Seen) -> list[_HourSum]:
    """By day and not yet by today and before: which is which differs from zone to zone."""
    only, params = _only("b.id", seen.brand_ids)
    todays = {now.day for now in seen.nows}
    days = _dates({today - timedelta(days=back) for today in todays for back in range(DAYS_BEFORE + 1)})
    rows = _rows(
        f"""
        SELECT b.currency, b.timezone, h.day, h.hour, SUM(h.spent)
        FROM campaigns_brandhour h JOIN campaigns_brand b ON b.id = h.brand_id
        WHERE h.day IN ({days}) AND b.archived_at IS NULL AND {only}
        GROUP BY b.currency, b.timezone, h.day, h.hour
        """,
        params,
    )
    return [_HourSum(currency, zone, as_date(day), hour, int(spent)) for currency, zone, day, hour, spent in rows]


def _currency_hours(
    currency: str, stored: Sequence[_HourSum], parts: Sequence[_Sums], clocks: Mapping[str, LocalNow]
) -> CurrencyHours:
    today, before, days = [0] * 24, [0] * 24, 0
    for row in stored:
        back = (clocks[row.zone].day - row.day).days
        if back == 0:
            today[row.hour] += row.spent
        elif 0 < back <= DAYS_BEFORE:
            before[row.hour] += row.spent
            days = max(days, back)
    for part in parts:
        # What the counters have beyond the stored hours was spent in the last seconds.
        summed = sum(row.spent for row in stored if row.zone == part.zone and row.day == clocks[part.zone].day)
        today[clocks[part.zone].hour] += part.day.spent - summed
    reached = max(clocks[part.zone].hour for part in parts)
    return CurrencyHours(
        currency=currency,
        today=[spent if hour <= reached or spent else None for hour, spent in enumerate(today)],
        before=[spent // days if days else 0 for spent in before],
        days=days,
    )


def _rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
