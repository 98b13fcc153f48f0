"""A little world for the pages to show: two brands in two currencies, every kind of reason, and a history.

Everything goes through the services, at the moments it would have happened; the pages' clock is the real one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.contrib.auth.models import User
from django.utils import timezone

from campaigns.models import Brand, Campaign, Channel, Pacing, Scope
from campaigns.rules.alerts import Kind, Subject
from campaigns.services import (
    alert_rules,
    catalog,
    channels,
    deliveries,
    reset_daily_budgets,
    reset_monthly_budgets,
)
from campaigns.services.channels import Target
from campaigns.services.enforcement import enforce_all
from campaigns.services.holds import HoldAsk, place_holds
from campaigns.services.keys import create_key
from campaigns.services.pacing import pace_all
from campaigns.services.spend import SpendEvent, record_spend
from campaigns.services.status import Actor
from tests import factories


@dataclass(frozen=True)
class Scene:
    """What the tests name of it."""

    acme: Brand
    sale: Campaign
    night: Campaign
    globex: Brand
    launch: Campaign


def set_scene(editor: User | None = None) -> Scene:
    """Make it. editor: who has paused and edited."""
    now = timezone.now()
    by, then = Actor(user_id=editor.pk if editor else None), now - timedelta(days=3)
    acme = factories.brand(
        now=then, name="Acme", timezone="Europe/Paris", currency="EUR", daily_budget="1000", monthly_budget="50000"
    )
    globex = factories.brand(now=then, name="Globex", timezone="America/New_York", currency="USD", daily_budget="100")
    sale = factories.campaign(acme, now=then, name="Spring sale", total_budget="100000")
    night = factories.campaign(acme, now=then, name="Night owls", daily_budget="200")
    launch = factories.campaign(globex, now=then, name="Launch")
    stopped = factories.campaign(globex, now=then, name="On hold")
    catalog.set_window(campaign_id=night.pk, start_hour=22, end_hour=6, now=then)
    factories.campaign(acme, now=then, name="Next year", flight_start=(now + timedelta(days=400)).date())
    factories.campaign(acme, now=then, name="Of the past", flight_end=(now - timedelta(days=2)).date())
    for past in (then, now - timedelta(days=2), now - timedelta(days=1), now):
        reset_daily_budgets(now=past)
        reset_monthly_budgets(now=past)
        spend((sale, night, launch), "25.50", now=past)
    spend([launch], "120", now=now)  # more than there is
    catalog.pause(campaign_id=stopped.pk, now=now, by=by, note="waiting for the artwork")
    catalog.update_brand(brand_id=acme.pk, now=now, by=by, daily_budget=Decimal(1200), pacing=Pacing.EVEN)
    pace_all(now=now)
    place_holds([HoldAsk(campaign_id=sale.pk, key="bid-1", amount="10", ttl_seconds=3600)], now=now)
    create_key(name="Bidder", scopes=[Scope.READ, Scope.SPEND], now=now)
    _tell(acme, now)
    enforce_all(now=now)
    return Scene(acme, sale, night, globex, launch)


def _tell(acme: Brand, now: datetime) -> None:
    """Make a rule and a channel that nobody answers at, let something be told, and try to deliver it."""
    alert_rules.create_rule(kind=Kind.PAUSED, subject=Subject.CAMPAIGN, brand_id=acme.pk, now=now)
    target = Target(Channel.Type.WEBHOOK, "https://127.0.0.1:1/hooks", "https://ops.example.com/…")
    channel, _ = channels.create_channel(name="Operations", target=target, brand_id=None, now=now)
    channels.send_test(channel_id=channel.pk, now=now)
    deliveries.deliver_due(now=now)


def spend(campaigns: Iterable[Campaign], amount: str, *, now: datetime) -> None:
    """Record one event of each campaign."""
    events: list[SpendEvent] = [factories.event(campaign, amount) for campaign in campaigns]
    record_spend(events, now=now)
