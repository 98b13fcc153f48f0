"""What is ahead of a brand or a campaign, in words and for its chart: how today and the month will end, and its pace.

An estimate is told as one: to three digits, times to five minutes. So a page in which nothing happens also stays still.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from campaigns.admin import words
from campaigns.admin.charts import Ahead
from campaigns.models import Brand, Campaign
from campaigns.queries import forecasts, pacing
from campaigns.queries.activity import HourPoint
from campaigns.queries.forecasts import OwnerForecast
from campaigns.queries.overview import BrandAttention
from campaigns.queries.pacing import PaceNow
from campaigns.queries.standing import BrandStanding, CampaignStanding, Limit
from campaigns.rules import periods
from campaigns.rules.forecast import Forecast
from campaigns.rules.verdict import BudgetScope

UNKNOWN = "Too little is known yet to tell."

ROUNDED = timedelta(minutes=5)
"""How exactly it is told when a budget runs out; a budget that lasts until so shortly before midnight just lasts."""

EARLY = timedelta(hours=1)
"""A budget that lasts until so shortly before midnight is no news on the first page."""

EVENLY = "It is shown at this share of its chances, so that the budget lasts until its hours end."

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Money(NamedTuple):
    """Where an owner stands. daily: the day's spend and budget. limits: all budgets that bind, by name."""

    currency: str
    zone: ZoneInfo
    daily: Limit
    monthly: Limit
    limits: Sequence[tuple[str, Limit]]

    @property
    def tightest(self) -> tuple[str, Limit] | None:
        """The budget of which least is left, holds not deducted; None if none binds."""
        binding = [(name, limit) for name, limit in self.limits if limit.budget is not None]
        return min(binding, key=lambda one: (one[1].budget or 0) - one[1].spent, default=None)


class Foresight(NamedTuple):
    """What a page shows of it, in sentences. serves, explained: the pace, and what that means. target, ahead: drawn."""

    serves: str = ""
    explained: str = ""
    today: Sequence[str] = ()
    month: str = ""
    target: Sequence[HourPoint] = ()
    ahead: Ahead | None = None


NOTHING = Foresight()
"""Of what is archived."""


def of_campaign(campaign: Campaign, standing: CampaignStanding | None, now: datetime) -> Foresight:
    """Return what is ahead of a campaign, under its own budgets and those of its brand that bind it alone."""
    if standing is None:
        return NOTHING
    own = [
        ("daily budget", standing.day),
        ("monthly budget", standing.month),
        ("total budget", standing.total),
    ]
    alone = campaign.brand.budget_scope == BudgetScope.CAMPAIGN
    each = [("brand's daily budget", standing.brand_day), ("brand's monthly budget", standing.brand_month)]
    money = Money(
        campaign.brand.currency,
        campaign.brand.timezone,
        _binding(standing.day, standing.brand_day) if alone else standing.day,
        _binding(standing.month, standing.brand_month) if alone else standing.month,
        [*own, *(each if alone else ())],
    )
    pace = pacing.campaign_pace(campaign_id=campaign.pk, now=now)
    found = forecasts.campaign_forecast(campaign_id=campaign.pk, now=now)
    curve = pacing.target_curve(campaign_id=campaign.pk, now=now) if pace else []
    seen = _foresight(found, money, pace, _moments(curve, money.zone, now), now)
    return seen._replace(serves=_campaign_serves(pace), explained=EVENLY if pace and pace.probability else "")


def of_brand(brand: Brand, standing: BrandStanding | None, now: datetime) -> Foresight:
    """Return what is ahead of a brand, whose budgets may bind each of its campaigns alone: then none binds it."""
    if standing is None:
        return NOTHING
    together = brand.budget_scope == BudgetScope.BRAND
    day = standing.day if together else Limit(None, standing.day.spent)
    month = standing.month if together else Limit(None, standing.month.spent)
    limits = [("daily budget", day), ("monthly budget", month)]
    money = Money(brand.currency, brand.timezone, day, month, limits)
    pace = pacing.brand_pace(brand_id=brand.pk, now=now)
    found = forecasts.brand_forecast(brand_id=brand.pk, now=now)
    curve = pacing.target_curve(brand_id=brand.pk, now=now) if pace else []
    seen = _foresight(found, money, pace, _moments(curve, money.zone, now), now)
    return seen._replace(serves=_brand_serves(pace))


