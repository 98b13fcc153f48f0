"""Roll-over: a brand's new budget day or month begins at its own midnight.

There is nothing to reset: the counters of the new period are new rows. What a roll-over does is judge the campaigns
whose day or month has turned and record that it has. It may run late, twice or never; the totals are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from django.db import connection

from campaigns.models import PeriodicRun, StatusChange
from campaigns.models.fields import adapt_moment
from campaigns.models.figures import Campaigns, local_nows, zone_rows
from campaigns.models.rows import Rows, as_date
from campaigns.rules.periods import Period
from campaigns.services import bulk, enforcement, runs
from campaigns.services.runs import Outcome
from campaigns.services.status import Because

BATCH = 1_000
"""Brands rolled over at once."""


def reset_daily_budgets(*, now: datetime) -> Outcome:
    """Judge the campaigns of every brand whose budget day has turned since its last roll-over, and record it."""
    runs.forget_old(now=now)
    return runs.recorded(PeriodicRun.Task.RESET_DAILY, lambda: _roll_over(Period.DAY, now), now=now)


def reset_monthly_budgets(*, now: datetime) -> Outcome:
    """Judge the campaigns of every brand whose budget month has turned since its last roll-over, and record it."""
    return runs.recorded(PeriodicRun.Task.RESET_MONTHLY, lambda: _roll_over(Period.MONTH, now), now=now)


def _roll_over(period: Period, now: datetime) -> Outcome:
    judged = changed = 0
    because = Because(cause=StatusChange.Cause.ROLL_OVER)
    for turned in _turned(period, now):
        brand_ids = [brand_id for brand_id, _ in turned]
        if period is Period.DAY:
            bulk.share_months(brand_ids, now=now)  # before the day's verdicts
        brands = Campaigns.of_brands(connection, brand_ids)
        outcome = enforcement.judge_in_batches(brands, now=now, because=because)
        # Recorded only after the judging: a run killed in between is done again, and judging twice changes nothing.
        _record(period, turned, now)
        judged += outcome.judged
        changed += outcome.changed
    return Outcome(judged=judged, changed=changed)


def _turned(period: Period, now: datetime) -> Iterator[list[tuple[int, date]]]:
    """The brands with the start of their current period, where no roll-over to it is recorded, in batches."""
    zones = zone_rows(connection, local_nows(connection, now))
    start = "z.day" if period is Period.DAY else "z.month"
    after = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT b.id, {start} FROM campaigns_brand b JOIN (SELECT * FROM {zones.sql}) z ON z.zone = b.timezone
                WHERE b.id > %s AND b.archived_at IS NULL AND NOT EXISTS (
                    SELECT 1 FROM campaigns_rollover r WHERE r.brand_id = b.id AND r.period = %s AND r.start = {start}
                )
                ORDER BY b.id LIMIT %s
                """,
                [*zones.params, after, int(period), BATCH],
            )
            turned = [(brand_id, as_date(day)) for brand_id, day in cursor.fetchall()]
        if not turned:
            return
        yield turned
        after = turned[-1][0]


def _record(period: Period, turned: list[tuple[int, date]], now: datetime) -> None:
    rows = Rows(
        connection,
        {"brand_id": "bigint", "start": "date"},
        [[brand_id for brand_id, _ in turned], [start for _, start in turned]],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_rollover (brand_id, period, start, at)
            SELECT brand_id, %s, start, %s FROM {rows.sql} WHERE true
            ON CONFLICT (brand_id, period, start) DO NOTHING
            """,
            [int(period), adapt_moment(connection, now), *rows.params],
        )
