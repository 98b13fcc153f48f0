"""The figures of one campaign's or one brand's page: when it was active, what it spent by hour and by day.

What is spent comes from the counters and from the sums by hour; only the day of a single campaign is added up from the
ledger, by way of its index. All amounts are micros, all moments aware.
"""

from __future__ import annotations

import dataclasses
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, groupby, pairwise, takewhile
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.core.cache import cache
from django.db import connection
from django.db.models import QuerySet

from campaigns.models import Brand, BrandCounter, BrandHour, Campaign, CampaignCounter, StatusChange
from campaigns.models.fields import adapt_moment
from campaigns.models.rows import literal
from campaigns.queries import listing
from campaigns.queries.reports import QUARTER_SECONDS, quarter_of
from campaigns.queries.standing import CampaignStanding
from campaigns.rules import money, periods, reasons
from campaigns.rules.periods import Period
from campaigns.rules.reasons import Reason

MAX_CHANGES = 1_000
"""The most changes of a day that a campaign's band is drawn from."""

MAX_BRAND_CHANGES = 20_000
"""The most changes of a day that a brand's steps are counted from: 10,000 campaigns that stop and resume at once."""

MAX_STEPS = 5_000
"""The most moments of a day at which a brand's steps begin."""

DEAR_SECONDS, KEPT_SECONDS = 0.1, 30
"""How long a campaign's day may take to be added up anew for each look, and how long it is kept if it takes longer."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUARTER = timedelta(seconds=QUARTER_SECONDS)


class Stretch(NamedTuple):
    """A time in which the reasons stayed the same; without a reason the campaign was active."""

    start: datetime
    end: datetime
    reasons: Reason


class HourPoint(NamedTuple):
    """What had been spent of a budget day by a moment, in micros."""

    moment: datetime
    spent: int


class DaySpent(NamedTuple):
    """What was spent in one budget day, in micros. Budgets of past days are not known."""

    day: date
    spent: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CampaignShare:
    """What one campaign has of its brand's spend today.

    reasons, resumes_at, probability: as in its standing. spent, month_spent: today and this month. daily_budget: its
    own, None without one. share: percent of what the brand has spent today, with one decimal, cut; None while that is
    nothing.
    """

    id: int
    name: str
    reasons: Reason
    resumes_at: datetime | None
    probability: int
    spent: int
    month_spent: int
    daily_budget: int | None
    share: Decimal | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """A brand's campaigns by what they have spent today, the most first, and what is not among them.

    spent: by the brand's counter. more, more_spent: further campaigns in use. archived_spent: what has come in today
    for archived ones.
    """

    campaigns: Sequence[CampaignShare]
    spent: int
    more: int
    more_spent: int
    archived_spent: int


class ActiveStep(NamedTuple):
    """From a moment on: how many campaigns were active, of how many in use."""

    moment: datetime
    active: int
    campaigns: int


@dataclasses.dataclass(frozen=True, slots=True)
class ActiveSteps:
    """How many campaigns were active over the day, ascending; the last step holds until now.

    complete: False if there were too many changes to count them all; the steps then begin later than the day.
    """

    steps: Sequence[ActiveStep]
    complete: bool


# --- When it was active ----------------------------------------------------------------------


def day_band(*, campaign_id: int, zone: ZoneInfo, now: datetime) -> list[Stretch]:
    """Return when a campaign was active or paused, and why, from the beginning of its budget day until `now`.

    The stretches are contiguous and ascending, none is empty and no two neighbours are equal. They begin with the
    campaign if it was made today, and with the first of the last 1,000 changes if there were more. Two queries.
    """
    row = Campaign.objects.filter(pk=campaign_id).values_list("created_at", "reasons").first()
    if row is None:
        return []
    created_at, stored = row
    begins = _day_begins(now, zone)
    changes = _changes(campaign_id, begins)
    if len(changes) > MAX_CHANGES:
        begins = max(begins, changes[0].at)
    begins = max(begins, created_at)
    before = changes[0].was if changes else stored
    return _stretches(begins, before, changes, now)


def status_since(*, campaign_id: int, active: bool) -> datetime | None:
    """Return since when a campaign has been active, or paused for whatever reason; None if the journal has no change.

    Its newest change from the one to the other, by the journal's index: what it was paused for may have changed since.
    """
    rows = StatusChange.objects.filter(campaign=campaign_id).order_by("-pk").values_list("at", flat=True)
    turned = rows.filter(to_reasons=reasons.NONE) if active else rows.filter(from_reasons=reasons.NONE)
    return turned.first()


class _Change(NamedTuple):
    at: datetime
    was: Reason
    became: Reason


def _changes(campaign_id: int, since: datetime) -> list[_Change]:
    """The latest changes of a campaign, from the first since a moment on, and one more than are told."""
    # From the first one's id on and not by time alone: who waits for a lock may write an earlier time than who held it.
    rows = _rows(
        """
        WITH latest AS (
            SELECT id, at, from_reasons, to_reasons FROM campaigns_statuschange
            WHERE campaign_id = %s ORDER BY id DESC LIMIT %s
        )
        SELECT at, from_reasons, to_reasons FROM latest
        WHERE id >= (SELECT MIN(id) FROM latest WHERE at >= %s) ORDER BY id
        """,
        [campaign_id, MAX_CHANGES + 1, adapt_moment(connection, since)],
    )
    return [_Change(_as_moment(at), reasons.of(was), reasons.of(became)) for at, was, became in rows]


def _stretches(begins: datetime, before: Reason, changes: Sequence[_Change], now: datetime) -> list[Stretch]:
    # Each change holds from its time on, but from no earlier a time than the change before it.
    times = accumulate((change.at for change in changes), max, initial=begins)
    states = [before, *(change.became for change in changes)]
    marks = [*zip((min(at, now) for at in times), states, strict=True), (now, reasons.NONE)]
    stretches: list[Stretch] = []
    for (start, why), (end, _) in pairwise(marks):
        if start >= end:
            continue
        same = stretches.pop().start if stretches and stretches[-1].reasons == why else start
        stretches.append(Stretch(same, end, why))
    return stretches


def active_through_day(*, brand_id: int, zone: ZoneInfo, now: datetime) -> ActiveSteps:
    """Return how many campaigns of a brand were active from the beginning of its budget day until now.

    Counted back from the present, by the last 20,000 changes of status, at no more than 5,000 moments, and by the
    campaigns that were made or archived since. Those that were deleted are left out, as if they had never been. One
    statement.
    """
    begins = _day_begins(now, zone)
    rows = _rows(_STEPS, _steps_params(brand_id, begins))
    *_, changes, oldest, active, campaigns = rows[0]
    events = [_Event(_as_moment(at), int(by), int(more)) for at, by, more, *_ in rows if at is not None]
    complete = changes <= MAX_BRAND_CHANGES and len(events) <= MAX_STEPS
    if not complete:
        # What the earliest of these led to is known, what was before it is not.
        begins = max([begins, _as_moment(oldest), *(event.at for event in events[-1:])])
    return ActiveSteps(_counted_back(begins, events, ActiveStep(now, active, campaigns)), complete)


class _Event(NamedTuple):
    at: datetime
    active: int
    campaigns: int


_STEPS = """
    WITH latest AS (
        SELECT id, at, campaign_id, from_reasons, to_reasons FROM campaigns_statuschange
        WHERE brand_id = %s ORDER BY id DESC LIMIT %s
    ), events AS (
        SELECT l.at, CASE WHEN l.to_reasons = 0 THEN 1 ELSE 0 END - CASE WHEN l.from_reasons = 0 THEN 1 ELSE 0 END
          AS active, 0 AS campaigns
        FROM latest l JOIN campaigns_campaign c ON c.id = l.campaign_id WHERE l.at >= %s
        UNION ALL
        SELECT created_at, 1, 1 FROM campaigns_campaign WHERE brand_id = %s AND created_at >= %s
        UNION ALL
        SELECT archived_at, 0, -1 FROM campaigns_campaign WHERE brand_id = %s AND archived_at >= %s
    ), present AS (
        SELECT COUNT(CASE WHEN is_active THEN 1 END) AS active, COUNT(*) AS campaigns
        FROM campaigns_campaign WHERE brand_id = %s AND archived_at IS NULL
    )
    SELECT e.at, e.active, e.campaigns,
        (SELECT COUNT(*) FROM latest WHERE at >= %s) AS changes, (SELECT MIN(at) FROM latest) AS oldest,
        p.active, p.campaigns
    FROM present p LEFT JOIN (
        SELECT at, SUM(active) AS active, SUM(campaigns) AS campaigns FROM events
        GROUP BY at ORDER BY at DESC LIMIT %s
    ) e ON true ORDER BY e.at DESC
