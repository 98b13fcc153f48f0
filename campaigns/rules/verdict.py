"""The verdict: may this campaign spend now, and if not, why not and until when?

The same verdict stands once more as SQL in `services/status.py`, where it judges any number of campaigns in one
statement; `tests/services/test_one_verdict.py` drives both with the same cases.
"""

from __future__ import annotations

import dataclasses
import enum
from datetime import date, datetime
from zoneinfo import ZoneInfo

from campaigns.rules import periods, reasons
from campaigns.rules.reasons import Reason
from campaigns.rules.schedules import Schedule


class BudgetScope(enum.StrEnum):
    """What a brand's budgets bind: the sum of its campaigns, or each campaign alone."""

    BRAND = "brand"
    CAMPAIGN = "campaign"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What people have set for a campaign and its brand. Budgets in micros; None is no limit, 0 is always spent."""

    zone: ZoneInfo
    budget_scope: BudgetScope = BudgetScope.BRAND
    brand_daily_budget: int | None = None
    brand_monthly_budget: int | None = None
    campaign_daily_budget: int | None = None
    campaign_monthly_budget: int | None = None
    campaign_total_budget: int | None = None
    flight_start: date | None = None
    flight_end: date | None = None
    schedule: Schedule | None = None
    paused_manually: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the counters of the current budget day and month say, in micros."""

    brand_daily: int = 0
    brand_monthly: int = 0
    campaign_daily: int = 0
    campaign_monthly: int = 0
    campaign_total: int = 0


def pause_reasons(terms: Terms, spent: Spent, now: datetime) -> Reason:
    """Return every reason why the campaign may not spend at `now`; none means that it may.

    spent: of the budget day and month that `now` lies in.
    """
    return (
        _when(terms.paused_manually, Reason.MANUAL)
        | _budget_reasons(terms, spent)
        | _when(terms.schedule is not None and not terms.schedule.allows(now, terms.zone), Reason.SCHEDULE)
        | _flight_reasons(terms, periods.local_date(now, terms.zone))
    )


def resumes_at(terms: Terms, spent: Spent, now: datetime) -> datetime | None:
    """Return the first moment from `now` on at which the campaign may spend if nobody spends or changes anything.

    `now` itself if it may spend now; None if time alone does not resume it (a person's pause, a total budget,
    a budget of 0, an ended flight).
    """
    moment = now
    # Each round moves to a later boundary. A day's budget clears at midnight, a month's on the 1st, hours open
    # within a week, a flight starts once: a handful of rounds settles it, the bound only guards the loop.
    for _ in range(16):
        standing = _spent_at(terms, spent, now, moment)
        why = pause_reasons(terms, standing, moment)
        if not why:
            return moment
        try:
            later = _clears_at(terms, why, moment)
        except OverflowError:  # past the year 9999
            return None
        if later is None:
            return None
        moment = later
    return None


def _budget_reasons(terms: Terms, spent: Spent) -> Reason:
    alone = terms.budget_scope == BudgetScope.CAMPAIGN
    brand_daily = spent.campaign_daily if alone else spent.brand_daily
    brand_monthly = spent.campaign_monthly if alone else spent.brand_monthly
    return (
        _when(_is_spent(brand_daily, terms.brand_daily_budget), Reason.BRAND_DAILY_BUDGET)
        | _when(_is_spent(brand_monthly, terms.brand_monthly_budget), Reason.BRAND_MONTHLY_BUDGET)
        | _when(_is_spent(spent.campaign_daily, terms.campaign_daily_budget), Reason.CAMPAIGN_DAILY_BUDGET)
        | _when(_is_spent(spent.campaign_monthly, terms.campaign_monthly_budget), Reason.CAMPAIGN_MONTHLY_BUDGET)
        | _when(_is_spent(spent.campaign_total, terms.campaign_total_budget), Reason.CAMPAIGN_TOTAL_BUDGET)
    )


def _flight_reasons(terms: Terms, today: date) -> Reason:
    not_started = terms.flight_start is not None and today < terms.flight_start
    ended = terms.flight_end is not None and today > terms.flight_end
    return _when(not_started, Reason.NOT_STARTED) | _when(ended, Reason.ENDED)


def _is_spent(spent: int, budget: int | None) -> bool:
    # A budget of 0 is always spent, also when an adjustment has taken the counter below zero.
    return budget is not None and (spent >= budget or budget == 0)


def _when(condition: bool, reason: Reason) -> Reason:
    return reason if condition else reasons.NONE


def _spent_at(terms: Terms, spent: Spent, now: datetime, moment: datetime) -> Spent:
    """What the counters say at a later moment if nothing more is spent: those of a new day or month start at 0."""
    today, day = periods.local_date(now, terms.zone), periods.local_date(moment, terms.zone)
    if day != today:
        spent = dataclasses.replace(spent, brand_daily=0, campaign_daily=0)
    if day.replace(day=1) != today.replace(day=1):
        spent = dataclasses.replace(spent, brand_monthly=0, campaign_monthly=0)
    return spent


def _clears_at(terms: Terms, why: Reason, moment: datetime) -> datetime | None:
    """The moment at which the slowest of the reasons can clear by time alone; None if one of them can't."""
    if why & (Reason.MANUAL | Reason.CAMPAIGN_TOTAL_BUDGET | Reason.ENDED):
        return None
    if why & _budget_reasons(terms, Spent()):
        return None  # spent with nothing spent: a budget of 0
    clears: list[datetime | None] = []
    if why & reasons.DAILY:
        clears.append(periods.next_day_begins(moment, terms.zone))
    if why & reasons.MONTHLY:
        clears.append(periods.next_month_begins(moment, terms.zone))
    if why & Reason.NOT_STARTED and terms.flight_start is not None:
        clears.append(periods.day_begins(terms.flight_start, terms.zone))
    if why & Reason.SCHEDULE and terms.schedule is not None:
        clears.append(terms.schedule.next_opening(moment, terms.zone))
    known = [clear for clear in clears if clear is not None]
    return max(known) if len(known) == len(clears) else None
