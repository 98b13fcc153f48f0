"""Closing holds: their rows and what they hold in the counters, always both.

Lock order: hold rows by ascending id, before any counter. Whoever closes a hold locks it first and looks at its state
with the lock held, so that it is closed once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from django.db import connection

from campaigns.models import Hold
from campaigns.models.fields import adapt_moment
from campaigns.models.rows import Rows, as_date, for_update, one_of
from campaigns.services import counters
from campaigns.services.counters import BudgetDay, Key


class Held(NamedTuple):
    """A hold whose row is locked."""

    id: int
    brand_id: int
    campaign_id: int
    day: date
    micros: int
    state: Hold.State
    event_id: str

    @property
    def budget_day(self) -> BudgetDay:
        """Whose budgets it holds."""
        return BudgetDay(self.brand_id, self.campaign_id, self.day)


def lock(hold_ids: Collection[int]) -> dict[int, Held]:
    """Lock some holds within the caller's transaction; return them by id. Ids of no hold are left out."""
    if not hold_ids:
        return {}
    condition, ids = one_of(connection, "h.id", sorted(hold_ids))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT h.id, h.brand_id, h.campaign_id, h.day, h.amount, h.state, h.event_id FROM campaigns_hold h
            WHERE {condition} ORDER BY h.id{for_update(connection)}
            """,
            [ids],
        )
        return {
            row[0]: Held(row[0], row[1], row[2], as_date(row[3]), row[4], Hold.State(row[5]), row[6])
            for row in cursor.fetchall()
        }


def counted(holds: Collection[Held]) -> dict[Key, int]:
    """Return what the open ones of some holds have in each counter, in micros."""
    by_day: dict[BudgetDay, int] = defaultdict(int)
    for hold in holds:
        if hold.state is Hold.State.OPEN:
            by_day[hold.budget_day] += hold.micros
    return counters.spread(by_day)


def close(holds: Sequence[Held], state: Hold.State, *, now: datetime, events: Mapping[int, str] | None = None) -> None:
    """Close holds whose rows and counters the caller has locked, and free what the open ones hold.

    events: for those that are settled, the id of the spend event that did it, by hold id.
    """
    if not holds:
        return
    rows = Rows(
        connection,
        {"id": "bigint", "event_id": "text"},
        [[hold.id for hold in holds], [(events or {}).get(hold.id, "") for hold in holds]],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE campaigns_hold SET state = %s, closed_at = %s, event_id = rows.event_id
            FROM {rows.sql} WHERE campaigns_hold.id = rows.id
            """,
            [int(state), adapt_moment(connection, now), *rows.params],
        )
    counters.hold({key: -micros for key, micros in counted(holds).items()})
