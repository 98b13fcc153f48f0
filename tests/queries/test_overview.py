"""The overview: sums by currency, campaigns by reason, brands by what needs attention, hours, the latest changes."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Unpack
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.models import Brand, BrandCounter, BrandHour, Campaign, StatusChange
from campaigns.queries.changes import latest_changes
from campaigns.queries.listing import brand_figures
from campaigns.queries.overview import (
    BrandAttention,
    CurrencyHours,
    Level,
    Overview,
    PeriodSpend,
    overview,
)
from campaigns.queries.standing import Limit
from campaigns.rules import money
from campaigns.rules.reasons import Reason
from campaigns.rules.verdict import BudgetScope
from campaigns.services import catalog, enforcement
from campaigns.services.catalog import BrandFields
from campaigns.services.holds import HoldAsk, place_holds
from campaigns.services.hours import sum_hours
from campaigns.services.status import Actor
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

UNIT = money.MICROS
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def seen(*, brand_ids: list[int] | None = None, attention: int = 12, now: datetime = NOW) -> Overview:
    return overview(now=now, brand_ids=brand_ids, attention=attention)


def spent(amount: Decimal | str | int, **fields: Unpack[BrandFields]) -> Brand:
    """A brand with one campaign that has spent an amount today."""
    brand = factories.brand(**fields)
    campaign = factories.campaign(brand)
    if amount:
        factories.spend(campaign, amount)
    return brand


# --- Nothing there ---------------------------------------------------------------------------


@pytest.mark.parametrize("brand_ids", [None, [], [7]])
def test_without_brands_everything_is_empty(brand_ids: list[int] | None) -> None:
    found = seen(brand_ids=brand_ids)
    assert (found.currencies, found.attention, found.hours, found.changes, found.by_reason) == ([], [], [], [], [])
    assert (found.brands, found.campaigns, found.active, found.paused, found.more_brands) == (0, 0, 0, 0, 0)
    assert found.levels == dict.fromkeys(Level, 0)


def test_who_may_see_no_brand_sees_none() -> None:
    spent(1, daily_budget=1)
    found = seen(brand_ids=[])
    assert (found.currencies, found.attention, found.hours, found.changes, found.campaigns) == ([], [], [], [], 0)


def test_who_may_see_some_brands_sees_nothing_of_the_others() -> None:
    mine, other = spent(1, daily_budget=1, currency="EUR"), spent(2, daily_budget=2, currency="USD")
    sum_hours(now=NOW)
    found = seen(brand_ids=[mine.pk])
    assert [spend.currency for spend in found.currencies] == ["EUR"]
    assert [brand.id for brand in found.attention] == [mine.pk]
    assert [hours.currency for hours in found.hours] == ["EUR"]
    assert {change.brand_id for change in found.changes} == {mine.pk}
    assert (found.brands, found.campaigns, found.paused, found.more_brands) == (1, 1, 1, 0)
    assert sum(found.levels.values()) == 1
    assert {change.brand_id for change in seen().changes} == {mine.pk, other.pk}


def test_what_is_archived_is_left_out() -> None:
    brand, gone = spent(1), spent(5, daily_budget=5)
    catalog.archive_campaign(campaign_id=factories.campaign(brand).pk, now=NOW)
    catalog.archive_brand(brand_id=gone.pk, now=NOW)
    found = seen()
    assert (found.brands, found.campaigns, found.active, found.paused) == (1, 1, 1, 0)
    assert [row.id for row in found.attention] == [brand.pk]
    assert found.attention[0].campaigns == 1
    assert found.currencies[0].day.spent == UNIT


# --- Spend by currency -----------------------------------------------------------------------


def test_spend_is_held_against_the_budgets_of_those_who_have_one() -> None:
    spent(9, daily_budget=10, monthly_budget=5)
    spent(12, daily_budget=10)
    spent(30)
    spent(40, daily_budget=10, budget_scope="campaign")
    (usd,) = seen().currencies
    assert (usd.currency, usd.brands) == ("USD", 4)
    assert usd.day == PeriodSpend(
        spent=91 * UNIT, budget=20 * UNIT, budgeted_spent=21 * UNIT, without_budget=2, overspend=2 * UNIT
    )
    assert usd.month == PeriodSpend(
        spent=91 * UNIT, budget=5 * UNIT, budgeted_spent=9 * UNIT, without_budget=3, overspend=4 * UNIT
    )


def test_no_budget_at_all_is_none_and_a_budget_of_nothing_is_one() -> None:
    spent(3, currency="EUR")
    spent(3, currency="GBP", daily_budget=0)
    eur, gbp = seen().currencies
    assert (eur.day.budget, eur.day.without_budget, eur.day.overspend) == (None, 1, 0)
    assert (gbp.day.budget, gbp.day.without_budget, gbp.day.overspend) == (0, 0, 3 * UNIT)


def test_each_brand_is_summed_in_its_own_day_and_month() -> None:
    midnight = datetime(2025, 6, 30, 22, 30, tzinfo=UTC)  # the 1st of July in Paris, the 30th of June in New York
    for zone in ("Europe/Paris", "America/New_York"):
        campaign = factories.campaign(factories.brand(timezone=zone), now=midnight)
        factories.spend(campaign, 1, at=midnight - HOUR, now=midnight)
        factories.spend(campaign, 10, at=midnight, now=midnight)
    (usd,) = seen(now=midnight).currencies
    assert (usd.day.spent, usd.month.spent) == ((10 + 11) * UNIT, (10 + 11) * UNIT)


def test_currencies_come_by_their_number_of_brands_then_by_code() -> None:
    for currency in ("USD", "EUR", "CHF", "EUR"):
        factories.brand(currency=currency, timezone="Asia/Tokyo" if currency == "EUR" else "UTC")
    assert [spend.currency for spend in seen().currencies] == ["EUR", "CHF", "USD"]
    assert [hours.currency for hours in seen().hours] == ["EUR", "CHF", "USD"]


# --- Campaigns by status ---------------------------------------------------------------------


def test_a_campaign_counts_in_each_of_its_reasons() -> None:
    brand = spent(5, daily_budget=5)
    both = factories.campaign(brand)
    catalog.pause(campaign_id=both.pk, now=NOW)
    catalog.pause(campaign_id=factories.campaign().pk, now=NOW)
    catalog.pause(campaign_id=factories.campaign().pk, now=NOW)
    factories.campaign()
    found = seen()
    assert (found.campaigns, found.active, found.paused) == (5, 1, 4)
    assert found.by_reason == [(Reason.MANUAL, 3), (Reason.BRAND_DAILY_BUDGET, 2)]


# --- Brands by what needs attention ----------------------------------------------------------


def test_the_worst_come_first_then_the_highest_share_then_the_name() -> None:
    spent("7.99", name="fine", daily_budget=10)
    spent(0, name="nothing")
    spent(8, name="nearly", daily_budget=10, monthly_budget=1000)
    spent(9, name="nearer by the month", monthly_budget=10)
    spent(10, name="b exhausted", daily_budget=10)
    spent(10, name="a exhausted", daily_budget=10, monthly_budget=10)
    spent(0, name="c budget of nothing", daily_budget=0)
    spent(11, name="overspent", daily_budget=10)
    spent(12, name="overspent more", daily_budget=1000, monthly_budget=10)
    found = seen()
    assert [(brand.level, brand.name) for brand in found.attention] == [
        (Level.OVERSPENT, "overspent more"),
        (Level.OVERSPENT, "overspent"),
        (Level.EXHAUSTED, "a exhausted"),
        (Level.EXHAUSTED, "b exhausted"),
        (Level.EXHAUSTED, "c budget of nothing"),
        (Level.NEARLY, "nearer by the month"),
        (Level.NEARLY, "nearly"),
        (Level.FINE, "fine"),
        (Level.FINE, "nothing"),
    ]
    assert found.levels == {Level.OVERSPENT: 2, Level.EXHAUSTED: 3, Level.NEARLY: 2, Level.FINE: 2}


def test_only_so_many_are_shown_and_the_rest_is_counted() -> None:
    for amount in range(9):
        spent(amount, daily_budget=8)
    found = seen(attention=3)
    assert [brand.day.spent for brand in found.attention] == [8 * UNIT, 7 * UNIT, 6 * UNIT]
    assert found.more_brands == 6
    assert found.levels == {Level.OVERSPENT: 0, Level.EXHAUSTED: 1, Level.NEARLY: 1, Level.FINE: 7}


def test_a_brand_is_told_with_its_clock_limits_and_campaigns() -> None:
    now = NOW + 10 * HOUR  # already the 19th in Tokyo
    brand = factories.brand(name="Acme", timezone="Asia/Tokyo", currency="JPY", daily_budget=10, monthly_budget=100)
    one, two = factories.campaign(brand), factories.campaign(brand)
    factories.spend(one, 4)
    factories.spend(one, 1, now=now)
    catalog.pause(campaign_id=two.pk, now=now)
    assert seen(now=now).attention == [
        BrandAttention(
            id=brand.pk,
            name="Acme",
            zone=ZoneInfo("Asia/Tokyo"),
            currency="JPY",
            scope=BudgetScope.BRAND,
            today=date(2025, 6, 19),
            day=Limit(10 * UNIT, UNIT),
            month=Limit(100 * UNIT, 5 * UNIT),
            active=1,
            campaigns=2,
            level=Level.FINE,
            day_each=None,
            month_each=None,
        )
    ]


def test_what_is_held_is_told_but_not_what_has_expired() -> None:
    brand = factories.brand(daily_budget=100)
    campaign = factories.campaign(brand)
    for key, minutes in (("short", 1), ("long", 60)):
        ask = HoldAsk(key=key, campaign_id=campaign.pk, amount="7", ttl_seconds=60 * minutes)
        place_holds([ask], now=NOW)
    assert [row.day.held for row in seen().attention] == [14 * UNIT]
    later = seen(now=NOW + timedelta(minutes=2)).attention[0]
    assert (later.day.held, later.month.held) == (7 * UNIT, 7 * UNIT)


def test_budgets_that_bind_each_campaign_alone_are_none_of_the_brands() -> None:
    alone: dict[str, Any] = {"budget_scope": "campaign", "daily_budget": 10}
    fine, stopped = factories.brand(name="fine", **alone), factories.brand(name="stopped", **alone)
    spenders = [factories.campaign(brand) for brand in (fine, stopped)]
    for brand in (fine, stopped):
        factories.campaign(brand)
        factories.campaign(brand)
    for campaign, amount in zip(spenders, (9, 10), strict=True):
        factories.spend(campaign, amount)
    first, second = seen().attention
    assert (first.name, first.level, first.active, first.campaigns) == ("stopped", Level.EXHAUSTED, 2, 3)
    assert (second.name, second.level, second.day) == ("fine", Level.FINE, Limit(None, 9 * UNIT))
    catalog.archive_campaign(campaign_id=spenders[1].pk, now=NOW)
    assert seen().levels[Level.EXHAUSTED] == 0


MICROS = st.integers(0, 30) | st.sampled_from([799_999, 800_000, 999_999, 10**6, 10**12, 8 * 10**17, 10**18])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(brands=st.lists(st.tuples(st.none() | MICROS, st.none() | MICROS, MICROS | st.just(9 * 10**18)), max_size=6))
def test_brands_are_ranked_as_exact_arithmetic_ranks_them(brands: list[tuple[int | None, int | None, int]]) -> None:
    BrandCounter.objects.all().delete()
    Brand.objects.all().delete()
    expected: list[tuple[int, Level]] = []
    for day, month, micros in brands:
        budgets = [None if budget is None else money.from_micros(budget) for budget in (day, month)]
        brand = Brand.objects.create(
            name=f"Brand {len(expected)}", timezone="UTC", daily_budget=budgets[0], monthly_budget=budgets[1]
        )
        for period, start in ((1, NOW.date()), (2, NOW.date().replace(day=1))):
            BrandCounter.objects.create(brand=brand, period=period, start=start, spent=money.from_micros(micros))
        expected.append((brand.pk, max(_level(micros, budget) for budget in (day, month))))
    found = seen().attention
    assert sorted((brand.id, brand.level) for brand in found) == expected
    levels = [brand.level for brand in found]
    assert levels == sorted(levels, reverse=True)
    for one, two in itertools.pairwise(found):
        if one.level == two.level and one.day.spent < 10**14 and two.day.spent < 10**14:
            assert _share(one) + 1 >= _share(two)


def _level(micros: int, budget: int | None) -> Level:
    if budget is None:
        return Level.FINE
    if micros > budget:
        return Level.OVERSPENT
    if micros == budget or budget == 0:
        return Level.EXHAUSTED
    return Level.NEARLY if 5 * micros >= 4 * budget else Level.FINE


def _share(brand: BrandAttention) -> int:
    """The higher of the two shares in ten-thousandths."""
    limits = [limit for limit in (brand.day, brand.month) if limit.budget is not None]
    shares = [limit.spent * 10_000 // limit.budget if limit.budget else 10_000 for limit in limits]
    return max(shares, default=-1)


# --- Spend by hour ---------------------------------------------------------------------------


def hours_of(found: Overview, currency: str = "USD") -> CurrencyHours:
    return next(hours for hours in found.hours if hours.currency == currency)


def units(*spent: tuple[int, int], until: int) -> list[int | None]:
    """A list of 24 hours with some amounts in it, None from an hour on."""
    amounts = dict(spent)
    return [amounts.get(hour, 0) * UNIT if hour < until else None for hour in range(24)]


def test_hours_are_held_against_the_average_of_the_days_before() -> None:
    campaign = factories.campaign()
    for back in range(9):
        factories.spend(campaign, 7 + back, at=NOW - back * DAY - HOUR)
    factories.spend(campaign, 2)
    sum_hours(now=NOW)
    hours = hours_of(seen())
    assert hours.today == units((11, 7), (12, 2), until=13)
    assert hours.days == 7
    assert hours.before == [0] * 11 + [sum(range(8, 15)) * UNIT // 7] + [0] * 12


def test_the_average_is_of_the_days_that_there_were() -> None:
    campaign = factories.campaign()
    factories.spend(campaign, 9, at=NOW - 3 * DAY)
    sum_hours(now=NOW)
    hours = hours_of(seen())
    assert (hours.days, hours.before[12]) == (3, 3 * UNIT)
    assert hours.today == units(until=13)


def test_what_is_not_summed_yet_is_in_the_current_hour_of_each_clock() -> None:
    here, there = factories.campaign(), factories.campaign(factories.brand(timezone="America/New_York"))
    for campaign in (here, there):
        factories.spend(campaign, 5, at=NOW - 2 * HOUR)
    sum_hours(now=NOW)
    factories.spend(here, 1)
    factories.spend(there, 2, at=NOW - 2 * HOUR)
    found = seen()
    assert hours_of(found).today == units((6, 5), (8, 2), (10, 5), (12, 1), until=13)  # 12:00 here, 08:00 there
    assert sum(spent or 0 for spent in hours_of(found).today) == found.currencies[0].day.spent


def test_without_any_stored_hour_all_is_in_the_current_one() -> None:
    spent(5)
    hours = hours_of(seen())
    assert hours.today == units((12, 5), until=13)
    assert (hours.before, hours.days) == ([0] * 24, 0)


def test_an_hour_is_to_come_until_a_brand_of_the_currency_has_reached_it() -> None:
    factories.brand(timezone="America/New_York")
    factories.brand(timezone="Asia/Tokyo")
    factories.brand(timezone="America/New_York", currency="EUR")
    found = seen()
    assert hours_of(found).today.count(None) == 2  # 21:00 in Tokyo
    assert hours_of(found, "EUR").today.count(None) == 15  # 08:00 in New York


def test_spend_of_an_hour_to_come_is_shown_all_the_same() -> None:
    brand = spent(5)
    BrandHour.objects.create(brand=brand, day=NOW.date(), hour=13, spent=5)
    assert hours_of(seen()).today == units((13, 5), until=13)[:13] + [5 * UNIT] + [None] * 10


# --- The latest changes ----------------------------------------------------------------------


def test_changes_are_told_newest_first_with_their_figures() -> None:
    brand = factories.brand(name="Acme", daily_budget=10, currency="EUR", timezone="Europe/Paris")
    campaign = factories.campaign(brand, name="Spring")
    factories.spend(campaign, 11)
    catalog.update_brand(brand_id=brand.pk, now=NOW + HOUR, daily_budget=20)
    raised, paused = seen(now=NOW + HOUR).changes
    assert raised.id > paused.id
    assert (paused.from_reasons, paused.to_reasons) == (Reason(0), Reason.BRAND_DAILY_BUDGET)
    assert (paused.at, paused.zone.key, paused.currency) == (NOW, "Europe/Paris", "EUR")
    assert (paused.campaign_id, paused.campaign, paused.brand_id, paused.brand) == (
        campaign.pk, "Spring", brand.pk, "Acme",
    )  # fmt: skip
    assert paused.limits == {Reason.BRAND_DAILY_BUDGET: Limit(10 * UNIT, 11 * UNIT)}
    assert raised.limits == {Reason.BRAND_DAILY_BUDGET: Limit(20 * UNIT, 11 * UNIT)}
    assert (paused.cause, raised.cause) == (StatusChange.Cause.SPEND, StatusChange.Cause.BUDGET)
    assert (paused.resumes_at, raised.resumes_at) == (None, None)


def test_a_campaign_that_is_still_paused_is_told_with_its_resumption() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10, timezone="Europe/Paris"))
    factories.spend(campaign, 10)
    (change,) = seen().changes
    assert change.resumes_at == datetime(2025, 6, 18, 22, tzinfo=UTC)
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    assert [change.resumes_at for change in seen().changes] == [None, None]  # a person's pause does not end by itself
    catalog.resume(campaign_id=campaign.pk, now=NOW)
    latest, _, first = seen().changes
    assert (latest.resumes_at, first.resumes_at) == (datetime(2025, 6, 18, 22, tzinfo=UTC), None)


def test_budgets_that_bind_each_campaign_alone_are_told_with_what_that_one_spent() -> None:
    brand = factories.brand(daily_budget=10, budget_scope="campaign")
    factories.spend(factories.campaign(brand), 4)
    factories.spend(factories.campaign(brand), 10)
    (change,) = seen().changes
    assert change.limits == {Reason.BRAND_DAILY_BUDGET: Limit(10 * UNIT, 10 * UNIT)}


def test_who_did_it_is_named() -> None:
    maria = User.objects.create(username="maria")
    campaign = factories.campaign()
    catalog.pause(campaign_id=campaign.pk, now=NOW, by=Actor(user_id=maria.pk), note="wait")
    (change,) = seen().changes
    assert (change.actor, change.api_key, change.note) == ("maria", None, "wait")
    maria.delete()
    assert seen().changes[0].actor is None


@pytest.mark.parametrize("limited", [False, True])
def test_changes_of_deleted_campaigns_are_left_out_and_do_not_take_up_room(limited: bool) -> None:
    brand = factories.brand()
    kept = factories.campaign(brand)
    catalog.pause(campaign_id=kept.pk, now=NOW)
    for _ in range(15):
        gone = factories.campaign(brand)
        catalog.pause(campaign_id=gone.pk, now=NOW)
        catalog.delete_campaign(campaign_id=gone.pk, now=NOW)
    assert [change.campaign_id for change in seen(brand_ids=[brand.pk] if limited else None).changes] == [kept.pk]


@pytest.mark.parametrize("limited", [False, True])
def test_only_the_latest_twelve_are_told(limited: bool) -> None:
    brands = [factories.brand() for _ in range(3)]
    campaigns = [factories.campaign(brands[at % 3]) for at in range(30)]
    for campaign in campaigns:
        catalog.pause(campaign_id=campaign.pk, now=NOW)
    ids = [brand.pk for brand in brands] if limited else None
    told = [change.campaign_id for change in seen(brand_ids=ids).changes]
    assert told == [campaign.pk for campaign in reversed(campaigns)][:12]


# --- Together --------------------------------------------------------------------------------


def test_it_says_what_the_lists_say() -> None:
    for at in range(6):
        brand = factories.brand(daily_budget=10, monthly_budget=50, timezone=["UTC", "Asia/Tokyo"][at % 2])
        for part in range(3):
            factories.spend(factories.campaign(brand), 1 + at * part, at=NOW - at * 5 * HOUR)
    enforcement.enforce_all(now=NOW)
    found = seen()
    listed = brand_figures(list(Brand.objects.all()), now=NOW)
    for row in found.attention:
        figures = listed[row.id]
        assert (row.day, row.month, row.active, row.campaigns) == (
            figures.day, figures.month, figures.active, figures.campaigns,
        )  # fmt: skip
    assert found.active == Campaign.objects.filter(is_active=True).count()


@pytest.mark.parametrize("limited", [False, True])
def test_its_statements_do_not_grow(limited: bool) -> None:
    def statements() -> list[str]:
        brand_ids = list(Brand.objects.values_list("pk", flat=True)) if limited else None
        with CaptureQueriesContext(connection) as captured:
            seen(brand_ids=brand_ids)
        return [query["sql"] for query in captured.captured_queries]

    spent(5, daily_budget=5)
    few = statements()
    for at in range(20):
        spent(
            5, daily_budget=5, timezone=["UTC", "Asia/Tokyo", "Europe/Paris"][at % 3], currency=["USD", "EUR"][at % 2]
        )
    sum_hours(now=NOW)
    many = statements()
    assert len(many) == len(few) <= (10 if limited else 9)
    assert not any("spendlog" in sql for sql in many)


def test_the_journal_is_told_as_it_was_when_the_scope_has_changed_since() -> None:
    """What was paused by the sum of the brand is not told as if a campaign alone had spent the budget."""
    brand = factories.brand(daily_budget=100)
    one, two = factories.campaign(brand), factories.campaign(brand)
    factories.spend(one, 40)
    factories.spend(two, 60)
    catalog.update_brand(brand_id=brand.pk, budget_scope="campaign", now=NOW + HOUR)
    paused = [change for change in latest_changes(now=NOW + HOUR) if change.to_reasons]
    assert {change.limits[Reason.BRAND_DAILY_BUDGET] for change in paused} == {Limit(100 * UNIT, 100 * UNIT)}


def test_a_brand_whose_budgets_bind_each_campaign_alone_is_told_with_what_each_may_spend() -> None:
    factories.campaign(factories.brand(daily_budget=10, monthly_budget=20, budget_scope="campaign"))
    (brand,) = seen().attention
    assert (brand.day.budget, brand.day_each, brand.month_each) == (None, 10 * UNIT, 20 * UNIT)
