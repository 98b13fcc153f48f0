"""The sole writer of campaign status: judges campaigns as a set, writes what changed, journals every change.

The verdict is `rules/verdict.py` as one SQL expression. It is judged in the database because it judges any number
of campaigns there in one statement; `tests/services/test_one_verdict.py` holds the two against each other.

Whoever writes a status locks the campaign rows first and judges in a later statement, whose snapshot is taken with
the locks held. So a verdict that was reached before another transaction's change can't overwrite the one after it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from campaigns.models import StatusChange, feed
from campaigns.models.fields import adapt_moment
from campaigns.models.figures import Campaigns, figures
from campaigns.models.rows import Rows, for_update
from campaigns.rules import reasons
from campaigns.rules.reasons import Reason
from campaigns.services import runs


class Change(NamedTuple):
    """A status that was changed: the journal row's id, the campaign, and its reasons before and after."""

    id: int
    campaign_id: int
    was: Reason
    now: Reason


class Actor(NamedTuple):
    """Who changes something: a person by user id, or an API key by its id."""

    user_id: int | None = None
    api_key_id: int | None = None


NOBODY = Actor()
"""The product itself, or somebody at its shell."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Because:
    """Why campaigns are judged: the cause that is journaled, and who did it with which note."""

    cause: StatusChange.Cause
    by: Actor = NOBODY
    note: str = ""


# `spent >= budget` pauses; a budget of 0 is always spent, also below zero after an adjustment; NULL is no limit.
def _spent_bit(spent: str, budget: str, reason: Reason) -> str:
    return f"(CASE WHEN {spent} >= {budget} OR {budget} = 0 THEN {reason:d} ELSE 0 END)"


# A brand's budgets bind the sum of its campaigns, or each campaign alone.
_BRAND_DAILY = "(CASE WHEN f.budget_scope = 'campaign' THEN f.campaign_daily_spent ELSE f.brand_daily_spent END)"
_BRAND_MONTHLY = "(CASE WHEN f.budget_scope = 'campaign' THEN f.campaign_monthly_spent ELSE f.brand_monthly_spent END)"

# A window that runs past midnight belongs to the weekday it began on: after midnight yesterday's bit decides.
_TODAY = "((f.weekdays >> f.weekday) & 1) = 1"
# The doubled % is one % once parameters have been put in.
_YESTERDAY = "((f.weekdays >> ((f.weekday + 6) %% 7)) & 1) = 1"
_OPEN = f"""
    CASE WHEN f.grid IS NOT NULL THEN substr(f.grid, f.weekday * 24 + f.hour + 1, 1) = '1'
         WHEN f.start_hour < f.end_hour THEN f.hour >= f.start_hour AND f.hour < f.end_hour AND {_TODAY}
         ELSE (f.hour >= f.start_hour AND {_TODAY}) OR (f.hour < f.end_hour AND {_YESTERDAY}) END
"""

VERDICT = " | ".join(
    [
        f"(CASE WHEN f.paused_manually THEN {Reason.MANUAL:d} ELSE 0 END)",
        _spent_bit(_BRAND_DAILY, "f.brand_daily_budget", Reason.BRAND_DAILY_BUDGET),
        _spent_bit(_BRAND_MONTHLY, "f.brand_monthly_budget", Reason.BRAND_MONTHLY_BUDGET),
        _spent_bit("f.campaign_daily_spent", "f.campaign_daily_budget", Reason.CAMPAIGN_DAILY_BUDGET),
        _spent_bit("f.campaign_monthly_spent", "f.campaign_monthly_budget", Reason.CAMPAIGN_MONTHLY_BUDGET),
        _spent_bit("f.campaign_total_spent", "f.campaign_total_budget", Reason.CAMPAIGN_TOTAL_BUDGET),
        f"(CASE WHEN f.schedule_id IS NULL THEN 0 WHEN ({_OPEN}) THEN 0 ELSE {Reason.SCHEDULE:d} END)",
        f"(CASE WHEN f.day < f.flight_start THEN {Reason.NOT_STARTED:d} ELSE 0 END)",
        f"(CASE WHEN f.day > f.flight_end THEN {Reason.ENDED:d} ELSE 0 END)",
    ]
)
"""The set of pause reasons of a row `f` of figures, as SQL."""

_FIGURES = (
    "brand_daily_spent, brand_daily_budget, brand_monthly_spent, brand_monthly_budget, "
    "campaign_daily_spent, campaign_daily_budget, campaign_monthly_spent, campaign_monthly_budget, "
    "campaign_total_spent, campaign_total_budget"
)


def judge(campaigns: Campaigns, *, now: datetime, because: Because) -> list[Change]:
    """Judge the campaigns at `now` and write every status that differs; return the changes in campaign order.

    Judged at the start of the last periodic run instead, if that was a moment later: no verdict is older than one
    that was given before. Takes the campaigns' row locks in ascending id order; inside a transaction, after any
    counter locks.
    """
    lock(campaigns)
    now = runs.not_before_the_last_run(now)
    changes = _journal(campaigns, now, because)
    _store(changes, now)
    return changes


def lock(campaigns: Campaigns) -> None:
    """Lock the rows of campaigns in ascending id order, within the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT count(*) FROM (
                SELECT c.id FROM campaigns_campaign c WHERE {campaigns.condition} ORDER BY c.id{for_update(connection)}
            ) locked
            """,
            campaigns.params,
        )


def find_stale(campaigns: Campaigns, *, now: datetime) -> list[int]:
    """Return the ids of the campaigns whose stored status is not their verdict at `now`. Locks and writes nothing."""
    sql, params = figures(connection, campaigns, now)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT f.campaign_id FROM ({sql}) f WHERE f.reasons <> ({VERDICT}) ORDER BY 1", params)
        return [row[0] for row in cursor.fetchall()]


def _journal(campaigns: Campaigns, now: datetime, because: Because) -> list[Change]:
    sql, params = figures(connection, campaigns, now)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_statuschange
              (campaign_id, brand_id, at, from_reasons, to_reasons, cause, actor_id, api_key_id, note, transaction_id,
               {_FIGURES})
            SELECT campaign_id, brand_id, %s, reasons, verdict, %s, %s, %s, %s, {feed.transaction_id(connection)},
              {_FIGURES}
            FROM (SELECT f.*, {VERDICT} AS verdict FROM ({sql}) f) judged
            WHERE verdict <> reasons ORDER BY campaign_id
            RETURNING id, campaign_id, from_reasons, to_reasons
            """,
            [
                adapt_moment(connection, now),
                because.cause.value,
                because.by.user_id,
                because.by.api_key_id,
                because.note,
                *params,
            ],
        )
        return [Change(row[0], row[1], reasons.of(row[2]), reasons.of(row[3])) for row in cursor.fetchall()]


def _store(changes: Sequence[Change], now: datetime) -> None:
    if not changes:
        return
    rows = Rows(
        connection,
        {"id": "bigint", "reasons": "smallint"},
        [[change.campaign_id for change in changes], [int(change.now) for change in changes]],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE campaigns_campaign SET reasons = rows.reasons, is_active = (rows.reasons = 0), status_changed_at = %s
            FROM {rows.sql} WHERE campaigns_campaign.id = rows.id
            """,
            [adapt_moment(connection, now), *rows.params],
        )
