"""Pacing as it stands: the probability with which a campaign serves, and what should have been spent by now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from campaigns.models import OwnerPace
from campaigns.models.pacing import BRAND_IS_PACED, CAMPAIGN_IS_PACED, PACES, PROBABILITIES
from campaigns.queries.owners import Owner, brand_owners, campaign_owners
from campaigns.rules import pacing
from campaigns.rules.pacing import Curve, Pace
from campaigns.rules.profile import FLAT, Profile


class PaceNow(NamedTuple):
    """How an owner is paced, now. Probabilities are in millionths.

    probability: the effective one: the smaller of own and brand's, 0 while a campaign is paused (and for a brand while
    none of its campaigns is active). own, of_brand: each where there is one. target: micros that should be spent of
    today by now, by the own pace, else the brand's; None where there is no target yet.
    """

    probability: int
    own: int | None
    of_brand: int | None
    target: int | None


def campaign_pace(*, campaign_id: int, now: datetime) -> PaceNow | None:
    """Return how a campaign is paced; None if neither it nor its brand is. A constant number of queries."""
    row = _row(
        f"""
        SELECT c.brand_id, c.reasons, c.archived_at, {CAMPAIGN_IS_PACED}, {BRAND_IS_PACED}, {PROBABILITIES}
        FROM campaigns_campaign c JOIN campaigns_brand b ON b.id = c.brand_id {PACES} WHERE c.id = %s
        """,
        campaign_id,
    )
    if row is None or not (row[3] or row[4]):
        return None
    brand_id, why, archived_at, is_paced, by_brand, own, of_brand = row
    owner = _owner(None, campaign_id, now) if is_paced else _owner(brand_id, None, now)
    return PaceNow(
        probability=0 if why or archived_at else pacing.effective(own, of_brand),
        own=own if is_paced else None,
        of_brand=of_brand if by_brand else None,
        target=None if owner is None else _target(owner, now),
    )


def brand_pace(*, brand_id: int, now: datetime) -> PaceNow | None:
    """Return how a brand is paced; None if it is not, or if its budgets bind each campaign alone. As above."""
    owner = _owner(brand_id, None, now)
    if owner is None or not owner.paced:
        return None
    stored = OwnerPace.objects.filter(brand=brand_id, campaign=None).first()
    own = pacing.START if stored is None else stored.published
    return PaceNow(own if owner.active else 0, own, None, _target_of(owner, stored, now))


def target_curve(
    *, brand_id: int | None = None, campaign_id: int | None = None, now: datetime
) -> list[tuple[int, int]]:
    """Return what should be spent of today by when, for a brand or a campaign (one of the two), for its chart.

    Points (seconds from the beginning of the budget day, micros), ascending, at both ends of every open hour and where
    the target was set anew: it begins there. An owner that is not paced itself has none, and neither has one that has
    not been paced yet today.
    """
    if (brand_id is None) is (campaign_id is None):
        raise ValueError("give a brand or a campaign, and not both")
    owner = _owner(brand_id, campaign_id, now)
    stored = None if owner is None else _stored(owner)
    if owner is None or stored is None or not owner.paced:
        return []
    plan = _plan(owner, stored)
    return [] if plan is None else list(_points(owner, *plan))


def last_pace(*, brand_id: int) -> Pace | None:
    """Return the pace that a brand had at its last step, of whichever day; None if it never was paced."""
    stored = OwnerPace.objects.filter(brand=brand_id, campaign=None, budget__isnull=False).first()
    return None if stored is None else _pace(stored)


def from_text(weights: str) -> Profile:
    """Return the profile that a row keeps; a flat one for none."""
    return Profile(tuple(map(int, weights.split(",")))) if weights else FLAT


def _points(owner: Owner, pace: Pace, curve: Curve) -> Iterator[tuple[int, int]]:
    ends = {second for stretch in owner.open_day.stretches for second in (stretch.begins, stretch.ends)}
    for second in sorted({pace.since, *(end for end in ends if end > pace.since)}):
        yield second, pacing.target(pace, curve, second)


def _owner(brand_id: int | None, campaign_id: int | None, now: datetime) -> Owner | None:
    if campaign_id is not None:
        return next(campaign_owners([campaign_id], now=now), None)
    return None if brand_id is None else next(brand_owners([brand_id], now=now), None)


def _stored(owner: Owner) -> OwnerPace | None:
    return OwnerPace.objects.filter(brand=owner.brand_id, campaign=owner.campaign_id).first()


def _target(owner: Owner, now: datetime) -> int | None:
    return _target_of(owner, _stored(owner), now)


def _target_of(owner: Owner, stored: OwnerPace | None, now: datetime) -> int | None:
    plan = None if stored is None else _plan(owner, stored)
    return None if plan is None else pacing.target(*plan, owner.open_day.second(now))


def _plan(owner: Owner, stored: OwnerPace) -> tuple[Pace, Curve] | None:
    """What is spread over which hours; None if there is none of today."""
    if stored.day != owner.day or stored.budget is None:
        return None
    return _pace(stored), Curve(owner.open_day, from_text(stored.profile))


def _pace(stored: OwnerPace) -> Pace:
    return Pace(
        stored.probability,
        stored.second,
        stored.seen,
        stored.earned,
        stored.exposed,
        stored.silent,
        stored.budget or 0,
        stored.since,
        stored.base,
    )


def _row(sql: str, owner_id: int) -> Sequence[Any] | None:
    with connection.cursor() as cursor:
        cursor.execute(sql, [owner_id])
        row: Sequence[Any] | None = cursor.fetchone()
        return row
