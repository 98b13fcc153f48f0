"""The record of edits: every verb writes down who set what, when, from which value to which."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, Campaign, Edit, Scope
from campaigns.rules.errors import BudgetError
from campaigns.services import catalog, edits
from campaigns.services.edits import Edited
from campaigns.services.keys import create_key
from campaigns.services.status import NOBODY, Actor
from tests import factories
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
WORKDAYS = 0b0011111
Changes = dict[str, list[str | None]]


def somebody() -> Actor:
    return Actor(user_id=get_user_model().objects.create_user("maria").pk)


def some_key() -> Actor:
    key, _ = create_key(name="Bid server", scopes=[Scope.MANAGE], now=NOW)
    return Actor(api_key_id=key.pk)


def nobody() -> Actor:
    return NOBODY


def recorded(of: Brand | Campaign) -> list[tuple[str, Changes]]:
    """What is on record of a brand or campaign, the oldest first."""
    rows = (
        Edit.objects.filter(campaign=of) if isinstance(of, Campaign) else Edit.objects.filter(brand=of, campaign=None)
    )
    return [(row.verb, row.changes) for row in rows.order_by("pk")]


def last(of: Brand | Campaign) -> tuple[str, Changes]:
    return recorded(of)[-1]


# --- Who and when ----------------------------------------------------------------------------

Verb = Callable[[Brand, Campaign, Actor], object]

VERBS: dict[str, tuple[Verb, str, bool]] = {
    "create_brand": (lambda _b, _c, by: catalog.create_brand(name="New", now=LATER, by=by), "created", False),
    "update_brand": (
        lambda b, _, by: catalog.update_brand(brand_id=b.pk, daily_budget=1, now=LATER, by=by),
        "changed",
        False,
    ),
    "archive_brand": (lambda b, _, by: catalog.archive_brand(brand_id=b.pk, now=LATER, by=by), "archived", False),
    "delete_brand": (lambda b, _, by: catalog.delete_brand(brand_id=b.pk, now=LATER, by=by), "deleted", False),
    "create_campaign": (
        lambda b, _, by: catalog.create_campaign(brand_id=b.pk, name="New", now=LATER, by=by),
        "created",
        True,
    ),
    "update_campaign": (
        lambda _, c, by: catalog.update_campaign(campaign_id=c.pk, name="New", now=LATER, by=by),
        "changed",
        True,
    ),
    "upsert_campaign, a new one": (
        lambda b, _, by: catalog.upsert_campaign(brand_id=b.pk, external_id="a", name="New", now=LATER, by=by),
        "created",
        True,
    ),
    "upsert_campaign, a known one": (
        lambda b, _, by: catalog.upsert_campaign(brand_id=b.pk, external_id="known", name="New", now=LATER, by=by),
        "changed",
        True,
    ),
    "set_window": (
        lambda _, c, by: catalog.set_window(campaign_id=c.pk, start_hour=9, end_hour=17, now=LATER, by=by),
        "changed",
        True,
    ),
    "set_grid": (
        lambda _, c, by: catalog.set_grid(campaign_id=c.pk, grid="10" * 84, now=LATER, by=by),
        "changed",
        True,
    ),
    "clear_schedule": (lambda _, c, by: catalog.clear_schedule(campaign_id=c.pk, now=LATER, by=by), "changed", True),
    "archive_campaign": (
        lambda _, c, by: catalog.archive_campaign(campaign_id=c.pk, now=LATER, by=by),
        "archived",
        True,
    ),
    "delete_campaign": (lambda _, c, by: catalog.delete_campaign(campaign_id=c.pk, now=LATER, by=by), "deleted", True),
}


@pytest.mark.parametrize("who", [somebody, some_key, nobody])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_leaves_one_record_of_who_and_when(verb: str, who: Callable[[], Actor]) -> None:
    campaign = factories.campaign(external_id="known")
    catalog.set_window(campaign_id=campaign.pk, start_hour=1, end_hour=2, now=NOW)
    brand_id, campaign_id, by = campaign.brand_id, campaign.pk, who()
    before = set(Edit.objects.values_list("pk", flat=True))
    act, kind, of_campaign = VERBS[verb]
    act(campaign.brand, campaign, by)
    (edit,) = Edit.objects.exclude(pk__in=before)
    assert (edit.verb, edit.at, edit.actor_id, edit.api_key_id) == (kind, LATER, by.user_id, by.api_key_id)
    assert (edit.campaign_id is not None) is of_campaign
    if kind != "created":
        assert (edit.brand_id, edit.campaign_id) == (brand_id, campaign_id if of_campaign else None)
    elif of_campaign:
        made = Campaign.objects.get(name="New")
        assert (edit.brand_id, edit.campaign_id) == (brand_id, made.pk)
    else:
        assert edit.brand_id == Brand.objects.get(name="New").pk


# --- From which value to which ---------------------------------------------------------------


def test_a_brand_is_created_with_what_was_given() -> None:
    brand = catalog.create_brand(
        name="Acme", timezone="Europe/Oslo", currency="NOK", daily_budget="1000.5", external_id="a-1", now=NOW
    )
    assert recorded(brand) == [
        (
            "created",
            {
                "name": ["", "Acme"],
                "timezone": ["UTC", "Europe/Oslo"],
                "currency": ["USD", "NOK"],
                "daily_budget": [None, "1000.50"],
                "external_id": [None, "a-1"],
            },
        )
    ]


def test_a_campaign_is_created_with_what_was_given() -> None:
    campaign = factories.campaign(name="Spring", total_budget=0, flight_start=date(2025, 7, 1), daily_budget=None)
    assert recorded(campaign) == [
        (
            "created",
            {"name": ["", "Spring"], "total_budget": [None, "0.00"], "flight_start": [None, "2025-07-01"]},
        )
    ]


@pytest.mark.parametrize(
    ("was", "became", "told"),
    [
        (100, "250", ["100.00", "250.00"]),
        ("0.000001", "0.000002", ["0.000001", "0.000002"]),
        ("999999999999.999999", 1_000_000_000_000, ["999999999999.999999", "1000000000000.00"]),
        (None, 0, [None, "0.00"]),
        ("12.5", None, ["12.50", None]),
    ],
)
def test_amounts_are_plain_and_exact(was: Any, became: Any, told: list[str | None]) -> None:
    campaign = factories.campaign(monthly_budget=was)
    catalog.update_campaign(campaign_id=campaign.pk, monthly_budget=became, now=LATER)
    assert last(campaign) == ("changed", {"monthly_budget": told})


def test_only_what_differs_is_told() -> None:
    brand = factories.brand(name="Acme", daily_budget=10)
    catalog.update_brand(
        brand_id=brand.pk,
        name="Acme",
        daily_budget="10.000",
        budget_scope="campaign",
        timezone="Europe/Rome",
        now=LATER,
    )
    assert last(brand) == ("changed", {"budget_scope": ["brand", "campaign"], "timezone": ["UTC", "Europe/Rome"]})


def test_days_are_told_as_days() -> None:
    campaign = factories.campaign(flight_end=date(2025, 7, 1))
    catalog.update_campaign(campaign_id=campaign.pk, flight_start=date(2025, 6, 1), flight_end=None, now=LATER)
    assert last(campaign) == ("changed", {"flight_start": [None, "2025-06-01"], "flight_end": ["2025-07-01", None]})


def test_hours_are_told_in_words_or_as_their_grid() -> None:
    campaign = factories.campaign()
    grid = "110" * 56
    catalog.set_window(campaign_id=campaign.pk, start_hour=9, end_hour=17, weekdays=WORKDAYS, now=NOW)
    catalog.set_grid(campaign_id=campaign.pk, grid=grid, now=NOW)
    catalog.clear_schedule(campaign_id=campaign.pk, now=NOW)
    window = "09:00–17:00, Mon–Fri"
    assert [changes for _, changes in recorded(campaign)[1:]] == [
        {"hours": [None, window]},
        {"hours": [window, grid]},
        {"hours": [grid, None]},
    ]


def test_what_is_deleted_is_told_by_its_name() -> None:
    campaign = factories.campaign(name="Spring")
    brand_id, campaign_id = campaign.brand_id, campaign.pk
    catalog.delete_campaign(campaign_id=campaign_id, now=LATER)
    catalog.delete_brand(brand_id=brand_id, now=LATER)
    of_campaign, of_brand = Edit.objects.filter(brand=brand_id, verb="deleted").order_by("pk")
    assert (of_campaign.campaign_id, of_campaign.changes) == (campaign_id, {"name": ["Spring", None]})
    assert (of_brand.campaign_id, list(of_brand.changes)) == (None, ["name"])


# --- When there is nothing to tell -----------------------------------------------------------


def test_what_sets_nothing_anew_leaves_none() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10), name="Spring", total_budget="1.5")
    catalog.set_grid(campaign_id=campaign.pk, grid="10" * 84, now=NOW)
    count = Edit.objects.count()
    catalog.update_brand(brand_id=campaign.brand_id, daily_budget="10.00", timezone="UTC", now=LATER)
    catalog.update_campaign(
        campaign_id=campaign.pk, name=" Spring ", total_budget="1.500000", external_id="", now=LATER
    )
    catalog.set_grid(campaign_id=campaign.pk, grid="10" * 84, now=LATER)
    assert Edit.objects.count() == count
    catalog.clear_schedule(campaign_id=campaign.pk, now=NOW)
    catalog.clear_schedule(campaign_id=campaign.pk, now=NOW)
    assert Edit.objects.count() == count + 1


def test_a_pause_is_no_edit() -> None:
    campaign = factories.campaign()
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    catalog.resume(campaign_id=campaign.pk, now=NOW)
    assert [verb for verb, _ in recorded(campaign)] == ["created"]


def test_what_is_archived_again_leaves_none() -> None:
    campaign = factories.campaign()
    for _ in range(2):
        catalog.archive_campaign(campaign_id=campaign.pk, now=LATER)
        catalog.archive_brand(brand_id=campaign.brand_id, now=LATER)
    assert [verb for verb, _ in recorded(campaign)] == ["created", "archived"]
    assert [verb for verb, _ in recorded(campaign.brand)] == ["created", "archived"]


def test_what_is_refused_leaves_none() -> None:
    taken = factories.brand(name="Acme")
    campaign = factories.campaign(factories.brand(name="Beta"))
    spend(campaign, 1)
    count = Edit.objects.count()
    brand_id, campaign_id = campaign.brand_id, campaign.pk
    refused: list[Callable[[], object]] = [
        lambda: catalog.create_brand(name=taken.name, now=LATER),
        lambda: catalog.update_brand(brand_id=brand_id, name=taken.name, now=LATER),
        lambda: catalog.update_brand(brand_id=brand_id, daily_budget=5, currency="EUR", now=LATER),
        lambda: catalog.update_campaign(campaign_id=campaign_id, name="Fine", daily_budget=-1, now=LATER),
        lambda: catalog.set_window(campaign_id=campaign_id, start_hour=9, end_hour=9, now=LATER),
        lambda: catalog.set_grid(campaign_id=campaign_id, grid="0" * 168, now=LATER),
        lambda: catalog.delete_campaign(campaign_id=campaign_id, now=LATER),
        lambda: catalog.delete_brand(brand_id=brand_id, now=LATER),
    ]
    for act in refused:
        with pytest.raises(BudgetError):
            act()
    assert Edit.objects.count() == count


def test_what_is_rolled_back_leaves_none() -> None:
    campaign = factories.campaign()
    count = Edit.objects.count()
    with suppress(RuntimeError), transaction.atomic():
        catalog.update_campaign(campaign_id=campaign.pk, name="Another", now=LATER)
        assert Edit.objects.count() == count + 1
        raise RuntimeError
    assert Edit.objects.count() == count


# --- Many at once ----------------------------------------------------------------------------


def test_many_are_written_in_few_statements() -> None:
    by = somebody()
    many = [Edited(1, number, Edit.Verb.CHANGED, {"name": ("a", "b")}) for number in range(500)]
    with CaptureQueriesContext(connection) as captured:
        edits.record_all(many, now=NOW, by=by)
    # SQLite takes 999 parameters at once.
    most = 1 if connection.vendor == "postgresql" else 4
    assert 1 <= len([query for query in captured if "INSERT" in query["sql"]]) <= most
    assert Edit.objects.filter(actor=by.user_id, at=NOW, verb="changed").count() == 500
    edits.record_all([], now=NOW, by=by)
    assert Edit.objects.count() == 500