"""
"""A row for each moment at which something began to differ, the latest first; one without it if there is none."""


def _steps_params(brand_id: int, begins: datetime) -> list[Any]:
    since = adapt_moment(connection, begins)
    own = [brand_id, since]
    return [brand_id, MAX_BRAND_CHANGES + 1, since, *own, *own, *own, MAX_STEPS + 1]


def _counted_back(begins: datetime, events: Iterable[_Event], present: ActiveStep) -> list[ActiveStep]:
    """The steps that lead to the present. events: how many more were active and in use by each, the latest first."""
    now, active, campaigns = present
    steps: list[ActiveStep] = []
    for at, more_active, more in takewhile(lambda event: event.at >= begins, events):
        steps.append(ActiveStep(min(at, now), active, campaigns))
        active, campaigns = active - more_active, campaigns - more
    if not steps or steps[-1].moment > begins:
        steps.append(ActiveStep(begins, active, campaigns))
    by_moment = {step.moment: step for step in reversed(steps)}  # of several at one moment, the last
    known = list(by_moment.values())
    return [known[0], *(step for before, step in pairwise(known) if step[1:] != before[1:])]


# --- What it spent ---------------------------------------------------------------------------


def hours_today(
    *, brand_id: int | None = None, campaign_id: int | None = None, zone: ZoneInfo, now: datetime
) -> list[HourPoint]:
    """Return what a brand or a campaign (one of the two) had spent of today by each hour of it.

    The first point is the beginning of the budget day, the last is now and says what the day's counter says. Between
    them there is one at the end of each hour of the brand, and of each quarter of an hour of a campaign. An hour that
    comes twice counts when it is over. What has come in since the sums were made is in the last point.

    A campaign's day is added up from the ledger, a brand's from its sums by hour. Two queries.
    """
    day, begins = periods.local_date(now, zone), _day_begins(now, zone)
    if campaign_id is not None:
        ends = list(_quarter_ends(begins, now))
        spent = _by_end(_campaign_quarters(campaign_id, day), ends)
    else:
        hours = _hours(begins, now, zone)
        ends = [end for _, end in hours]
        spent = _brand_hours(brand_id, day, dict(hours))
    in_all = _spent_on(_day_counters(brand_id, campaign_id), [day])[day]  # after the sums, so that it is no less
    return _cumulated(begins, ends, spent, in_all, now)


def days(
    *, brand_id: int | None = None, campaign_id: int | None = None, zone: ZoneInfo, now: datetime, days: int = 30
) -> list[DaySpent]:
    """Return what a brand or a campaign (one of the two) spent in each of its last budget days, today last.

    Days without spend are there with 0. One query over the counters.
    """
    today = periods.local_date(now, zone)
    which = [today - timedelta(days=ago) for ago in reversed(range(days))]
    spent = _spent_on(_day_counters(brand_id, campaign_id), which)
    return [DaySpent(day, spent[day]) for day in which]


def yesterday(found: Sequence[DaySpent]) -> DaySpent | None:
    """Return the day before the last of some days; None if there is only one."""
    return found[-2] if len(found) > 1 else None


def _day_counters(brand_id: int | None, campaign_id: int | None) -> QuerySet[Any]:
    """The daily counters of one owner."""
    if (brand_id is None) is (campaign_id is None):
        raise ValueError("give a brand or a campaign, and not both")
    if campaign_id is not None:
        return CampaignCounter.objects.filter(period=Period.DAY, campaign=campaign_id)
    return BrandCounter.objects.filter(period=Period.DAY, brand=brand_id)


def _spent_on(counters: QuerySet[Any], which: Sequence[date]) -> dict[date, int]:
    # A list of days and no range: the key begins with period and start, and a range leads past all other owners.
    rows = counters.filter(start__in=which).values_list("start", "spent")
    return dict.fromkeys(which, 0) | {start: money.to_micros(spent) for start, spent in rows}


def _campaign_quarters(campaign_id: int, day: date) -> list[tuple[int, int]]:
    """What the ledger has of a campaign's day: quarters of an hour since the epoch, and micros.

    A day that takes long to add up is added up once in half a minute, whoever looks: what has come in since is in the
    last point, as the counter says it.
    """
    key = f"campaign-quarters:{campaign_id}:{day}"
    known: list[tuple[int, int]] | None = cache.get(key)
    if known is not None:
        return known
    began = time.monotonic()
    quarters = _added_up(campaign_id, day)
    if time.monotonic() - began > DEAR_SECONDS:
        cache.set(key, quarters, KEPT_SECONDS)
    return quarters


def _added_up(campaign_id: int, day: date) -> list[tuple[int, int]]:
    rows = _rows(
        f"""
        SELECT {quarter_of("l.timestamp")} AS quarter, SUM(l.amount) FROM campaigns_spendlog l
        WHERE l.campaign_id = %s AND l.day = {literal(connection, day)} GROUP BY quarter
        """,
        [campaign_id],
    )
    return [(quarter, int(micros)) for quarter, micros in rows]


def _brand_hours(brand_id: int | None, day: date, ends: Mapping[int, datetime]) -> dict[datetime, int]:
    """What a brand's sums have of a day, by when each hour ends; an hour that is none of the day's is left out."""
    rows = BrandHour.objects.filter(brand=brand_id, day=day).values_list("hour", "spent")
    return {ends[hour]: money.to_micros(spent) for hour, spent in rows if hour in ends}


def _quarter_ends(begins: datetime, now: datetime) -> Iterator[datetime]:
    """The quarters of an hour that end after `begins` and before `now`."""
    end = _EPOCH + ((begins - _EPOCH) // _QUARTER + 1) * _QUARTER
    while end < now:
        yield end
        end += _QUARTER


def _by_end(quarters: Iterable[tuple[int, int]], ends: Sequence[datetime]) -> dict[datetime, int]:
    """Add quarters up by the first of some moments at which they are over; what is not over yet is left out."""
    spent = dict.fromkeys(ends, 0)
    for quarter, micros in quarters:
        # Where a brand has moved to another zone, a quarter may lie before its day begins: then it is the first's.
        at = bisect_left(ends, _EPOCH + (quarter + 1) * _QUARTER)
        if at < len(ends):
            spent[ends[at]] += micros
    return spent


def _hours(begins: datetime, now: datetime, zone: ZoneInfo) -> list[tuple[int, datetime]]:
    """The hours of the clock that are over since the day began, and when they were; a repeated one is a long one."""
    quarters = [begins, *_quarter_ends(begins, now)]
    runs = groupby(quarters, key=lambda moment: periods.local_hour(moment, zone)[1])
    starts = [(hour, next(run)) for hour, run in runs]
    return [(hour, end) for (hour, _), (_, end) in pairwise(starts)]


def _cumulated(
    begins: datetime, ends: Sequence[datetime], spent: Mapping[datetime, int], in_all: int, now: datetime
) -> list[HourPoint]:
    if begins >= now:
        return [HourPoint(now, in_all)]
    sums = accumulate((spent.get(end, 0) for end in ends), initial=0)
    points = [HourPoint(moment, micros) for moment, micros in zip([begins, *ends], sums, strict=True)]
    return [*points, HourPoint(now, in_all)]


# --- Who spent it ----------------------------------------------------------------------------


def campaign_shares(*, brand_id: int, now: datetime, limit: int = 50) -> Shares:
    """Return the campaigns in use of a brand by what they have spent today, the most first, then by name.

    Ranked in one statement over the counters; the rest is asked for the campaigns that are told. A constant number
    of queries. A brand that there is not has none.
    """
    brand = Brand.objects.filter(pk=brand_id).first()
    if brand is None:
        return Shares(campaigns=[], spent=0, more=0, more_spent=0, archived_spent=0)
    rows = _ranked(brand_id, periods.local_date(now, brand.timezone), limit)
    (_, _, in_use, in_use_spent, brand_spent) = rows[0]
    told = {pk: int(spent) for pk, spent, *_ in rows if pk is not None}
    standings = listing.campaign_standings(list(told), now=now)
    return Shares(
        # One that was archived just now has no standing any more.
        campaigns=[_share(standings[pk], spent, brand_spent) for pk, spent in told.items() if pk in standings],
        spent=brand_spent,
        more=(in_use or 0) - len(told),
        more_spent=int(in_use_spent or 0) - sum(told.values()),
        archived_spent=brand_spent - int(in_use_spent or 0),
    )


def _ranked(brand_id: int, today: date, limit: int) -> list[tuple[Any, ...]]:
    """Rows (campaign, spent, campaigns in use, what they spent, what the brand spent), one without campaign if none."""
    day = literal(connection, today)
    return _rows(
        f"""
        SELECT r.id, r.spent, r.in_use, r.in_use_spent, COALESCE(bd.spent, 0)
        FROM campaigns_brand b
        LEFT JOIN campaigns_brandcounter bd
          ON bd.period = {Period.DAY:d} AND bd.start = {day} AND bd.brand_id = b.id
        LEFT JOIN (
            SELECT c.id, c.name, COALESCE(cd.spent, 0) AS spent,
                COUNT(*) OVER () AS in_use, SUM(COALESCE(cd.spent, 0)) OVER () AS in_use_spent
            FROM campaigns_campaign c LEFT JOIN campaigns_campaigncounter cd
              ON cd.period = {Period.DAY:d} AND cd.start = {day} AND cd.campaign_id = c.id AND cd.brand_id = c.brand_id
            WHERE c.brand_id = %s AND c.archived_at IS NULL ORDER BY 3 DESC, c.name, c.id LIMIT %s
        ) r ON true
        WHERE b.id = %s ORDER BY r.spent DESC, r.name, r.id
        """,
        [brand_id, limit, brand_id],
    )


def _share(standing: CampaignStanding, spent: int, brand_spent: int) -> CampaignShare:
    return CampaignShare(
        id=standing.id,
        name=standing.name,
        reasons=standing.reasons,
        resumes_at=standing.resumes_at,
        probability=standing.probability,
        spent=spent,
        month_spent=standing.month.spent,
        daily_budget=standing.day.budget,
        share=Decimal(max(spent, 0) * 1_000 // brand_spent).scaleb(-1) if brand_spent > 0 else None,
    )


# --- Rows ------------------------------------------------------------------------------------


def _day_begins(now: datetime, zone: ZoneInfo) -> datetime:
    return periods.day_begins(periods.local_date(now, zone), zone)


def _as_moment(value: datetime | str) -> datetime:
    """A moment that came out of a hand-written statement; SQLite gives it in UTC without saying so, or as text."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
