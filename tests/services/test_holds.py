"""Holds, one at a time and many in a call: what is granted, what is refused and why, and what frees it again.

That nothing is overspent when many ask at once is tested in `test_hold_races.py`.
"""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, Campaign, Hold, SpendLog
from campaigns.models.figures import Campaigns
from campaigns.queries.holds import HoldRow, find_hold
from campaigns.queries.standing import campaign_standings, standing
from campaigns.rules import money, reasons
from campaigns.rules.errors import BudgetError
from campaigns.rules.periods import Period
from campaigns.rules.reasons import Reason
from campaigns.services import audit, catalog, counters, holds
from campaigns.services import spend as spending
from campaigns.services.counters import BudgetDay, Key
from campaigns.services.enforcement import enforce_all
from campaigns.services.holds import MAX_ASKS, Refusal, Refused, expire_holds, place_holds, release_holds
from campaigns.services.spend import Outcome, record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services import reading
from tests.services.holding import (
    ask,
    asked,
    assert_held_is_sound,
    granted,
    held,
    place,
    refusal,
    release,
    settle,
    settlement,
    stored,
)
from tests.services.reading import why
from tests.services.test_crossing import BUDGETS, bound_by

pytestmark = pytest.mark.django_db

UNIT = money.MICROS
RECORDED, DUPLICATE, CONFLICT, REJECTED = Outcome.RECORDED, Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.REJECTED
EVER = date(1970, 1, 1)
MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)


def held_of(owner: Campaign | Brand, now: datetime = NOW) -> int:
    """What the standing says is held of an owner's day."""
    brand_id = owner.pk if isinstance(owner, Brand) else owner.brand_id
    (found,) = standing(now=now, brand_ids=[brand_id])
    if isinstance(owner, Brand):
        return found.day.held
    return next(one.day.held for one in found.campaigns if one.id == owner.pk)


def left_of(campaign: Campaign, now: datetime = NOW) -> int | None:
    (found,) = standing(now=now, brand_ids=[campaign.brand_id])
    return next(one.left for one in found.campaigns if one.id == campaign.pk)


# --- What is granted -------------------------------------------------------------------------


@pytest.mark.parametrize("limit", BUDGETS)
def test_up_to_the_last_micro_of_a_limit_and_not_one_more(limit: str) -> None:
    campaign = bound_by(limit, 10)
    spend(campaign, 3)
    place(campaign, 5)
    refused = refusal(campaign, "2.000001")
    assert (refused.why, refused.left, refused.limit) == (Refusal.EXHAUSTED, 2 * UNIT, Reason[limit.upper()])
    assert refused.detail == (
        f"2.000001 is more than what is left, 2.00, of the {limit.replace('_', ' ')}: the rest is spent or held."
    )
    assert place(campaign, 2).amount == 2 * UNIT
    assert refusal(campaign, "0.000001").left == 0
    assert left_of(campaign) == 0
    assert why(campaign) == []  # what is held is not spent
    assert_held_is_sound()


@pytest.mark.parametrize("limit", [None, *BUDGETS])
def test_what_is_granted_is_held_in_all_five_counters(limit: str | None) -> None:
    campaign = bound_by(limit, 10) if limit else factories.campaign()
    row = place(campaign, "4.5", ttl=90)
    brand, own, month = campaign.brand_id, campaign.pk, date(2025, 6, 1)
    assert held() == dict.fromkeys(
        [
            (brand, 0, Period.DAY, NOW.date()),
            (brand, 0, Period.MONTH, month),
            (brand, own, Period.DAY, NOW.date()),
            (brand, own, Period.MONTH, month),
            (brand, own, Period.TOTAL, EVER),
        ],
        4_500_000,
    )
    assert row == find_hold(row.id)
    assert (row.asked, row.minimum, row.amount) == (4_500_000,) * 3
    assert (row.created_at, row.expires_at, row.day) == (NOW, NOW + timedelta(seconds=90), NOW.date())
    assert (row.state, row.event_id, row.brand_id, row.campaign_id) == (Hold.State.OPEN, "", brand, own)


def test_a_hold_lasts_a_minute_unless_told_otherwise() -> None:
    campaign = factories.campaign()
    (row,) = granted(place_holds([holds.HoldAsk(campaign.pk, "a", 1)], now=NOW))
    assert row.expires_at == NOW + MINUTE


@pytest.mark.parametrize(
    ("minimum", "left", "expected"),
    [
        (None, "10", "10"),
        (None, "9.999999", None),
        ("10", "9.999999", None),
        ("4", "10", "10"),
        ("4", "11", "10"),
        ("4", "9.999999", "9.999999"),
        ("4", "4", "4"),
        ("4", "3.999999", None),
        ("0.000001", "0.000001", "0.000001"),
        ("0.000001", "0", None),
    ],
)
def test_all_or_what_is_left_down_to_a_minimum(minimum: str | None, left: str, expected: str | None) -> None:
    campaign = factories.campaign(daily_budget=100)
    spend(campaign, 20)
    place(campaign, money.to_text(80 * UNIT - money.to_micros(left)))
    answer = asked(campaign, 10, minimum=minimum)
    if expected is None:
        assert isinstance(answer, Refused)
        assert (answer.why, answer.left) == (Refusal.EXHAUSTED, money.to_micros(left))
        assert answer.detail.startswith(f"{money.to_text(money.to_micros(minimum or 10))} is more than what is left")
    else:
        assert isinstance(answer, HoldRow)
        assert answer.amount == money.to_micros(expected)
        assert (answer.asked, answer.minimum) == (10 * UNIT, money.to_micros(minimum or 10))
    assert_held_is_sound()


def test_where_nothing_limits_everything_is_granted() -> None:
    campaign = factories.campaign()
    rows = granted(place_holds([ask(campaign, 1_000_000_000) for _ in range(50)], now=NOW))
    assert len(rows) == 50
    assert held_of(campaign) == 50 * money.MAX_AMOUNT
    assert left_of(campaign) is None


@pytest.mark.parametrize(
    ("of_brand", "own", "limit", "left"),
    [
        ({"daily_budget": 50}, {"daily_budget": 40}, "campaign_daily_budget", 40),
        ({"daily_budget": 40}, {"daily_budget": 50}, "brand_daily_budget", 40),
        ({"daily_budget": 40, "monthly_budget": 30}, {"total_budget": 35}, "brand_monthly_budget", 30),
        ({"daily_budget": 40}, {"monthly_budget": 39, "total_budget": 38}, "campaign_total_budget", 38),
        ({"daily_budget": 40}, {"monthly_budget": 37, "total_budget": 38}, "campaign_monthly_budget", 37),
        # As tight as each other: the first in the order in which reasons are told.
        ({"daily_budget": 40, "monthly_budget": 40}, {"daily_budget": 40}, "brand_daily_budget", 40),
        ({}, {"total_budget": 40, "monthly_budget": 40}, "campaign_monthly_budget", 40),
    ],
)
def test_the_tightest_limit_binds_and_is_named(
    of_brand: dict[str, Any], own: dict[str, Any], limit: str, left: int
) -> None:
    campaign = factories.campaign(factories.brand(**of_brand), **own)
    refused = refusal(campaign, 1000)
    assert (refused.limit, refused.left) == (Reason[limit.upper()], left * UNIT)
    assert place(campaign, 1000, minimum=1).amount == left * UNIT


