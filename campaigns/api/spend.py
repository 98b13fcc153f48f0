"""Reporting spend: many events in a request, or many requests of one event, recorded together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Literal, NamedTuple

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from campaigns.api import bodies, documents
from campaigns.api.auth import SPEND_TOGETHER, admitted, sent_key
from campaigns.api.locked import past_locks
from campaigns.api.problems import Problem
from campaigns.api.together import Answer, Ask, FullError, LateError, Together
from campaigns.gateways import meters
from campaigns.gateways.spend_json import Unreadable, WireError, WireEvent, read_body, read_lines
from campaigns.models import Scope
from campaigns.services.events import of_wire
from campaigns.services.keys import find_callers
from campaigns.services.spend import MAX_EVENTS, Outcome, SpendEvent, SpendResult, record_spend

logger = logging.getLogger(__name__)
router = Router(tags=["Spend"])

TOGETHER = 1_000
"""Events of several requests that are recorded in one transaction."""

MOST_NAMED = 10
"""Refused events of a request that are named in the log."""

_REFUSED = (Outcome.REJECTED, Outcome.CONFLICT)

WAITING = 10_000
"""Events that may wait to be recorded; past it a reporter is told to come again."""


class ResultBody(Schema):
    """What became of one event."""

    event_id: str | None = Field(description="The event's id; null where it could not be read.")
    status: Literal["recorded", "duplicate", "conflict", "rejected"]
    detail: str = Field(default="", description="Why it was not recorded, and what to do.")


class ReceiptBody(Schema):
    """What became of the events of a request, once they are in the ledger for good."""

    recorded: int = Field(description="Events that are new and count from now on.")
    duplicates: int = Field(description="Events that were recorded before with the same content; they count once.")
    conflicts: int = Field(description="Events whose id was recorded before with other content; not counted.")
    rejected: int = Field(description="Events that can't be recorded; the others count.")
    results: list[ResultBody] = Field(description="One for each event, in the order sent, or the problems only.")


class _Result(msgspec.Struct, omit_defaults=True, gc=False):
    event_id: str | None
    status: str
    detail: str = ""


class _Receipt(msgspec.Struct):
    recorded: int
    duplicates: int
    conflicts: int
    rejected: int
    results: list[_Result]


class _Report(NamedTuple):
    """The readable events of one request, and the key it came with."""

    token: str
    events: list[WireEvent]


@router.post(
    "/spend-events",
    auth=SPEND_TOGETHER,
    response={200: ReceiptBody, **documents.problems(400, 401, 403, 411, 413, 415, 422, 503)},
    operation_id="recordSpend",
    summary="Report spend",
    openapi_extra=documents.SPEND_BODY,
)
def record(
    request: HttpRequest,
    results: Literal["all", "problems"] = Query("all", description="`problems` leaves out what was recorded."),  # type: ignore[type-arg]  # generic for mypy only
) -> HttpResponse:
    """Record 1 to 10,000 spend events (8 MiB at most) and judge what they change; answers once they are durable.

    Every event has a result of its own: a bad one is rejected and the others count. Send the same events again after
    an answer that did not come: what is in the ledger is a duplicate and counts once.
    """
    if bodies.is_large(request):
        admit(request)
    read = _read(request)
    events = [event for event in read if isinstance(event, WireEvent)]
    report = _Report(sent_key(request), events)
    recorded = iter(_in_line(report))
    outcomes = [_unreadable(event) if isinstance(event, Unreadable) else next(recorded) for event in read]
    return _receipt(read, outcomes, everything=results == "all")


def _unreadable(event: Unreadable) -> SpendResult:
    return SpendResult(event.event_id or "", Outcome.REJECTED, event.detail)


def _read(request: HttpRequest) -> Sequence[WireEvent | Unreadable]:
    body = bodies.read(request, bodies.JSON, bodies.NDJSON)
    reader = read_body if request.content_type == bodies.JSON else read_lines
    try:
        return reader(body, most=MAX_EVENTS)
    except WireError as error:
        admit(request)  # no key, no advice
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid-request", str(error)) from None


def admit(request: HttpRequest) -> None:
    """Raise the problem of a key that is no good, before all others are asked."""
    token = sent_key(request)
    admitted(find_callers([token], now=timezone.now()), token, Scope.SPEND)


def _in_line(report: _Report) -> list[SpendResult]:
    """Record a report together with others, or alone if it is a transaction's worth by itself."""
    if len(report.events) >= TOGETHER:
        (answer,) = _record_past_locks([report])
        if isinstance(answer, Exception):
            raise answer
        return answer
    return wait_for(_together, report)


def wait_for(together: Together[Ask, Answer], ask: Ask) -> Answer:
    """Return the answer to an ask; a queue that is full, or too slow, is a problem that says so."""
    try:
        return together(ask)
    except FullError:
        detail = "Too much is waiting to be recorded, and nothing of this was; send it again in a second."
    except LateError:
        detail = "No answer came in time; send the same request again, whatever was recorded counts once."
    raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", detail, headers={"Retry-After": "1"})


def _record(reports: Sequence[_Report]) -> Sequence[list[SpendResult] | Exception]:
    """Record the events of several requests in one transaction; each gets its own results or problem."""
    now = timezone.now()
    callers = find_callers({report.token for report in reports}, now=now)
    answers: list[list[SpendResult] | Exception] = []
    events: list[SpendEvent] = []
    for report in reports:
        try:
            brand_ids = admitted(callers, report.token, Scope.SPEND).brand_ids
        except Problem as problem:
            answers.append(problem)
        else:
            answers.append([])
            events += [of_wire(event, brand_ids=brand_ids) for event in report.events]
    results = iter(record_spend(events, now=now).results if events else ())
    for report, answer in zip(reports, answers, strict=True):
        if isinstance(answer, list):
            answer += [next(results) for _ in report.events]
    return answers


_record_past_locks = past_locks(_record)
_together = Together(_record_past_locks, weigh=lambda report: len(report.events) + 1, most=TOGETHER, waiting=WAITING)


def _log_refused(
    read: Sequence[WireEvent | Unreadable], outcomes: Sequence[SpendResult], counts: Mapping[Outcome, int]
) -> None:
    """Leave a line with the ids of the first that were refused, so that a reporter's question finds an answer."""
    number = counts[Outcome.REJECTED] + counts[Outcome.CONFLICT]
    if not number:
        return
    pairs = zip(read, outcomes, strict=True)
    refused = ((event, result) for event, result in pairs if result.outcome in _REFUSED)
    named = [{"event_id": event.event_id, "status": result.outcome} for event, result in islice(refused, MOST_NAMED)]
    words = "%d of %d spend events were refused."
    logger.info(words, number, len(outcomes), extra={"fields": {"refused": named}})


def _receipt(
    read: Sequence[WireEvent | Unreadable], outcomes: Sequence[SpendResult], *, everything: bool
) -> HttpResponse:
    shown = [
        _Result(event.event_id, result.outcome, result.detail)
        for event, result in zip(read, outcomes, strict=True)
        if everything or result.outcome is not Outcome.RECORDED
    ]
    counts = dict.fromkeys(Outcome, 0)
    for result in outcomes:
        counts[result.outcome] += 1
    meters.count_events("api", counts)
    _log_refused(read, outcomes, counts)
    return bodies.answer(
        _Receipt(
            counts[Outcome.RECORDED],
            counts[Outcome.DUPLICATE],
            counts[Outcome.CONFLICT],
            counts[Outcome.REJECTED],
            shown,
        )
    )
