"""Budgets where they are shown: what saving would do is told before it is done."""

from __future__ import annotations

from decimal import Decimal

from django.utils import timezone
from playwright.sync_api import Page, expect

from campaigns.models import Brand
from tests import factories


def spent_out() -> Brand:
    """A brand whose budget is spent, with two campaigns that it stops."""
    now = timezone.now()
    acme = factories.brand(now=now, name="Acme", currency="EUR", daily_budget="100")
    first, _ = factories.campaign(acme, now=now, name="First"), factories.campaign(acme, now=now, name="Second")
    factories.spend(first, "100", now=now)
    return acme


def test_a_budget_is_raised_on_the_brand_s_page(operator_page: Page) -> None:
    page, acme = operator_page, spent_out()
    page.goto(f"/admin/campaigns/brand/{acme.pk}/overview/")
    page.evaluate("window.bmStays = true")
    page.get_by_role("link", name="Edit budgets").click()
    form = page.get_by_role("form", name="Budgets")
    form.get_by_label("Daily budget").fill("150")
    expect(form.get_by_text("Resumes 2 campaigns", exact=False)).to_be_visible()
    acme.refresh_from_db()
    assert acme.daily_budget == Decimal(100)

    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("region", name="Budgets").get_by_text("150.00")).to_be_visible()
    expect(page.get_by_role("region", name="Status", exact=True)).to_contain_text("2 of 2", timeout=10_000)
    acme.refresh_from_db()
    assert acme.daily_budget == Decimal(150)
    assert page.evaluate("window.bmStays"), "the page was loaded anew"


def test_escape_leaves_the_budget_as_it_is(operator_page: Page) -> None:
    page, acme = operator_page, spent_out()
    page.goto(f"/admin/campaigns/brand/{acme.pk}/overview/")
    page.get_by_role("link", name="Edit budgets").click()
    field = page.get_by_role("form", name="Budgets").get_by_label("Daily budget")
    field.fill("150")
    field.press("Escape")
    expect(page.get_by_role("link", name="Edit budgets")).to_be_visible()
    acme.refresh_from_db()
    assert acme.daily_budget == Decimal(100)


def test_the_settings_tell_what_saving_would_do(operator_page: Page) -> None:
    page, acme = operator_page, spent_out()
    page.goto(f"/admin/campaigns/brand/{acme.pk}/change/")
    effect = page.get_by_role("status", name="What saving would do")
    page.get_by_label("Daily budget", exact=True).fill("100.01")
    expect(effect).to_contain_text("Resumes 2 campaigns")
    page.get_by_label("Daily budget", exact=True).fill("a lot")
    expect(effect).not_to_contain_text("Resumes")
    acme.refresh_from_db()
    assert acme.daily_budget == Decimal(100)


def test_a_viewer_is_offered_no_change(viewer_page: Page) -> None:
    page, acme = viewer_page, spent_out()
    page.goto(f"/admin/campaigns/brand/{acme.pk}/overview/")
    expect(page.get_by_role("region", name="Status", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Edit budgets")).to_have_count(0)
    page.goto(f"/admin/campaigns/brand/{acme.pk}/change/")
    expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(0)
