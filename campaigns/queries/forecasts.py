"""Forecasts of brands and campaigns: how today and the month will end, and when a budget will have been spent.

A brand's days are known by the hour, a campaign's as sums: the hours of its days are taken to be spread as its brand's
traffic usually is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from campaigns.models import CampaignCounter
from campaigns.queries import traffic
from campaigns.queries.owners import Binding, Owner, brand_owners, campaign_owners
from campaigns.rules import forecast, money, pacing, profile
from campaigns.rules.forecast import DayAhead, DayForecast, Forecast, Today
from campaigns.rules.pacing import Curve, OpenDay
from campaigns.rules.periods import Period
from campaigns.rules.profile import LEARNED_DAYS, DayHours, Profile


class OwnerForecast(NamedTuple):
    """What is to come, as far as it can be told; amounts in micros.

    day, month: how they will end; None where too little is known to tell. runs_out_at: when (UTC) today's spend will
    have reached what the budgets leave for today; None if it lasts, or if pacing makes it last. lasting: the daily
    budget that would just last the month; None without a monthly budget. shape: how the day's traffic usually grows,
    for a chart: moments (UTC), and the weight that has passed by them.
    """

    day: DayForecast | None
    month: Forecast | None
    runs_out_at: datetime | None
    lasting: int | None
    shape: Sequence[tuple[datetime, int]] = ()


UNKNOWN = OwnerForecast(None, None, None, None)
"""What is told of an owner that there is not, or that is archived."""


def brand_forecast(*, brand_id: int, now: datetime) -> OwnerForecast:
    """Return the forecast of a brand; of one that there is not, nothing. A constant number of queries."""
    return brand_forecasts(brand_ids=[brand_id], now=now).get(brand_id, UNKNOWN)


def brand_forecasts(*, brand_ids: Sequence[int], now: datetime) -> dict[int, OwnerForecast]:
    """Return the forecasts of some brands by id, of those that there are. A constant number of queries."""
    owners = list(brand_owners(brand_ids, now=now))
    past = traffic.past_hours({owner.brand_id: owner.zone for owner in owners}, now=now)
    return {owner.brand_id: _brand_forecast(owner, past[owner.brand_id], now) for owner in owners}


def _brand_forecast(owner: Owner, history: list[DayHours], now: datetime) -> OwnerForecast:
    return _forecast(owner, history, profile.learn(history, today=owner.day), now)


def campaign_forecast(*, campaign_id: int, now: datetime) -> OwnerForecast:
    """Return the forecast of a campaign, under its own budgets and what binds it alone. As above."""
    owner = next(campaign_owners([campaign_id], now=now), None)
    if owner is None:
        return UNKNOWN
    brands = traffic.past_hours({owner.brand_id: owner.zone}, now=now)[owner.brand_id]
    learned = profile.learn(brands, today=owner.day)
    return _forecast(owner, _spread(owner, learned), learned, now)


def _forecast(owner: Owner, history: list[DayHours], learned: Profile, now: datetime) -> OwnerForecast:
    opened = owner.open_day
    clock = now.astimezone(owner.zone)
    today = Today(
        day=owner.day,
        second=opened.second(now),
        clock=clock.hour * 3_600 + clock.minute * 60 + clock.second,
        spent=owner.limits[0].spent,
        budget=_spendable(owner),
        curve=Curve(opened, learned),
    )
    day = forecast.end_of_day(today, history)
    seconds = forecast.month_seconds(owner.day, owner.zone, owner.schedule, owner.flight_start, owner.flight_end)
    month = _tightest(owner.months)
    return OwnerForecast(
        day=day,
        month=None if day is None else _month(owner, day, history, seconds),
        runs_out_at=None if day is None or _lasts(owner, today, day) else opened.moment(day.runs_out or 0),
        lasting=None if month is None or month.budget is None else _lasting(owner, month.budget, seconds),
        shape=_shape(opened, today.curve),
    )


def _lasts(owner: Owner, today: Today, day: DayForecast) -> bool:
    """Whether the budgets last for today: to see to that is what pacing is for, as long as there is something left."""
    return day.runs_out is None or (owner.paced and today.spent < (today.budget or 0))


def _shape(opened: OpenDay, curve: Curve) -> list[tuple[datetime, int]]:
    seconds = sorted({second for stretch in opened.stretches for second in (stretch.begins, stretch.ends)})
    return [(opened.moment(second), curve.until(second)) for second in seconds]


def _month(owner: Owner, day: DayForecast, history: list[DayHours], seconds: list[int]) -> Forecast | None:
    month = _tightest(owner.months)
    daily = min((one.budget for one in _daily(owner) if one.budget is not None), default=None)
    ahead = [
        DayAhead(owner.day + timedelta(days=at), daily, open_for) for at, open_for in enumerate(seconds[1:], start=1)
    ]
    return forecast.end_of_month(
        spent=owner.limits[1].spent - owner.limits[0].spent,
        budget=None if month is None else month.budget,
        today=day.spend,
        ahead=ahead,
        history=history,
        day=owner.day,
    )


def _lasting(owner: Owner, budget: int, seconds: list[int]) -> int:
    before_today = owner.limits[1].spent - owner.limits[0].spent
    return forecast.daily_budget(budget=budget, spent=before_today, seconds=seconds)


def _daily(owner: Owner) -> list[Binding]:
    return [owner.limits[0], *owner.limits[3:4]]


def _tightest(months: list[Binding]) -> Binding | None:
    """The lowest of the monthly budgets, all of which count the same spend; None without one."""
    return min((one for one in months if one.budget is not None), key=lambda one: one.budget or 0, default=None)


def _spendable(owner: Owner) -> int | None:
    """What may be spent in all of today. What is held counts when it is spent."""
    return pacing.day_limit(owner.limits[0].spent, ((one.budget, one.spent) for one in owner.limits))


def _spread(owner: Owner, learned: Profile) -> list[DayHours]:
    """A campaign's days before today by hour, in proportion to the profile; the hours add up to what the day spent."""
    days = [owner.day - timedelta(days=back) for back in range(1, LEARNED_DAYS + 1)]
    whole = sum(learned.weights)
    # A list of days and no range: the key begins with period and start, and a range leads past all other owners.
    counters = CampaignCounter.objects.filter(period=Period.DAY, start__in=days, campaign=owner.campaign_id)
    found = []
    for day, amount in counters.order_by("start").values_list("start", "spent"):
        spent = money.to_micros(amount)
        hours: list[int | None] = [spent * weight // whole for weight in learned.weights[:-1]]
        found.append(DayHours(day, [*hours, spent - sum(hour or 0 for hour in hours)]))
    return found