def hints(brands: Sequence[BrandAttention], now: datetime) -> dict[int, str]:
    """Return by brand what stands out about how its day will end; forecasts are made in a constant number of queries.

    Only for brands with something left of a daily budget that binds them: the others have nothing to tell.
    """
    budgeted = {brand.id: brand for brand in brands if brand.day.budget and brand.day.spent < brand.day.budget}
    if not budgeted:
        return {}
    found = forecasts.brand_forecasts(brand_ids=list(budgeted), now=now)
    return {brand_id: _hint(one, budgeted[brand_id], now) for brand_id, one in found.items()}


def _hint(found: OwnerForecast, brand: BrandAttention, now: datetime) -> str:
    """That a budget is spent early, or that most of it stays unspent."""
    if found.day is None:
        return ""
    if found.runs_out_at is not None:
        early = found.runs_out_at + EARLY < periods.next_day_begins(now, brand.zone)
        at = rounded(found.runs_out_at, now).astimezone(brand.zone)
        return f"spent at about {at:%H:%M} {brand.zone.key}" if early else ""
    budget, (likely, _, high) = brand.day.budget or 0, found.day.spend
    if (likely if high is None else high) * 2 >= budget:
        return ""
    return f"about {words.about(budget - likely, brand.currency)} will stay unspent"


def _binding(own: Limit, brand: Limit) -> Limit:
    """The smaller of two budgets of the same spend."""
    given = [limit for limit in (own, brand) if limit.budget is not None]
    return min(given, key=lambda limit: limit.budget or 0, default=own)


def _foresight(
    found: OwnerForecast, money: Money, pace: PaceNow | None, target: list[HourPoint], now: datetime
) -> Foresight:
    today = [day_words(found, money, now), _target_words(pace, money)]
    return Foresight(
        today=[sentence for sentence in today if sentence],
        month=month_words(found, money, now),
        target=target,
        ahead=_ahead(found, money, now),
    )


# --- In words ------------------------------------------------------------------------------------


def day_words(found: OwnerForecast, money: Money, now: datetime) -> str:
    """Return how today will end, as a sentence."""
    tightest = money.tightest
    if tightest is not None and tightest[1].spent >= (tightest[1].budget or 0):
        return f"The {_named(tightest, money.currency)} is spent."
    if found.day is None:
        return UNKNOWN
    if tightest is not None and found.runs_out_at is not None:
        ends = periods.next_day_begins(now, money.zone)
        if found.runs_out_at + 2 * ROUNDED > ends:
            return f"The {_named(tightest, money.currency)} will just last until midnight {money.zone.key}."
        at = f"{rounded(found.runs_out_at, now).astimezone(money.zone):%H:%M} {money.zone.key}"
        return f"The {_named(tightest, money.currency)} will be spent at about {at}."
    spend = _estimate(found.day.spend, money.currency)
    of = "without a daily budget" if money.daily.budget is None else f"of {_whole(money.daily, money.currency)}"
    return f"Will have spent about {spend}, {of}, by midnight {money.zone.key}."


def month_words(found: OwnerForecast, money: Money, now: datetime) -> str:
    """Return how the month will end, as a sentence; nothing where there is neither a forecast nor a budget."""
    month, budget = f"{periods.local_date(now, money.zone):%B}", money.monthly.budget
    whole = _whole(money.monthly, money.currency)
    if budget is not None and money.monthly.spent >= budget:
        return f"The monthly budget of {whole} is spent."
    lasting = words.amount(found.lasting, money.currency) if found.lasting else ""
    if found.month is None:
        return f"{lasting} a day would use up the monthly budget of {whole}." if lasting else ""
    if budget is None:
        return f"About {_estimate(found.month, money.currency)} by the end of {month}, without a monthly budget."
    if found.month.likely >= budget:
        end = f"; {lasting} a day would make it last" if lasting else ""
        return f"The monthly budget of {whole} will be spent before the end of {month}{end}."
    end = f"; {lasting} a day would use it up" if lasting else ""
    return f"About {_estimate(found.month, money.currency)}, of {whole}, by the end of {month}{end}."


