"""A transaction that read its clock, then waited: its verdict must not be older than one that was given meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.models import Campaign, StatusChange
from campaigns.services import catalog, runs
from campaigns.services.enforcement import enforce_all
from campaigns.services.rollover import reset_daily_budgets
from tests import factories

pytestmark = pytest.mark.django_db

SIX = datetime(2025, 6, 18, 18, tzinfo=UTC)
MIDNIGHT = datetime(2025, 6, 19, tzinfo=UTC)
A_MOMENT = timedelta(milliseconds=200)


def why(campaign: Campaign) -> list[str]:
    campaign.refresh_from_db()
    return campaign.reason_codes


def test_spend_that_waited_over_midnight_does_not_pause_the_new_day() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10), now=MIDNIGHT - timedelta(hours=1))
    reset_daily_budgets(now=MIDNIGHT + A_MOMENT)
    enforce_all(now=MIDNIGHT + A_MOMENT)
    before = MIDNIGHT - A_MOMENT
    factories.spend(campaign, 20, now=before, at=before)
    assert why(campaign) == []


def test_a_credit_that_waited_does_not_open_hours_that_have_ended() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10), now=SIX - timedelta(hours=1))
    catalog.set_window(campaign_id=campaign.pk, start_hour=6, end_hour=18, now=SIX - timedelta(hours=1))
    factories.spend(campaign, 10, now=SIX - timedelta(minutes=10))
    enforce_all(now=SIX + A_MOMENT)
    factories.spend(campaign, -5, now=SIX - A_MOMENT, note="credit")
    assert why(campaign) == ["schedule"]
    times = list(StatusChange.objects.order_by("pk").values_list("at", flat=True))
    assert times == sorted(times)


def test_a_clock_that_is_far_behind_is_no_wait_and_judges_by_itself() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10), now=MIDNIGHT - timedelta(hours=1))
    enforce_all(now=MIDNIGHT + A_MOMENT)
    before = MIDNIGHT + A_MOMENT - runs.MOST_SKEW - timedelta(seconds=1)
    factories.spend(campaign, 20, now=before, at=before)
    assert why(campaign) == ["brand_daily_budget"]
