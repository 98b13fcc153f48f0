"""The record of edits, page by page and in words."""

from datetime import date
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.admin.edit_words import EditLine, edit_lines
from campaigns.models import Edit, Scope
from campaigns.queries.edits import Edits, ToldEdit, edits_of
from campaigns.rules.errors import BudgetError
from campaigns.services import catalog
from campaigns.services.keys import create_key
from campaigns.services.status import Actor
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def verbs(found: Edits) -> list[tuple[str, str | None]]:
    return [(edit.verb, edit.campaign) for edit in found.edits]


# --- The record ------------------------------------------------------------------------------


def test_an_edit_says_all_that_is_on_record() -> None:
    campaign = factories.campaign(name="Spring")
    by = Actor(user_id=get_user_model().objects.create_user("maria").pk)
    catalog.update_campaign(campaign_id=campaign.pk, daily_budget=5, now=NOW, by=by)
    (edit, _) = edits_of(campaign_id=campaign.pk).edits
    assert edit == ToldEdit(
        id=Edit.objects.latest("pk").pk,
        at=NOW,
        verb=Edit.Verb.CHANGED,
        campaign_id=campaign.pk,
        campaign="Spring",
        actor="maria",
        api_key=None,
        changes={"daily_budget": (None, "5.00")},
    )


def test_a_brands_edits_come_with_its_campaigns_when_asked() -> None:
    brand = factories.brand()
    campaign = factories.campaign(brand, name="Spring")
    factories.campaign(name="of another brand")
    catalog.update_brand(brand_id=brand.pk, daily_budget=1, now=NOW)
    catalog.update_campaign(campaign_id=campaign.pk, daily_budget=1, now=NOW)
    assert verbs(edits_of(brand_id=brand.pk)) == [("changed", None), ("created", None)]
    assert verbs(edits_of(brand_id=brand.pk, with_campaigns=True)) == [
        ("changed", "Spring"),
        ("changed", None),
        ("created", "Spring"),
        ("created", None),
    ]
    assert verbs(edits_of(campaign_id=campaign.pk)) == [("changed", "Spring"), ("created", "Spring")]


def test_who_is_gone_takes_no_edit_along() -> None:
    key, _ = create_key(name="Bid server", scopes=[Scope.MANAGE], now=NOW)
    user = get_user_model().objects.create_user("maria")
    brand = factories.brand()
    for number, by in enumerate((Actor(user_id=user.pk), Actor(api_key_id=key.pk), Actor())):
        catalog.update_brand(brand_id=brand.pk, daily_budget=number, now=NOW, by=by)
    gone = factories.campaign(brand)
    catalog.delete_campaign(campaign_id=gone.pk, now=NOW)
    user.delete()
    found = edits_of(brand_id=brand.pk, with_campaigns=True).edits
    assert [(edit.actor, edit.api_key) for edit in found] == [(None, None)] * 3 + [(None, "Bid server")] + [
        (None, None)
    ] * 2
    assert [edit.campaign for edit in found if edit.campaign_id] == [None, None]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
def test_pages_make_up_the_whole(limit: int) -> None:
    brand = factories.brand()
    for number in range(5):
        catalog.update_brand(brand_id=brand.pk, daily_budget=number, now=NOW)
    whole = edits_of(brand_id=brand.pk)
    assert (len(whole.edits), whole.more) == (6, False)
    pages: list[ToldEdit] = []
    more, before = True, None
    while more:
        page = edits_of(brand_id=brand.pk, before=before, limit=limit)
        pages += page.edits
        more, before = page.more, page.edits[-1].id
    assert pages == whole.edits


@pytest.mark.parametrize("arguments", [{"brand_id": 0}, {"campaign_id": 2**80}, {"brand_id": 2**80}])
def test_what_there_is_not_has_no_edits(arguments: dict[str, Any]) -> None:
    factories.campaign()
    assert edits_of(**arguments) == Edits(edits=[], more=False)


