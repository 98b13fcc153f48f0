"""Recording spend: each event gets its own result, what is wrong is rejected, and the rest counts exactly."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.db.models import Sum

from campaigns.models import BrandCounter, CampaignCounter, SpendLog
from campaigns.rules.errors import BudgetError
from campaigns.rules.periods import Period
from campaigns.services import audit, catalog, log_spend
from campaigns.services.spend import MAX_EVENTS, Outcome, SpendEvent, record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services import reading

pytestmark = pytest.mark.django_db

TODAY, MONTH, EVER = "2025-06-18", "2025-06-01", "1970-01-01"


def test_an_event_is_one_ledger_row_and_counts_in_every_period() -> None:
    brand = factories.brand()
    campaign = factories.campaign(brand)
    at = NOW - timedelta(minutes=3)
    receipt = record_spend([event(campaign, "12.345678", event_id="a", at=at)], now=NOW)
    assert [tuple(result) for result in receipt.results] == [("a", Outcome.RECORDED, "", "")]
    row = SpendLog.objects.get()
    assert (row.brand, row.campaign, row.event_id, row.kind) == (brand, campaign, "a", SpendLog.Kind.SPEND)
    assert (row.amount, row.timestamp, row.day, row.recorded_at) == (Decimal("12.345678"), at, date(2025, 6, 18), NOW)
    of_brand = [reading.counted(brand, *key) for key in ((Period.DAY, TODAY), (Period.MONTH, MONTH))]
    own = [
        reading.counted(campaign, *key) for key in ((Period.DAY, TODAY), (Period.MONTH, MONTH), (Period.TOTAL, EVER))
    ]
    assert of_brand + own == [Decimal("12.345678")] * 5
    assert reading.counters() == reading.sums_of_the_ledger()


def test_an_adjustment_counts_with_its_sign_and_keeps_its_note() -> None:
    campaign = factories.campaign()
    spend(campaign, "10")
    spend(campaign, "-2.50", note="invalid clicks")
    spend(campaign, "1", note="late fee")
    kinds = list(SpendLog.objects.order_by("id").values_list("kind", "amount", "note"))
    assert kinds == [(1, Decimal(10), ""), (2, Decimal("-2.5"), "invalid clicks"), (2, Decimal(1), "late fee")]
    assert reading.counted(campaign, Period.DAY, TODAY) == Decimal("8.5")
    assert reading.counted(campaign.brand, Period.MONTH, MONTH) == Decimal("8.5")


def test_an_event_without_a_time_occurred_now() -> None:
    campaign = factories.campaign()
    spend(campaign, 1)
    assert SpendLog.objects.get().timestamp == NOW


# --- What is rejected ------------------------------------------------------------------------

NAIVE = datetime(2025, 6, 18, 12)  # noqa: DTZ001 - the fault
FAR_EAST, FAR_WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
EVERY_BIT_OF_AN_ID = "There is no campaign"

REJECTED: list[tuple[str, dict[str, Any], str]] = [
    ("no id", {"event_id": ""}, "The event id is missing"),
    ("an id too long", {"event_id": "x" * 129}, "1 to 128 printable characters"),
    ("NUL in the id", {"event_id": "a\x00b"}, "printable"),
    ("a lone surrogate in the id", {"event_id": "a\ud800"}, "printable"),
    ("a line break in the id", {"event_id": "a\nb"}, "printable"),
    ("no such campaign", {"campaign_id": 987_654_321}, EVERY_BIT_OF_AN_ID),
    ("campaign 0", {"campaign_id": 0}, EVERY_BIT_OF_AN_ID),
    ("a negative campaign", {"campaign_id": -1}, EVERY_BIT_OF_AN_ID),
    ("a campaign of 64 bits", {"campaign_id": 2**63}, EVERY_BIT_OF_AN_ID),
    ("a campaign of 80 bits", {"campaign_id": 2**80}, EVERY_BIT_OF_AN_ID),
    ("an unknown kind", {"kind": "refund"}, "neither 'spend' nor 'adjustment'"),
    ("an amount of 0", {"amount": 0}, "zero"),
    ("a negative spend", {"amount": "-1"}, "as kind 'adjustment'"),
    ("a float", {"amount": 1.5}, "floating-point"),
    ("a boolean", {"amount": True}, "boolean"),
    ("no amount", {"amount": None}, "missing"),
    ("not a number", {"amount": "NaN"}, "finite"),
    ("infinity", {"amount": Decimal("Infinity")}, "finite"),
    ("an exponent that overflows", {"amount": "1e400"}, "out of range"),
    ("seven decimals", {"amount": "0.0000001"}, "6 decimals"),
    ("too much", {"amount": "1000000000.01"}, "above 1,000,000,000"),
    ("a naive time", {"timestamp": NAIVE}, "no offset from UTC"),
    ("the future", {"timestamp": NOW + timedelta(seconds=301)}, "in the future by more than 5 minutes"),
    ("long ago", {"timestamp": NOW - timedelta(days=62, seconds=1)}, "more than 62 days ago"),
    ("the last moment there is", {"timestamp": datetime.max.replace(tzinfo=FAR_WEST)}, "in the future"),
    ("the first moment there is", {"timestamp": datetime.min.replace(tzinfo=FAR_EAST)}, "days ago"),
    ("an adjustment without a note", {"kind": "adjustment"}, "needs a note"),
    ("an adjustment with a blank note", {"kind": "adjustment", "note": " \n"}, "needs a note"),
    ("an adjustment of 0", {"kind": "adjustment", "note": "x", "amount": 0}, "zero"),
    ("a note too long", {"kind": "adjustment", "note": "x" * 501}, "longer than 500"),
    ("NUL in the note", {"kind": "adjustment", "note": "a\x00b"}, "control characters"),
    ("a lone surrogate in the note", {"note": "a\udfff"}, "control characters"),
]


@pytest.mark.parametrize(("wrong", "says"), [row[1:] for row in REJECTED], ids=[row[0] for row in REJECTED])
def test_a_wrong_event_is_rejected_and_the_rest_counts(wrong: dict[str, Any], says: str) -> None:
    campaign = factories.campaign()
    bad = msgspec.structs.replace(event(campaign, 5, event_id="bad"), **wrong)
    receipt = record_spend([event(campaign, 1), bad, event(campaign, 2)], now=NOW)
    outcomes = [result.outcome for result in receipt.results]
    assert outcomes == [Outcome.RECORDED, Outcome.REJECTED, Outcome.RECORDED]
    detail = receipt.results[1].detail
    assert says in detail
    assert detail.endswith(".")
    assert receipt.results[1].event_id == bad.event_id
    assert reading.counted(campaign, Period.TOTAL, EVER) == 3
    assert SpendLog.objects.count() == 2


def test_all_that_can_be_wrong_at_once() -> None:
    campaign = factories.campaign()
    bad = [msgspec.structs.replace(event(campaign, 5), **wrong) for _, wrong, _ in REJECTED]
    receipt = record_spend([*bad, event(campaign, 1)], now=NOW)
    assert receipt.count(Outcome.REJECTED) == len(REJECTED)
    assert receipt.count(Outcome.RECORDED) == 1
    assert reading.counters() == reading.sums_of_the_ledger()


@pytest.mark.parametrize(
    "right",
    [
        {"event_id": "x" * 128},
        {"event_id": "ключ-鍵-🔑 'quoted' \"twice\" %s {} ; --"},
        {"event_id": "NULL"},
        {"event_id": "{a,b}\\\\ \\N \\"},
        {"event_id": " spaces around "},
        {"timestamp": NOW + timedelta(seconds=300)},
        {"timestamp": NOW - timedelta(days=62)},
        {"timestamp": (NOW - timedelta(hours=1)).astimezone(FAR_EAST)},
        {"amount": "0.000001"},
        {"amount": 1_000_000_000},
        {"note": "spend may carry a note, too"},
        {"kind": "adjustment", "note": "x" * 500, "amount": "-1000000000"},
        {"kind": "adjustment", "note": "two\nlines\tof text — 備考 🧾"},
    ],
    ids=str,
)
def test_what_is_just_within_the_bounds_counts(right: dict[str, Any]) -> None:
    campaign = factories.campaign()
    good = msgspec.structs.replace(event(campaign, 5), **right)
    assert record_spend([good], now=NOW).results[0].outcome is Outcome.RECORDED
    row = SpendLog.objects.get()
    assert (row.event_id, row.note) == (good.event_id, good.note)
    assert reading.counters() == reading.sums_of_the_ledger()


def test_the_age_that_is_accepted_is_a_setting(settings: Any) -> None:
    settings.SPEND_MAX_AGE_DAYS = 1
    settings.SPEND_MAX_AHEAD_SECONDS = 60
    campaign = factories.campaign()
    receipt = record_spend(
        [event(campaign, at=NOW - timedelta(days=2)), event(campaign, at=NOW + timedelta(seconds=90))], now=NOW
    )
    assert [result.detail.split(";")[0] for result in receipt.results] == [
        "The time 2025-06-16T12:00:00+00:00 is more than 1 days ago",
        "The time 2025-06-18T12:01:30+00:00 is in the future by more than 1 minutes",
    ]


@pytest.mark.parametrize("size", [30, 200])
def test_texts_reach_the_ledger_as_they_are(size: int) -> None:
    """In small calls and in large ones, which take another way into the database."""
    campaign = factories.campaign()
    odd = [
        "NULL",
        "null",
        '"',
        "\\",
        "\\N",
        "{}",
        ",",
        "{a,b}",
        "'; --",
        "%s",
        "%",
        "$1",
        " ",
        "é",
        "鍵",
        "🔑",
        "\\x41",
        '","',
    ]
    ids = (odd + [f"{text}-{at}" for at in range(20) for text in odd])[:size]
    notes = [f"{text}\n\tand {text}" for text in ids]
    sent = [event(campaign, 1, event_id=i, note=note, at=NOW) for i, note in zip(ids, notes, strict=True)]
    assert record_spend(sent, now=NOW).count(Outcome.RECORDED) == size
    assert list(SpendLog.objects.order_by("id").values_list("event_id", "note")) == sorted(zip(ids, notes, strict=True))
    assert record_spend(sent, now=NOW).count(Outcome.DUPLICATE) == size


# --- How many --------------------------------------------------------------------------------


def test_no_events_are_no_trouble() -> None:
    assert record_spend([], now=NOW) == ([], [])


def test_ten_thousand_events_are_recorded_at_once() -> None:
    campaigns = [factories.campaign() for _ in range(3)]
    events = [event(campaigns[at % 3], "0.1", event_id=f"e{at}") for at in range(MAX_EVENTS)]
    assert record_spend(events, now=NOW).count(Outcome.RECORDED) == 10_000
    assert reading.counters() == reading.sums_of_the_ledger()


def test_more_are_refused_as_a_whole() -> None:
    campaign = factories.campaign()
    with pytest.raises(BudgetError, match="10,001 events; send at most 10,000 at once"):
        record_spend([event(campaign)] * (MAX_EVENTS + 1), now=NOW)
    assert not SpendLog.objects.exists()


def test_results_come_in_the_order_of_the_events() -> None:
    brands = [factories.brand() for _ in range(2)]
    campaigns = [factories.campaign(brand) for brand in (*brands, *brands)]
    ids = ["b", "", "a", "b", "c", "a", "d"]
    owners = [3, 0, 2, 3, 1, 0, 0]
    receipt = record_spend([event(campaigns[o], event_id=i) for i, o in zip(ids, owners, strict=True)], now=NOW)
    assert [result.event_id for result in receipt.results] == ids
    said = [result.outcome.value for result in receipt.results]
    assert said == ["recorded", "rejected", "recorded", "duplicate", "recorded", "conflict", "recorded"]


# --- Exact -----------------------------------------------------------------------------------


def test_a_tenth_a_thousand_times_is_a_hundred() -> None:
    campaign = factories.campaign(total_budget="100.000001")
    for batch in range(10):
        record_spend([event(campaign, "0.1", event_id=f"{batch}-{at}") for at in range(100)], now=NOW)
    assert reading.counted(campaign, Period.TOTAL, EVER) == Decimal(100)
    assert reading.why(campaign) == []
    spend(campaign, "0.000001")
    assert reading.why(campaign) == ["campaign_total_budget"]


def test_sums_past_the_precision_of_a_float_are_exact() -> None:
    campaign = factories.campaign()
    # 2**53 micros take nine events of at most 10**9 units; then one micro more, which no double can tell.
    record_spend([event(campaign, "1000000000") for _ in range(9)], now=NOW)
    spend(campaign, "7199254.740992")
    spend(campaign, "0.000001")
    exact = Decimal("9007199254.740993")
    assert exact == Decimal(2**53 + 1).scaleb(-6)
    assert reading.counted(campaign, Period.TOTAL, EVER) == exact
    assert reading.counted(campaign.brand, Period.DAY, TODAY) == exact
    assert SpendLog.objects.aggregate(Sum("amount"))["amount__sum"] == exact
    assert spend(campaign, "-999999999.999999", note="some of it back").count(Outcome.RECORDED) == 1
    assert reading.counters() == reading.sums_of_the_ledger()
    assert audit.check_ledger() == []


def test_the_sum_of_one_call_past_the_precision_of_a_float_is_exact() -> None:
    campaign = factories.campaign()
    record_spend([event(campaign, amount) for amount in ["1000000000"] * 9 + ["7199254.740993"]], now=NOW)
    assert reading.counted(campaign, Period.TOTAL, EVER) == Decimal(2**53 + 1).scaleb(-6)
    assert reading.counted(campaign.brand, Period.DAY, TODAY) == Decimal(2**53 + 1).scaleb(-6)
    assert audit.check_ledger() == []


def test_a_budget_is_told_from_a_spend_one_micro_below_it() -> None:
    campaign = factories.campaign(total_budget="9007199254.740993")
    record_spend([event(campaign, "1000000000") for _ in range(9)], now=NOW)
    spend(campaign, "7199254.740992")
    assert reading.why(campaign) == []
    spend(campaign, "0.000001")
    assert reading.why(campaign) == ["campaign_total_budget"]


def fill(campaign: Any, *, sign: int = 1) -> None:
    """Take a campaign's counters to 9,000,000,000,000, all they can hold, in 9,000 events."""
    note = "down" if sign < 0 else ""
    record_spend([event(campaign, sign * 1_000_000_000, note=note) for _ in range(9_000)], now=NOW)


