"""Recording spend: events in, ledger, counters and verdicts in one transaction.

The ledger's unique key is the dedupe: only what it took in is added to the counters, and only where that moved a
counter across a budget is anything judged, so that the cost of an event does not grow with its brand's campaigns.
"""

from __future__ import annotations

import enum
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from campaigns.models import Campaign, SpendLog, StatusChange
from campaigns.models.rows import ColumnType, Rows, copy_if_all_new
from campaigns.rules import money, periods
from campaigns.rules.errors import BudgetError
from campaigns.rules.periods import Period
from campaigns.rules.texts import TextError, check_note
from campaigns.rules.verdict import BudgetScope
from campaigns.services import counters, enforcement
from campaigns.services.counters import BRAND, Key
from campaigns.services.status import Because, Change

MAX_EVENTS = 10_000
"""The most events one call records: one transaction, bounded in time and memory."""

MAX_EVENT_ID = 128
_MAX_ID = 2**63 - 1
_MAX_SHOWN = 10**30
_FIRST_YEAR = 1970  # before it nothing was ever recorded, and calendars end somewhere

KINDS = {"spend": SpendLog.Kind.SPEND, "adjustment": SpendLog.Kind.ADJUSTMENT}
"""The kinds of spend event by their names on the wire."""


class SpendEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a reporter sends.

    amount: in the brand's currency, never a float. timestamp: aware, when it occurred; None means now.
    kind: `spend`, or `adjustment` (may be negative, needs a note).
    """

    event_id: str
    campaign_id: int
    amount: Decimal | str | int
    timestamp: datetime | None = None
    kind: str = "spend"
    note: str = ""


class Outcome(enum.StrEnum):
    """What became of an event."""

    RECORDED = "recorded"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REJECTED = "rejected"


class SpendResult(NamedTuple):
    """What became of one event; `detail` is a sentence for people where it was not recorded."""

    event_id: str
    outcome: Outcome
    detail: str = ""


class Receipt(NamedTuple):
    """The results in the order the events came in, and the status changes that the spend brought about."""

    results: list[SpendResult]
    changes: list[Change]

    def count(self, outcome: Outcome) -> int:
        """Return how many events had this outcome."""
        return sum(result.outcome is outcome for result in self.results)


class _Entry(NamedTuple):
    """An accepted event as it goes into the ledger; `at` is its place in the call, `dated` whether it told its time."""

    brand_id: int
    event_id: str
    campaign_id: int
    kind: int
    micros: int
    timestamp: datetime
    day: date
    note: str
    recorded_at: datetime
    at: int
    dated: bool


_ledger_order = attrgetter("brand_id", "event_id", "at")


class _RejectedError(Exception):
    """An event can't be counted; the message says why."""


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
    if result.outcome in (Outcome.REJECTED, Outcome.CONFLICT):
        raise BudgetError(result.detail)
    return result


def record_spend(events: Sequence[SpendEvent], *, now: datetime) -> Receipt:
    """Record events and judge what they change, in one transaction; every event gets its own result.

    A bad event is rejected and the rest counts. An event that was recorded before is a duplicate, whoever sends it
    again; the same id with other content is a conflict. Raises BudgetError, with nothing recorded, for more than
    10,000 events or when a counter would overflow.
    """
    if len(events) > MAX_EVENTS:
        raise BudgetError(f"These are {len(events):,} events; send at most {MAX_EVENTS:,} at once.")
    try:
        return _record(events, now)
    except IntegrityError:
        # A campaign without spend was deleted after we had looked it up. Nothing is recorded; now it is not found.
        return _record(events, now)


def _record(events: Sequence[SpendEvent], now: datetime) -> Receipt:
    results: list[SpendResult | None] = [None] * len(events)
    homes = _homes({event.campaign_id for event in events})
    entries, too_old = _accept(events, homes, now, results)
    changes: list[Change] = []
    if too_old:
        _explain_repeats(too_old, results)
        for entry in too_old:
            if results[entry.at] is None:
                results[entry.at] = SpendResult(entry.event_id, Outcome.REJECTED, _too_old(entry.timestamp))
    if entries:
        with transaction.atomic():
            recorded = _insert(entries)
            for entry in recorded:
                results[entry.at] = SpendResult(entry.event_id, Outcome.RECORDED)
            _explain_repeats([entry for entry in entries if results[entry.at] is None], results)
            if recorded:
                by_day = _by_day(recorded)
                amounts = _amounts(by_day)
                changes = _judge_crossed(amounts, counters.add(amounts), by_day, dict(homes.values()), now)
    return Receipt([result for result in results if result is not None], changes)


