"""POST /spend-events: every event has its own result, in the order sent; whatever else is wrong is a clear problem."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client

from campaigns.api import spend as door
from campaigns.api.problems import Problem
from campaigns.api.together import FullError, LateError, Together, _Seat
from campaigns.gateways.spend_json import WireEvent
from campaigns.models import Campaign, Hold, Scope, SpendLog
from campaigns.rules import money
from campaigns.rules.periods import Period
from campaigns.services import catalog
from campaigns.services.keys import revoke_key
from campaigns.services.spend import MAX_EVENTS
from tests import factories
from tests.api.asking import BASE, Asker, done, problem_of
from tests.factories import NOW
from tests.services import reading
from tests.services.holding import held, place, stored
from tests.services.races import together

pytestmark = pytest.mark.django_db

PATH = "/spend-events"
EVER = "1970-01-01"


@pytest.fixture(autouse=True)
def _it_is_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def campaign() -> Campaign:
    return factories.campaign(factories.brand(daily_budget=100), external_id="c-1")


def sent(campaign: Campaign, event_id: str = "e", amount: Any = "1", **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, "campaign_id": campaign.pk, "amount": amount, **fields}


def as_lines(*events: Any) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


def posted(asker: Asker, data: bytes, kind: str = "application/json", query: str = "", **extra: Any) -> HttpResponse:
    """Send bytes of a content type."""
    answer = asker._client.generic("POST", BASE + PATH + query, data, content_type=kind, **extra)
    assert isinstance(answer, HttpResponse)
    return answer


def lines(asker: Asker, *events: Any, query: str = "") -> Any:
    return done(posted(asker, as_lines(*events), "application/x-ndjson", query))


def body(asker: Asker, *events: Any, query: str = "") -> Any:
    return asker.post(PATH + query, {"events": events})


both = pytest.mark.parametrize("send", [body, lines])
Send = Callable[..., Any]


def statuses(receipt: dict[str, Any]) -> list[str]:
    return [result["status"] for result in receipt["results"]]


# --- What is recorded ------------------------------------------------------------------------


@both
def test_every_event_has_its_result_in_the_order_sent(campaign: Campaign, send: Send) -> None:
    asker = Asker(Scope.SPEND)
    send(asker, sent(campaign, "known", "2"))
    receipt = send(
        asker,
        sent(campaign, "b", "1.000001"),
        {"event_id": 5},
        sent(campaign, "known", "2"),
        sent(campaign, "a", 3),
        "no event",
        sent(campaign, "known", "4"),
        sent(campaign, "bad", "-1"),
        sent(campaign, "a", "3.00"),
        sent(campaign, "", "1"),
        sent(campaign, "less", "-1", kind="adjustment", note="back"),
    )
    assert [(result["event_id"], result["status"]) for result in receipt["results"]] == [
        ("b", "recorded"),
        (None, "rejected"),
        ("known", "duplicate"),
        ("a", "recorded"),
        (None, "rejected"),
        ("known", "conflict"),
        ("bad", "rejected"),
        ("a", "duplicate"),
        ("", "rejected"),
        ("less", "recorded"),
    ]
    assert {name: receipt[name] for name in ("recorded", "duplicates", "conflicts", "rejected")} == {
        "recorded": 3,
        "duplicates": 2,
        "conflicts": 1,
        "rejected": 4,
    }
    for result in receipt["results"]:
        assert result.get("detail", "").endswith(".") is (result["status"] != "recorded")
    assert reading.counted(campaign, Period.TOTAL, EVER) == money.from_micros(5_000_001)
    assert reading.counters() == reading.sums_of_the_ledger()


@both
def test_only_the_problems_may_be_asked_for(campaign: Campaign, send: Send) -> None:
    asker = Asker(Scope.SPEND)
    first = send(asker, *(sent(campaign, f"{at}") for at in range(5)), query="?results=problems")
    assert first == {"recorded": 5, "duplicates": 0, "conflicts": 0, "rejected": 0, "results": []}
    receipt = send(asker, sent(campaign, "new"), sent(campaign, "1"), {}, query="?results=problems")
    assert (receipt["recorded"], statuses(receipt)) == (1, ["duplicate", "rejected"])
    assert statuses(send(asker, sent(campaign, "newer"), query="?results=all")) == ["recorded"]


@both
def test_an_event_without_a_time_occurred_when_it_arrived(campaign: Campaign, send: Send) -> None:
    asker = Asker(Scope.SPEND)
    send(asker, sent(campaign, "a"), sent(campaign, "b", timestamp="2025-06-18T01:30:00+02:00"))
    days = dict(SpendLog.objects.values_list("event_id", "day"))
    assert days == {"a": NOW.date(), "b": NOW.date() - timedelta(days=1)}
    assert SpendLog.objects.get(event_id="a").timestamp == NOW


@both
def test_times_that_can_not_be(campaign: Campaign, send: Send) -> None:
    moments = {
        "2025-06-18T12:05:00Z": "recorded",
        "2025-06-18T12:05:00.000001Z": "in the future by more than 5 minutes",
        "2025-06-18T12:00:00": "has no offset from UTC",
        "2025-04-17T12:00:00Z": "recorded",
        "2025-04-17T11:59:59.999999Z": "more than 62 days ago",
        "0001-01-01T00:00:00+14:00": "more than 62 days ago",
        "9999-12-31T23:59:59-14:00": "in the future",
    }
    receipt = send(Asker(Scope.SPEND), *(sent(campaign, at, timestamp=at) for at in moments))
    for result, expected in zip(receipt["results"], moments.values(), strict=True):
        assert expected in (result["status"], result["status"] + result.get("detail", "")) or (
            result["status"] == "rejected" and expected in result["detail"]
        )


@both
def test_spend_pauses_at_once_and_paused_spend_is_recorded(campaign: Campaign, send: Send) -> None:
    asker = Asker(Scope.SPEND)
    send(asker, sent(campaign, "a", "100"))
    assert reading.why(campaign) == ["brand_daily_budget"]
    assert statuses(send(asker, sent(campaign, "b", "100"))) == ["recorded"]
    catalog.archive_campaign(campaign_id=campaign.pk, now=NOW)
    assert statuses(send(asker, sent(campaign, "c", "100"))) == ["recorded"]


@both
def test_a_campaign_may_be_called_by_the_reporters_own_name_for_it(campaign: Campaign, send: Send) -> None:
    named = {"event_id": "a", "amount": "1", "campaign_external_id": "c-1", "brand_id": campaign.brand_id}
    receipt = send(
        Asker(Scope.SPEND),
        named,
        {**named, "event_id": "b", "campaign_id": campaign.pk},
        {**named, "event_id": "c", "brand_id": None},
        {**named, "event_id": "d", "brand_id": campaign.brand_id + 1},
        {**named, "event_id": "e", "campaign_external_id": "C-1"},
        {**named, "event_id": "f", "campaign_external_id": "\x00"},
        {**named, "event_id": "g", "brand_id": 2**70},
        {**sent(campaign, "h"), "brand_id": campaign.brand_id + 1},
        {**sent(campaign, "i"), "brand_id": campaign.brand_id},
        {"event_id": "j", "amount": "1"},
    )
    assert statuses(receipt) == ["recorded", *["rejected"] * 7, "recorded", "rejected"]
    assert [result["detail"] for result in receipt["results"] if "detail" in result] == [
        "Give campaign_id or campaign_external_id, not both.",
        "The brand is missing; an external id is unique only with its brand_id.",
        f"Brand {campaign.brand_id + 1} has no campaign with the external id 'c-1'.",
        f"Brand {campaign.brand_id} has no campaign with the external id 'C-1'.",
        f"Brand {campaign.brand_id} has no campaign with the external id '\\x00'.",
        f"Brand {2**70} has no campaign with the external id 'c-1'.",
        f"Campaign {campaign.pk} is not one of brand {campaign.brand_id + 1}.",
        "The campaign is missing; give campaign_id, or campaign_external_id with brand_id.",
    ]


@both
@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, 2**63, 2**64 - 1, -(2**70), 10**40], ids=range(7))
def test_a_campaign_or_hold_that_there_is_not(campaign: Campaign, send: Send, number: int) -> None:
    shown = number if abs(number) <= 10**30 else "of such an id"
    receipt = send(
        Asker(Scope.SPEND),
        sent(campaign, "a"),
        {**sent(campaign, "b"), "campaign_id": number},
        sent(campaign, "c", hold_id=number),
        sent(campaign, "d"),
    )
    assert statuses(receipt) == ["recorded", "rejected", "rejected", "recorded"]
    assert receipt["results"][1]["detail"] == f"There is no campaign {shown}."
    assert receipt["results"][2]["detail"].startswith(f"Campaign {campaign.pk} has no hold {shown}")


@both
def test_a_campaign_of_another_brand_is_none(campaign: Campaign, send: Send) -> None:
    other = factories.campaign(external_id="o-1")
    hold = place(other, 5, now=NOW)
    asker = Asker(Scope.SPEND, brands=[campaign.brand])
    named = {"event_id": "e", "amount": "1", "campaign_external_id": "o-1", "brand_id": other.brand_id}
    receipt = send(
        asker, sent(campaign, "a"), sent(other, "b"), named, sent(other, "d", hold_id=hold.id),
        sent(campaign, "f", hold_id=hold.id), {**sent(other, "g"), "campaign_id": 10**9},
    )  # fmt: skip
    assert statuses(receipt) == ["recorded", *["rejected"] * 5]
    details = [result["detail"] for result in receipt["results"][1:]]
    # What is not there and what may not be seen read the same.
    assert [details[0].replace(str(other.pk), "N"), details[2].replace(str(other.pk), "N")] == [
        "There is no campaign N."
    ] * 2
    assert details[4] == f"There is no campaign {10**9}."
    assert details[1] == f"Brand {other.brand_id} has no campaign with the external id 'o-1'."
    assert SpendLog.objects.count() == 1
    assert stored(hold).state == Hold.State.OPEN


@both
def test_an_event_may_settle_a_hold(campaign: Campaign, send: Send) -> None:
    holds = [place(campaign, 5, now=NOW) for _ in range(3)]
    receipt = send(Asker(Scope.SPEND), *(sent(campaign, f"{hold.id}", "4", hold_id=hold.id) for hold in holds))
    assert statuses(receipt) == ["recorded"] * 3
    assert held() == {}
    assert {stored(hold).event_id for hold in holds} == {f"{hold.id}" for hold in holds}


ODD_IDS = ["é", "e\u0301", "🙂" * 128, "'; --", '"', "\\", "{a,b}", "NULL", " ", "%s", "\u2028", "\u200b", "x" * 129]


@both
def test_event_ids_with_odd_characters(campaign: Campaign, send: Send) -> None:
    asker = Asker(Scope.SPEND)
    receipt = send(asker, *(sent(campaign, one) for one in ODD_IDS))
    good = [one for one in ODD_IDS if len(one) <= 128 and one.isprintable()]
    assert statuses(receipt) == ["recorded" if one in good else "rejected" for one in ODD_IDS]
    assert set(SpendLog.objects.values_list("event_id", flat=True)) == set(good)
    half = send(asker, sent(campaign, "before"), sent(campaign, "cut \ud83d"), sent(campaign, "after"))
    assert statuses(half) == ["recorded", "rejected", "recorded"]
    again = send(asker, *(sent(campaign, one) for one in good))
    assert statuses(again) == ["duplicate"] * len(good)
    assert [result["event_id"] for result in again["results"]] == good


def test_as_many_as_may_be_in_one_request(campaign: Campaign) -> None:
    asker = Asker(Scope.SPEND)
    events = [sent(campaign, f"{at}", "0.01") for at in range(MAX_EVENTS)]
    receipt = body(asker, *events, query="?results=problems")
    assert (receipt["recorded"], receipt["results"]) == (MAX_EVENTS, [])
    assert reading.counted(campaign, Period.TOTAL, EVER) == 100
    for answer in (posted(asker, as_lines(*events, events[0]), "application/x-ndjson"),
                   posted(asker, json.dumps({"events": [*events, events[0]]}).encode())):  # fmt: skip
        problem = problem_of(answer, 400)
        assert problem["detail"] == "These are more than 10,000 events; send at most 10,000 at once."


# --- Requests that are none ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"x", "application/json", 400),
        (b" ", "application/json", 400),
        (b"{}", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"events":[]}', "application/json", 400),
        (b'{"events":[{}],"x":1}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 50_000, "application/json", 400),
        (b"\n\n", "application/x-ndjson", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b"{}", "application/ndjson", 415),
        (b"{}", "multipart/form-data; boundary=x", 415),
        (b"{}", "application/x-www-form-urlencoded", 415),
    ],
    ids=range(14),
)
def test_a_body_that_can_not_be_read(data: bytes, kind: str, status: int) -> None:
    asker = Asker(Scope.SPEND)
    problem = problem_of(posted(asker, data, kind), status)
    assert problem["detail"].endswith(".")
    # Who has no key gets no advice but that one is needed, whatever is wrong with the body.
    if status == 400:
        revoke_key(key_id=asker.key.pk, now=NOW)
        assert problem_of(posted(asker, data, kind), 401)["type"] == "unauthorized"


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x=y"])
def test_content_types_that_are_json(campaign: Campaign, kind: str) -> None:
    data = json.dumps({"events": [sent(campaign)]}).encode()
    assert statuses(done(posted(Asker(Scope.SPEND), data, kind))) == ["recorded"]


@pytest.mark.parametrize(
    ("length", "status"),
    [("", 411), ("8388609", 413), ("9" * 30, 413), ("²", 413), ("-1", 413), ("x", 413), ("1.0", 413), ("1_0", 413)],
)
def test_lengths_that_are_none(campaign: Campaign, length: str, status: int) -> None:
    answer = posted(Asker(Scope.SPEND), b'{"events":[]}', CONTENT_LENGTH=length)
    assert problem_of(answer, status)["type"] == {411: "length-required", 413: "too-large"}[status]


@pytest.mark.parametrize("query", ["?results=", "?results=none", "?results=All", "?results=all&results=x"])
def test_results_that_can_not_be_asked_for(campaign: Campaign, query: str) -> None:
    data = json.dumps({"events": [sent(campaign)]}).encode()
    problem_of(posted(Asker(Scope.SPEND), data, query=query), 422)
    assert SpendLog.objects.count() == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods(method: str) -> None:
    problem = problem_of(Asker().ask(method, PATH), 405)
    assert problem["type"] == "method-not-allowed"


@pytest.mark.parametrize("events", [["x"], [{}], ["x", {}]])
def test_without_a_key_no_event_is_told_what_is_wrong_with_it(events: list[Any]) -> None:
    """None of them can be read, so that nothing would have to be recorded."""
    answer = Client().generic(
        "POST", BASE + PATH, json.dumps({"events": events}), content_type="application/json",
        headers={"authorization": "Bearer bk_000000000000_x"},
    )  # fmt: skip
    assert problem_of(answer, 401)["type"] == "unauthorized"  # type: ignore[arg-type]  # what the client gives is one


# --- Together with others --------------------------------------------------------------------


def report(asker: Asker, *events: dict[str, Any]) -> door._Report:
    return door._Report(asker.secret, [WireEvent(**event) for event in events])


def test_several_reports_in_one_transaction_each_get_their_own(campaign: Campaign) -> None:
    other = factories.campaign()
    anybody, limited = Asker(Scope.SPEND), Asker(Scope.SPEND, brands=[other.brand])
    reader, revoked = Asker(Scope.READ), Asker(Scope.SPEND)
    revoke_key(key_id=revoked.key.pk, now=NOW)
    answers = door._record(
        [
            report(anybody, sent(campaign, "a"), sent(other, "b")),
            report(reader, sent(campaign, "c")),
            report(limited, sent(campaign, "d"), sent(other, "b")),
            report(revoked, sent(campaign, "e"), sent(campaign, "f")),
            report(anybody),
            report(anybody, sent(campaign, "a")),
        ]
    )
    told = [
        answer.status if isinstance(answer, Problem) else [result.outcome.value for result in answer]
        for answer in answers
        if isinstance(answer, Problem | list)
    ]
    assert told == [["recorded", "recorded"], 403, ["rejected", "duplicate"], 401, [], ["duplicate"]]
    assert set(SpendLog.objects.values_list("event_id", flat=True)) == {"a", "b"}


def at_once(desk: Together[Any, Any], asks: Sequence[Any]) -> list[Any]:
    """Have a desk do some asks in one call, as if they had come at the same moment; return answers and errors."""
    seats = [_Seat[Any, Any](ask, 1) for ask in asks]
    desk._answer(seats)
    return [seat.answer for seat in seats]


def test_a_report_that_no_counter_can_hold_does_not_spoil_those_beside_it(campaign: Campaign) -> None:
    asker, full = Asker(Scope.SPEND), factories.campaign()
    events = [sent(full, f"{at}", "1000000000") for at in range(9_000)]
    assert body(asker, *events, query="?results=problems")["recorded"] == 9_000
    reports = [
        report(asker, sent(campaign, "a")),
        report(asker, sent(full, "b", 1)),
        report(asker, sent(campaign, "c")),
    ]
    answers = at_once(Together(door._record, most=10, waiting=10), reports)
    assert [type(answer).__name__ for answer in answers] == ["list", "BudgetError", "list"]
    assert set(SpendLog.objects.filter(campaign=campaign).values_list("event_id", flat=True)) == {"a", "c"}
    problem = asker.problem("POST", PATH, {"events": [sent(full, "b", 1)]})
    assert (problem["type"], "9,000,000,000,000" in problem["detail"]) == ("refused", True)


@pytest.mark.parametrize(("error", "words"), [(FullError, "nothing of this was"), (LateError, "counts once")])
def test_where_too_much_waits_a_reporter_is_told_to_come_again(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch, error: type[Exception], words: str
) -> None:
    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr(door, "_together", refuse)
    answer = posted(Asker(Scope.SPEND), json.dumps({"events": [sent(campaign)]}).encode())
    assert answer.status_code == 503
    assert answer["Retry-After"] == "1"
    problem = json.loads(answer.content)
    assert (problem["type"], words in problem["detail"]) == ("overloaded", True)


def test_a_database_that_does_not_answer_is_503(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(door, "record_spend", fail)
    for events in ([sent(campaign)], [sent(campaign, f"{at}") for at in range(1_000)]):
        answer = posted(Asker(Scope.SPEND), json.dumps({"events": events}).encode())
        assert (answer.status_code, answer["Retry-After"]) == (503, "1")
        assert json.loads(answer.content)["type"] == "unavailable"


@pytest.mark.django_db(transaction=True)
def test_many_reporters_at_once_each_get_their_own_results(campaign: Campaign) -> None:
    other = factories.campaign(campaign.brand)
    askers = [Asker(Scope.SPEND) for _ in range(8)]

    def reporter(number: int) -> Sequence[str]:
        told = []
        for at in range(10):
            own = sent([campaign, other][at % 2], f"{number}-{at}", "0.01")
            shared = sent(campaign, f"shared {at}", "0.01")
            receipt = body(askers[number], own, {"event_id": f"bad {at}"}, shared)
            assert [result["event_id"] for result in receipt["results"]] == [
                own["event_id"], f"bad {at}", shared["event_id"]
            ]  # fmt: skip
            told.append(statuses(receipt)[2])
            assert statuses(receipt)[:2] == ["recorded", "rejected"]
            assert SpendLog.objects.filter(event_id=own["event_id"]).exists()
        return told

    told = together(*(partial(reporter, number) for number in range(8)))
    assert [sum(one[at] == "recorded" for one in told) for at in range(10)] == [1] * 10
    assert SpendLog.objects.count() == 90
    assert reading.counters() == reading.sums_of_the_ledger()
