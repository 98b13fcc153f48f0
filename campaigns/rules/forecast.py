"""Forecasts: what will have been spent at the end of the day and of the month, and the daily budget that would last.

A day is judged by what was spent so far and by what days like it usually spend: the further the day, the more its own
spend counts. How sure that is, the past days say: the same forecast is made for each of them at the same time of day,
and the range holds what came true for the middle eight of ten. Everything is in micros and whole numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from math import isqrt
from typing import NamedTuple
from zoneinfo import ZoneInfo

from campaigns.rules.pacing import Curve, open_day
from campaigns.rules.profile import LEARNED_DAYS, MIN_DAYS, DayHours, likeness, trimmed_mean
from campaigns.rules.schedules import Schedule

OWN_SHARE = 4
"""A day's own spend outweighs the usual once this part of it has passed: a quarter."""

TOO_EARLY = 20
"""Without a history, nothing is said before this part of the day has passed: a twentieth."""

RANGE_DAYS = 7
"""Days of history below which no range is given."""

EIGHTY = (1_282, 1_000)
"""Standard deviations to either side that hold 80 % of a normal distribution, as a fraction."""

_HOUR = 3_600
_WHOLE = 10_000
_MONDAY = date(2001, 1, 1)

_Usual = Sequence[int | None]
"""What the days of a week usually spend, Monday first; None if there are too few to say."""


class Forecast(NamedTuple):
    """A sum to come, in micros. low, high: eight times of ten it lies between; None where too little is known."""

    likely: int
    low: int | None = None
    high: int | None = None


class DayForecast(NamedTuple):
    """The end of today. spend: under the budget. wanted: what it would be without one. runs_out: the second of the day
    at which the budget will have been spent; None if it lasts."""

    spend: Forecast
    wanted: int
    runs_out: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """Where a day stands. second: of the day, as the curve counts. clock: seconds past midnight on the wall clock."""

    day: date
    second: int
    clock: int
    spent: int
    budget: int | None
    curve: Curve


class MonthDemand(NamedTuple):
    """What a month would come to without its budget. reached: the day on which that is spent; None if it lasts."""

    wanted: int
    reached: date | None = None


class DayAhead(NamedTuple):
    """A day to come. budget: its daily budget, None for none. seconds: how long may be spent in it."""

    day: date
    budget: int | None
    seconds: int


# --- The day -------------------------------------------------------------------------------------


def end_of_day(today: Today, history: Iterable[DayHours]) -> DayForecast | None:
    """Return what will have been spent today; None if too little is known to tell.

    history: the days before, by hour; at least three with spend say something, seven give a range.
    """
    days = _usable(history, today.day)
    usual = _usual(days)
    level = _level(today.spent, today.curve.until(today.second), today.curve.total, usual[today.day.weekday()])
    if level is None:
        return None
    to_come = today.curve.total - today.curve.until(today.second)
    rest = level * to_come // today.curve.total if today.curve.total else 0
    low, high = _range(today, days, usual, rest) or (None, None)
    spend = Forecast(
        _capped(today, rest),
        None if low is None else _capped(today, low),
        None if high is None else _capped(today, high),
    )
    return DayForecast(spend, today.spent + rest, _runs_out(today, level))


def _usable(history: Iterable[DayHours], today: date) -> list[DayHours]:
    return [day for day in history if 0 < (today - day.day).days <= LEARNED_DAYS and _total(day) > 0]


def _total(day: DayHours) -> int:
    return sum(spent or 0 for spent in day.hours)


def _usual(days: Sequence[DayHours]) -> _Usual:
    """What days usually spend, by weekday: only that tells how much a past day is like them."""
    if len(days) < MIN_DAYS:
        return [None] * 7
    totals = sorted((_total(past), past.day) for past in days)
    week = [_MONDAY + timedelta(days=weekday) for weekday in range(7)]
    return [trimmed_mean([(total, likeness(past, day)) for total, past in totals]) for day in week]


def _level(spent: int, passed: int, total: int, usual: int | None) -> int | None:
    """What the whole day comes to: its own spend so far and the usual, weighed by how much of the day has passed."""
    spent = max(spent, 0)
    if usual is not None:
        return (spent * OWN_SHARE + usual) * total // (passed * OWN_SHARE + total) if total else 0
    if not total:
        return 0
    return spent * total // passed if passed * TOO_EARLY >= total else None


def _range(today: Today, days: Sequence[DayHours], usual: _Usual, rest: int) -> tuple[int, int] | None:
    """The forecast of the rest by how wrong it would have been on the days before, at this time of day."""
    if len(days) < RANGE_DAYS:
        return None
    came_true = sorted(share for day in days if (share := _came_true(today, day, usual)) is not None)
    if len(came_true) < RANGE_DAYS:
        return None
    tenth = len(came_true) // 10
    low, high = came_true[tenth], came_true[-1 - tenth]
    return rest * min(low, _WHOLE) // _WHOLE, rest * max(high, _WHOLE) // _WHOLE


