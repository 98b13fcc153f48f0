"""`manage.py standing`: budget, spent, left and status of brands and campaigns, as a table for people."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone
from rich.table import Table
from rich.text import Text

from campaigns.management.console import PlainCommand
from campaigns.models import Brand, PeriodicRun
from campaigns.queries.forecasts import OwnerForecast, brand_forecast
from campaigns.queries.lookup import find_brand
from campaigns.queries.standing import BrandStanding, CampaignStanding, Limit, standing, tightest
from campaigns.rules import money, pacing, periods, reasons
from campaigns.rules.forecast import Forecast
from campaigns.rules.reasons import Reason
from campaigns.rules.verdict import BudgetScope

WIDE = 140
"""Columns from which on the month is shown, too; in a narrower terminal `Left` still counts it."""

LATE_AFTER = 3
"""Intervals without a finished pass from which on one is missed."""


class Command(PlainCommand):
    """Shows which campaigns may spend now and, where not, why not and until when."""

    help = "Show budget, spent and left of brands and campaigns, their status with every reason, and when they resume."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--brand", metavar="NAME", help="one brand only: its id, external id or name")
        parser.add_argument("--json", action="store_true", help="for programs: one JSON document")

    def handle(self, *args: Any, brand: str | None, **options: Any) -> None:
        """Print the standing."""
        now = timezone.now()
        only = None if brand is None else find_brand(brand)
        brands = standing(now=now, brand_ids=None if only is None else [only.pk])
        coming = None if only is None else brand_forecast(brand_id=only.pk, now=now)
        if options["json"]:
            self.say(json.dumps([_as_json(one, coming) for one in brands], indent=2, ensure_ascii=False))
        elif only is not None and not brands:
            self.say(f"{only} is archived.")
        elif not brands and Brand.objects.exists():
            self.say("All brands are archived.")
        elif not brands:
            self.say("There are no brands yet. Add one in the admin, or fill the database with: manage.py seed_demo")
        else:
            if not self.out.is_terminal and "COLUMNS" not in os.environ:
                self.out.width = WIDE  # into a file or a pipe goes all there is
            self.out.print(_table(brands, now, month=self.out.width >= WIDE))
            self.out.print()
            self.out.print(_summary(brands))
            if coming is not None:
                self.say(_coming(coming, brands[0]))
            late = _late(brands, now)
            if late:
                self.say(late, style="yellow")


def _table(brands: list[BrandStanding], now: datetime, *, month: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    table.add_column("Brand and campaigns", min_width=18, overflow="ellipsis", no_wrap=True)
    for name in ("Today", "of", "Month", "of") if month else ("Today", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    held = any(brand.month.held or brand.day.held for brand in brands)
    for name in ("Held", "Left") if held else ("Left",):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Status", min_width=12)
    table.add_column("Resumes", no_wrap=True)
    for brand in brands:
        _add_brand(table, brand, now, month=month, held=held)
    return table


def _add_brand(table: Table, brand: BrandStanding, now: datetime, *, month: bool, held: bool) -> None:
    alone = brand.scope == BudgetScope.CAMPAIGN
    table.add_row()
    table.add_row(
        Text(f"{brand.name}, {brand.currency}", style="bold"),
        *_limit(brand, brand.day, binds=not alone),
        *(_limit(brand, brand.month, binds=not alone) if month else ()),
        *(_held(brand, brand.month) if held else ()),
        _left(brand, None if alone else tightest(brand.day, brand.month)),
        _brand_status(brand),
        Text(f"now {now.astimezone(brand.zone):%a %H:%M}", style="dim"),
    )
    for campaign in brand.campaigns:
        table.add_row(
            Text(f"  {campaign.name}"),
            *_limit(brand, campaign.day),
            *(_limit(brand, campaign.month) if month else ()),
            *(_held(brand, campaign.total) if held else ()),
            _left(brand, campaign.left),
            _status(campaign),
            _resumes(campaign, brand.zone, now),
        )


def _limit(brand: BrandStanding, limit: Limit, *, binds: bool = True) -> tuple[Text, Text]:
    """What was spent and of which budget; `each` where a brand's budget binds each campaign alone."""
    exhausted = binds and limit.budget is not None and limit.spent >= limit.budget
    spent = Text(_amount(limit.spent, brand.currency), style="red" if exhausted else "")
    if limit.budget is None:
        return spent, Text("–", style="dim")
    return spent, Text(_amount(limit.budget, brand.currency) + ("" if binds else " each"), style="dim")


def _held(brand: BrandStanding, limit: Limit) -> tuple[Text]:
    """What is reserved by open holds."""
    return (Text(_amount(limit.held, brand.currency) if limit.held else "", style="cyan"),)


def _left(brand: BrandStanding, left: int | None) -> Text:
    if left is None:
        return Text("–", style="dim")
    return Text(_amount(left, brand.currency), style="" if left else "red")


def _amount(micros: int, currency: str) -> str:
    return money.format_money(micros, currency).removesuffix(f" {currency}")


def _brand_status(brand: BrandStanding) -> Text:
    active = sum(campaign.is_active for campaign in brand.campaigns)
    text = f"{active} of {len(brand.campaigns)} active"
    over = max(brand.day.overspend, brand.month.overspend) if brand.scope == BudgetScope.BRAND else 0
    if over:
        text += f", {_amount(over, brand.currency)} over budget"
    return Text(text, style="bold" if active or not brand.campaigns else "bold red")