def test_a_counter_that_would_overflow_refuses_all_of_the_call() -> None:
    full, other = factories.campaign(), factories.campaign()
    fill(full)
    before, rows = reading.counters(), SpendLog.objects.count()
    with pytest.raises(BudgetError, match="past 9,000,000,000,000, more than it can hold; nothing was recorded"):
        record_spend([event(other, 1), event(full, "0.000001")], now=NOW)
    assert reading.counters() == before
    assert SpendLog.objects.count() == rows
    spend(full, "-0.000001", note="room again")
    spend(full, "0.000001")
    assert audit.check_ledger() == []


def test_one_call_beyond_64_bits_is_refused() -> None:
    campaign = factories.campaign()
    with pytest.raises(BudgetError, match="nothing was recorded"):
        record_spend([event(campaign, 1_000_000_000) for _ in range(MAX_EVENTS)], now=NOW)
    assert not SpendLog.objects.exists()
    assert reading.counters() == {}


def test_no_sum_of_a_call_becomes_inexact_on_its_way_to_the_counters() -> None:
    campaign = factories.campaign()
    fill(campaign, sign=-1)
    # Together beyond 64 bits, though the counter they are added to would stay within: exact, or refused.
    events = [event(campaign, 1_000_000_000) for _ in range(9_998)] + [event(campaign, "0.000001")]
    try:
        record_spend(events, now=NOW)
    except BudgetError:
        assert SpendLog.objects.count() == 9_000
    assert reading.counters() == reading.sums_of_the_ledger()