_Homes = Mapping[int, tuple[int, ZoneInfo]]
"""The brand and time zone of each campaign."""


def _accept(
    events: Sequence[SpendEvent], homes: _Homes, now: datetime, results: list[SpendResult | None]
) -> tuple[list[_Entry], list[_Entry]]:
    """The events that can be recorded, in the order in which they lock the ledger's key, and those that are too old.

    What is too old to be recorded may still be the repeat of what was recorded in time. All others get results.
    """
    earliest = now - timedelta(days=settings.SPEND_MAX_AGE_DAYS)
    latest = now + timedelta(seconds=settings.SPEND_MAX_AHEAD_SECONDS)
    entries: list[_Entry] = []
    too_old: list[_Entry] = []
    for at, event in enumerate(events):
        try:
            entry = _entry(at, event, homes, now, latest)
        except (_RejectedError, money.MoneyError, TextError) as error:
            results[at] = SpendResult(event.event_id, Outcome.REJECTED, str(error))
        else:
            (entries if entry.timestamp >= earliest else too_old).append(entry)
    entries.sort(key=_ledger_order)
    return entries, too_old


def _homes(campaign_ids: Iterable[int]) -> dict[int, tuple[int, ZoneInfo]]:
    """The brand and time zone of each campaign there is."""
    ids = [key for key in campaign_ids if type(key) is int and 0 < key <= _MAX_ID]
    rows = Rows(connection, {"id": "bigint"}, [ids])
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT c.id, c.brand_id, b.timezone FROM {rows.sql}
            JOIN campaigns_campaign c ON c.id = rows.id JOIN campaigns_brand b ON b.id = c.brand_id
            """,
            rows.params,
        )
        return {row[0]: (row[1], ZoneInfo(row[2])) for row in cursor.fetchall()}


def _entry(
    at: int,
    event: SpendEvent,
    homes: _Homes,
    now: datetime,
    latest: datetime,
) -> _Entry:
    if not event.event_id:
        raise _RejectedError("The event id is missing; give every event an id of its own.")
    if len(event.event_id) > MAX_EVENT_ID or not event.event_id.isprintable():
        raise _RejectedError(f"The event id must be 1 to {MAX_EVENT_ID} printable characters.")
    home = homes.get(event.campaign_id)
    if home is None or type(event.campaign_id) is not int:  # True and 1.0 would find campaign 1
        # Nor does every number fit a sentence: Python refuses to write out one of thousands of digits.
        shown = event.campaign_id if abs(event.campaign_id) <= _MAX_SHOWN else "of such an id"
        raise _RejectedError(f"There is no campaign {shown}.")
    kind = KINDS.get(event.kind)
    if kind is None:
        raise _RejectedError("The kind is neither 'spend' nor 'adjustment'.")
    if kind is SpendLog.Kind.ADJUSTMENT and not event.note.strip():
        raise _RejectedError("An adjustment needs a note that says why.")
    if event.note:
        check_note(event.note)
    micros = money.parse_amount(event.amount, negative=kind is SpendLog.Kind.ADJUSTMENT)
    moment = event.timestamp or now
    if moment is not now:
        _check_moment(moment, latest)
    brand_id, zone = home
    return _Entry(
        brand_id,
        event.event_id,
        event.campaign_id,
        int(kind),
        micros,
        moment,
        periods.local_date(moment, zone),
        event.note,
        now,
        at,
        event.timestamp is not None,
    )


def _check_moment(moment: datetime, latest: datetime) -> None:
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise _RejectedError("The time has no offset from UTC; send one such as 2026-01-31T09:30:00+01:00.")
    if moment > latest:
        raise _RejectedError(
            f"The time {moment.isoformat()} is in the future by more than "
            f"{settings.SPEND_MAX_AHEAD_SECONDS / 60:g} minutes; check the reporter's clock."
        )
    if moment.year < _FIRST_YEAR:
        raise _RejectedError(_too_old(moment))


def _too_old(moment: datetime) -> str:
    return (
        f"The time {moment.isoformat()} is more than {settings.SPEND_MAX_AGE_DAYS} days ago; "
        "record it as an adjustment of today, or raise SPEND_MAX_AGE_DAYS."
    )


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


def _insert(entries: Sequence[_Entry]) -> list[_Entry]:
    """Insert what the ledger does not have yet; return what it took in.

    The entries are sorted, so that two calls with the same events wait for each other instead of deadlocking.
    """
    first_of: dict[tuple[int, str], _Entry] = {}
    for entry in entries:
        first_of.setdefault((entry.brand_id, entry.event_id), entry)
    first = list(first_of.values())
    # Nearly always all of a batch is new; then it goes in the fastest way there is. If not, nothing of it went in.
    if copy_if_all_new(connection, "campaigns_spendlog", _LEDGER, [entry[: len(_LEDGER)] for entry in first]):
        return first
    return [first_of[key] for key in _insert_new(first)]


def _insert_new(entries: Sequence[_Entry]) -> list[tuple[int, str]]:
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


def _explain_repeats(entries: Sequence[_Entry], results: list[SpendResult | None]) -> None:
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


class _Day(NamedTuple):
    """A campaign's budget day: what the counters of the campaign and its brand are keyed by."""

    brand_id: int
    campaign_id: int
    day: date

    def counters(self) -> tuple[Key, Key, Key, Key, Key]:
        """The counters it counts in: the brand's day and month, the campaign's day, month and total."""
        brand_id, campaign_id, day = self
        month = periods.period_start(Period.MONTH, day)
        return (
            Key(brand_id, BRAND, Period.DAY, day),
            Key(brand_id, BRAND, Period.MONTH, month),
            Key(brand_id, campaign_id, Period.DAY, day),
            Key(brand_id, campaign_id, Period.MONTH, month),
            Key(brand_id, campaign_id, Period.TOTAL, periods.TOTAL_START),
        )