def short_words(why: Reason) -> str:
    """Return pause reasons as a line of a terminal names them, such as `brand daily budget, schedule`."""
    return ", ".join(code.replace("_", " ") for code in reasons.codes(why))


def _status(campaign: CampaignStanding) -> Text:
    words = short_words(campaign.reasons)
    if not words and campaign.probability < pacing.ONE:
        hundredths = campaign.probability // 100
        return Text(f"active, serves {hundredths // 100}.{hundredths % 100:02} %", style="green")
    return Text(words or "active", style="yellow" if words else "green")


def _resumes(campaign: CampaignStanding, zone: ZoneInfo, now: datetime) -> Text:
    """When it resumes on the clock of the brand's zone, with the day if that is not today."""
    if campaign.is_active:
        return Text("")
    if campaign.resumes_at is None:
        return Text("not by itself", style="dim")
    local = campaign.resumes_at.astimezone(zone)
    days = (local.date() - periods.local_date(now, zone)).days
    return Text(f"{local:%H:%M}" if days == 0 else f"{local:%a %H:%M}" if days < 7 else f"{local:%d %b %H:%M}")


def _summary(brands: list[BrandStanding]) -> Text:
    campaigns = [campaign for brand in brands for campaign in brand.campaigns]
    active = sum(campaign.is_active for campaign in campaigns)
    return Text(
        f"{active} of {len(campaigns)} campaigns may spend now. "
        "Amounts are in the brand's currency, times are those of its zone."
    )


def _late(brands: list[BrandStanding], now: datetime) -> str:
    """What there is to say when the pass over all campaigns, which time alone needs, is missing."""
    finished = PeriodicRun.objects.filter(task=PeriodicRun.Task.ENFORCE, finished_at__isnull=False)
    last = finished.order_by("-started_at").values_list("finished_at", flat=True).first()
    if last is None:
        waiting = any(brand.campaigns for brand in brands)
        return "No pass has run yet: is beat running?" if waiting else ""
    if now - last <= timedelta(seconds=LATE_AFTER * settings.ENFORCE_INTERVAL_SECONDS):
        return ""
    return f"The last pass ran {_roughly(now - last)} ago: is beat running?"


def _roughly(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        number = seconds // size
        if number:
            return f"{number:,} {name}{'' if number == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def _coming(found: OwnerForecast, brand: BrandStanding) -> str:
    """How the day and the month of one brand will end."""
    if found.day is None:
        return "Forecast: too little is known yet to tell."
    parts = [f"today {_range(found.day.spend, brand.currency)}"]
    if found.runs_out_at is not None:
        parts[0] += f", spent at {found.runs_out_at.astimezone(brand.zone):%H:%M}"
    if found.month is not None:
        parts.append(f"this month {_range(found.month, brand.currency)}")
    if found.lasting is not None:
        parts.append(f"a daily budget of {money.format_money(found.lasting, brand.currency)} would last the month")
    return f"Forecast: {'; '.join(parts)}."


def _range(forecast: Forecast, currency: str) -> str:
    likely = money.format_money(forecast.likely, currency)
    if forecast.low is None or forecast.high is None:
        return likely
    return f"{likely} ({_amount(forecast.low, currency)} to {_amount(forecast.high, currency)})"


def _forecast_as_json(found: OwnerForecast) -> dict[str, Any]:
    return {
        "day": None if found.day is None else _range_as_json(found.day.spend),
        "month": None if found.month is None else _range_as_json(found.month),
        "runs_out_at": found.runs_out_at.isoformat() if found.runs_out_at else None,
        "lasting_daily_budget": None if found.lasting is None else money.to_text(found.lasting),
    }


def _range_as_json(forecast: Forecast) -> dict[str, str | None]:
    named = zip(("likely", "low", "high"), forecast, strict=True)
    return {name: None if micros is None else money.to_text(micros) for name, micros in named}


def _as_json(brand: BrandStanding, coming: OwnerForecast | None) -> dict[str, Any]:
    return {
        **({} if coming is None else {"forecast": _forecast_as_json(coming)}),
        "id": brand.id,
        "name": brand.name,
        "timezone": brand.zone.key,
        "currency": brand.currency,
        "today": brand.today.isoformat(),
        "day": _limit_as_json(brand.day),
        "month": _limit_as_json(brand.month),
        "campaigns": [
            {
                "id": campaign.id,
                "name": campaign.name,
                "is_active": campaign.is_active,
                "reasons": reasons.codes(campaign.reasons),
                "resumes_at": campaign.resumes_at.isoformat() if campaign.resumes_at else None,
                "serve_probability": round(campaign.probability / pacing.ONE, 4),
                "day": _limit_as_json(campaign.day),
                "month": _limit_as_json(campaign.month),
                "total": _limit_as_json(campaign.total),
            }
            for campaign in brand.campaigns
        ],
    }


def _limit_as_json(limit: Limit) -> dict[str, str | None]:
    return {
        "budget": None if limit.budget is None else money.to_text(limit.budget),
        "spent": money.to_text(limit.spent),
        "held": money.to_text(limit.held),
        "left": None if limit.left is None else money.to_text(limit.left),
    }
