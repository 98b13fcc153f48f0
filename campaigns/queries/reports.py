"""Reports: what was spent, by hour, budget day, campaign or brand."""

from __future__ import annotations

import dataclasses
import enum
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection

from campaigns.models import Brand, Campaign
from campaigns.models.rows import as_date, literal, one_of
from campaigns.queries import archive
from campaigns.rules import periods
from campaigns.rules.errors import BudgetError, InvalidFieldError
from campaigns.rules.periods import Period

MAX_DAYS = 366
"""The most budget days a report covers."""

MAX_DAYS_BY_HOUR = 31
"""The most budget days a report by hour covers: it adds up the ledger itself."""

DEFAULT_LIMIT = 1_000
MAX_LIMIT = 10_000
"""The most campaigns or brands of one page."""

QUARTER_SECONDS = 15 * 60

_MAX_ID = 2**63 - 1


class GroupBy(enum.StrEnum):
    """What a report has one row for."""

    HOUR = "hour"
    DAY = "day"
    CAMPAIGN = "campaign"
    BRAND = "brand"


class HourSpend(NamedTuple):
    """What was spent in one hour of the brand's wall clock, in micros.

    start: the first instant of the hour, with the offset that the brand's zone then had. An hour that comes twice in
    autumn is two rows with two offsets.
    """

    start: datetime
    currency: str
    spent: int


class DaySpend(NamedTuple):
    """What was spent in one budget day in one currency, in micros."""

    day: date
    currency: str
    spent: int


class CampaignSpend(NamedTuple):
    """What one campaign has spent, in micros of its brand's currency."""

    id: int
    name: str
    external_id: str | None
    brand_id: int
    currency: str
    spent: int


class BrandSpend(NamedTuple):
    """What the campaigns of one brand have spent, in micros of its currency."""

    id: int
    name: str
    external_id: str | None
    currency: str
    spent: int


class Place(NamedTuple):
    """Where a page of campaigns or brands ended: what the last one has spent, in micros, and its id."""

    spent: int
    id: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SpendReport:
    """The rows, all of the kind that was asked for. after: where the next page begins, None when this is the last."""

    rows: Sequence[HourSpend] | Sequence[DaySpend] | Sequence[CampaignSpend] | Sequence[BrandSpend]
    after: Place | None = None

    @property
    def more(self) -> bool:
        """Whether there are campaigns or brands beyond these."""
        return self.after is not None


@dataclasses.dataclass(frozen=True, slots=True)
class _Scope:
    """Whose spend: that of one campaign, of one brand, of some brands, or (None) of all."""

    brand: Brand | None
    campaign_id: int | None
    brand_ids: Sequence[int] | None


class _Counters(NamedTuple):
    """Counters `t` of budget days: their table, the condition on them and its parameters."""

    table: str
    condition: str
    params: list[Any]


def spend_report(
    *,
    group_by: GroupBy,
    first: date,
    last: date,
    brand_id: int | None = None,
    campaign_id: int | None = None,
    brand_ids: Sequence[int] | None = None,
    limit: int = DEFAULT_LIMIT,
    after: Place | None = None,
) -> SpendReport:
    """Return what was spent in the budget days from `first` to `last`, both included. All amounts are micros.

    Adjustments count, archived brands and campaigns too. Hours and days come in ascending order, a day once for each
    currency; campaigns and brands by what they spent, the most first, then by id. Days, campaigns and brands without a
    counter are left out.

    By hour the ledger is added up, for one brand, since the hours are those of its time zone; everything else comes
    from the counters. The rows of the ledger are chosen by the budget day they count in, as everywhere. So the hours
    add up to the days, even if the brand has moved to another zone since and some of the hours, which are always those
    of the zone it is in now, lie just outside of the days.

    brand_id, campaign_id: only the spend of these. brand_ids: the only brands that the caller may see, None for all.
    limit, after: how many campaigns or brands, and after which place (the `after` of the page before); a report by hour
    or day is always whole. What is spent between two pages can move a row past the place.

    One statement, and at most three look-ups. Raises BudgetError for a brand or campaign that there is not or that the
    caller may not see, for more than 366 days (31 by hour), for hours without a brand or of a month whose rows are in
    the archive, and for a limit out of bounds.
    """
    _check_days(group_by, first, last)
    _check_page(limit, after)
    if group_by is GroupBy.HOUR and brand_id is None and campaign_id is None:
        raise BudgetError("Hours are those of one brand's time zone; give a brand or a campaign, or group by day.")
    scope = _scope(brand_id, campaign_id, brand_ids)
    match group_by:
        case GroupBy.HOUR:
            _check_in_ledger(first, last)
            return SpendReport(rows=_by_hour(scope, first, last))
        case GroupBy.DAY:
            return SpendReport(rows=_by_day(_counters(scope, first, last)))
        case GroupBy.CAMPAIGN:
            return _by_campaign(_counters(scope, first, last, of_campaigns=True), limit, after)
        case GroupBy.BRAND:
            return _by_brand(_counters(scope, first, last), limit, after)