# --- It happened, so it counts ---------------------------------------------------------------


def test_spend_for_what_may_not_spend_is_recorded() -> None:
    brand = factories.brand(daily_budget=10)
    yesterday = NOW.date() - timedelta(days=1)
    over, ended, paused, archived = (factories.campaign(brand) for _ in range(4))
    catalog.update_campaign(campaign_id=ended.pk, flight_end=yesterday, now=NOW)
    catalog.pause(campaign_id=paused.pk, now=NOW)
    catalog.archive_campaign(campaign_id=archived.pk, now=NOW)
    spend(over, "10")
    for campaign in (over, ended, paused, archived):
        assert reading.why(campaign)
        assert spend(campaign, "100").results[0].outcome is Outcome.RECORDED
    assert reading.counted(over, Period.DAY, TODAY) == Decimal(110)
    assert [reading.counted(c, Period.DAY, TODAY) for c in (ended, paused, archived)] == [Decimal(100)] * 3
    assert reading.counted(brand, Period.DAY, TODAY) == Decimal(410)  # overspend shows, whole
    assert reading.counters() == reading.sums_of_the_ledger()


def test_spend_for_an_archived_brand_is_recorded() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=1))
    catalog.archive_brand(brand_id=campaign.brand_id, now=NOW)
    before = reading.steps(campaign)
    assert spend(campaign, "5").results[0].outcome is Outcome.RECORDED
    assert reading.counted(campaign.brand, Period.DAY, TODAY) == Decimal(5)
    assert reading.steps(campaign) == before


