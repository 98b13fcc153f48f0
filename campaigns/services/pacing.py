"""Pacing: one step of the controller for every brand and campaign that is paced evenly.

Reads as many owners at a time as a batch has, decides in Python by the rules and writes what came of it in one
statement. It locks rows of paces only, so that nobody who records spend waits for it; of two runs at once each takes
the rows that the other has not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connection, transaction

from campaigns.models import PeriodicRun, feed
from campaigns.models.pacing import BRAND_IS_PACED, CAMPAIGN_IS_PACED
from campaigns.models.rows import ColumnType, Rows, as_date, for_update, one_of
from campaigns.queries import owners, traffic
from campaigns.queries.owners import Owner
from campaigns.queries.pacing import from_text
from campaigns.rules import pacing
from campaigns.rules.pacing import Curve, OpenDay, Pace
from campaigns.rules.profile import Profile
from campaigns.services import runs
from campaigns.services.runs import Outcome

BATCH = 5_000
"""Owners that are read and written at once."""

APART = 20
"""The fewest seconds between two steps of an owner: one that comes right after another is a duplicate, not a step."""

SKEW = 300
"""Seconds by which the clocks of two machines may differ, as they may for verdicts (`runs.MOST_SKEW`)."""

TOLD = 10_000
"""A probability that has moved by this much, in millionths, is published: one percentage point."""

TOLD_SHARE = 20
"""So is one that has moved by this part of itself. Small ones move far within a point, and what is served must be what
the controller has decided."""


class Stored(NamedTuple):
    """The row of an owner's pace. limited: whether a budget binds. published: what the status feed tells."""

    id: int
    day: date
    pace: Pace
    limited: bool
    published: int
    profile: str


class Paced(NamedTuple):
    """What a step made of an owner: the row that it was, None for a new one, and what it is."""

    owner: Owner
    was: Stored | None
    pace: Pace
    limited: bool
    published: int
    profile: str


def pace_all(*, now: datetime) -> Outcome:
    """Take one step for every owner that is paced evenly; return how many stepped and of how many it was published.

    Safe to run at any time, twice, or at the same time as itself: a step is taken only from the row that was read, and
    not within 20 seconds of the last. It is meant to be taken once a minute, as was simulated.
    """
    return runs.recorded(PeriodicRun.Task.PACE, lambda: _pace_all(now), now=now)


def _pace_all(now: datetime) -> Outcome:
    stepped = told = 0
    # The campaigns first: what their brands have told since the last step is what they served by.
    for step_some, batches in ((_step_campaigns, _campaigns()), (_step_brands, _brands())):
        for ids in batches:
            paced = step_some(ids, now)
            _write(paced)
            stepped += len(paced)
            told += sum(1 for one in paced if one.was is None or one.was.published != one.published)
    return Outcome(judged=stepped, changed=told)


# --- What is there -------------------------------------------------------------------------------


def _campaigns() -> Iterator[list[int]]:
    """The campaigns that are paced, by their ids, a batch at a time."""
    return _in_batches(
        f"""
        SELECT c.id FROM campaigns_campaign c JOIN campaigns_brand b ON b.id = c.brand_id
        WHERE c.id > %s AND c.archived_at IS NULL AND {CAMPAIGN_IS_PACED} ORDER BY c.id LIMIT %s
        """
    )


def _brands() -> Iterator[list[int]]:
    return _in_batches(
        f"""
        SELECT b.id FROM campaigns_brand b
        WHERE b.id > %s AND b.archived_at IS NULL AND {BRAND_IS_PACED} ORDER BY b.id LIMIT %s
        """
    )


def _in_batches(sql: str) -> Iterator[list[int]]:
    after = 0
    while ids := [row[0] for row in _rows(sql, [after, BATCH])]:
        yield ids
        after = ids[-1]


def _stored(owner: str, ids: Sequence[int]) -> dict[int, Stored]:
    """The rows of brands or campaigns, by the owner's id. owner: the column that has it."""
    condition, parameter = one_of(connection, f"p.{owner}", ids)
    of_brands = "" if owner == "campaign_id" else "AND p.campaign_id IS NULL"
    rows = _rows(
        f"""
        SELECT p.{owner}, p.id, p.day, p.budget IS NOT NULL, p.published, p.profile,
            p.probability, p.second, p.seen, p.earned, p.exposed, p.silent, COALESCE(p.budget, 0), p.since, p.base
        FROM campaigns_ownerpace p WHERE {condition} {of_brands}
        """,
        [parameter],
    )
    return {
        owner_id: Stored(pk, as_date(day), Pace(*pace), bool(limited), published, weights)
        for owner_id, pk, day, limited, published, weights, *pace in rows
    }


