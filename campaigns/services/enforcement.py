"""Enforcement: judge one campaign, a brand's, or all of them, and write only what changed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from django.db import connection, transaction

from campaigns.models import Campaign, DaypartingSchedule, PeriodicRun, StatusChange
from campaigns.models.figures import Campaigns
from campaigns.rules.errors import BudgetError
from campaigns.services import runs, status
from campaigns.services.runs import Outcome
from campaigns.services.status import Because, Change

BATCH = 50_000
"""Campaigns looked at in one statement and changed in one transaction by a periodic pass."""


SIDE_BY_SIDE = 2
"""Batches that are judged at the same time, each on a connection of its own."""

_Batch = tuple[Campaigns, int]
"""Some campaigns and how many they are."""


def enforce_budget(*, campaign_id: int, now: datetime) -> Change | None:
    """Judge one campaign at `now`; return its change, or None if its status stands.

    Raises BudgetError if there is no such campaign.
    """
    with transaction.atomic():
        if not Campaign.objects.filter(pk=campaign_id).exists():
            raise BudgetError(f"There is no campaign {campaign_id}.")
        changes = judge_campaigns([campaign_id], now=now, because=Because(cause=StatusChange.Cause.PASS))
    return changes[0] if changes else None


def is_within_dayparting(*, campaign: Campaign, now: datetime) -> bool:
    """Return whether the campaign's schedule lets it spend at `now`; a campaign without a schedule always may."""
    schedule = DaypartingSchedule.objects.filter(campaign=campaign).first()
    return schedule is None or schedule.as_rule().allows(now, campaign.brand.timezone)


def judge_campaigns(campaign_ids: list[int], *, now: datetime, because: Because) -> list[Change]:
    """Judge some campaigns within the caller's transaction, after its counter locks."""
    return status.judge(Campaigns.with_ids(connection, campaign_ids), now=now, because=because)


def judge_brands(brand_ids: list[int], *, now: datetime, because: Because) -> list[Change]:
    """Judge all campaigns of some brands within the caller's transaction, after its counter locks."""
    return status.judge(Campaigns.of_brands(connection, brand_ids), now=now, because=because)


def enforce_all(*, now: datetime) -> Outcome:
    """Judge every campaign at `now`: the periodic pass, for what time alone changes.

    Reads without locks in batches of 50,000; only the campaigns whose status differs are locked, judged again and
    written, one transaction per batch. Two passes at once, or one twice, write nothing twice.
    """
    because = Because(cause=StatusChange.Cause.PASS)
    return runs.recorded(
        PeriodicRun.Task.ENFORCE,
        lambda: judge_in_batches(Campaigns.everywhere(), now=now, because=because),
        now=now,
    )


def judge_in_batches(campaigns: Campaigns, *, now: datetime, because: Because) -> Outcome:
    """Judge any number of campaigns in bounded transactions of its own, several of them side by side.

    PostgreSQL does a connection's work on one core; the batches share no row, so that two connections halve the time.
    Within somebody's transaction, and on SQLite with its one writer, they come one after the other.
    """
    batches = _batches(campaigns)
    first = list(itertools.islice(batches, 2))
    todo = itertools.chain(first, batches)
    judge = partial(_judge_batch, now=now, because=because)
    if len(first) < 2 or connection.vendor != "postgresql" or connection.in_atomic_block:
        judged = [judge(batch) for batch in todo]
    else:
        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="judge") as threads:
            judged = list(threads.map(partial(_in_a_thread, judge), todo))
    return Outcome(judged=sum(size for size, _ in judged), changed=sum(changed for _, changed in judged))


def _judge_batch(batch: _Batch, *, now: datetime, because: Because) -> tuple[int, int]:
    """Judge a batch; return how many campaigns it has and how many changed."""
    campaigns, size = batch
    stale = status.find_stale(campaigns, now=now)
    if not stale:
        return size, 0
    known = Campaigns.with_ids(connection, stale).within(stale[0] - 1, stale[-1])
    with transaction.atomic():
        return size, len(status.judge(known, now=now, because=because))


def _in_a_thread(judge: Callable[[_Batch], tuple[int, int]], batch: _Batch) -> tuple[int, int]:
    try:
        return judge(batch)
    finally:
        connection.close()  # the thread's own


def _batches(campaigns: Campaigns) -> Iterator[_Batch]:
    """Split campaigns into id ranges of at most BATCH."""
    after = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT max(id), count(*) FROM (
                    SELECT c.id FROM campaigns_campaign c
                    WHERE c.id > %s AND c.archived_at IS NULL AND {campaigns.condition} ORDER BY c.id LIMIT %s
                ) batch
                """,
                [after, *campaigns.params, BATCH],
            )
            last, size = cursor.fetchone()
        if not size:
            return
        yield campaigns.within(after, last), size
        after = last
