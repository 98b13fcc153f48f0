"""What the page of a brand shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.html import format_html

from campaigns.admin import charts, foresight, words
from campaigns.admin.pages import average_note, edit_items, filtered, limit_rows, spend_tiles, today_note, told_items
from campaigns.models import Brand
from campaigns.queries import activity
from campaigns.queries.changes import latest_changes
from campaigns.queries.edits import edits_of
from campaigns.queries.standing import BrandStanding, Limit
from campaigns.rules import periods
from campaigns.rules.verdict import BudgetScope

SHOWN = 8
"""Changes and edits that the page tells."""

CAMPAIGNS = 25
"""Campaigns that it shows, those first that have spent most today."""


def brand_page(brand: Brand, standing: BrandStanding | None, *, now: datetime, may_add: bool) -> dict[str, Any]:
    """Return what the page shows; an archived brand has no standing."""
    zone, currency = brand.timezone, brand.currency
    days = activity.days(brand_id=brand.pk, zone=zone, now=now)
    hours = activity.hours_today(brand_id=brand.pk, zone=zone, now=now)
    steps = activity.active_through_day(brand_id=brand.pk, zone=zone, now=now)
    shares = activity.campaign_shares(brand_id=brand.pk, now=now, limit=CAMPAIGNS)
    together = brand.budget_scope == BudgetScope.BRAND
    daily = standing.day.budget if standing and together else None
    limits = [("Today", standing.day), ("This month", standing.month)] if standing and together else []
    ahead = foresight.of_brand(brand, standing, now)
    return {
        "standing": standing,
        **_status(brand, standing, steps, now),
        "tiles": spend_tiles(days, standing.month.spent if standing else None, currency),
        "limits_title": "Budgets",
        "limits": limit_rows(limits, currency),
        "holds": any(limit.held for _, limit in limits),
        "no_limits": _no_limits(brand),
        "today_note": today_note(zone, now),
        "cumulative": charts.cumulative(
            hours, daily, currency, zone=zone, now=now, target=ahead.target, ahead=ahead.ahead
        ),
        "foresight": ahead,
        "active": charts.active(steps, zone=zone, now=now),
        "days": charts.days(days, daily, currency),
        "days_note": average_note(days, currency),
        "shares": [_share(share, brand, now) for share in shares.campaigns],
        "rest": _rest(shares, currency),
        "all_campaigns": filtered("campaign", brand__id__exact=brand.pk),
        "add_campaign": f"{reverse('admin:campaigns_campaign_add')}?brand={brand.pk}" if may_add else "",
        "changes": told_items(latest_changes(now=now, brand_ids=[brand.pk], limit=SHOWN), now),
        "all_changes": filtered("statuschange", campaign__brand__id__exact=brand.pk),
        "edits": edit_items(edits_of(brand_id=brand.pk, with_campaigns=True, limit=SHOWN), currency, zone),
        "all_edits": filtered("edit", brand__id__exact=brand.pk),
    }


def _status(brand: Brand, standing: BrandStanding | None, steps: activity.ActiveSteps, now: datetime) -> dict[str, Any]:
    context = today_note(brand.timezone, now)
    if standing is None:
        sentence = "Archived. Its campaigns do not spend; its ledger and journal stay."
        return {"labels": words.label("archived", "gray"), "sentence": sentence, "context": context}
    last = steps.steps[-1] if steps.steps else None
    active, campaigns = (last.active, last.campaigns) if last else (0, 0)
    if not campaigns:
        labels = words.label("no campaigns", "gray")
        return {"labels": labels, "sentence": "It has no campaigns yet.", "context": context}
    tone = "green" if active == campaigns else "amber" if active else "red"
    return {
        "labels": words.label(f"{active:,} of {campaigns:,} active", tone),
        "sentence": _sentence(standing, active, campaigns),
        "context": f"{context}. {_next_period(standing, now)}".rstrip(),
    }


def _sentence(standing: BrandStanding, active: int, campaigns: int) -> str:
    running = f"{active:,} of {words.count(campaigns, 'campaign')} may spend now."
    if standing.scope == BudgetScope.CAMPAIGN:
        return running
    spent = [
        f"{name} budget is spent"
        for name, limit in (("Daily", standing.day), ("Monthly", standing.month))
        if _is_spent(limit)
    ]
    return f"{' and '.join(spent).capitalize()}: {running[0].lower()}{running[1:]}" if spent else running


def _next_period(standing: BrandStanding, now: datetime) -> str:
    """When a budget that is spent begins anew."""
    if standing.scope == BudgetScope.CAMPAIGN:
        return ""
    if _is_spent(standing.month):
        begins = words.when(periods.next_month_begins(now, standing.zone), standing.zone)
        return f"The next budget month begins {begins}."
    if _is_spent(standing.day):
        return f"The next budget day begins {words.when(periods.next_day_begins(now, standing.zone), standing.zone)}."
    return ""


def _is_spent(limit: Limit) -> bool:
    return (words.share(limit) or 0) >= 100


def _no_limits(brand: Brand) -> str:
    if brand.budget_scope == BudgetScope.CAMPAIGN:
        day = words.budget(brand.daily_budget, brand.currency)
        month = words.budget(brand.monthly_budget, brand.currency)
        return f"Its budgets bind each campaign alone: {day} a day, {month} a month."
    return "No budget binds it: its campaigns may spend without end. Set one in Settings."


def _share(share: activity.CampaignShare, brand: Brand, now: datetime) -> dict[str, Any]:
    return {
        "id": share.id,
        "name": share.name,
        "url": reverse("admin:campaigns_campaign_overview", args=[share.id]),
        "status": format_html("{}{}", words.status_labels(share.reasons), words.serves(share.probability)),
        "resumes": words.resumes(share.reasons, share.resumes_at, brand.timezone, now),
        "day": words.amount(share.spent, brand.currency),
        "share": words.NONE if share.share is None else f"{share.share}%",
        "month": words.amount(share.month_spent, brand.currency),
    }


def _rest(shares: activity.Shares, currency: str) -> list[dict[str, str]]:
    """What the campaigns that are shown lack to the brand's spend of the day."""
    rest = []
    if shares.more:
        more = words.count(shares.more, "more campaign")
        rest.append({"name": more, "day": words.amount(shares.more_spent, currency)})
    if shares.archived_spent:
        rest.append({"name": "Archived campaigns", "day": words.amount(shares.archived_spent, currency)})
    return rest