def _told_by_brands(brand_ids: set[int]) -> dict[int, int]:
    """The probabilities that brands have told their campaigns, where brands are paced."""
    condition, parameter = one_of(connection, "b.id", sorted(brand_ids))
    return dict(
        _rows(
            f"""
            SELECT p.brand_id, p.published FROM campaigns_ownerpace p JOIN campaigns_brand b ON b.id = p.brand_id
            WHERE p.campaign_id IS NULL AND {BRAND_IS_PACED} AND {condition}
            """,
            [parameter],
        )
    )


# --- What comes of it ----------------------------------------------------------------------------


def _step_campaigns(ids: Sequence[int], now: datetime) -> list[Paced]:
    found = list(owners.campaign_owners(ids, now=now))
    stored = _stored("campaign_id", ids)
    by_brand = _told_by_brands({owner.brand_id for owner in found})
    return _stepped([(owner, stored.get(owner.campaign_id or 0), by_brand.get(owner.brand_id)) for owner in found], now)


def _step_brands(ids: Sequence[int], now: datetime) -> list[Paced]:
    stored = _stored("brand_id", ids)
    return _stepped([(owner, stored.get(owner.brand_id), None) for owner in owners.brand_owners(ids, now=now)], now)


_Found = tuple[Owner, Stored | None, int | None]
"""An owner, its row, and what its brand has told it."""


def _stepped(found: Sequence[_Found], now: datetime) -> list[Paced]:
    """Return those that have taken a step."""
    learned = _learned([owner for owner, was, _ in found if was is None or was.day != owner.day], now)
    steps = (_step(owner, was, by_brand, learned.get(_key(owner), ""), now) for owner, was, by_brand in found)
    return [paced for paced in steps if paced is not None]


def _key(owner: Owner) -> tuple[int, int | None]:
    return owner.brand_id, owner.campaign_id


def _learned(new: Sequence[Owner], now: datetime) -> dict[tuple[int, int | None], str]:
    """The profiles of owners whose day begins: a campaign's own, as far as it is known, else its brand's."""
    brands = traffic.profiles({owner.brand_id: owner.zone for owner in new}, now=now)
    campaigns = {owner.campaign_id: owner for owner in new if owner.campaign_id is not None}
    zones = {campaign_id: owner.zone for campaign_id, owner in campaigns.items()}
    theirs = {campaign_id: brands[owner.brand_id] for campaign_id, owner in campaigns.items()}
    own = traffic.campaign_profiles(zones, theirs, now=now)
    return {
        _key(owner): _as_text(brands[owner.brand_id] if owner.campaign_id is None else own[owner.campaign_id])
        for owner in new
    }


def _step(owner: Owner, was: Stored | None, by_brand: int | None, learned: str, now: datetime) -> Paced | None:
    """Take an owner's step; None if it is not due. learned: the profile of a day that begins with it."""
    opened = owner.open_day
    second, spent, budget = opened.second(now), owner.gone, owner.allowance
    if was is not None and _is_duplicate(owner, was, second):
        return None
    is_new = was is None or was.day != owner.day
    weights = learned if was is None or is_new else was.profile
    if budget is None:
        pace = Pace(pacing.ONE, second, spent, 0, 0, 0, 0, second, spent)
        return Paced(owner, was, pace, limited=False, published=pacing.ONE, profile=weights)
    curve = _curve(opened, weights)
    if was is None or is_new or not was.limited or was.pace.second > second:
        last = was.pace if was is not None and was.limited else None
        pace = pacing.begin(curve, budget=budget, second=second, spent=spent, last=last)
    else:
        served = pacing.effective(was.published, pacing.ONE if by_brand is None else by_brand)
        pace = pacing.step(
            was.pace, curve, second=second, spent=spent, budget=budget, served=served if owner.active else 0
        )
    published = _published(None if was is None else was.published, pace.probability)
    return Paced(owner, was, pace, limited=True, published=published, profile=weights)


