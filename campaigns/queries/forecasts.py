"""Forecasts of brands and campaigns: how today and the month will end, and when a budget will have been spent.

A brand's days are known by the hour. So are those of a campaign that is paced by itself; of any other, and of a day
that has not been added up yet, the sum is known, and is taken to be spread as the traffic usually is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from campaigns.models import CampaignCounter
from campaigns.queries import traffic
from campaigns.queries.owners import Binding, Owner, brand_owners, campaign_owners
from campaigns.queries.traffic import CampaignTraffic
from campaigns.rules import forecast, money, pacing, profile
from campaigns.rules.forecast import DayAhead, DayForecast, Forecast, MonthDemand, Today
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


class Outlook(NamedTuple):
    """An owner with its forecast, as far as that stands on at least three days before.

    daily, monthly: the tightest budget of its period, None without one. spendable: what may be spent in all of today
    under every budget at once. passed: how much of today's usual traffic is
    over, in percent. demand: what the month would come to without its budget; None without one.
    """

    owner: Owner
    found: OwnerForecast
    daily: Binding | None
    monthly: Binding | None
    spendable: int | None
    passed: int
    demand: MonthDemand | None


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


def brand_outlooks(*, brand_ids: Sequence[int], now: datetime) -> list[Outlook]:
    """Return the outlooks of at most 200 brands, those of which enough is known. A constant number of queries."""
    owners = list(brand_owners(brand_ids, now=now))
    past = traffic.past_hours({owner.brand_id: owner.zone for owner in owners}, now=now)
    known = (owner for owner in owners if forecast.is_known(past[owner.brand_id], owner.day))
    return [
        _outlook(owner, past[owner.brand_id], profile.learn(past[owner.brand_id], today=owner.day), now)
        for owner in known
    ]


def campaign_outlooks(*, campaign_ids: Sequence[int], now: datetime) -> list[Outlook]:
    """Return the outlooks of at most 200 campaigns, as above. campaign_ids: ascending, at least one."""
    owners = list(campaign_owners(campaign_ids, now=now))
    known = ((owner, past) for owner, past in _pasts(owners, now) if forecast.is_known(past.days, owner.day))
    return [_outlook(owner, past.days, past.learned, now) for owner, past in known]


def _outlook(owner: Owner, history: list[DayHours], learned: Profile, now: datetime) -> Outlook:
    found = _forecast(owner, history, learned, now)
    curve = Curve(owner.open_day, learned)
    return Outlook(
        owner=owner,
        found=found,
        daily=_tightest(_daily(owner)),
        monthly=_tightest(owner.months),
        spendable=_spendable(owner),
        passed=curve.until(owner.open_day.second(now)) * 100 // curve.total if curve.total else 0,
        demand=_demand(owner, found.day, history),
    )


def _demand(owner: Owner, day: DayForecast | None, history: list[DayHours]) -> MonthDemand | None:
    daily, monthly = _tightest(_daily(owner)), _tightest(owner.months)
    if day is None or monthly is None or monthly.budget is None:
        return None
    seconds = forecast.month_seconds(owner.day, owner.zone, owner.schedule, owner.flight_start, owner.flight_end)
    wanted = day.wanted if daily is None else max(min(day.wanted, daily.budget or 0), owner.limits[0].spent)
    return forecast.month_demand(
        spent=owner.limits[1].spent - owner.limits[0].spent,
        budget=monthly.budget,
        today=wanted,
        ahead=_days_ahead(owner, seconds),
        history=history,
        day=owner.day,
    )


def campaign_forecast(*, campaign_id: int, now: datetime) -> OwnerForecast:
    """Return the forecast of a campaign, under its own budgets and what binds it alone. As above."""
    owner = next(campaign_owners([campaign_id], now=now), None)
    if owner is None:
        return UNKNOWN
    ((_, past),) = _pasts([owner], now)
    return _forecast(owner, past.days, past.learned, now)


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
    return forecast.end_of_month(
        spent=owner.limits[1].spent - owner.limits[0].spent,
        budget=None if month is None else month.budget,
        today=day.spend,
        ahead=_days_ahead(owner, seconds),
        history=history,
        day=owner.day,
    )


def _days_ahead(owner: Owner, seconds: list[int]) -> list[DayAhead]:
    """The days of the month after today, under the daily budget. seconds: how long may be spent on each, from today."""
    tightest = _tightest(_daily(owner))
    daily = None if tightest is None else tightest.budget
    return [
        DayAhead(owner.day + timedelta(days=at), daily, open_for) for at, open_for in enumerate(seconds[1:], start=1)
    ]


def _lasting(owner: Owner, budget: int, seconds: list[int]) -> int:
    before_today = owner.limits[1].spent - owner.limits[0].spent
    return forecast.daily_budget(budget=budget, spent=before_today, seconds=seconds)


def _daily(owner: Owner) -> list[Binding]:
    return [owner.limits[0], *owner.limits[3:4]]


def _tightest(limits: list[Binding]) -> Binding | None:
    """The lowest of the budgets of one period, all of which count the same spend; None without one."""
    return min((one for one in limits if one.budget is not None), key=lambda one: one.budget or 0, default=None)


def _spendable(owner: Owner) -> int | None:
    """What may be spent in all of today. What is held counts when it is spent."""
    return pacing.day_limit(owner.limits[0].spent, ((one.budget, one.spent) for one in owner.limits))


def _pasts(owners: Sequence[Owner], now: datetime) -> list[tuple[Owner, CampaignTraffic]]:
    """What is known of at most 200 campaigns: each day's hours, its own ones where they are kept, and a profile."""
    hours = traffic.past_hours({owner.brand_id: owner.zone for owner in owners}, now=now)
    brands = {owner.campaign_id or 0: profile.learn(hours[owner.brand_id], today=owner.day) for owner in owners}
    own = traffic.campaign_traffic(
        {owner.campaign_id or 0: owner.zone for owner in owners if owner.paced}, brands, now=now
    )
    days = _days(owners)
    found = []
    for owner in owners:
        campaign_id = owner.campaign_id or 0
        kept, learned = own.get(campaign_id, CampaignTraffic([], brands[campaign_id]))
        by_day = {one.day: one for one in _spread(days[campaign_id], learned)}
        # The sum has the last word: the hours of a day that was spent in late are added up some minutes later.
        sums = dict(days[campaign_id])
        by_day.update((one.day, one) for one in kept if sum(spent or 0 for spent in one.hours) == sums.get(one.day))
        found.append((owner, CampaignTraffic(list(by_day.values()), learned)))
    return found


