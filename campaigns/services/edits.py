"""The record of edits: what was set on a brand or a campaign, by whom, from which value to which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from campaigns.models import Edit
from campaigns.rules import money
from campaigns.services.status import Actor

Changes = Mapping[str, tuple[Any, Any]]
"""Field names, each to its value before and after."""


class Edited(NamedTuple):
    """One brand (campaign_id None) or campaign, and what was set on it."""

    brand_id: int
    campaign_id: int | None
    verb: Edit.Verb
    changes: Changes


def record(
    *,
    brand_id: int,
    campaign_id: int | None = None,
    verb: Edit.Verb,
    changes: Changes | None = None,
    now: datetime,
    by: Actor,
) -> None:
    """Write one edit down, within the transaction that makes it."""
    record_all([Edited(brand_id, campaign_id, verb, changes or {})], now=now, by=by)


def record_all(edited: Iterable[Edited], *, now: datetime, by: Actor) -> None:
    """Write edits down, within the transaction that makes them, in one statement for every thousand (SQLite: 142)."""
    rows = (
        Edit(
            brand_id=brand_id,
            campaign_id=campaign_id,
            at=now,
            verb=verb,
            changes={name: [_as_text(was), _as_text(became)] for name, (was, became) in changes.items()},
            actor_id=by.user_id,
            api_key_id=by.api_key_id,
        )
        for brand_id, campaign_id, verb, changes in edited
    )
    Edit.objects.bulk_create(rows, batch_size=1_000)


def _as_text(value: Any) -> str | None:
    """A value as the record keeps it: money as a plain decimal, days as ISO 8601, zones by their names."""
    match value:
        case None:
            return None
        case Decimal():
            return money.to_text(money.to_micros(value))
        case ZoneInfo():
            return value.key
        case date():
            return value.isoformat()
        case _:
            return str(value)
