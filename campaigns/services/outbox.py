"""The outbox: an alert is written together with a delivery to each channel that gets it, or not at all.

The alert's key is the dedupe: of any number of processes that find the same thing, one writes it.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from campaigns.gateways import nudges
from campaigns.models import Channel, Delivery
from campaigns.models.fields import adapt_moment
from campaigns.models.rows import Rows, one_of
from campaigns.rules import alerts
from campaigns.rules.alerts import Kind

BATCH = 1_000
"""Alerts that are written in one transaction."""

MAX_KEY = 128


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Something to be told once. key: what makes it the same thing, within its brand.

    threshold: percent, where it is about a share. data: what the message says in figures; JSON can carry it.
    """

    kind: Kind
    key: str
    message: str
    data: Mapping[str, Any]
    brand_id: int | None = None
    campaign_id: int | None = None
    threshold: int = 0


def write(drafts: Sequence[Draft], *, now: datetime, only_to: int | None = None) -> list[int]:
    """Write what was not told before, each with its deliveries; return the ids of the alerts that are new.

    only_to: the one channel that it goes to. In transactions of its own, of at most 1,000 alerts each, unless the
    caller has one.
    """
    new: list[int] = []
    for first in range(0, len(drafts), BATCH):
        with transaction.atomic():
            found = _insert(drafts[first : first + BATCH], now)
            if found and _send_out(found, now, only_to):
                transaction.on_commit(partial(nudges.nudge, nudges.DELIVER))
        new += found
    return new


def payload(draft: Draft, uid: str, now: datetime) -> str:
    """Return what a webhook is sent: the text itself is kept, since it is signed to the byte."""
    return json.dumps(
        {
            "type": alerts.EVENTS[draft.kind],
            "timestamp": now.astimezone(UTC).isoformat(timespec="seconds"),
            "data": {"id": uid, "message": draft.message, **draft.data},
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _insert(drafts: Sequence[Draft], now: datetime) -> list[int]:
    uids = [f"msg_{uuid.uuid4().hex[:28]}" for _ in drafts]
    rows = Rows(
        connection,
        {
            "uid": "text",
            "kind": "smallint",
            "brand_id": "bigint",
            "campaign_id": "bigint",
            "key": "text",
            "threshold": "smallint",
            "message": "text",
            "payload": "text",
        },
        [
            uids,
            [int(draft.kind) for draft in drafts],
            [draft.brand_id for draft in drafts],
            [draft.campaign_id for draft in drafts],
            [draft.key[:MAX_KEY] for draft in drafts],
            [draft.threshold for draft in drafts],
            [draft.message for draft in drafts],
            [payload(draft, uid, now) for draft, uid in zip(drafts, uids, strict=True)],
        ],
    )
    columns = "uid, kind, brand_id, campaign_id, key, threshold, message, payload"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_alert ({columns}, at) SELECT {columns}, %s FROM {rows.sql} WHERE true
            ON CONFLICT DO NOTHING RETURNING id
            """,
            [adapt_moment(connection, now), *rows.params],
        )
        return [alert_id for (alert_id,) in cursor.fetchall()]


def _send_out(alert_ids: Collection[int], now: datetime, only_to: int | None) -> int:
    """Put alerts on their way to every channel that gets them; return how many deliveries that is."""
    these, ids = one_of(connection, "a.id", sorted(alert_ids))
    gets = "c.id = %s" if only_to else "(c.brand_id IS NULL OR c.brand_id = a.brand_id) AND (c.kinds & a.kind) <> 0"
    at = adapt_moment(connection, now)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_delivery (alert_id, channel_id, state, attempts, made_at, due_at)
            SELECT a.id, c.id, {Delivery.State.WAITING:d}, 0, %s, %s
            FROM campaigns_alert a JOIN campaigns_channel c ON {gets}
            WHERE {these} AND c.state = {Channel.State.ON:d}
            ON CONFLICT DO NOTHING
            """,
            [at, at, *([only_to] if only_to else []), ids],
        )
        return int(cursor.rowcount)