def test_a_page_is_bounded_and_one_owners() -> None:
    for limit in (0, 1_001):
        with pytest.raises(BudgetError, match="from 1 to 1,000"):
            edits_of(brand_id=1, limit=limit)
    with pytest.raises(ValueError, match="a brand or a campaign"):
        edits_of()
    with pytest.raises(ValueError, match="a brand or a campaign"):
        edits_of(brand_id=1, campaign_id=1)


def test_it_is_two_queries_however_many_campaigns_and_people() -> None:
    brand = factories.brand()
    for name in ("maria", "jonas", "li"):
        by = Actor(user_id=get_user_model().objects.create_user(name).pk)
        catalog.create_campaign(brand_id=brand.pk, name=name, now=NOW, by=by)
    with CaptureQueriesContext(connection) as captured:
        assert len(edits_of(brand_id=brand.pk, with_campaigns=True).edits) == 4
    assert len(captured) == 2


# --- In words --------------------------------------------------------------------------------


def test_fields_are_told_as_the_forms_name_them_and_in_one_order() -> None:
    campaign = factories.campaign(
        factories.brand(currency="JPY"),
        name="Spring",
        flight_end=date(2025, 7, 1),
        total_budget="1000.25",
        external_id="s-1",
        daily_budget=0,
    )
    (edit,) = edits_of(campaign_id=campaign.pk).edits
    assert edit_lines(edit.changes, "JPY") == [
        EditLine("Name", "–", "Spring"),
        EditLine("External ID", "–", "s-1"),
        EditLine("Daily budget", "no limit", "0 JPY"),
        EditLine("Total budget", "no limit", "1,000.25 JPY"),
        EditLine("Last day", "–", "1 Jul 2025"),
    ]


def test_a_brands_fields_are_told_in_words() -> None:
    brand = factories.brand(daily_budget="1000")
    catalog.update_brand(
        brand_id=brand.pk,
        timezone="Europe/Paris",
        budget_scope="campaign",
        daily_budget=None,
        monthly_budget=5,
        now=NOW,
    )
    assert edit_lines(edits_of(brand_id=brand.pk).edits[0].changes, "USD") == [
        EditLine("Time zone", "UTC", "Europe/Paris"),
        EditLine("Budgets bind", "all campaigns together", "each campaign alone"),
        EditLine("Daily budget", "1,000.00 USD", "no limit"),
        EditLine("Monthly budget", "no limit", "5.00 USD"),
    ]


def test_hours_become_words() -> None:
    campaign = factories.campaign()
    catalog.set_window(campaign_id=campaign.pk, start_hour=22, end_hour=6, now=NOW)
    catalog.set_grid(campaign_id=campaign.pk, grid="10" * 84, now=NOW)
    catalog.set_grid(campaign_id=campaign.pk, grid="01" * 84, now=NOW)
    catalog.clear_schedule(campaign_id=campaign.pk, now=NOW)
    lines = [line for edit in edits_of(campaign_id=campaign.pk).edits for line in edit_lines(edit.changes, "USD")]
    assert lines[:-1] == [
        EditLine("May spend", "custom, 84 of 168 hours", "every day, all hours"),
        EditLine("May spend", "custom, 84 of 168 hours", "custom, 84 of 168 hours, other ones"),
        EditLine("May spend", "22:00–06:00, every day", "custom, 84 of 168 hours"),
        EditLine("May spend", "every day, all hours", "22:00–06:00, every day"),
    ]


def test_a_field_that_nobody_has_named_is_told_all_the_same() -> None:
    assert edit_lines({"new_thing": (None, "on"), "name": ("a", "b")}, "USD") == [
        EditLine("Name", "a", "b"),
        EditLine("New thing", "–", "on"),
    ]


def test_what_changes_nothing_to_tell_has_no_lines() -> None:
    assert edit_lines({}, "USD") == []
