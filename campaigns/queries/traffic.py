"""The traffic of brands and campaigns by hour of the clock, as far as their spend says it: what is learned from.

What was spent is not what could have been: the hours in which a brand had spent its budget say nothing. The journal of
one of its campaigns tells when that was, for such a budget stops all of them at the same moment. The hours of campaigns
are kept of those that are paced by themselves; when one was paused, its own journal tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection

from campaigns.models.fields import adapt_moment
from campaigns.models.rows import as_date, literal, one_of
from campaigns.rules import periods, profile
from campaigns.rules.profile import DAY_HOURS, LEARNED_DAYS, DayHours, Profile
from campaigns.rules.reasons import ALL, Reason

BATCH = 200
"""Brands or campaigns whose hours are read at once: at most 134,400 rows."""

STOPPED = timedelta(minutes=5)
"""An hour says nothing if the budget was spent for this long of it; after midnight it takes a moment to resume."""

_SPENT = Reason.BRAND_DAILY_BUDGET | Reason.BRAND_MONTHLY_BUDGET
_HOUR = timedelta(hours=1)


def profiles(zones: Mapping[int, ZoneInfo], *, now: datetime) -> dict[int, Profile]:
    """Return the profile of today for some brands, by id; a flat one where little is known. zones: theirs.

    Two queries for every two hundred of them.
    """
    found: dict[int, Profile] = {}
    ids = sorted(zones)
    for at in range(0, len(ids), BATCH):
        some = {brand_id: zones[brand_id] for brand_id in ids[at : at + BATCH]}
        for brand_id, days in past_hours(some, now=now).items():
            found[brand_id] = profile.learn(days, today=periods.local_date(now, zones[brand_id]))
    return found


def past_hours(zones: Mapping[int, ZoneInfo], *, now: datetime) -> dict[int, list[DayHours]]:
    """Return what at most 200 brands have spent by hour in the 28 days before today, by id, oldest first.

    An hour is None in which the budget of its brand was spent. A day without any spend is left out. Two queries.
    """
    _bounded(zones)
    found = _found("brand", zones, now)
    return {brand_id: _days(hours) for brand_id, hours in _said(found, _brand_stops(sorted(zones), now), zones).items()}


class CampaignTraffic(NamedTuple):
    """What a campaign has spent by hour on each day that is known, oldest first, and what is learned from it."""

    days: list[DayHours]
    learned: Profile


def campaign_traffic(
    zones: Mapping[int, ZoneInfo], brands: Mapping[int, Profile], *, now: datetime
) -> dict[int, CampaignTraffic]:
    """Return the traffic of at most 200 campaigns that are paced by themselves, by id. zones, brands: their brands'.

    Nothing is learned from the hours in which a campaign was paused, for whatever reason; of those, and where little
    else is known, it is taken to be its brand's. Two queries.
    """
    _bounded(zones)
    found = _found("campaign", zones, now)
    days = {campaign_id: _days(hours) for campaign_id, hours in found.items()}
    said = _said(found, _campaign_stops(sorted(zones), now), zones)
    return {
        campaign_id: CampaignTraffic(
            days[campaign_id],
            profile.learn(
                _days(hours), today=periods.local_date(now, zones[campaign_id]), fallback=brands[campaign_id]
            ),
        )
        for campaign_id, hours in said.items()
    }


def campaign_profiles(
    zones: Mapping[int, ZoneInfo], brands: Mapping[int, Profile], *, now: datetime
) -> dict[int, Profile]:
    """Return the profile of today for some campaigns that are paced by themselves, by id. zones, brands: their brands'.

    Two queries for every two hundred of them.
    """
    found: dict[int, Profile] = {}
    ids = sorted(zones)
    for at in range(0, len(ids), BATCH):
        some = {campaign_id: zones[campaign_id] for campaign_id in ids[at : at + BATCH]}
        found.update((pk, one.learned) for pk, one in campaign_traffic(some, brands, now=now).items())
    return found


_Hours = dict[date, list[int | None]]
_Stop = tuple[int, datetime, datetime]


def _bounded(zones: Mapping[int, ZoneInfo]) -> None:
    if len(zones) > BATCH:
        raise ValueError(f"ask for at most {BATCH} owners at once")


def _found(owner: str, zones: Mapping[int, ZoneInfo], now: datetime) -> dict[int, _Hours]:
    """The stored hours of some brands or campaigns on the 28 days before their today."""
    todays = {owner_id: periods.local_date(now, zone) for owner_id, zone in zones.items()}
    found: dict[int, _Hours] = {owner_id: {} for owner_id in zones}
    for owner_id, day, hour, micros in _hours(owner, sorted(zones), sorted(set(todays.values()))):
        if timedelta() < todays[owner_id] - as_date(day) <= timedelta(days=LEARNED_DAYS):
            found[owner_id].setdefault(as_date(day), [0] * DAY_HOURS)[hour] = micros
    return found


def _days(hours: _Hours) -> list[DayHours]:
    return [DayHours(day, list(spent)) for day, spent in hours.items()]


def _said(found: dict[int, _Hours], stops: Iterable[_Stop], zones: Mapping[int, ZoneInfo]) -> dict[int, _Hours]:
    """The hours, without those that a stop has taken."""
    for owner_id, began, ended in stops:
        for day, hour in _clock_hours(began, ended, zones[owner_id]):
            if day in found[owner_id]:
                found[owner_id][day][hour] = None
    return found


def _hours(owner: str, ids: Sequence[int], todays: Sequence[date]) -> Iterator[Sequence[Any]]:
    if not ids:
        return
    first = todays[0] - timedelta(days=LEARNED_DAYS)
    days = [first + timedelta(days=at) for at in range((todays[-1] - first).days)]
    # A list of days and no range: the key begins with the day, and a range leads past all other owners.
    these = ", ".join(literal(connection, day) for day in days)
    only, wanted = one_of(connection, f"h.{owner}_id", ids)
    yield from _rows(
        f"""
        SELECT h.{owner}_id, h.day, h.hour, h.spent FROM campaigns_{owner}hour h
        WHERE h.day IN ({these}) AND {only} ORDER BY h.{owner}_id, h.day
        """,
        [wanted],
    )


def _brand_stops(brand_ids: Sequence[int], now: datetime) -> Iterator[_Stop]:
    """When the budgets of brands that bind all campaigns together were spent: brand, from when, until when."""
    only, ids = one_of(connection, "c.brand_id", brand_ids)
    since = now - timedelta(days=LEARNED_DAYS + 1)
    rows = _rows(
        f"""
        SELECT s.brand_id, s.at, s.from_reasons, s.to_reasons FROM (
            SELECT min(c.id) AS id FROM campaigns_campaign c JOIN campaigns_brand b ON b.id = c.brand_id
            WHERE {only} AND c.archived_at IS NULL AND b.budget_scope = 'brand' GROUP BY c.brand_id
        ) one JOIN campaigns_statuschange s ON s.campaign_id = one.id
        WHERE s.at >= %s AND ((s.from_reasons & {_SPENT:d}) = 0) <> ((s.to_reasons & {_SPENT:d}) = 0)
        ORDER BY s.brand_id, s.id
        """,
        [ids, adapt_moment(connection, since)],
    )
    return _stops(rows, _SPENT, since, now)


def _campaign_stops(campaign_ids: Sequence[int], now: datetime) -> Iterator[_Stop]:
    """When campaigns were paused: campaign, from when, until when."""
    if not campaign_ids:
        return iter(())
    only, ids = one_of(connection, "s.campaign_id", campaign_ids)
    since = now - timedelta(days=LEARNED_DAYS + 1)
    rows = _rows(
        f"""
        SELECT s.campaign_id, s.at, s.from_reasons, s.to_reasons FROM campaigns_statuschange s
        WHERE {only} AND s.at >= %s AND (s.from_reasons = 0) <> (s.to_reasons = 0)
        ORDER BY s.campaign_id, s.id
        """,
        [ids, adapt_moment(connection, since)],
    )
    return _stops(rows, ALL, since, now)


def _stops(rows: Sequence[Sequence[Any]], reasons: Reason, since: datetime, now: datetime) -> Iterator[_Stop]:
    """The stops for some reasons. rows: the changes of them, by owner in the order in which they came."""
    for owner_id, changes in groupby(rows, key=itemgetter(0)):
        began = since  # where the first change says that it was stopped before
        for _, moment, was, became in changes:
            if not was & reasons and became & reasons:
                began = _as_moment(moment)
            else:
                yield owner_id, began, _as_moment(moment)
                began = now
        yield owner_id, began, now


def _clock_hours(began: datetime, ended: datetime, zone: ZoneInfo) -> Iterator[tuple[date, int]]:
    """The hours of the clock of which a stop has taken so much that they say nothing."""
    at = began
    while at < ended:
        local = at.astimezone(zone)
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        until = min(at + _HOUR - past, ended)
        if until - at >= STOPPED:
            yield local.date(), local.hour
        at = until


def _as_moment(value: datetime | str) -> datetime:
    """A moment that came out of a hand-written statement; SQLite gives it in UTC without saying so, or as text."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rows(sql: str, params: Sequence[Any]) -> list[Sequence[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[Sequence[Any]] = cursor.fetchall()
        return rows
