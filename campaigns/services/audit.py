"""The audit: recompute every counter from ledger and holds by a second path, report what differs, rebuild it.

Of months that have left the ledger, what they added up to stands for their rows (`services/archive.py`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import NamedTuple

from django.db import connection, transaction

from campaigns.models import BrandCounter, CampaignCounter, Hold, PeriodicRun, StatusChange
from campaigns.models.rows import as_date, literal, month_of, one_of
from campaigns.rules.periods import TOTAL_START, Period
from campaigns.services import counters, enforcement, runs
from campaigns.services.counters import BRAND, Key
from campaigns.services.runs import Outcome
from campaigns.services.status import Because

BATCH = 1_000
"""Counters repaired in one transaction."""


class Figure(enum.StrEnum):
    """The two figures of a counter: what was spent, and what is held."""

    SPENT = "spent"
    HELD = "held"


class Difference(NamedTuple):
    """A counter that is not the sum of its ledger rows, or of its open holds, in micros.

    campaign_id is 0 for the brand's own counter.
    """

    figure: Figure
    brand_id: int
    campaign_id: int
    period: Period
    start: date
    counted: int
    ledger: int


def check_ledger(*, brand_ids: Sequence[int] | None = None) -> list[Difference]:
    """Return every counter, of some brands or of all, that differs from the sum of its ledger rows or open holds.

    One statement for each of the two figures, so one snapshot: what is being recorded meanwhile is in both sums or in
    neither.
    """
    return [difference for figure in Figure for difference in _differences(figure, brand_ids)]


def run_check(*, now: datetime) -> list[Difference]:
    """Check all counters and record the run: how many there are and how many differ. Return these; repair nothing."""
    found: list[Difference] = []

    def check() -> Outcome:
        found.extend(check_ledger())
        return Outcome(judged=count_counters(), changed=len(found))

    runs.recorded(PeriodicRun.Task.CHECK_LEDGER, check, now=now)
    return found


def count_counters() -> int:
    """Return how many counters there are, of brands and of campaigns."""
    return BrandCounter.objects.count() + CampaignCounter.objects.count()


_ROWS = {
    Figure.SPENT: "FROM campaigns_spendlog WHERE true",
    Figure.HELD: f"FROM campaigns_hold WHERE state = {Hold.State.OPEN:d}",
}

# What has left the ledger is what it added up to, from the commit on that sealed its month. Rows of such a month that
# are still there, since removing them takes many transactions, don't count. Asked of the sums and not of each row.
_STAYED = {
    Figure.SPENT: "HAVING {month} NOT IN (SELECT month FROM campaigns_ledgerarchive WHERE sealed_at IS NOT NULL)",
    Figure.HELD: "",
}
_LEFT = {
    Figure.SPENT: "UNION ALL SELECT brand_id, campaign_id, day, amount FROM campaigns_archivedspend WHERE {only}",
    Figure.HELD: "",
}


def _differences(figure: Figure, brand_ids: Sequence[int] | None) -> list[Difference]:
    # A brand's day sums its ledger rows, not its campaigns' counters: no figure is checked against a copy of itself.
    month, total = month_of(connection, "day"), literal(connection, TOTAL_START)
    only, ids = ("true", None) if brand_ids is None else one_of(connection, "brand_id", brand_ids)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH per_day AS MATERIALIZED (
                SELECT brand_id, campaign_id, day, SUM(amount) AS amount
                {_ROWS[figure]} AND {only} GROUP BY brand_id, campaign_id, day {_STAYED[figure].format(month=month)}
                {_LEFT[figure].format(only=only)}
            ), figures AS (
                SELECT brand_id, {BRAND} AS campaign_id, {Period.DAY:d} AS period, day AS start,
                    amount AS ledger, 0 AS counted FROM per_day
                UNION ALL SELECT brand_id, {BRAND}, {Period.MONTH:d}, {month}, amount, 0 FROM per_day
                UNION ALL SELECT brand_id, campaign_id, {Period.DAY:d}, day, amount, 0 FROM per_day
                UNION ALL SELECT brand_id, campaign_id, {Period.MONTH:d}, {month}, amount, 0 FROM per_day
                UNION ALL SELECT brand_id, campaign_id, {Period.TOTAL:d}, {total}, amount, 0 FROM per_day
                UNION ALL SELECT brand_id, {BRAND}, period, start, 0, {figure}
                FROM campaigns_brandcounter WHERE {only}
                UNION ALL SELECT brand_id, campaign_id, period, start, 0, {figure}
                FROM campaigns_campaigncounter WHERE {only}
            )
            SELECT brand_id, campaign_id, period, start, SUM(counted), SUM(ledger) FROM figures
            GROUP BY brand_id, campaign_id, period, start HAVING SUM(counted) <> SUM(ledger)
            ORDER BY brand_id, campaign_id, period, start
            """,
            [] if ids is None else [ids] * (4 if _LEFT[figure] else 3),
        )
        return [
            Difference(figure, brand_id, campaign_id, Period(period), as_date(start), int(counted), int(ledger))
            for brand_id, campaign_id, period, start, counted, ledger in cursor.fetchall()
        ]


def repair_ledger(*, now: datetime) -> list[Difference]:
    """Rebuild the counters that differ from the ledger and judge their campaigns; return what differed."""
    differences = check_ledger()
    for batch in _batches(differences):
        with transaction.atomic():
            # With the counters locked their ledger rows and holds stand still: whoever records takes these locks
            # before its commit. So what differs now is what is wrong, whatever was recorded since the first look.
            counters.add({_key(d): 0 for d in batch})
            wrong = {(d.figure, _key(d)) for d in batch}
            brands = sorted({d.brand_id for d in batch})
            found = [d for d in check_ledger(brand_ids=brands) if (d.figure, _key(d)) in wrong]
            counters.add({_key(d): d.ledger - d.counted for d in found if d.figure is Figure.SPENT})
            counters.hold({_key(d): d.ledger - d.counted for d in found if d.figure is Figure.HELD})
            because = Because(cause=StatusChange.Cause.REPAIR)
            enforcement.judge_brands(brands, now=now, because=because)
    return differences


def _key(difference: Difference) -> Key:
    return Key(difference.brand_id, difference.campaign_id, difference.period, difference.start)


def _batches(differences: Sequence[Difference]) -> Iterator[Sequence[Difference]]:
    for first in range(0, len(differences), BATCH):
        yield differences[first : first + BATCH]
