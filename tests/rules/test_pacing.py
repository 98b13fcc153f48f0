"""Pacing: the open hours, the target and the controller, whatever they are given."""

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.rules import pacing, periods
from campaigns.rules.pacing import BURST, FALL, FLOOR, NUDGE, ONE, RISE, START, Curve, OpenDay, Pace, Stretch, open_day
from campaigns.rules.profile import FLAT, LEAST, Profile
from campaigns.rules.schedules import Schedule

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo", "Australia/Lord_Howe",
        "America/St_Johns", "Africa/Cairo",
    )
]  # fmt: skip
DAY = date(2026, 3, 11)
WHOLE_DAY = open_day(DAY, BERLIN)
BUDGET = 100_000_000

days = st.one_of(
    st.dates(date(1975, 1, 1), date(2035, 12, 31)),
    st.sampled_from([date(2026, 3, 29), date(2026, 10, 25), date(2011, 12, 30), date(2006, 10, 29), date(2018, 11, 4)]),
)
zones = st.sampled_from(ZONES)
schedules = st.none() | st.text("01", min_size=168, max_size=168).filter(lambda grid: "1" in grid).map(Schedule)
profiles = st.lists(st.integers(LEAST, 1_000_000), min_size=24, max_size=24).map(
    lambda weights: Profile(tuple(weights), 28)
)
curves = st.builds(
    lambda day, zone, schedule, profile: Curve(open_day(day, zone, schedule), profile), days, zones, schedules, profiles
)
seconds = st.integers(-10, 100_000)
budgets = st.integers(0, 10**18) | st.integers(0, 20)
spends = st.integers(-(10**9), 2 * 10**18) | st.integers(0, 20)
probabilities = st.integers(FLOOR, ONE)
paces = st.builds(
    Pace, probabilities, st.integers(0, 100_000), spends, st.integers(0, 10**18), st.integers(0, 10**16),
    st.integers(0, 10**16), budgets, st.integers(0, 100_000), spends,
)  # fmt: skip


# --- The hours of a day ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 11), 24),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # begins at 01:00
        ("Pacific/Apia", date(2011, 12, 30), 0),  # left out
    ],
)
def test_a_day_has_the_hours_it_has(zone: str, day: date, hours: float) -> None:
    assert open_day(day, ZoneInfo(zone)).seconds == hours * 3_600


def test_a_clock_that_is_changed_within_an_hour_is_followed_there() -> None:
    """One minute past midnight, St. John's went back into the day before, as far as 23:01."""
    before, after = (open_day(date(2006, 10, day), ZoneInfo("America/St_Johns")) for day in (28, 29))
    assert (before.seconds, after.seconds) == (86_400 + 59 * 60, 86_400 + 60)
    assert after.stretches[:2] == (Stretch(0, 60, 0), Stretch(3_600, 7_200, 0))


def test_hours_that_come_twice_count_twice_and_those_that_never_come_do_not() -> None:
    night = Schedule.from_window(2, 3)
    assert open_day(date(2026, 10, 25), BERLIN, night).seconds == 7_200
    assert open_day(date(2026, 3, 29), BERLIN, night).seconds == 0


def test_a_flight_opens_its_days_only() -> None:
    flight = {"flight_start": date(2026, 3, 11), "flight_end": date(2026, 3, 12)}
    opened = [open_day(date(2026, 3, day), BERLIN, **flight).seconds for day in (10, 11, 12, 13)]
    assert opened == [0, 86_400, 86_400, 0]


@settings(deadline=None)
@given(days, zones, schedules, st.data())
def test_an_instant_is_in_a_stretch_exactly_if_its_day_and_schedule_say_so(
    day: date, zone: ZoneInfo, schedule: Schedule | None, data: st.DataObject
) -> None:
    opened = open_day(day, zone, schedule)
    assert all(one.ends <= other.begins for one, other in itertools.pairwise(opened.stretches))
    second = data.draw(st.integers(0, 27 * 3_600 - 1))
    moment = opened.moment(second)
    local = moment.astimezone(zone)
    within = [stretch for stretch in opened.stretches if stretch.begins <= second < stretch.ends]
    allowed = local.date() == day and (schedule is None or schedule.allows(moment, zone))
    assert [stretch.hour for stretch in within] == ([local.hour] if allowed else [])
    assert opened.second(moment + timedelta(milliseconds=999)) == second


