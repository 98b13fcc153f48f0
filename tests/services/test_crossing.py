"""Crossing a budget: whoever it binds is paused, or resumed, in the transaction that records the spend."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from campaigns.models import Brand, Campaign
from campaigns.rules.periods import Period
from campaigns.services import catalog
from campaigns.services.spend import record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services import reading
from tests.services.reading import why

pytestmark = pytest.mark.django_db

YESTERDAY, LAST_MONTH = NOW - timedelta(days=1), NOW - timedelta(days=20)

BUDGETS = {
    "brand_daily_budget": (Brand, "daily_budget"),
    "brand_monthly_budget": (Brand, "monthly_budget"),
    "campaign_daily_budget": (Campaign, "daily_budget"),
    "campaign_monthly_budget": (Campaign, "monthly_budget"),
    "campaign_total_budget": (Campaign, "total_budget"),
}


def bound_by(reason: str, amount: Any) -> Campaign:
    """A campaign with one budget, of its own or its brand's."""
    owner, field = BUDGETS[reason]
    of_brand: dict[str, Any] = {field: amount} if owner is Brand else {}
    own: dict[str, Any] = {field: amount} if owner is Campaign else {}
    return factories.campaign(factories.brand(**of_brand), **own)


@pytest.mark.parametrize("reason", BUDGETS)
@pytest.mark.parametrize(
    ("amounts", "paused"),
    [(["9.999999"], False), (["10"], True), (["10.000001"], True), (["4", "5.999999"], False), (["4", "6"], True)],
    ids=str,
)
def test_a_campaign_is_paused_the_moment_its_budget_is_spent(reason: str, amounts: list[str], paused: bool) -> None:
    campaign = bound_by(reason, 10)
    changes = [change for amount in amounts for change in spend(campaign, amount).changes]
    assert why(campaign) == ([reason] if paused else [])
    assert [(c.campaign_id, c.now.code) for c in changes] == ([(campaign.pk, reason)] if paused else [])
    assert reading.steps(campaign) == ([f"spend: active -> {reason}"] if paused else [])


@pytest.mark.parametrize("reason", BUDGETS)
def test_a_correction_below_the_budget_resumes_at_once(reason: str) -> None:
    campaign = bound_by(reason, 10)
    spend(campaign, 12)
    spend(campaign, "-1.999999", note="a little")
    assert why(campaign) == [reason]
    spend(campaign, "-0.000001", note="to exactly the budget")
    assert why(campaign) == [reason]
    spend(campaign, "-0.000001", note="below")
    assert why(campaign) == []
    assert reading.steps(campaign) == [f"spend: active -> {reason}", f"spend: {reason} -> active"]


def test_there_and_back_in_one_call_changes_nothing() -> None:
    campaign = bound_by("brand_daily_budget", 10)
    receipt = record_spend([event(campaign, 12), event(campaign, -5, note="back")], now=NOW)
    assert (why(campaign), receipt.changes) == ([], [])


@pytest.mark.parametrize("reason", BUDGETS)
def test_no_budget_is_no_limit(reason: str) -> None:
    campaign = bound_by(reason, None)
    record_spend([event(campaign, 1_000_000_000) for _ in range(100)], now=NOW)
    assert why(campaign) == []


@pytest.mark.parametrize("reason", BUDGETS)
def test_a_budget_of_nothing_is_always_spent(reason: str) -> None:
    campaign = bound_by(reason, 0)
    assert why(campaign) == [reason]
    spend(campaign, 5)
    spend(campaign, -7, note="below zero")
    assert why(campaign) == [reason]


def test_the_smallest_budget_there_is() -> None:
    campaign = bound_by("campaign_total_budget", "0.000001")
    assert why(campaign) == []
    spend(campaign, "0.000001")
    assert why(campaign) == ["campaign_total_budget"]


# --- The sum of a brand ----------------------------------------------------------------------


