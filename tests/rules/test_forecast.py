"""Forecasts: the end of the day and of the month, how sure they are, and the daily budget that lasts."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.rules.forecast import DayAhead, Forecast, Today, daily_budget, end_of_day, end_of_month, month_seconds
from campaigns.rules.pacing import Curve, open_day
from campaigns.rules.profile import FLAT, DayHours
from campaigns.rules.schedules import Schedule

BERLIN = ZoneInfo("Europe/Berlin")
DAY = date(2026, 3, 11)
CURVE = Curve(open_day(DAY, BERLIN), FLAT)
NOON = 43_200
UNIT = 1_000_000


def days(*totals: int) -> list[DayHours]:
    """Past days that spent so many units each, evenly; the last one is yesterday."""
    number = len(totals)
    return [DayHours(DAY - timedelta(days=number - at), [total * UNIT // 24] * 24) for at, total in enumerate(totals)]


def today(spent: int, *, second: int = NOON, budget: int | None = None, curve: Curve = CURVE) -> Today:
    return Today(day=DAY, second=second, clock=second, spent=spent, budget=budget, curve=curve)


# --- The day ---------------------------------------------------------------------------------


def test_a_usual_day_ends_as_usual() -> None:
    expected = end_of_day(today(12 * UNIT), days(*[24] * 14))
    assert expected is not None
    assert expected.spend == Forecast(24 * UNIT, 24 * UNIT, 24 * UNIT)
    assert (expected.wanted, expected.runs_out) == (24 * UNIT, None)


def test_the_later_it_is_the_more_the_day_itself_counts() -> None:
    """A day of twice the usual spend."""
    at = {hour: end_of_day(today(2 * hour * UNIT, second=hour * 3_600), days(*[24] * 14)) for hour in (0, 1, 6, 18, 24)}
    wanted = [expected.wanted // UNIT for expected in at.values() if expected]
    assert wanted == [24, 28, 39, 46, 48]


def test_the_budget_caps_it_and_it_is_said_when_it_runs_out() -> None:
    expected = end_of_day(today(24 * UNIT, budget=36 * UNIT), days(*[48] * 14))
    assert expected is not None
    assert expected.spend == Forecast(36 * UNIT, 36 * UNIT, 36 * UNIT)
    assert expected.wanted == 48 * UNIT
    assert expected.runs_out == 18 * 3_600


def test_a_spent_budget_has_run_out_and_what_is_spent_stays_spent() -> None:
    expected = end_of_day(today(40 * UNIT, budget=36 * UNIT), days(*[48] * 14))
    assert expected is not None
    assert expected.spend.likely == 40 * UNIT
    assert expected.runs_out == NOON


def test_the_range_is_as_wide_as_the_past_days_were_wrong() -> None:
    calm, wild = (end_of_day(today(12 * UNIT), days(*totals)) for totals in ([24, 25] * 10, [12, 36] * 10))
    assert calm is not None
    assert wild is not None
    for expected in (calm, wild):
        low, likely, high = expected.spend.low, expected.spend.likely, expected.spend.high
        assert low is not None
        assert high is not None
        assert 12 * UNIT <= low <= likely <= high
    assert (wild.spend.high or 0) - (wild.spend.low or 0) > 5 * ((calm.spend.high or 0) - (calm.spend.low or 0))


def test_little_data_gives_no_range_and_less_gives_nothing() -> None:
    some = end_of_day(today(12 * UNIT), days(24, 24, 24))
    assert some is not None
    assert some.spend == Forecast(24 * UNIT, None, None)
    assert end_of_day(today(UNIT, second=3_600), days(24, 24)) is None
    later = end_of_day(today(2 * UNIT, second=2 * 3_600), [])
    assert later is not None
    assert later.spend == Forecast(24 * UNIT)


def test_a_day_without_hours_spends_nothing_more() -> None:
    shut = Curve(open_day(DAY, BERLIN, Schedule("1" + "0" * 167)), FLAT)
    expected = end_of_day(today(UNIT, curve=shut), days(*[24] * 14))
    assert expected is not None
    assert expected.spend.likely == UNIT


histories = st.lists(
    st.tuples(st.integers(-2, 40), st.lists(st.none() | st.integers(-(10**9), 10**15), min_size=24, max_size=24)),
    max_size=30,
).map(lambda rows: [DayHours(DAY - timedelta(days=back), hours) for back, hours in rows])


@settings(deadline=None)
@given(st.integers(-100, 10**18), st.integers(0, 90_000), st.none() | st.integers(0, 10**18), histories)
def test_a_day_is_told_whatever_it_was(spent: int, second: int, budget: int | None, past: list[DayHours]) -> None:
    expected = end_of_day(today(spent, second=second, budget=budget), past)
    if expected is None:
        return
    low, likely, high = expected.spend.low, expected.spend.likely, expected.spend.high
    assert likely >= spent
    assert low is None or spent <= low <= likely
    assert high is None or likely <= high
    assert budget is None or likely <= max(budget, spent)
    if expected.runs_out is not None:
        assert budget is not None
        assert expected.wanted >= budget - 1


# --- The month -------------------------------------------------------------------------------


def ahead(number: int, budget: int | None = None, seconds: int = 86_400) -> list[DayAhead]:
    return [DayAhead(DAY + timedelta(days=day), budget, seconds) for day in range(1, number + 1)]


def month(past: list[DayHours], coming: list[DayAhead], budget: int | None = None) -> Forecast | None:
    usual = Forecast(24 * UNIT, 24 * UNIT, 24 * UNIT)
    return end_of_month(spent=240 * UNIT, budget=budget, today=usual, ahead=coming, history=past, day=DAY)


def test_a_month_is_what_was_spent_and_the_usual_days() -> None:
    assert month(days(*[24] * 14), ahead(20)) == Forecast(744 * UNIT, 744 * UNIT, 744 * UNIT)
    assert month(days(*[24] * 14), ahead(20, 12 * UNIT)) == Forecast(504 * UNIT, 504 * UNIT, 504 * UNIT)
    assert month(days(*[24] * 14), ahead(20, seconds=0)) == Forecast(264 * UNIT, 264 * UNIT, 264 * UNIT)
    assert month(days(*[24] * 14), ahead(20), 300 * UNIT) == Forecast(300 * UNIT, 300 * UNIT, 300 * UNIT)


def test_a_month_of_wild_days_has_a_wide_range() -> None:
    told = month(days(*[12, 36] * 10), ahead(20))
    assert told is not None
    assert told.low is not None
    assert told.high is not None
    assert told.low < told.likely - 30 * UNIT
    assert told.high > told.likely + 30 * UNIT


def test_a_month_after_a_few_days_can_not_be_told() -> None:
    assert month(days(24, 24), ahead(20)) is None
    assert month(days(24, 24, 24), ahead(20)) == Forecast(744 * UNIT)
    assert month([], []) == Forecast(264 * UNIT)


@settings(deadline=None)
@given(histories, st.integers(0, 10**15), st.none() | st.integers(0, 10**18), st.none() | st.integers(0, 10**15))
def test_a_month_is_told_whatever_it_was(
    past: list[DayHours], spent: int, budget: int | None, daily: int | None
) -> None:
    usual = Forecast(24 * UNIT, 20 * UNIT, 30 * UNIT)
    told = end_of_month(spent=spent, budget=budget, today=usual, ahead=ahead(15, daily), history=past, day=DAY)
    if told is not None and told.low is not None and told.high is not None:
        assert spent <= told.low <= told.likely <= told.high


# --- Month to day ----------------------------------------------------------------------------


def test_what_is_left_is_spread_by_hours() -> None:
    week = [8, 8, 8, 8, 8, 4, 0]
    assert daily_budget(budget=4_400, spent=0, seconds=week) == 800
    assert daily_budget(budget=4_400, spent=4_000, seconds=week[5:]) == 400
    assert daily_budget(budget=4_400, spent=4_000, seconds=week[6:]) == 0
    assert daily_budget(budget=4_400, spent=5_000, seconds=week) == 0


def test_a_day_keeps_to_its_bounds_and_to_what_is_left() -> None:
    assert daily_budget(budget=1_000, spent=0, seconds=[1] * 10, least=150) == 150
    assert daily_budget(budget=1_000, spent=900, seconds=[1] * 10, least=150) == 100
    assert daily_budget(budget=1_000, spent=0, seconds=[1] * 10, most=70) == 70
    assert daily_budget(budget=1_000, spent=0, seconds=[1], most=70) == 70
    assert daily_budget(budget=1_000, spent=0, seconds=[]) == 0


@settings(deadline=None)
@given(
    st.integers(0, 10**18), st.lists(st.integers(0, 90_000), min_size=1, max_size=31), st.integers(0, 10**16),
    st.none() | st.integers(0, 10**17), st.data(),
)  # fmt: skip
def test_the_days_never_exceed_the_month(
    budget: int, seconds: list[int], least: int, most: int | None, data: st.DataObject
) -> None:
    spent = 0
    for at in range(len(seconds)):
        part = daily_budget(budget=budget, spent=spent, seconds=seconds[at:], least=least, most=most)
        assert 0 <= part <= budget - spent
        assert most is None or part <= most
        spent += data.draw(st.sampled_from([part, part // 2, 0]))
    assert spent <= budget


@settings(deadline=None)
@given(st.integers(0, 10**18), st.lists(st.integers(0, 90_000), min_size=1, max_size=31).filter(any))
def test_days_that_are_all_spent_use_the_month_to_the_micro(budget: int, seconds: list[int]) -> None:
    spent = 0
    for at in range(len(seconds)):
        spent += daily_budget(budget=budget, spent=spent, seconds=seconds[at:])
    assert spent == budget


@pytest.mark.parametrize(
    ("day", "first", "number"), [(DAY, 86_400, 21), (date(2026, 3, 29), 82_800, 3), (date(2026, 2, 28), 86_400, 1)]
)
def test_the_days_left_of_a_month(day: date, first: int, number: int) -> None:
    seconds = month_seconds(day, BERLIN)
    assert (seconds[0], len(seconds)) == (first, number)


def test_the_days_left_know_schedule_and_flight() -> None:
    weekdays = Schedule.from_window(9, 17, 0b0011111)
    seconds = month_seconds(DAY, BERLIN, weekdays, None, date(2026, 3, 16))
    assert seconds == [28_800] * 3 + [0, 0, 28_800] + [0] * 15