@pytest.mark.parametrize("limit", ["daily_budget", "monthly_budget"])
@pytest.mark.parametrize("in_one_call", [True, False])
def test_a_brands_budget_binds_the_sum_of_its_campaigns(limit: str, in_one_call: bool) -> None:
    fields: dict[str, Any] = {limit: 10}
    brand = factories.brand(**fields)
    asks = [ask(factories.campaign(brand), 4) for _ in range(3)]
    answers = in_turn(asks, in_one_call)
    assert len(granted(answers)) == 2
    assert isinstance(answers[2], Refused)
    assert (answers[2].left, answers[2].limit) == (2 * UNIT, Reason[f"BRAND_{limit.upper()}"])
    assert held_of(brand) == 8 * UNIT
    assert_held_is_sound()


@pytest.mark.parametrize("limit", ["daily_budget", "monthly_budget"])
@pytest.mark.parametrize("in_one_call", [True, False])
def test_with_the_scope_campaign_each_has_the_brands_budget_for_itself(limit: str, in_one_call: bool) -> None:
    fields: dict[str, Any] = {limit: 10, "budget_scope": "campaign"}
    brand = factories.brand(**fields)
    one, two = factories.campaign(brand), factories.campaign(brand)
    spend(one, 5)
    answers = in_turn([ask(one, 4), ask(two, 4), ask(one, 4), ask(two, 4), ask(one, 1), ask(two, 4)], in_one_call)
    assert [isinstance(answer, HoldRow) for answer in answers] == [True, True, False, True, True, False]
    assert [answer.left for answer in answers if isinstance(answer, Refused)] == [1 * UNIT, 2 * UNIT]
    assert {answer.limit for answer in answers if isinstance(answer, Refused)} == {Reason[f"BRAND_{limit.upper()}"]}
    assert held_of(brand) == 13 * UNIT
    assert_held_is_sound()


def in_turn(asks: list[holds.HoldAsk], in_one_call: bool, now: datetime = NOW) -> list[HoldRow | Refused]:
    """Ask in one call, or in a call for each."""
    calls = [asks] if in_one_call else [[one] for one in asks]
    return [answer for call in calls for answer in place_holds(call, now=now)]


def test_budgets_changed_under_holds() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=100))
    place(campaign, 60)
    catalog.update_brand(brand_id=campaign.brand_id, daily_budget=50, now=NOW)
    assert why(campaign) == []
    refused = refusal(campaign, 1)
    assert (refused.left, refused.limit) == (0, Reason.BRAND_DAILY_BUDGET)
    assert left_of(campaign) == 0
    catalog.update_brand(brand_id=campaign.brand_id, daily_budget="61", now=NOW)
    assert refusal(campaign, 2).left == UNIT
    catalog.update_brand(brand_id=campaign.brand_id, budget_scope="campaign", daily_budget="62", now=NOW)
    assert place(campaign, 2).amount == 2 * UNIT
    catalog.update_brand(brand_id=campaign.brand_id, daily_budget=None, now=NOW)
    assert place(campaign, 1_000_000).amount == 1_000_000 * UNIT
    assert_held_is_sound()


def test_a_correction_gives_room_and_below_zero_more_than_the_budget() -> None:
    campaign = factories.campaign(daily_budget=10)
    spend(campaign, 9)
    assert refusal(campaign, 2).left == UNIT
    spend(campaign, -4, note="less")
    assert place(campaign, 5).amount == 5 * UNIT
    assert refusal(campaign, 1).left == 0
    spend(campaign, -8, note="below zero")
    assert place(campaign, 8).amount == 8 * UNIT
    assert refusal(campaign, "0.000001").left == 0
    assert_held_is_sound()


# --- What is refused -------------------------------------------------------------------------


def in_hours(campaign: Campaign, start: int, end: int) -> None:
    catalog.set_window(campaign_id=campaign.pk, start_hour=start, end_hour=end, now=NOW)


PAUSED: dict[str, tuple[dict[str, Any], Callable[[Campaign], object], str]] = {
    "a person": ({}, lambda c: catalog.pause(campaign_id=c.pk, now=NOW), "manual"),
    "its hours": ({}, lambda c: in_hours(c, 13, 14), "schedule"),
    "flight not begun": ({"flight_start": date(2025, 6, 19)}, lambda _: None, "not_started"),
    "flight over": ({"flight_end": date(2025, 6, 17)}, lambda _: None, "ended"),
    "spent": ({"daily_budget": 5}, lambda c: spend(c, 5), "campaign_daily_budget"),
    "no money at all": ({"total_budget": 0}, lambda _: None, "campaign_total_budget"),
    "below zero with no budget": ({"total_budget": 0}, lambda c: spend(c, -1, note="less"), "campaign_total_budget"),
    "several": (
        {"flight_end": date(2025, 6, 17), "monthly_budget": 5},
        lambda c: (spend(c, 6), catalog.pause(campaign_id=c.pk, now=NOW)),
        "manual campaign_monthly_budget ended",
    ),
}


@pytest.mark.parametrize(("fields", "act", "codes"), PAUSED.values(), ids=PAUSED)
def test_a_paused_campaign_gets_none_and_all_reasons(
    fields: dict[str, Any], act: Callable[[Campaign], object], codes: str
) -> None:
    campaign = factories.campaign(**fields)
    act(campaign)
    refused = refusal(campaign, "0.000001")
    assert (refused.why, reasons.codes(refused.reasons)) == (Refusal.PAUSED, codes.split())
    assert refused.detail == f"Campaign {campaign.pk} may not spend: {reasons.in_words(refused.reasons)}."
    assert held() == {}


def test_it_is_judged_now_and_not_by_the_stored_status() -> None:
    campaign = factories.campaign(daily_budget=5, flight_end=NOW.date() + timedelta(days=1))
    spend(campaign, 5)
    assert why(campaign) == ["campaign_daily_budget"]
    tomorrow = NOW + timedelta(days=1)
    assert place(campaign, 5, now=tomorrow).amount == 5 * UNIT  # no pass has run
    assert why(campaign) == ["campaign_daily_budget"]
    active = factories.campaign(flight_end=NOW.date())
    assert why(active) == []
    assert refusal(active, now=tomorrow).reasons == Reason.ENDED
    assert why(active) == []


