"""The first page: what spends, what has stopped and why, and whether the machinery runs. It refreshes itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from campaigns.admin import charts, foresight, live, words
from campaigns.admin.base import moment, visible_brands
from campaigns.admin.health import health_items
from campaigns.admin.pages import filtered, told_items
from campaigns.queries import overview
from campaigns.queries.overview import BrandAttention, CurrencyHours, CurrencySpend, Level, Overview, PeriodSpend
from campaigns.queries.standing import Limit
from campaigns.rules import reasons
from campaigns.rules.reasons import Reason
from campaigns.rules.verdict import BudgetScope

CURRENCY = "currency"
"""The parameter that says whose hours are drawn."""

_LEVELS = {
    Level.OVERSPENT: ("overspent", "red"),
    Level.EXHAUSTED: ("budget spent", "red"),
    Level.NEARLY: ("nearly spent", "amber"),
    Level.FINE: ("", ""),
}


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the first page shows. Unfold calls it (its setting DASHBOARD_CALLBACK)."""
    now = moment(request)
    title = f"{now.astimezone(ZoneInfo(settings.TIME_ZONE)):%A}, {words.when(now, ZoneInfo(settings.TIME_ZONE))}"
    return {**context, "live": _part(request), "health": _health(request), "board_title": title}


@never_cache
@require_safe
def live_view(request: HttpRequest) -> HttpResponse:
    """Answer the page that asks for its figures again: with the health strip, and what is new."""
    part = _part(request)
    if live.is_known(request, part):
        # The strip tells how long ago things were, so it always differs; the rest of the page is left alone.
        return HttpResponse(_health(request, apart=True), headers={"HX-Reswap": "none"})
    return HttpResponse(f"{part}{_health(request, apart=True)}")


def _health(request: HttpRequest, *, apart: bool = False) -> SafeString:
    """The health strip. apart: to be put in its place beside the part that refreshes."""
    if not request.user.has_perm("campaigns.view_campaign"):
        return SafeString("")
    context = {"items": health_items(moment(request)), "apart": apart}
    return render_to_string("campaigns/admin/dashboard/health.html", context, request)


def _part(request: HttpRequest) -> SafeString:
    url = reverse("admin_live")
    return live.part(request, "campaigns/admin/dashboard/live.html", {"board": board(request)}, path=url)


def board(request: HttpRequest) -> dict[str, Any]:
    """Return what the first page shows to the person who asks."""
    now = moment(request)
    if not request.user.has_perm("campaigns.view_campaign"):
        return _nothing_to_see()
    found = overview.overview(now=now, brand_ids=visible_brands(request))
    if not found.brands:
        return _no_brands(request)
    hints = foresight.hints(found.attention, now)
    return {
        "brands": found.brands,
        **_counts(found),
        "currencies": [_currency(row) for row in found.currencies],
        "attention": [{**_brand(brand), "hint": hints.get(brand.id, "")} for brand in found.attention],
        "more": _more(found),
        "all_brands": reverse("admin:campaigns_brand_changelist"),
        "changes": told_items(found.changes, now),
        "all_changes": reverse("admin:campaigns_statuschange_changelist"),
        **_hours(request, found.hours),
    }


def _nothing_to_see() -> dict[str, Any]:
    return {
        "brands": 0,
        "empty_title": "Nothing to see for you yet",
        "empty_text": "Your account has no role yet. Ask an administrator to make you a viewer or an operator.",
    }


def _no_brands(request: HttpRequest) -> dict[str, Any]:
    if visible_brands(request) is not None:
        text = "Your account is limited to some brands, and none of them is in use. Ask an administrator."
        return {"brands": 0, "empty_title": "No brands for you yet", "empty_text": text}
    may_add = request.user.has_perm("campaigns.add_brand")
    return {
        "brands": 0,
        "empty_title": "No brands yet",
        "empty_text": "Add a brand with its time zone, currency and budgets; then add its campaigns.",
        "add_brand": reverse("admin:campaigns_brand_add") if may_add else "",
    }


