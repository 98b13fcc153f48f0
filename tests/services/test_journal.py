"""The journal: every change of a status is one row, with what it was judged on, in a chain without a gap."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.models import Brand, BrandCounter, Campaign, StatusChange
from campaigns.services import audit, catalog, enforce_budget, reset_daily_budgets, reset_monthly_budgets
from campaigns.services.enforcement import enforce_all
from campaigns.services.status import Actor
from tests import factories
from tests.factories import NOW, spend
from tests.services import reading

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
TOMORROW = NOW + timedelta(days=1)
NEXT_MONTH = NOW + timedelta(days=20)


def test_a_row_says_when_from_to_why_and_on_which_figures() -> None:
    brand = factories.brand(daily_budget=100, monthly_budget=1000)
    campaign = factories.campaign(brand, daily_budget=50, monthly_budget=500, total_budget=5000)
    sibling = factories.campaign(brand)
    spend(sibling, 7)
    spend(sibling, 30, at=NOW - timedelta(days=1))
    spend(campaign, 1, at=NOW - timedelta(days=40))
    spend(campaign, 2, at=NOW - timedelta(days=1))
    receipt = spend(campaign, "50.5", now=LATER)
    (row,) = reading.journal(campaign)
    assert receipt.changes[0].id == row.pk
    assert {field.attname: getattr(row, field.attname) for field in StatusChange._meta.fields} == {
        "id": row.pk,
        "brand_id": brand.pk,
        "campaign_id": campaign.pk,
        "at": LATER,
        "from_reasons": 0,
        "to_reasons": 8,
        "cause": "spend",
        "actor_id": None,
        "api_key_id": None,
        "transaction_id": row.transaction_id,
        "note": "",
        "brand_daily_spent": Decimal("57.5"),
        "brand_daily_budget": Decimal(100),
        "brand_monthly_spent": Decimal("89.5"),
        "brand_monthly_budget": Decimal(1000),
        "campaign_daily_spent": Decimal("50.5"),
        "campaign_daily_budget": Decimal(50),
        "campaign_monthly_spent": Decimal("52.5"),
        "campaign_monthly_budget": Decimal(500),
        "campaign_total_spent": Decimal("53.5"),
        "campaign_total_budget": Decimal(5000),
    }
    assert reading.journal(sibling) == []
    assert Campaign.objects.get(pk=campaign.pk).status_changed_at == LATER


def test_no_budget_is_journaled_as_none_and_no_spend_as_nothing() -> None:
    campaign = factories.campaign(total_budget=0)
    (row,) = reading.journal(campaign)
    figures = {name: value for name, value in vars(row).items() if name.endswith(("_spent", "_budget"))}
    assert len(figures) == 10
    assert {name for name, value in figures.items() if value is None} == {
        "brand_daily_budget",
        "brand_monthly_budget",
        "campaign_daily_budget",
        "campaign_monthly_budget",
    }
    assert {value for name, value in figures.items() if name.endswith("_spent")} == {Decimal(0)}


def raise_budget(campaign: Campaign) -> None:
    catalog.update_campaign(campaign_id=campaign.pk, daily_budget=100, now=NOW)


def spent_day() -> Campaign:
    campaign = factories.campaign(daily_budget=10)
    spend(campaign, 10)
    return campaign


def wrongly_counted() -> Campaign:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    BrandCounter.objects.filter(brand=campaign.brand, period=1).update(spent=10)
    return campaign


CAUSES: list[tuple[str, Callable[[], Campaign], Callable[[Campaign], object], str]] = [
    ("a spend", lambda: factories.campaign(daily_budget=10), lambda c: spend(c, 10), "spend: active -> campaign_daily"),
    ("the pass", spent_day, lambda _: enforce_all(now=TOMORROW), "pass: campaign_daily_budget -> active"),
    (
        "judged alone",
        spent_day,
        lambda c: enforce_budget(campaign_id=c.pk, now=TOMORROW),
        "pass: campaign_daily_budget -> active",
    ),
    (
        "a new day",
        spent_day,
        lambda _: reset_daily_budgets(now=TOMORROW),
        "roll_over: campaign_daily_budget -> active",
    ),
    (
        "a new month",
        spent_day,
        lambda _: reset_monthly_budgets(now=NEXT_MONTH),
        "roll_over: campaign_daily_budget -> active",
    ),
    ("a raised budget", spent_day, raise_budget, "budget: campaign_daily_budget -> active"),
    (
        "the brand's budget",
        factories.campaign,
        lambda c: catalog.update_brand(brand_id=c.brand_id, monthly_budget=0, now=NOW),
        "budget: active -> brand_monthly_budget",
    ),
    (
        "the brand's zone",
        spent_day,
        lambda c: catalog.update_brand(brand_id=c.brand_id, timezone="Pacific/Kiritimati", now=NOW),
        "settings: campaign_daily_budget -> active",
    ),
    (
        "hours",
        factories.campaign,
        lambda c: catalog.set_window(campaign_id=c.pk, start_hour=1, end_hour=2, now=NOW),
        "schedule: active -> schedule",
    ),
    (
        "a grid",
        factories.campaign,
        lambda c: catalog.set_grid(campaign_id=c.pk, grid="1" + "0" * 167, now=NOW),
        "schedule: active -> schedule",
    ),
    (
        "a flight",
        factories.campaign,
        lambda c: catalog.update_campaign(campaign_id=c.pk, flight_start=TOMORROW.date(), now=NOW),
        "flight: active -> not_started",
    ),
    (
        "a person",
        factories.campaign,
        lambda c: catalog.pause(campaign_id=c.pk, now=NOW),
        "person: active -> manual",
    ),
    (
        "an archive",
        factories.campaign,
        lambda c: catalog.archive_campaign(campaign_id=c.pk, now=NOW),
        "archived: active -> manual",
    ),
    (
        "a brand's archive",
        factories.campaign,
        lambda c: catalog.archive_brand(brand_id=c.brand_id, now=NOW),
        "archived: active -> manual",
    ),
    (
        "a repair",
        wrongly_counted,
        lambda c: (enforce_budget(campaign_id=c.pk, now=NOW), audit.repair_ledger(now=NOW)),
        "repair: brand_daily_budget -> active",
    ),
]


@pytest.mark.parametrize(
    ("begin", "change", "step"), [row[1:] for row in CAUSES], ids=[row[0].replace(" ", "_") for row in CAUSES]
)
def test_every_cause_is_named(begin: Callable[[], Campaign], change: Callable[[Campaign], object], step: str) -> None:
    campaign = begin()
    before = len(reading.journal(campaign))
    change(campaign)
    added = reading.steps(campaign)[before:]
    assert len(added) == (2 if step.startswith("repair") else 1)
    assert added[-1].startswith(step)
    reading.assert_journal_unbroken(campaign)
    change(campaign)  # nothing is left to change
    assert len(reading.journal(campaign)) == before + len(added)


def test_every_cause_has_a_case() -> None:
    created = {"created"}
    assert {step.partition(":")[0] for *_, step in CAUSES} | created == set(StatusChange.Cause.values)


def test_a_campaign_that_is_created_paused_says_so() -> None:
    assert reading.steps(factories.campaign(total_budget=0)) == ["created: active -> campaign_total_budget"]
    assert reading.steps(factories.campaign()) == []


def test_who_did_it_is_in_the_row() -> None:
    actor = get_user_model().objects.create_user("ann")
    campaign = factories.campaign()
    done: list[Callable[..., object]] = [
        lambda **who: catalog.pause(campaign_id=campaign.pk, note="client asked", **who),
        lambda **who: catalog.resume(campaign_id=campaign.pk, note="client paid", **who),
        lambda **who: catalog.update_campaign(campaign_id=campaign.pk, daily_budget=0, **who),
        lambda **who: catalog.update_campaign(campaign_id=campaign.pk, daily_budget=None, **who),
        lambda **who: catalog.update_brand(brand_id=campaign.brand_id, daily_budget=0, **who),
        lambda **who: catalog.set_window(campaign_id=campaign.pk, start_hour=1, end_hour=2, **who),
        lambda **who: catalog.clear_schedule(campaign_id=campaign.pk, **who),
        lambda **who: catalog.archive_campaign(campaign_id=campaign.pk, **who),
    ]
    for act in done:
        act(now=NOW, by=Actor(user_id=actor.pk))
    rows = reading.journal(campaign)
    assert [row.actor_id for row in rows] == [actor.pk] * 8
    assert [row.note for row in rows] == ["client asked", "client paid"] + [""] * 6


def test_a_change_of_reasons_that_leaves_it_paused_is_a_change() -> None:
    campaign = factories.campaign(daily_budget=10, total_budget=20)
    for amount in (10, 10):
        spend(campaign, amount)
    enforce_all(now=TOMORROW)
    assert reading.steps(campaign) == [
        "spend: active -> campaign_daily_budget",
        "spend: campaign_daily_budget -> campaign_daily_budget campaign_total_budget",
        "pass: campaign_daily_budget campaign_total_budget -> campaign_total_budget",
    ]


def test_what_changes_nothing_is_not_journaled() -> None:
    campaign = spent_day()
    before, changed_at = reading.steps(campaign), Campaign.objects.get().status_changed_at
    spend(campaign, 5, now=LATER)
    enforce_all(now=LATER)
    enforce_budget(campaign_id=campaign.pk, now=LATER)
    reset_daily_budgets(now=LATER)
    catalog.update_campaign(campaign_id=campaign.pk, daily_budget="9.5", now=LATER)
    catalog.clear_schedule(campaign_id=campaign.pk, now=LATER)
    catalog.resume(campaign_id=campaign.pk, now=LATER)
    assert reading.steps(campaign) == before
    assert Campaign.objects.get().status_changed_at == changed_at


def test_a_service_returns_the_change_that_it_made() -> None:
    campaign = factories.campaign()
    change = catalog.pause(campaign_id=campaign.pk, now=NOW)
    assert change is not None
    (row,) = reading.journal(campaign)
    assert change == (row.pk, campaign.pk, row.from_reasons, row.to_reasons)
    assert catalog.pause(campaign_id=campaign.pk, now=NOW) is None
    assert enforce_budget(campaign_id=campaign.pk, now=NOW) is None


# --- Whatever is done ------------------------------------------------------------------------

Step = tuple[str, int, Any]
FLIGHT_STARTS = [NOW.date() + timedelta(days) for days in (-1, 0, 1)]

steps = st.one_of(
    # Twice, for most of what happens is spend; in steps that reach a budget exactly.
    st.tuples(st.just("spend"), st.integers(0, 3), st.sampled_from(["5", "10"])),
    st.tuples(st.just("spend"), st.integers(0, 3), st.sampled_from(["5", "10", "9.999999", "-5", "-10", "-0.000001"])),
    st.tuples(st.just("late"), st.integers(0, 3), st.sampled_from(["5", "10", "-5"])),
    st.tuples(st.just("daily_budget"), st.integers(0, 1), st.sampled_from([None, 0, 5, 10, 20])),
    st.tuples(st.just("monthly_budget"), st.integers(0, 1), st.sampled_from([None, 0, 15])),
    st.tuples(st.just("budget_scope"), st.integers(0, 1), st.sampled_from(["brand", "campaign"])),
    st.tuples(st.just("timezone"), st.integers(0, 1), st.sampled_from(["UTC", "Asia/Tokyo", "Pacific/Pago_Pago"])),
    st.tuples(st.just("own daily_budget"), st.integers(0, 3), st.sampled_from([None, 0, 5, 10])),
    st.tuples(st.just("own total_budget"), st.integers(0, 3), st.sampled_from([None, 0, 12])),
    st.tuples(st.just("own flight_start"), st.integers(0, 3), st.sampled_from([None, *FLIGHT_STARTS])),
    st.tuples(st.just("hours"), st.integers(0, 3), st.sampled_from([None, 11, 12, 13])),
    st.tuples(st.just("pause"), st.integers(0, 3), st.booleans()),
)


def do(step: Step, brands: list[Brand], campaigns: list[Campaign]) -> None:
    """One thing that a person or a reporter does."""
    verb, at, value = step
    brand_id, campaign_id = brands[at % 2].pk, campaigns[at].pk
    match verb:
        case "daily_budget" | "monthly_budget" | "budget_scope" | "timezone":
            fields: dict[str, Any] = {verb: value}
            catalog.update_brand(brand_id=brand_id, now=NOW, **fields)
        case "own daily_budget" | "own total_budget" | "own flight_start":
            fields = {verb.removeprefix("own "): value}
            catalog.update_campaign(campaign_id=campaign_id, now=NOW, **fields)
        case "hours" if value is not None:
            catalog.set_window(campaign_id=campaign_id, start_hour=value, end_hour=value + 1, now=NOW)
        case "hours":
            catalog.clear_schedule(campaign_id=campaign_id, now=NOW)
        case "pause":
            (catalog.pause if value else catalog.resume)(campaign_id=campaign_id, now=NOW)
        case _:
            ago = timedelta(days=1 if verb == "late" else 0)
            spend(campaigns[at], value, at=NOW - ago, note="less" if value.startswith("-") else "")


@settings(deadline=None, max_examples=25)
@given(todo=st.lists(steps, min_size=3, max_size=8))
def test_after_every_step_every_status_is_the_verdict(todo: list[Step]) -> None:
    """While the clock stands still nothing but these steps can change a verdict: no pass is needed, ever."""
    with transaction.atomic():
        brands = [factories.brand(daily_budget=20), factories.brand(budget_scope="campaign", daily_budget=10)]
        campaigns = [factories.campaign(brands[at % 2]) for at in range(4)]
        for step in todo:
            do(step, brands, campaigns)
            reading.assert_all_is_sound(NOW)
        assert enforce_all(now=NOW).changed == 0
        transaction.set_rollback(True)
