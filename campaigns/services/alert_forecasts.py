"""Forecasts above a budget, and under-delivery: told by rule only, once for each budget, period and threshold.

Forecasts change slowly and take a while to make, so that they are looked at once in five minutes, whoever looks: in
batches of a bounded size, each with a constant number of statements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from django.db.models import Q

from campaigns.models import Alert, Brand, Campaign, JournalPosition
from campaigns.queries import forecasts
from campaigns.queries.alert_rules import Forecasts, Rules
from campaigns.queries.forecasts import Outlook
from campaigns.rules import alerts, money
from campaigns.rules.alerts import Kind, Subject
from campaigns.rules.periods import Period
from campaigns.rules.verdict import BudgetScope
from campaigns.services import outbox
from campaigns.services.outbox import Draft

EVERY = timedelta(minutes=5)
"""How often forecasts are looked at."""

BATCH = 200
"""Owners whose forecasts are made at once: as many as traffic is read of."""

ENOUGH_OF_DAY, ENOUGH_OF_MONTH = 75, 50
"""How much of a day's usual traffic, or of the days of a month, is over before under-delivery is told, in percent."""

_ROUNDED = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Names(NamedTuple):
    """What an owner is called, and its currency."""

    brand: str
    campaign: str | None
    currency: str


class Ahead(NamedTuple):
    """A budget that will be left behind, or not be reached, with what is forecast of it in micros.

    most: whether the forecast is the upper end of a range. spent_at, spent_on: when the budget of a day, or of a month,
    will be spent.
    """

    kind: Kind
    period: Period
    start: date
    budget: int
    spent: int
    forecast: int
    most: bool = False
    spent_at: datetime | None = None
    spent_on: date | None = None

    @property
    def percent(self) -> int:
        """Return the forecast as a share of the budget, cut to whole percents."""
        return self.forecast * 100 // self.budget

    def reached(self, percents: Sequence[int]) -> list[int]:
        """Return the thresholds that the forecast is beyond, the furthest first."""
        if self.kind is Kind.FORECAST_ABOVE:
            return [one for one in sorted(percents, reverse=True) if self.forecast * 100 >= self.budget * (100 + one)]
        return [one for one in sorted(percents) if self.forecast * 100 < self.budget * one]


def tell_of_forecasts(rules: Rules, *, now: datetime) -> int:
    """Tell of forecasts beyond a budget, unless they were looked at just now; return how many alerts are new."""
    wanted = [(subject, _of_kinds(rules, subject)) for subject in (Subject.BRAND, Subject.CAMPAIGN)]
    wanted = [(subject, kinds) for subject, kinds in wanted if _any(kinds)]
    if not wanted or not _claimed(now):
        return 0
    told = 0
    for subject, kinds in wanted:
        outlooks, batches = _SOURCES[subject]
        for names in batches(kinds):
            drafts = _drafts(outlooks(sorted(names), now), names, kinds, now)
            told += len(outbox.write(_untold(drafts), now=now))
    return told


_Kinds = Mapping[Kind, Forecasts]


def _of_kinds(rules: Rules, subject: Subject) -> _Kinds:
    return {kind: rules.forecasts(kind, subject) for kind in alerts.FORECASTS}


def _any(kinds: _Kinds) -> bool:
    return any(found.of_all or any(found.owned.values()) for found in kinds.values())


def _claimed(now: datetime) -> bool:
    """Whether this look is the one: of several at once, one moves the moment along. A clock set back stops nothing."""
    JournalPosition.objects.get_or_create(pk=1)
    due = Q(forecasts_at=None) | Q(forecasts_at__lte=now - EVERY) | Q(forecasts_at__gt=now)
    return bool(JournalPosition.objects.filter(due, pk=1).update(forecasts_at=now))


# --- Who is looked at ----------------------------------------------------------------------------


def _brand_batches(kinds: _Kinds) -> Iterator[dict[int, Names]]:
    """The brands that are told of, whose budgets bind the sum of their campaigns, by id."""
    budgets = Q(daily_budget__gt=0) | Q(monthly_budget__gt=0)
    brands = Brand.objects.filter(budgets, archived_at=None, budget_scope=BudgetScope.BRAND).order_by("pk")
    columns = ("pk", "name", "currency")
    if any(found.of_all for found in kinds.values()):
        after = 0
        while batch := list(brands.filter(pk__gt=after).values_list(*columns)[:BATCH]):
            yield {pk: Names(name, None, currency) for pk, name, currency in batch}
            after = batch[-1][0]
        return
    for ids in _owned(kinds):
        rows = brands.filter(pk__in=ids).values_list(*columns)
        yield {pk: Names(name, None, currency) for pk, name, currency in rows}


