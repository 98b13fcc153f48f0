"""Shares of budgets that are spent, and overspend: found as a set, told once for each budget, period and share.

One statement for each kind of owner finds, over counters and budgets, the highest share that is reached and was not
told. A share that was leapt over is not told after a higher one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from django.db import connection

from campaigns.models.figures import Campaigns, figures, local_nows, zone_rows
from campaigns.models.rows import Rows, as_date, literal, month_of
from campaigns.queries.alert_rules import Percent, Rules
from campaigns.rules import alerts, money
from campaigns.rules.alerts import Kind, Subject
from campaigns.rules.periods import TOTAL_START, Period
from campaigns.rules.verdict import BudgetScope
from campaigns.services import outbox
from campaigns.services.outbox import Draft

BATCH = 50_000
"""Campaigns that are looked at in one statement."""

AT_ONCE = 1_000
"""Alerts that one statement finds; it is asked again while it finds as many."""

MOST_ROUNDS = 100


class Reached(NamedTuple):
    """A budget of which at least a share is spent that was not told yet."""

    brand_id: int
    campaign_id: int | None
    kind: Kind
    period: Period
    start: date
    budget: int
    spent: int
    percent: int
    brand: str
    campaign: str | None
    currency: str
    zone: str


# What a share of a budget is in micros, rounded up: exact, and in range for every budget there may be.
_SHARE = "(x.budget / 100 * x.percent + (x.budget %% 100 * x.percent + 99) / 100)"
_KEY = """(CASE x.kind WHEN 1 THEN 'daily' WHEN 2 THEN 'monthly' WHEN 4 THEN 'total'
    ELSE 'overspend.' || CAST(x.period AS text) END || '.' || CAST(COALESCE(x.campaign_id, 0) AS text)
    || '.' || CAST(x.start AS text) || '.' || CAST(x.budget AS text))"""


def _find(limits: str, params: Sequence[Any]) -> list[Reached]:
    """The highest share of each budget that is reached and not told, from rows of limits with a percent each."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH highest AS (
                SELECT x.brand_id, x.campaign_id, x.kind, x.period, x.start, x.budget, x.spent,
                    max(x.percent) AS percent
                FROM ({limits}) x WHERE x.budget > 0 AND x.spent >= {_SHARE}
                GROUP BY x.brand_id, x.campaign_id, x.kind, x.period, x.start, x.budget, x.spent
            )
            SELECT x.brand_id, x.campaign_id, x.kind, x.period, x.start, x.budget, x.spent, x.percent,
                b.name, c.name, b.currency, b.timezone
            FROM highest x JOIN campaigns_brand b ON b.id = x.brand_id
            LEFT JOIN campaigns_campaign c ON c.id = x.campaign_id
            WHERE NOT EXISTS (
                SELECT 1 FROM campaigns_alert a
                WHERE a.brand_id = x.brand_id AND a.key = {_KEY} AND a.threshold >= x.percent
            )
            ORDER BY x.brand_id, x.campaign_id LIMIT {AT_ONCE}
            """,
            params,
        )
        return [
            Reached(brand, campaign, Kind(kind), Period(period), as_date(start), *rest)
            for brand, campaign, kind, period, start, *rest in cursor.fetchall()
        ]


def _tell_all(limits: str, params: Sequence[Any], now: datetime) -> int:
    """Tell of every share that is reached, in batches; what was told is not found again."""
    told = 0
    for _ in range(MOST_ROUNDS):
        found = _find(limits, params)
        told += len(outbox.write([_of_share(one) for one in found], now=now))
        if len(found) < AT_ONCE:
            break
    return told


def tell_of_brands(rules: Rules, *, now: datetime) -> int:
    """Tell of the budgets of brands, which bind the sum of their campaigns; return how many alerts are new."""
    of_all, of_some = rules.general(Subject.BRAND), rules.of_brands(Subject.BRAND)
    without = _without(rules.narrower(Subject.BRAND, "brand_id"), "b.id")
    told = 0
    if of_all:
        told += _tell_all(*_brand_limits(of_all, "true", without, now), now)
    if of_some:
        told += _tell_all(*_brand_limits(of_some, "r.owner = b.id", ("true", []), now), now)
    return told


_Condition = tuple[str, list[Any]]


def _brand_limits(shares: Sequence[Percent], joined: str, also: _Condition, now: datetime) -> tuple[str, list[Any]]:
    """A row for each budget of a brand and each share of it that is looked for."""
    nows = local_nows(connection, now)
    zones, rows = zone_rows(connection, nows), _rows(shares)
    days = ", ".join(f"'{day}'" for day in sorted({one.day for one in nows} | {one.month for one in nows})) or "NULL"
    return (
        f"""
        SELECT b.id AS brand_id, CAST(NULL AS bigint) AS campaign_id, r.kind, r.period, k.start,
            CASE r.period WHEN {Period.DAY:d} THEN b.daily_budget ELSE b.monthly_budget END AS budget,
            k.spent, r.percent
        FROM campaigns_brand b JOIN (SELECT * FROM {zones.sql}) z ON z.zone = b.timezone
        JOIN (SELECT * FROM {rows.sql}) r ON {joined}
        JOIN campaigns_brandcounter k ON k.period = r.period AND k.start IN ({days}) AND k.brand_id = b.id
            AND k.start = CASE r.period WHEN {Period.DAY:d} THEN z.day ELSE z.month END
        WHERE b.archived_at IS NULL AND b.budget_scope = '{BudgetScope.BRAND}' AND {also[0]}
        """,
        [*zones.params, *rows.params, *also[1]],
    )


def _rows(shares: Sequence[Percent]) -> Rows:
    return Rows(
        connection,
        {"owner": "bigint", "kind": "smallint", "period": "smallint", "percent": "bigint"},
        [[int(value) for value in column] for column in zip(*shares, strict=True)],
    )


def _without(narrower: Sequence[tuple[int, int]], owner: str) -> _Condition:
    """The condition that an owner has no narrower rule of the same kind."""
    if not narrower:
        return "true", []
    columns = [[one for one, _ in narrower], [kind for _, kind in narrower]]
    rows = Rows(connection, {"owner": "bigint", "kind": "smallint"}, columns)
    sql = f"SELECT 1 FROM (SELECT * FROM {rows.sql}) n WHERE n.owner = {owner} AND n.kind = r.kind"
    return f"NOT EXISTS ({sql})", list(rows.params)


def tell_of_campaigns(rules: Rules, *, now: datetime) -> int:
    """Tell of the budgets that bind one campaign alone; return how many alerts are new.

    The rules for all campaigns read all of them, in batches; the others only those that they are about.
    """
    of_all, of_brands, of_some = (
        rules.general(Subject.CAMPAIGN), rules.of_brands(Subject.CAMPAIGN), rules.of_campaigns(),
    )  # fmt: skip
    not_own = _without(rules.narrower(Subject.CAMPAIGN, "campaign_id"), "f.campaign_id")
    not_of_brand = _without(rules.narrower(Subject.CAMPAIGN, "brand_id"), "f.brand_id")
    told = 0
    if of_all:
        neither = (f"{not_own[0]} AND {not_of_brand[0]}", [*not_own[1], *not_of_brand[1]])
        for campaigns in _batches():
            told += _tell_all(*_campaign_limits(campaigns, of_all, "true", neither, now), now)
    if of_brands:
        which = Campaigns.of_brands(connection, sorted({share.owner for share in of_brands}))
        told += _tell_all(*_campaign_limits(which, of_brands, "r.owner = f.brand_id", not_own, now), now)
    if of_some:
        which = Campaigns.with_ids(connection, sorted({share.owner for share in of_some}))
        told += _tell_all(*_campaign_limits(which, of_some, "r.owner = f.campaign_id", ("true", []), now), now)
    return told


# What binds one campaign alone: its own budget, and its brand's where that is for each campaign; the tighter of both.
def _tighter(own: str, brands: str) -> str:
    return f"""CASE WHEN f.budget_scope = '{BudgetScope.CAMPAIGN}' AND ({own} IS NULL OR {brands} < {own})
        THEN {brands} ELSE {own} END"""


def _campaign_limits(
    campaigns: Campaigns, shares: Sequence[Percent], joined: str, also: _Condition, now: datetime
) -> tuple[str, list[Any]]:
    """A row for each budget that binds a campaign alone, and each share of it that is looked for."""
    sql, params = figures(connection, campaigns, now)
    rows = _rows(shares)
    month = month_of(connection, "f.day")
    return (
        f"""
        SELECT f.brand_id, f.campaign_id, r.kind, r.period,
            CASE r.period WHEN {Period.DAY:d} THEN f.day WHEN {Period.MONTH:d} THEN {month}
                ELSE {literal(connection, TOTAL_START)} END AS start,
            CASE r.period WHEN {Period.DAY:d} THEN {_tighter("f.campaign_daily_budget", "f.brand_daily_budget")}
                WHEN {Period.MONTH:d} THEN {_tighter("f.campaign_monthly_budget", "f.brand_monthly_budget")}
                ELSE f.campaign_total_budget END AS budget,
            CASE r.period WHEN {Period.DAY:d} THEN f.campaign_daily_spent
                WHEN {Period.MONTH:d} THEN f.campaign_monthly_spent ELSE f.campaign_total_spent END AS spent,
            r.percent
        FROM ({sql}) f JOIN (SELECT * FROM {rows.sql}) r ON {joined} WHERE {also[0]}
        """,
        [*params, *rows.params, *also[1]],
    )


def _batches() -> Iterator[Campaigns]:
    """All campaigns, in ranges of ids."""
    after = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT max(id) FROM (SELECT id FROM campaigns_campaign WHERE id > %s ORDER BY id LIMIT %s) batch",
                [after, BATCH],
            )
            (last,) = cursor.fetchone()
        if last is None:
            return
        yield Campaigns.everywhere().within(after, last)
        after = last


def _of_share(found: Reached) -> Draft:
    kind = found.kind
    budget, spent = money.format_money(found.budget, found.currency), money.format_money(found.spent, found.currency)
    name = _budget_name(found)
    share = found.spent * 100 // found.budget
    if kind is Kind.OVERSPEND:
        over = money.format_money(found.spent - found.budget, found.currency)
        message = f"{_owner(found)} has spent {over} more than its {name}: {spent} of {budget}."
    elif found.percent >= 100:
        message = f"{_owner(found)} has spent its {name}: {spent} of {budget}."
    else:
        message = f"{_owner(found)} has spent {share}% of its {name}: {spent} of {budget}."
    data = {
        "brand": {"id": found.brand_id, "name": found.brand},
        "campaign": None if found.campaign_id is None else {"id": found.campaign_id, "name": found.campaign},
        "period": found.period.name.lower(),
        "period_start": None if found.period is Period.TOTAL else found.start.isoformat(),
        "time_zone": found.zone,
        "currency": found.currency,
        "budget": money.to_text(found.budget),
        "spent": money.to_text(found.spent),
        "threshold_percent": found.percent,
        "spent_percent": share,
    }
    return Draft(
        kind=kind,
        key=_key(found),
        message=message,
        data=data,
        brand_id=found.brand_id,
        campaign_id=found.campaign_id,
        threshold=found.percent,
    )


def _key(found: Reached) -> str:
    """The key as the statement makes it: owner, period and the value of the budget."""
    names = {Kind.DAILY_BUDGET: "daily", Kind.MONTHLY_BUDGET: "monthly", Kind.TOTAL_BUDGET: "total"}
    name = names.get(found.kind, f"overspend.{found.period:d}")
    return f"{name}.{found.campaign_id or 0}.{found.start}.{found.budget}"


def _budget_name(found: Reached) -> str:
    """Which budget of which period."""
    name = alerts.BUDGET_NAMES[found.period]
    if found.period is Period.DAY:
        return f"{name} of {found.start.day} {found.start:%b %Y}"
    return f"{name} of {found.start:%B %Y}" if found.period is Period.MONTH else name


def _owner(found: Reached) -> str:
    return found.brand if found.campaign is None else f"{found.campaign} ({found.brand})"
