"""Pacing: how likely an owner should serve now, so that its budget lasts for the hours in which it may spend.

Two parts, both in whole numbers. The target is a share of the day's budget over the open hours, shaped by the hourly
profile: Agarwal et al., "Budget pacing for targeted online advertisements at LinkedIn" (KDD 2014). The controller is a
throttle on the probability of serving, as there and in Xu et al., "Smart pacing for effective online ad campaign
optimization" (KDD 2015), whose point it takes up to plan what is left over the time that is left. It is an estimate of
the demand carried forward, plus a pull towards the target; the feedback is bounded and works over an hour, since spend
is reported late (on feedback and its limits: Zhang et al., "Feedback control of real-time display advertising",
WSDM 2016).

Probabilities are in millionths, times in seconds from the beginning of the budget day.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from campaigns.rules import periods
from campaigns.rules.profile import Profile
from campaigns.rules.schedules import Schedule

ONE = 1_000_000
"""A probability of 1: serve at every chance."""

FLOOR = 100
"""The least probability while budget is left and hours are to come: one chance in 10,000."""

START = 100_000
"""The probability of an owner of which nothing is known: a tenth, as in the slow start of KDD 2014."""

RISE, FALL = 4, 3
"""A step moves the probability by at most this part of itself (a quarter up, a third down) and `NUDGE`."""

NUDGE = 1_000
"""What a step may always move, so that the smallest probabilities get away from where they are."""

BURST = 130
"""The hardest catch-up, in percent of the rate at which what is left would last exactly."""

BRAKE = 50
"""The hardest holding back, in the same percent."""

MEMORY = 1_800
"""Seconds of open time after which what was learned about the demand counts for a third."""

REMEMBERED = 48
"""The memory does not fade below this part of the budget: half an average hour. Lumpy spend needs it longer."""

LONGEST = 12
"""It fades in any case beyond this part of a whole day at a probability of 1, however little was spent: two hours."""

PRIOR = 288
"""The weight of the first opinion about the demand, as a part of the day: five minutes."""

PULL = 24
"""A gap to the target is closed over this part of the day's weight: an average hour."""

BEHIND = 25
"""Further behind than this part of the budget, the target is set anew on what is left: there was an outage."""

LAST = 144
"""The part of the open time, at its end, in which the rate no longer grows: ten minutes of a whole day."""

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_LONGEST_DAY = timedelta(hours=27)


# --- The hours of a day --------------------------------------------------------------------------


class Stretch(NamedTuple):
    """A part of a day within one local hour. begins, ends: seconds from the beginning of the day."""

    begins: int
    ends: int
    hour: int


@dataclasses.dataclass(frozen=True, slots=True)
class OpenDay:
    """The stretches of a budget day in which may be spent, in order. begins: the day's first instant, in UTC."""

    begins: datetime
    stretches: tuple[Stretch, ...]

    def second(self, moment: datetime) -> int:
        """The whole seconds from the beginning of the day to a moment."""
        return (moment - self.begins) // _SECOND

    def moment(self, second: int) -> datetime:
        """The instant (UTC) at a second of the day."""
        return self.begins + second * _SECOND

    @property
    def seconds(self) -> int:
        """How long may be spent."""
        return sum(stretch.ends - stretch.begins for stretch in self.stretches)


@lru_cache(maxsize=8192)
def open_day(
    day: date,
    zone: ZoneInfo,
    schedule: Schedule | None = None,
    flight_start: date | None = None,
    flight_end: date | None = None,
) -> OpenDay:
    """Return the hours of a budget day in which its schedule and flight let a campaign spend.

    Goes by instants: the day of a clock change has 23 or 25 hours, one that a zone left out has none.
    """
    begins = periods.day_begins(day, zone)
    in_flight = (flight_start is None or day >= flight_start) and (flight_end is None or day <= flight_end)
    stretches = _stretches(begins, day, zone, schedule) if in_flight else ()
    return OpenDay(begins, tuple(stretches))