def test_a_day_knows_its_first_instant() -> None:
    assert open_day(DAY, BERLIN).begins == datetime(2026, 3, 10, 23, tzinfo=UTC) == periods.day_begins(DAY, BERLIN)


# --- The curve and the target ----------------------------------------------------------------


@settings(deadline=None)
@given(curves, seconds, seconds)
def test_the_weight_grows_from_nothing_to_the_whole(curve: Curve, one: int, other: int) -> None:
    assert curve.until(-1) == 0
    assert curve.until(100_000) == curve.total
    assert curve.until(min(one, other)) <= curve.until(max(one, other))


@settings(deadline=None)
@given(curves, st.data())
def test_the_second_at_which_a_weight_is_reached(curve: Curve, data: st.DataObject) -> None:
    weight = data.draw(st.integers(1, max(curve.total, 1)))
    second = curve.reaches(weight)
    if second is None:
        assert curve.total == 0
    else:
        assert curve.until(second - 1) < weight <= curve.until(second)
    assert curve.reaches(curve.total + 1) is None


@settings(deadline=None)
@given(paces, curves, seconds, seconds)
def test_the_target_never_falls_and_ends_at_the_budget(pace: Pace, curve: Curve, one: int, other: int) -> None:
    assert pacing.target(pace, curve, min(one, other)) <= pacing.target(pace, curve, max(one, other))
    assert pacing.target(pace, curve, 100_000) == max(pace.budget, pace.base)


