"""Charts as geometry: every mark lies within the drawing, and a busy day is no heavy page."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.admin import charts
from campaigns.queries.activity import ActiveStep, ActiveSteps, DaySpent, HourPoint, Stretch
from campaigns.rules import periods
from campaigns.rules.reasons import Reason

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2025, 6, 18, 12, tzinfo=UTC)
MICROS = 1_000_000
amounts = st.integers(-(10**15), 10**15)


def places(chart: charts.Chart) -> list[int]:
    """All places of a chart in ten thousandths; each must be a percentage from 0 to 100."""
    texts = [text for mark in chart.marks for text in (mark.x, mark.width, mark.y, mark.height, mark.ghost_height)]
    texts += [line.y for line in chart.lines] + [tick.x for tick in chart.ticks]
    found = []
    for text in texts:
        assert re.fullmatch(r"\d{1,3}(\.\d\d)?%", text), text
        found.append(round(float(text[:-1]) * 100))
    return found


@given(part=amounts, whole=amounts)
def test_a_share_is_a_percentage(part: int, whole: int) -> None:
    assert re.fullmatch(r"(100|\d{1,2})\.\d\d%", charts.percent(part, whole))


def test_a_share_is_cut_and_not_rounded() -> None:
    assert charts.percent(2, 3) == "66.66%"
    assert charts.percent(999_999, 1_000_000) == "99.99%"
    assert charts.percent(1, 0) == "0.00%"


@given(spent=st.lists(amounts, min_size=1, max_size=40), budget=st.none() | st.integers(0, 10**15))
def test_days_lie_within_the_drawing(spent: list[int], budget: int | None) -> None:
    first = NOW.date()
    chart = charts.days([DaySpent(first + timedelta(days=at), one) for at, one in enumerate(spent)], budget, "EUR")
    assert len(chart.marks) == len(spent)
    assert max(places(chart)) <= 10_000
    assert bool(chart.lines) is bool(budget)


@given(spent=st.lists(st.none() | amounts, min_size=24, max_size=24), usual=st.lists(amounts, min_size=24, max_size=24))
def test_hours_lie_within_the_drawing(spent: list[int | None], usual: list[int]) -> None:
    chart = charts.hours(spent, usual, "EUR", usual_days=7, hour=3, summary="")
    assert [mark.label for mark in chart.marks][:2] == ["00:00", "01:00"]
    assert max(places(chart)) <= 10_000


def test_the_highest_bar_nearly_reaches_the_upper_edge() -> None:
    chart = charts.days([DaySpent(NOW.date(), 50), DaySpent(NOW.date(), 100)], None, "EUR")
    assert [mark.height for mark in chart.marks] == ["46.29%", "92.59%"]
    assert chart.peak == "0.00 EUR"


def test_steps_of_a_day_end_at_now_and_turn_red_with_the_budget() -> None:
    begins = periods.day_begins(NOW.date(), PARIS)
    points = [
        HourPoint(begins, 0),
        HourPoint(begins + timedelta(hours=7), 40 * MICROS),
        HourPoint(NOW, 120 * MICROS),
    ]
    chart = charts.cumulative(points, 100 * MICROS, "EUR", zone=PARIS, now=NOW)
    assert [mark.tone for mark in chart.marks] == ["blue", "red"]
    assert [mark.text for mark in chart.marks] == ["07:00: 40.00 EUR", "14:00: 120.00 EUR"]
    assert chart.marks[-1].end == "58.33%"  # 14 of 24 hours
    assert chart.summary == "Spent today: 120.00 EUR of 100.00 EUR."
    assert chart.lines[0].text == "Daily budget 100.00 EUR"


@pytest.mark.parametrize(
    ("moment", "noon"),
    [
        (datetime(2025, 3, 30, 10, tzinfo=UTC), "47.82%"),  # 11 of 23 hours
        (datetime(2025, 10, 26, 11, tzinfo=UTC), "52.00%"),  # 13 of 25 hours
    ],
)
def test_a_day_on_which_the_clock_is_changed_is_drawn_as_long_as_it_is(moment: datetime, noon: str) -> None:
    chart = charts.band([], zone=PARIS, now=moment)
    assert next(tick.x for tick in chart.ticks if tick.text == "12:00") == noon


def test_a_band_says_when_and_why() -> None:
    begins = periods.day_begins(NOW.date(), PARIS)
    stretches = [
        Stretch(begins, begins + timedelta(hours=6), Reason.SCHEDULE),
        Stretch(begins + timedelta(hours=6), NOW, Reason(0)),
    ]
    chart = charts.band(stretches, zone=PARIS, now=NOW)
    assert [(mark.text, mark.tone) for mark in chart.marks] == [
        ("00:00–06:00 outside its hours", "blue"),
        ("06:00–now active", "green"),
    ]
    assert charts.tones([stretch.reasons for stretch in stretches]) == [
        ("green", "active"),
        ("blue", "outside its hours"),
    ]


def test_a_day_of_very_many_changes_is_no_heavy_page() -> None:
    begins = periods.day_begins(NOW.date(), PARIS)
    second = timedelta(seconds=10)
    stretches = [Stretch(begins + at * second, begins + (at + 1) * second, Reason(at % 2)) for at in range(5_000)]
    assert len(charts.band(stretches, zone=PARIS, now=NOW).marks) <= charts.PARTS
    steps = [ActiveStep(begins + at * second, at % 7, 7) for at in range(5_000)]
    drawn = charts.active(ActiveSteps(steps, complete=True), zone=PARIS, now=NOW)
    assert len(drawn.marks) <= charts.PARTS
    assert drawn.summary == "1 of 7 campaigns active now."  # 4,999 % 7


@given(data=st.data())
def test_a_band_lies_within_the_drawing(data: Any) -> None:
    begins = periods.day_begins(NOW.date(), PARIS)
    marks = sorted(data.draw(st.lists(st.integers(0, 14 * 3_600), min_size=2, max_size=20)))
    times = [begins + timedelta(seconds=mark) for mark in marks]
    stretches = [Stretch(start, end, Reason.MANUAL) for start, end in pairwise(times)]
    assert max(places(charts.band(stretches, zone=PARIS, now=NOW))) <= 10_000
