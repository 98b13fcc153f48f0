"""Recording spend: events in, ledger, counters and verdicts in one transaction.

The ledger's unique key is the dedupe: only what it took in is added to the counters, and only where that moved a
counter across a budget is anything judged, so that the cost of an event does not grow with its brand's campaigns.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from operator import attrgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import IntegrityError, connection, transaction

from campaigns.gateways import meters, nudges, traces
from campaigns.models import Campaign, Hold, StatusChange
from campaigns.models.rows import ColumnType, Rows, copy_if_all_new
from campaigns.rules import money, periods
from campaigns.rules.errors import BudgetError
from campaigns.rules.verdict import BudgetScope
from campaigns.services import closing, counters, enforcement, feed
from campaigns.services.closing import Held
from campaigns.services.counters import BudgetDay, Key
from campaigns.services.events import (
    KINDS,
    MAX_EVENT_ID,
    Entry,
    Known,
    Outcome,
    SpendEvent,
    SpendResult,
    accept,
    look_up,
)
from campaigns.services.status import Because, Change

__all__ = [
    "KINDS",
    "MAX_EVENTS",
    "MAX_EVENT_ID",
    "Outcome",
    "Receipt",
    "SpendEvent",
    "SpendResult",
    "log_spend",
    "record_spend",
    "settled_before",
]

MAX_EVENTS = 10_000
"""The most events one call records: one transaction, bounded in time and memory."""


class Receipt(NamedTuple):
    """The results in the order the events came in, and the status changes that the spend brought about."""

    results: list[SpendResult]
    changes: list[Change]

    def count(self, outcome: Outcome) -> int:
        """Return how many events had this outcome."""
        return sum(result.outcome is outcome for result in self.results)


def log_spend(
    *,
    campaign_id: int,
    amount: Decimal | str | int,
    now: datetime,
    timestamp: datetime | None = None,
    event_id: str | None = None,
    kind: str = "spend",
    note: str = "",
) -> SpendResult:
    """Record one event and judge what it changes. Without an event id it gets a new one, and so is always new.

    Raises BudgetError, with nothing recorded, when the event is rejected or its id was used for another event.
    """
    event = SpendEvent(
        event_id=uuid.uuid4().hex if event_id is None else event_id,
        campaign_id=campaign_id,
        amount=amount,
        timestamp=timestamp,
        kind=kind,
        note=note,
    )
    result = record_spend([event], now=now).results[0]
    meters.count_events("command", {result.outcome: 1})
    if result.outcome in (Outcome.REJECTED, Outcome.CONFLICT):
        raise BudgetError(result.detail)
    return result


def _counts(receipt: Receipt) -> dict[str, int]:
    """What is told of a batch in a trace."""
    return {"changes": len(receipt.changes), **Counter(result.outcome.value for result in receipt.results)}


@traces.around("record spend", _counts)
def record_spend(events: Sequence[SpendEvent], *, now: datetime) -> Receipt:
    """Record events and judge what they change, in one transaction; every event gets its own result.

    A bad event is rejected and the rest counts. An event that was recorded before is a duplicate, whoever sends it
    again; the same id with other content is a conflict. Raises BudgetError, with nothing recorded, for more than
    10,000 events or when a counter would overflow.
    """
    if len(events) > MAX_EVENTS:
        raise BudgetError(f"These are {len(events):,} events; send at most {MAX_EVENTS:,} at once.")
    began = time.monotonic()
    results, changes = _recorded(events, now)
    # Only settlements of one hold beside each other have to wait for what becomes of the first; at least that one is
    # known after each round.
    while late := [at for at, result in enumerate(results) if result is None]:
        later, more = _recorded([events[at] for at in late], now)
        for at, result in zip(late, later, strict=True):
            results[at] = result
        changes += more
    meters.observe_batch(time.monotonic() - began, changed=bool(changes))
    return Receipt([result for result in results if result is not None], changes)


_Results = list[SpendResult | None]


def _recorded(events: Sequence[SpendEvent], now: datetime) -> tuple[_Results, list[Change]]:
    try:
        return _record(events, now)
    except IntegrityError:
        # A campaign without spend was deleted after we had looked it up, or a month was closed for the archive. Nothing
        # is recorded; now the one is not found and the other is known.
        return _record(events, now, refused=True)


def _record(events: Sequence[SpendEvent], now: datetime, *, refused: bool = False) -> tuple[_Results, list[Change]]:
    results: _Results = [None] * len(events)
    known = look_up(events)
    entries, doubtful = accept(events, known, now, results, refused=refused)
    changes: list[Change] = []
    if doubtful:
        _explain_repeats(list(doubtful), results)
        for entry, why in doubtful.items():
            if results[entry.at] is None:
                results[entry.at] = SpendResult(entry.event_id, Outcome.REJECTED, why, "timestamp")
    if entries:
        with transaction.atomic():
            changes = _write(events, entries, known, now, results)
    return results, changes


def _write(
    events: Sequence[SpendEvent],
    entries: list[Entry],
    known: Known,
    now: datetime,
    results: list[SpendResult | None],
) -> list[Change]:
    """Write the entries within the caller's transaction and judge what they change; give each its result."""
    held = closing.lock({entry.hold_id for entry in entries if entry.hold_id is not None})
    if held:
        entries = _without_second_settlements(events, entries, held, results)
    if not entries:
        return []
    recorded = _insert(entries)
    for entry in recorded:
        results[entry.at] = SpendResult(entry.event_id, Outcome.RECORDED)
    transaction.on_commit(partial(meters.observe_lags, _lags(recorded)))
    _explain_repeats([entry for entry in entries if results[entry.at] is None], results)
    settled = _settled(entries, held, results) if held else {}
    if not (recorded or settled):
        return []
    holds = [held[hold_id] for hold_id in settled]
    by_day = _by_day(recorded)
    amounts = counters.spread(by_day)
    # What is freed may have been held on another day: its counters are locked along with the others, in one order.
    figures = counters.add(dict.fromkeys(closing.counted(holds), 0) | amounts)
    closing.close(holds, Hold.State.SETTLED, now=now, events=settled)
    zones = {home.brand_id: home.zone for home in known.homes()}
    return _judge_crossed(amounts, figures, by_day, zones, now)


