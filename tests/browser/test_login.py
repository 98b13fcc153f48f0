"""The way in, as somebody takes it who has a name and a password."""

from __future__ import annotations

from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from tests.browser.product import OpensPages

PASSWORD = "a long pass phrase"


def log_in(page: Page, password: str) -> None:
    page.goto("/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_a_person_logs_in_and_out(open_page: OpensPages) -> None:
    User.objects.create_superuser("anna", password=PASSWORD)
    page = open_page()
    log_in(page, "not this one")
    expect(page.get_by_text("Please enter the correct username and password")).to_be_visible()
    log_in(page, PASSWORD)
    expect(page).to_have_url(f"{page.url.partition('/admin')[0]}/admin/")
    expect(page.get_by_role("link", name="Campaigns").first).to_be_visible()
    page.context.clear_cookies()
    page.goto("/admin/campaigns/campaign/")
    expect(page.get_by_label("Password")).to_be_visible()