@pytest.mark.parametrize("of", ["campaign", "brand"])
def test_an_archived_campaign_gets_none(of: str) -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    if of == "brand":
        catalog.archive_brand(brand_id=campaign.brand_id, now=NOW)
    else:
        catalog.archive_campaign(campaign_id=campaign.pk, now=NOW)
    refused = refusal(campaign)
    assert (refused.why, refused.reasons) == (Refusal.PAUSED, Reason.MANUAL)
    assert refused.detail == f"Campaign {campaign.pk} is archived."
    # What it holds goes the way of every hold: it may still be settled.
    assert settle(row, 4).outcome is RECORDED
    assert held() == {}
    assert_held_is_sound()


def test_what_has_holds_is_not_deleted_whatever_became_of_them() -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    for _ in range(2):
        with pytest.raises(BudgetError, match="has holds and can't be deleted; archive it instead"):
            catalog.delete_campaign(campaign_id=campaign.pk, now=NOW)
        with pytest.raises(BudgetError, match="has holds and can't be deleted; archive it instead"):
            catalog.delete_brand(brand_id=campaign.brand_id, now=NOW)
        release(row)


def test_a_campaign_that_was_only_asked_about_can_be_deleted() -> None:
    campaign = factories.campaign(daily_budget=1)
    refusal(campaign, 2)
    catalog.delete_campaign(campaign_id=campaign.pk, now=NOW)
    refused = refusal(campaign.pk)
    assert (refused.why, refused.detail) == (Refusal.UNKNOWN, f"There is no campaign {campaign.pk}.")


INVALID: list[tuple[dict[str, Any], str, str]] = [
    ({"amount": "0"}, "amount", "The amount is zero"),
    ({"amount": "-1"}, "amount", "The amount is negative"),
    ({"amount": "1.0000001"}, "amount", "The amount has more than 6 decimals"),
    ({"amount": "1000000000.000001"}, "amount", "The amount is above 1,000,000,000"),
    ({"amount": "NaN"}, "amount", "The amount is not a finite number"),
    ({"amount": "Infinity"}, "amount", "The amount is not a finite number"),
    ({"amount": "1e999999"}, "amount", "The amount is out of range"),
    ({"amount": 10**40}, "amount", "The amount is out of range"),
    ({"amount": ""}, "amount", "'' is not an amount"),
    ({"amount": "٣"}, "amount", "'٣' is not an amount"),
    ({"amount": 1.5}, "amount", "The amount is a binary floating-point number"),
    ({"amount": True}, "amount", "The amount is a boolean"),
    ({"minimum": "0"}, "minimum", "The minimum is zero"),
    ({"minimum": "-1"}, "minimum", "The minimum is negative"),
    ({"minimum": "x"}, "minimum", "'x' is not an amount"),
    ({"minimum": "1.000001"}, "minimum", "The minimum is above the amount"),
    ({"ttl": 0}, "ttl_seconds", "The ttl_seconds must be from 1 to 86,400."),
    ({"ttl": -60}, "ttl_seconds", "The ttl_seconds must be from 1 to 86,400."),
    ({"ttl": 86_401}, "ttl_seconds", "The ttl_seconds must be from 1 to 86,400."),
    ({"ttl": 10**30}, "ttl_seconds", "The ttl_seconds must be from 1 to 86,400."),
    ({"key": ""}, "key", "The key must be 1 to 128 printable characters."),
    ({"key": "k" * 129}, "key", "The key must be 1 to 128 printable characters."),
    ({"key": "a\x00"}, "key", "The key must be 1 to 128 printable characters."),
    ({"key": "a\n"}, "key", "The key must be 1 to 128 printable characters."),
    ({"key": "\ud800"}, "key", "The key must be 1 to 128 printable characters."),
    ({"key": "\u2028"}, "key", "The key must be 1 to 128 printable characters."),
]


@pytest.mark.parametrize(("fields", "field", "sentence"), INVALID)
def test_what_can_not_be_asked_is_said_in_a_sentence(fields: dict[str, Any], field: str, sentence: str) -> None:
    campaign = factories.campaign()
    good = ask(campaign, 1)
    bad = ask(campaign, **{"amount": 1, **fields})
    before, answer, after = place_holds([good, bad, ask(campaign, 1)], now=NOW)
    assert isinstance(answer, Refused)
    assert (answer.why, answer.field) == (Refusal.INVALID, field)
    assert answer.detail.startswith(sentence)
    assert len(granted([before, after])) == 2


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, 2**63, 2**64 + 1, -(2**70), 10**5000], ids=range(7))
def test_a_campaign_that_there_is_not(number: int) -> None:
    answer = asked(number)
    assert isinstance(answer, Refused)
    shown = number if 0 < number < 2**63 else "of such an id"
    assert (answer.why, answer.detail) == (Refusal.UNKNOWN, f"There is no campaign {shown}.")


def test_a_client_of_other_brands_finds_no_campaign() -> None:
    campaign = factories.campaign()
    for brand_ids in (frozenset[int](), frozenset({campaign.brand_id + 1})):
        answer = asked(campaign, brand_ids=brand_ids)
        assert isinstance(answer, Refused)
        assert (answer.why, answer.detail) == (Refusal.UNKNOWN, f"There is no campaign {campaign.pk}.")
    assert isinstance(asked(campaign, brand_ids=frozenset({campaign.brand_id})), HoldRow)


def test_a_counter_that_is_full_is_no_error_of_the_database() -> None:
    """Where no budget limits, what a counter can hold does."""
    campaign = factories.campaign()
    for _ in range(9):
        asks = [ask(campaign, 1_000_000_000) for _ in range(1_000)]
        assert len(granted(place_holds(asks, now=NOW))) == 1_000
    refused = refusal(campaign, "0.000001")
    assert (refused.why, refused.field) == (Refusal.INVALID, "amount")
    assert refused.detail.startswith("This takes a counter past 9,000,000,000,000")
    assert held_of(campaign) == money.MAX_COUNTER
    spend(campaign, 1_000_000_000)  # what was spent is recorded all the same
    assert_held_is_sound()
    assert expire_holds(now=NOW + MINUTE) == 9_000
    assert held() == {}


# --- Keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_one_call", [True, False])
def test_the_same_key_with_the_same_content_is_the_same_hold(in_one_call: bool) -> None:
    campaign = factories.campaign(daily_budget=10)
    asks = [ask(campaign, amount, minimum="2.50", key="a") for amount in ("6", "6.000000", " 6 ", "6e0", 6)]
    answers = in_turn(asks, in_one_call)
    assert len(granted(answers)) == 5
    assert len(set(answers)) == 1
    assert Hold.objects.count() == 1
    assert held_of(campaign) == 6 * UNIT
    assert_held_is_sound()


def test_it_is_the_same_hold_whatever_became_of_it_and_of_the_campaign() -> None:
    campaign = factories.campaign(daily_budget=10)
    first, second, third = (place(campaign, 3, key=key) for key in "abc")
    settle(first, 5, event_id="final")
    release(second)
    later = NOW + timedelta(days=40)
    expire_holds(now=later)
    catalog.pause(campaign_id=campaign.pk, now=later)
    states = {}
    for row in (first, second, third):
        again = place(campaign, 3, key=row.key, now=later)
        assert again == row._replace(state=again.state, event_id=again.event_id)
        states[row.key] = again.state, again.event_id
    assert states == {
        "a": (Hold.State.SETTLED, "final"),
        "b": (Hold.State.RELEASED, ""),
        "c": (Hold.State.EXPIRED, ""),
    }