# --- One event, by the short name ------------------------------------------------------------


def test_log_spend_gives_an_id_and_records() -> None:
    campaign = factories.campaign()
    first = log_spend(campaign_id=campaign.pk, amount="1.5", now=NOW)
    second = log_spend(campaign_id=campaign.pk, amount="1.5", now=NOW)
    assert (first.outcome, second.outcome) == (Outcome.RECORDED, Outcome.RECORDED)
    assert first.event_id != second.event_id
    assert reading.counted(campaign, Period.TOTAL, EVER) == Decimal(3)


def test_log_spend_says_duplicate_and_raises_for_the_rest() -> None:
    campaign = factories.campaign()
    log_spend(campaign_id=campaign.pk, amount=1, event_id="a", now=NOW)
    assert log_spend(campaign_id=campaign.pk, amount=1, event_id="a", now=NOW).outcome is Outcome.DUPLICATE
    with pytest.raises(BudgetError, match="recorded before with other content"):
        log_spend(campaign_id=campaign.pk, amount=2, event_id="a", now=NOW)
    with pytest.raises(BudgetError, match="zero"):
        log_spend(campaign_id=campaign.pk, amount=0, now=NOW)
    with pytest.raises(BudgetError, match="There is no campaign"):
        log_spend(campaign_id=-5, amount=1, now=NOW)
    assert reading.counted(campaign, Period.TOTAL, EVER) == Decimal(1)


