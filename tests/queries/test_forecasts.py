"""Forecasts out of the database: what they stand on, and that they ask a constant number of questions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign
from campaigns.queries.forecasts import UNKNOWN, brand_forecast, campaign_forecast
from campaigns.services import catalog, hours
from tests import factories
from tests.factories import spend

pytestmark = pytest.mark.django_db

UNIT, DAY, HOUR = 1_000_000, timedelta(days=1), timedelta(hours=1)
MIDNIGHT = datetime(2025, 6, 18, tzinfo=UTC)
NOON = MIDNIGHT + 12 * HOUR


def lived(campaign: Campaign, *, days: int = 14, amount: int = 1) -> Campaign:
    """Let a campaign spend the same in every hour of some days before today, and of today until noon."""
    for back in range(1, days + 1):
        for hour in range(24):
            spend(campaign, amount, now=MIDNIGHT, at=MIDNIGHT - back * DAY + hour * HOUR)
    for hour in range(12):
        spend(campaign, amount, now=NOON, at=MIDNIGHT + hour * HOUR)
    for minute in range(21):
        hours.sum_hours(now=NOON + timedelta(minutes=minute))
    return campaign


def test_a_brand_goes_on_as_it_did() -> None:
    brand = factories.brand(now=MIDNIGHT - 20 * DAY, daily_budget=100, monthly_budget=2_000)
    lived(factories.campaign(brand, now=MIDNIGHT - 20 * DAY))
    found = brand_forecast(brand_id=brand.pk, now=NOON)
    assert found.day is not None and found.month is not None
    assert 23 * UNIT <= found.day.spend.likely <= 25 * UNIT
    assert found.day.spend.low is not None and found.day.spend.high is not None
    assert found.runs_out_at is None
    whole = 24 * 14 + 24 * 13  # four of the days were in June before the 5th: 14 days back is the 4th
    assert found.month.likely == pytest.approx(whole * UNIT, rel=0.05)
    left = 2_000 - 24 * 14
    assert found.lasting == left * UNIT // 13


def test_a_budget_that_will_be_spent_runs_out_at_a_moment() -> None:
    brand = factories.brand(now=MIDNIGHT - 20 * DAY, daily_budget=18)
    lived(factories.campaign(brand, now=MIDNIGHT - 20 * DAY))
    found = brand_forecast(brand_id=brand.pk, now=NOON)
    assert found.day is not None
    assert found.day.spend.likely == 18 * UNIT
    assert found.day.wanted > 22 * UNIT
    assert found.runs_out_at is not None
    assert MIDNIGHT + 17 * HOUR < found.runs_out_at < MIDNIGHT + 19 * HOUR
    assert found.lasting is None


def test_a_campaign_is_told_by_its_days() -> None:
    campaign = lived(factories.campaign(now=MIDNIGHT - 20 * DAY, daily_budget=18, monthly_budget=1_000))
    found = campaign_forecast(campaign_id=campaign.pk, now=NOON)
    assert found.day is not None and found.month is not None
    assert found.day.spend.likely == 18 * UNIT
    assert found.runs_out_at is not None
    assert found.lasting == (1_000 - 24 * 14) * UNIT // 13
    assert found.month.likely == (24 * 14 + 18 * 13) * UNIT


def test_budgets_of_a_brand_that_bind_each_alone_bind_a_campaign() -> None:
    brand = factories.brand(now=MIDNIGHT - 20 * DAY, daily_budget=18, monthly_budget=600, budget_scope="campaign")
    campaign = lived(factories.campaign(brand, now=MIDNIGHT - 20 * DAY))
    found = campaign_forecast(campaign_id=campaign.pk, now=NOON)
    assert found.day is not None and found.day.spend.likely == 18 * UNIT
    assert found.lasting == (600 - 24 * 14) * UNIT // 13
    of_brand = brand_forecast(brand_id=brand.pk, now=NOON)
    assert of_brand.day is not None and of_brand.day.spend.likely > 22 * UNIT
    assert of_brand.lasting is None


def test_nothing_is_told_of_what_is_not_there() -> None:
    campaign = factories.campaign()
    catalog.archive_brand(brand_id=campaign.brand_id, now=NOON)
    assert brand_forecast(brand_id=campaign.brand_id, now=NOON) == UNKNOWN
    assert campaign_forecast(campaign_id=campaign.pk, now=NOON) == UNKNOWN
    assert brand_forecast(brand_id=0, now=NOON) == campaign_forecast(campaign_id=0, now=NOON) == UNKNOWN


def test_without_a_history_the_day_tells_itself() -> None:
    campaign = factories.campaign(now=MIDNIGHT, daily_budget=100)
    spend(campaign, 10, now=NOON)
    found = campaign_forecast(campaign_id=campaign.pk, now=NOON)
    assert found.day is not None and found.day.spend.likely == 20 * UNIT
    assert found.month is None


def test_as_many_questions_whatever_there_is() -> None:
    few, many = factories.campaign(), lived(factories.campaign(now=MIDNIGHT - 20 * DAY), days=5)
    asks: list[Callable[[Campaign], object]] = [
        lambda of: brand_forecast(brand_id=of.brand_id, now=NOON),
        lambda of: campaign_forecast(campaign_id=of.pk, now=NOON),
    ]
    for ask in asks:
        counted = []
        for of in (few, many):
            with CaptureQueriesContext(connection) as queries:
                ask(of)
            counted.append(len(queries))
        assert counted[0] == counted[1] <= 6
