"""Holds as they stand, and what expired ones still have in the counters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import NamedTuple

from django.db import connection

from campaigns.models import Hold
from campaigns.models.fields import adapt_moment
from campaigns.models.rows import Rows, as_date, one_of
from campaigns.rules import money


class HoldRow(NamedTuple):
    """One hold, amounts in micros. `state` is the stored one; `state_at` knows that time alone ends a hold."""

    id: int
    brand_id: int
    campaign_id: int
    key: str
    day: date
    asked: int
    minimum: int
    amount: int
    created_at: datetime
    expires_at: datetime
    state: Hold.State
    event_id: str

    def state_at(self, now: datetime) -> Hold.State:
        """Return its state at a moment: an open hold past its expiry counts for nothing, swept or not."""
        if self.state is Hold.State.OPEN and self.expires_at <= now:
            return Hold.State.EXPIRED
        return self.state


def find_hold(hold_id: int) -> HoldRow | None:
    """Return one hold, or None."""
    return find_holds([hold_id]).get(hold_id)


def find_holds(hold_ids: Collection[int]) -> dict[int, HoldRow]:
    """Return the holds that there are of these ids."""
    rows = Hold.objects.filter(pk__in=hold_ids).order_by()
    return {row.pk: _row(row) for row in rows}


def find_holds_by_key(keys: Collection[tuple[int, str]]) -> dict[tuple[int, str], HoldRow]:
    """Return the holds that there are of these brands and keys."""
    rows = Rows(
        connection,
        {"brand_id": "bigint", "key": "text"},
        [[brand_id for brand_id, _ in keys], [key for _, key in keys]],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT h.id FROM {rows.sql} JOIN campaigns_hold h ON h.brand_id = rows.brand_id AND h.key = rows.key",
            rows.params,
        )
        ids = [hold_id for (hold_id,) in cursor.fetchall()]
    return {(hold.brand_id, hold.key): hold for hold in find_holds(ids).values()} if ids else {}


def expired(*, now: datetime, brand_ids: Sequence[int] | None = None) -> dict[tuple[int, int, date], int]:
    """Return what holds that have expired, but that no sweep has closed yet, have in the counters.

    In micros by brand, campaign and budget day, of some brands or of all. Nearly always there is little or nothing.
    """
    only, ids = ("true", []) if brand_ids is None else one_of(connection, "h.brand_id", brand_ids)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT h.brand_id, h.campaign_id, h.day, SUM(h.amount) FROM campaigns_hold h
            WHERE h.state = {Hold.State.OPEN:d} AND h.expires_at <= %s AND {only}
            GROUP BY h.brand_id, h.campaign_id, h.day
            """,
            [adapt_moment(connection, now), *([ids] if ids else [])],
        )
        return {(row[0], row[1], as_date(row[2])): int(row[3]) for row in cursor.fetchall()}


def find_expired(*, now: datetime, limit: int) -> list[int]:
    """Return the ids of some holds that are open and whose time is over."""
    # The state as a constant and the order of the index: what is open is little, what there ever was is not.
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT h.id FROM campaigns_hold h WHERE h.state = {Hold.State.OPEN:d} AND h.expires_at <= %s
            ORDER BY h.brand_id, h.expires_at LIMIT %s
            """,
            [adapt_moment(connection, now), limit],
        )
        return [hold_id for (hold_id,) in cursor.fetchall()]


def _row(row: Hold) -> HoldRow:
    return HoldRow(
        row.pk,
        row.brand_id,
        row.campaign_id,
        row.key,
        row.day,
        money.to_micros(row.asked),
        money.to_micros(row.minimum),
        money.to_micros(row.amount),
        row.created_at,
        row.expires_at,
        Hold.State(row.state),
        row.event_id,
    )
