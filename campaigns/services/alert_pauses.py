"""Pauses and resumptions, out of the journal of status changes: none is missed and none is told twice.

What one event did to many campaigns of a brand is one alert with their number and the first names.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from campaigns.models import JournalPosition, feed
from campaigns.models.feed import PositionError, Since
from campaigns.models.rows import Rows
from campaigns.queries.alert_rules import Rules
from campaigns.rules import reasons
from campaigns.rules.alerts import Kind
from campaigns.rules.reasons import Reason
from campaigns.services import outbox
from campaigns.services.outbox import Draft

logger = logging.getLogger(__name__)

NAMED = 5
"""Campaigns that an alert about many names."""


class Told(NamedTuple):
    """One of the first campaigns of a group that was paused or resumed for the same reasons."""

    kind: Kind
    brand_id: int
    why: Reason
    number: int
    first_id: int
    change_id: int
    campaign_id: int
    campaign: str | None
    at: datetime | str
    brand: str | None
    zone: str | None


def tell_of_pauses(rules: Rules, *, now: datetime) -> int:
    """Tell of what the journal has had since the last look, and move the position along, in one transaction.

    Whoever comes second waits for the row and finds the position moved.
    """
    with transaction.atomic():
        JournalPosition.objects.get_or_create(pk=1)
        row = JournalPosition.objects.select_for_update().get(pk=1)
        position = feed.position(connection)
        told = 0
        since = _since(row.position, position)
        if since is not None:
            drafts = [draft for kind in (Kind.PAUSED, Kind.RESUMED) for draft in _groups(rules, kind, since)]
            told = len(outbox.write(drafts, now=now))
        if row.position != position:
            row.position = position
            row.save(update_fields=["position"])
    return told


def _since(seen: str, position: str) -> Since | None:
    """What tells the rows of the journal that came after one position and up to another; None to tell nothing.

    What is told here is told once, so that it has to end where the next look begins. A database that was restarted goes
    on with its numbers: its former snapshots still hold. After a restore they may not, and the look begins anew.
    """
    if not seen:
        return None
    try:
        since = feed.since(connection, _of_this_run(seen, position))
    except PositionError:
        logger.warning("The journal is another than at the last look; pauses and resumptions in between are not told.")
        return None
    if connection.vendor != "postgresql":
        return Since(f"{since.condition} AND transaction_id <= %s", (*since.params, int(position)))
    snapshot = position.partition("/")[2]
    upto = "pg_visible_in_snapshot(transaction_id::text::xid8, %s::pg_snapshot)"
    return Since(f"{since.condition} AND {upto}", (*since.params, snapshot))


def _of_this_run(seen: str, position: str) -> str:
    """A position as the server would have given it had it not been restarted since."""
    run, slash, _ = position.partition("/")
    return f"{run}/{seen.partition('/')[2]}" if slash else seen


def _groups(rules: Rules, kind: Kind, since: Since) -> list[Draft]:
    """What is to be told of pauses, or of resumptions: one alert for each brand and set of reasons."""
    of_all, brands, campaigns = rules.masks(kind)
    if not (of_all or any(mask for _, mask in (*brands, *campaigns))):
        return []
    rows = _changes(kind, of_all, brands, campaigns, since)
    groups = itertools.groupby(rows, key=lambda row: (row.brand_id, row.why))
    return [_of_group(list(group)) for _, group in groups]


def _changes(
    kind: Kind,
    of_all: int,
    brands: Sequence[tuple[int, int]],
    campaigns: Sequence[tuple[int, int]],
    since: Since,
) -> list[Told]:
    """The first campaigns of each group, with how many there are."""
    was, why = ("s.from_reasons", "s.to_reasons") if kind is Kind.PAUSED else ("s.to_reasons", "s.from_reasons")
    of_brands, of_campaigns = _mask_rows(brands), _mask_rows(campaigns)
    group = "OVER (PARTITION BY t.brand_id, t.why"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH told AS (
                SELECT s.id, s.brand_id, s.campaign_id, s.at, {why} AS why
                FROM (SELECT * FROM campaigns_statuschange WHERE {since.condition}) s
                LEFT JOIN (SELECT * FROM {of_campaigns.sql}) rc ON rc.owner = s.campaign_id
                LEFT JOIN (SELECT * FROM {of_brands.sql}) rb ON rb.owner = s.brand_id
                WHERE {was} = 0 AND ({why} & COALESCE(rc.mask, rb.mask, %s)) <> 0
            ), placed AS (
                SELECT t.*, count(*) {group}) AS number, min(t.id) {group}) AS first_id,
                    row_number() {group} ORDER BY t.id) AS place FROM told t
            )
            SELECT p.brand_id, p.why, p.number, p.first_id, p.id, p.campaign_id, c.name, p.at, b.name, b.timezone
            FROM placed p LEFT JOIN campaigns_brand b ON b.id = p.brand_id
            LEFT JOIN campaigns_campaign c ON c.id = p.campaign_id
            WHERE p.place <= {NAMED} ORDER BY p.brand_id, p.why, p.id
            """,
            [*since.params, *of_campaigns.params, *of_brands.params, of_all],
        )
        return [Told(kind, brand, reasons.of(why_), *rest) for brand, why_, *rest in cursor.fetchall()]


def _mask_rows(masks: Sequence[tuple[int, int]]) -> Rows:
    columns = [[owner for owner, _ in masks], [mask for _, mask in masks]]
    return Rows(connection, {"owner": "bigint", "mask": "smallint"}, columns)


def _of_group(rows: Sequence[Told]) -> Draft:
    first = rows[0]
    named = [row.campaign or f"campaign {row.campaign_id}" for row in rows]
    which = _listed(named, first.number - len(named))
    brand = first.brand or f"brand {first.brand_id}"
    which = f"{first.number:,} campaigns of {brand} ({which})" if first.number > 1 else f"{which} ({brand})"
    verb, why = ("paused", "") if first.kind is Kind.PAUSED else ("resumed", "was ")
    were = "were" if first.number > 1 else "was"
    message = f"{which} {were} {verb}: {why}{reasons.in_words(first.why)}."
    data = {
        "brand": {"id": first.brand_id, "name": first.brand},
        "campaign": {"id": first.campaign_id, "name": first.campaign} if first.number == 1 else None,
        "campaigns": first.number,
        "first_campaigns": [{"id": row.campaign_id, "name": row.campaign} for row in rows],
        "reasons": reasons.codes(first.why),
        "time_zone": first.zone,
        "at": _local(first.at, first.zone),
    }
    return Draft(
        kind=first.kind,
        key=f"{verb}.{first.first_id}",
        message=message,
        data=data,
        brand_id=first.brand_id,
        campaign_id=first.campaign_id if first.number == 1 else None,
    )


def _listed(names: Sequence[str], more: int) -> str:
    parts = [*names, f"{more:,} more"] if more else list(names)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _local(at: datetime | str, zone: str | None) -> str:
    """A moment on the brand's clock; SQLite gives it as text, in UTC."""
    moment = datetime.fromisoformat(f"{at}+00:00") if isinstance(at, str) else at
    return moment.astimezone(ZoneInfo(zone or "UTC")).isoformat(timespec="seconds")
