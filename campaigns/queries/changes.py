"""The latest changes of status, each with what a sentence about it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import F

from campaigns.models import Brand, StatusChange
from campaigns.models.figures import Campaigns
from campaigns.models.rows import Rows
from campaigns.queries import standing
from campaigns.queries.standing import CampaignStanding, Limit
from campaigns.rules import money
from campaigns.rules.reasons import Reason
from campaigns.rules.verdict import BudgetScope

CHANGES = 12
"""Changes that are told unless another number is asked for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToldChange:
    """One change of a campaign's status with what a sentence about it needs.

    actor, api_key: the names of the user or key that brought it about, None where none did or it is gone. limits: what
    each budget that is among the reasons, before or after, had spent then, in micros. resumes_at: when the campaign
    resumes as things stand now; None unless this is its latest change and it is still paused, and where time alone
    does not resume it.
    """

    id: int
    at: datetime
    zone: ZoneInfo
    currency: str
    campaign_id: int
    campaign: str
    brand_id: int
    brand: str
    from_reasons: Reason
    to_reasons: Reason
    cause: StatusChange.Cause
    actor: str | None
    api_key: str | None
    note: str
    limits: Mapping[Reason, Limit]
    resumes_at: datetime | None


def latest_changes(
    *, now: datetime, brand_ids: Sequence[int] | None = None, campaign_id: int | None = None, limit: int = CHANGES
) -> list[ToldChange]:
    """Return the latest changes of status of a campaign, of some brands, or of all (None), the newest first.

    Of campaigns that are still there. At most five statements.
    """
    rows = _newest(brand_ids, campaign_id, limit)
    latest = {row.campaign_id: row.pk for row in reversed(rows)}
    paused = [row.campaign_id for row in rows if row.to_reasons and latest[row.campaign_id] == row.pk]
    which = Campaigns.with_ids(connection, paused)
    standings = {found.id: found for found in standing.campaign_standings(which, now)} if paused else {}
    return [_told(row, standings.get(row.campaign_id) if latest[row.campaign_id] == row.pk else None) for row in rows]


def _newest(brand_ids: Sequence[int] | None, campaign_id: int | None, limit: int) -> list[StatusChange]:
    rows = StatusChange.objects.annotate(actor_name=F("actor__username"), api_key_name=F("api_key__name"))
    rows = rows.select_related("brand", "campaign").order_by("-pk")
    if campaign_id is not None:
        return list(rows.filter(campaign=campaign_id)[:limit])
    if brand_ids is None:
        return list(rows[:limit])
    return list(rows.filter(pk__in=_newest_ids(brand_ids, limit)))


def _newest_ids(brand_ids: Sequence[int], limit: int) -> list[int]:
    """The ids of the latest changes of some brands.

    By way of each brand's own latest: asked for the latest of them all, the planner may go through the journal of
    every brand, backwards, and these may not have changed for long.
    """
    rows = Rows(connection, {"brand_id": "bigint"}, [brand_ids])
    theirs = """
        FROM campaigns_statuschange s JOIN campaigns_campaign c ON c.id = s.campaign_id
        WHERE s.brand_id = rows.brand_id ORDER BY s.id DESC LIMIT 1 OFFSET
    """
    # The latest changes of all are those of as many brands at most, and of those whose own latest are the latest.
    each = " UNION ALL ".join(f"SELECT (SELECT s.id {theirs} {at}) AS id FROM latest rows" for at in range(limit))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
        WITH latest AS (
            SELECT n.brand_id FROM (SELECT rows.brand_id, (SELECT s.id {theirs} 0) AS id FROM {rows.sql}) n
            WHERE n.id IS NOT NULL ORDER BY n.id DESC LIMIT {limit:d}
        )
        SELECT n.id FROM ({each}) n WHERE n.id IS NOT NULL ORDER BY n.id DESC LIMIT {limit:d}
        """,
            rows.params,
        )
        return [change_id for (change_id,) in cursor.fetchall()]


def _told(row: StatusChange, now: CampaignStanding | None) -> ToldChange:
    """A change with what a sentence needs; now: the campaign's standing, if this is its latest change."""
    brand, to = row.brand, row.to_reasons
    annotated = vars(row)
    return ToldChange(
        id=row.pk,
        at=row.at,
        zone=brand.timezone,
        currency=brand.currency,
        campaign_id=row.campaign_id,
        campaign=row.campaign.name,
        brand_id=row.brand_id,
        brand=brand.name,
        from_reasons=row.from_reasons,
        to_reasons=to,
        cause=StatusChange.Cause(row.cause),
        actor=annotated["actor_name"],
        api_key=annotated["api_key_name"],
        note=row.note,
        limits=_limits(row, brand),
        resumes_at=now.resumes_at if now is not None and to else None,
    )


def _limits(row: StatusChange, brand: Brand) -> dict[Reason, Limit]:
    """What each budget among the reasons had spent; of a brand's budget what it was held against."""
    daily = _held_against(row, brand, Reason.BRAND_DAILY_BUDGET)
    monthly = _held_against(row, brand, Reason.BRAND_MONTHLY_BUDGET)
    figures = {
        Reason.BRAND_DAILY_BUDGET: (row.brand_daily_budget, daily),
        Reason.BRAND_MONTHLY_BUDGET: (row.brand_monthly_budget, monthly),
        Reason.CAMPAIGN_DAILY_BUDGET: (row.campaign_daily_budget, row.campaign_daily_spent),
        Reason.CAMPAIGN_MONTHLY_BUDGET: (row.campaign_monthly_budget, row.campaign_monthly_spent),
        Reason.CAMPAIGN_TOTAL_BUDGET: (row.campaign_total_budget, row.campaign_total_spent),
    }
    why = row.from_reasons | row.to_reasons
    return {
        reason: Limit(None if budget is None else money.to_micros(budget), money.to_micros(spent))
        for reason, (budget, spent) in figures.items()
        if reason in why
    }


def _held_against(row: StatusChange, brand: Brand, reason: Reason) -> Decimal:
    """What a brand's budget was held against: what this campaign alone had spent, or all of them together.

    The journal does not tell the scope of the time. A campaign that was paused by what had not reached the budget was
    paused by the sum, whatever the scope is now.
    """
    daily = reason is Reason.BRAND_DAILY_BUDGET
    own, together, budget = (
        (row.campaign_daily_spent, row.brand_daily_spent, row.brand_daily_budget)
        if daily
        else (row.campaign_monthly_spent, row.brand_monthly_spent, row.brand_monthly_budget)
    )
    if brand.budget_scope != BudgetScope.CAMPAIGN:
        return together
    by_sum = reason in row.to_reasons and budget is not None and own < budget
    return together if by_sum else own