def _counts(found: Overview) -> dict[str, Any]:
    return {
        "active": f"{found.active:,}",
        "paused": f"{found.paused:,}",
        "campaigns": words.count(found.campaigns, "campaign"),
        "active_share": charts.percent(found.active, found.campaigns),
        "paused_share": charts.percent(found.paused, found.campaigns),
        "reasons": [_reason(reason, number) for reason, number in found.by_reason],
    }


def _reason(reason: Reason, number: int) -> dict[str, str]:
    return {
        "code": reason.code,
        "label": reasons.LABELS[reason].capitalize(),
        "tone": words.tone(reason),
        "number": f"{number:,}",
        "url": filtered("campaign", reason=reason.code),
    }


def _currency(row: CurrencySpend) -> dict[str, Any]:
    over = row.day.overspend
    return {
        "currency": row.currency,
        "brands": words.count(row.brands, "brand"),
        "day": _spend(row.day, row.currency),
        "month": _spend(row.month, row.currency),
        "over": words.amount(over, row.currency).removesuffix(f" {row.currency}") if over else "",
    }


def _spend(spend: PeriodSpend, currency: str) -> SafeString:
    """What brands have spent together, and what the ones with a budget have spent of that."""
    budget = Limit(spend.budget, spend.budgeted_spent)
    if spend.budget is None or spend.spent == spend.budgeted_spent:
        return words.meter(Limit(spend.budget, spend.spent), currency, without="no budget for all together")
    return format_html("{}{}", words.meter(Limit(None, spend.spent), currency), words.meter(budget, currency))


def _brand(brand: BrandAttention) -> dict[str, Any]:
    level, tone = _LEVELS[brand.level]
    alone = brand.scope == BudgetScope.CAMPAIGN
    return {
        "id": brand.id,
        "name": brand.name,
        "url": reverse("admin:campaigns_brand_overview", args=[brand.id]),
        "level": words.label("budget spent by a campaign" if alone else level, tone) if level else "",
        "day": _meter(brand.day, brand.day_each, brand.currency),
        "month": _meter(brand.month, brand.month_each, brand.currency),
        "active": f"{brand.active:,} of {brand.campaigns:,}",
    }


def _meter(limit: Limit, each: int | None, currency: str) -> SafeString:
    """What a brand has spent of its budget, or what each of its campaigns may spend alone."""
    without = "no budget" if each is None else f"{words.amount(each, currency)} for each campaign"
    return words.meter(limit, currency, without=without)


def _more(found: Overview) -> str:
    if not found.more_brands:
        return ""
    need = "needs" if found.more_brands == 1 else "need"
    return f"{words.count(found.more_brands, 'more brand')} {need} less attention."


def _hours(request: HttpRequest, found: Sequence[CurrencyHours]) -> dict[str, Any]:
    """The hours of one currency: that which is asked for, or the one whose day is furthest."""
    if not found:
        return {"hours": None}
    furthest = max(found, key=lambda one: sum(amount is not None for amount in one.today))
    chosen = next((one for one in found if one.currency == request.GET.get(CURRENCY)), furthest)
    reached = [at for at, amount in enumerate(chosen.today) if amount is not None]
    total = words.amount(sum(amount or 0 for amount in chosen.today), chosen.currency)
    chart = charts.hours(
        chosen.today,
        chosen.before,
        chosen.currency,
        usual_days=chosen.days,
        hour=max(reached, default=None),
        summary=f"Spend by hour today: {total} in all.",
    )
    index = reverse("admin:index")
    return {
        "hours": {"currency": chosen.currency, "chart": chart, "usual": charts.usual_words(chosen.days)},
        "choices": [
            {
                "currency": one.currency,
                "url": f"{index}?{urlencode({CURRENCY: one.currency})}#hours-title",
                "current": one.currency == chosen.currency,
            }
            for one in found
        ]
        if len(found) > 1
        else [],
    }