def _is_duplicate(owner: Owner, was: Stored, second: int) -> bool:
    """Whether another run has taken this step just now, by a clock that may be a little ahead of ours."""
    if owner.day == was.day:
        return -SKEW < second - was.pace.second < APART
    return owner.day < was.day and was.pace.second < SKEW


def _published(before: int | None, probability: int) -> int:
    """The probability that is told: the new one if that differs enough from the last, or is a bound."""
    told = max(probability // pacing.FLOOR * pacing.FLOOR, pacing.FLOOR)
    if before is None or told in {pacing.ONE, pacing.FLOOR}:
        return told
    return told if abs(told - before) >= min(TOLD, max(before // TOLD_SHARE, 1)) else before


@lru_cache(maxsize=4096)
def _curve(opened: OpenDay, weights: str) -> Curve:
    """A day's curve, made once for all that share its hours and its profile."""
    return Curve(opened, from_text(weights))


def _as_text(learned: Profile) -> str:
    return ",".join(map(str, learned.weights))


# --- What is kept --------------------------------------------------------------------------------


def _write(paced: Sequence[Paced]) -> None:
    """Write steps down, those of new rows and those of rows that nobody has stepped since they were read."""
    if not paced:
        return
    new = [one for one in paced if one.was is None]
    known = [(one.was, one) for one in paced if one.was is not None]
    with transaction.atomic():
        if known:
            _update(known)
        if new:
            _insert(new)


def _update(known: Sequence[tuple[Stored, Paced]]) -> None:
    # In the order of their ids, and past those that another run has in hand: nobody waits for anybody.
    lock = for_update(connection)
    condition, parameter = one_of(connection, "p.id", [was.id for was, _ in known])
    rows = f"SELECT p.id FROM campaigns_ownerpace p WHERE {condition} ORDER BY p.id{lock and lock + ' SKIP LOCKED'}"
    ours = {pk for (pk,) in _rows(rows, [parameter])}
    mine = [(was, one) for was, one in known if was.id in ours]
    sent = Rows(
        connection,
        {"id": "bigint", "was_day": "date", "was_second": "bigint", **_COLUMNS},
        [
            [was.id for was, _ in mine],
            [was.day for was, _ in mine],
            [was.pace.second for was, _ in mine],
            *_values([one for _, one in mine]),
        ],
    )
    told = f"""
        CASE WHEN campaigns_ownerpace.published = rows.published THEN campaigns_ownerpace.transaction_id
             ELSE {feed.transaction_id(connection)} END
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE campaigns_ownerpace SET {", ".join(f"{name} = rows.{name}" for name in _COLUMNS)},
                transaction_id = {told}
            FROM {sent.sql}
            WHERE campaigns_ownerpace.id = rows.id AND campaigns_ownerpace.day = rows.was_day
              AND campaigns_ownerpace.second = rows.was_second
            """,
            sent.params,
        )


def _insert(new: Sequence[Paced]) -> None:
    sent = Rows(
        connection,
        {"brand_id": "bigint", "campaign_id": "bigint", **_COLUMNS},
        [[one.owner.brand_id for one in new], [one.owner.campaign_id for one in new], *_values(new)],
    )
    names = ", ".join(("brand_id", "campaign_id", *_COLUMNS))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_ownerpace ({names}, transaction_id)
            SELECT {names}, {feed.transaction_id(connection)} FROM {sent.sql} WHERE true
            ON CONFLICT DO NOTHING
            """,
            sent.params,
        )


_COLUMNS: dict[str, ColumnType] = {
    "day": "date",
    "probability": "bigint",
    "second": "bigint",
    "seen": "bigint",
    "earned": "bigint",
    "exposed": "bigint",
    "silent": "bigint",
    "budget": "bigint",
    "since": "bigint",
    "base": "bigint",
    "published": "bigint",
    "profile": "text",
}


def _values(paced: Sequence[Paced]) -> list[list[Any]]:
    """What is written, column by column."""
    rows = [
        (
            one.owner.day,
            *one.pace[:6],
            one.pace.budget if one.limited else None,
            one.pace.since,
            one.pace.base,
            one.published,
            one.profile,
        )
        for one in paced
    ]
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in _COLUMNS]


def _rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
