"""Once: an event id counts once within its brand, however often, in whatever order and from wherever it comes."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.models import Campaign, SpendLog
from campaigns.rules.periods import Period
from campaigns.services import audit
from campaigns.services.spend import Outcome, Receipt, SpendEvent, record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services import reading
from tests.services.races import together

EVER = "1970-01-01"
RECORDED, DUPLICATE, CONFLICT = Outcome.RECORDED, Outcome.DUPLICATE, Outcome.CONFLICT


def outcomes(receipt: Receipt) -> list[Outcome]:
    return [result.outcome for result in receipt.results]


@pytest.mark.django_db
def test_an_event_sent_again_is_a_duplicate() -> None:
    campaign = factories.campaign()
    sent = event(campaign, 5, at=NOW)
    assert outcomes(record_spend([sent], now=NOW)) == [RECORDED]
    for later in (timedelta(), timedelta(minutes=1), timedelta(days=30)):
        receipt = record_spend([sent], now=NOW + later)
        assert outcomes(receipt) == [DUPLICATE]
        assert receipt.results[0].detail == "This event was recorded before; it counts once."
        assert receipt.changes == []
    assert SpendLog.objects.count() == 1
    assert reading.counted(campaign, Period.TOTAL, EVER) == 5


@pytest.mark.django_db
def test_an_event_twice_in_one_call_is_a_duplicate() -> None:
    campaign = factories.campaign()
    sent = event(campaign, 5)
    assert outcomes(record_spend([sent, sent, event(campaign, 1), sent], now=NOW)) == [
        RECORDED,
        DUPLICATE,
        RECORDED,
        DUPLICATE,
    ]
    assert reading.counted(campaign, Period.TOTAL, EVER) == 6


@pytest.mark.django_db
def test_a_call_of_old_and_new_events_counts_the_new_ones() -> None:
    campaign = factories.campaign()
    events = [event(campaign, at + 1) for at in range(6)]
    record_spend(events[::2], now=NOW)
    assert outcomes(record_spend(events, now=NOW)) == [DUPLICATE, RECORDED] * 3
    assert reading.counted(campaign, Period.TOTAL, EVER) == 21


OTHER_CONTENT: list[tuple[str, dict[str, Any]]] = [
    ("another amount", {"amount": "5.000001"}),
    ("another time", {"timestamp": NOW - timedelta(microseconds=1)}),
    ("another kind", {"kind": "adjustment"}),
    ("another note", {"note": "other"}),
    ("another campaign of the brand", {}),
]


@pytest.mark.django_db
@pytest.mark.parametrize("other", [row[1] for row in OTHER_CONTENT], ids=[row[0] for row in OTHER_CONTENT])
@pytest.mark.parametrize("apart", [True, False], ids=["in two calls", "in one call"])
def test_the_same_id_with_other_content_is_a_conflict(other: dict[str, Any], apart: bool) -> None:
    brand = factories.brand()
    campaign, sibling = factories.campaign(brand), factories.campaign(brand)
    sent = msgspec.structs.replace(event(campaign, 5, at=NOW, note="said so"), kind="spend")
    changed = msgspec.structs.replace(sent, **(other or {"campaign_id": sibling.pk}))
    if apart:
        assert outcomes(record_spend([sent], now=NOW)) == [RECORDED]
        receipt = record_spend([changed], now=NOW)
    else:
        receipt = record_spend([sent, changed], now=NOW)
    refused = receipt.results[-1]
    assert refused.outcome is CONFLICT
    assert f"with other content (5.00 for campaign {campaign.pk}); this one was not counted" in refused.detail
    assert SpendLog.objects.count() == 1
    assert reading.counted(brand, Period.DAY, "2025-06-18") == 5
    assert outcomes(record_spend([sent], now=NOW)) == [DUPLICATE]


@pytest.mark.django_db
def test_the_same_content_in_other_words_is_a_duplicate() -> None:
    campaign = factories.campaign()
    spend(campaign, "5.50", at=NOW, event_id="a")
    assert outcomes(spend(campaign, " 5.500000 ", at=NOW, event_id="a")) == [DUPLICATE]
    assert outcomes(spend(campaign, "55e-1", at=NOW, event_id="a")) == [DUPLICATE]


@pytest.mark.django_db
def test_the_same_id_in_another_brand_is_another_event() -> None:
    here, there = factories.campaign(), factories.campaign()
    assert outcomes(record_spend([event(here, 1, event_id="a"), event(there, 2, event_id="a")], now=NOW)) == [
        RECORDED,
        RECORDED,
    ]
    assert outcomes(spend(there, 3, event_id="a")) == [CONFLICT]
    assert reading.counted(there, Period.TOTAL, EVER) == 2


@pytest.mark.django_db
@pytest.mark.parametrize(("first", "second"), [("A", "a"), ("é", "e\u0301"), ("a", "a "), ("1", "01")])
def test_ids_are_compared_as_they_are_written(first: str, second: str) -> None:
    campaign = factories.campaign()
    assert outcomes(spend(campaign, 1, event_id=first)) == [RECORDED]
    assert outcomes(spend(campaign, 1, event_id=second)) == [RECORDED]


@pytest.mark.django_db
def test_an_event_without_a_time_sent_again_later_is_a_duplicate_and_stays_in_its_day() -> None:
    campaign = factories.campaign()
    spend(campaign, 5, event_id="a")
    tomorrow = NOW + timedelta(days=1)
    assert outcomes(spend(campaign, 5, event_id="a", now=tomorrow)) == [DUPLICATE]
    assert reading.counted(campaign, Period.DAY, "2025-06-18") == 5
    assert reading.counted(campaign, Period.DAY, "2025-06-19") is None


@pytest.mark.django_db
def test_an_event_that_tells_its_time_only_the_second_time_must_tell_the_truth() -> None:
    campaign = factories.campaign()
    spend(campaign, 5, event_id="a")
    assert outcomes(spend(campaign, 5, event_id="a", at=NOW)) == [DUPLICATE]
    assert outcomes(spend(campaign, 5, event_id="a", at=NOW - timedelta(seconds=1))) == [CONFLICT]


@pytest.mark.django_db
def test_a_duplicate_does_not_judge_and_a_conflict_does_not_pause() -> None:
    campaign = factories.campaign(daily_budget=10)
    spend(campaign, 6, event_id="a")
    for _ in range(3):
        spend(campaign, 6, event_id="a")
        spend(campaign, 600, event_id="a")
    assert reading.why(campaign) == []


@pytest.mark.django_db
def test_a_rejected_event_may_come_again_corrected() -> None:
    campaign = factories.campaign()
    assert outcomes(spend(campaign, "-5", event_id="a")) == [Outcome.REJECTED]
    assert outcomes(spend(campaign, "5", event_id="a")) == [RECORDED]


@pytest.mark.django_db
def test_an_event_sent_again_when_it_has_become_too_old_is_still_a_duplicate() -> None:
    """Told to record it as an adjustment instead, a person would count it twice."""
    campaign = factories.campaign()
    sent = event(campaign, 5, at=NOW)
    record_spend([sent], now=NOW)
    assert outcomes(record_spend([sent], now=NOW + timedelta(days=63))) == [DUPLICATE]


deliveries = st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=8)


@pytest.mark.django_db
@settings(deadline=None, max_examples=30)
@given(calls=deliveries)
def test_however_it_is_delivered_it_counts_once(calls: list[list[int]]) -> None:
    with transaction.atomic():
        campaign = factories.campaign()
        sent = [event(campaign, at + 1, event_id=f"e{at}") for at in range(10)]
        said: Counter[Outcome] = Counter()
        for call in calls:
            said.update(outcomes(record_spend([sent[at] for at in call], now=NOW)))
        seen = {at for call in calls for at in call}
        assert said[RECORDED] == len(seen) == SpendLog.objects.count()
        assert said[DUPLICATE] == sum(map(len, calls)) - len(seen)
        assert (reading.counted(campaign, Period.TOTAL, EVER) or 0) == sum(at + 1 for at in seen)
        assert reading.counters() == reading.sums_of_the_ledger()
        transaction.set_rollback(True)


# --- From several processes at once ----------------------------------------------------------


def batches_of(campaigns: list[Campaign], *, seed: int) -> list[SpendEvent]:
    """300 events in an order of its own; their content does not depend on the order."""
    events = [event(campaigns[at % len(campaigns)], at + 1, event_id=f"e{at}", at=NOW) for at in range(300)]
    random.Random(seed).shuffle(events)
    return events


def deliver(events: list[SpendEvent], size: int) -> Counter[Outcome]:
    said: Counter[Outcome] = Counter()
    for first in range(0, len(events), size):
        said.update(outcomes(record_spend(events[first : first + size], now=NOW)))
    return said


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("size", [1, 25, 300])
def test_four_at_once_with_the_same_events_count_each_once(size: int) -> None:
    brand = factories.brand()
    campaigns = [factories.campaign(brand) for _ in range(3)] + [factories.campaign()]
    share = 60 if size == 1 else 300
    works: list[Callable[[], Counter[Outcome]]] = [
        partial(deliver, [e for e in batches_of(campaigns, seed=seed) if int(e.event_id[1:]) < share], size)
        for seed in range(4)
    ]
    said = sum(together(*works), Counter())
    assert said == {RECORDED: share, DUPLICATE: 3 * share}
    assert SpendLog.objects.count() == share
    assert audit.check_ledger() == []
    assert reading.counters() == reading.sums_of_the_ledger()


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_with_the_same_id_and_other_content_one_counts() -> None:
    campaign = factories.campaign()
    for number in range(10):
        said = together(*(partial(spend, campaign, amount, event_id=f"e{number}") for amount in (1, 2)))
        assert sorted(result.outcome for receipt in said for result in receipt.results) == [CONFLICT, RECORDED]
    assert SpendLog.objects.count() == 10
    assert reading.counters() == reading.sums_of_the_ledger()
