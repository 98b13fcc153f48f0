"""Holds: money reserved ahead of delivery, decided many at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime
from http import HTTPStatus
from typing import Literal, NamedTuple, TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from campaigns.api import bodies, documents
from campaigns.api.auth import SPEND, SPEND_TOGETHER, admitted, caller, sent_key
from campaigns.api.locked import past_locks
from campaigns.api.problems import Problem, busy, invalid, not_found
from campaigns.api.spend import admit, wait_for
from campaigns.api.together import Together
from campaigns.gateways import meters
from campaigns.models import Hold, Scope
from campaigns.queries.holds import HoldRow, find_hold, find_holds
from campaigns.queries.lookup import MAX_ID
from campaigns.rules import money, reasons
from campaigns.services import holds
from campaigns.services.holds import HoldAsk, Refusal, Refused
from campaigns.services.keys import Caller, find_callers
from campaigns.services.spend import Outcome, SpendEvent, SpendResult, record_spend

router = Router(tags=["Holds"])

TOGETHER = 500
"""Holds of several requests that are decided in one transaction."""

WAITING = 5_000
"""Requests about holds that may wait; past it a client is told to come again."""


class HoldBody(Schema):
    """A hold."""

    id: int
    campaign_id: int
    brand_id: int
    key: str = Field(description="The client's id of the request.")
    state: Literal["open", "settled", "released", "expired"]
    amount: str = Field(description="What was granted, and is held while the hold is open.", examples=["5.00"])
    asked: str = Field(description="What was asked for.", examples=["10.00"])
    minimum: str = Field(description="The least that the client would have taken.", examples=["5.00"])
    day: date = Field(description="The budget day whose budgets it holds.")
    created_at: datetime
    expires_at: datetime = Field(description="From here on it counts for nothing.")
    event_id: str | None = Field(description="The spend event that settled it.")


class SettledBody(Schema):
    """A hold that was settled, and what became of its spend."""

    hold: HoldBody
    status: Literal["recorded", "duplicate"] = Field(description="What became of the spend event.")


class _Ask(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    campaign_id: int
    key: str
    amount: str | int
    minimum: str | int | None = None
    ttl_seconds: int = holds.DEFAULT_TTL_SECONDS


class _Final(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event_id: str
    amount: str | int
    timestamp: datetime | None = None
    note: str = ""


class _Hold(msgspec.Struct, gc=False):
    id: int
    campaign_id: int
    brand_id: int
    key: str
    state: str
    amount: str
    asked: str
    minimum: str
    day: date
    created_at: datetime
    expires_at: datetime
    event_id: str | None


@router.post(
    "/holds",
    auth=SPEND_TOGETHER,
    response={201: HoldBody, **documents.problems(400, 401, 403, 404, 409, 411, 413, 415, 422, 503)},
    operation_id="placeHold",
    summary="Place a hold",
    openapi_extra=documents.HOLD_BODY,
)
def place(request: HttpRequest) -> HttpResponse:
    """Reserve an amount of a campaign's budgets for a while, or all that is left down to a minimum.

    Spent, held and asked together never pass a budget. 409 `budget-exhausted` says what is left and which limit
    binds; 409 `campaign-paused` says why the campaign may not spend. The same key with the same content gives the
    same hold again, so a request whose answer did not come can be sent again.
    """
    ask = _read(request, _ask)
    given = HoldAsk(ask.campaign_id, ask.key, ask.amount, ask.minimum, ask.ttl_seconds)
    row = wait_for(_placed_together, (sent_key(request), given))
    return bodies.answer(_shown(row, timezone.now()), HTTPStatus.CREATED)


@router.get(
    "/holds/{int:hold_id}",
    auth=SPEND,
    response={200: HoldBody, **documents.problems(401, 403, 404, 503)},
    operation_id="getHold",
    summary="Get a hold",
)
def get(request: HttpRequest, hold_id: int) -> HttpResponse:
    """Show a hold and what has become of it."""
    row = find_hold(hold_id) if hold_id <= MAX_ID else None
    return bodies.answer(_shown(_seen(caller(request), row, hold_id), timezone.now()))


@router.post(
    "/holds/{int:hold_id}/settle",
    auth=SPEND_TOGETHER,
    response={200: SettledBody, **documents.problems(400, 401, 403, 404, 409, 411, 413, 415, 422, 503)},
    operation_id="settleHold",
    summary="Settle a hold",
    openapi_extra=documents.SETTLE_BODY,
)
def settle(request: HttpRequest, hold_id: int) -> HttpResponse:
    """Record the final amount as a spend event, more or less than was held, and free what is held.

    Spent money is recorded, also when the hold has expired or was released. The same event id again gives the same
    answer and counts once; another event id for a settled hold is 409 `hold-settled`.
    """
    settlement = _Settlement(sent_key(request), hold_id, _read(request, _final))
    row, result = wait_for(_settled_together, settlement)
    if result.outcome is Outcome.REJECTED:
        raise invalid(result.field, result.detail.replace("send an amount greater than 0", "release the hold instead"))
    if result.outcome is Outcome.CONFLICT:
        settled_by_another = row.state is Hold.State.SETTLED and row.event_id != result.event_id
        kind = "hold-settled" if settled_by_another else "event-conflict"
        raise Problem(HTTPStatus.CONFLICT, kind, result.detail)
    return bodies.answer({"hold": _shown(row, timezone.now()), "status": result.outcome})


@router.post(
    "/holds/{int:hold_id}/release",
    auth=SPEND_TOGETHER,
    response={200: HoldBody, **documents.problems(401, 403, 404, 409, 503)},
    operation_id="releaseHold",
    summary="Release a hold",
)
def release(request: HttpRequest, hold_id: int) -> HttpResponse:
    """Free what is held without any spend. One that is released or expired stays so; a settled one is 409."""
    row = wait_for(_released_together, (sent_key(request), hold_id))
    return bodies.answer(_shown(row, timezone.now()))


_Given = TypeVar("_Given")
_ask, _final = msgspec.json.Decoder(_Ask), msgspec.json.Decoder(_Final)
_PLACE = re.compile(r" - at `\$\.(\w+)`")
_FIELD = re.compile(r"`([^`]*)`")
_WANTED = {
    "campaign_id": "The campaign_id is not a whole number.",
    "key": "The key is not a text.",
    "amount": 'The amount is not a decimal number as text; send one such as "12.50".',
    "minimum": 'The minimum is not a decimal number as text; send one such as "12.50".',
    "ttl_seconds": "The ttl_seconds is not a whole number.",
    "event_id": "The event_id is not a text.",
    "timestamp": "The timestamp is not an RFC 3339 time; send one such as 2026-01-31T09:30:00+01:00.",
    "note": "The note is not a text.",
}


def _read(request: HttpRequest, decoder: msgspec.json.Decoder[_Given]) -> _Given:
    """Return the body; raises the problem of one that can't be read, for those who have a key."""
    body = bodies.read(request, bodies.JSON)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem = _invalid(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = Problem(HTTPStatus.BAD_REQUEST, "invalid-request", "The body is not JSON.")
    admit(request)
    raise problem


def _invalid(words: str) -> Problem:
    place, field = _PLACE.search(words), _FIELD.search(words)
    if place and place[1] in _WANTED:
        return invalid(place[1], _WANTED[place[1]])
    if field and words.startswith("Object missing required field"):
        return invalid(field[1], f"The {field[1]} is missing.")
    if field and words.startswith("Object contains unknown field"):
        return invalid(field[1][:40], "There is no such field; leave it out.")
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-fields", "The body is not an object with fields.")


def _seen(by: Caller, row: HoldRow | None, hold_id: int) -> HoldRow:
    """The hold, if it is there for this key."""
    if row is None or not by.sees(row.brand_id):
        raise not_found(f"There is no hold {hold_id if hold_id <= MAX_ID else 'of such an id'}.")
    return row


def _shown(row: HoldRow, now: datetime) -> _Hold:
    return _Hold(
        row.id,
        row.campaign_id,
        row.brand_id,
        row.key,
        row.state_at(now).label,
        money.to_text(row.amount),
        money.to_text(row.asked),
        money.to_text(row.minimum),
        row.day,
        row.created_at,
        row.expires_at,
        row.event_id or None,
    )


_STATUSES = {
    Refusal.EXHAUSTED: HTTPStatus.CONFLICT,
    Refusal.PAUSED: HTTPStatus.CONFLICT,
    Refusal.KEY_USED: HTTPStatus.CONFLICT,
    Refusal.SETTLED: HTTPStatus.CONFLICT,
    Refusal.UNKNOWN: HTTPStatus.NOT_FOUND,
}


def _problem(refused: Refused) -> Problem:
    if refused.why is Refusal.INVALID:
        return invalid(refused.field, refused.detail)
    if refused.why is Refusal.BUSY:
        return busy()
    more: dict[str, object] = {}
    if refused.limit is not None and refused.left is not None:
        more = {"limit": refused.limit.code, "left": money.to_text(refused.left)}
    if refused.why is Refusal.PAUSED:
        more = {"reasons": reasons.codes(refused.reasons)}
    return Problem(_STATUSES[refused.why], refused.why, refused.detail, more=more)


# --- What is done together -----------------------------------------------------------------------

_Asked = TypeVar("_Asked")
_Done = TypeVar("_Done")


def _for_those_admitted(
    tokens: Sequence[str],
    now: datetime,
    asks: Sequence[_Asked],
    work: Callable[[Sequence[tuple[Caller, _Asked]]], Sequence[_Done | Problem]],
) -> Sequence[_Done | Problem]:
    """Do the asks of those whose keys are good in one call; the others get their problem."""
    callers = find_callers(set(tokens), now=now)
    problems: dict[int, Problem] = {}
    good: list[tuple[Caller, _Asked]] = []
    for at, (token, ask) in enumerate(zip(tokens, asks, strict=True)):
        try:
            good.append((admitted(callers, token, Scope.SPEND), ask))
        except Problem as problem:
            problems[at] = problem
    done = iter(work(good) if good else ())
    return [problems[at] if at in problems else next(done) for at in range(len(asks))]


def _place_together(asks: Sequence[tuple[str, HoldAsk]]) -> Sequence[HoldRow | Problem]:
    now = timezone.now()

    def work(good: Sequence[tuple[Caller, HoldAsk]]) -> Sequence[HoldRow | Problem]:
        placed = holds.place_holds([ask._replace(brand_ids=by.brand_ids) for by, ask in good], now=now)
        return [_problem(one) if isinstance(one, Refused) else one for one in placed]

    return _for_those_admitted([token for token, _ in asks], now, [ask for _, ask in asks], work)


class _Settlement(NamedTuple):
    """The final amount of a hold, and the key it came with."""

    token: str
    hold_id: int
    final: _Final


_Settled = tuple[HoldRow, SpendResult]


def _settle_together(asks: Sequence[_Settlement]) -> Sequence[_Settled | Problem]:
    now = timezone.now()

    def work(good: Sequence[tuple[Caller, _Settlement]]) -> Sequence[_Settled | Problem]:
        rows = find_holds({ask.hold_id for _, ask in good if ask.hold_id <= MAX_ID})
        seen = [_seen_or_problem(by, rows.get(ask.hold_id), ask.hold_id) for by, ask in good]
        events = [_event(row, ask.final) for row, (_, ask) in zip(seen, good, strict=True) if isinstance(row, HoldRow)]
        recorded = record_spend(events, now=now).results
        meters.count_events("api", Counter(result.outcome for result in recorded))
        results = iter(recorded)
        after = find_holds({row.id for row in seen if isinstance(row, HoldRow)})
        return [(after[row.id], next(results)) if isinstance(row, HoldRow) else row for row in seen]

    return _for_those_admitted([ask.token for ask in asks], now, asks, work)


def _event(row: HoldRow, final: _Final) -> SpendEvent:
    return SpendEvent(
        event_id=final.event_id,
        campaign_id=row.campaign_id,
        amount=final.amount,
        timestamp=final.timestamp,
        note=final.note,
        hold_id=row.id,
        settles_once=True,
    )


def _release_together(asks: Sequence[tuple[str, int]]) -> Sequence[HoldRow | Problem]:
    now = timezone.now()

    def work(good: Sequence[tuple[Caller, int]]) -> Sequence[HoldRow | Problem]:
        rows = find_holds({hold_id for _, hold_id in good if hold_id <= MAX_ID})
        seen = [_seen_or_problem(by, rows.get(hold_id), hold_id) for by, hold_id in good]
        after = holds.release_holds(sorted({row.id for row in seen if isinstance(row, HoldRow)}), now=now)
        released = [after[row.id] if isinstance(row, HoldRow) else row for row in seen]
        return [_problem(one) if isinstance(one, Refused) else one for one in released]

    return _for_those_admitted([token for token, _ in asks], now, [hold_id for _, hold_id in asks], work)


def _seen_or_problem(by: Caller, row: HoldRow | None, hold_id: int) -> HoldRow | Problem:
    try:
        return _seen(by, row, hold_id)
    except Problem as problem:
        return problem


_placed_together = Together(past_locks(_place_together), most=TOGETHER, waiting=WAITING)
_settled_together = Together(past_locks(_settle_together), most=TOGETHER, waiting=WAITING)
_released_together = Together(past_locks(_release_together), most=TOGETHER, waiting=WAITING)