def _campaign_batches(kinds: _Kinds) -> Iterator[dict[int, Names]]:
    """The campaigns that have a rule, by id."""
    for ids in _owned(kinds):
        rows = Campaign.objects.filter(pk__in=ids).order_by("pk")
        columns = rows.values_list("pk", "brand__name", "name", "brand__currency")
        yield {pk: Names(brand, name, currency) for pk, brand, name, currency in columns}


def _owned(kinds: _Kinds) -> Iterator[list[int]]:
    ids = sorted({owner for found in kinds.values() for owner, percents in found.owned.items() if percents})
    for first in range(0, len(ids), BATCH):
        yield ids[first : first + BATCH]


def _brand_outlooks(ids: Sequence[int], now: datetime) -> list[Outlook]:
    return forecasts.brand_outlooks(brand_ids=ids, now=now) if ids else []


def _campaign_outlooks(ids: Sequence[int], now: datetime) -> list[Outlook]:
    return forecasts.campaign_outlooks(campaign_ids=ids, now=now) if ids else []


_Outlooks = Callable[[Sequence[int], datetime], list[Outlook]]
_Batches = Callable[[_Kinds], Iterator[dict[int, Names]]]

_SOURCES: dict[Subject, tuple[_Outlooks, _Batches]] = {
    Subject.BRAND: (_brand_outlooks, _brand_batches),
    Subject.CAMPAIGN: (_campaign_outlooks, _campaign_batches),
}


# --- What is ahead of them -----------------------------------------------------------------------


def _ahead(outlook: Outlook, now: datetime) -> Iterator[Ahead]:
    """What a forecast says of the budgets of today and of the month that are not spent yet."""
    found = (_day_above(outlook, now), _month_above(outlook), _day_under(outlook), _month_under(outlook))
    return (one for one in found if one is not None and one.spent < one.budget)