@pytest.mark.parametrize("in_one_call", [True, False])
@pytest.mark.parametrize(
    "other",
    [{"amount": "5.000001"}, {"minimum": 5}, {"ttl": 61}, {"amount": 1, "minimum": None}, {"sibling": True}],
    ids=["amount", "minimum", "ttl", "amount and minimum", "campaign"],
)
def test_the_same_key_with_other_content_is_refused(other: dict[str, Any], in_one_call: bool) -> None:
    brand = factories.brand()
    campaign, sibling = factories.campaign(brand), factories.campaign(brand)
    given: dict[str, Any] = {"amount": 5, "minimum": 4, "key": "k", **other}
    of = sibling if given.pop("sibling", False) else campaign
    first, answer, again = in_turn(
        [ask(campaign, 5, minimum=4, key="k"), ask(of, **given), ask(campaign, 5, minimum=4, key="k")], in_one_call
    )
    assert isinstance(answer, Refused)
    assert (answer.why, answer.field) == (Refusal.KEY_USED, "key")
    assert f"was used for another hold (5.00 for campaign {campaign.pk})" in answer.detail
    assert first == again
    assert Hold.objects.count() == 1


def test_what_was_granted_of_an_ask_is_no_other_content() -> None:
    campaign = factories.campaign(daily_budget=10)
    place(campaign, 7)
    row = place(campaign, 9, minimum=2, key="k")
    assert row.amount == 3 * UNIT
    catalog.update_campaign(campaign_id=campaign.pk, daily_budget=100, now=NOW)
    assert place(campaign, 9, minimum=2, key="k") == row


def test_a_key_that_was_refused_is_free() -> None:
    campaign = factories.campaign(daily_budget=10)
    first, second, third = place_holds(
        [ask(campaign, 11, key="k"), ask(campaign, 9, key="k"), ask(campaign, 11, key="k")], now=NOW
    )
    assert isinstance(first, Refused)
    assert first.why is Refusal.EXHAUSTED
    assert isinstance(second, HoldRow)
    assert isinstance(third, Refused)
    assert third.why is Refusal.KEY_USED


def test_a_key_belongs_to_its_brand() -> None:
    here, there = factories.campaign(), factories.campaign()
    rows = granted(place_holds([ask(here, 1, key="k"), ask(there, 2, key="k")], now=NOW))
    assert [row.campaign_id for row in rows] == [here.pk, there.pk]
    assert place(there, 2, key="k") == rows[1]


def test_a_client_does_not_learn_of_another_brands_keys() -> None:
    here, there = factories.campaign(), factories.campaign()
    place(there, 2, key="k")
    answer = asked(there, 1, key="k", brand_ids=frozenset({here.brand_id}))
    assert isinstance(answer, Refused)
    assert answer.why is Refusal.UNKNOWN


KEYS = [
    *(
        "k" * 128,
        " ",
        "a ",
        " a",
        "A",
        "a",
        "é",
        "e\u0301",
        "NULL",
        "null",
        "{}",
        "'\";--",
        '"',
        "\\",
        '\\"',
        ",",
        "{a,b}",
    ),
    *("%s", "%", "$[0]", "🙂" * 128, "ﷺ", "0", "00", "1e3", "ÿ", "\u0130", "i\u0307"),
]


def test_keys_are_kept_and_compared_as_they_are_written() -> None:
    campaign = factories.campaign()
    asks = [ask(campaign, 1, key=key) for key in KEYS]
    rows = granted(place_holds(asks, now=NOW))
    assert [row.key for row in rows] == KEYS
    assert Hold.objects.count() == len(KEYS)
    assert place_holds(asks, now=NOW + timedelta(seconds=1)) == rows
    assert [place_holds([one], now=NOW)[0] for one in asks] == rows


# --- Expiry ----------------------------------------------------------------------------------


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("ttl", [1, 60, 86_400])
def test_a_hold_counts_until_the_moment_it_expires(swept: bool, ttl: int) -> None:
    at = NOW.replace(hour=0)  # so that even the longest ends within a day and a month
    campaign = factories.campaign(total_budget=10, now=at)
    row = place(campaign, 10, ttl=ttl, now=at)
    end = at + timedelta(seconds=ttl)
    before = end - TICK
    if swept:
        assert expire_holds(now=before) == 0
    assert refusal(campaign, "0.000001", now=before).left == 0
    assert held_of(campaign, before) == 10 * UNIT
    assert row.state_at(before) is Hold.State.OPEN
    assert left_of(campaign, before) == 0
    if swept:
        assert expire_holds(now=end) == 1
        assert held() == {}
    assert held_of(campaign, end) == held_of(campaign.brand, end) == 0
    assert left_of(campaign, end) == 10 * UNIT
    assert row.state_at(end) is Hold.State.EXPIRED
    second = place(campaign, 10, now=end)
    assert refusal(campaign, "0.000001", now=end).left == 0
    assert held_of(campaign, end) == 10 * UNIT
    assert_held_is_sound()
    assert expire_holds(now=end) == (0 if swept else 1)
    assert stored(row).state == Hold.State.EXPIRED
    assert stored(row).closed_at == end
    assert stored(second).state == Hold.State.OPEN
    assert held_of(campaign, end) == 10 * UNIT
    assert_held_is_sound()


def test_an_ask_that_comes_late_with_an_older_clock_does_not_overspend() -> None:
    """It read its clock before the hold expired, and waited while another was granted what had become free."""
    campaign = factories.campaign(daily_budget=10)
    row = place(campaign, 6, ttl=60)
    place(campaign, 10, now=row.expires_at)
    refused = refusal(campaign, "0.000001", now=row.expires_at - TICK)
    assert (refused.why, refused.left) == (Refusal.EXHAUSTED, 0)


def test_the_expired_of_other_days_and_of_siblings_do_not_count_either() -> None:
    brand = factories.brand(monthly_budget=10)
    one, two = factories.campaign(brand), factories.campaign(brand)
    place(one, 4)
    place(two, 6)
    tomorrow = NOW + timedelta(days=1)
    assert place(two, 10, now=tomorrow).amount == 10 * UNIT
    assert_held_is_sound()
    assert left_of(one, tomorrow) == 0


def test_what_an_archived_sibling_held_yesterday_counts_for_nothing() -> None:
    """No sweep has run; the brand's month still has it in its counter."""
    brand = factories.brand(monthly_budget=10)
    gone, _ = factories.campaign(brand), factories.campaign(brand)
    place(gone, 4)
    catalog.archive_campaign(campaign_id=gone.pk, now=NOW)
    tomorrow = NOW + timedelta(days=1)
    (found,) = standing(now=tomorrow, brand_ids=[brand.pk])
    assert (found.month.held, found.month.left) == (0, 10 * UNIT)
    assert [(one.brand_month.held, one.left) for one in found.campaigns] == [(0, 10 * UNIT)]


