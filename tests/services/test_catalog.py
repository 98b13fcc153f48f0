"""What people set: judged at once, refused in one sentence that names the field, and then with nothing changed."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import models

from campaigns.models import (
    Brand,
    BrandCounter,
    Campaign,
    CampaignCounter,
    DaypartingSchedule,
    RollOver,
    SpendLog,
    StatusChange,
)
from campaigns.rules.errors import BudgetError, InvalidFieldError
from campaigns.services import catalog, enforce_budget, reset_daily_budgets
from campaigns.services.enforcement import enforce_all
from campaigns.services.spend import record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services import reading
from tests.services.reading import why

pytestmark = pytest.mark.django_db

TODAY = NOW.date()
TOMORROW = TODAY + timedelta(days=1)
ALL_TABLES: list[type[models.Model]] = [
    Brand,
    Campaign,
    DaypartingSchedule,
    BrandCounter,
    CampaignCounter,
    SpendLog,
    StatusChange,
    RollOver,
]


def everything() -> list[dict[str, Any]]:
    """Every row of every table, but for the counters of 0 that a lock leaves behind."""
    rows = [row for model in ALL_TABLES for row in model._default_manager.order_by("pk").values()]
    return [row for row in rows if row.get("spent") != 0]


# --- Creating --------------------------------------------------------------------------------


def test_a_brand_starts_from_defaults() -> None:
    brand = catalog.create_brand(now=NOW, name="Acme")
    brand.refresh_from_db()
    assert (brand.name, brand.external_id, brand.currency) == ("Acme", None, "USD")
    assert (brand.timezone, brand.budget_scope) == (ZoneInfo("UTC"), "brand")
    assert (brand.daily_budget, brand.monthly_budget, brand.archived_at) == (None, None, None)
    assert brand.created_at == NOW


def test_a_new_brand_lives_in_the_servers_zone(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Kathmandu"
    assert catalog.create_brand(now=NOW, name="Acme").timezone == ZoneInfo("Asia/Kathmandu")


def test_texts_are_trimmed_and_empty_ids_are_none() -> None:
    brand = catalog.create_brand(now=NOW, name="  Acme ", external_id=" ", currency=" EUR ", timezone=" Europe/Berlin ")
    brand.refresh_from_db()
    assert (brand.name, brand.external_id, brand.currency) == ("Acme", None, "EUR")
    assert brand.timezone == ZoneInfo("Europe/Berlin")
    assert catalog.create_brand(now=NOW, name="Other", external_id="").external_id is None


@pytest.mark.parametrize("given_as", [100, "100", Decimal(100), "100.000000", "1e2"], ids=repr)
def test_a_budget_may_come_as_text_decimal_or_int(given_as: Any) -> None:
    brand = factories.brand(daily_budget=given_as)
    brand.refresh_from_db()
    assert brand.daily_budget == Decimal(100)


def test_a_campaign_starts_active_or_with_its_reasons() -> None:
    brand = factories.brand(daily_budget=10)
    free = factories.campaign(brand)
    assert (free.is_active, free.reason_codes, free.status_changed_at) == (True, [], None)
    spend(free, 10)
    late = factories.campaign(brand, total_budget=0, flight_start=TOMORROW)
    assert late.reason_codes == ["brand_daily_budget", "campaign_total_budget", "not_started"]
    assert late.status_changed_at == NOW


# --- What is refused -------------------------------------------------------------------------

BRAND_ERRORS: list[tuple[str, dict[str, Any], str]] = [
    ("no name", {"name": ""}, "Name"),
    ("a blank name", {"name": "  "}, "Name"),
    ("a name taken", {"name": "Taken"}, "Name"),
    ("a long name", {"name": "x" * 201}, "Name"),
    ("NUL in the name", {"name": "a\x00"}, "Name"),
    ("a lone surrogate in the name", {"name": "a\ud800"}, "Name"),
    ("an external id taken", {"external_id": "taken"}, "External id"),
    ("a long external id", {"external_id": "x" * 129}, "External id"),
    ("no such zone", {"timezone": "Mars/Olympus"}, "Timezone"),
    ("no zone", {"timezone": ""}, "Timezone"),
    ("no such currency", {"currency": "ZZZ"}, "Currency"),
    ("a currency in small letters", {"currency": "eur"}, "Currency"),
    ("a negative budget", {"daily_budget": -1}, "Daily budget"),
    ("a float", {"monthly_budget": 1.5}, "Monthly budget"),
    ("a boolean", {"daily_budget": True}, "Daily budget"),
    ("no number", {"daily_budget": "much"}, "Daily budget"),
    ("not finite", {"daily_budget": "NaN"}, "Daily budget"),
    ("too much", {"monthly_budget": "1000000000000.01"}, "Monthly budget"),
    ("far too much", {"monthly_budget": 10**40}, "Monthly budget"),
    ("too fine", {"daily_budget": "0.0000001"}, "Daily budget"),
    ("a blank budget", {"daily_budget": " "}, "Daily budget"),
    ("an empty budget", {"daily_budget": ""}, "Daily budget"),
    ("no such scope", {"budget_scope": "both"}, "Budget scope"),
]
CAMPAIGN_ERRORS: list[tuple[str, dict[str, Any], str]] = [
    ("no name", {"name": " "}, "Name"),
    ("an external id taken", {"external_id": "taken"}, "External id"),
    ("a negative budget", {"total_budget": "-0.01"}, "Total budget"),
    ("a float", {"daily_budget": 0.5}, "Daily budget"),
    ("too much", {"monthly_budget": 10**13}, "Monthly budget"),
    ("no date", {"flight_start": "soon"}, "Flight start"),
    ("no such date", {"flight_end": "2025-02-30"}, "Flight end"),
    ("an end before the start", {"flight_start": TOMORROW, "flight_end": TODAY}, "Flight end"),
]


def assert_refused(act: Callable[[], object], field: str) -> None:
    before = everything()
    with pytest.raises(BudgetError) as caught:
        act()
    message = str(caught.value)
    assert field.lower() in message.lower()
    assert message.endswith(".")
    assert "constraint" not in message.lower()
    assert len(message) < 200
    assert everything() == before


@pytest.mark.parametrize(("wrong", "field"), [row[1:] for row in BRAND_ERRORS], ids=[row[0] for row in BRAND_ERRORS])
def test_a_wrong_brand_is_refused(wrong: dict[str, Any], field: str) -> None:
    factories.brand(name="Taken", external_id="taken")
    brand = factories.brand(daily_budget=5)
    assert_refused(lambda: catalog.create_brand(now=NOW, **{"name": "New", **wrong}), field)
    # With a change that would have been right beside the one that is wrong.
    right: dict[str, Any] = {} if "daily_budget" in wrong else {"daily_budget": 0}
    assert_refused(lambda: catalog.update_brand(brand_id=brand.pk, now=NOW, **{**right, **wrong}), field)


@pytest.mark.parametrize(
    ("wrong", "field"), [row[1:] for row in CAMPAIGN_ERRORS], ids=[row[0] for row in CAMPAIGN_ERRORS]
)
def test_a_wrong_campaign_is_refused(wrong: dict[str, Any], field: str) -> None:
    brand = factories.brand()
    factories.campaign(brand, external_id="taken")
    campaign = factories.campaign(brand, total_budget=5)
    assert_refused(lambda: catalog.create_campaign(brand_id=brand.pk, now=NOW, **{"name": "New", **wrong}), field)
    right: dict[str, Any] = {} if "total_budget" in wrong else {"total_budget": 0}
    assert_refused(lambda: catalog.update_campaign(campaign_id=campaign.pk, now=NOW, **{**right, **wrong}), field)


def test_an_end_before_a_start_that_stands_is_refused() -> None:
    campaign = factories.campaign(flight_start=TODAY)
    yesterday = TODAY - timedelta(days=1)
    assert_refused(lambda: catalog.update_campaign(campaign_id=campaign.pk, flight_end=yesterday, now=NOW), "flight")


def test_an_external_id_is_unique_within_its_brand_only() -> None:
    one, two = factories.brand(), factories.brand()
    assert factories.campaign(one, external_id="x").external_id == factories.campaign(two, external_id="x").external_id


@pytest.mark.parametrize("wrong", [0, -1, 987_654_321, 2**63, 2**80])
def test_what_is_not_there_is_said_so(wrong: int) -> None:
    acts: list[tuple[Callable[[], object], str]] = [
        (lambda: catalog.update_brand(brand_id=wrong, now=NOW), f"There is no brand {wrong}."),
        (lambda: catalog.create_campaign(brand_id=wrong, name="x", now=NOW), f"There is no brand {wrong}."),
        (lambda: catalog.archive_brand(brand_id=wrong, now=NOW), f"There is no brand {wrong}."),
        (lambda: catalog.delete_brand(brand_id=wrong, now=NOW), f"There is no brand {wrong}."),
        (lambda: catalog.update_campaign(campaign_id=wrong, now=NOW), f"There is no campaign {wrong}."),
        (lambda: catalog.pause(campaign_id=wrong, now=NOW), f"There is no campaign {wrong}."),
        (lambda: catalog.resume(campaign_id=wrong, now=NOW), f"There is no campaign {wrong}."),
        (lambda: catalog.clear_schedule(campaign_id=wrong, now=NOW), f"There is no campaign {wrong}."),
        (lambda: catalog.set_grid(campaign_id=wrong, grid="1" * 168, now=NOW), f"There is no campaign {wrong}."),
        (lambda: catalog.archive_campaign(campaign_id=wrong, now=NOW), f"There is no campaign {wrong}."),
        (lambda: catalog.delete_campaign(campaign_id=wrong, now=NOW), f"There is no campaign {wrong}."),
        (lambda: enforce_budget(campaign_id=wrong, now=NOW), f"There is no campaign {wrong}."),
    ]
    for act, message in acts:
        with pytest.raises(BudgetError) as caught:
            act()
        assert str(caught.value) == message


# --- Changing --------------------------------------------------------------------------------


def test_a_change_touches_only_what_it_names() -> None:
    brand = factories.brand(name="Acme", daily_budget=10, monthly_budget=20, external_id="x")
    before = Brand.objects.values().get()
    catalog.update_brand(brand_id=brand.pk, daily_budget=None, now=NOW)
    assert Brand.objects.values().get() == {**before, "daily_budget": None}
    campaign = factories.campaign(brand, daily_budget=1, flight_end=TOMORROW)
    row = Campaign.objects.values().get()
    catalog.update_campaign(campaign_id=campaign.pk, name="Renamed", now=NOW)
    assert Campaign.objects.values().get() == {**row, "name": "Renamed"}


def test_a_change_of_nothing_changes_nothing() -> None:
    campaign = factories.campaign()
    before = everything()
    assert catalog.update_brand(brand_id=campaign.brand_id, now=NOW) == []
    assert catalog.update_campaign(campaign_id=campaign.pk, now=NOW) == []
    assert everything() == before


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"daily_budget": 10}, "brand_daily_budget"),
        ({"daily_budget": "10.01"}, ""),
        ({"monthly_budget": 25}, "brand_monthly_budget"),
        ({"monthly_budget": "25.01"}, ""),
        ({"daily_budget": 1, "monthly_budget": 1}, "brand_daily_budget brand_monthly_budget"),
        ({"daily_budget": 0}, "brand_daily_budget"),
    ],
)
def test_a_brands_new_budget_is_judged_at_once(fields: dict[str, Any], reasons: str) -> None:
    brand = factories.brand()
    one, two = factories.campaign(brand), factories.campaign(brand)
    record_spend([event(one, 6), event(two, 4), event(two, 15, at=NOW - timedelta(days=1))], now=NOW)
    changes = catalog.update_brand(brand_id=brand.pk, now=NOW, **fields)
    assert why(one) == why(two) == reasons.split()
    assert len(changes) == (2 if reasons else 0)
    none: dict[str, Any] = dict.fromkeys(fields)
    catalog.update_brand(brand_id=brand.pk, now=NOW, **none)
    assert why(one) == why(two) == []


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"daily_budget": 10}, "campaign_daily_budget"),
        ({"monthly_budget": 12}, "campaign_monthly_budget"),
        ({"total_budget": 17}, "campaign_total_budget"),
        ({"total_budget": "17.000001"}, ""),
        ({"flight_start": TODAY, "flight_end": TODAY}, ""),
        ({"flight_start": TOMORROW}, "not_started"),
        ({"flight_end": TODAY - timedelta(1)}, "ended"),
        ({"flight_start": str(TOMORROW)}, "not_started"),
    ],
    ids=str,
)
def test_a_campaigns_new_terms_are_judged_at_once(fields: dict[str, Any], reasons: str) -> None:
    campaign = factories.campaign()
    ago = [(10, 0), (2, 1), (5, 30)]
    record_spend([event(campaign, amount, at=NOW - timedelta(days=days)) for amount, days in ago], now=NOW)
    catalog.update_campaign(campaign_id=campaign.pk, now=NOW, **fields)
    assert why(campaign) == reasons.split()
    none: dict[str, Any] = dict.fromkeys(fields)
    catalog.update_campaign(campaign_id=campaign.pk, now=NOW, **none)
    assert why(campaign) == []


def test_a_currency_changes_only_while_there_is_no_spend() -> None:
    brand = factories.brand(currency="EUR")
    campaign = factories.campaign(brand)
    catalog.update_brand(brand_id=brand.pk, currency="JPY", now=NOW)
    spend(campaign, 1, at=NOW - timedelta(days=50))
    assert_refused(lambda: catalog.update_brand(brand_id=brand.pk, currency="EUR", daily_budget=5, now=NOW), "currency")
    catalog.update_brand(brand_id=brand.pk, currency="JPY", daily_budget=5, now=NOW)
    brand.refresh_from_db()
    assert (brand.currency, brand.daily_budget) == ("JPY", Decimal(5))


# --- Hours -----------------------------------------------------------------------------------


def test_one_schedule_takes_the_place_of_the_other() -> None:
    campaign = factories.campaign()
    catalog.set_window(campaign_id=campaign.pk, start_hour=1, end_hour=2, weekdays=3, now=NOW)
    assert why(campaign) == ["schedule"]
    catalog.set_grid(campaign_id=campaign.pk, grid="1" * 168, now=NOW)
    assert why(campaign) == []
    row = DaypartingSchedule.objects.values("start_hour", "end_hour", "weekdays", "grid").get()
    assert row == {"start_hour": None, "end_hour": None, "weekdays": None, "grid": "1" * 168}
    catalog.set_window(campaign_id=campaign.pk, start_hour=22, end_hour=6, now=NOW)
    assert why(campaign) == ["schedule"]
    row = DaypartingSchedule.objects.values("start_hour", "end_hour", "weekdays", "grid").get()
    assert row == {"start_hour": 22, "end_hour": 6, "weekdays": 127, "grid": None}
    assert len(catalog.clear_schedule(campaign_id=campaign.pk, now=NOW)) == 1
    assert why(campaign) == []
    assert not DaypartingSchedule.objects.exists()


def test_a_grid_is_kept_without_its_white_space() -> None:
    campaign = factories.campaign()
    catalog.set_grid(campaign_id=campaign.pk, grid="\n".join(["0" * 12 + " " + "1" * 12] * 7), now=NOW)
    assert DaypartingSchedule.objects.get().grid == ("0" * 12 + "1" * 12) * 7
    assert why(campaign) == []


@pytest.mark.parametrize(
    ("hours", "says"),
    [
        ({"start_hour": 5, "end_hour": 5}, "hour"),
        ({"start_hour": 24, "end_hour": 5}, "start hour"),
        ({"start_hour": 5, "end_hour": -1}, "end hour"),
        ({"start_hour": 5, "end_hour": 6, "weekdays": 0}, "weekdays"),
        ({"start_hour": 5.0, "end_hour": 6}, "start hour"),
    ],
)
def test_a_window_that_cannot_be_is_refused(hours: dict[str, Any], says: str) -> None:
    campaign = factories.campaign()
    catalog.set_window(campaign_id=campaign.pk, start_hour=9, end_hour=17, now=NOW)
    assert_refused(lambda: catalog.set_window(campaign_id=campaign.pk, now=NOW, **hours), says)


@pytest.mark.parametrize("grid", ["", "1" * 167, "0" * 168, "1" * 167 + "2", "1" * 169])
def test_a_grid_that_cannot_be_is_refused(grid: str) -> None:
    campaign = factories.campaign()
    assert_refused(lambda: catalog.set_grid(campaign_id=campaign.pk, grid=grid, now=NOW), "grid")


# --- Taking out of use -----------------------------------------------------------------------


def test_a_brand_without_spend_is_deleted_with_all_that_is_its_own() -> None:
    brand, other = factories.brand(daily_budget=0), factories.brand(daily_budget=0)
    for owner in (brand, other):
        campaign = factories.campaign(owner)
        catalog.set_window(campaign_id=campaign.pk, start_hour=1, end_hour=2, now=NOW)
    reset_daily_budgets(now=NOW)
    catalog.delete_brand(brand_id=brand.pk, now=NOW)
    assert list(Brand.objects.all()) == [other]
    for model in (Campaign, BrandCounter, CampaignCounter, RollOver):
        assert set(model._default_manager.values_list("brand", flat=True)) <= {other.pk}
    assert DaypartingSchedule.objects.count() == 1
    assert StatusChange.objects.filter(brand=brand.pk).exists()  # the journal is never cut


def test_a_campaign_without_spend_is_deleted() -> None:
    brand = factories.brand()
    gone, stays = factories.campaign(brand), factories.campaign(brand)
    catalog.update_campaign(campaign_id=gone.pk, total_budget=5, now=NOW)
    spend(stays, 1)
    catalog.delete_campaign(campaign_id=gone.pk, now=NOW)
    assert list(Campaign.objects.all()) == [stays]
    assert reading.counters() == reading.sums_of_the_ledger()
    assert spend(gone, 1).results[0].detail == f"There is no campaign {gone.pk}."


def test_what_has_spend_is_not_deleted() -> None:
    brand = factories.brand()
    spent, sibling = factories.campaign(brand), factories.campaign(brand)
    spend(spent, 5, at=NOW - timedelta(days=50))
    spend(spent, -5, note="all back", at=NOW - timedelta(days=50))  # a sum of nothing is still a history
    assert_refused(lambda: catalog.delete_campaign(campaign_id=spent.pk, now=NOW), "archive it instead")
    assert_refused(lambda: catalog.delete_brand(brand_id=brand.pk, now=NOW), "archive it instead")
    catalog.delete_campaign(campaign_id=sibling.pk, now=NOW)


def test_an_archived_brand_takes_its_campaigns_along() -> None:
    brand = factories.brand(daily_budget=10)
    paused, active = factories.campaign(brand), factories.campaign(brand)
    catalog.pause(campaign_id=paused.pk, now=NOW)
    catalog.archive_brand(brand_id=brand.pk, now=NOW)
    brand.refresh_from_db()
    assert brand.archived_at == NOW
    for campaign in (paused, active):
        assert Campaign.objects.get(pk=campaign.pk).archived_at == NOW
        assert why(campaign) == ["manual"]
        reading.assert_journal_unbroken(campaign)
    assert_refused(lambda: catalog.create_campaign(brand_id=brand.pk, name="Late", now=NOW), "archived")


def test_archiving_again_changes_nothing() -> None:
    brand = factories.brand()
    campaign = factories.campaign(brand)
    catalog.archive_campaign(campaign_id=campaign.pk, now=NOW)
    catalog.archive_brand(brand_id=brand.pk, now=NOW)
    before = everything()
    later = NOW + timedelta(days=1)
    catalog.archive_campaign(campaign_id=campaign.pk, now=later)
    catalog.archive_brand(brand_id=brand.pk, now=later)
    assert everything() == before


def test_an_archived_campaign_is_judged_no_more() -> None:
    brand = factories.brand(daily_budget=10)
    gone, here = factories.campaign(brand), factories.campaign(brand)
    catalog.archive_campaign(campaign_id=gone.pk, now=NOW)
    before = reading.steps(gone)
    spend(gone, 10)
    assert why(here) == ["brand_daily_budget"]  # what it spends still binds the others
    enforce_all(now=NOW)
    assert enforce_budget(campaign_id=gone.pk, now=NOW) is None
    catalog.update_brand(brand_id=brand.pk, daily_budget=0, now=NOW)
    catalog.set_window(campaign_id=gone.pk, start_hour=1, end_hour=2, now=NOW)
    assert reading.steps(gone) == before


def test_days_of_a_flight_are_dates() -> None:
    campaign = factories.campaign(flight_start=date(2025, 6, 18), flight_end=date(2025, 6, 18))
    campaign.refresh_from_db()
    assert (campaign.flight_start, campaign.flight_end) == (TODAY, TODAY)


# --- By external id --------------------------------------------------------------------------


def test_an_upsert_creates_once_and_changes_then() -> None:
    brand = factories.brand()
    first, created = catalog.upsert_campaign(brand_id=brand.pk, external_id=" e ", name="One", daily_budget=5, now=NOW)
    assert (first.external_id, first.name, created) == ("e", "One", True)
    second, created = catalog.upsert_campaign(brand_id=brand.pk, external_id="e", name="Two", total_budget=0, now=NOW)
    assert (second.pk, second.name, created) == (first.pk, "Two", False)
    assert (second.daily_budget, second.is_active) == (Decimal(5), False)
    other, created = catalog.upsert_campaign(brand_id=factories.brand().pk, external_id="e", name="One", now=NOW)
    assert (other.pk != first.pk, created) == (True, True)


@pytest.mark.parametrize("external_id", ["", " ", None, "a\x00"])
def test_an_upsert_takes_an_external_id(external_id: str | None) -> None:
    brand = factories.brand()
    assert_refused(
        lambda: catalog.upsert_campaign(brand_id=brand.pk, external_id=external_id, name="x", now=NOW), "External id"
    )


def test_an_upsert_that_is_refused_changes_nothing() -> None:
    kept = factories.campaign(external_id="e")
    assert_refused(
        lambda: catalog.upsert_campaign(brand_id=kept.brand_id, external_id="e", name="x", total_budget=-1, now=NOW),
        "Total budget",
    )


@pytest.mark.parametrize(("case", "fields", "field"), BRAND_ERRORS, ids=[row[0] for row in BRAND_ERRORS])
def test_an_error_of_one_field_names_it(case: str, fields: dict[str, Any], field: str) -> None:
    factories.brand(name="Taken", external_id="taken")
    with pytest.raises(InvalidFieldError) as caught:
        catalog.create_brand(now=NOW, **{"name": "x", **fields})
    assert caught.value.field == next(iter(fields))


@pytest.mark.parametrize(("case", "fields", "field"), CAMPAIGN_ERRORS, ids=[row[0] for row in CAMPAIGN_ERRORS])
def test_an_error_of_one_field_of_a_campaign_names_it(case: str, fields: dict[str, Any], field: str) -> None:
    brand = factories.campaign(external_id="taken").brand
    with pytest.raises(InvalidFieldError) as caught:
        factories.campaign(brand, **fields)
    assert caught.value.field == field.lower().replace(" ", "_")
