"""What is ahead, in words and as geometry: estimates are told as such, and everything lies within the drawing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.admin import charts, foresight, words
from campaigns.admin.charts import Ahead
from campaigns.admin.foresight import Money
from campaigns.queries.activity import HourPoint
from campaigns.queries.forecasts import OwnerForecast
from campaigns.queries.standing import Limit
from campaigns.rules import periods
from campaigns.rules.forecast import DayForecast, Forecast

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2025, 6, 18, 12, tzinfo=UTC)
"""14:00 in Paris."""
BEGINS = periods.day_begins(NOW.date(), PARIS)
ENDS = periods.next_day_begins(NOW, PARIS)
UNIT = 1_000_000
amounts = st.integers(-(10**15), 10**15)


def money(spent: int = 0, budget: int | None = 1_000, month: tuple[int, int | None] = (0, None)) -> Money:
    """Where an owner in Paris stands, in whole euros."""
    daily = Limit(None if budget is None else budget * UNIT, spent * UNIT)
    monthly = Limit(None if month[1] is None else month[1] * UNIT, month[0] * UNIT)
    return Money("EUR", PARIS, daily, monthly, [("daily budget", daily), ("monthly budget", monthly)])


def forecast(
    *likely_low_high: int, month: tuple[int, ...] = (), at: datetime | None = None, lasting: int | None = None
) -> OwnerForecast:
    """A forecast in whole euros. likely_low_high: of the day, its range may be left out."""
    day = DayForecast(_forecast(likely_low_high), 0) if likely_low_high else None
    each = None if lasting is None else lasting * UNIT
    return OwnerForecast(day=day, month=_forecast(month) if month else None, runs_out_at=at, lasting=each)


def _forecast(euros: Sequence[int]) -> Forecast:
    return Forecast(*(amount * UNIT for amount in euros))


# --- Estimates -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (0, "0.00 EUR"),
        (12_345, "0.01 EUR"),
        (8_404_000, "8.40 EUR"),
        (99_960_000, "100 EUR"),
        (840_123_456, "840 EUR"),
        (24_345_678_901, "24,300 EUR"),
        (24_350_000_000, "24,400 EUR"),
        (-840_123_456, "-840 EUR"),
    ],
)
def test_an_estimate_has_three_digits(micros: int, shown: str) -> None:
    assert words.about(micros, "EUR") == shown


@pytest.mark.parametrize(
    ("millionths", "shown"),
    [
        (1_000_000, "all"),
        (999_999, "99%"),
        (421_000, "42%"),
        (42_199, "4.21%"),
        (50_000, "5%"),
        (100, "0.01%"),
        (99, "less than 0.01%"),
    ],
)
def test_a_share_of_chances_is_never_rounded_up(millionths: int, shown: str) -> None:
    assert words.chances(millionths) == shown


@given(amounts)
def test_an_estimate_is_near_what_it_stands_for(micros: int) -> None:
    digits = words.about(micros, "EUR").removesuffix(" EUR").replace(",", "")
    assert abs(round(float(digits) * UNIT) - micros) <= max(abs(micros) // 100, UNIT // 100)


# --- Sentences -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "standing", "said"),
    [
        (forecast(), money(), "Too little is known yet to tell."),
        (
            forecast(840, 780, 900),
            money(400),
            "Will have spent about 840 EUR (780 to 900), of 1,000.00 EUR, by midnight Europe/Paris.",
        ),
        (forecast(840), money(400), "Will have spent about 840 EUR, of 1,000.00 EUR, by midnight Europe/Paris."),
        (
            forecast(840, 780, 900),
            money(400, None),
            "Will have spent about 840 EUR (780 to 900), without a daily budget, by midnight Europe/Paris.",
        ),
        (
            forecast(1_000, at=NOW + timedelta(hours=3, minutes=41)),
            money(400),
            "The daily budget of 1,000.00 EUR will be spent at about 17:40 Europe/Paris.",
        ),
        (
            forecast(1_000, at=ENDS - timedelta(minutes=4)),
            money(400),
            "The daily budget of 1,000.00 EUR will just last until midnight Europe/Paris.",
        ),
        (
            forecast(450, at=NOW + timedelta(hours=1)),
            money(400, month=(29_950, 30_000)),
            "The monthly budget of 30,000.00 EUR will be spent at about 15:00 Europe/Paris.",
        ),
        (forecast(1_000), money(1_000), "The daily budget of 1,000.00 EUR is spent."),
        (forecast(1_000), money(400, month=(30_001, 30_000)), "The monthly budget of 30,000.00 EUR is spent."),
    ],
)
def test_how_today_will_end(found: OwnerForecast, standing: Money, said: str) -> None:
    assert foresight.day_words(found, standing, NOW) == said


@pytest.mark.parametrize(
    ("found", "standing", "said"),
    [
        (
            forecast(1, month=(24_312, 22_000, 26_000), lasting=1_012),
            money(month=(9_000, 30_000)),
            (
                "About 24,300 EUR (22,000 to 26,000), of 30,000.00 EUR, by the end of June; "
                "1,012.00 EUR a day would use it up."
            ),
        ),
        (
            forecast(1, month=(30_000,), lasting=900),
            money(month=(9_000, 30_000)),
            (
                "The monthly budget of 30,000.00 EUR will be spent before the end of June; "
                "900.00 EUR a day would make it last."
            ),
        ),
        (
            forecast(1, month=(24_312,)),
            money(month=(9_000, None)),
            "About 24,300 EUR by the end of June, without a monthly budget.",
        ),
        (
            forecast(lasting=900),
            money(month=(9_000, 30_000)),
            "900.00 EUR a day would use up the monthly budget of 30,000.00 EUR.",
        ),
        (forecast(), money(), ""),
        (
            forecast(1, month=(31_000,)),
            money(month=(31_000, 30_000)),
            "The monthly budget of 30,000.00 EUR is spent.",
        ),
    ],
)
def test_how_the_month_will_end(found: OwnerForecast, standing: Money, said: str) -> None:
    assert foresight.month_words(found, standing, NOW) == said


@given(seconds=st.integers(0, 86_400))
def test_a_time_is_told_to_five_minutes_and_never_before_now(seconds: int) -> None:
    moment = NOW + timedelta(seconds=seconds)
    told = foresight.rounded(moment, NOW)
    assert told >= NOW
    assert abs(told - moment) <= timedelta(minutes=2, seconds=30)


# --- Geometry ------------------------------------------------------------------------------------


def numbers(points: str) -> list[tuple[int, int]]:
    """The points of a trace."""
    return [(int(x), int(y)) for x, y in (point.split(",") for point in points.split())]


def drawn(
    ahead: Ahead | None, *, budget: int | None = 100 * UNIT, target: Sequence[HourPoint] = (), spent: int = 40 * UNIT
) -> charts.Chart:
    """The chart of a day in Paris of which 14 hours have passed."""
    points = [HourPoint(BEGINS, 0), HourPoint(NOW, spent)]
    return charts.cumulative(points, budget, "EUR", zone=PARIS, now=NOW, target=target, ahead=ahead)


def test_the_forecast_goes_on_from_now_to_the_end_of_the_day() -> None:
    course = [HourPoint(NOW, 40 * UNIT), HourPoint(ENDS, 80 * UNIT)]
    chart = drawn(Ahead(course=course, low=70 * UNIT, high=95 * UNIT))
    (trace,) = chart.traces
    assert numbers(trace.points) == [(5833, 6297), (10_000, 2593)]
    assert numbers(trace.area) == [(5833, 6297), (10_000, 1204), (10_000, 3519), (5833, 6297)]
    assert trace.text == "Forecast, 24:00: 80.00 EUR, between 70.00 EUR and 95.00 EUR eight times of ten"
    assert not chart.pins


def test_where_the_budget_is_reached_there_is_a_mark_with_the_time() -> None:
    out = NOW + timedelta(hours=5)
    course = [HourPoint(NOW, 40 * UNIT), HourPoint(out, 100 * UNIT), HourPoint(ENDS, 100 * UNIT)]
    chart = drawn(Ahead(course=course, runs_out_at=out))
    (pin,) = chart.pins
    assert (pin.text, pin.x, pin.y, pin.anchor) == ("19:00", "79.16%", chart.lines[0].y, "start")


def test_the_target_is_told_at_the_hours_below_the_chart() -> None:
    target = [HourPoint(BEGINS + timedelta(hours=hour), hour * 4 * UNIT) for hour in range(25)]
    (trace,) = drawn(None, target=target).traces
    assert trace.text == "Target of pacing, 16:00: 64.00 EUR; 20:00: 80.00 EUR; 24:00: 96.00 EUR"
    assert len(numbers(trace.points)) == 25


@given(
    spent=amounts,
    likely=amounts,
    low=amounts,
    high=amounts,
    budget=st.none() | st.integers(0, 10**15),
    out=st.none() | st.integers(0, 10 * 3_600),
    target=st.lists(st.tuples(st.integers(0, 86_400), amounts), max_size=30),
)
def test_what_is_ahead_lies_within_the_drawing(
    spent: int,
    likely: int,
    low: int,
    high: int,
    budget: int | None,
    out: int | None,
    target: list[tuple[int, int]],
) -> None:
    course = [HourPoint(NOW, spent), HourPoint(ENDS, likely)]
    runs_out_at = None if out is None else NOW + timedelta(seconds=out)
    curve = [HourPoint(BEGINS + timedelta(seconds=second), micros) for second, micros in target]
    chart = drawn(
        Ahead(course=course, low=low, high=high, runs_out_at=runs_out_at), budget=budget, target=curve, spent=spent
    )
    for trace in chart.traces:
        for x, y in numbers(trace.points) + numbers(trace.area):
            assert 0 <= x <= 10_000 and 0 <= y <= 10_000


@given(
    now=st.integers(0, 86_399),
    spent=st.integers(0, 10**12),
    grows=st.integers(0, 10**12),
    weights=st.lists(st.integers(0, 10**9), min_size=24, max_size=24),
)
def test_the_forecast_grows_as_the_target_does_and_never_falls(
    now: int, spent: int, grows: int, weights: list[int]
) -> None:
    sums = [sum(weights[:hour]) for hour in range(25)]
    target = [HourPoint(BEGINS + timedelta(hours=hour), value) for hour, value in enumerate(sums)]
    start, end = HourPoint(BEGINS + timedelta(seconds=now), spent), HourPoint(ENDS, spent + grows)
    course = foresight.course(start, end, target)
    assert (course[0], course[-1]) == (start, end)
    assert [point.spent for point in course] == sorted(point.spent for point in course)
    assert [point.moment for point in course] == sorted(point.moment for point in course)