def test_what_a_sibling_held_yesterday_counts_for_nothing_where_it_is_not_asked_about() -> None:
    brand = factories.brand(monthly_budget=10)
    other, here = factories.campaign(brand), factories.campaign(brand)
    place(other, 4)
    (found,) = campaign_standings(Campaigns.with_ids(connection, [here.pk]), NOW + timedelta(days=1))
    assert (found.brand_month.held, found.left) == (0, 10 * UNIT)


def test_a_sweep_closes_what_has_expired_and_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "SWEPT_AT_ONCE", 3)
    campaigns = [factories.campaign() for _ in range(3)]
    rows = [place(campaigns[at % 3], at + 1, ttl=at + 1) for at in range(10)]
    settle(rows[0], 1)
    release(rows[1])
    now = NOW + timedelta(seconds=8)
    assert expire_holds(now=now) == 6
    open_, settled, released, expired = (
        [row.id for row in rows if stored(row).state == state]
        for state in (Hold.State.OPEN, Hold.State.SETTLED, Hold.State.RELEASED, Hold.State.EXPIRED)
    )
    ids = [row.id for row in rows]
    assert (settled, released, expired, open_) == (ids[:1], ids[1:2], ids[2:8], ids[8:])
    assert expire_holds(now=now) == 0
    assert_held_is_sound()


def test_a_sweep_of_nothing() -> None:
    assert expire_holds(now=NOW) == 0


# --- Days, months, zones ---------------------------------------------------------------------

MIDNIGHTS = [
    ("UTC", datetime(2025, 6, 19, tzinfo=UTC), "2025-06-18"),
    ("Asia/Kathmandu", datetime(2025, 6, 18, 18, 15, tzinfo=UTC), "2025-06-18"),
    ("America/Los_Angeles", datetime(2025, 6, 19, 7, tzinfo=UTC), "2025-06-18"),
    ("Pacific/Kiritimati", datetime(2025, 6, 18, 10, tzinfo=UTC), "2025-06-18"),
    ("Europe/Berlin", datetime(2025, 3, 30, 22, tzinfo=UTC), "2025-03-30"),  # the day of 23 hours ends
    ("Europe/Berlin", datetime(2025, 10, 26, 23, tzinfo=UTC), "2025-10-26"),  # the day of 25 hours ends
    ("America/Havana", datetime(2025, 3, 9, 5, tzinfo=UTC), "2025-03-08"),  # its midnight is skipped
    ("America/Havana", datetime(2025, 11, 2, 4, tzinfo=UTC), "2025-11-01"),  # its midnight comes twice
]


@pytest.mark.parametrize(("zone", "midnight", "day"), MIDNIGHTS)
def test_a_hold_over_midnight_holds_the_day_it_was_made_in(zone: str, midnight: datetime, day: str) -> None:
    before, after = midnight - TICK, midnight
    brand = factories.brand(timezone=zone, daily_budget=10, monthly_budget=100, now=before)
    campaign = factories.campaign(brand, total_budget=100, now=before)
    old = place(campaign, 7, now=before, ttl=86_400)
    assert old.day == date.fromisoformat(day)
    assert refusal(campaign, 4, now=before).left == 3 * UNIT
    new = place(campaign, 10, now=after)
    assert new.day == old.day + timedelta(days=1)
    assert refusal(campaign, 1, now=after).limit == Reason.BRAND_DAILY_BUDGET
    assert held_of(campaign, after) == 10 * UNIT
    assert left_of(campaign, after) == 0
    (found,) = standing(now=after, brand_ids=[brand.pk])
    assert (found.day.held, found.month.held, found.campaigns[0].total.held) == (10 * UNIT, 17 * UNIT, 17 * UNIT)
    # Its spend counts in the day in which it occurred.
    assert settle(old, 8, now=after, at=after).outcome is RECORDED
    assert reading.counted(campaign, Period.DAY, old.day) == 0
    assert reading.counted(campaign, Period.DAY, new.day) == 8
    assert held_of(campaign, after) == 10 * UNIT
    assert_held_is_sound()


def test_a_hold_over_the_end_of_a_month_holds_the_old_month() -> None:
    midnight = datetime(2025, 7, 1, tzinfo=UTC)
    campaign = factories.campaign(factories.brand(monthly_budget=10), total_budget=12, now=midnight - MINUTE)
    old = place(campaign, 7, now=midnight - TICK)
    refused = refusal(campaign, 10, now=midnight)
    assert (refused.limit, refused.left) == (Reason.CAMPAIGN_TOTAL_BUDGET, 5 * UNIT)
    place(campaign, 5, now=midnight)
    assert settle(old, 1, now=midnight, at=midnight - TICK).outcome is RECORDED
    assert reading.counted(campaign, Period.MONTH, "2025-06-01") == 1
    assert place(campaign, 5, now=midnight).amount == 5 * UNIT
    assert_held_is_sound()


def test_a_brand_that_moves_to_another_zone_leaves_its_holds_in_their_day() -> None:
    at = datetime(2025, 6, 18, 16, tzinfo=UTC)
    brand = factories.brand(timezone="UTC", daily_budget=10, now=at)
    campaign = factories.campaign(brand, now=at)
    old = place(campaign, 7, now=at)
    catalog.update_brand(brand_id=brand.pk, timezone="Asia/Tokyo", now=at)  # the 19th there
    assert left_of(campaign, at) == 10 * UNIT
    new = place(campaign, 9, now=at)
    assert (old.day, new.day) == (date(2025, 6, 18), date(2025, 6, 19))
    catalog.update_brand(brand_id=brand.pk, timezone="UTC", now=at)
    assert left_of(campaign, at) == 3 * UNIT
    assert settle(new, 2, now=at).outcome is RECORDED  # in the 18th, again
    assert left_of(campaign, at) == 1 * UNIT
    release(old, now=at)
    assert left_of(campaign, at) == 8 * UNIT
    assert_held_is_sound()


def test_a_brand_that_never_stands_still_spoils_its_own_asks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    moving, still = factories.campaign(), factories.campaign()
    plain = holds._decide

    def decide(asks: Any, *rest: Any) -> None:
        if any(one.budget_day.campaign_id == moving.pk for one in asks):
            raise holds._MovedError
        plain(asks, *rest)

    monkeypatch.setattr(holds, "_decide", decide)
    refused, row = place_holds([ask(moving), ask(still)], now=NOW)
    assert isinstance(refused, Refused)
    assert (refused.why, refused.detail) == (Refusal.BUSY, "The brand is being changed at this moment; ask again.")
    assert isinstance(row, HoldRow)
    assert_held_is_sound()


