"""A month of the demo's history, lived through hour by hour: spend is recorded, passes and roll-overs run."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from campaigns.models import Brand, Campaign
from campaigns.queries.standing import BrandStanding, Limit, standing
from campaigns.rules import money, periods
from campaigns.services import audit, catalog, enforcement, pacing, rollover, runs, spend
from campaigns.services import hours as hours_of_day
from campaigns.services.demo.plan import BRANDS, HOURLY_PERCENT, BrandPlan, CampaignPlan
from campaigns.services.spend import SpendEvent

DAYS = 31
"""Days of history; well inside SPEND_MAX_AGE_DAYS."""

_HOUR = timedelta(hours=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Sown:
    """A campaign of the demo with the plans behind it."""

    id: int
    brand_id: int
    zone: ZoneInfo
    brand: BrandPlan
    campaign: CampaignPlan


def seed(*, now: datetime, days: int = DAYS, luck: int = 1, progress: Callable[[int, int], None] | None = None) -> bool:
    """Create the demo's brands and live through their last days, a month; return False if there are brands already.

    progress: called with the hours lived through and their number.
    """
    if Brand.objects.exists():
        return False
    # All or nothing, so that an interrupted first start leaves no half a demo. Not on PostgreSQL, which could clear
    # away no old version of a counter before the end, and would walk through all of them at each update.
    with transaction.atomic() if connection.vendor == "sqlite" else contextlib.nullcontext():
        _seed(now, days, luck, progress)
    return True


def _seed(now: datetime, days: int, luck: int, progress: Callable[[int, int], None] | None) -> None:
    chance = random.Random(luck)  # noqa: S311 - a demo, the same each time
    begin = (now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    sown = [campaign for brand in BRANDS for campaign in _sow(brand, begin, now)]
    hours = int((now - begin) / _HOUR)
    for hour in range(hours + 1):
        _live_through(sown, begin + hour * _HOUR, now, chance)
        if progress:
            progress(hour + 1, hours + 1)
    # Passes of the past were one an hour, which would look late beside those that run from now on.
    runs.forget_before(now)
    rollover.reset_daily_budgets(now=now)
    rollover.reset_monthly_budgets(now=now)
    _set_the_scene(sown, now)
    for minute in range(hours_of_day.KEPT_DAYS - hours_of_day.NEAR_DAYS):  # a day of long ago each
        hours_of_day.sum_hours(now=now - timedelta(minutes=minute))
    pacing.pace_all(now=now)
    audit.run_check(now=now)


def _sow(plan: BrandPlan, begin: datetime, now: datetime) -> Iterator[Sown]:
    brand = catalog.create_brand(
        now=begin,
        name=plan.name,
        external_id=plan.external_id,
        timezone=plan.zone,
        currency=plan.currency,
        daily_budget=plan.daily,
        monthly_budget=plan.monthly,
        budget_scope=plan.scope,
    )
    today = periods.local_date(now, brand.timezone)
    for number, campaign_plan in enumerate(plan.campaigns, start=1):
        first, last = campaign_plan.flight
        campaign = catalog.create_campaign(
            brand_id=brand.pk,
            now=begin,
            name=campaign_plan.name,
            external_id=f"{brand.external_id}-{number}",
            daily_budget=campaign_plan.daily,
            monthly_budget=campaign_plan.monthly,
            total_budget=campaign_plan.total,
            flight_start=None if first is None else today + timedelta(days=first),
            flight_end=None if last is None else today + timedelta(days=last),
        )
        if campaign_plan.window:
            start, end, weekdays = campaign_plan.window
            catalog.set_window(campaign_id=campaign.pk, start_hour=start, end_hour=end, weekdays=weekdays, now=begin)
        if campaign_plan.grid:
            catalog.set_grid(campaign_id=campaign.pk, grid=campaign_plan.grid, now=begin)
        yield Sown(campaign.pk, brand.pk, brand.timezone, plan, campaign_plan)


def _live_through(sown: list[Sown], hour: datetime, now: datetime, chance: random.Random) -> None:
    """One hour: the pass and the roll-overs at its beginning, then what the active campaigns spend."""
    rollover.reset_daily_budgets(now=hour)
    rollover.reset_monthly_budgets(now=hour)
    enforcement.enforce_all(now=hour)
    end = min(hour + _HOUR, now)
    active = set(Campaign.objects.filter(is_active=True).order_by().values_list("pk", flat=True))
    events = [_event(campaign, hour, end, chance) for campaign in sown if campaign.id in active and hour < end]
    spend.record_spend(sorted(events, key=lambda event: event.timestamp or now), now=end)


def _event(sown: Sown, hour: datetime, end: datetime, chance: random.Random) -> SpendEvent:
    local_hour = periods.local_hour(hour, sown.zone)[1]
    micros = sown.brand.typical * sown.campaign.share * HOURLY_PERCENT[local_hour] * 100  # 1/10,000 of a unit each
    micros = micros * chance.randint(75, 125) // 100 // 10_000 * 10_000  # whole cents
    return SpendEvent(
        event_id=f"demo-{sown.id}-{hour:%Y%m%d%H}",
        campaign_id=sown.id,
        amount=money.from_micros(max(micros, 10_000)),
        timestamp=hour + (end - hour) * chance.randint(0, 99) / 100,
    )


def _set_the_scene(sown: list[Sown], now: datetime) -> None:
    """Bring the planned brands to where they should stand when someone looks, and pause what a person paused."""
    enforcement.enforce_all(now=now)
    for campaign in sown:
        if campaign.campaign.pacing != "asap":
            catalog.update_campaign(campaign_id=campaign.id, now=now, pacing=campaign.campaign.pacing)
        if campaign.campaign.pause_note:
            catalog.pause(campaign_id=campaign.id, now=now, note=campaign.campaign.pause_note)
    for brand_id, plan in {campaign.brand_id: campaign.brand for campaign in sown}.items():
        if plan.pacing != "asap":
            catalog.update_brand(brand_id=brand_id, now=now, pacing=plan.pacing)
    # The first campaign of each brand, its largest, spends what the scene lacks.
    plans = {campaign.brand_id: (campaign.brand, campaign.id) for campaign in reversed(sown)}
    events = []
    for brand in standing(now=now):
        plan, campaign_id = plans[brand.id]
        missing = _missing(plan, brand)
        if missing > 0:
            amount = money.from_micros(missing)
            events.append(SpendEvent(event_id=f"demo-{brand.id}-scene", campaign_id=campaign_id, amount=amount))
    spend.record_spend(events, now=now)


def _missing(plan: BrandPlan, brand: BrandStanding) -> int:
    """What a brand has yet to spend to stand where its plan wants it, in micros."""
    return max(_short_of(brand.day, plan.day_percent), _short_of(brand.month, plan.month_percent))


def _short_of(limit: Limit, percent: int | None) -> int:
    if percent is None or limit.budget is None:
        return 0
    return limit.budget * percent // 100 - limit.spent
