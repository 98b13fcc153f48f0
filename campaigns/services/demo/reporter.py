"""The demo's ad server: each tick its active campaigns spend a little, and exhausted brands are credited at times."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from campaigns.gateways import meters
from campaigns.queries.standing import BrandStanding, CampaignStanding, standing
from campaigns.rules import money, periods, reasons
from campaigns.rules.reasons import Reason
from campaigns.services import spend
from campaigns.services.demo.plan import BRANDS, HOURLY_PERCENT, BrandPlan
from campaigns.services.spend import SpendEvent
from campaigns.services.status import Change

_PLANS = {plan.external_id: plan for plan in BRANDS}
_TICKS_PER_HOUR = 1_800  # one every two seconds

# A lively brand spends its day's budget in about ten minutes; a credit for invalid traffic takes some of it back.
_LIVELY_TICKS_PER_DAY = 300
_CREDIT_CHANCE = 1 / 25
_CREDIT_PERCENT = (2, 6)


class Tick(NamedTuple):
    """What one tick sent: how many events, and the status changes they brought about."""

    events: int
    changes: list[Change]


def report(*, now: datetime, chance: random.Random) -> Tick:
    """Send one tick's spend for the demo's brands and return what it did. Other brands are left alone."""
    events: list[SpendEvent] = []
    for brand in standing(now=now):
        plan = _PLANS.get(brand.external_id or "")
        if plan is not None:
            events += _spend(plan, brand, now, chance)
            events += _credit(plan, brand, chance)
    receipt = spend.record_spend(events, now=now)
    meters.count_events("command", Counter(result.outcome for result in receipt.results))
    return Tick(len(events), receipt.changes)


def _spend(plan: BrandPlan, brand: BrandStanding, now: datetime, chance: random.Random) -> Iterator[SpendEvent]:
    shares = {campaign.name: campaign.share for campaign in plan.campaigns}
    for campaign in brand.campaigns:
        if campaign.is_active and chance.random() < 0.5:
            day = plan.typical * money.MICROS * shares.get(campaign.name, 10) // 100
            if plan.lively:
                per_tick = day // _LIVELY_TICKS_PER_DAY
            else:
                hour = periods.local_hour(now, brand.zone)[1]
                per_tick = day * HOURLY_PERCENT[hour] // 100 // _TICKS_PER_HOUR
            # Every second tick on average, so twice as much; at least a cent.
            micros = max(per_tick * 2 * chance.randint(60, 140) // 100 // 10_000 * 10_000, 10_000)
            yield SpendEvent(event_id=_id(), campaign_id=campaign.id, amount=money.from_micros(micros))


def _credit(plan: BrandPlan, brand: BrandStanding, chance: random.Random) -> Iterator[SpendEvent]:
    """Now and then a lively brand whose daily budget is spent is paid back a little of it, and resumes."""
    most = sorted(brand.campaigns, key=lambda campaign: campaign.day.spent)[-1:]  # a credit is of what was spent
    for campaign in most if brand.scope == "brand" else brand.campaigns:
        if plan.lively and _is_spent(campaign) and chance.random() < _CREDIT_CHANCE:
            percent = chance.randint(*_CREDIT_PERCENT)
            owed = campaign.brand_day.overspend + (campaign.brand_day.budget or 0) * percent // 100
            yield SpendEvent(
                event_id=_id(),
                campaign_id=campaign.id,
                amount=money.from_micros(-owed),
                kind="adjustment",
                note=f"Credit for invalid traffic, {percent} % of the day's budget",
            )


def _is_spent(campaign: CampaignStanding) -> bool:
    return campaign.reasons & reasons.DAILY == Reason.BRAND_DAILY_BUDGET


def _id() -> str:
    return f"demo-{uuid.uuid4().hex}"
