"""Spend events as JSON: one body of many, newline-delimited, or one message.

A body is decoded in one go, at a microsecond an event. Only where that fails is it gone through event by event, so
that one that can't be read is refused alone, with a sentence, and the others count.
"""

from __future__ import annotations

import io
import itertools
import re
from datetime import datetime
from typing import NamedTuple, TypeAlias

import msgspec


class WireError(ValueError):
    """A body that can't be read at all; the message is one sentence for people."""


class WireEvent(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A spend event as it is sent. What its values mean is checked where it is recorded."""

    event_id: str
    amount: str | int
    campaign_id: int | None = None
    campaign_external_id: str | None = None
    brand_id: int | None = None
    timestamp: datetime | None = None
    kind: str = "spend"
    note: str = ""
    hold_id: int | None = None


class Unreadable(NamedTuple):
    """An event that can't be read: its id as far as it has one, and why."""

    event_id: str | None
    detail: str


Read: TypeAlias = list[WireEvent | Unreadable]
"""What was read, in the order sent."""


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    events: list[WireEvent]


class _RawBody(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


FIELDS = WireEvent.__struct_fields__

_body, _raw_body = msgspec.json.Decoder(_Body), msgspec.json.Decoder(_RawBody)
_event, _anything = msgspec.json.Decoder(WireEvent), msgspec.json.Decoder()

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_EXAMPLE = '{"events": [{"event_id": "e-1", "campaign_id": 7, "amount": "1.25"}]}'
# What is wrong with a field that does not have the type of its values, by the field.
_WANTED = {
    "event_id": "The event_id is not a text; give every event an id of its own.",
    "amount": 'The amount is not a decimal number as text; send one such as "12.50".',
    "campaign_id": "The campaign_id is not a whole number.",
    "campaign_external_id": "The campaign_external_id is not a text.",
    "brand_id": "The brand_id is not a whole number.",
    "timestamp": "The timestamp is not an RFC 3339 time; send one such as 2026-01-31T09:30:00+01:00.",
    "kind": "The kind is neither 'spend' nor 'adjustment'.",
    "note": "The note is not a text.",
    "hold_id": "The hold_id is not a whole number.",
}
# Half of a surrogate pair is JSON by its grammar, but no text. So that it spoils its own event and not the body, it is
# replaced by a byte that is none either; whole pairs stay, and so does what follows an escaped backslash.
_HALF = rb"\\u[dD]%b[0-9a-fA-F]{2}"
_SURROGATES = re.compile(
    rb"(?<!\\)(?P<before>(?:\\\\)*)(?:%b%b|(?P<half>%b))"
    % (_HALF % b"[89abAB]", _HALF % b"[c-fC-F]", _HALF % b"[89a-fA-F]")
)
_MOST_SURROGATES = 100_000  # a body with more is no report of spend
_MOST_WORDS = 200
_PLACE = re.compile(r" - at `\$\.(\w+)")
_FIELD = re.compile(r"`([^`]*)`")


def read_body(body: bytes, *, most: int) -> Read:
    """Return the events of `{"events": [...]}`, from 1 to `most` of them; raises WireError for another body."""
    try:
        events: Read = [*_body.decode(body).events]
    except _UNREADABLE:
        raws = _raw_events(body)
        _check_number(len(raws), most)  # before any of them is looked at: a body has room for millions
        events = [_read(raw) for raw in raws]
    _check_number(len(events), most)
    return events


def read_lines(body: bytes, *, most: int) -> Read:
    """Return the events of newline-delimited JSON, one a line; raises WireError if there are none or too many."""
    lines = list(itertools.islice((line for line in io.BytesIO(body) if line.strip()), most + 1))
    _check_number(len(lines), most)
    return [_read(line) for line in lines]


def read_event(message: bytes) -> WireEvent | Unreadable:
    """Return the event of one message."""
    return _read(message)


def _raw_events(body: bytes) -> list[msgspec.Raw]:
    try:
        return _raw_body.decode(body).events
    except msgspec.ValidationError as error:
        raise WireError(f"The body is not a list of events: {_reason(error)}. Send {_EXAMPLE}.") from None
    except _UNREADABLE as error:
        marked = _SURROGATES.sub(_marked, body, count=_MOST_SURROGATES)
        if marked == body:
            raise WireError(f"The body is not JSON: {_reason(error)}.") from None
        return _raw_events(marked)


def _marked(found: re.Match[bytes]) -> bytes:
    return found["before"] + b"\xff" if found["half"] else found[0]


def _read(raw: msgspec.Raw | bytes) -> WireEvent | Unreadable:
    try:
        return _event.decode(raw)
    except msgspec.ValidationError as error:
        return Unreadable(_event_id(raw), _sentence(str(error)))
    except _UNREADABLE as error:
        return Unreadable(None, f"The event is not JSON: {_reason(error)}.")


def _event_id(raw: msgspec.Raw | bytes) -> str | None:
    try:
        event = _anything.decode(raw)
    except _UNREADABLE:
        return None
    event_id = event.get("event_id") if isinstance(event, dict) else None
    return event_id if isinstance(event_id, str) else None


def _sentence(problem: str) -> str:
    """What is wrong with an event, for people."""
    place = _PLACE.search(problem)
    if place and place[1] in _WANTED:
        return _WANTED[place[1]]
    field = _FIELD.search(problem)
    if field and problem.startswith("Object contains unknown field"):
        shown = repr(field[1] if len(field[1]) <= 40 else f"{field[1][:40]}...")
        return f"{shown} is not a field of a spend event; its fields are {', '.join(FIELDS)}."
    if field and problem.startswith("Object missing required field"):
        return f"The {field[1]} is missing."
    return f"An event is an object with the fields {', '.join(FIELDS)}."


def _check_number(events: int, most: int) -> None:
    if not events:
        raise WireError(f"There are no events; send from 1 to {most:,}.")
    if events > most:
        raise WireError(f"These are more than {most:,} events; send at most {most:,} at once.")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not valid UTF-8"
    # It may repeat a name that was sent: not at any length, and what can't be printed is written out.
    words = repr(str(error).removeprefix("JSON is malformed: ").rstrip(".").replace("`", "")[:_MOST_WORDS])[1:-1]
    return words[:1].lower() + words[1:]
