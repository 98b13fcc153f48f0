"""When a delivery that failed is tried again, and what percents a text names."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.rules import alerts
from campaigns.rules.alerts import GIVE_UP_AFTER, LONGEST_WAIT, next_try
from tests.factories import NOW


def longest(below: int) -> int:
    return below - 1


def test_the_longest_wait_grows_fourfold_up_to_four_hours() -> None:
    waits = []
    for attempt in range(1, 9):
        due = next_try(attempt=attempt, made_at=NOW, now=NOW, draw=longest)
        assert due is not None
        waits.append(int((due - NOW).total_seconds()))
    assert waits == [5, 20, 80, 320, 1_280, 5_120, 14_400, 14_400]


def test_any_wait_down_to_a_second_may_be_drawn() -> None:
    assert next_try(attempt=9, made_at=NOW, now=NOW, draw=lambda _: 0) == NOW + timedelta(seconds=1)


def test_the_last_try_is_at_the_end_of_the_day() -> None:
    late = NOW + GIVE_UP_AFTER - timedelta(seconds=10)
    assert next_try(attempt=9, made_at=NOW, now=late, draw=longest) == NOW + GIVE_UP_AFTER
    assert next_try(attempt=10, made_at=NOW, now=NOW + GIVE_UP_AFTER, draw=longest) is None


@given(attempt=st.integers(1, 10_000), seconds=st.integers(0, 90_000), seed=st.randoms())
def test_it_is_always_tried_later_and_never_beyond_the_day(attempt: int, seconds: int, seed: object) -> None:
    now = NOW + timedelta(seconds=seconds)
    due = next_try(attempt=attempt, made_at=NOW, now=now, draw=seed.randrange)  # type: ignore[attr-defined]  # a Random
    if due is None:
        assert now >= NOW + GIVE_UP_AFTER
    else:
        assert now < due <= min(now + LONGEST_WAIT, NOW + GIVE_UP_AFTER) + timedelta(seconds=1)


@pytest.mark.parametrize(("text", "found"), [("50,80,100", (50, 80, 100)), (" 9% 3 % 9", (3, 9)), ("1", (1,))])
def test_percents_are_read_as_people_write_them(text: str, found: tuple[int, ...]) -> None:
    assert alerts.parse_percents(text, most=100) == found


@pytest.mark.parametrize("text", ["", "0", "101", "-1", "1.5", "a", "1,,", "٣", "1" * 5_000])
def test_what_is_no_percent_is_refused(text: str) -> None:
    if text == "1,,":
        assert alerts.parse_percents(text, most=100) == (1,)
        return
    with pytest.raises(ValueError, match="Give"):
        alerts.parse_percents(text, most=2 if text == "٣" else 100)


def test_percents_are_listed_as_in_a_sentence() -> None:
    assert [alerts.percents_in_words(some) for some in ((5,), (5, 10), (1, 2, 3))] == ["5%", "5 and 10%", "1, 2 and 3%"]
