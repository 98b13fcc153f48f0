"""Spend events as they are reported: what they refer to is looked up, what is wrong with them is said in a sentence."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import NamedTuple

import msgspec
from django.conf import settings

from campaigns.gateways.spend_json import WireEvent
from campaigns.models import Hold, SpendLog
from campaigns.queries.archive import closed_until
from campaigns.queries.lookup import MAX_ID, Home, find_homes, find_homes_by_external_id
from campaigns.rules import money, periods
from campaigns.rules.texts import TextError, check_note

MAX_EVENT_ID = 128
_MAX_SHOWN = 10**30
_MAX_NAME_SHOWN = 40
NEVER_ARCHIVED = timedelta(days=28)
"""So long a day's month stays in the ledger in any case, and need not be looked up."""

_FIRST_YEAR = 1970  # before it nothing was ever recorded, and calendars end somewhere

KINDS = {"spend": SpendLog.Kind.SPEND, "adjustment": SpendLog.Kind.ADJUSTMENT}
"""The kinds of spend event by their names on the wire."""


class SpendEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a reporter sends.

    campaign_id, or campaign_external_id with brand_id: whose spend it is. amount: in the brand's currency, never a
    float. timestamp: aware, when it occurred; None means now. kind: `spend`, or `adjustment` (may be negative, needs
    a note). hold_id: a hold that it settles; settles_once: and is refused if another event has settled that before.
    brand_ids: the only brands that its reporter may report for; None is all.
    """

    event_id: str
    campaign_id: int | None = None
    campaign_external_id: str | None = None
    brand_id: int | None = None
    amount: Decimal | str | int
    timestamp: datetime | None = None
    kind: str = "spend"
    note: str = ""
    hold_id: int | None = None
    settles_once: bool = False
    brand_ids: frozenset[int] | None = None


def of_wire(event: WireEvent, *, brand_ids: frozenset[int] | None = None) -> SpendEvent:
    """Return the event that came over a wire, from a reporter that may report for these brands (None: for all)."""
    return SpendEvent(
        event_id=event.event_id,
        campaign_id=event.campaign_id,
        campaign_external_id=event.campaign_external_id,
        brand_id=event.brand_id,
        amount=event.amount,
        timestamp=event.timestamp,
        kind=event.kind,
        note=event.note,
        hold_id=event.hold_id,
        brand_ids=brand_ids,
    )


class Outcome(enum.StrEnum):
    """What became of an event."""

    RECORDED = "recorded"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REJECTED = "rejected"


class SpendResult(NamedTuple):
    """What became of one event; `detail` is a sentence for people where it was not recorded, `field` what is wrong."""

    event_id: str
    outcome: Outcome
    detail: str = ""
    field: str = ""


class Entry(NamedTuple):
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
    hold_id: int | None


_ledger_order = attrgetter("brand_id", "event_id", "at")


class _RejectedError(Exception):
    """An event can't be counted; the message says why. field: which of its fields is at fault."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class Known(NamedTuple):
    """What the events refer to: campaigns by id and by brand and external id, and the campaign of each hold."""

    by_id: dict[int, Home]
    by_external_id: dict[tuple[int, str], Home]
    campaign_of_hold: dict[int, int]

    def homes(self) -> Iterator[Home]:
        """All campaigns that were found."""
        yield from self.by_id.values()
        yield from self.by_external_id.values()


def look_up(events: Sequence[SpendEvent]) -> Known:
    ids = {event.campaign_id for event in events if type(event.campaign_id) is int}
    names = {
        (event.brand_id, event.campaign_external_id)
        for event in events
        if event.campaign_external_id is not None and event.brand_id is not None
    }
    holds = [event.hold_id for event in events if event.hold_id is not None and 0 < event.hold_id <= MAX_ID]
    return Known(
        find_homes(ids) if ids else {},
        find_homes_by_external_id(names) if names else {},
        dict(Hold.objects.filter(pk__in=holds).order_by().values_list("pk", "campaign_id")) if holds else {},
    )


def accept(
    events: Sequence[SpendEvent],
    known: Known,
    now: datetime,
    results: list[SpendResult | None],
    *,
    refused: bool = False,
) -> tuple[list[Entry], dict[Entry, str]]:
    """The events that can be recorded, in the order in which they lock the ledger's key, and those that can't, and why.

    What is too old to be recorded may still be the repeat of what was recorded in time. All others get results.
    refused: the database has refused them once, so even recent ones may be of a month that is archived.
    """
    earliest = now - timedelta(days=settings.SPEND_MAX_AGE_DAYS)
    latest = now + timedelta(seconds=settings.SPEND_MAX_AHEAD_SECONDS)
    entries: list[Entry] = []
    doubtful: dict[Entry, str] = {}
    for at, event in enumerate(events):
        try:
            entry = _entry(at, event, _home(event, known), now, latest)
        except (_RejectedError, money.MoneyError, TextError) as error:
            results[at] = SpendResult(event.event_id, Outcome.REJECTED, str(error), _field(error))
        else:
            if entry.timestamp < earliest:
                doubtful[entry] = _too_old(entry.timestamp)
            elif entry.hold_id is not None and known.campaign_of_hold.get(entry.hold_id) != entry.campaign_id:
                doubtful[entry] = _no_hold(entry)
            else:
                entries.append(entry)
    recent = date.max if refused else now.date() - NEVER_ARCHIVED
    if any(entry.day < recent for entry in entries) and (open_from := closed_until()):
        doubtful |= {entry: _archived(entry) for entry in entries if entry.day < open_from}
        entries = [entry for entry in entries if entry.day >= open_from]
    entries.sort(key=_ledger_order)
    return entries, doubtful


