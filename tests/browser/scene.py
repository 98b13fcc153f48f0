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

from campaigns.models import Brand, Campaign, Scope
from campaigns.services import catalog, reset_daily_budgets, reset_monthly_budgets
from campaigns.services.enforcement import enforce_all
from campaigns.services.holds import HoldAsk, place_holds
from campaigns.services.keys import create_key
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
    for past in (then, now - timedelta(days=1), now):
        reset_daily_budgets(now=past)
        reset_monthly_budgets(now=past)
        spend((sale, night, launch), "25.50", now=past)
    spend([launch], "120", now=now)  # more than there is
    catalog.pause(campaign_id=stopped.pk, now=now, by=by, note="waiting for the artwork")
    catalog.update_brand(brand_id=acme.pk, now=now, by=by, daily_budget=Decimal(1200))
    place_holds([HoldAsk(campaign_id=sale.pk, key="bid-1", amount="10", ttl_seconds=3600)], now=now)
    create_key(name="Bidder", scopes=[Scope.READ, Scope.SPEND], now=now)
    enforce_all(now=now)
    return Scene(acme, sale, night, globex, launch)


def spend(campaigns: Iterable[Campaign], amount: str, *, now: datetime) -> None:
    """Record one event of each campaign."""
    events: list[SpendEvent] = [factories.event(campaign, amount) for campaign in campaigns]
    record_spend(events, now=now)
