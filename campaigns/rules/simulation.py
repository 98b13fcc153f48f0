"""A day in simulated time: arrivals against the real verdict and a policy of pacing, in whole numbers and without luck.

Whatever is random has been drawn before, into the trace: so the same trace can be given to several policies, and only
what they decide differs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple

from campaigns.rules import money, pacing, reasons, verdict
from campaigns.rules.pacing import Curve, OpenDay, Pace
from campaigns.rules.reasons import Reason
from campaigns.rules.verdict import Spent, Terms

EVERY = 60
"""Seconds between two steps, as between two runs of the periodic pass."""


_NOTHING = Spent()


class Arrival(NamedTuple):
    """One chance to serve. second: of the day. price: in micros. coin: 0 to 999,999, served if below the probability.

    lag: seconds until its spend is reported.
    """

    second: int
    price: int
    coin: int
    lag: int = 0


class Seen(NamedTuple):
    """What a policy is told at each step: what has been reported, never what is still under way.

    served: the probability in effect since the last step, 0 while paused.
    """

    second: int
    spent: int
    budget: int
    served: int


class Step(NamedTuple):
    """The state of the day at one moment. spent: in truth; reported: what is known of it. Both and target in micros."""

    second: int
    spent: int
    reported: int
    target: int
    probability: int
    reasons: Reason


Policy = Callable[[Seen], tuple[int, int]]
"""Says, at each step, the probability from now on, in millionths, and what should be spent by now, in micros."""


def hard_cap(seen: Seen) -> tuple[int, int]:
    """Serve whatever comes until the verdict stops it: pacing `asap`."""
    return pacing.ONE, seen.budget


def even(curve: Curve, last: Pace | None = None) -> Policy:
    """Pacing `even`, as the product does it. last: the pace at the end of the day before."""
    pace: Pace | None = None

    def policy(seen: Seen) -> tuple[int, int]:
        nonlocal pace
        if pace is None:
            pace = pacing.begin(curve, budget=seen.budget, second=seen.second, spent=seen.spent, last=last)
        else:
            pace = pacing.step(pace, curve, **seen._asdict())
        return pace.probability, pacing.target(pace, curve, seen.second)

    return policy


def draw(curve: Curve, *, demand: int, price: int, seed: int, lag: int = 0) -> list[Arrival]:
    """Return the chances of a day that would cost about `demand` in all, spread as the curve says; in micros.

    price: what one costs on average; each costs from a half of it to one and a half. The same seed, the same day.
    """
    luck = Random(seed)  # noqa: S311 - a simulated day has no secrets
    if not curve.total:
        return []
    moments = (curve.reaches(luck.randrange(curve.total) + 1) for _ in range(demand // price))
    half = price // 2
    return [
        Arrival(second, price - half + luck.randrange(2 * half + 1), luck.randrange(pacing.ONE), lag)
        for second in sorted(second for second in moments if second is not None)
    ]


def simulate(
    day: OpenDay,
    terms: Terms,
    arrivals: Sequence[Arrival],
    policy: Policy,
    *,
    changes: Mapping[int, Terms] | None = None,
    before: Spent = _NOTHING,
    every: int = EVERY,
) -> Iterator[Step]:
    """Yield the steps of a day, one at its beginning and one after each `every` seconds, to its last open hour.

    terms: as people have set them; what is paced is the least that their budgets leave for the day. changes: what
    people set in the middle of the day, by the second at which they do. before: what was spent before the day.
    arrivals: in the order of their seconds.
    """
    ends = max((stretch.ends for stretch in day.stretches), default=0)
    state = _Day(day, terms, before, policy)
    following = iter(arrivals)
    arrival = next(following, None)
    to_come = sorted((changes or {}).items(), reverse=True)
    for second in range(0, ends + 1, every):
        while arrival is not None and arrival.second < second:
            state.arrive(arrival)
            arrival = next(following, None)
        while to_come and to_come[-1][0] <= second:
            state.agree(to_come.pop()[1])
        yield state.step(second)


class _Day:
    """What changes in the course of a simulated day."""

    def __init__(self, day: OpenDay, terms: Terms, before: Spent, policy: Policy) -> None:
        self._day, self._before, self._policy = day, before, policy
        self.agree(terms)
        self._spent = self._reported = 0
        self._probability = 0
        self._why = reasons.NONE
        self._under_way: list[tuple[int, int]] = []  # when it is reported, and how much

    def agree(self, terms: Terms) -> None:
        """Let these terms hold from now on. Their budgets leave as much for the day whatever is spent in it."""
        before = self._before
        limit = pacing.day_limit(
            0,
            [
                (terms.brand_daily_budget, 0),
                (terms.brand_monthly_budget, before.brand_monthly),
                (terms.campaign_daily_budget, 0),
                (terms.campaign_monthly_budget, before.campaign_monthly),
                (terms.campaign_total_budget, before.campaign_total),
            ],
        )
        self._terms, self._limit = terms, money.MAX_BUDGET if limit is None else limit

    def arrive(self, arrival: Arrival) -> None:
        """Serve, or let pass."""
        self._report(arrival.second)
        if not self._why and arrival.coin < self._probability:
            self._spent += arrival.price
            heapq.heappush(self._under_way, (arrival.second + arrival.lag, arrival.price))

    def step(self, second: int) -> Step:
        """Let the policy decide, and judge as the periodic pass does."""
        self._report(second)
        served = 0 if self._why else self._probability
        seen = Seen(second, self._reported, self._limit, served)
        self._probability, wanted = self._policy(seen)
        self._judge(second)
        return Step(second, self._spent, self._reported, wanted, self._probability, self._why)

    def _report(self, second: int) -> None:
        """Let the spend be known that is due, and judge at once where it reaches a budget, as recording does."""
        while self._under_way and self._under_way[0][0] <= second:
            due, price = heapq.heappop(self._under_way)
            self._reported += price
            if self._reported >= self._limit:
                self._judge(due)

    def _counters(self) -> Spent:
        before, reported = self._before, self._reported
        return Spent(
            brand_daily=reported,
            brand_monthly=before.brand_monthly + reported,
            campaign_daily=reported,
            campaign_monthly=before.campaign_monthly + reported,
            campaign_total=before.campaign_total + reported,
        )

    def _judge(self, second: int) -> None:
        self._why = verdict.pause_reasons(self._terms, self._counters(), self._day.moment(second))
