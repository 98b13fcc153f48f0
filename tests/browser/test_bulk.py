"""Many campaigns at once: selected in the list, reviewed before and after, and only then changed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from django.utils import timezone
from playwright.sync_api import Page, expect

from campaigns.models import Brand, Campaign
from campaigns.rules.reasons import Reason
from tests import factories
from tests.browser.barriers import assert_open_to_all


def three(acme: Brand) -> list[Campaign]:
    """Three campaigns of a brand, each with a budget."""
    return [factories.campaign(acme, now=timezone.now(), name=name, daily_budget="100") for name in ("A1", "B2", "C3")]


def choose(page: Page, action: str, *names: str) -> None:
    """Tick campaigns in the list, and an action."""
    page.goto("/admin/campaigns/campaign/")
    for name in names:
        page.get_by_role("row").filter(has_text=name).get_by_role("checkbox").check()
    page.get_by_label("Select action to run").select_option(label=action)
    page.get_by_role("button", name="Run", exact=True).click()


def test_campaigns_are_paused_after_a_review(operator_page: Page) -> None:
    page = operator_page
    first, second, third = three(factories.brand(now=timezone.now(), name="Acme"))
    choose(page, "Pause selected campaigns", "A1", "B2")
    review = page.get_by_role("region", name="Campaigns, before and after")
    expect(review.get_by_role("row")).to_have_count(3)  # with its head
    expect(review.get_by_role("row").filter(has_text="A1")).to_contain_text("active")
    assert Campaign.objects.filter(is_active=True).count() == 3
    assert_open_to_all(page)

    page.get_by_label("Note").fill("the shop is closed")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("row").filter(has_text="A1")).to_contain_text("paused by a person")
    expect(page.get_by_role("row").filter(has_text="C3")).to_contain_text("active")
    assert set(Campaign.objects.filter(reasons=Reason.MANUAL)) == {first, second}
    third.refresh_from_db()
    assert third.is_active


def test_budgets_are_raised_after_a_review_and_cancelled_ones_are_not(operator_page: Page) -> None:
    page = operator_page
    acme = factories.brand(now=timezone.now(), name="Acme", currency="EUR")
    first, second, third = three(acme)
    factories.spend(first, "100", now=timezone.now())
    choose(page, "Change budgets of selected campaigns", "A1", "B2")
    page.get_by_label("Change", exact=True).select_option(label="Raise by percent")
    page.get_by_label("Amount or percent").fill("50")
    page.get_by_role("button", name="Review", exact=True).last.click()
    row = page.get_by_role("region", name="Campaigns, before and after").get_by_role("row").filter(has_text="A1")
    expect(row).to_contain_text("100.00")
    expect(row).to_contain_text("150.00")
    expect(row).to_contain_text("active")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("checkbox").first).to_be_visible()
    assert set(Campaign.objects.values_list("daily_budget", flat=True)) == {Decimal(100)}

    choose(page, "Change budgets of selected campaigns", "A1", "B2")
    page.get_by_label("Change", exact=True).select_option(label="Raise by percent")
    page.get_by_label("Amount or percent").fill("50")
    page.get_by_role("button", name="Review", exact=True).last.click()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("checkbox").first).to_be_visible()
    assert [Campaign.objects.get(pk=one.pk).daily_budget for one in (first, second, third)] == [150, 150, 100]
    first.refresh_from_db()
    assert first.is_active


def test_a_file_with_bad_rows_is_previewed_and_its_good_rows_imported(page: Page, tmp_path: Path) -> None:
    acme = factories.brand(now=timezone.now(), name="Acme", currency="EUR")
    first, second, third = three(acme)
    sheet = tmp_path / "campaigns.csv"
    sheet.write_text(
        "id,campaign,brand,daily_budget\n"
        f"{first.pk},A1,Acme,250\n"
        f"{second.pk},B2,Acme,a lot\n"
        "999999,Nobody,Acme,5\n"
        ",New one,Acme,75\n"
        f"{third.pk},C3,Acme,\n"
    )
    page.goto("/admin/campaigns/campaign/")
    page.get_by_role("link", name="Import CSV").click()
    page.get_by_label("CSV file").set_input_files(sheet)
    page.get_by_role("button", name="Preview").click()

    rows = page.get_by_role("region", name="Rows").get_by_role("row")
    expect(rows.filter(has_text="not taken")).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("not taken")  # first what is wrong
    expect(rows.filter(has_text="A1")).to_contain_text("250.00")
    expect(rows.filter(has_text="New one")).to_contain_text("new")
    expect(rows.filter(has_text="C3")).to_contain_text("stays as it is")
    assert Campaign.objects.count() == 3
    assert_open_to_all(page)

    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("heading", name="What is left of campaigns.csv")).to_be_visible()
    assert Campaign.objects.get(name="New one").daily_budget == 75
    assert [Campaign.objects.get(pk=one.pk).daily_budget for one in (first, second, third)] == [250, 100, 100]

    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    rejected = Path(download.value.path()).read_text(encoding="utf-8-sig")
    assert "a lot" in rejected
    assert "999999" in rejected
    assert "New one" not in rejected


def test_what_is_exported_can_be_imported_again(page: Page, tmp_path: Path) -> None:
    three(factories.brand(now=timezone.now(), name="Acme", currency="EUR"))
    page.goto("/admin/campaigns/campaign/")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    sheet = tmp_path / "again.csv"
    download.value.save_as(sheet)
    sheet.write_text(sheet.read_text(encoding="utf-8-sig").replace("100.00", "125.00"))
    page.goto("/admin/campaigns/campaign/")
    page.get_by_role("link", name="Import CSV").click()
    page.get_by_label("CSV file").set_input_files(sheet)
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("row").filter(has_text="C3")).to_contain_text("of 125.00 EUR")
    assert set(Campaign.objects.values_list("daily_budget", flat=True)) == {Decimal(125)}