def test_the_target_follows_the_profile_over_the_open_hours() -> None:
    profile = Profile(tuple(30_000 if hour < 12 else 60_000 for hour in range(24)))
    curve = Curve(open_day(DAY, BERLIN, Schedule.from_window(6, 18)), profile)
    pace = pacing.begin(curve, budget=BUDGET)
    shares = [pacing.target(pace, curve, hour * 3_600) * 100 // BUDGET for hour in (0, 6, 9, 12, 15, 18, 24)]
    assert shares == [0, 0, 16, 33, 66, 100, 100]


def test_a_changed_budget_is_spread_over_what_is_left() -> None:
    curve = Curve(WHOLE_DAY, FLAT)
    pace = pacing.begin(curve, budget=BUDGET)
    noon = {"second": 43_200, "spent": 50_000_000, "served": pace.probability}
    for budget in (200_000_000, 60_000_000):
        changed = pacing.step(pace, curve, budget=budget, **noon)
        shares = [pacing.target(changed, curve, hour * 3_600) for hour in (12, 18, 24)]
        assert shares == [50_000_000, (50_000_000 + budget) // 2, budget]


def test_after_an_outage_the_target_is_what_is_left_over_the_time_that_is_left() -> None:
    curve = Curve(WHOLE_DAY, FLAT)
    pace = pacing.begin(curve, budget=BUDGET)
    after = pacing.step(pace, curve, second=6 * 3_600, spent=0, budget=BUDGET, served=pace.probability)
    assert pacing.target(after, curve, 6 * 3_600) == 0
    assert pacing.target(after, curve, 15 * 3_600) == BUDGET // 2


# --- The controller --------------------------------------------------------------------------


@given(paces, curves, seconds, spends, budgets, st.integers(0, ONE))
@settings(max_examples=300, deadline=None)
def test_a_step_is_bounded_whatever_it_is_told(
    pace: Pace, curve: Curve, second: int, spent: int, budget: int, served: int
) -> None:
    after = pacing.step(pace, curve, second=second, spent=spent, budget=budget, served=served)
    assert FLOOR <= after.probability <= ONE
    assert after.probability <= pace.probability + pace.probability // RISE + NUDGE
    assert after.probability >= pace.probability - pace.probability // FALL - NUDGE
    assert all(type(part) is int for part in after)
    assert after.earned >= 0
    assert after.exposed >= 0
    assert after.silent >= 0


@settings(deadline=None)
@given(curves, budgets, seconds, spends, st.none() | paces)
def test_a_day_begins_within_bounds(curve: Curve, budget: int, second: int, spent: int, last: Pace | None) -> None:
    pace = pacing.begin(curve, budget=budget, second=second, spent=spent, last=last)
    assert FLOOR <= pace.probability <= ONE
    assert (pace.budget, pace.since, pace.base) == (budget, second, spent)


@settings(deadline=None)
@given(curves, budgets, st.lists(st.tuples(st.integers(0, 900), st.integers(0, 10**9)), max_size=60))
def test_what_is_kept_fits_a_row(curve: Curve, budget: int, steps: list[tuple[int, int]]) -> None:
    pace = pacing.begin(curve, budget=budget)
    for elapsed, gained in steps:
        pace = pacing.step(
            pace, curve, second=pace.second + elapsed, spent=pace.spent + gained, budget=budget, served=ONE
        )
    assert all(abs(part) < 2**63 for part in pace)


def test_it_serves_what_the_demand_asks_for() -> None:
    """Demand of four budgets, spread as the profile says: a quarter of the chances."""
    curve = Curve(WHOLE_DAY, FLAT)
    pace, spent, served = pacing.begin(curve, budget=BUDGET), 0, START
    for second in range(60, 86_400, 60):
        spent += 4 * BUDGET * 60 // 86_400 * served // ONE
        pace = pacing.step(pace, curve, second=second, spent=spent, budget=BUDGET, served=served)
        served = pace.probability
        if second > 3_600:
            assert abs(served - ONE // 4) < ONE // 25 or second > 85_000
    assert BUDGET * 995 // 1_000 <= spent <= BUDGET


def test_what_another_owner_holds_back_is_no_lack_of_demand() -> None:
    """Its brand lets it serve one chance in fifty: the demand of four budgets is seen all the same."""
    curve = Curve(WHOLE_DAY, FLAT)
    pace, spent, served = pacing.begin(curve, budget=BUDGET), 0, ONE // 50
    for second in range(60, 6 * 3_600, 60):
        spent += 4 * BUDGET * 60 // 86_400 * served // ONE
        pace = pacing.step(pace, curve, second=second, spent=spent, budget=BUDGET, served=served)
    lasts = (BUDGET - spent) * ONE // (4 * BUDGET * 3 // 4)
    assert lasts <= pace.probability <= lasts * BURST // 100


@pytest.mark.parametrize("lag", [0, 60, 300])
@pytest.mark.parametrize("demand", [2, 30])
def test_late_reports_do_not_make_it_swing(lag: int, demand: int) -> None:
    curve = Curve(WHOLE_DAY, FLAT)
    pace, true, served, reports = pacing.begin(curve, budget=BUDGET), 0, START, {0: 0}
    seen = []
    for second in range(60, 80_000, 60):
        true += demand * BUDGET * 60 // 86_400 * served // ONE
        reports[second] = true
        known = reports[max(second - lag, 0)]
        pace = pacing.step(pace, curve, second=second, spent=known, budget=BUDGET, served=served)
        served = pace.probability
        seen.append(served)
    settled = seen[240:]
    assert max(settled) <= min(settled) * 110 // 100
    assert abs(settled[0] - ONE // demand) <= ONE // demand // 10


def test_silence_at_most_halves_the_estimate() -> None:
    """Twelve hours without a chance: the probability may double, and catch up by no more than the burst."""
    curve = Curve(WHOLE_DAY, FLAT)
    pace, spent = pacing.begin(curve, budget=BUDGET), 0
    for second in range(60, 86_400 // 2, 60):
        if second < 7_200:
            spent += 20 * BUDGET * 60 // 86_400 * pace.probability // ONE
        served = pace.probability
        pace = pacing.step(pace, curve, second=second, spent=spent, budget=BUDGET, served=served)
    # What is left at noon would need about a twentieth, doubled by the half of the day that is gone.
    assert pace.probability <= ONE // 20 * 2 * 2 * BURST // 100 * 110 // 100


def test_the_catch_up_is_bounded() -> None:
    """An hour behind, the rate is at most the burst above what would last exactly."""
    curve = Curve(WHOLE_DAY, FLAT)
    # A known demand of ten budgets a day.
    known = Pace(ONE // 10, 36_000, BUDGET * 380 // 1_000, 10 * BUDGET, curve.total * ONE, 0, BUDGET, 0, 0)
    pace = known
    for _ in range(10):
        pace = pacing.step(pace, curve, second=36_000, spent=known.spent, budget=BUDGET, served=0)
    lasts = (BUDGET - known.spent) * ONE * 24 // (10 * BUDGET * 14)
    assert pace.since == 0  # not so far behind that the target was set anew
    assert lasts < pace.probability <= lasts * BURST // 100 + 1


def test_nothing_to_decide_keeps_the_probability() -> None:
    closed = Curve(OpenDay(datetime(2026, 3, 11, tzinfo=UTC), ()), FLAT)
    pace = pacing.begin(closed, budget=BUDGET)
    assert pace.probability == START
    assert pacing.step(pace, closed, second=60, spent=0, budget=BUDGET, served=0).probability == START
    curve = Curve(WHOLE_DAY, FLAT)
    spent = pacing.begin(curve, budget=BUDGET)
    assert pacing.step(spent, curve, second=60, spent=BUDGET, budget=BUDGET, served=ONE).probability == START


def test_tomorrow_begins_with_what_was_learned_today() -> None:
    curve = Curve(WHOLE_DAY, FLAT)
    pace, spent = pacing.begin(curve, budget=BUDGET), 0
    for second in range(60, 86_400, 60):
        spent += 40 * BUDGET * 60 // 86_400 * pace.probability // ONE
        served = pace.probability
        pace = pacing.step(pace, curve, second=second, spent=spent, budget=BUDGET, served=served)
    tomorrow = pacing.begin(curve, budget=BUDGET, last=pace)
    assert abs(tomorrow.probability - ONE // 40) <= ONE // 40 // 20


def test_a_short_surplus_of_demand_does_not_outlive_a_long_lack_of_it() -> None:
    """After weeks of little demand the estimate turns within hours, not weeks."""
    curve = Curve(WHOLE_DAY, FLAT)
    pace = pacing.begin(curve, budget=BUDGET)
    for _ in range(30):
        spent = 0
        for second in range(600, 86_400, 600):
            spent += BUDGET // 2_000 * 600 // 86_400
            pace = pacing.step(pace, curve, second=second, spent=spent, budget=BUDGET, served=pace.probability)
        pace = pacing.begin(curve, budget=BUDGET, last=pace)
    spent = 0
    for second in range(60, 3 * 3_600, 60):
        spent += 8 * BUDGET * 60 // 86_400 * pace.probability // ONE
        served = pace.probability
        pace = pacing.step(pace, curve, second=second, spent=spent, budget=BUDGET, served=served)
    assert spent < BUDGET // 2
    assert pace.probability < ONE // 6


# --- Several budgets and owners --------------------------------------------------------------


def test_the_tightest_budget_is_paced() -> None:
    assert pacing.day_limit(30, [(100, 30), (1_000, 930), (None, 5_000)]) == 100
    assert pacing.day_limit(30, [(100, 30), (1_000, 990)]) == 40
    assert pacing.day_limit(30, [(None, 30)]) is None
    assert pacing.day_limit(30, []) is None


def test_the_smaller_probability_binds() -> None:
    assert pacing.effective(300_000, 200_000) == 200_000
    assert pacing.effective(100_000, 200_000) == 100_000


def test_stretches_are_of_one_hour() -> None:
    assert WHOLE_DAY.stretches[9] == Stretch(9 * 3_600, 10 * 3_600, 9)
