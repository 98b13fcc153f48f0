"""Pause reasons: bits that are stored and so must never move, with names for the wire and words for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.rules import reasons
from campaigns.rules.reasons import Reason

# Written out once more on purpose: rows in people's databases and journals carry these numbers.
STORED = {
    "manual": 1,
    "brand_daily_budget": 2,
    "brand_monthly_budget": 4,
    "campaign_daily_budget": 8,
    "campaign_monthly_budget": 16,
    "campaign_total_budget": 32,
    "schedule": 64,
    "not_started": 128,
    "ended": 256,
}

any_reasons = st.sets(st.sampled_from(sorted(STORED)))


def test_a_reason_keeps_its_bit_and_its_name() -> None:
    assert {reason.code: int(reason) for reason in Reason} == STORED


def test_none_is_no_reason_and_all_is_every_reason() -> None:
    assert not reasons.NONE
    assert int(reasons.ALL) == sum(STORED.values()) == 511


@given(names=any_reasons)
def test_a_set_comes_back_from_its_bits(names: set[str]) -> None:
    bits = sum(STORED[name] for name in names)
    assert int(reasons.of(bits)) == bits
    assert reasons.codes(reasons.of(bits)) == [name for name in STORED if name in names]


@pytest.mark.parametrize("bits", [512, 1024, -513])
def test_bits_that_are_no_reason_are_refused(bits: int) -> None:
    with pytest.raises(IndexError):
        reasons.of(bits)


def test_every_reason_has_words_of_its_own() -> None:
    assert set(reasons.LABELS) == set(Reason)
    assert len(set(reasons.LABELS.values())) == len(STORED)


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (reasons.NONE, "active"),
        (Reason.MANUAL, "paused by a person"),
        (Reason.SCHEDULE | Reason.ENDED, "outside its hours, flight ended"),
        (
            Reason.BRAND_DAILY_BUDGET | Reason.CAMPAIGN_TOTAL_BUDGET,
            "daily budget of the brand spent, total budget of the campaign spent",
        ),
    ],
)
def test_a_set_in_words(why: Reason, words: str) -> None:
    assert reasons.in_words(why) == words


def test_the_kinds_of_budget_reason_are_told_apart() -> None:
    assert reasons.codes(reasons.DAILY) == ["brand_daily_budget", "campaign_daily_budget"]
    assert reasons.codes(reasons.MONTHLY) == ["brand_monthly_budget", "campaign_monthly_budget"]