def _archived(entry: Entry) -> str:
    return f"Its month, {entry.day:%Y-%m}, is in the archive and takes no more; record it as an adjustment of today."


def _no_hold(entry: Entry) -> str:
    hold = _shown(entry.hold_id)
    return f"Campaign {entry.campaign_id} has no hold {hold}; leave out hold_id to record the spend."


def _field(error: _RejectedError | money.MoneyError | TextError) -> str:
    if isinstance(error, _RejectedError):
        return error.field
    return "amount" if isinstance(error, money.MoneyError) else "note"


def _home(event: SpendEvent, known: Known) -> Home:
    """The campaign that an event is for; raises what says that there is none, or none that its reporter may see."""
    number, name = event.campaign_id, event.campaign_external_id
    if name is None:
        if number is None:
            raise _RejectedError(
                "campaign_id", "The campaign is missing; give campaign_id, or campaign_external_id with brand_id."
            )
        home = known.by_id.get(number) if type(number) is int else None  # True and 1.0 would find campaign 1
    else:
        if number is not None:
            raise _RejectedError("campaign_external_id", "Give campaign_id or campaign_external_id, not both.")
        if event.brand_id is None:
            raise _RejectedError("brand_id", "The brand is missing; an external id is unique only with its brand_id.")
        home = known.by_external_id.get((event.brand_id, name))
    if home is None or (event.brand_ids is not None and home.brand_id not in event.brand_ids):
        raise _RejectedError("campaign_id", _no_campaign(event))
    if event.brand_id is not None and event.brand_id != home.brand_id:
        raise _RejectedError("brand_id", f"Campaign {number} is not one of brand {_shown(event.brand_id)}.")
    return home


def _no_campaign(event: SpendEvent) -> str:
    if event.campaign_external_id is None:
        return f"There is no campaign {_shown(event.campaign_id)}."
    name = event.campaign_external_id
    shown = repr(name if len(name) <= _MAX_NAME_SHOWN else f"{name[:_MAX_NAME_SHOWN]}...")
    return f"Brand {_shown(event.brand_id)} has no campaign with the external id {shown}."


def _shown(number: int | None) -> object:
    # Not every number fits a sentence: Python refuses to write out one of thousands of digits.
    return number if number is not None and abs(number) <= _MAX_SHOWN else "of such an id"


def _entry(at: int, event: SpendEvent, home: Home, now: datetime, latest: datetime) -> Entry:
    if not event.event_id:
        raise _RejectedError("event_id", "The event id is missing; give every event an id of its own.")
    if len(event.event_id) > MAX_EVENT_ID or not event.event_id.isprintable():
        raise _RejectedError("event_id", f"The event id must be 1 to {MAX_EVENT_ID} printable characters.")
    kind = KINDS.get(event.kind)
    if kind is None:
        raise _RejectedError("kind", "The kind is neither 'spend' nor 'adjustment'.")
    if kind is SpendLog.Kind.ADJUSTMENT and not event.note.strip():
        raise _RejectedError("note", "An adjustment needs a note that says why.")
    if event.note:
        check_note(event.note)
    micros = money.parse_amount(event.amount, negative=kind is SpendLog.Kind.ADJUSTMENT)
    moment = event.timestamp or now
    if moment is not now:
        _check_moment(moment, latest)
    return Entry(
        home.brand_id,
        event.event_id,
        home.campaign_id,
        int(kind),
        micros,
        moment,
        periods.local_date(moment, home.zone),
        event.note,
        now,
        at,
        event.timestamp is not None,
        event.hold_id,
    )


def _check_moment(moment: datetime, latest: datetime) -> None:
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise _RejectedError(
            "timestamp", "The time has no offset from UTC; send one such as 2026-01-31T09:30:00+01:00."
        )
    if moment > latest:
        raise _RejectedError(
            "timestamp",
            f"The time {moment.isoformat()} is in the future by more than "
            f"{settings.SPEND_MAX_AHEAD_SECONDS / 60:g} minutes; check the reporter's clock.",
        )
    if moment.year < _FIRST_YEAR:
        raise _RejectedError("timestamp", _too_old(moment))


def _too_old(moment: datetime) -> str:
    return (
        f"The time {moment.isoformat()} is more than {settings.SPEND_MAX_AGE_DAYS} days ago; "
        "record it as an adjustment of today, or raise SPEND_MAX_AGE_DAYS."
    )