# --- Settling --------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["0.000001", "4.999999", "5", "5.000001", "500"])
@pytest.mark.parametrize("once", [True, False])
def test_settling_records_the_spend_and_frees_all_that_was_held(amount: str, once: bool) -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    row = place(campaign, 5)
    result = settle(row, amount, event_id="final", once=once)
    assert (result.outcome, result.detail) == (RECORDED, "")
    assert held() == {}
    assert reading.counted(campaign, Period.DAY, NOW.date()) == money.from_micros(money.to_micros(amount))
    assert (stored(row).state, stored(row).event_id, stored(row).closed_at) == (Hold.State.SETTLED, "final", NOW)
    assert why(campaign) == (["brand_daily_budget"] if amount == "500" else [])
    assert_held_is_sound()
    reading.assert_all_is_sound(NOW)


ENDED: dict[str, Callable[[HoldRow], object]] = {
    "released": release,
    "expired": lambda _: None,
    "swept": lambda row: expire_holds(now=row.expires_at),
}


@pytest.mark.parametrize("end", ENDED.values(), ids=ENDED)
@pytest.mark.parametrize("once", [True, False])
def test_what_was_spent_is_recorded_when_the_hold_is_over(end: Callable[[HoldRow], object], once: bool) -> None:
    campaign = factories.campaign(daily_budget=10)
    row = place(campaign, 10)
    later = NOW + MINUTE
    end(row)
    other = place(campaign, 10, now=later)  # the money was promised to another
    assert settle(row, 10, now=later, event_id="final", once=once).outcome is RECORDED
    assert (stored(row).state, stored(row).event_id) == (Hold.State.SETTLED, "final")
    assert reading.counted(campaign, Period.DAY, NOW.date()) == 10
    assert why(campaign) == ["campaign_daily_budget"]
    assert held_of(campaign, later) == 10 * UNIT
    assert settle(other, 10, now=later).outcome is RECORDED
    (found,) = standing(now=later, brand_ids=[campaign.brand_id])
    assert found.campaigns[0].day.overspend == 10 * UNIT
    assert_held_is_sound()


def test_a_settlement_sent_again_counts_once() -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    sent = settlement(row, 4, event_id="final", once=True)
    for now, outcome in ((NOW, RECORDED), (NOW, DUPLICATE), (NOW + timedelta(days=70), DUPLICATE)):
        assert record_spend([sent], now=now).results[0].outcome is outcome
    assert record_spend([sent, sent], now=NOW).count(DUPLICATE) == 2
    assert reading.counted(campaign, Period.TOTAL, EVER) == 4
    assert settle(row, 5, event_id="final", once=True).outcome is CONFLICT
    assert settle(row, 5, event_id="final").outcome is CONFLICT
    assert_held_is_sound()


def test_a_settlement_twice_in_one_call_counts_once() -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    sent = settlement(row, 4, event_id="final", once=True)
    assert [result.outcome for result in record_spend([sent, sent], now=NOW).results] == [RECORDED, DUPLICATE]
    assert held() == {}
    assert reading.counted(campaign, Period.TOTAL, EVER) == 4


def test_another_event_for_a_settled_hold_is_spend_unless_it_must_be_the_only_one() -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    assert settle(row, 1, event_id="one").outcome is RECORDED
    assert settle(row, 2, event_id="two").outcome is RECORDED
    refused = settle(row, 4, event_id="three", once=True)
    assert (refused.outcome, refused.detail) == (
        CONFLICT,
        spending.settled_before(row.id, "one"),
    )
    assert refused.detail.startswith(f"Hold {row.id} was settled by the event 'one'; this one was not counted.")
    assert reading.counted(campaign, Period.TOTAL, EVER) == 3
    assert stored(row).event_id == "one"
    assert_held_is_sound()


def test_two_events_for_one_hold_in_one_call_both_count_and_the_first_settles() -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    sent = [settlement(row, 1, event_id="b"), settlement(row, 2, event_id="a")]
    assert record_spend(sent, now=NOW).count(RECORDED) == 2
    assert stored(row).event_id == "b"
    assert reading.counted(campaign, Period.TOTAL, EVER) == 3
    assert held() == {}
    assert_held_is_sound()


@pytest.mark.parametrize("ids", ["ab", "ba"])
def test_of_two_settlements_in_one_call_the_first_counts(ids: str) -> None:
    row = place(factories.campaign(), 5)
    receipt = record_spend([settlement(row, 1, event_id=name, once=True) for name in ids], now=NOW)
    assert [result.outcome for result in receipt.results] == [RECORDED, CONFLICT]
    assert f"was settled by the event {ids[0]!r}" in receipt.results[1].detail
    assert stored(row).event_id == ids[0]
    assert_held_is_sound()


@pytest.mark.parametrize("ids", ["ab", "ba"])
def test_a_settlement_beside_one_that_can_not_count_is_recorded(ids: str) -> None:
    """The first names an event id that was used for other spend: it settles nothing, so the second does."""
    campaign = factories.campaign()
    row = place(campaign, 5)
    spend(campaign, 77, event_id=ids[0])
    receipt = record_spend([settlement(row, 1, event_id=name, once=True) for name in ids], now=NOW)
    assert [result.outcome for result in receipt.results] == [CONFLICT, RECORDED]
    assert "with other content (77.00" in receipt.results[0].detail
    assert stored(row).event_id == ids[1]
    assert reading.counted(campaign, Period.TOTAL, EVER) == 78
    assert_held_is_sound()


def test_an_event_that_was_counted_is_never_told_that_it_was_not() -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    settle(row, 1, event_id="one")
    spend(campaign, 2, event_id="two")
    assert settle(row, 2, event_id="two", once=True).outcome is DUPLICATE
    assert stored(row).event_id == "one"


@pytest.mark.parametrize("once", [True, False])
def test_an_event_that_was_recorded_before_without_its_hold_settles_it(once: bool) -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    spend(campaign, 4, event_id="final")
    assert held_of(campaign) == 5 * UNIT
    assert settle(row, 4, event_id="final", once=once).outcome is DUPLICATE
    assert held() == {}
    assert (stored(row).state, stored(row).event_id) == (Hold.State.SETTLED, "final")
    assert reading.counted(campaign, Period.TOTAL, EVER) == 4
    assert_held_is_sound()


@pytest.mark.parametrize("once", [True, False])
def test_an_event_with_other_content_does_not_settle(once: bool) -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    spend(campaign, 4, event_id="final")
    assert settle(row, 5, event_id="final", once=once).outcome is CONFLICT
    assert stored(row).state == Hold.State.OPEN
    assert held_of(campaign) == 5 * UNIT


