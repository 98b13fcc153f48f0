"""`manage.py consume_spend` on a real broker, in this process: what is counted, what is refused, what is left."""

from __future__ import annotations

import json
import logging
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
import redis
import time_machine
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DataError, OperationalError, ProgrammingError

from campaigns.gateways import streams
from campaigns.gateways.streams import Message, Refused, SpendStream, connect
from campaigns.management import consuming
from campaigns.management.commands.consume_spend import Command
from campaigns.management.consuming import Consumer, Plan
from campaigns.models import Campaign, SpendLog
from campaigns.rules.periods import Period
from campaigns.services import audit
from campaigns.services.spend import Receipt, SpendEvent, record_spend
from tests import factories
from tests.doors.running import Ran, run
from tests.factories import NOW
from tests.services import reading

STREAM, GROUP, REJECTED = "spend-events", "budget", "spend-events:rejected"
TODAY = "2025-06-18"


@pytest.fixture
def broker(valkey_url: str) -> Iterator[redis.Redis]:
    """Yield a client of an empty broker."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def campaign(db: None) -> Iterator[Campaign]:
    """Yield a campaign that may spend 100 a day, with the clock stopped at NOW."""
    with time_machine.travel(NOW, tick=False):
        yield factories.campaign(factories.brand(daily_budget="100"))


@pytest.fixture
def consume(valkey_url: str) -> Callable[..., Ran]:
    """Return the command, which ends when nothing is left."""
    return lambda *options: run("consume_spend", "--url", valkey_url, "--drain", *options)


def of(campaign: Campaign, amount: object = 1, *, event_id: str = "e-1", **more: object) -> dict[Any, Any]:
    """The fields of an event."""
    return {"event_id": event_id, "campaign_id": campaign.pk, "amount": str(amount), **more}


def as_json(*events: dict[Any, Any]) -> list[dict[Any, Any]]:
    return [{"event": json.dumps(event)} for event in events]


def send(broker: redis.Redis, *messages: dict[Any, Any]) -> list[bytes]:
    ids: list[Any] = [broker.xadd(STREAM, message) for message in messages]
    return ids


def spent(campaign: Campaign) -> Decimal | None:
    return reading.counted(campaign, Period.DAY, TODAY)


def rejected(broker: redis.Redis) -> list[dict[str, str]]:
    entries: Any = broker.xrange(REJECTED)
    return [
        {name.decode(): value.decode(errors="backslashreplace") for name, value in fields.items()}
        for _, fields in entries
    ]


def pending(broker: redis.Redis) -> int:
    summary: Any = broker.xpending(STREAM, GROUP)
    return int(summary["pending"])


def assert_nothing_is_left(broker: redis.Redis) -> None:
    assert (pending(broker), broker.xlen(STREAM)) == (0, 0)
    assert audit.check_ledger() == []


@pytest.fixture(autouse=True)
def _restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no pause last, and what would go on for ever fail."""
    deadline = time.monotonic() + 30

    def nap(_: float) -> None:
        assert time.monotonic() < deadline, "it does not come to an end"

    monkeypatch.setattr(consuming, "FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(consuming, "LONGEST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr("time.sleep", nap)


# --- What is counted -------------------------------------------------------------------------


def test_both_forms_of_a_message_are_counted_and_gone(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    send(broker, *as_json(of(campaign, "1.25")))
    send(broker, of(campaign, "2.50", event_id="e-2", timestamp="2025-06-18T11:59:00Z", note=""))
    ran = consume("--consumer", "me")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "Reading spend-events for the group budget as me.\nrecorded 2, duplicates 0, conflicts 0, rejected 0\n"
    )
    assert spent(campaign) == Decimal("3.75")
    assert SpendLog.objects.get(event_id="e-1").timestamp == NOW  # the moment it was recorded
    assert_nothing_is_left(broker)
    assert broker.exists(REJECTED) == 0


def test_nothing_to_read_is_nothing_to_say(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    assert consume().out.count("\n") == 1
    assert [group["name"] for group in broker.xinfo_groups(STREAM)] == [GROUP.encode()]


def test_a_repeat_is_acknowledged_and_a_conflict_kept(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    ids = send(broker, of(campaign, 5), of(campaign, 5), *as_json(of(campaign, 5)), of(campaign, 6))
    assert consume().out.endswith("recorded 1, duplicates 2, conflicts 1, rejected 0\n")
    assert spent(campaign) == 5
    [kept] = rejected(broker)
    assert kept.pop("rejected_reason").startswith("This event id was recorded before with other content (5.00 for ")
    assert kept == {
        **of(campaign, 6, campaign_id=str(campaign.pk)),
        "rejected_id": ids[-1].decode(),
        "rejected_at": "2025-06-18T12:00:00.000+00:00",
    }
    assert_nothing_is_left(broker)


def test_a_crossed_budget_pauses_at_once(campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]) -> None:
    send(broker, of(campaign, 100))
    consume()
    assert reading.why(campaign) == ["brand_daily_budget"]


def test_a_long_stream_is_read_in_batches(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = watch_batches(monkeypatch)
    send(broker, *(of(campaign, 1, event_id=f"e-{number}") for number in range(510)))
    assert "recorded 510," in consume("--batch", 250).out
    assert sizes == [250, 250, 10]
    assert_nothing_is_left(broker)


def test_a_line_now_and_then_says_what_came_since_the_last_one(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "TELL_SECONDS", 0)
    send(broker, *(of(campaign, 1, event_id=f"e-{number % 4}") for number in range(5)), {"no": "event"})
    assert consume("--batch", 4).out.splitlines()[1:] == [
        "recorded 4, duplicates 0, conflicts 0, rejected 0",
        "recorded 0, duplicates 1, conflicts 0, rejected 1",
    ]


def test_a_batch_ends_before_large_messages_fill_memory(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BATCH_BYTES", 20_000)
    sizes = watch_batches(monkeypatch)
    send(broker, *(of(campaign, 1, event_id=f"e-{number}", note="n" * 500) for number in range(250)))
    assert "recorded 250," in consume().out
    assert sizes == [100, 100, 50]


def watch_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of events in each transaction to come."""
    sizes: list[int] = []

    def record(events: Sequence[SpendEvent], **more: Any) -> Receipt:
        sizes.append(len(events))
        return record_spend(events, **more)

    monkeypatch.setattr(consuming, "record_spend", record)
    return sizes


def test_kept_messages_stay_for_other_groups(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    send(broker, of(campaign), {"no": "event"})
    consume("--keep")
    assert (pending(broker), broker.xlen(STREAM), len(rejected(broker))) == (0, 2, 1)
    assert "recorded" not in consume("--keep").out
    assert consume("--group", "other").out.endswith("recorded 0, duplicates 1, conflicts 0, rejected 1\n")
    assert spent(campaign) == 1


# --- What is refused -------------------------------------------------------------------------

HUGE = "9" * 100_000
BAD: list[tuple[dict[Any, Any], str]] = [
    ({"some": "thing"}, "'some' is not a field of a spend event"),
    ({"event": b"\xff\xfe\x00"}, "The event is not JSON"),
    ({b"\xff\xfe": b"\x00\xff"}, "is not valid UTF-8"),
    ({"event_id": "a", "campaign_id": "1", "amount": b"\xff"}, "The field 'amount' is not valid UTF-8."),
    ({"event": "[" * 60_000}, "An event is an object"),
    ({"event": HUGE}, "The message has 100,005 bytes"),
    ({"event_id": "a", "amount": HUGE}, "The message has 100,015 bytes"),
    ({"event": '{"event_id": 5, "amount": "1"}'}, "The event_id is not a text"),
    ({"event": '{"event_id": "a", "amount": 1.5}'}, "The amount is not a decimal number as text"),
    ({"event_id": "a", "amount": "1"}, "The campaign is missing"),
    ({"event_id": "a", "amount": "1", "campaign_id": "987654321"}, "There is no campaign 987654321."),
    ({"event_id": "a", "amount": "1", "campaign_id": "-1"}, "There is no campaign -1."),
    ({"event_id": "a", "amount": "1", "campaign_external_id": "x"}, "The brand is missing"),
    ({"event_id": "a", "amount": "1", "campaign_external_id": "x\0", "brand_id": "1"}, "has no campaign"),
]
WITH_CAMPAIGN: list[tuple[dict[str, str], str]] = [
    ({"event_id": "a\0b"}, "The event id must be 1 to 128 printable characters."),
    ({"event_id": "a" * 129}, "The event id must be 1 to 128 printable characters."),
    ({"event_id": ""}, "The event_id is missing."),
    ({"amount": "NaN"}, "amount"),
    ({"amount": "-1"}, "amount"),
    ({"amount": "1e400"}, "amount"),
    ({"amount": "1.0000001"}, "amount"),
    ({"amount": "1 000"}, "amount"),
    ({"kind": "refund"}, "The kind is neither 'spend' nor 'adjustment'."),
    ({"kind": "adjustment"}, "An adjustment needs a note"),
    ({"note": "a\0b"}, "The note has control characters"),
    ({"note": "n" * 501}, "The note is longer than 500 characters"),
    ({"hold_id": "9"}, "has no hold 9;"),
    ({"brand_id": "99999"}, "is not one of brand 99999."),
    ({"timestamp": "2025-06-18T12:05:01Z"}, "is in the future by more than 5 minutes"),
    ({"timestamp": "9999-12-31T23:59:59Z"}, "is in the future"),
    ({"timestamp": "0001-01-01T00:00:00+14:00"}, "days ago"),
    ({"timestamp": "2025-01-01T00:00:00Z"}, "days ago"),
    ({"timestamp": "2025-06-18T12:00:00"}, "has no offset"),
    ({"timestamp": "yesterday"}, "The timestamp is not an RFC 3339 time"),
]


def test_every_kind_of_bad_message_is_kept_with_its_reason_and_the_rest_counts(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    bad = BAD + [(of(campaign, event_id="bad") | fields, sentence) for fields, sentence in WITH_CAMPAIGN]
    first = send(broker, of(campaign, event_id="first"))
    ids = send(broker, *(message for message, _ in bad))
    last = send(broker, *as_json(of(campaign, event_id="last")))
    ran = consume()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith(f"recorded 2, duplicates 0, conflicts 0, rejected {len(bad)}\n")
    assert spent(campaign) == 2
    entries: Any = broker.xrange(REJECTED)
    kept: dict[bytes, dict[bytes, bytes]] = {fields[b"rejected_id"]: fields for _, fields in entries}
    assert set(kept) == set(ids)
    assert not set(kept) & {*first, *last}
    for entry_id, (message, sentence) in zip(ids, bad, strict=True):
        assert sentence in kept[entry_id][b"rejected_reason"].decode(), message
        encoded = {part(name): part(value) for name, value in message.items()}
        assert encoded.items() <= kept[entry_id].items()
        assert len(kept[entry_id]) == len(encoded) + 3
    assert_nothing_is_left(broker)


def part(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def test_a_field_that_was_sent_twice_is_kept_twice(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    sent = ["event_id", "e", "campaign_id", str(campaign.pk), "amount", "1", "amount", "2"]
    execute: Callable[..., Any] = broker.execute_command
    execute("XADD", STREAM, "*", *sent)
    consume()
    reader = connect_to(broker)
    reader.set_response_callback("XRANGE", lambda reply, **_: reply)
    entries: Any = reader.xrange(REJECTED)
    assert [kept[: len(sent)] for _, kept in entries] == [[value.encode() for value in sent]]
    assert spent(campaign) is None


def connect_to(broker: redis.Redis) -> redis.Redis:
    """Another client of the same broker."""
    options = broker.connection_pool.connection_kwargs
    return connect(f"redis://:{options['password']}@{options['host']}:{options['port']}/0")


def test_the_stream_of_the_rejected_is_bounded(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    send(broker, *({"no": str(number)} for number in range(600)))
    assert "rejected 600" in consume("--most-rejected", "150").out
    assert 150 <= broker.xlen(REJECTED) < 300  # whole nodes of it are trimmed
    assert rejected(broker)[-1]["no"] == "599"


def test_a_batch_that_is_refused_as_a_whole_is_recorded_without_the_event_at_fault(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    full = factories.campaign()
    record_spend([factories.event(full, 1_000_000_000) for _ in range(9_000)], now=NOW)
    events = [of(campaign, 1, event_id=f"e-{number}") for number in range(20)]
    events[7] = of(full, "0.000001", event_id="too much")
    events[8] = of(full, "-1", event_id="room again", kind="adjustment", note="correction")
    events[9] = of(full, "2", event_id="too much again")
    send(broker, *events)
    assert consume().out.endswith("recorded 18, duplicates 0, conflicts 0, rejected 2\n")
    assert spent(campaign) == 17
    kept = rejected(broker)
    assert [fields["event_id"] for fields in kept] == ["too much", "too much again"]
    assert all("past 9,000,000,000,000, more than it can hold" in fields["rejected_reason"] for fields in kept)
    assert_nothing_is_left(broker)


# --- What is left behind ---------------------------------------------------------------------


def give(broker: redis.Redis, consumer: str, *, idle_seconds: int = 0) -> list[bytes]:
    """Give all that is new to a consumer that then dies, so many seconds ago."""
    broker.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    reply: Any = broker.xreadgroup(GROUP, consumer, {STREAM: ">"}, count=10_000)
    ids = [entry_id for entry_id, _ in reply[0][1]]
    broker.xclaim(STREAM, GROUP, consumer, 0, ids, idle=idle_seconds * 1_000)
    return ids


def test_a_consumer_that_starts_again_finishes_what_it_was_given(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    send(broker, *(of(campaign, event_id=f"e-{number}") for number in range(250)))
    give(broker, "me")
    assert "recorded" not in consume("--consumer", "another").out
    assert "recorded 250," in consume("--consumer", "me", "--batch", "120").out
    assert_nothing_is_left(broker)


def test_what_a_dead_consumer_was_given_is_taken_over_and_what_a_living_one_has_is_not(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    send(broker, *(of(campaign, event_id=f"e-{number}") for number in range(250)))
    give(broker, "dead", idle_seconds=61)
    send(broker, of(campaign, event_id="its own"))
    broker.xreadgroup(GROUP, "living", {STREAM: ">"})
    assert "recorded 250," in consume("--batch", "120").out
    assert pending(broker) == 1
    assert "recorded" not in consume("--claim-after", "60").out


def test_what_was_deleted_before_it_was_recorded_leaves_a_trace(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    send(broker, of(campaign, event_id="a"), of(campaign, event_id="b"))
    mine, dead = give(broker, "me")
    broker.xclaim(STREAM, GROUP, "dead", 0, [dead], idle=61_000)
    broker.xdel(STREAM, mine, dead)
    assert consume("--consumer", "me").out.endswith("recorded 0, duplicates 0, conflicts 0, rejected 2\n")
    kept = rejected(broker)
    assert [fields["rejected_id"] for fields in kept] == [mine.decode(), dead.decode()]
    assert {fields["rejected_reason"] for fields in kept} == {
        "The message was deleted from the stream before it was recorded."
    }
    assert_nothing_is_left(broker)


def test_silent_consumers_are_forgotten_unless_something_is_pending(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    send(broker, of(campaign))
    give(broker, "owner")
    broker.xgroup_createconsumer(STREAM, GROUP, "silent")
    consume("--consumer", "me")
    assert consumers(broker) == {"owner", "silent", "me"}  # not silent for an hour yet
    monkeypatch.setattr(consuming, "FORGOTTEN_AFTER_SECONDS", 0)
    consume("--consumer", "me")
    assert consumers(broker) == {"owner", "me"}
    assert pending(broker) == 1


def test_where_scripts_are_not_allowed_messages_are_recorded_all_the_same(
    campaign: Campaign,
    broker: redis.Redis,
    consume: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise redis.ResponseError("no permissions to run the 'eval' command")

    monkeypatch.setattr(SpendStream, "forget_consumers", forbidden)
    send(broker, *(of(campaign, event_id=f"e-{number}") for number in range(20)))
    assert "recorded 20," in consume("--batch", "2").out
    assert len(told(caplog)) == 2  # that it did not work, and that it does again: not at every turn


def consumers(broker: redis.Redis) -> set[str]:
    return {consumer["name"].decode() for consumer in broker.xinfo_consumers(STREAM, GROUP)}


# --- When something does not work ------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, *, times: int) -> list[int]:
    """Let recording fail so many times; return what is pending for whom each time."""
    attempts: list[int] = []

    def record(events: Sequence[SpendEvent], **more: Any) -> Receipt:
        attempts.append(len(events))
        if len(attempts) <= times:
            raise error
        return record_spend(events, **more)

    monkeypatch.setattr(consuming, "record_spend", record)
    return attempts


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname}: {record.message}" for record in caplog.records if record.levelno > logging.DEBUG]


@pytest.mark.parametrize(
    "error",
    [OperationalError("connection refused"), ProgrammingError("relation is a view"), OperationalError("locked")],
)
def test_while_the_database_does_not_work_nothing_is_acknowledged(
    error: Exception,
    campaign: Campaign,
    broker: redis.Redis,
    consume: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts = failing(monkeypatch, error, times=4)
    seen: list[int] = []
    monkeypatch.setattr(consuming, "close_old_connections", lambda: seen.append(pending(broker)))
    caplog.set_level(logging.INFO)
    send(broker, of(campaign, event_id="a"), of(campaign, event_id="b"))
    assert "recorded 2," in consume().out
    assert (attempts, seen) == ([2] * 5, [2] * 4)
    begin, end = told(caplog)
    assert begin.startswith("WARNING: The database ")
    assert begin.endswith(" Nothing is acknowledged until it works again.")
    assert end.startswith("INFO: It works again, after ")
    assert_nothing_is_left(broker)


def test_pauses_grow_up_to_a_bound_and_never_end_in_an_overflow(
    campaign: Campaign, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # of what lets no pause last
    consumer = Consumer(stream_of(broker), Plan(batch=1, claim_after=60), say=print)
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("time.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    pauses = []
    for _ in range(2_000):
        before = clock[0]
        consumer._wait_out(OperationalError("down"))
        pauses.append(round(clock[0] - before))
    assert pauses[1:5] == [1, 2, 4, 5]
    assert set(pauses[4:]) == {5}


def stream_of(broker: redis.Redis, consumer: str = "me", **options: Any) -> SpendStream:
    return SpendStream(connect_to(broker), name=STREAM, group=GROUP, consumer=consumer, **options)


@pytest.mark.parametrize("error", [TypeError("a fault of ours"), DataError("out of range"), RecursionError()])
def test_an_event_that_nobody_can_record_is_rejected_when_others_get_through(
    error: Exception,
    campaign: Campaign,
    broker: redis.Redis,
    consume: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    poisoned(monkeypatch, error)
    send(broker, *(of(campaign, event_id=f"e-{number}") for number in range(9)), of(campaign, event_id="poison"))
    ran = consume()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("recorded 9, duplicates 0, conflicts 0, rejected 1\n")
    [kept] = rejected(broker)
    assert kept["event_id"] == "poison"
    assert kept["rejected_reason"].startswith(f"It can't be recorded: {type(error).__name__}")
    assert_nothing_is_left(broker)


def poisoned(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def record(events: Sequence[SpendEvent], **more: Any) -> Receipt:
        if any(event.event_id == "poison" for event in events):
            raise error
        return record_spend(events, **more)

    monkeypatch.setattr(consuming, "record_spend", record)


def test_where_nothing_gets_through_the_fault_is_ours_and_nothing_is_rejected(
    campaign: Campaign,
    broker: redis.Redis,
    consume: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    poisoned(monkeypatch, TypeError("a fault of ours"))
    caplog.set_level(logging.INFO)
    send(broker, of(campaign, event_id="poison"))
    naps = 0

    def nap(_: float) -> None:
        nonlocal naps
        naps += 1
        assert naps < 100_000
        assert (pending(broker), broker.exists(REJECTED)) == (1, 0)
        if naps == 8:
            send(broker, of(campaign, event_id="good"))  # the company in which it is found out

    monkeypatch.setattr("time.sleep", nap)
    assert consume().out.endswith("recorded 1, duplicates 0, conflicts 0, rejected 1\n")
    begin, end = told(caplog)
    assert begin.startswith("WARNING: Not one event of a batch can be recorded: TypeError: a fault of ours. Nothing ")
    assert end.startswith("INFO: It works again")
    assert_nothing_is_left(broker)


def test_a_group_that_is_gone_is_made_anew(
    campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def record(events: Sequence[SpendEvent], **more: Any) -> Receipt:
        nonlocal calls
        calls += 1
        receipt = record_spend(events, **more)
        if calls == 1:
            broker.flushall()  # between the commit and the acknowledgement
            send(broker, of(campaign, event_id="after"))
        if calls == 2:
            broker.xgroup_destroy(STREAM, GROUP)
        return receipt

    monkeypatch.setattr(consuming, "record_spend", record)
    send(broker, of(campaign, event_id="before"))
    assert "recorded 2," in consume().out
    assert spent(campaign) == 2
    assert_nothing_is_left(broker)


def test_a_broker_without_room_keeps_the_refused_pending_and_settles_the_rest(
    campaign: Campaign, broker: redis.Redis
) -> None:
    stream = stream_of(broker)
    good, bad = send(broker, of(campaign), {"no": "event"})
    give(broker, "me")
    broker.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.OutOfMemoryError):
            stream.settle([Message(good, ())], [Refused(Message(bad, (b"no", b"event")), "why")], now=NOW)
        assert [message.id for message in stream.read_own(10)] == [bad]
    finally:
        broker.config_set("maxmemory", 0)
    stream.settle((), [Refused(Message(bad, (b"no", b"event")), "why")], now=NOW)
    assert len(rejected(broker)) == 1
    assert (pending(broker), broker.xlen(STREAM)) == (0, 0)


@pytest.mark.parametrize("key", [STREAM, REJECTED])
def test_a_key_that_is_no_stream_ends_it_with_a_sentence_and_nothing_acknowledged(
    key: str, campaign: Campaign, broker: redis.Redis, consume: Callable[..., Ran]
) -> None:
    broker.set(key, "mine")
    if key == REJECTED:
        send(broker, {"no": "event"})
    ran = consume()
    assert ran.code == 1
    assert f"The key {key} holds something else than a stream; " in ran.err
    assert broker.get(key) == b"mine"
    if key == REJECTED:
        assert broker.xlen(STREAM) == 1


def test_a_refusal_is_not_acknowledged_when_its_key_has_become_something_else(
    campaign: Campaign, broker: redis.Redis
) -> None:
    stream = stream_of(broker)
    [bad] = send(broker, {"no": "event"})
    give(broker, "me")
    broker.set(REJECTED, "mine")
    with pytest.raises(streams.StreamError):
        stream.settle((), [Refused(Message(bad, (b"no", b"event")), "why")], now=NOW)
    assert pending(broker) == 1


# --- What its document says ------------------------------------------------------------------

DOCUMENT = (settings.BASE_DIR / "docs/streams.md").read_text()


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, flags=re.DOTALL)


def test_the_examples_of_the_document_work(
    campaign: Campaign,
    broker: redis.Redis,
    valkey_url: str,
    consume: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", valkey_url)
    commands = [shlex.split(line) for block in examples("bash") for line in block.splitlines() if "valkey-cli" in line]
    execute: Callable[..., Any] = broker.execute_command
    send_it, replay = examples("python")
    assert [command[1] for command in commands] == ["XADD", "XADD", "XINFO", "XPENDING", "XREVRANGE", "XTRIM"]

    for command in commands[:2]:
        execute(*(word.replace("2026-01-31T09:30:00+01:00", NOW.isoformat()) for word in command[1:]))
    exec(send_it, {})  # noqa: S102 - from this repository
    assert consume().out.endswith("recorded 0, duplicates 0, conflicts 0, rejected 3\n")  # no campaign 4711 yet
    for command in commands[2:4]:
        execute(*command[1:])
    [newest, *_] = execute(*commands[4][1:])
    assert newest[1][b"rejected_reason"] == b"There is no campaign 4711."

    Campaign.objects.create(pk=4711, brand=campaign.brand, name="Mended", created_at=NOW)
    send(broker, {"no": "event"})
    exec(replay, {})  # noqa: S102
    assert consume().out.endswith("recorded 3, duplicates 0, conflicts 0, rejected 1\n")
    assert reading.counted(Campaign.objects.get(pk=4711), Period.DAY, TODAY) == 4
    exec(replay, {})  # noqa: S102
    assert "recorded" not in consume().out
    assert len(rejected(broker)) == 1
    execute(*commands[5][1:])
    assert rejected(broker) == []


def test_every_option_is_explained() -> None:
    parser = Command().create_parser("manage.py", "consume_spend")
    common = BaseCommand().create_parser("manage.py", "consume_spend")._option_string_actions
    own = parser._option_string_actions.keys() - common.keys()
    assert len(own) == 9
    operations = (settings.BASE_DIR / "docs/operations.md").read_text()
    assert {name for name in own if f"| `{name}` |" not in operations} == set()


# --- What it is asked ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--batch", "0"), "argument --batch: '0' is not a whole number from 1 to 10,000"),
        (("--batch", "10001"), "argument --batch: '10001' is not a whole number from 1 to 10,000"),
        (("--batch", "²"), "argument --batch: '²' is not a whole number"),
        (("--claim-after", "-1"), "argument --claim-after"),
        (("--claim-after", "1.5"), "argument --claim-after: '1.5' is not a whole number from 1 to 86,400"),
        (("--most-rejected", "0"), "argument --most-rejected"),
        (("--stream", ""), "argument --stream: '' is no name"),
        (("--group", "a\nb"), "argument --group: 'a\\nb' is no name"),
        (("--consumer", "c" * 201), "is no name: 1 to 200 printable characters"),
        (("--url", "redis://:s3cret@host:port"), "The URL of the broker can't be read"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(options: tuple[str, ...], sentence: str) -> None:
    ran = run("consume_spend", *options)
    assert ran.code == 2
    assert sentence in ran.err
    assert "s3cret" not in ran.err
