"""The hourly profile: how what an owner spends in a day is usually spread over the hours of its clock.

Pacing to the traffic instead of to the clock is what LinkedIn described (Agarwal et al., "Budget pacing for targeted
online advertisements at LinkedIn", KDD 2014); they forecast a campaign's impressions, we learn the shape of its spend.
A sum per hour says less than a request log, so what is learned is only the shape, never the height.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

DAY_HOURS = 24

WHOLE = 1_000_000
"""What the weights of a profile add up to, but for rounding and the least weight."""

LEAST = WHOLE // DAY_HOURS // 100
"""The least weight of an hour: a hundredth of an average one. A night without spend stays near zero, never at it."""

LEARNED_DAYS = 28
"""Days that are looked at, those before today."""

MIN_DAYS = 3
"""Days with spend below which a history says nothing."""

FULL_DAYS = 14
"""Days with spend from which on the history stands alone; with fewer, it is mixed with what it falls back to."""

TRIMMED = 5
"""One part in five is left out at each end: a day of outage or of frenzy, also if it is one of the same weekday."""

_SAME_WEEKDAY, _SAME_KIND, _OTHER = 8, 2, 1
_SATURDAY = 5


class DayHours(NamedTuple):
    """What was spent in each local hour of one budget day, in micros.

    hours: 24 of them. None where nothing could be spent or it isn't known, such as outside the schedule or while the
    budget was spent: an hour like that says nothing about the traffic.
    """

    day: date
    hours: Sequence[int | None]


class Profile(NamedTuple):
    """The weights of the 24 local hours, each at least `LEAST`. days: how many days it was learned from; 0 is flat."""

    weights: tuple[int, ...]
    days: int = 0


FLAT = Profile((WHOLE // DAY_HOURS,) * DAY_HOURS)
"""Every hour alike: what is assumed where nothing is known."""


def learn(history: Iterable[DayHours], *, today: date, fallback: Profile = FLAT) -> Profile:
    """Return the profile of a day like `today` out of the days before it.

    fallback: what stands in where the history is thin; for a campaign, the profile of its brand. Days of the same
    weekday count eightfold, those of the same kind (working day or weekend) twice. Of each hour the trimmed mean is
    taken, after days have been brought to one level, so that neither an outage nor a day of twice the budget bends it.
    """
    days = [day for day in history if 0 < (today - day.day).days <= LEARNED_DAYS and any(_seen(day))]
    if len(days) < MIN_DAYS:
        return fallback
    shape = _shape(days, today)
    levelled = [_levelled(day, shape) for day in days]
    own = _filled(_shape(levelled, today), fallback)
    return Profile(_mixed(_smoothed(own), fallback.weights, min(len(days), FULL_DAYS)), len(days))


def _seen(day: DayHours) -> list[int]:
    """The hours that say something; a correction may have taken one below zero."""
    return [max(spent, 0) for spent in day.hours if spent is not None]


def _shape(days: Sequence[DayHours], today: date) -> list[int | None]:
    """The usual spend of each hour; None for one that no day says anything about."""
    weighted = [(day.hours, likeness(day.day, today)) for day in days]
    return [
        trimmed_mean(
            sorted((max(spent, 0), weight) for hours, weight in weighted if (spent := hours[hour]) is not None)
        )
        for hour in range(DAY_HOURS)
    ]


def likeness(day: date, today: date) -> int:
    """Return how much a day counts when today is to be judged: the same weekday most, then a day of the same kind."""
    if day.weekday() == today.weekday():
        return _SAME_WEEKDAY
    return _SAME_KIND if (day.weekday() >= _SATURDAY) == (today.weekday() >= _SATURDAY) else _OTHER


def trimmed_mean(samples: Sequence[tuple[int, int]]) -> int | None:
    """Return the mean of (value, weight) in ascending order, without the fifth of the weight at either end."""
    total = sum(weight for _, weight in samples)
    if not total:
        return None
    # In fifths of a weight, so that nothing is cut off by rounding.
    passed, kept = 0, 0
    for value, weight in samples:
        inside = min(passed + weight * TRIMMED, total * (TRIMMED - 1)) - max(passed, total)
        kept += value * max(inside, 0)
        passed += weight * TRIMMED
    return kept // (total * (TRIMMED - 2))


def _levelled(day: DayHours, shape: Sequence[int | None]) -> DayHours:
    """A day as it would be at the usual level, judged by the hours that it has."""
    usual = sum(amount or 0 for amount, spent in zip(shape, day.hours, strict=True) if spent is not None)
    total = sum(_seen(day))
    # Finer than micros, so that the smallest spend keeps its shape.
    return DayHours(day.day, [None if spent is None else max(spent, 0) * usual * WHOLE // total for spent in day.hours])


def _filled(shape: Sequence[int | None], fallback: Profile) -> list[int]:
    """The shape, where an hour that nothing is known of is as in the fallback."""
    known = sum(amount or 0 for amount in shape)
    stands_for = sum(weight for weight, amount in zip(fallback.weights, shape, strict=True) if amount is not None)
    if not known:
        return list(fallback.weights)
    return [
        weight * known // stands_for if amount is None else amount
        for weight, amount in zip(fallback.weights, shape, strict=True)
    ]


def _smoothed(weights: Sequence[int]) -> list[int]:
    """Each hour with an eighth of either neighbour: enough to calm a lumpy history, little enough to keep an edge."""
    after = [*weights[1:], weights[0]]
    before = [weights[-1], *weights[:-1]]
    return [(left + 6 * here + right) // 8 for left, here, right in zip(before, weights, after, strict=True)]


def _mixed(own: Sequence[int], other: Sequence[int], days: int) -> tuple[int, ...]:
    """Both as weights, by how many days the own one was learned from."""
    ours, theirs = sum(own), sum(other)
    return tuple(
        max((mine * WHOLE * days // ours + yours * WHOLE * (FULL_DAYS - days) // theirs) // FULL_DAYS, LEAST)
        for mine, yours in zip(own, other, strict=True)
    )