def test_a_brands_budget_binds_the_sum_of_its_campaigns_pauses_all_and_resumes_all() -> None:
    brand = factories.brand(daily_budget=100)
    one, two = factories.campaign(brand), factories.campaign(brand)
    spend(one, 60)
    assert (why(one), why(two)) == ([], [])
    receipt = spend(two, 40)
    assert [c.campaign_id for c in receipt.changes] == [one.pk, two.pk]
    assert why(one) == why(two) == ["brand_daily_budget"]
    changes = catalog.update_brand(brand_id=brand.pk, daily_budget="100.01", now=NOW)
    assert [c.campaign_id for c in changes] == [one.pk, two.pk]
    assert why(one) == why(two) == []
    for campaign in (one, two):
        assert reading.steps(campaign) == [
            "spend: active -> brand_daily_budget",
            "budget: brand_daily_budget -> active",
        ]


def test_one_call_that_crosses_two_brands_pauses_both() -> None:
    brands = [
        factories.brand(daily_budget=10, monthly_budget=50),
        factories.brand(monthly_budget=10),
        factories.brand(),
    ]
    campaigns = [factories.campaign(brand) for brand in brands for _ in range(2)]
    record_spend([event(campaign, 5) for campaign in campaigns], now=NOW)
    assert list(map(why, campaigns)) == [["brand_daily_budget"]] * 2 + [["brand_monthly_budget"]] * 2 + [[]] * 2


def test_crossing_one_brand_leaves_the_others_alone() -> None:
    one, two = (factories.campaign(factories.brand(daily_budget=10)) for _ in range(2))
    spend(one, 10)
    assert (why(one), why(two)) == (["brand_daily_budget"], [])


def test_with_the_scope_campaign_each_campaign_has_the_brands_budget_for_itself() -> None:
    brand = factories.brand(daily_budget=100, monthly_budget=150, budget_scope="campaign")
    one, two = factories.campaign(brand), factories.campaign(brand)
    spend(one, 99)
    receipt = spend(two, 100)
    assert [c.campaign_id for c in receipt.changes] == [two.pk]
    assert (why(one), why(two)) == ([], ["brand_daily_budget"])
    spend(two, 50, at=YESTERDAY)
    assert why(two) == ["brand_daily_budget", "brand_monthly_budget"]
    assert why(one) == []
    spend(two, -1, note="back")
    assert why(two) == []


def test_changing_the_scope_judges_at_once() -> None:
    brand = factories.brand(daily_budget=100)
    one, two = factories.campaign(brand), factories.campaign(brand)
    record_spend([event(one, 70), event(two, 50)], now=NOW)
    assert why(one) == why(two) == ["brand_daily_budget"]
    catalog.update_brand(brand_id=brand.pk, budget_scope="campaign", now=NOW)
    assert why(one) == why(two) == []
    catalog.update_brand(brand_id=brand.pk, budget_scope="brand", now=NOW)
    assert why(one) == why(two) == ["brand_daily_budget"]


# --- Several budgets -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_brand", "own", "spent", "reasons"),
    [
        ({"daily_budget": 100}, {"daily_budget": 50}, "50", "campaign_daily_budget"),
        ({"daily_budget": 50}, {"daily_budget": 100}, "50", "brand_daily_budget"),
        ({"daily_budget": 50}, {"daily_budget": 50}, "50", "brand_daily_budget campaign_daily_budget"),
        ({"daily_budget": 100, "monthly_budget": 60}, {}, "60", "brand_monthly_budget"),
        ({"monthly_budget": 500}, {"daily_budget": 100, "monthly_budget": 400, "total_budget": 30}, "30",
         "campaign_total_budget"),
        ({"daily_budget": 10, "monthly_budget": 10}, {"daily_budget": 10, "monthly_budget": 10, "total_budget": 10},
         "10", " ".join(BUDGETS)),
        ({"daily_budget": 51}, {"daily_budget": 51, "total_budget": 51}, "50", ""),
    ],
)  # fmt: skip
def test_the_tightest_budget_wins_and_every_spent_one_is_named(
    of_brand: dict[str, Any], own: dict[str, Any], spent: str, reasons: str
) -> None:
    campaign = factories.campaign(factories.brand(**of_brand), **own)
    spend(campaign, spent)
    assert why(campaign) == reasons.split()


