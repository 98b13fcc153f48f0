"""Holds over HTTP: what is granted, what is refused and with which problem, and that all can be asked again."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import OperationalError

from campaigns.api import holds as door
from campaigns.api.problems import Problem
from campaigns.api.together import FullError, LateError, Together
from campaigns.models import Campaign, Hold, Scope, SpendLog
from campaigns.rules.periods import Period
from campaigns.services import catalog, holds
from campaigns.services.holds import expire_holds
from campaigns.services.keys import revoke_key
from tests import factories
from tests.api.asking import BASE, Asker, done, pointers, problem_of
from tests.api.test_spend_events import at_once
from tests.factories import NOW, spend
from tests.services import reading
from tests.services.holding import ask, assert_held_is_sound, held, place
from tests.services.races import together

pytestmark = pytest.mark.django_db

EVER = "1970-01-01"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    """It is noon, until a test moves on."""
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def campaign() -> Campaign:
    return factories.campaign(factories.brand(daily_budget=10))


@pytest.fixture
def asker() -> Asker:
    return Asker(Scope.SPEND)


def asked(campaign: Campaign, amount: Any = "6.00", key: str = "k", **fields: Any) -> dict[str, Any]:
    return {"campaign_id": campaign.pk, "amount": amount, "key": key, **fields}


def placed(asker: Asker, campaign: Campaign, amount: Any = "6.00", key: str = "k", **fields: Any) -> Any:
    return asker.post("/holds", asked(campaign, amount, key, **fields), status=201)


def final(event_id: str = "e", amount: Any = "4.00", **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, "amount": amount, **fields}


# --- Placing ---------------------------------------------------------------------------------


def test_a_hold_and_all_that_is_told_of_it(asker: Asker, campaign: Campaign) -> None:
    hold = placed(asker, campaign, "6.5", minimum="2", ttl_seconds=90)
    assert hold == {
        "id": Hold.objects.get().pk,
        "campaign_id": campaign.pk,
        "brand_id": campaign.brand_id,
        "key": "k",
        "state": "open",
        "amount": "6.50",
        "asked": "6.50",
        "minimum": "2.00",
        "day": "2025-06-18",
        "created_at": "2025-06-18T12:00:00Z",
        "expires_at": "2025-06-18T12:01:30Z",
        "event_id": None,
    }
    assert asker.get(f"/holds/{hold['id']}") == hold


def test_a_minute_and_all_or_nothing_unless_told_otherwise(asker: Asker, campaign: Campaign) -> None:
    hold = placed(asker, campaign, 6, minimum=None)
    assert (hold["minimum"], hold["expires_at"]) == ("6.00", "2025-06-18T12:01:00Z")


def test_the_same_request_again_is_answered_the_same(
    asker: Asker, campaign: Campaign, clock: time_machine.Traveller
) -> None:
    hold = placed(asker, campaign)
    assert placed(asker, campaign) == placed(asker, campaign, "6.0", minimum="6") == hold
    clock.move_to(NOW + timedelta(minutes=1))
    assert placed(asker, campaign) == {**hold, "state": "expired"}
    assert Hold.objects.count() == 1


def test_less_than_was_asked_for(asker: Asker, campaign: Campaign) -> None:
    spend(campaign, 7)
    hold = placed(asker, campaign, "6.00", minimum="1.00")
    assert (hold["amount"], hold["asked"], hold["minimum"]) == ("3.00", "6.00", "1.00")


def test_what_is_left_and_which_limit_binds(asker: Asker, campaign: Campaign) -> None:
    spend(campaign, "7.25")
    problem = asker.problem("POST", "/holds", asked(campaign), status=409)
    assert problem == {
        "type": "budget-exhausted",
        "title": "The budget does not have this much left",
        "status": 409,
        "detail": "6.00 is more than what is left, 2.75, of the brand daily budget: the rest is spent or held.",
        "limit": "brand_daily_budget",
        "left": "2.75",
    }


def test_why_a_campaign_may_not_spend(asker: Asker, campaign: Campaign) -> None:
    spend(campaign, 10)
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    problem = asker.problem("POST", "/holds", asked(campaign), status=409)
    assert (problem["type"], problem["reasons"]) == ("campaign-paused", ["manual", "brand_daily_budget"])
    catalog.archive_campaign(campaign_id=campaign.pk, now=NOW)
    problem = asker.problem("POST", "/holds", asked(campaign), status=409)
    assert (problem["type"], problem["reasons"]) == ("campaign-paused", ["manual"])
    assert problem["detail"] == f"Campaign {campaign.pk} is archived."


def test_a_key_that_was_used_for_another_hold(asker: Asker, campaign: Campaign) -> None:
    placed(asker, campaign)
    problem = asker.problem("POST", "/holds", asked(campaign, "5"), status=409)
    assert problem["type"] == "key-used"
    assert f"was used for another hold (6.00 for campaign {campaign.pk})" in problem["detail"]


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"amount": "0"}, "/amount"),
    ({"amount": "-1"}, "/amount"),
    ({"amount": "1.0000001"}, "/amount"),
    ({"amount": "NaN"}, "/amount"),
    ({"amount": 1.5}, "/amount"),
    ({"amount": None}, "/amount"),
    ({"amount": True}, "/amount"),
    ({"amount": 10**30}, "/amount"),
    ({"minimum": "7"}, "/minimum"),
    ({"minimum": "0"}, "/minimum"),
    ({"minimum": 0.5}, "/minimum"),
    ({"ttl_seconds": 0}, "/ttl_seconds"),
    ({"ttl_seconds": 86_401}, "/ttl_seconds"),
    ({"ttl_seconds": 1.5}, "/ttl_seconds"),
    ({"ttl_seconds": "60"}, "/ttl_seconds"),
    ({"ttl_seconds": None}, "/ttl_seconds"),
    ({"ttl_seconds": 10**30}, "/ttl_seconds"),
    ({"key": ""}, "/key"),
    ({"key": "x" * 129}, "/key"),
    ({"key": "a\x00"}, "/key"),
    ({"key": 5}, "/key"),
    ({"key": None}, "/key"),
    ({"campaign_id": "7"}, "/campaign_id"),
    ({"campaign_id": None}, "/campaign_id"),
    ({"campaign_id": 1.5}, "/campaign_id"),
    ({"campaign_id": True}, "/campaign_id"),
    ({"surprise": 1}, "/surprise"),
    ({"x" * 99: 1}, f"/{'x' * 40}"),
]


@pytest.mark.parametrize(("fields", "pointer"), INVALID, ids=range(len(INVALID)))
def test_what_is_wrong_is_said_and_where(
    asker: Asker, campaign: Campaign, fields: dict[str, Any], pointer: str
) -> None:
    problem = asker.problem("POST", "/holds", {**asked(campaign), **fields})
    assert (problem["type"], pointers(problem)) == ("invalid-fields", [pointer])
    assert Hold.objects.count() == 0


@pytest.mark.parametrize("name", ["campaign_id", "amount", "key"])
def test_what_is_missing_is_said(asker: Asker, campaign: Campaign, name: str) -> None:
    sent = asked(campaign)
    del sent[name]
    problem = asker.problem("POST", "/holds", sent)
    assert (problem["detail"], pointers(problem)) == (f"The {name} is missing.", [f"/{name}"])


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"x", 400), (b"{", 400), (b"\xff", 400), (b"[" * 50_000, 422), (b"[]", 422), (b"null", 422), (b"1", 422),
        (b"{}{}", 422), (b'{"amount":"\\ud83d"}', 400), (b'{"amount":"\xff"}', 400),
        (b'{"amount":%b}' % (b"1" * 5_000), 422),
    ],
    ids=range(11),
)  # fmt: skip
@pytest.mark.parametrize("path", ["/holds", "/holds/1/settle"])
def test_a_body_that_can_not_be_read(asker: Asker, path: str, data: bytes, status: int) -> None:
    problem = problem_of(asker.ask("POST", path, data), status)
    assert problem["type"] == {400: "invalid-request", 422: "invalid-fields"}[status]
    revoke_key(key_id=asker.key.pk, now=NOW)
    assert problem_of(asker.ask("POST", path, data), 401)["type"] == "unauthorized"


@pytest.mark.parametrize("path", ["/holds", "/holds/1/settle"])
def test_a_body_of_another_kind_or_length(asker: Asker, path: str) -> None:
    post = partial(asker._client.generic, "POST", BASE + path, b"{}")
    for kind in ("text/plain", "application/x-ndjson", "multipart/form-data; boundary=x"):
        assert post(content_type=kind).status_code == 415
    for length, status in (("", 411), (str(8 * 2**20 + 1), 413)):
        assert post(content_type="application/json", CONTENT_LENGTH=length).status_code == status


@pytest.mark.parametrize("number", [0, -1, 10**9, 2**63, 2**70], ids=range(5))
def test_a_campaign_that_there_is_not(asker: Asker, campaign: Campaign, number: int) -> None:
    problem = asker.problem("POST", "/holds", {**asked(campaign), "campaign_id": number}, status=404)
    assert problem["type"] == "not-found"


def test_a_key_of_another_brand_finds_neither_campaign_nor_hold(asker: Asker, campaign: Campaign) -> None:
    hold = placed(asker, campaign)
    stranger = Asker(Scope.SPEND, brands=[factories.brand()])
    assert stranger.problem("POST", "/holds", asked(campaign), status=404)["detail"] == (
        f"There is no campaign {campaign.pk}."
    )
    for method, path, sent in (
        ("GET", f"/holds/{hold['id']}", None),
        ("POST", f"/holds/{hold['id']}/settle", final()),
        ("POST", f"/holds/{hold['id']}/release", None),
    ):
        problem = stranger.problem(method, path, sent, status=404)
        assert problem["detail"] == f"There is no hold {hold['id']}."
    assert asker.get(f"/holds/{hold['id']}") == hold
    assert SpendLog.objects.count() == 0


@pytest.mark.parametrize("number", [0, 10**9, 2**63 - 1, 2**63, 2**70])
def test_a_hold_that_there_is_not(asker: Asker, number: int) -> None:
    shown = number if number < 2**63 else "of such an id"
    for method, path, sent in (
        ("GET", f"/holds/{number}", None),
        ("POST", f"/holds/{number}/settle", final()),
        ("POST", f"/holds/{number}/release", None),
    ):
        assert asker.problem(method, path, sent, status=404)["detail"] == f"There is no hold {shown}."


@pytest.mark.parametrize("path", ["/holds/x", "/holds/-1", "/holds/1.5", "/holds/1/steal", "/holds/" + "9" * 5_000])
def test_an_address_that_is_none(asker: Asker, path: str) -> None:
    assert asker.problem("GET", path, status=404)["type"] == "not-found"


# --- Settling --------------------------------------------------------------------------------


def test_settling_records_the_spend_and_frees_the_rest(asker: Asker, campaign: Campaign) -> None:
    hold = placed(asker, campaign)
    answer = asker.post(f"/holds/{hold['id']}/settle", final(amount="7.25", note="a little more"))
    assert answer == {"hold": {**hold, "state": "settled", "event_id": "e"}, "status": "recorded"}
    assert held() == {}
    assert reading.counted(campaign, Period.TOTAL, EVER) == SpendLog.objects.get().amount
    again = asker.post(f"/holds/{hold['id']}/settle", final(amount="7.250000", note="a little more"))
    assert again == {**answer, "status": "duplicate"}
    assert SpendLog.objects.count() == 1
    assert asker.get(f"/holds/{hold['id']}")["state"] == "settled"


def test_another_event_for_a_settled_hold_is_refused(asker: Asker, campaign: Campaign) -> None:
    path = f"/holds/{placed(asker, campaign)['id']}/settle"
    asker.post(path, final("one"))
    problem = asker.problem("POST", path, final("two"), status=409)
    assert problem["type"] == "hold-settled"
    assert "was settled by the event 'one'; this one was not counted" in problem["detail"]
    assert asker.problem("POST", path, final("one", "5.00"), status=409)["type"] == "event-conflict"
    assert SpendLog.objects.count() == 1


def test_an_event_id_that_was_used_for_other_spend_is_a_conflict(asker: Asker, campaign: Campaign) -> None:
    spend(campaign, 1, event_id="e")
    hold = placed(asker, campaign)
    problem = asker.problem("POST", f"/holds/{hold['id']}/settle", final(), status=409)
    assert problem["type"] == "event-conflict"
    assert asker.get(f"/holds/{hold['id']}")["state"] == "open"


@pytest.mark.parametrize("swept", [True, False])
@pytest.mark.parametrize("ended", ["expired", "released"])
def test_what_was_spent_is_recorded_when_the_hold_is_over(
    asker: Asker, campaign: Campaign, clock: time_machine.Traveller, ended: str, swept: bool
) -> None:
    hold = placed(asker, campaign)
    if ended == "released":
        asker.post(f"/holds/{hold['id']}/release")
    clock.move_to(NOW + timedelta(minutes=1))
    if swept:
        expire_holds(now=NOW + timedelta(minutes=1))
    assert asker.get(f"/holds/{hold['id']}")["state"] == ended
    answer = asker.post(f"/holds/{hold['id']}/settle", final())
    assert (answer["status"], answer["hold"]["state"]) == ("recorded", "settled")
    assert_held_is_sound()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"amount": "0"}, "The amount is zero"),
        ({"amount": "-1"}, "The amount is negative"),
        ({"amount": 1.5}, "The amount is not a decimal number as text"),
        ({"event_id": ""}, "The event id is missing"),
        ({"event_id": "x" * 129}, "The event id must be 1 to 128 printable characters"),
        ({"event_id": 5}, "The event_id is not a text"),
        ({"timestamp": "2025-06-18T12:00:00"}, "has no offset from UTC"),
        ({"timestamp": "now"}, "The timestamp is not an RFC 3339 time"),
        ({"timestamp": "2025-06-18T13:00:00Z"}, "in the future by more than 5 minutes"),
        ({"timestamp": "2025-01-18T13:00:00Z"}, "more than 62 days ago"),
        ({"note": "x" * 501}, "The note is longer than 500 characters"),
        ({"kind": "adjustment"}, "There is no such field"),
        ({"campaign_id": 1}, "There is no such field"),
    ],
)
def test_a_settlement_that_can_not_be_recorded(
    asker: Asker, campaign: Campaign, fields: dict[str, Any], sentence: str
) -> None:
    hold = placed(asker, campaign)
    problem = asker.problem("POST", f"/holds/{hold['id']}/settle", {**final(), **fields})
    assert problem["type"] == "invalid-fields"
    assert sentence in problem["detail"]
    assert asker.get(f"/holds/{hold['id']}") == hold


# --- Releasing -------------------------------------------------------------------------------


def test_releasing_frees_it_and_again_says_the_same(asker: Asker, campaign: Campaign) -> None:
    hold = placed(asker, campaign, "10")
    for _ in range(2):
        assert asker.post(f"/holds/{hold['id']}/release") == {**hold, "state": "released"}
    assert held() == {}
    placed(asker, campaign, "10", key="another")


@pytest.mark.parametrize("swept", [True, False])
def test_releasing_what_has_expired_says_so(
    asker: Asker, campaign: Campaign, clock: time_machine.Traveller, swept: bool
) -> None:
    hold = placed(asker, campaign)
    clock.move_to(NOW + timedelta(minutes=1))
    if swept:
        expire_holds(now=NOW + timedelta(minutes=1))
    assert asker.post(f"/holds/{hold['id']}/release") == {**hold, "state": "expired"}


def test_a_settled_hold_is_not_released(asker: Asker, campaign: Campaign) -> None:
    hold = placed(asker, campaign)
    asker.post(f"/holds/{hold['id']}/settle", final())
    problem = asker.problem("POST", f"/holds/{hold['id']}/release", status=409)
    assert (problem["type"], "can't be released" in problem["detail"]) == ("hold-settled", True)


# --- Together with others --------------------------------------------------------------------


def told(answers: list[Any]) -> list[Any]:
    """What each was answered: the state of its hold, or the type of its problem."""
    return [
        answer.kind
        if isinstance(answer, Problem)
        else answer[1].outcome.value
        if isinstance(answer, tuple) and isinstance(answer[0], tuple)
        else answer.state.label
        for answer in answers
    ]


def test_asks_at_the_same_moment_each_get_their_own(campaign: Campaign) -> None:
    other = factories.campaign()
    anybody, limited = Asker(Scope.SPEND), Asker(Scope.SPEND, brands=[other.brand])
    reader, revoked = Asker(Scope.READ), Asker(Scope.SPEND)
    revoke_key(key_id=revoked.key.pk, now=NOW)
    asks = [
        (anybody.secret, ask(campaign, 6, key="a")),
        (reader.secret, ask(campaign, 1)),
        (limited.secret, ask(campaign, 1)),
        (limited.secret, ask(other, 1)),
        (revoked.secret, ask(campaign, 1)),
        (anybody.secret, ask(campaign, 6)),
        (anybody.secret, ask(campaign, -1)),
        (anybody.secret, ask(campaign, 6, key="a")),
    ]
    answers = at_once(Together(door._place_together, most=10, waiting=10), asks)
    expected = ["open", "forbidden", "not-found", "open", "unauthorized", "budget-exhausted", "invalid-fields", "open"]
    assert told(answers) == expected
    assert answers[0] == answers[7]


def test_settlements_at_the_same_moment_each_get_their_own(campaign: Campaign) -> None:
    other = factories.campaign()
    anybody, limited = Asker(Scope.SPEND), Asker(Scope.SPEND, brands=[other.brand])
    rows = [place(campaign, 1) for _ in range(3)]
    spend(campaign, 9, event_id="used")

    def settling(asker: Asker, hold_id: int, event_id: str, amount: str = "1") -> door._Settlement:
        return door._Settlement(asker.secret, hold_id, door._Final(event_id, amount))

    settlements = [
        settling(anybody, rows[0].id, "used"),  # spend of other content: it settles nothing
        settling(anybody, rows[0].id, "b"),
        settling(anybody, rows[0].id, "a"),
        settling(limited, rows[1].id, "c"),
        settling(anybody, rows[1].id, "c", "0"),
        settling(anybody, 10**9, "d"),
        settling(anybody, 2**70, "d"),
        settling(anybody, rows[2].id, "d"),
        settling(anybody, rows[2].id, "d"),
    ]
    answers = at_once(Together(door._settle_together, most=10, waiting=10), settlements)
    assert told(answers) == [
        "conflict", "recorded", "conflict", "not-found", "rejected", "not-found", "not-found", "recorded", "duplicate"
    ]  # fmt: skip
    assert answers[1][0].event_id == "b"
    assert_held_is_sound()


def test_releases_at_the_same_moment_each_get_their_own(campaign: Campaign) -> None:
    stranger, anybody = Asker(Scope.SPEND, brands=[factories.brand()]), Asker(Scope.SPEND)
    rows = [place(campaign, 1) for _ in range(3)]
    anybody.post(f"/holds/{rows[1].id}/settle", final())
    asks = [
        (anybody.secret, rows[0].id),
        (stranger.secret, rows[2].id),
        (anybody.secret, rows[1].id),
        (anybody.secret, 2**70),
        (anybody.secret, rows[0].id),
    ]
    answers = at_once(Together(door._release_together, most=10, waiting=10), asks)
    assert told(answers) == ["released", "not-found", "hold-settled", "not-found", "released"]
    assert Hold.objects.filter(state=Hold.State.OPEN).count() == 1


def test_a_settlement_that_no_counter_can_hold_does_not_spoil_those_beside_it(campaign: Campaign) -> None:
    asker, full = Asker(Scope.SPEND), factories.campaign()
    too_much, good = place(full, 1), place(campaign, 1)
    events = [{"event_id": f"{at}", "campaign_id": full.pk, "amount": "1000000000"} for at in range(9_000)]
    asker.post("/spend-events?results=problems", {"events": events})
    settlements = [door._Settlement(asker.secret, row.id, door._Final(f"e{row.id}", "1")) for row in (good, too_much)]
    answers = at_once(Together(door._settle_together, most=10, waiting=10), settlements)
    assert answers[0][1].outcome == "recorded"
    assert type(answers[1]).__name__ == "BudgetError"
    problem = asker.problem("POST", f"/holds/{too_much.id}/settle", final("late", "1"))
    assert problem["type"] == "refused"


Send = Callable[[Asker, Campaign], Any]
DOORS: dict[str, tuple[str, Send]] = {
    "place": ("_placed_together", lambda a, c: a.ask("POST", "/holds", asked(c))),
    "settle": ("_settled_together", lambda a, _: a._client.post(f"{BASE}/holds/1/settle", final(), "application/json")),
    "release": ("_released_together", lambda a, _: a._client.post(f"{BASE}/holds/1/release")),
}


@pytest.mark.parametrize(("desk", "send"), DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("error", [FullError, LateError])
def test_where_too_much_waits_a_client_is_told_to_come_again(
    asker: Asker, campaign: Campaign, desk: str, send: Send, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr(door, desk, refuse)
    if desk == "_placed_together":
        answer = asker._client.post(f"{BASE}/holds", asked(campaign), "application/json")
    else:
        answer = send(asker, campaign)
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert json.loads(answer.content)["type"] == "overloaded"


def test_a_database_that_does_not_answer_is_503(
    asker: Asker, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(holds, "_place", fail)
    answer = asker._client.post(f"{BASE}/holds", asked(campaign), "application/json")
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")


@pytest.mark.django_db(transaction=True)
def test_many_clients_at_once_get_exactly_the_budget() -> None:
    brand = factories.brand(daily_budget=40)
    campaigns = [factories.campaign(brand) for _ in range(3)]
    askers = [Asker(Scope.SPEND) for _ in range(8)]

    def client(number: int) -> int:
        granted = 0
        for at in range(15):
            sent = asked(campaigns[at % 3], "1", key=f"{number}-{at}", ttl_seconds=86_400)
            answer = askers[number].ask("POST", "/holds", sent)
            if answer.status_code == 201:
                granted += 1
                assert Hold.objects.filter(pk=done(answer, 201)["id"]).exists()
            else:
                assert problem_of(answer, 409)["type"] == "budget-exhausted"
        return granted

    assert sum(together(*(partial(client, number) for number in range(8)))) == 40
    assert Hold.objects.count() == 40
    assert_held_is_sound()