def rounded(moment: datetime, now: datetime) -> datetime:
    """Return about when something will be: to five minutes, and not before now."""
    return max(_EPOCH + (moment - _EPOCH + ROUNDED / 2) // ROUNDED * ROUNDED, now)


def _estimate(forecast: Forecast, currency: str) -> str:
    """An estimate with its range: `840 USD (780 to 900)`."""
    likely = words.about(forecast.likely, currency)
    if forecast.low is None or forecast.high is None or forecast.low == forecast.high:
        return likely
    low, high = (words.about(end, currency).removesuffix(f" {currency}") for end in (forecast.low, forecast.high))
    return f"{likely} ({low} to {high})" if low != high else likely


def _named(budget: tuple[str, Limit], currency: str) -> str:
    return f"{budget[0]} of {_whole(budget[1], currency)}"


def _whole(limit: Limit, currency: str) -> str:
    return words.whole(limit.budget or 0, currency)


def _target_words(pace: PaceNow | None, money: Money) -> str:
    if pace is None or pace.own is None or pace.target is None:  # else it is the brand's, of which this is a part
        return ""
    due = words.about(pace.target, money.currency)
    return f"About {due} should be spent by now; {words.amount(money.daily.spent, money.currency)} is."


def _campaign_serves(pace: PaceNow | None) -> str:
    if pace is None:
        return ""
    why = "pacing evenly" if pace.own is not None else "its brand is paced evenly"
    if pace.own is not None and pace.of_brand is not None and pace.of_brand < pace.own:
        why = f"its brand is paced evenly; by its own pace it would serve {words.chances(pace.own)}"
    if not pace.probability:
        return "Paced evenly; it serves none of its chances while it is paused."
    return f"Serves {words.chances(pace.probability)} of its chances: {why}."


def _brand_serves(pace: PaceNow | None) -> str:
    if pace is None:
        return ""
    if not pace.probability:
        return "Paced evenly; none of its campaigns may spend now."
    served = f"{words.chances(pace.probability)} of their chances"
    return f"Paced evenly: its campaigns serve at most {served}, so that its budget lasts until midnight."


# --- For the chart -------------------------------------------------------------------------------


def _moments(curve: Sequence[tuple[int, int]], zone: ZoneInfo, now: datetime) -> list[HourPoint]:
    """The points of a target by their moments, from when it was set; after the last open hour it is level."""
    if not curve:
        return []
    begins, ends = periods.day_begins(periods.local_date(now, zone), zone), periods.next_day_begins(now, zone)
    points = [HourPoint(begins + timedelta(seconds=second), micros) for second, micros in curve]
    return [*points, *([HourPoint(ends, points[-1].spent)] if points[-1].moment < ends else [])]


def _ahead(found: OwnerForecast, money: Money, now: datetime) -> Ahead | None:
    """The forecast as it is drawn: growing as the traffic usually does, level once the budget is spent."""
    if found.day is None or _is_spent(money):
        return None
    ends = periods.next_day_begins(now, money.zone)
    likely, low, high = found.day.spend
    stops = ends if found.runs_out_at is None else min(rounded(found.runs_out_at, now), ends)
    way = course(HourPoint(now, money.daily.spent), HourPoint(stops, likely), _points(found.shape))
    level = [HourPoint(ends, likely)] if stops < ends else []
    return Ahead(course=[*way, *level], low=low, high=high, runs_out_at=None if found.runs_out_at is None else stops)


def _points(shape: Sequence[tuple[datetime, int]]) -> list[HourPoint]:
    return [HourPoint(moment, weight) for moment, weight in shape]


def _is_spent(money: Money) -> bool:
    return any(limit.budget is not None and limit.spent >= limit.budget for _, limit in money.limits)


def course(start: HourPoint, end: HourPoint, shape: Sequence[HourPoint]) -> list[HourPoint]:
    """Return the way from one point to another, as a shape grows between their moments."""
    first, last = _at(shape, start.moment), _at(shape, end.moment)
    if last <= first:
        return [start, end]
    grows = end.spent - start.spent
    between = [
        HourPoint(moment, start.spent + grows * (value - first) // (last - first))
        for moment, value in shape
        if start.moment < moment < end.moment
    ]
    return [start, *between, end]


def _at(shape: Sequence[HourPoint], moment: datetime) -> int:
    """The value of a shape at a moment, between its points in proportion."""
    before = next((point for point in reversed(shape) if point.moment <= moment), None)
    after = next((point for point in shape if point.moment > moment), None)
    if before is None or after is None:
        known = before or after
        return known.spent if known else 0
    micro = timedelta(microseconds=1)
    passed, whole = (moment - before.moment) // micro, (after.moment - before.moment) // micro
    return before.spent + (after.spent - before.spent) * passed // whole