def test_an_id_that_is_no_id_takes_no_other_campaigns_place() -> None:
    """1.0 == 1 == True, and so finds campaign 1 in a dict of campaigns."""
    campaign = factories.campaign()
    odd = SpendEvent(event_id="odd", campaign_id=float(campaign.pk), amount=1)  # type: ignore[arg-type]
    receipt = record_spend([event(campaign, 1), odd], now=NOW)
    assert [result.outcome for result in receipt.results] == [Outcome.RECORDED, Outcome.REJECTED]


def test_both_counters_have_the_same_periods_as_the_ledger() -> None:
    campaign = factories.campaign()
    events = [event(campaign, 1, at=NOW - timedelta(days=days)) for days in (0, 1, 20, 40, 62)]
    record_spend(events, now=NOW)
    days = sorted({row.day for row in SpendLog.objects.all()})
    months = sorted({day.replace(day=1) for day in days})
    assert len(days) == 5
    for model in (BrandCounter, CampaignCounter):
        starts = model._default_manager.order_by("period", "start").values_list("period", "start")
        expected = [(Period.DAY, day) for day in days] + [(Period.MONTH, month) for month in months]
        total = [(Period.TOTAL, date(1970, 1, 1))] if model is CampaignCounter else []
        assert list(starts) == expected + total


def test_the_same_instant_is_the_same_event_whatever_its_offset() -> None:
    campaign = factories.campaign()
    at = datetime(2025, 6, 18, 11, 30, tzinfo=UTC)
    spend(campaign, 1, at=at, event_id="a")
    again = spend(campaign, 1, at=at.astimezone(timezone(timedelta(hours=5, minutes=45))), event_id="a")
    assert again.results[0].outcome is Outcome.DUPLICATE


def test_an_id_too_long_to_write_out_is_rejected_and_the_rest_counts() -> None:
    campaign = factories.campaign()
    receipt = record_spend([event(campaign, 1), event(10**5000, 1)], now=NOW)
    assert [result.outcome for result in receipt.results] == [Outcome.RECORDED, Outcome.REJECTED]