@pytest.mark.parametrize("in_one_call", [True, False])
@pytest.mark.parametrize("once", [True, False])
def test_one_event_does_not_settle_two_holds(in_one_call: bool, once: bool) -> None:
    """Two deliveries under one event id: the second is no spend, so it frees nothing."""
    campaign = factories.campaign()
    one, two = place(campaign, 5), place(campaign, 5)
    sent = [settlement(row, 4, event_id="final", once=once) for row in (one, two)]
    calls = [sent] if in_one_call else [[first] for first in sent]
    results = [result for call in calls for result in record_spend(call, now=NOW).results]
    assert [result.outcome for result in results] == [RECORDED, CONFLICT]
    assert results[1].detail.startswith(f"This event id has settled hold {one.id} before")
    assert (stored(one).event_id, stored(two).state) == ("final", Hold.State.OPEN)
    assert held_of(campaign) == 5 * UNIT
    assert record_spend(sent[:1], now=NOW).results[0].outcome is DUPLICATE
    assert_held_is_sound()


def test_a_bad_settlement_leaves_the_hold_as_it_is() -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    for amount in ("0", "-1", "x", "1e99"):
        assert settle(row, amount).outcome is REJECTED
    assert settle(row, 1, at=NOW - timedelta(days=63)).outcome is REJECTED
    assert settle(row, 1, at=NOW + timedelta(minutes=6)).outcome is REJECTED
    assert held_of(campaign) == 5 * UNIT
    assert settle(row, 1, event_id="e").outcome is RECORDED
    assert held() == {}


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**70), 10**5000], ids=range(8))
@pytest.mark.parametrize("once", [True, False])
def test_a_hold_that_there_is_not(number: int, once: bool) -> None:
    campaign = factories.campaign()
    row = place(campaign, 5)
    bad = settlement(row._replace(id=number), 1, once=once)
    receipt = record_spend([event(campaign, 1), bad, event(campaign, 1)], now=NOW)
    assert [result.outcome for result in receipt.results] == [RECORDED, REJECTED, RECORDED]
    shown = number if abs(number) <= 10**30 else "of such an id"
    assert receipt.results[1].detail.startswith(f"Campaign {campaign.pk} has no hold {shown}")
    assert held_of(campaign) == 5 * UNIT


@pytest.mark.parametrize("of", ["brand", "stranger"])
def test_a_hold_of_another_campaign(of: str) -> None:
    campaign = factories.campaign()
    other = factories.campaign(campaign.brand) if of == "brand" else factories.campaign()
    row = place(campaign, 5)
    receipt = record_spend([settlement(row, 1, campaign_id=other.pk)], now=NOW)
    assert receipt.results[0].outcome is REJECTED
    assert receipt.results[0].detail.startswith(f"Campaign {other.pk} has no hold {row.id}")
    assert held_of(campaign) == 5 * UNIT
    assert SpendLog.objects.count() == 0


def test_one_call_settles_many_holds_of_many_days_and_brands() -> None:
    campaigns = [factories.campaign(now=NOW - timedelta(days=3)) for _ in range(3)]
    rows = [
        place(campaigns[at % 3], at + 1, now=NOW - timedelta(days=at % 2), ttl=86_400 if at % 2 else 60)
        for at in range(12)
    ]
    sent = [settlement(row, 2) for row in rows] + [event(campaign, 1) for campaign in campaigns]
    random.Random(1).shuffle(sent)
    assert record_spend(sent, now=NOW).count(RECORDED) == 15
    assert held() == {}
    assert Hold.objects.filter(state=Hold.State.SETTLED).count() == 12
    assert_held_is_sound()
    reading.assert_all_is_sound(NOW)


# --- Releasing -------------------------------------------------------------------------------


def test_releasing_frees_it_and_again_changes_nothing() -> None:
    campaign = factories.campaign(daily_budget=10)
    row = place(campaign, 10)
    for later in (timedelta(seconds=1), timedelta(seconds=2), timedelta(days=1)):
        answer = release(row, now=NOW + later)
        assert answer == row._replace(state=Hold.State.RELEASED)
    assert stored(row).closed_at == NOW + timedelta(seconds=1)
    assert held() == {}
    assert place(campaign, 10).amount == 10 * UNIT
    assert_held_is_sound()


@pytest.mark.parametrize("swept", [True, False])
def test_releasing_what_has_expired_leaves_it_expired(swept: bool) -> None:
    campaign = factories.campaign(daily_budget=10)
    row = place(campaign, 10)
    if swept:
        expire_holds(now=row.expires_at)
    answer = release(row, now=row.expires_at)
    assert isinstance(answer, HoldRow)
    assert answer.state_at(row.expires_at) is Hold.State.EXPIRED
    expire_holds(now=row.expires_at)
    assert stored(row).state == Hold.State.EXPIRED
    assert held() == {}
    assert_held_is_sound()


def test_a_settled_hold_is_not_released() -> None:
    row = place(factories.campaign(), 5)
    settle(row, 4, event_id="final")
    answer = release(row)
    assert isinstance(answer, Refused)
    assert (answer.why, answer.detail) == (
        Refusal.SETTLED,
        f"Hold {row.id} was settled by the event 'final'; it can't be released.",
    )
    assert stored(row).state == Hold.State.SETTLED


def test_one_call_releases_many_and_leaves_out_what_there_is_not() -> None:
    campaigns = [factories.campaign() for _ in range(2)]
    rows = [place(campaigns[at % 2], at + 1) for at in range(6)]
    settle(rows[0], 1)
    release(rows[1])
    expire_holds(now=NOW)
    answers = release_holds([row.id for row in rows[::-1]] * 2 + [0, -1, 2**63 - 1], now=NOW)
    assert set(answers) == {row.id for row in rows}
    assert isinstance(answers[rows[0].id], Refused)
    assert {one.state for one in granted(list(answers.values()))} == {Hold.State.RELEASED}
    assert release_holds([], now=NOW) == {}
    assert held() == {}
    assert_held_is_sound()


# --- Many in one call ------------------------------------------------------------------------


def crowd() -> list[Campaign]:
    brands = [factories.brand(daily_budget=40), factories.brand(daily_budget=15, budget_scope="campaign")]
    own: list[dict[str, Any]] = [
        {},
        {"daily_budget": 12},
        {"total_budget": 9, "monthly_budget": 11},
        {"total_budget": 0},
    ]
    campaigns = [factories.campaign(brand, **fields) for brand in brands for fields in own]
    spend(campaigns[0], 3)
    place(campaigns[4], 2, ttl=1)
    return campaigns


def many_asks(campaigns: list[Campaign], dice: random.Random, number: int) -> list[holds.HoldAsk]:
    return [
        ask(
            dice.choice(campaigns),
            dice.choice(["1", "3", "8", "0", "20"]),
            minimum=dice.choice([None, None, "1", "4"]),
            key=f"k{dice.randrange(number)}",
            ttl=dice.choice([60, 60, 60, 0]),
        )
        for _ in range(number)
    ]


def told(answer: HoldRow | Refused, homes: dict[int, int]) -> object:
    """An answer without what differs between two runs of the same: ids."""
    if isinstance(answer, HoldRow):
        return (homes[answer.campaign_id], answer.key, answer.asked, answer.minimum, answer.amount)
    return (answer.why, answer.limit, answer.left, answer.reasons, answer.field)


