"""The traffic of brands by hour of the clock, as far as their spend says it: what profiles and forecasts learn from.

What was spent is not what could have been: the hours in which a brand had spent its budget say nothing. The journal of
one of its campaigns tells when that was, for such a budget stops all of them at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from campaigns.models.fields import adapt_moment
from campaigns.models.rows import as_date, literal, one_of
from campaigns.rules import periods, profile
from campaigns.rules.profile import DAY_HOURS, LEARNED_DAYS, DayHours, Profile
from campaigns.rules.reasons import Reason

BATCH = 200
"""Brands whose hours are read at once: at most 134,400 rows."""

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
    if len(zones) > BATCH:
        raise ValueError(f"ask for at most {BATCH} brands at once")
    todays = {brand_id: periods.local_date(now, zone) for brand_id, zone in zones.items()}
    found: dict[int, dict[date, list[int | None]]] = {brand_id: {} for brand_id in zones}
    for brand_id, day, hour, micros in _hours(sorted(zones), sorted(set(todays.values()))):
        if timedelta() < todays[brand_id] - as_date(day) <= timedelta(days=LEARNED_DAYS):
            found[brand_id].setdefault(as_date(day), [0] * DAY_HOURS)[hour] = micros
    for brand_id, began, ended in _stops(sorted(zones), now):
        for day, hour in _clock_hours(began, ended, zones[brand_id]):
            if day in found[brand_id]:
                found[brand_id][day][hour] = None
    return {brand_id: [DayHours(day, hours) for day, hours in days.items()] for brand_id, days in found.items()}


def _hours(brand_ids: Sequence[int], todays: Sequence[date]) -> Iterator[Sequence[Any]]:
    if not brand_ids:
        return
    first = todays[0] - timedelta(days=LEARNED_DAYS)
    days = [first + timedelta(days=at) for at in range((todays[-1] - first).days)]
    # A list of days and no range: the key begins with the day, and a range leads past all other brands.
    these = ", ".join(literal(connection, day) for day in days)
    only, ids = one_of(connection, "h.brand_id", brand_ids)
    yield from _rows(
        f"""
        SELECT h.brand_id, h.day, h.hour, h.spent FROM campaigns_brandhour h
        WHERE h.day IN ({these}) AND {only} ORDER BY h.brand_id, h.day
        """,
        [ids],
    )


def _stops(brand_ids: Sequence[int], now: datetime) -> Iterator[tuple[int, datetime, datetime]]:
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
    for brand_id, changes in groupby(rows, key=itemgetter(0)):
        began = since  # where the first change says that it was spent before
        for _, moment, was, became in changes:
            if not was & _SPENT and became & _SPENT:
                began = _as_moment(moment)
            else:
                yield brand_id, began, _as_moment(moment)
                began = now
        yield brand_id, began, now


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
