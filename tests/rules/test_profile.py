"""The hourly profile: what is learned, what it falls back to, and what does not bend it."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.rules.profile import FLAT, LEARNED_DAYS, LEAST, MIN_DAYS, WHOLE, DayHours, Profile, learn, trimmed_mean

TODAY = date(2026, 3, 11)  # a Wednesday
OFFICE = [0] * 8 + [100_000_000] * 10 + [0] * 6
EVENING = [0] * 16 + [250_000_000] * 4 + [0] * 4


def days(hours: list[int], number: int = LEARNED_DAYS, first: int = 1) -> list[DayHours]:
    return [DayHours(TODAY - timedelta(days=back), list(hours)) for back in range(first, first + number)]


def peak(profile: Profile) -> int:
    return profile.weights.index(max(profile.weights))


# --- What is learned -------------------------------------------------------------------------


def test_the_shape_is_learned_and_a_night_stays_near_zero_but_not_at_it() -> None:
    weights = learn(days(OFFICE), today=TODAY).weights
    assert all(weight == LEAST for weight in weights[:7] + weights[19:])
    assert all(abs(weight - WHOLE // 10) <= WHOLE // 100 for weight in weights[9:17])


def test_the_same_weekday_counts_most() -> None:
    history = [day for day in days(OFFICE) if day.day.weekday() != TODAY.weekday()]
    history += [day for day in days(EVENING) if day.day.weekday() == TODAY.weekday()]
    evening = learn(history, today=TODAY).weights
    other = learn(history, today=TODAY + timedelta(days=1)).weights
    assert sum(evening[16:20]) > 2 * sum(other[16:20])


def test_the_height_of_a_day_does_not_matter() -> None:
    """Two weeks of even days, and before them two of mornings: these count alike, however much they spent."""
    level, mornings = [100_000_000] * 24, [100_000_000] * 12 + [40_000_000] * 12
    alike, dear = (
        learn(days(level, 14) + days([spent * times for spent in mornings], 14, first=15), today=TODAY)
        for times in (1, 20)
    )
    assert abs(sum(alike.weights[:12]) - sum(dear.weights[:12])) <= WHOLE // 50


def test_a_day_of_outage_bends_nothing() -> None:
    for back in range(1, LEARNED_DAYS + 1):  # also when it was the same weekday
        history = days(OFFICE)
        history[back - 1] = DayHours(history[back - 1].day, [0] * 12 + OFFICE[12:])
        weights = learn(history, today=TODAY).weights
        assert all(abs(weight - WHOLE // 10) <= WHOLE // 50 for weight in weights[9:17]), back


def test_an_hour_in_which_nothing_could_be_spent_says_nothing() -> None:
    spent_by_noon: list[int | None] = [100_000_000] * 12 + [None] * 12
    history = [DayHours(day.day, spent_by_noon) for day in days(OFFICE, 14)] + days([100_000_000] * 24, 14, first=15)
    weights = learn(history, today=TODAY).weights
    assert max(weights) - min(weights) <= WHOLE // 1_000


def test_an_hour_that_no_day_says_anything_of_is_as_in_the_fallback() -> None:
    unseen: list[int | None] = [100_000_000] * 12 + [None] * 12
    history = [DayHours(day.day, unseen) for day in days(OFFICE)]
    weights = learn(history, today=TODAY).weights
    assert max(weights) - min(weights) <= WHOLE // 1_000


# --- Little data -----------------------------------------------------------------------------


def test_too_few_days_say_nothing() -> None:
    brand = learn(days(EVENING), today=TODAY)
    assert learn(days(OFFICE, MIN_DAYS - 1), today=TODAY, fallback=brand) == brand
    assert learn([], today=TODAY) == FLAT
    assert learn(days([0] * 24), today=TODAY) == FLAT


def test_some_days_are_mixed_with_the_fallback_and_many_stand_alone() -> None:
    brand = learn(days(EVENING), today=TODAY)
    some, many = (learn(days(OFFICE, number), today=TODAY, fallback=brand) for number in (5, 20))
    assert brand.weights[10] < some.weights[10] < many.weights[10]
    assert many == learn(days(OFFICE, 20), today=TODAY)
    assert (some.days, many.days) == (5, 20)


def test_today_and_what_is_long_past_are_left_out() -> None:
    old = [DayHours(TODAY - timedelta(days=LEARNED_DAYS + back), EVENING) for back in range(1, 20)]
    ahead = [DayHours(TODAY + timedelta(days=back), EVENING) for back in range(5)]
    assert learn(old + ahead, today=TODAY) == FLAT
    assert learn(days(OFFICE) + old + ahead, today=TODAY) == learn(days(OFFICE), today=TODAY)


# --- Whatever comes --------------------------------------------------------------------------

hours = st.lists(st.none() | st.integers(-(10**12), 10**18), min_size=24, max_size=24)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 40), hours), max_size=30))
def test_every_weight_is_positive_whatever_the_history(history: list[tuple[int, list[int | None]]]) -> None:
    profile = learn([DayHours(TODAY - timedelta(days=back), spent) for back, spent in history], today=TODAY)
    assert len(profile.weights) == 24
    assert all(weight >= LEAST for weight in profile.weights)
    assert sum(profile.weights) <= WHOLE + 24 * LEAST


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 9)), min_size=1))
def test_a_trimmed_mean_lies_between_the_values(samples: list[tuple[int, int]]) -> None:
    mean = trimmed_mean(sorted(samples))
    assert mean is not None
    assert min(value for value, _ in samples) <= mean <= max(value for value, _ in samples)


def test_a_trimmed_mean_leaves_out_a_fifth_at_either_end() -> None:
    assert trimmed_mean([(0, 1), (10, 3), (1_000_000, 1)]) == 10
    assert trimmed_mean([(0, 1), (10, 2), (40, 1)]) == (1 * 0 + 10 * 10 + 1 * 40) // 12
    assert trimmed_mean([]) is None