# --- What is asked for -----------------------------------------------------------------------


def _check_days(group_by: GroupBy, first: date, last: date) -> None:
    if first > last:
        raise InvalidFieldError(
            "to", f"The report would end on {last}, before it begins on {first}; swap the two days."
        )
    days = (last - first).days + 1
    most = MAX_DAYS_BY_HOUR if group_by is GroupBy.HOUR else MAX_DAYS
    if days > most:
        raise InvalidFieldError(
            "to", f"These are {days:,} days; ask for at most {most} at once when grouping by {group_by}."
        )


def _check_page(limit: int, after: Place | None) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise BudgetError(f"Give a limit from 1 to {MAX_LIMIT:,}.")
    if after is not None and any(abs(number) > _MAX_ID for number in after):
        raise BudgetError("No page ended there; give the place where the page before has ended.")


def _scope(brand_id: int | None, campaign_id: int | None, brand_ids: Sequence[int] | None) -> _Scope:
    """Look up the brand, also that of a campaign. What the caller may not see is as if it were not there."""
    if campaign_id is None and brand_id is None:
        return _Scope(None, None, brand_ids)
    brand = None
    if brand_id is not None:
        brand = Brand.objects.filter(pk=brand_id).first()
        if brand is None or not _may_see(brand.pk, brand_ids):
            raise InvalidFieldError("brand_id", f"There is no brand {brand_id}.")
    if campaign_id is not None:
        campaign = Campaign.objects.select_related("brand").filter(pk=campaign_id).first()
        if campaign is None or not _may_see(campaign.brand_id, brand_ids):
            raise InvalidFieldError("campaign_id", f"There is no campaign {campaign_id}.")
        if brand is not None and brand.pk != campaign.brand_id:
            raise InvalidFieldError(
                "campaign_id", f"Campaign {campaign_id} is not of brand {brand_id}; give only one of the two."
            )
        brand = campaign.brand
    return _Scope(brand, campaign_id, brand_ids)


def _may_see(brand_id: int, brand_ids: Sequence[int] | None) -> bool:
    return brand_ids is None or brand_id in brand_ids


# --- From the counters -----------------------------------------------------------------------


def _counters(scope: _Scope, first: date, last: date, *, of_campaigns: bool = False) -> _Counters:
    """The counters of these days: those of brands, if neither the scope nor the caller needs those of campaigns."""
    of_campaigns = of_campaigns or scope.campaign_id is not None
    condition, params = _owners(scope, of_campaigns=of_campaigns)
    # A list and not a range: the key begins with period and start, so that each day is one short look for a single
    # owner, where a range would lead past the counters of all others in between.
    days = ", ".join(literal(connection, first + timedelta(days=at)) for at in range((last - first).days + 1))
    return _Counters(
        "campaigns_campaigncounter" if of_campaigns else "campaigns_brandcounter",
        f"t.period = {Period.DAY:d} AND t.start IN ({days}) AND {condition}",
        params,
    )


def _owners(scope: _Scope, *, of_campaigns: bool) -> tuple[str, list[Any]]:
    """The condition that a counter `t` is one of the scope, and its parameters."""
    condition, params = _of_brands(scope, "t.brand_id")
    if scope.campaign_id is not None:
        return f"{condition} AND t.campaign_id = %s", [*params, scope.campaign_id]
    if of_campaigns and params:
        # The key of these counters names the campaign before the brand: it is of use to those who tell the campaigns.
        theirs, _ = _of_brands(scope, "c.brand_id")
        campaigns = f"SELECT c.id FROM campaigns_campaign c WHERE {theirs}"
        return f"{condition} AND t.campaign_id IN ({campaigns})", [*params, *params]
    return condition, params


def _of_brands(scope: _Scope, column: str) -> tuple[str, list[Any]]:
    if scope.brand is not None:
        return f"{column} = %s", [scope.brand.pk]
    if scope.brand_ids is None:
        return "true", []
    condition, parameter = one_of(connection, column, scope.brand_ids)
    return condition, [parameter]


def _by_day(counters: _Counters) -> list[DaySpend]:
    rows = _rows(
        f"""
        SELECT t.start, b.currency, SUM(t.spent)
        FROM {counters.table} t JOIN campaigns_brand b ON b.id = t.brand_id
        WHERE {counters.condition} GROUP BY t.start, b.currency ORDER BY t.start, b.currency
        """,
        counters.params,
    )
    return [DaySpend(as_date(day), currency, int(spent)) for day, currency, spent in rows]


def _by_campaign(counters: _Counters, limit: int, after: Place | None) -> SpendReport:
    ranked, params = _ranked(counters, "campaign_id", limit, after)
    rows = _rows(
        f"""
        SELECT c.id, c.name, c.external_id, c.brand_id, b.currency, r.spent FROM ({ranked}) r
        JOIN campaigns_campaign c ON c.id = r.id JOIN campaigns_brand b ON b.id = c.brand_id
        ORDER BY r.spent DESC, r.id
        """,
        params,
    )
    return _page([CampaignSpend._make([*row, int(spent)]) for *row, spent in rows], limit)


