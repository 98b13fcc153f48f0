"""Clients that report until they are answered, and a book of what they sent and what they were told."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar

import redis

from tests.chaos.product import Product

STREAM = "spend-events"
CENT = "0.01"
PAUSE_SECONDS = 0.01
NOBODY_THERE_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
"""How long a client tries before it gives up; then it has not been answered, and the run has failed."""


@dataclass
class Book:
    """What was sent and what was answered. A deed is something that cost money once, whatever ids it is sent under."""

    sent: dict[str, str] = field(default_factory=dict)  # event id: deed
    answered: dict[str, float] = field(default_factory=dict)  # deed: when
    refused: set[str] = field(default_factory=set)  # event ids
    streamed: dict[str, float] = field(default_factory=dict)  # deed that the broker has taken: when
    forfeited: set[str] = field(default_factory=set)  # deeds that an operator has thrown away with the stream
    settled: dict[int, str] = field(default_factory=dict)  # hold id: event id
    released: set[int] = field(default_factory=set)  # hold ids
    left: set[int] = field(default_factory=set)  # hold ids that nobody came back for
    budgets: list[str] = field(default_factory=list)  # that were answered
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    retries: int = 0
    unavailable: int = 0


class Person(threading.Thread):
    """Does one thing after the other until it is over; each until it is answered."""

    def __init__(self, number: int, scene: Scene) -> None:
        super().__init__(daemon=True, name=f"{type(self).__name__} {number}")
        self._number, self._scene, self._book = number, scene, scene.book

    def run(self) -> None:
        """Go on until it is over."""
        turn = 0
        while not self._scene.over.is_set():
            try:
                self.do(turn)
            except GaveUpError as error:
                self._book.wrong.append(f"{self.name}: {error}")
                return
            turn += 1
            time.sleep(self.pause)

    pause: ClassVar[float] = PAUSE_SECONDS

    def do(self, turn: int) -> None:
        """Do one thing."""
        raise NotImplementedError

    def ask(self, method: str, path: str, body: dict[str, Any], *, key: str | None = None) -> Answer:
        """Send a request again and again until it is answered."""
        until = time.monotonic() + PATIENCE_SECONDS
        text = json.dumps(body)
        while time.monotonic() < until:
            answer = self._send(method, path, text, key or self._scene.key)
            if answer is not None:
                return answer
            self._book.retries += 1
            text = self.again(text)
            time.sleep(NOBODY_THERE_SECONDS)
        raise GaveUpError(f"no answer to {method} {path} within {PATIENCE_SECONDS:g} s")

    def again(self, text: str) -> str:
        """Return what to send after no answer: the same."""
        if self._scene.plant != "new-id-on-retry":
            return text
        body = json.loads(text)
        for event in body.get("events", ()):
            if event["event_id"].endswith("+"):
                continue
            former, event["event_id"] = event["event_id"], f"{event['event_id']}+"
            self._book.sent[event["event_id"]] = self._book.sent[former]
        return json.dumps(body)

    def _send(self, method: str, path: str, body: str, key: str) -> Answer | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._scene.product.port, timeout=10)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            self._book.unavailable += 1
            return None
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._book.wrong.append(f"{method} {path}: {response.status} {content[:200]!r}")
            return None
        return Answer(response.status, json.loads(content))


class GaveUpError(Exception):
    """Nobody answered for very long."""


@dataclass(frozen=True)
class Answer:
    """A status and what came with it."""

    status: int
    body: dict[str, Any]


class Reporter(Person):
    """Reports spend, now and then twice, and now and then wrong."""

    def do(self, turn: int) -> None:
        """Report one to five events."""
        name = f"http-{self._number}-{turn}"
        events = [self._event(f"{name}-{part}", turn + part) for part in range(1 + turn % 5)]
        self._take_down(self.ask("POST", "/api/v1/spend-events", {"events": events}))
        if turn % 5 == 1:
            self._take_down(self.ask("POST", "/api/v1/spend-events", {"events": events}))
        if turn % 7 == 2:
            self._report_wrongly(f"wrong-{name}", turn)

    def _event(self, event_id: str, turn: int, **other: object) -> dict[str, object]:
        campaign = self._scene.campaign_ids[(self._number + turn) % len(self._scene.campaign_ids)]
        self._book.sent[event_id] = event_id
        return {"event_id": event_id, "campaign_id": campaign, "amount": CENT, **other}

    def _take_down(self, answer: Answer) -> None:
        if answer.status != HTTPStatus.OK:
            self._book.wrong.append(f"spend was answered with {answer.status} {answer.body}")
            return
        for result in answer.body["results"]:
            self._book.outcomes[result["status"]] += 1
            if result["status"] in {"recorded", "duplicate"}:
                self._book.answered.setdefault(self._book.sent[result["event_id"]], time.monotonic())
            else:
                self._book.wrong.append(f"a good event was answered with {result}")

    def _report_wrongly(self, name: str, turn: int) -> None:
        """Send what has to be refused: nothing of it may be in the ledger."""
        good, bad = self._event(f"{name}-good", turn), self._event(f"{name}-bad", turn, amount="-1")
        kind = turn // 7 % 3
        self._book.refused.add(f"{name}-bad")
        if kind == 0:
            answer = self.ask("POST", "/api/v1/spend-events", {"events": [bad]})
            refused = answer.status == HTTPStatus.OK and answer.body["rejected"] == 1
        elif kind == 1:
            answer = self.ask("POST", "/api/v1/spend-events", {"events": [good], "else": 1})
            refused = 400 <= answer.status < 500
        else:
            answer = self.ask("POST", "/api/v1/spend-events", {"events": [good]}, key="bk_000000000000_none")
            refused = answer.status == HTTPStatus.UNAUTHORIZED
        self._book.refused.add(f"{name}-good")
        self._book.outcomes["refused"] += 1
        if not refused:
            self._book.wrong.append(f"what is wrong was answered with {answer}")


class Bidder(Person):
    """Places holds; settles, releases or forgets them."""

    def do(self, turn: int) -> None:
        """Place a hold and see it through."""
        fate = turn % 4
        ask = {
            "campaign_id": self._scene.held_ids[turn % len(self._scene.held_ids)],
            "amount": "0.05",
            "key": f"hold-{self._number}-{turn}",
            "ttl_seconds": 1 if fate == 3 else 3_600,
        }
        answer = self.ask("POST", "/api/v1/holds", ask)
        if answer.status == HTTPStatus.CREATED:
            self._book.outcomes["hold placed"] += 1
            self._finish(int(answer.body["id"]), fate, ask["key"])
        elif answer.status == HTTPStatus.CONFLICT and answer.body["type"] in {"budget-exhausted", "campaign-paused"}:
            self._book.outcomes[answer.body["type"]] += 1
        else:
            self._book.wrong.append(f"a hold was answered with {answer}")

    def _finish(self, hold_id: int, fate: int, key: object) -> None:
        if fate in (0, 1):
            self._settle(hold_id, f"settle-{key}")
        elif fate == 2:
            answer = self.ask("POST", f"/api/v1/holds/{hold_id}/release", {})
            self._book.released.add(hold_id)
            if answer.status != HTTPStatus.OK or answer.body["state"] != "released":
                self._book.wrong.append(f"a release was answered with {answer}")
        else:
            self._book.left.add(hold_id)

    def _settle(self, hold_id: int, event_id: str) -> None:
        self._book.sent[event_id] = event_id
        answer = self.ask("POST", f"/api/v1/holds/{hold_id}/settle", {"event_id": event_id, "amount": CENT})
        if answer.status == HTTPStatus.OK and answer.body["hold"]["state"] == "settled":
            self._book.settled[hold_id] = event_id
            self._book.answered.setdefault(event_id, time.monotonic())
        else:
            self._book.wrong.append(f"a settlement was answered with {answer}")


class Manager(Person):
    """Sets the budget of a brand a little above what it has spent, so that it runs out and comes back all the time."""

    pause = 0.3

    def do(self, turn: int) -> None:  # noqa: ARG002 - the budget follows the spend, not the turn
        """Give the brand half a unit more than was reported so far; every event is a hundredth."""
        cents = len(self._book.sent) + 50
        budget = f"{cents // 100}.{cents % 100:02d}"
        answer = self.ask("PATCH", f"/api/v1/brands/{self._scene.brand_id}", {"daily_budget": budget})
        if answer.status == HTTPStatus.OK:
            self._book.budgets.append(budget)
        else:
            self._book.wrong.append(f"a budget was answered with {answer}")


class Streamer(Person):
    """Puts events into the stream, some of them twice; what the broker does not take is sent again."""

    pause = 0.02

    def do(self, turn: int) -> None:
        """Send three events in one go."""
        names = [f"stream-{turn}-{part}" for part in range(3)]
        for name in names:
            self._book.sent[name] = name
        until = time.monotonic() + PATIENCE_SECONDS
        while not self._put(names, turn):
            if time.monotonic() > until:
                raise GaveUpError("the broker took nothing")
            self._book.retries += 1
            time.sleep(NOBODY_THERE_SECONDS)
        taken = time.monotonic()
        self._book.streamed.update(dict.fromkeys(names, taken))

    def _put(self, names: list[str], turn: int) -> bool:
        try:
            with self._scene.product.connect() as broker, broker.pipeline(transaction=True) as pipeline:
                for name in [*names, *(names[:1] if turn % 5 == 0 else [])]:
                    campaign = self._scene.campaign_ids[turn % len(self._scene.campaign_ids)]
                    pipeline.xadd(STREAM, {"event_id": name, "campaign_id": campaign, "amount": CENT})
                pipeline.execute()
        except redis.RedisError:
            return False
        return True


@dataclass
class Scene:
    """Who acts on what, and the book of it."""

    product: Product
    key: str
    brand_id: int
    campaign_ids: list[int]
    held_ids: list[int]
    spare_id: int
    plant: str = ""
    book: Book = field(default_factory=Book)
    over: threading.Event = field(default_factory=threading.Event)
    people: list[Person] = field(default_factory=list)

    def begin(self) -> None:
        """Let everybody act."""
        self.people = [Reporter(number, self) for number in range(4)]
        self.people += [Bidder(number, self) for number in range(2)]
        self.people += [Manager(0, self), Streamer(0, self)]
        for person in self.people:
            person.start()

    def end(self) -> None:
        """Let everybody finish what they have begun, which is until it is answered."""
        self.over.set()
        self.product.until(
            lambda: not any(person.is_alive() for person in self.people),
            what="everybody is answered",
            within=PATIENCE_SECONDS + 30,
        )
