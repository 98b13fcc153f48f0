"""What the page of a campaign shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from campaigns.admin import charts, foresight, words
from campaigns.admin.pages import (
    average_note,
    edit_items,
    filtered,
    limit_rows,
    linked,
    spend_tiles,
    tile,
    today_note,
    told_items,
)
from campaigns.models import Campaign, DaypartingSchedule
from campaigns.queries import activity
from campaigns.queries.changes import latest_changes
from campaigns.queries.edits import edits_of
from campaigns.queries.standing import CampaignStanding, Limit
from campaigns.rules import periods, reasons
from campaigns.rules.schedules import DAY_HOURS, WEEK_HOURS
from campaigns.rules.verdict import BudgetScope

SHOWN = 8
"""Changes and edits that the page tells."""

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def campaign_page(
    campaign: Campaign, standing: CampaignStanding | None, *, now: datetime, may_change: bool
) -> dict[str, Any]:
    """Return what the page shows; an archived campaign has no standing."""
    zone, currency = campaign.brand.timezone, campaign.brand.currency
    days = activity.days(campaign_id=campaign.pk, zone=zone, now=now)
    hours = activity.hours_today(campaign_id=campaign.pk, zone=zone, now=now)
    stretches = activity.day_band(campaign_id=campaign.pk, zone=zone, now=now)
    changes = latest_changes(now=now, campaign_id=campaign.pk, limit=SHOWN)
    own = standing.day.budget if standing else None
    limits = _limits(campaign, standing)
    ahead = foresight.of_campaign(campaign, standing, now)
    return {
        "standing": standing,
        **_status(campaign, standing, zone, now),
        "tiles": _tiles(standing, days, currency),
        "limits_title": "Budgets that bind it",
        "limits": limit_rows(limits, currency),
        "holds": any(limit.held for _, limit in limits),
        "no_limits": "No budget binds it: it may spend without end. Set budgets for it, or for its brand, in Settings.",
        "today_note": today_note(zone, now),
        "cumulative": charts.cumulative(
            hours, own, currency, zone=zone, now=now, target=ahead.target, ahead=ahead.ahead
        ),
        "foresight": ahead,
        "band": charts.band(stretches, zone=zone, now=now),
        "legend": charts.tones([stretch.reasons for stretch in stretches]),
        "days": charts.days(days, own, currency),
        "days_note": average_note(days, currency),
        "week": _week(campaign, zone, now, may_change=may_change),
        "changes": told_items(changes, now, named=False),
        "all_changes": filtered("statuschange", campaign__id__exact=campaign.pk),
        "edits": edit_items(edits_of(campaign_id=campaign.pk, limit=SHOWN), currency, zone),
        "all_edits": filtered("edit", campaign__id__exact=campaign.pk),
    }


def _status(campaign: Campaign, standing: CampaignStanding | None, zone: ZoneInfo, now: datetime) -> dict[str, Any]:
    brand = linked(str(campaign.brand), reverse("admin:campaigns_brand_overview", args=[campaign.brand_id]))
    context = format_html("{} · {}", brand, today_note(zone, now))
    if standing is None:
        labels, sentence = words.label("archived", "gray"), "Archived. It does not spend; its ledger and journal stay."
        return {"labels": labels, "sentence": sentence, "context": context}
    return {
        "labels": words.status_labels(standing.reasons),
        "sentence": _sentence(campaign, standing, zone, now),
        "context": context,
    }


def _sentence(campaign: Campaign, standing: CampaignStanding, zone: ZoneInfo, now: datetime) -> str:
    since = activity.status_since(campaign_id=campaign.pk, active=standing.is_active)
    when = "" if since is None else f" since {words.near(since, zone, now)}"
    if standing.is_active:
        return f"May spend{when}." if when else "May spend now."
    why = reasons.in_words(standing.reasons)
    resumption = words.resumption(standing, zone, now)
    return f"Paused{when}: {why}. {resumption[0].upper()}{resumption[1:]}."


def _limits(campaign: Campaign, standing: CampaignStanding | None) -> list[tuple[str, Limit]]:
    if standing is None:
        return []
    alone = campaign.brand.budget_scope == BudgetScope.CAMPAIGN
    brand = "Brand's budget for each campaign" if alone else "Brand, all campaigns"
    return [
        ("This campaign today", standing.day),
        ("This campaign this month", standing.month),
        ("This campaign in all", standing.total),
        (f"{brand}, today", standing.brand_day),
        (f"{brand}, this month", standing.brand_month),
    ]


def _tiles(
    standing: CampaignStanding | None, days: list[activity.DaySpent], currency: str
) -> list[dict[str, str | SafeString]]:
    if standing is None:
        return spend_tiles(days, None, currency)
    tiles = spend_tiles(days, standing.month.spent, currency)
    return [*tiles, tile("In all", words.amount(standing.total.spent, currency))]


def _week(campaign: Campaign, zone: ZoneInfo, now: datetime, *, may_change: bool) -> dict[str, Any]:
    schedule = DaypartingSchedule.objects.filter(campaign=campaign).first()
    hours = "1" * WEEK_HOURS if schedule is None else schedule.as_rule().hours
    weekday, hour = periods.local_hour(now, zone)
    present = weekday * DAY_HOURS + hour
    kinds = ["on" if open_ == "1" else "off" for open_ in hours]
    kinds[present] += " now"
    text = "At any hour" if schedule is None else str(schedule)
    return {
        "words": f"{text[0].upper()}{text[1:]}, {zone.key}. {hours.count('1')} of {WEEK_HOURS} hours.",
        "url": f"{reverse('admin:campaigns_campaign_change', args=[campaign.pk])}#hours" if may_change else "",
        "rows": [
            {"day": day, "cells": kinds[at * DAY_HOURS : (at + 1) * DAY_HOURS]} for at, day in enumerate(_WEEKDAYS)
        ],
        "hours": ("00", "06", "12", "18"),
    }