def _by_brand(counters: _Counters, limit: int, after: Place | None) -> SpendReport:
    ranked, params = _ranked(counters, "brand_id", limit, after)
    rows = _rows(
        f"""
        SELECT b.id, b.name, b.external_id, b.currency, r.spent FROM ({ranked}) r
        JOIN campaigns_brand b ON b.id = r.id ORDER BY r.spent DESC, r.id
        """,
        params,
    )
    return _page([BrandSpend._make([*row, int(spent)]) for *row, spent in rows], limit)


def _ranked(counters: _Counters, owner: str, limit: int, after: Place | None) -> tuple[str, list[Any]]:
    """The statement for the owners (id, spent) that have spent most after a place, one more than the limit."""
    beyond, place = "", []
    if after is not None:
        beyond = f"HAVING SUM(t.spent) < %s OR (SUM(t.spent) = %s AND t.{owner} > %s)"
        place = [after.spent, after.spent, after.id]
    sql = f"""
        SELECT t.{owner} AS id, SUM(t.spent) AS spent FROM {counters.table} t
        WHERE {counters.condition} GROUP BY t.{owner} {beyond} ORDER BY spent DESC, id LIMIT %s
    """
    return sql, [*counters.params, *place, limit + 1]


def _page(rows: list[CampaignSpend] | list[BrandSpend], limit: int) -> SpendReport:
    """The report of the rows up to the limit; the one more that was asked for only tells that there is more."""
    after = Place(rows[limit - 1].spent, rows[limit - 1].id) if len(rows) > limit else None
    return SpendReport(rows=rows[:limit], after=after)


# --- From the ledger -------------------------------------------------------------------------


def _check_in_ledger(first: date, last: date) -> None:
    if archived := archive.sealed_between(first, last):
        raise BudgetError(
            f"The hours of {archived} and before are in the archive and not in the database; "
            f"begin with {archived.until} or later, or group by day."
        )


def _by_hour(scope: _Scope, first: date, last: date) -> list[HourSpend]:
    assert scope.brand is not None  # by hour there is always one
    alone, params = ("", []) if scope.campaign_id is None else ("AND c.id = %s", [scope.campaign_id])
    # By way of the campaigns, since the ledger's index is by campaign and day. Were the ledger's brand in it, too, the
    # planner might go through all that the brand ever spent, by the other index, only to find the same rows.
    quarters = _rows(
        f"""
        SELECT {quarter_of("l.timestamp")} AS quarter, SUM(l.amount)
        FROM campaigns_campaign c JOIN campaigns_spendlog l ON l.campaign_id = c.id
          AND l.day >= {literal(connection, first)} AND l.day <= {literal(connection, last)}
        WHERE c.brand_id = %s {alone} GROUP BY quarter
        """,
        [scope.brand.pk, *params],
    )
    return _hours(((quarter, int(spent)) for quarter, spent in quarters), scope.brand.timezone, scope.brand.currency)


def quarter_of(column: str) -> str:
    """The expression for the number of quarters of an hour from the epoch to a moment.

    Time zones don't reach SQL. A quarter is the most of an hour that lies in one local hour of every zone, since all
    offsets are multiples of it and clocks are changed between two of them: everywhere since 2023, and nearly everywhere
    since 2012. Where they were changed at one minute past, that quarter counts whole in the hour that it began in.
    """
    if connection.vendor == "postgresql":
        return f"floor(extract(epoch FROM {column}) / {QUARTER_SECONDS})::bigint"
    # Moments are text in UTC there. Without their microseconds, which strftime would round up into the next hour.
    return f"CAST(strftime('%%s', substr({column}, 1, 19)) AS INTEGER) / {QUARTER_SECONDS}"


def _hours(quarters: Iterable[tuple[int, int]], zone: ZoneInfo, currency: str) -> list[HourSpend]:
    """Add up quarters (number from the epoch, micros) to the hours of a zone's wall clock."""
    sums: dict[datetime, int] = defaultdict(int)
    for quarter, micros in quarters:
        # The key is in UTC: two datetimes of one zone are equal if only their wall time is, an hour that comes twice.
        sums[_hour_begins(datetime.fromtimestamp(quarter * QUARTER_SECONDS, UTC), zone)] += micros
    return [HourSpend(_with_offset(begins, zone), currency, sums[begins]) for begins in sorted(sums)]


def _hour_begins(quarter: datetime, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) of the local hour that a quarter (its beginning, UTC) lies in."""
    local = quarter.astimezone(zone)
    begins = quarter - timedelta(minutes=local.minute)
    if begins.astimezone(zone).utcoffset() == local.utcoffset():
        return begins
    # The clock was changed within the hour, as Lord Howe's is, by half an hour: this one begins with the change.
    return periods.offset_change(begins, quarter, zone)


def _with_offset(moment: datetime, zone: ZoneInfo) -> datetime:
    """The moment on the zone's wall clock, with a fixed offset, so that an hour that comes twice is not equal."""
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return moment.astimezone(timezone(offset))


def _rows(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
