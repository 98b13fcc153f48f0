"""The second factor and the lock, as somebody meets them who has a phone."""

from __future__ import annotations

import time

from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from campaigns.services import factors
from tests.browser.barriers import assert_open_to_all
from tests.browser.product import OpensPages
from tests.browser.watching import Watch

PASSWORD = "a long pass phrase"


def log_in(page: Page, password: str = PASSWORD) -> None:
    page.goto("/admin/login/?next=/admin/campaigns/brand/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def shown_by_app(secret: str, *, ahead: int = 0) -> str:
    return factors._code(secret, int(time.time()) // factors.PERIOD_SECONDS + ahead)


def set_up(page: Page) -> tuple[str, list[str]]:
    """Set the second factor up under one's own account, and keep the codes."""
    page.goto("/admin/second-factor/")
    assert_open_to_all(page)
    page.get_by_role("link", name="Set up the second factor").click()
    picture = page.get_by_alt_text("The secret below, as a picture for the app to scan")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    assert_open_to_all(page)
    secret = (page.locator(".bm-secret").text_content() or "").replace(" ", "")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("Code").fill(shown_by_app(secret))
    page.get_by_role("button", name="Set it up").click()
    expect(page.get_by_text("They are shown this once.")).to_be_visible()
    assert_open_to_all(page)
    codes = page.locator(".bm-codes code").all_text_contents()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("You have 10 recovery codes left.")).to_be_visible()
    assert_open_to_all(page)
    return secret, codes


def test_a_second_factor_is_set_up_and_asked_for(open_page: OpensPages) -> None:
    User.objects.create_superuser("anna", password=PASSWORD)
    page = open_page()
    log_in(page)
    expect(page.get_by_role("link", name="Campaigns").first).to_be_visible()
    secret, codes = set_up(page)

    page = open_page()  # another browser
    log_in(page)
    expect(page.get_by_text("Your password is right, anna.")).to_be_visible()
    expect(page.get_by_label("Code")).to_be_focused()
    assert_open_to_all(page)
    page.get_by_label("Code").fill("000 000")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("This code is not right, or was used before.")).to_be_visible()
    page.goto("/admin/")  # around it
    expect(page.get_by_label("Username")).to_be_visible()
    page.goto("/admin/login/code/")
    page.get_by_label("Code").fill(shown_by_app(secret, ahead=1))  # the one of the setting-up is used up
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{page.url.partition('/admin')[0]}/admin/campaigns/brand/")

    page = open_page()  # the phone is lost
    log_in(page)
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("you have 9 recovery codes left")).to_be_visible()
    page.get_by_text("anna", exact=True).first.click()
    page.get_by_role("link", name="Second factor").click()
    expect(page.get_by_role("button", name="Make new recovery codes")).to_be_visible()


def test_a_lock_says_how_long_to_wait(open_page: OpensPages, watch: Watch) -> None:
    User.objects.create_superuser("anna", password=PASSWORD)
    page = open_page()
    for number in range(5):
        log_in(page, f"guess {number}")
        expect(page.get_by_text("Please enter the correct" if number < 4 else "Too many failed logins")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("which is 15 minutes from now")
    assert_open_to_all(page)
    page.get_by_role("link", name="Back to the login").click()
    log_in(page)
    expect(page.get_by_role("alert")).to_contain_text("also not with the right password")
    watch.forgive("429")