def _came_true(today: Today, day: DayHours, usual: _Usual) -> int | None:
    """What a past day spent after this time of day, in ten-thousandths of what would have been forecast for it."""
    hour, past = divmod(min(today.clock, 24 * _HOUR - 1), _HOUR)
    so_far = sum(spent or 0 for spent in day.hours[:hour]) + (day.hours[hour] or 0) * past // _HOUR
    passed, total = today.curve.until(today.second), today.curve.total
    level = _level(so_far, passed, total, usual[day.day.weekday()])
    forecast = level * (total - passed) // total if level and total else 0
    return max(_total(day) - so_far, 0) * _WHOLE // forecast if forecast else None


def _capped(today: Today, rest: int) -> int:
    """The day's spend with so much to come: the verdict stops it at the budget, and what is spent stays spent."""
    spend = today.spent + rest
    return spend if today.budget is None else max(min(spend, today.budget), today.spent)


def _runs_out(today: Today, level: int) -> int | None:
    if today.budget is None or level <= 0:
        return None
    if today.spent >= today.budget:
        return today.second
    weight = -(-(today.budget - today.spent) * today.curve.total // level)
    return today.curve.reaches(today.curve.until(today.second) + weight)


# --- The month -----------------------------------------------------------------------------------


def end_of_month(
    *,
    spent: int,
    budget: int | None,
    today: Forecast,
    ahead: Sequence[DayAhead],
    history: Iterable[DayHours],
    day: date,
) -> Forecast | None:
    """Return what will have been spent by the end of the month; None if too little is known to tell.

    spent: of the month without today. today: how today will end. ahead: the days of the month after today. day: today.
    """
    days = _usable(history, day)
    usual = _usual(days)
    expected = [_expected(coming, usual) for coming in ahead]
    if any(amount is None for amount in expected):
        return None
    amounts = [amount for amount in expected if amount is not None]
    likely = spent + today.likely + sum(amounts)
    if len(days) < RANGE_DAYS or today.low is None or today.high is None:
        return Forecast(_at_most(likely, budget, spent))
    spread = _spread(amounts, days, usual)
    low, high = spent + today.low + max(sum(amounts) - spread, 0), spent + today.high + sum(amounts) + spread
    most = None if any(coming.budget is None for coming in ahead) else sum(coming.budget or 0 for coming in ahead)
    high = high if most is None else min(high, spent + today.high + max(most, sum(amounts)))
    return Forecast(*(_at_most(part, budget, spent + today.low) for part in (likely, low, high)))


def month_demand(
    *, spent: int, budget: int, today: int, ahead: Sequence[DayAhead], history: Iterable[DayHours], day: date
) -> MonthDemand | None:
    """Return what the month would come to under its daily budgets alone; None if too little is known to tell.

    spent: of the month without today. today: what today will come to. ahead: the days of the month after today.
    """
    usual = _usual(_usable(history, day))
    wanted, reached = spent + today, day if spent + today >= budget else None
    for coming in ahead:
        expected = _expected(coming, usual)
        if expected is None:
            return None
        wanted += expected
        reached = coming.day if reached is None and wanted >= budget else reached
    return MonthDemand(wanted, reached)


def is_known(history: Iterable[DayHours], day: date) -> bool:
    """Whether there are days enough before this one to say what is usual."""
    return len(_usable(history, day)) >= MIN_DAYS


def _expected(coming: DayAhead, usual: _Usual) -> int | None:
    if not coming.seconds:
        return 0
    amount = usual[coming.day.weekday()]
    return amount if amount is None or coming.budget is None else min(amount, coming.budget)


def _spread(amounts: Sequence[int], days: Sequence[DayHours], usual: _Usual) -> int:
    """How far the sum of the days to come may lie from what is expected, eight times of ten.

    Each day varies on its own, and the level of all of them is only known from so many days.
    """
    variance = 0  # of a day, as a share of what is usual for it, in ten-thousandths squared
    for day in days:
        like_it = usual[day.day.weekday()]
        variance += ((_total(day) - like_it) * _WHOLE // like_it) ** 2 if like_it else 0
    apart = sum(amount * amount for amount in amounts) + sum(amounts) ** 2 // len(days)
    return isqrt(apart * variance // len(days)) * EIGHTY[0] // EIGHTY[1] // _WHOLE


def _at_most(spend: int, budget: int | None, least: int) -> int:
    return spend if budget is None else max(min(spend, budget), least)


# --- Month to day --------------------------------------------------------------------------------


def month_seconds(
    day: date,
    zone: ZoneInfo,
    schedule: Schedule | None = None,
    flight_start: date | None = None,
    flight_end: date | None = None,
) -> list[int]:
    """Return how long may be spent on each day of the month from this one on, in seconds."""
    days = [day + timedelta(days=ahead) for ahead in range(31)]
    return [
        open_day(coming, zone, schedule, flight_start, flight_end).seconds
        for coming in days
        if coming.month == day.month
    ]


def daily_budget(*, budget: int, spent: int, seconds: Sequence[int], least: int = 0, most: int | None = None) -> int:
    """Return today's part of a month's budget, in micros: the daily budget that would just last.

    spent: of the month before today, so that it stays the same all day. seconds: how long may be spent today and on
    each later day of the month. The last day with hours gets the rest. least, most: its bounds; no day gets more than
    what is left, so that the days together never exceed the month, and a day without hours gets nothing.
    """
    left = max(budget - spent, 0)
    if not seconds or seconds[0] <= 0:
        return 0
    share = max(left * seconds[0] // sum(seconds), least)
    return min(share, left if most is None else min(left, most))