def _by_day(entries: Sequence[_Entry]) -> dict[_Day, int]:
    """What the entries add up to for each campaign and budget day, in micros."""
    sums: dict[_Day, int] = defaultdict(int)
    for entry in entries:
        sums[_Day(entry.brand_id, entry.campaign_id, entry.day)] += entry.micros
    return sums


def _amounts(by_day: Mapping[_Day, int]) -> dict[Key, int]:
    """What each counter is to be added, in micros."""
    amounts: dict[Key, int] = defaultdict(int)
    for day, micros in by_day.items():
        for key in day.counters():
            amounts[key] += micros
    return amounts


def _judge_crossed(
    amounts: Mapping[Key, int],
    figures: Mapping[Key, int],
    days: Iterable[_Day],
    zones: Mapping[int, ZoneInfo],
    now: datetime,
) -> list[Change]:
    """Judge the campaigns for which a counter of a current period has crossed a budget, up or down.

    The counters are locked by now, and whoever changes a budget locks them too: the budgets read here are the ones
    that the next spend will find. zones: of each brand.
    """
    lines = [_line(day, amounts, figures, periods.local_date(now, zones[day.brand_id])) for day in days]
    crossed = _crossed(lines)
    if not crossed:
        return []
    campaign_ids = {campaign_id for campaign_id, _, _ in crossed}
    brand_ids = {brand_id for _, brand_id, brand_crossed in crossed if brand_crossed}
    if brand_ids:
        of_brands = Campaign.objects.filter(brand__in=brand_ids, archived_at=None)
        campaign_ids |= set(of_brands.order_by().values_list("pk", flat=True))
    because = Because(cause=StatusChange.Cause.SPEND)
    return enforcement.judge_campaigns(sorted(campaign_ids), now=now, because=because)


def _line(day: _Day, amounts: Mapping[Key, int], figures: Mapping[Key, int], today: date) -> tuple[int | None, ...]:
    """A campaign with its five counters before and after; None for a counter of a day or month that is over."""
    is_today = day.day == today
    is_this_month = is_today or day.day.replace(day=1) == today.replace(day=1)
    current = (is_today, is_this_month, is_today, is_this_month, True)
    after = [figures[key] if counts else None for key, counts in zip(day.counters(), current, strict=True)]
    before = [
        None if figure is None else figure - amounts[key] for key, figure in zip(day.counters(), after, strict=True)
    ]
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