@pytest.mark.parametrize("seed", range(8))
def test_many_in_one_call_are_decided_as_if_each_had_come_alone(seed: int) -> None:
    answers = []
    for in_one_call in (True, False):
        with transaction.atomic():
            campaigns = crowd()
            homes = {campaign.pk: at for at, campaign in enumerate(campaigns)}
            asks = many_asks(campaigns, random.Random(seed), 60)
            answers.append([told(one, homes) for one in in_turn(asks, in_one_call, NOW + timedelta(seconds=1))])
            assert_held_is_sound()
            transaction.set_rollback(True)
    together, apart = answers
    assert together == apart
    assert sum(len(one) == 5 and isinstance(one[0], int) for one in apart if isinstance(one, tuple)) > 5


def test_a_thousand_in_one_call_take_exactly_the_budget() -> None:
    brand = factories.brand(daily_budget=250)
    campaigns = [factories.campaign(brand) for _ in range(7)]
    asks = [ask(campaigns[at % 7], 1) for at in range(MAX_ASKS)]
    answers = place_holds(asks, now=NOW)
    assert [isinstance(answer, HoldRow) for answer in answers] == [True] * 250 + [False] * 750
    assert [row.key for row in granted(answers)] == [one.key for one in asks[:250]]
    assert held_of(brand) == 250 * UNIT
    assert_held_is_sound()


def test_no_asks_at_all() -> None:
    assert place_holds([], now=NOW) == []


def statements(work: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as seen:
        work()
    return len(seen)


def world_of(kind: str) -> tuple[list[Campaign], dict[str, Any]]:
    """Some campaigns of two brands, all of which are in some way out of the ordinary."""
    brands = [factories.brand(daily_budget=1_000_000), factories.brand(monthly_budget=0 if kind == "spent" else None)]
    campaigns = [factories.campaign(brands[at % 2]) for at in range(6)]
    for campaign in campaigns:
        if kind == "archived":
            catalog.archive_campaign(campaign_id=campaign.pk, now=NOW)
        if kind == "expired holds":
            place(campaign, 1, ttl=1)
    return campaigns, {"amount": 2_000_000 if kind == "exhausted" else 1}


@pytest.mark.parametrize("kind", ["granted", "exhausted", "spent", "archived", "expired holds", "known keys"])
def test_asks_cost_the_same_statements_whatever_their_number(kind: str) -> None:
    campaigns, fields = world_of(kind)
    now = NOW + timedelta(seconds=2)
    few = [ask(campaigns[at], key=f"few {at}", **fields) for at in range(2)]
    many = [ask(campaigns[at % 6], key=f"many {at}", **fields) for at in range(500)]
    if kind == "known keys":
        place_holds(few, now=now)
        place_holds(many, now=now)
    of_few = statements(lambda: place_holds(few, now=now))
    assert statements(lambda: place_holds(many, now=now)) == of_few <= 14


def test_releases_settlements_and_sweeps_cost_the_same_statements_whatever_their_number() -> None:
    campaigns = [factories.campaign(factories.brand(daily_budget=1_000_000)) for _ in range(4)]
    counts: dict[str, set[int]] = {"settle": set(), "release": set(), "expire": set()}
    for number in (60, 240):  # both past the number from which on the ledger is copied into
        rows = [place_holds([ask(c, 1) for c in campaigns for _ in range(number // 4)], now=NOW) for _ in range(3)]
        first, second, _ = map(granted, rows)
        counts["settle"].add(statements(lambda of=first: record_spend([settlement(r, 1) for r in of], now=NOW)))  # type: ignore[misc]  # mypy can't infer the default
        counts["release"].add(statements(lambda of=second: release_holds([r.id for r in of], now=NOW)))  # type: ignore[misc]  # mypy can't infer the default
        counts["expire"].add(statements(lambda: expire_holds(now=NOW + MINUTE)))
    assert {name: len(seen) for name, seen in counts.items()} == {"settle": 1, "release": 1, "expire": 1}
    assert held() == {}


# --- With everything else --------------------------------------------------------------------


def test_holding_changes_no_status_and_no_spend() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    place(campaign, 10)
    assert enforce_all(now=NOW).changed == 0
    assert (why(campaign), reading.steps(campaign), reading.counters()) == ([], [], {})
    assert campaign.current_daily_spend == 0


def test_what_is_rolled_back_held_nothing() -> None:
    campaign = factories.campaign(daily_budget=10)
    with transaction.atomic():
        place(campaign, 10)
        transaction.set_rollback(True)
    assert (held(), Hold.objects.count()) == ({}, 0)
    assert place(campaign, 10).amount == 10 * UNIT


def test_a_failure_on_the_way_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = factories.campaign(daily_budget=10)

    def fail(*_: object) -> None:
        raise RuntimeError("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(counters, "hold", fail)
        with pytest.raises(RuntimeError):
            place(campaign, 10)
    assert (held(), Hold.objects.count()) == ({}, 0)
    row = place(campaign, 10)
    with monkeypatch.context() as patch:
        patch.setattr(counters, "hold", fail)
        for work in (lambda: settle(row, 5), lambda: release(row), lambda: expire_holds(now=row.expires_at)):
            with pytest.raises(RuntimeError):
                work()
    assert stored(row).state == Hold.State.OPEN
    assert (held_of(campaign), SpendLog.objects.count()) == (10 * UNIT, 0)
    assert_held_is_sound()


def test_the_audit_finds_what_is_not_held_and_mends_it() -> None:
    campaign = factories.campaign(daily_budget=10)
    row = place(campaign, 4)
    place(campaign, 3)
    counters.hold(dict.fromkeys(BudgetDay(campaign.brand_id, campaign.pk, NOW.date()).counters(), UNIT))
    counters.add({Key(campaign.brand_id, counters.BRAND, Period.DAY, NOW.date()): UNIT})
    found = {(d.figure, d.campaign_id, d.period, d.counted, d.ledger) for d in audit.check_ledger()}
    held_differs = {
        (audit.Figure.HELD, owner, period, 8 * UNIT, 7 * UNIT)
        for owner, period in (
            (0, Period.DAY), (0, Period.MONTH),
            (campaign.pk, Period.DAY), (campaign.pk, Period.MONTH), (campaign.pk, Period.TOTAL),
        )
    }  # fmt: skip
    assert found == {*held_differs, (audit.Figure.SPENT, 0, Period.DAY, UNIT, 0)}
    assert audit.check_ledger(brand_ids=[campaign.brand_id + 1]) == []
    assert refusal(campaign, 3).left == 2 * UNIT
    assert len(audit.repair_ledger(now=NOW)) == 6
    assert_held_is_sound()
    assert refusal(campaign, 4).left == 3 * UNIT
    settle(row, 4)
    assert_held_is_sound()