def _stretches(begins: datetime, day: date, zone: ZoneInfo, schedule: Schedule | None) -> Iterator[Stretch]:
    """The open parts of a day, hour by hour on the wall clock. One clock change at most falls into it (`periods`)."""
    instant, horizon = begins, begins + _LONGEST_DAY
    while instant < horizon:
        local = instant.astimezone(zone)
        past_hour = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        following = instant + _HOUR - past_hour
        if following.astimezone(zone).utcoffset() != local.utcoffset():
            following = periods.offset_change(instant, following, zone)
        if local.date() == day and (schedule is None or schedule.allows(instant, zone)):
            yield Stretch((instant - begins) // _SECOND, (following - begins) // _SECOND, local.hour)
        instant = following


class Curve:
    """How the weight of a day grows over its open hours: what a budget is spread by. Made once a day, asked often."""

    __slots__ = ("_before", "_begins", "_ends", "_rates", "last", "total")

    def __init__(self, day: OpenDay, profile: Profile) -> None:
        weights = profile.weights
        self._begins = [stretch.begins for stretch in day.stretches]
        self._ends = [stretch.ends for stretch in day.stretches]
        self._rates = [weights[stretch.hour] for stretch in day.stretches]
        self._before = []
        total = 0
        for begins, ends, hour in day.stretches:
            self._before.append(total)
            total += (ends - begins) * weights[hour]
        self.total = total
        """The weight of the whole day; 0 when there is no hour in which may be spent."""
        self.last = total - self.until(self._ends[-1] - day.seconds // LAST) if total else 0
        """The weight of the last minutes, in which the budget is closed softly."""

    def until(self, second: int) -> int:
        """The weight of the open time before a second of the day."""
        at = bisect_right(self._begins, second) - 1
        if at < 0:
            return 0
        return self._before[at] + (min(second, self._ends[at]) - self._begins[at]) * self._rates[at]

    def reaches(self, weight: int) -> int | None:
        """The first second at which this much weight has passed; None if it never does."""
        if weight > self.total or not self._begins:
            return None
        at = max(bisect_right(self._before, weight - 1) - 1, 0)
        return self._begins[at] + -(-max(weight - self._before[at], 0) // self._rates[at])


# --- The target ----------------------------------------------------------------------------------


class Pace(NamedTuple):
    """What the controller knows of one owner between two steps: whole numbers that fit a row.

    probability: in millionths. second, spent: when the last step was and the day's counter then, in micros.
    earned, exposed: spend in micros and the weight it came from, both fading; their ratio is the demand.
    silent: the weight since the last spend. budget, since, base: the plan: which budget is spread over the time from
    which second on, and what had been spent by then.
    """

    probability: int
    second: int
    spent: int
    earned: int
    exposed: int
    silent: int
    budget: int
    since: int
    base: int


def target(pace: Pace, curve: Curve, second: int) -> int:
    """Return what should be spent by a second of the day, in micros: never falling, at the end the whole budget."""
    return _due(pace.budget, pace.base, curve.until(pace.since), curve.until(second), curve.total)


def _due(budget: int, base: int, since: int, passed: int, total: int) -> int:
    """The target where weights are known: of the day up to the plan, up to now, and whole."""
    left = max(budget - base, 0)
    return base + left * max(passed - since, 0) // (total - since) if total > since else base + left


# --- The controller ------------------------------------------------------------------------------


def begin(curve: Curve, *, budget: int, second: int = 0, spent: int = 0, last: Pace | None = None) -> Pace:
    """Return the pace with which a day begins, or with which pacing begins in the middle of one.

    last: the owner's last pace of the day before, whose estimate of the demand is kept.
    """
    if last is not None and last.earned > 0 and last.exposed > 0:
        earned, exposed = last.earned, last.exposed
    else:
        # As if a tenth of the chances had just been worth a few minutes of the budget: the first spend outweighs it.
        earned = max(budget // PRIOR, 1)
        exposed = max(curve.total // PRIOR, 1) * START
    to_come = curve.total - curve.until(second)
    wanted = _wanted(curve, to_come, budget - spent, 0, earned, exposed)
    probability = START if wanted is None else max(min(wanted, ONE), FLOOR)
    return Pace(probability, second, spent, earned, exposed, 0, budget, second, spent)


def step(pace: Pace, curve: Curve, *, second: int, spent: int, budget: int, served: int) -> Pace:
    """Return the pace from now on.

    second, spent, budget: now, of the day that `pace` is of; spent is what has been reported. served: the probability
    that was in effect since the last step (0 while paused), which another owner's pace may have made smaller.
    The probability moves by at most a quarter up and a third down, and is at least `FLOOR` as long as there is budget
    and time. Where nothing is left to decide, it stays as it is: to stop is for the verdict.
    """
    second = max(second, pace.second)
    passed = curve.until(second)
    exposure = (passed - curve.until(pace.second)) * served
    full = pace.earned * REMEMBERED > budget or pace.exposed * LONGEST > curve.total * ONE
    fades = min(second - pace.second, MEMORY // 2) if full and exposure else 0
    earned, exposed, silent = _learned(pace, fades, exposure, spent - pace.spent)
    since, base = pace.since, pace.base
    gap = _due(pace.budget, base, curve.until(since), passed, curve.total) - spent
    if budget != pace.budget or gap * BEHIND > budget:
        since, base, gap = second, spent, 0
    wanted = _wanted(curve, curve.total - passed, budget - spent, gap, earned, exposed + min(silent, exposed))
    probability = pace.probability if wanted is None else _bounded(pace.probability, wanted)
    return Pace(probability, second, spent, earned, exposed, silent, budget, since, base)


def day_limit(spent_today: int, standings: Iterable[tuple[int | None, int]]) -> int | None:
    """Return the day's budget to pace by, in micros: the most that may be spent today under all budgets at once.

    standings: each budget that binds (day, month, total; None is no limit) and what its period has spent, today
    included. None if no budget binds: then there is nothing to pace.
    """
    return min((budget - spent + spent_today for budget, spent in standings if budget is not None), default=None)


def effective(campaign: int, brand: int) -> int:
    """Return the probability with which a campaign serves: the smaller of its own and its brand's.

    Each is the share of chances that its own budget bears, so the tighter binds, as with the budgets themselves. Their
    product would throttle twice, and each controller would then push against the other.
    """
    return min(campaign, brand)


def _learned(pace: Pace, fades: int, exposure: int, gained: int) -> tuple[int, int, int]:
    """The estimate of the demand with what was seen since the last step: spend, the weight it came from, silence.

    Weight without spend waits in `silent` for the next spend. Of a long silence only as much is believed as at most
    halves the estimate: it may have been an outage or an unexpected quiet night. fades: seconds of MEMORY to forget.
    """
    silent = pace.silent + exposure
    earned = pace.earned - pace.earned * fades // MEMORY
    exposed = pace.exposed - pace.exposed * fades // MEMORY
    if gained <= 0:
        return earned, exposed, silent
    return earned + gained, exposed + min(silent, exposed + exposed * gained // max(earned, 1)), 0


def _wanted(curve: Curve, to_come: int, left: int, gap: int, earned: int, exposed: int) -> int | None:
    """The probability at which what is left would last, pulled towards the target; not yet bounded.

    None if there is nothing to decide. What is left is spread over the last minutes as if they did not shorten: at the
    very end, spend that is still under way looks like budget that nobody uses.
    """
    if to_come <= 0 or left <= 0:
        return None
    pulled = left + gap * to_come // max(curve.total // PULL, 1)
    spread = min(max(pulled, left * BRAKE // 100), left * BURST // 100)
    return spread * exposed // (max(to_come, curve.last) * max(earned, 1))


def _bounded(before: int, wanted: int) -> int:
    """The next probability: no further from the last than a step may go, and within its bounds."""
    highest = min(before + before // RISE + NUDGE, ONE)
    lowest = max(before - before // FALL - NUDGE, FLOOR)
    return max(min(wanted, highest), lowest)
