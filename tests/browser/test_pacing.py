"""What is ahead, in a browser: the line goes on with what is reported, and the form asks for no more than it must."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from campaigns.models import Brand, Campaign, Pacing, Scope
from campaigns.services import catalog, hours
from campaigns.services.keys import create_key
from campaigns.services.pacing import pace_all
from tests import factories
from tests.browser.product import Site
from tests.browser.test_live import report

SOON = 30_000
"""Milliseconds in which a page that asks every few seconds must have heard, on a slow machine, too."""


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def acme(now: datetime) -> Brand:
    return factories.brand(now=now, name="Acme", timezone="UTC", currency="USD", daily_budget="1000")


@pytest.fixture
def sale(acme: Brand, now: datetime) -> Campaign:
    """A campaign of a paced brand that has spent 500 dollars on each of nine days."""
    sale = factories.campaign(acme, now=now - timedelta(days=10), name="Spring sale")
    for ago in range(1, 10):
        factories.spend(sale, 500, now=now - timedelta(days=ago))
    for minute in range(30):  # a run looks at some of the older days
        hours.sum_hours(now=now + timedelta(minutes=minute))
    catalog.update_brand(brand_id=acme.pk, now=now, pacing=Pacing.EVEN)
    pace_all(now=now)
    return sale


def points(line: Locator) -> list[tuple[int, int]]:
    """The points of a line of a chart, in ten thousandths of it."""
    found = line.get_attribute("points") or ""
    return [(int(x), int(y)) for x, y in (point.split(",") for point in found.split())]


def test_the_forecast_is_drawn_and_goes_on_with_what_is_reported(
    page: Page, site: Site, acme: Brand, sale: Campaign, now: datetime
) -> None:
    _, key = create_key(name="Ad server", scopes=[Scope.SPEND], now=now)
    page.goto(f"/admin/campaigns/brand/{acme.pk}/overview/")
    page.evaluate("window.bmStays = true")
    today = page.get_by_role("region", name="Today")
    forecast = today.locator("polyline.bm-forecast")
    expect(forecast).to_have_count(1)
    assert forecast.evaluate("line => getComputedStyle(line).strokeDasharray") != "none"
    before = points(forecast)
    assert before[-1][0] == 10_000, "it ends with the day"
    assert before[0][0] < before[-1][0], "it begins now"
    expect(today.locator("polyline.bm-target")).to_have_count(1)
    expect(today).to_contain_text("Will have spent about")

    report(site, key, sale, "437.50", "first")
    expect(today).to_contain_text("437.50 USD", timeout=SOON)
    after = points(forecast)
    assert after[0][1] < before[0][1], "it begins at what was spent, which is higher on the chart"
    assert page.evaluate("window.bmStays"), "the page was loaded anew"


def test_the_bounds_of_a_day_are_asked_for_only_where_it_is_set_from_the_month(page: Page, acme: Brand) -> None:
    page.goto(f"/admin/campaigns/brand/{acme.pk}/change/")
    least, switch = page.get_by_label("At least, a day"), page.get_by_label("Daily budget from the month")
    expect(least).to_be_hidden()
    page.get_by_label("evenly over the day").check()
    page.get_by_label("Monthly budget").fill("30000")
    switch.check()
    expect(least).to_be_visible()
    least.fill("100")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("region", name="Edits")).to_contain_text("Evenly over the day")
    acme.refresh_from_db()
    assert (acme.pacing, acme.daily_from_month, acme.daily_least) == (Pacing.EVEN, True, Decimal(100))
    page.goto(f"/admin/campaigns/brand/{acme.pk}/change/")
    expect(least).to_have_value("100.00")
    expect(switch).to_be_checked()