def _days(owners: Sequence[Owner]) -> dict[int, list[tuple[date, int]]]:
    """What campaigns have spent on each of the days before today, by id, oldest first."""
    todays = {owner.campaign_id or 0: owner.day for owner in owners}
    days = {today - timedelta(days=back) for today in todays.values() for back in range(1, LEARNED_DAYS + 1)}
    # A list of days and no range: the key begins with period and start, and a range leads past all other owners.
    counters = CampaignCounter.objects.filter(period=Period.DAY, start__in=sorted(days), campaign__in=list(todays))
    found: dict[int, list[tuple[date, int]]] = {campaign_id: [] for campaign_id in todays}
    for campaign_id, day, amount in counters.order_by("start").values_list("campaign", "start", "spent"):
        if day < todays[campaign_id]:
            found[campaign_id].append((day, money.to_micros(amount)))
    return found


def _spread(days: Sequence[tuple[date, int]], learned: Profile) -> list[DayHours]:
    """A campaign's days by hour, in proportion to the profile; the hours add up to what the day spent."""
    whole = sum(learned.weights)
    found = []
    for day, spent in days:
        hours: list[int | None] = [spent * weight // whole for weight in learned.weights[:-1]]
        found.append(DayHours(day, [*hours, spent - sum(hour or 0 for hour in hours)]))
    return found
