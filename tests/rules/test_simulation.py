"""The simulated day: the real verdict and the real controller, with nothing left to chance."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.rules import pacing, reasons, simulation
from campaigns.rules.pacing import FLOOR, ONE, Curve, open_day
from campaigns.rules.profile import FLAT
from campaigns.rules.reasons import Reason
from campaigns.rules.schedules import Schedule
from campaigns.rules.simulation import Arrival, Seen, Step, hard_cap, simulate
from campaigns.rules.verdict import Spent, Terms

BERLIN = ZoneInfo("Europe/Berlin")
DAY = date(2026, 3, 11)
WHOLE_DAY = open_day(DAY, BERLIN)
BUDGET = 100_000_000
TERMS = Terms(zone=BERLIN, campaign_daily_budget=BUDGET)


def arrivals(*, every: int, price: int, lag: int = 0, between: tuple[int, int] = (0, 86_400)) -> list[Arrival]:
    """Evenly in time; the coins go round, so that a share of them is served whatever the probability."""
    return [Arrival(second, price, number * 618_034 % ONE, lag) for number, second in enumerate(range(*between, every))]


def run(policy: simulation.Policy, chances: list[Arrival], terms: Terms = TERMS, **changed: object) -> list[Step]:
    day = open_day(DAY, BERLIN, terms.schedule)
    return list(simulate(day, terms, chances, policy, **changed))  # type: ignore[arg-type]


def even() -> simulation.Policy:
    return simulation.even(Curve(WHOLE_DAY, FLAT))


# --- The rules are the real ones -------------------------------------------------------------


def test_the_verdict_stops_it_when_the_budget_is_reported_as_spent() -> None:
    steps = run(hard_cap, arrivals(every=10, price=1_000_000))
    stopped = next(step for step in steps if step.reasons)
    assert (stopped.second, stopped.spent, stopped.reasons) == (1_020, BUDGET, Reason.CAMPAIGN_DAILY_BUDGET)
    assert steps[-1].spent == BUDGET


def test_what_is_reported_late_is_overspent() -> None:
    steps = run(hard_cap, arrivals(every=10, price=1_000_000, lag=300))
    assert steps[-1].spent == BUDGET + 29 * 1_000_000  # the 30th comes as the verdict falls
    assert all(step.reported <= step.spent for step in steps)


def test_nothing_is_spent_outside_the_schedule() -> None:
    terms = Terms(zone=BERLIN, campaign_daily_budget=BUDGET, schedule=Schedule.from_window(9, 17))
    steps = run(hard_cap, arrivals(every=60, price=1_000), terms)
    assert [step.spent for step in steps if step.second <= 9 * 3_600][-1] == 0
    assert steps[-1].second == 17 * 3_600
    assert steps[0].reasons == Reason.SCHEDULE
    assert steps[-1].spent == 8 * 60 * 1_000


def test_a_budget_that_is_raised_resumes_it() -> None:
    steps = run(
        hard_cap,
        arrivals(every=10, price=1_000_000),
        changes={43_200: Terms(zone=BERLIN, campaign_daily_budget=2 * BUDGET)},
    )
    assert {step.spent for step in steps if 3_600 < step.second <= 43_200} == {BUDGET}
    assert steps[-1].spent == 2 * BUDGET


def test_the_tightest_budget_stops_it_whatever_was_spent_before_the_day() -> None:
    terms = Terms(zone=BERLIN, brand_daily_budget=3 * BUDGET, brand_monthly_budget=10 * BUDGET)
    steps = run(even(), arrivals(every=4, price=40_000), terms, before=Spent(brand_monthly=9 * BUDGET + BUDGET // 2))
    assert BUDGET * 49 // 100 < steps[-1].spent <= BUDGET * 51 // 100
    assert abs(steps[720].target - BUDGET // 4) <= BUDGET // 50
    steps = run(hard_cap, arrivals(every=4, price=40_000), Terms(zone=BERLIN))
    assert steps[-1].spent == 21_600 * 40_000


def test_a_day_is_drawn_as_the_curve_says_and_the_same_seed_draws_the_same() -> None:
    curve = Curve(open_day(DAY, BERLIN, Schedule.from_window(9, 17)), FLAT)
    chances = simulation.draw(curve, demand=BUDGET, price=10_000, seed=1, lag=10)
    assert len(chances) == 10_000
    assert abs(sum(chance.price for chance in chances) - BUDGET) < BUDGET // 50
    assert all(9 * 3_600 <= chance.second <= 17 * 3_600 for chance in chances)
    assert chances == simulation.draw(curve, demand=BUDGET, price=10_000, seed=1, lag=10)
    assert chances != simulation.draw(curve, demand=BUDGET, price=10_000, seed=2, lag=10)
    assert chances == sorted(chances, key=lambda chance: chance.second)
    shut = Curve(open_day(DAY, BERLIN, Schedule("1" + "0" * 167)), FLAT)
    assert simulation.draw(shut, demand=BUDGET, price=10_000, seed=1) == []


def test_a_policy_is_told_what_is_reported_and_what_was_in_effect() -> None:
    told: list[Seen] = []

    def policy(seen: Seen) -> tuple[int, int]:
        told.append(seen)
        return ONE, 0

    run(policy, arrivals(every=10, price=1_000_000, lag=60))
    assert told[0] == Seen(0, 0, BUDGET, 0)
    assert told[2] == Seen(120, 7_000_000, BUDGET, ONE)
    assert told[-1] == Seen(86_400, 105_000_000, BUDGET, 0)  # 5 were under way


def test_there_is_no_chance_in_it() -> None:
    chances = arrivals(every=7, price=30_000, lag=20)
    assert run(even(), chances) == run(even(), chances)


def test_a_day_without_hours_is_over_at_once() -> None:
    terms = Terms(zone=BERLIN, campaign_daily_budget=BUDGET, schedule=Schedule("1" + "0" * 167))
    steps = run(even(), arrivals(every=60, price=1_000), terms)
    assert [(step.second, step.spent, step.reasons) for step in steps] == [(0, 0, Reason.SCHEDULE)]


# --- Pacing in it ----------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 10, 300])
@pytest.mark.parametrize("demand", [2, 8])
def test_the_budget_lasts_the_day_and_is_spent(lag: int, demand: int) -> None:
    price = demand * BUDGET * 4 // 86_400
    steps = run(even(), arrivals(every=4, price=price, lag=lag))
    for step in steps[60:]:
        assert abs(step.spent - step.target) <= BUDGET * 2 // 100
    assert BUDGET * 99 // 100 <= steps[-1].spent <= BUDGET * 1_001 // 1_000
    assert not steps[-100].reasons


@given(
    st.sampled_from([(every, price) for every in (5, 60, 900) for price in (1, 1_000, 100_000, 5_000_000)]),
    st.integers(0, 300),
    st.sampled_from([1, 7, 1_000, BUDGET, 10**15]),
    st.tuples(st.integers(0, 86_400), st.sampled_from([0, 1, 1_000, BUDGET // 2, 3 * BUDGET])),
)
@settings(max_examples=25, deadline=None)
def test_it_is_never_dark(arriving: tuple[int, int], lag: int, budget: int, change: tuple[int, int]) -> None:
    """Whatever comes: as long as there is budget and an hour to come, it serves with at least the least probability."""
    every, price = arriving
    terms = Terms(zone=BERLIN, campaign_daily_budget=budget)
    changes = {change[0]: Terms(zone=BERLIN, campaign_daily_budget=change[1])}
    steps = run(even(), arrivals(every=every, price=price, lag=lag), terms, changes=changes, every=300)
    before = None
    for step in steps:
        assert FLOOR <= step.probability <= ONE
        assert step.reasons in (reasons.NONE, Reason.CAMPAIGN_DAILY_BUDGET)
        if before is not None:
            assert step.probability <= before + before // pacing.RISE + pacing.NUDGE
            assert step.probability >= before - before // pacing.FALL - pacing.NUDGE
        before = step.probability


def test_an_outage_is_made_good_without_a_burst() -> None:
    price = 5 * BUDGET * 4 // 86_400
    chances = arrivals(every=4, price=price, between=(0, 28_800)) + arrivals(
        every=4, price=price, between=(43_200, 86_400)
    )
    steps = {step.second: step for step in run(even(), chances)}
    left, hours = BUDGET - steps[43_200].spent, 12
    for hour in range(12, 24):
        spent = steps[(hour + 1) * 3_600].spent - steps[hour * 3_600].spent
        assert spent <= left * 150 // 100 // hours, hour
    assert steps[86_400].spent >= BUDGET * 99 // 100