def _lags(recorded: Sequence[Entry]) -> list[float]:
    """How many seconds before their recording some of the entries occurred."""
    some = recorded[:: -(-len(recorded) // meters.MOST_LAGS) or 1]
    return [(entry.recorded_at - entry.timestamp).total_seconds() for entry in some]


def _without_second_settlements(
    events: Sequence[SpendEvent],
    entries: Sequence[Entry],
    held: Mapping[int, Held],
    results: list[SpendResult | None],
) -> list[Entry]:
    """Leave out the entries that settle a hold only if no other event does, where another has or is about to.

    Where one has, they get their result; unless the ledger has them, they are refused. Where another of this call,
    sent before them, is about to, they get none yet: that one may come to nothing.
    """
    settled = {hold.id: hold.event_id for hold in held.values() if hold.state is Hold.State.SETTLED}
    first = settled.copy()
    late: set[Entry] = set()
    for entry in sorted(entries, key=attrgetter("at")):
        if entry.hold_id is not None:
            by = first.setdefault(entry.hold_id, entry.event_id)
            if by != entry.event_id and events[entry.at].settles_once:
                late.add(entry)
    refused = [entry for entry in late if entry.hold_id in settled]
    _explain_repeats(refused, results)
    for entry in refused:
        if results[entry.at] is None and entry.hold_id is not None:
            why = settled_before(entry.hold_id, settled[entry.hold_id])
            results[entry.at] = SpendResult(entry.event_id, Outcome.CONFLICT, why)
    return [entry for entry in entries if entry not in late]


def settled_before(hold_id: int, event_id: str) -> str:
    """Return the sentence for a hold that another event has settled."""
    return (
        f"Hold {hold_id} was settled by the event {event_id!r}; this one was not counted. "
        "Report further spend as a spend event of its own."
    )


def _settled(entries: Sequence[Entry], held: Mapping[int, Held], results: list[SpendResult | None]) -> dict[int, str]:
    """The holds that these entries settle, each with the first event that does.

    An event that was recorded before, without a word of the hold, settles it as well: its spend is counted. One that
    has settled another hold does not: two deliveries under one event id are a conflict.
    """
    settled: dict[int, str] = {}
    by_event = _holds_settled_by(entries)
    for entry in sorted(entries, key=attrgetter("at")):
        result = results[entry.at]
        counted = result is not None and result.outcome in (Outcome.RECORDED, Outcome.DUPLICATE)
        if not counted or entry.hold_id is None or held[entry.hold_id].state is Hold.State.SETTLED:
            continue
        other = by_event.setdefault((entry.brand_id, entry.event_id), entry.hold_id)
        if other == entry.hold_id:
            settled.setdefault(entry.hold_id, entry.event_id)
        else:
            results[entry.at] = SpendResult(entry.event_id, Outcome.CONFLICT, _settled_another(other))
    return settled


def _holds_settled_by(entries: Sequence[Entry]) -> dict[tuple[int, str], int]:
    """The holds that events of these ids have settled before."""
    named = [entry for entry in entries if entry.hold_id is not None]
    rows = Rows(
        connection,
        {"brand_id": "bigint", "event_id": "text"},
        [[entry.brand_id for entry in named], [entry.event_id for entry in named]],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT h.brand_id, h.event_id, h.id FROM {rows.sql} JOIN campaigns_hold h
            ON h.brand_id = rows.brand_id AND h.event_id = rows.event_id AND h.state = {Hold.State.SETTLED:d}
            """,
            rows.params,
        )
        return {(brand_id, event_id): hold_id for brand_id, event_id, hold_id in cursor.fetchall()}


def _settled_another(hold_id: int) -> str:
    return f"This event id has settled hold {hold_id} before; give this settlement an event id of its own."


_LEDGER: dict[str, ColumnType] = {
    "brand_id": "bigint",
    "event_id": "text",
    "campaign_id": "bigint",
    "kind": "smallint",
    "amount": "bigint",
    "timestamp": "timestamptz",
    "day": "date",
    "note": "text",
    "recorded_at": "timestamptz",
}
"""The columns of the ledger as an entry begins with them."""


def _insert(entries: Sequence[Entry]) -> list[Entry]:
    """Insert what the ledger does not have yet; return what it took in.

    The entries are sorted, so that two calls with the same events wait for each other instead of deadlocking.
    """
    first_of: dict[tuple[int, str], Entry] = {}
    for entry in entries:
        first_of.setdefault((entry.brand_id, entry.event_id), entry)
    first = list(first_of.values())
    # Nearly always all of a batch is new; then it goes in the fastest way there is. If not, nothing of it went in.
    if copy_if_all_new(connection, "campaigns_spendlog", _LEDGER, [entry[: len(_LEDGER)] for entry in first]):
        return first
    return [first_of[key] for key in _insert_new(first)]


def _insert_new(entries: Sequence[Entry]) -> list[tuple[int, str]]:
    rows = Rows(connection, _LEDGER, list(zip(*entries, strict=True))[: len(_LEDGER)])
    columns = ", ".join(_LEDGER)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_spendlog ({columns}) SELECT {columns} FROM {rows.sql} WHERE true
            ON CONFLICT (brand_id, event_id) DO NOTHING RETURNING brand_id, event_id
            """,
            rows.params,
        )
        return [(brand_id, event_id) for brand_id, event_id in cursor.fetchall()]


def _explain_repeats(entries: Sequence[Entry], results: list[SpendResult | None]) -> None:
    """Give a result to the events whose id the ledger had: a duplicate, or a conflict with what it has."""
    if not entries:
        return
    rows = Rows(
        connection,
        {
            "brand_id": "bigint",
            "event_id": "text",
            "campaign_id": "bigint",
            "kind": "smallint",
            "amount": "bigint",
            "timestamp": "timestamptz",
            "note": "text",
            "place": "bigint",
        },
        [
            [entry.brand_id for entry in entries],
            [entry.event_id for entry in entries],
            [entry.campaign_id for entry in entries],
            [entry.kind for entry in entries],
            [entry.micros for entry in entries],
            # An event that came without a time is the same event whenever it comes again.
            [entry.timestamp if entry.dated else None for entry in entries],
            [entry.note for entry in entries],
            [entry.at for entry in entries],
        ],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT rows.place, l.event_id, l.campaign_id, l.amount,
                l.campaign_id = rows.campaign_id AND l.kind = rows.kind AND l.amount = rows.amount
                AND l.note = rows.note AND (rows.timestamp IS NULL OR l.timestamp = rows.timestamp)
            FROM {rows.sql}
            JOIN campaigns_spendlog l ON l.brand_id = rows.brand_id AND l.event_id = rows.event_id
            """,
            rows.params,
        )
        for place, event_id, campaign_id, amount, same in cursor.fetchall():
            results[place] = _repeat(event_id, campaign_id, amount, same=bool(same))


def _repeat(event_id: str, campaign_id: int, amount: int, *, same: bool) -> SpendResult:
    if same:
        return SpendResult(event_id, Outcome.DUPLICATE, "This event was recorded before; it counts once.")
    return SpendResult(
        event_id,
        Outcome.CONFLICT,
        f"This event id was recorded before with other content ({money.to_text(amount)} for campaign {campaign_id}); "
        "this one was not counted. Send a new id, or an adjustment.",
    )


def _by_day(entries: Sequence[Entry]) -> dict[BudgetDay, int]:
    """What the entries add up to for each campaign and budget day, in micros."""
    sums: dict[BudgetDay, int] = defaultdict(int)
    for entry in entries:
        sums[BudgetDay(entry.brand_id, entry.campaign_id, entry.day)] += entry.micros
    return sums


def _judge_crossed(
    amounts: Mapping[Key, int],
    figures: Mapping[Key, int],
    days: Iterable[BudgetDay],
    zones: Mapping[int, ZoneInfo],
    now: datetime,
) -> list[Change]:
    """Judge the campaigns for which a counter of a current period has crossed a budget, up or down.

    The counters are locked by now, and whoever changes a budget locks them too: the budgets read here are the ones
    that the next spend will find. zones: of each brand.
    """
    lines = [_line(day, amounts, figures, periods.local_date(now, zones[day.brand_id])) for day in days]
    crossed = _crossed(lines) if lines else []
    if not crossed:
        return []
    transaction.on_commit(partial(nudges.nudge, nudges.LOOK))  # an alert need not wait for the next look
    campaign_ids = {campaign_id for campaign_id, _, _ in crossed}
    brand_ids = {brand_id for _, brand_id, brand_crossed in crossed if brand_crossed}
    if brand_ids:
        of_brands = Campaign.objects.filter(brand__in=brand_ids, archived_at=None)
        campaign_ids |= set(of_brands.order_by().values_list("pk", flat=True))
    because = Because(cause=StatusChange.Cause.SPEND)
    changes = enforcement.judge_campaigns(sorted(campaign_ids), now=now, because=because)
    if len(changes) < len(campaign_ids):
        _announce_again(crossed, {change.campaign_id for change in changes}, now)
    return changes


def _announce_again(crossed: Sequence[tuple[int, int, bool]], changed: set[int], now: datetime) -> None:
    """Tell the status feed of crossings that left a status as it was stored.

    After midnight and before the pass yesterday's reason is still stored. Spent again, the campaign has the same reason
    and no change of status, but it resumes a day later.
    """
    for brand_id in {brand_id for _, brand_id, of_brand in crossed if of_brand}:
        feed.announce(brand_id=brand_id, now=now)
    for campaign_id, brand_id, of_brand in crossed:
        if not of_brand and campaign_id not in changed:
            feed.announce(brand_id=brand_id, campaign_id=campaign_id, now=now)


def _line(
    day: BudgetDay, amounts: Mapping[Key, int], figures: Mapping[Key, int], today: date
) -> tuple[int | None, ...]:
    """A campaign with its five counters before and after; None for a counter of a day or month that is over."""
    is_today = day.day == today
    is_this_month = is_today or day.day.replace(day=1) == today.replace(day=1)
    current = (is_today, is_this_month, is_today, is_this_month, True)
    keys = [key if counts else None for key, counts in zip(day.counters(), current, strict=True)]
    after = [None if key is None else figures[key] for key in keys]
    before = [None if key is None else figures[key] - amounts[key] for key in keys]
    return (day.campaign_id, *before, *after)


# A counter that has crossed a budget; NULL, so no, where there is no budget or the counter is not a current one.
_CROSSED = "((rows.{counter}_before >= {budget}) <> (rows.{counter}_after >= {budget}))"
_BRAND_CROSSED = f"""
    b.budget_scope = '{BudgetScope.BRAND}' AND (
        {_CROSSED.format(counter="brand_day", budget="b.daily_budget")}
        OR {_CROSSED.format(counter="brand_month", budget="b.monthly_budget")})
"""
_CAMPAIGN_CROSSED = f"""
    {_CROSSED.format(counter="day", budget="c.daily_budget")}
    OR {_CROSSED.format(counter="month", budget="c.monthly_budget")}
    OR {_CROSSED.format(counter="total", budget="c.total_budget")}
    OR (b.budget_scope = '{BudgetScope.CAMPAIGN}' AND (
        {_CROSSED.format(counter="day", budget="b.daily_budget")}
        OR {_CROSSED.format(counter="month", budget="b.monthly_budget")}))
"""
_COUNTERS = ("brand_day", "brand_month", "day", "month", "total")
_LINE: dict[str, ColumnType] = {
    "id": "bigint",
    **{f"{counter}_{when}": "bigint" for when in ("before", "after") for counter in _COUNTERS},
}


def _crossed(lines: Sequence[tuple[int | None, ...]]) -> list[tuple[int, int, bool]]:
    """The campaigns with a crossed budget, with their brand and whether it is the brand's sum that crossed it."""
    rows = Rows(connection, _LINE, list(zip(*lines, strict=True)))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT c.id, c.brand_id, COALESCE({_BRAND_CROSSED}, false)
            FROM {rows.sql}
            JOIN campaigns_campaign c ON c.id = rows.id JOIN campaigns_brand b ON b.id = c.brand_id
            WHERE ({_BRAND_CROSSED}) OR {_CAMPAIGN_CROSSED}
            """,
            rows.params,
        )
        return [(campaign_id, brand_id, bool(crossed)) for campaign_id, brand_id, crossed in cursor.fetchall()]