def test_a_campaigns_own_budget_pauses_nobody_else() -> None:
    brand = factories.brand(daily_budget=100)
    capped, free = factories.campaign(brand, daily_budget=10), factories.campaign(brand)
    spend(capped, 10)
    assert (why(capped), why(free)) == (["campaign_daily_budget"], [])
    spend(free, 90)
    assert why(capped) == ["brand_daily_budget", "campaign_daily_budget"]
    assert why(free) == ["brand_daily_budget"]
    catalog.update_brand(brand_id=brand.pk, daily_budget=None, now=NOW)
    assert (why(capped), why(free)) == (["campaign_daily_budget"], [])


def test_a_campaign_that_crosses_while_another_reason_holds_has_both() -> None:
    brand = factories.brand(daily_budget=10)
    campaign = factories.campaign(brand, flight_end=NOW.date())
    catalog.set_window(campaign_id=campaign.pk, start_hour=20, end_hour=22, now=NOW)
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    spend(campaign, 10)
    assert why(campaign) == ["manual", "brand_daily_budget", "schedule"]


# --- Which period ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "reasons"),
    [
        (NOW, "brand_daily_budget brand_monthly_budget campaign_daily_budget campaign_total_budget"),
        (YESTERDAY, "brand_monthly_budget campaign_total_budget"),
        (LAST_MONTH, "campaign_total_budget"),
    ],
)
def test_late_spend_crosses_only_the_budgets_of_its_own_day_and_month(at: Any, reasons: str) -> None:
    brand = factories.brand(daily_budget=10, monthly_budget=10)
    campaign = factories.campaign(brand, daily_budget=10, total_budget=10)
    spend(campaign, 10, at=at)
    assert why(campaign) == reasons.split()


def test_spend_a_little_ahead_over_midnight_does_not_pause_today() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    late = NOW.replace(hour=23, minute=58)
    spend(campaign, 10, now=late, at=late + timedelta(minutes=4))
    assert why(campaign) == []
    assert reading.counted(campaign.brand, Period.DAY, "2025-06-19") == Decimal(10)


# --- In the same transaction -----------------------------------------------------------------


def test_spend_that_is_rolled_back_pauses_nobody() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    with transaction.atomic():
        spend(campaign, 10)
        assert why(campaign) == ["brand_daily_budget"]
        transaction.set_rollback(True)
    assert (why(campaign), reading.steps(campaign), reading.counters()) == ([], [], {})


def test_a_verdict_that_fails_takes_the_spend_back(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))

    def fail(*args: object) -> None:
        raise RuntimeError("the database went away")

    monkeypatch.setattr("campaigns.services.status._store", fail)
    with pytest.raises(RuntimeError):
        spend(campaign, 10)
    assert (why(campaign), reading.steps(campaign), reading.counters()) == ([], [], {})


# --- The brief's own calculation -------------------------------------------------------------


@pytest.mark.parametrize("scope", ["brand", "campaign"])
def test_a_day_of_spend_step_by_step(scope: str) -> None:
    """Every step is judged by the pure rule on the ledger, whatever crossed."""
    brand = factories.brand(daily_budget=50, monthly_budget=120, budget_scope=scope)
    campaigns = [
        factories.campaign(brand),
        factories.campaign(brand, daily_budget=20),
        factories.campaign(brand, monthly_budget=40, total_budget=45),
        factories.campaign(factories.brand()),
    ]
    for step, amount in enumerate([15, 5, 25, 20, -30, 60, 1, -70, 30, 30, -100, 45]):
        campaign, at = campaigns[step % 4], [NOW, YESTERDAY, NOW, LAST_MONTH, NOW][step % 5]
        spend(campaign, amount, at=at, note="correction" if amount < 0 else "")
        reading.assert_all_is_sound(NOW)
