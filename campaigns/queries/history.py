"""History: when and why the status of a campaign has changed, and the figures that it was judged on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import F

from campaigns.models import StatusChange
from campaigns.queries.standing import Limit
from campaigns.rules import money
from campaigns.rules.errors import BudgetError
from campaigns.rules.reasons import Reason

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
"""The most changes of one page."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HistoricChange:
    """One change of a campaign's status.

    at: aware. actor, api_key: the names of the user or key that brought it about, None where none did or it is gone.
    The limits are what was spent by then and the budgets of that time, in micros. Those of the brand are always of all
    of its campaigns together, also where its budgets bind each campaign alone.
    """

    id: int
    at: datetime
    from_reasons: Reason
    to_reasons: Reason
    cause: StatusChange.Cause
    actor: str | None
    api_key: str | None
    note: str
    brand_daily: Limit
    brand_monthly: Limit
    campaign_daily: Limit
    campaign_monthly: Limit
    campaign_total: Limit


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A page of changes, the newest first, and whether there are older ones."""

    changes: Sequence[HistoricChange]
    more: bool


def status_history(*, campaign_id: int, before: int | None = None, limit: int = DEFAULT_LIMIT) -> History:
    """Return the changes of a campaign's status, the newest first, in one query.

    before: only changes with a smaller id, such as that of the last change of the page before. limit: 1 to 1,000.
    Whether there is such a campaign and the caller may see it is for the caller to find out: one that there is not has
    no changes. Raises BudgetError for a limit out of bounds.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise BudgetError(f"Give a limit from 1 to {MAX_LIMIT:,}.")
    # Outer joins, as a user may be gone: the journal's keys carry no constraint.
    rows = StatusChange.objects.filter(campaign__pk=campaign_id).annotate(
        actor_name=F("actor__username"), api_key_name=F("api_key__name")
    )
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-pk")[: limit + 1])
    changes = [_change(row, row.actor_name, row.api_key_name) for row in found[:limit]]
    return History(changes=changes, more=len(found) > limit)


def _change(row: StatusChange, actor: str | None, api_key: str | None) -> HistoricChange:
    return HistoricChange(
        id=row.pk,
        at=row.at,
        from_reasons=row.from_reasons,
        to_reasons=row.to_reasons,
        cause=StatusChange.Cause(row.cause),
        actor=actor,
        api_key=api_key,
        note=row.note,
        brand_daily=_limit(row.brand_daily_budget, row.brand_daily_spent),
        brand_monthly=_limit(row.brand_monthly_budget, row.brand_monthly_spent),
        campaign_daily=_limit(row.campaign_daily_budget, row.campaign_daily_spent),
        campaign_monthly=_limit(row.campaign_monthly_budget, row.campaign_monthly_spent),
        campaign_total=_limit(row.campaign_total_budget, row.campaign_total_spent),
    )


def _limit(budget: Decimal | None, spent: Decimal) -> Limit:
    return Limit(None if budget is None else money.to_micros(budget), money.to_micros(spent))
