"""The status feed: for every campaign whether it may spend, why not and until when; or only what changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection

from campaigns.models import feed
from campaigns.models.figures import Campaigns, figures
from campaigns.models.pacing import PACES, PROBABILITIES
from campaigns.models.rows import as_date, one_of
from campaigns.rules import pacing, reasons, verdict
from campaigns.rules.reasons import Reason
from campaigns.rules.schedules import Schedule
from campaigns.rules.verdict import Spent, Terms

CHUNK = 5_000
"""Rows fetched at a time."""


class CampaignStatus(NamedTuple):
    """A campaign as ad servers need it. resumes_at: None while active, and where time alone does not resume it.

    probability: with which it serves, in millionths; 0 while paused.
    """

    id: int
    brand_id: int
    external_id: str | None
    reasons: Reason
    resumes_at: datetime | None
    probability: int


class Feed(NamedTuple):
    """Where the feed stood just before it was read, the campaigns, and the ids of those archived or deleted since."""

    position: str
    campaigns: list[CampaignStatus]
    removed: list[int]


def whole_feed(*, now: datetime, brand_ids: Collection[int] | None) -> Feed:
    """Return all campaigns of some brands, or of all, that are not archived, by id. brand_ids: None is all brands."""
    position = feed.position(connection)
    which = Campaigns.everywhere() if brand_ids is None else Campaigns.of_brands(connection, sorted(brand_ids))
    return Feed(position, _read(which, now), [])


def feed_since(*, seen: str, now: datetime, brand_ids: Collection[int] | None) -> Feed:
    """Return what has changed since a position: at least that, for a change may be told twice, but none is missed.

    Raises models.feed.PositionError for a position that is not one of this feed.
    """
    # The position first: `since` looks no further than what had begun when it was asked, and whatever is behind the
    # position had. The other way round, what is committed between the two would be passed over and yet taken as told.
    position = feed.position(connection)
    since = feed.since(connection, seen)
    changed = _changed(since, brand_ids)
    which = Campaigns.with_ids(connection, sorted(changed))
    campaigns = _read(which, now) if changed else []
    return Feed(position, campaigns, sorted(changed - {campaign.id for campaign in campaigns}))


def has_changed(*, seen: str, brand_ids: Collection[int] | None) -> bool:
    """Return whether anything has changed since a position. Raises PositionError, as `feed_since`."""
    since = feed.since(connection, seen)
    only, ids = _only(brand_ids)
    journals = " UNION ALL ".join(
        f"(SELECT 1 FROM {journal} WHERE {since.condition} AND {only} LIMIT 1)"
        if connection.vendor == "postgresql"
        else f"SELECT 1 FROM {journal} WHERE {since.condition} AND {only}"
        for journal in feed.JOURNALS
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS ({journals})", [*since.params, *ids] * len(feed.JOURNALS))
        return bool(cursor.fetchone()[0])


def _changed(since: feed.Since, brand_ids: Collection[int] | None) -> set[int]:
    only, ids = _only(brand_ids)
    news = f"{since.condition} AND {only}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT campaign_id FROM campaigns_statuschange WHERE {news}
            UNION SELECT campaign_id FROM campaigns_catalogchange WHERE campaign_id IS NOT NULL AND {news}
            UNION SELECT c.id FROM campaigns_campaign c WHERE c.brand_id IN (
                SELECT brand_id FROM campaigns_catalogchange WHERE campaign_id IS NULL AND {news}
                UNION SELECT brand_id FROM campaigns_ownerpace WHERE campaign_id IS NULL AND {news}
            )
            UNION SELECT campaign_id FROM campaigns_ownerpace WHERE campaign_id IS NOT NULL AND {news}
            """,
            [*since.params, *ids] * 5,
        )
        return {campaign_id for (campaign_id,) in cursor.fetchall()}


def _only(brand_ids: Collection[int] | None) -> tuple[str, list[str]]:
    if brand_ids is None:
        return "true", []
    condition, ids = one_of(connection, "brand_id", sorted(brand_ids))
    return condition, [ids]


