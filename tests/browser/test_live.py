"""Pages that refresh themselves: what a reporter sends is seen without a reload."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from campaigns.models import Campaign, Scope
from campaigns.services.keys import create_key
from tests import factories
from tests.browser.product import Site
from tests.browser.watching import Watch
from tests.servers import Program

SOON = 15_000
"""Milliseconds in which a page that asks every few seconds must have heard."""


def report(site: Site, key: str, campaign: Campaign, amount: str, event_id: str) -> None:
    """Send spend as an ad server does."""
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=10)
    event = {"event_id": event_id, "campaign_id": campaign.pk, "amount": amount}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/spend-events", json.dumps({"events": [event]}), headers)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    assert answer.status == 200, said


def test_spend_arrives_and_a_campaign_pauses_on_the_dashboard(page: Page, site: Site) -> None:
    now = timezone.now()
    acme = factories.brand(now=now, name="Acme", currency="EUR", timezone="Europe/Paris", daily_budget="1000")
    sale = factories.campaign(acme, now=now, name="Spring sale")
    _, key = create_key(name="Ad server", scopes=[Scope.SPEND], now=now)
    page.goto("/admin/")
    page.evaluate("window.bmStays = true")
    brands = page.get_by_role("region", name="Brands, what needs attention first")
    campaigns = page.get_by_role("region", name="Campaigns", exact=True)
    expect(campaigns).to_contain_text("1 of 1 campaign may spend now")

    report(site, key, sale, "437.50", "first")
    expect(brands).to_contain_text("437.50 of 1,000.00 EUR", timeout=SOON)
    expect(campaigns).to_contain_text("1 of 1 campaign may spend now")

    report(site, key, sale, "562.50", "second")
    expect(campaigns).to_contain_text("0 of 1 campaign may spend now", timeout=SOON)
    changes = page.get_by_role("region", name="Latest status changes")
    expect(changes.get_by_text("daily budget of Acme spent, 1,000.00 of 1,000.00 EUR")).to_be_visible()
    expect(changes.get_by_text("resumes at midnight Europe/Paris")).to_be_visible()
    assert page.evaluate("window.bmStays"), "the page was loaded anew"


def test_the_page_of_a_campaign_tells_of_its_pause(page: Page, site: Site) -> None:
    now = timezone.now()
    sale = factories.campaign(factories.brand(now=now, currency="USD"), now=now, daily_budget="50")
    _, key = create_key(name="Ad server", scopes=[Scope.SPEND], now=now)
    page.goto(f"/admin/campaigns/campaign/{sale.pk}/overview/")
    page.evaluate("window.bmStays = true")
    status = page.get_by_role("region", name="Status", exact=True)
    expect(status).to_contain_text("ctive")
    report(site, key, sale, "50", "all of it")
    expect(status).to_contain_text("daily budget", timeout=SOON, ignore_case=True)
    expect(page.get_by_role("main")).to_contain_text("50.00")
    assert page.evaluate("window.bmStays"), "the page was loaded anew"


@pytest.mark.parametrize("failure", ["answer", "connection"])
def test_a_page_that_can_not_refresh_says_so_and_when_it_can_again(page: Page, watch: Watch, failure: str) -> None:
    factories.campaign(factories.brand(now=timezone.now()), now=timezone.now())
    page.goto("/admin/")
    fresh, lost = page.get_by_text("Refreshes itself"), page.get_by_text("these figures are old")
    expect(fresh).to_be_visible()
    expect(lost).to_be_hidden()

    def fail(route: Route) -> None:
        if failure == "answer":
            route.fulfill(status=502, body="Bad gateway")
        else:
            route.abort()

    page.route("**/admin/live/**", fail)
    expect(lost).to_be_visible(timeout=SOON)
    expect(fresh).to_be_hidden()
    page.unroute("**/admin/live/**")
    expect(fresh).to_be_visible(timeout=SOON)
    expect(lost).to_be_hidden()
    watch.forgive("502" if failure == "answer" else "")


def test_what_is_focused_stays_while_nothing_but_time_goes_on(page: Page, clockwork: dict[str, Program]) -> None:
    now = timezone.now()
    factories.campaign(factories.brand(now=now, name="Acme"), now=now)
    page.goto("/admin/")
    page.get_by_role("region", name="Brands, what needs attention first").get_by_role("link", name="Acme").focus()
    page.evaluate("window.bmFocused = document.activeElement")
    health = page.get_by_role("list", name="Health")
    before = health.inner_text()
    expect(health).not_to_have_text(before, timeout=SOON, use_inner_text=True)
    assert page.evaluate("document.activeElement === window.bmFocused && document.contains(window.bmFocused)")


def test_worker_and_beat_are_told_alive(page: Page, clockwork: dict[str, Program]) -> None:
    factories.campaign(factories.brand(now=timezone.now()), now=timezone.now())
    page.goto("/admin/")
    health = page.get_by_role("list", name="Health")
    expect(health.locator(".bm-red")).to_have_count(0, timeout=30_000)
    expect(health.locator(".bm-green").first).to_be_visible(timeout=30_000)
