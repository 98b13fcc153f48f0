"""Month to day: the daily budget out of what is left of the month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, Campaign, Edit
from campaigns.rules.errors import BudgetError, InvalidFieldError
from campaigns.services import bulk, catalog, reset_daily_budgets
from campaigns.services.bulk import BudgetChange, How
from tests import factories
from tests.factories import spend
from tests.services.reading import why

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
FIRST = datetime(2025, 6, 1, 12, tzinfo=UTC)  # a month of 30 days


def owner(kind: str, **fields: Any) -> Brand | Campaign:
    terms = {"monthly_budget": 300, "daily_from_month": True, **fields}
    return factories.brand(now=FIRST, **terms) if kind == "brand" else factories.campaign(now=FIRST, **terms)


def daily(of: Brand | Campaign) -> Decimal | None:
    of.refresh_from_db()
    return of.daily_budget


def change(of: Brand | Campaign, *, now: datetime = FIRST, **fields: Any) -> None:
    if isinstance(of, Brand):
        catalog.update_brand(brand_id=of.pk, now=now, **fields)
    else:
        catalog.update_campaign(campaign_id=of.pk, now=now, **fields)


def campaign_of(of: Brand | Campaign) -> Campaign:
    """The campaign that spends for an owner."""
    return of if isinstance(of, Campaign) else of.campaigns.first() or factories.campaign(of, now=FIRST)


both = pytest.mark.parametrize("kind", ["brand", "campaign"])


@both
def test_it_holds_from_when_it_is_switched_on(kind: str) -> None:
    assert daily(owner(kind)) == 10
    later = owner(kind, daily_from_month=False)
    assert daily(later) is None
    change(later, daily_from_month=True)
    assert daily(later) == 10
    change(later, monthly_budget=600)
    assert daily(later) == 20
    change(later, daily_most=15, daily_least=1)
    assert daily(later) == 15


@both
def test_each_day_gets_its_part_of_what_is_left(kind: str) -> None:
    of = owner(kind)
    spend(campaign_of(of), 68, now=FIRST)
    reset_daily_budgets(now=FIRST)
    assert daily(of) == 10  # what is spent today does not move it
    reset_daily_budgets(now=FIRST + DAY)
    assert daily(of) == 8
    assert why(campaign_of(of)) == []
    reset_daily_budgets(now=FIRST + DAY)
    reset_daily_budgets(now=FIRST + 29 * DAY)  # some midnights were missed
    assert daily(of) == 232
    reset_daily_budgets(now=FIRST + 30 * DAY)
    assert daily(of) == Decimal("9.677419")  # July has 31


@both
def test_it_is_judged_in_the_same_roll_over(kind: str) -> None:
    of = owner(kind)
    campaign = campaign_of(of)
    spend(campaign, 300, now=FIRST)
    reset_daily_budgets(now=FIRST + DAY)
    assert daily(of) == 0
    assert f"{kind}_daily_budget" in why(campaign)


@both
def test_the_record_says_that_nobody_set_it(kind: str) -> None:
    of = owner(kind)
    spend(campaign_of(of), 68, now=FIRST)
    reset_daily_budgets(now=FIRST + DAY)
    edit = Edit.objects.order_by("-pk").first()
    assert edit is not None
    assert (edit.verb, edit.changes, edit.actor, edit.api_key) == (
        "divided",
        {"daily_budget": ["10.00", "8.00"]},
        None,
        None,
    )
    assert edit.campaign_id == (None if kind == "brand" else of.pk)
    number = Edit.objects.count()
    reset_daily_budgets(now=FIRST + DAY)
    bulk.share_months([campaign_of(of).brand_id], now=FIRST + DAY)
    assert Edit.objects.count() == number


@both
def test_nobody_sets_the_daily_budget_meanwhile(kind: str) -> None:
    of = owner(kind)
    with pytest.raises(InvalidFieldError, match=r"^Daily budget: it is set from the month; switch that off") as refused:
        change(of, daily_budget=5)
    assert refused.value.field == "daily_budget"
    change(of, daily_budget=None, name="Renamed")  # none of its own
    change(of, daily_budget=10)  # what it is
    assert daily(of) == 10
    change(of, daily_from_month=False, daily_budget=5)
    assert daily(of) == 5
    with pytest.raises(BudgetError, match="Daily budget: it is set from the month"):
        owner(kind, daily_budget=5)


def test_many_at_once_are_refused_with_the_name_of_the_one() -> None:
    managed = factories.campaign(now=FIRST, name="Managed", monthly_budget=300, daily_from_month=True)
    other = factories.campaign(now=FIRST, daily_budget=5)
    with pytest.raises(BudgetError, match=r"^Managed: Daily budget: it is set from the month"):
        bulk.change_budgets([managed.pk, other.pk], BudgetChange("daily_budget", How.SET, Decimal(7)), now=FIRST)
    assert daily(other) == 5


@both
@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"monthly_budget": None}, "monthly_budget", "Daily from month: it takes a monthly budget to divide;"),
        ({"daily_least": 5, "daily_most": 4}, "daily_most", "Daily most: give an amount that is not below"),
        ({"daily_least": -1}, "daily_least", "Daily least: "),
        ({"pacing": "slow"}, "pacing", "Pacing: give one of asap, even."),
    ],
)
def test_what_can_not_be_together(kind: str, fields: dict[str, Any], field: str, sentence: str) -> None:
    of = owner(kind)
    with pytest.raises(InvalidFieldError, match=f"^{sentence}") as refused:
        change(of, **fields)
    assert refused.value.field == field


@both
def test_even_pacing_takes_a_budget(kind: str) -> None:
    of = owner(kind, monthly_budget=None, daily_from_month=False)
    with pytest.raises(InvalidFieldError, match=r"^Pacing: even pacing takes a budget to spread") as refused:
        change(of, pacing="even")
    assert refused.value.field == "pacing"
    change(of, pacing="even", monthly_budget=10)
    with pytest.raises(InvalidFieldError, match=r"^Pacing: even pacing takes a budget to spread") as refused:
        change(of, monthly_budget=None)
    assert refused.value.field == "monthly_budget"


def test_even_pacing_may_take_the_budgets_of_a_brand_that_bind_each_alone() -> None:
    alone = factories.brand(daily_budget=10, budget_scope="campaign")
    assert factories.campaign(alone, pacing="even").pacing == "even"
    together = factories.brand(daily_budget=10)
    with pytest.raises(InvalidFieldError):
        factories.campaign(together, pacing="even")


def test_hours_move_it_at_once() -> None:
    campaign = factories.campaign(now=FIRST, monthly_budget=300, daily_from_month=True)
    grid = "0" * 6 * 24 + "1" * 24  # Sundays; the 1st of June 2025 is one, and five are in it
    catalog.set_grid(campaign_id=campaign.pk, grid=grid, now=FIRST)
    assert daily(campaign) == 60
    catalog.set_grid(campaign_id=campaign.pk, grid=grid[::-1], now=FIRST)
    assert daily(campaign) == 0
    catalog.clear_schedule(campaign_id=campaign.pk, now=FIRST)
    assert daily(campaign) == 10


def test_many_take_as_many_statements_as_one() -> None:
    brand = factories.brand(now=FIRST, monthly_budget=3000, daily_from_month=True)

    def statements(now: datetime) -> int:
        with CaptureQueriesContext(connection) as queries:
            bulk.share_months([brand.pk], now=now)
        return len(queries)

    factories.campaign(brand, now=FIRST, monthly_budget=300, daily_from_month=True)
    few = statements(FIRST + DAY)
    for _ in range(20):
        factories.campaign(brand, now=FIRST, monthly_budget=300, daily_from_month=True)
    assert statements(FIRST + 2 * DAY) == few