def _read(which: Campaigns, now: datetime) -> list[CampaignStatus]:
    resumes = _resumptions(which, now)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT c.id, c.brand_id, c.external_id, c.reasons, {PROBABILITIES}
            FROM campaigns_campaign c JOIN campaigns_brand b ON b.id = c.brand_id {PACES}
            WHERE c.archived_at IS NULL AND {which.condition} ORDER BY c.id
            """,
            which.params,
        )
        return [_status(row, resumes) for row in cursor.fetchall()]


def _status(row: Sequence[Any], resumes: Mapping[int, datetime | None]) -> CampaignStatus:
    key, brand_id, external_id, why, own, of_brand = row
    if why:
        return CampaignStatus(key, brand_id, external_id, reasons.of(why), resumes.get(key), 0)
    return CampaignStatus(key, brand_id, external_id, reasons.NONE, None, pacing.effective(own, of_brand))


_FOREVER = Reason.MANUAL | Reason.CAMPAIGN_TOTAL_BUDGET | Reason.ENDED
_BUDGETS = (
    (Reason.BRAND_DAILY_BUDGET, "brand_daily"),
    (Reason.BRAND_MONTHLY_BUDGET, "brand_monthly"),
    (Reason.CAMPAIGN_DAILY_BUDGET, "campaign_daily"),
    (Reason.CAMPAIGN_MONTHLY_BUDGET, "campaign_monthly"),
)


def _resumptions(which: Campaigns, now: datetime) -> dict[int, datetime | None]:
    """When those of the campaigns resume that are paused by what time alone can clear.

    Campaigns that share their zone, hours and flight and are spent in the same budgets resume at the same moment: it
    is worked out once for all of them.
    """
    clearable = Campaigns(
        f"({which.condition} AND c.reasons <> 0 AND (c.reasons & {_FOREVER:d}) = 0)", which.params, which.ids
    )
    sql, params = figures(connection, clearable, now)
    spent = ", ".join(_spent(name) for _, name in _BUDGETS)
    known: dict[tuple[Any, ...], datetime | None] = {}
    resumes: dict[int, datetime | None] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT f.campaign_id, b.timezone, f.flight_start, f.flight_end,
                f.start_hour, f.end_hour, f.weekdays, f.grid, {spent}
            FROM ({sql}) f JOIN campaigns_brand b ON b.id = f.brand_id
            """,
            params,
        )
        for campaign_id, *terms in _chunks(cursor):
            key = tuple(terms)
            if key not in known:
                known[key] = _resumes_at(key, now)
            resumes[campaign_id] = known[key]
    return resumes


def _spent(counter: str) -> str:
    """Whether a budget is spent: 0 where it is 0 and so always spent, 1 where it is spent now, else NULL."""
    by = f"f.{counter}_spent"
    if counter.startswith("brand"):
        alone = f"f.{counter.replace('brand', 'campaign')}_spent"
        by = f"(CASE WHEN f.budget_scope = 'campaign' THEN {alone} ELSE {by} END)"
    return f"CASE WHEN f.{counter}_budget = 0 THEN 0 WHEN {by} >= f.{counter}_budget THEN 1 END"


def _chunks(cursor: Any) -> Iterator[Sequence[Any]]:
    while chunk := cursor.fetchmany(CHUNK):
        yield from chunk


def _resumes_at(terms: tuple[Any, ...], now: datetime) -> datetime | None:
    zone, flight_start, flight_end, start_hour, end_hour, weekdays, grid, *budgets = terms
    # A budget that is spent is one of 1 with 1 spent: how large it is does not matter to when it clears.
    return verdict.resumes_at(
        Terms(
            zone=ZoneInfo(zone),
            brand_daily_budget=budgets[0],
            brand_monthly_budget=budgets[1],
            campaign_daily_budget=budgets[2],
            campaign_monthly_budget=budgets[3],
            flight_start=_day(flight_start),
            flight_end=_day(flight_end),
            schedule=_schedule(start_hour, end_hour, weekdays, grid),
        ),
        Spent(brand_daily=1, brand_monthly=1, campaign_daily=1, campaign_monthly=1),
        now,
    )


def _day(value: date | str | None) -> date | None:
    return None if value is None else as_date(value)


def _schedule(start_hour: int | None, end_hour: int | None, weekdays: int | None, grid: str | None) -> Schedule | None:
    if grid is not None:
        return Schedule.from_grid(grid)
    if start_hour is None or end_hour is None or weekdays is None:
        return None
    return Schedule.from_window(start_hour, end_hour, weekdays)