def _day_above(outlook: Outlook, now: datetime) -> Ahead | None:
    """Today's demand, where it is the daily budget that will stop it; pacing makes a budget last."""
    day, daily, at = outlook.found.day, outlook.daily, outlook.found.runs_out_at
    if day is None or daily is None or not daily.budget or at is None or day.spend.likely < daily.budget:
        return None
    about = max(_EPOCH + (at - _EPOCH + _ROUNDED / 2) // _ROUNDED * _ROUNDED, now)
    start = outlook.owner.day
    return Ahead(Kind.FORECAST_ABOVE, Period.DAY, start, daily.budget, daily.spent, day.wanted, spent_at=about)


def _month_above(outlook: Outlook) -> Ahead | None:
    monthly, demand = outlook.monthly, outlook.demand
    if monthly is None or not monthly.budget or demand is None or demand.reached is None:
        return None
    start, spent_on = outlook.owner.day.replace(day=1), demand.reached
    return Ahead(
        Kind.FORECAST_ABOVE, Period.MONTH, start, monthly.budget, monthly.spent, demand.wanted, spent_on=spent_on
    )


def _day_under(outlook: Outlook) -> Ahead | None:
    """The most that today will come to, unless another budget than the daily one holds it down."""
    day, daily = outlook.found.day, outlook.daily
    if day is None or daily is None or not daily.budget or outlook.passed < ENOUGH_OF_DAY or day.runs_out is not None:
        return None
    likely, _, high = day.spend
    most = likely if high is None else high
    if outlook.spendable is not None and outlook.spendable < daily.budget and most >= outlook.spendable:
        return None
    start = outlook.owner.day
    return Ahead(Kind.UNDER_DELIVERY, Period.DAY, start, daily.budget, daily.spent, most, high is not None)


def _month_under(outlook: Outlook) -> Ahead | None:
    """The most that the month will come to."""
    month, monthly, day = outlook.found.month, outlook.monthly, outlook.owner.day
    if month is None or monthly is None or not monthly.budget:
        return None
    begins = day.replace(day=1)
    length = ((begins + timedelta(days=31)).replace(day=1) - begins).days
    if (day.day - 1) * 100 < length * ENOUGH_OF_MONTH:
        return None
    most = month.likely if month.high is None else month.high
    return Ahead(Kind.UNDER_DELIVERY, Period.MONTH, begins, monthly.budget, monthly.spent, most, month.high is not None)


# --- What is told of it --------------------------------------------------------------------------


def _drafts(outlooks: Sequence[Outlook], names: Mapping[int, Names], kinds: _Kinds, now: datetime) -> list[Draft]:
    """The furthest threshold that each forecast is beyond."""
    return [
        _draft(outlook, ahead, reached[0], names[owner_id])
        for outlook in outlooks
        for owner_id in (outlook.owner.campaign_id or outlook.owner.brand_id,)
        for ahead in _ahead(outlook, now)
        if (reached := ahead.reached(kinds[ahead.kind].of(owner_id)))
    ]


def _untold(drafts: Sequence[Draft]) -> list[Draft]:
    """Those of which neither this threshold was told nor one that is further: forecasts go up and down."""
    told = Alert.objects.filter(
        brand__in={draft.brand_id for draft in drafts}, key__in={draft.key for draft in drafts}
    ).order_by("brand", "key")
    rows = groupby(told.values_list("brand", "key", "threshold"), key=itemgetter(0, 1)) if drafts else ()
    before = {key: [threshold for *_, threshold in group] for key, group in rows}
    return [draft for draft in drafts if not _was_told(draft, before.get((draft.brand_id, draft.key), []))]


def _was_told(draft: Draft, thresholds: Sequence[int]) -> bool:
    if draft.kind is Kind.FORECAST_ABOVE:
        return any(one >= draft.threshold for one in thresholds)
    return any(one <= draft.threshold for one in thresholds)


def _draft(outlook: Outlook, ahead: Ahead, percent: int, names: Names) -> Draft:
    owner = outlook.owner
    name = "forecast" if ahead.kind is Kind.FORECAST_ABOVE else "under"
    return Draft(
        kind=ahead.kind,
        key=f"{name}.{ahead.period:d}.{owner.campaign_id or 0}.{ahead.start}.{ahead.budget}",
        message=_message(outlook, ahead, names),
        data=_data(outlook, ahead, percent, names),
        brand_id=owner.brand_id,
        campaign_id=owner.campaign_id,
        threshold=percent,
    )


def _message(outlook: Outlook, ahead: Ahead, names: Names) -> str:
    """An estimate is told as one: in percent, and to five minutes."""
    whom = names.brand if names.campaign is None else f"{names.campaign} ({names.brand})"
    budget = alerts.BUDGET_NAMES[ahead.period]
    amount = money.format_money(ahead.budget, names.currency)
    if ahead.kind is Kind.UNDER_DELIVERY:
        period = f"in {ahead.start:%B %Y}" if ahead.period is Period.MONTH else f"on {_day(ahead.start)}"
        share = f"{'at most' if ahead.most else 'about'} {ahead.percent}%"
        return f"{whom} is forecast to spend {share} of its {budget} of {amount} {period}."
    return (
        f"At this rate the {budget} of {whom} ({amount}) is spent {_when(outlook, ahead)}: "
        f"the forecast demand is about {ahead.percent}% of it."
    )


def _when(outlook: Outlook, ahead: Ahead) -> str:
    if ahead.spent_at is not None:
        zone = outlook.owner.zone
        return f"at about {ahead.spent_at.astimezone(zone):%H:%M} {zone.key}"
    return f"on about {_day(ahead.spent_on or ahead.start)}"


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def _data(outlook: Outlook, ahead: Ahead, percent: int, names: Names) -> dict[str, Any]:
    owner = outlook.owner
    when = {} if ahead.spent_on is None else {"spent_on": ahead.spent_on.isoformat()}
    if ahead.spent_at is not None:
        when = {"spent_at": ahead.spent_at.astimezone(owner.zone).isoformat(timespec="minutes")}
    return {
        "brand": {"id": owner.brand_id, "name": names.brand},
        "campaign": None if owner.campaign_id is None else {"id": owner.campaign_id, "name": names.campaign},
        "period": ahead.period.name.lower(),
        "period_start": ahead.start.isoformat(),
        "time_zone": owner.zone.key,
        "currency": names.currency,
        "budget": money.to_text(ahead.budget),
        "spent": money.to_text(ahead.spent),
        "forecast": money.to_text(ahead.forecast),
        "threshold_percent": percent,
        "forecast_percent": ahead.percent,
        **when,
    }
