"""A message of a stream: whatever is in it, it is read or refused with a sentence. What needs a broker is elsewhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns.gateways.spend_json import FIELDS, Unreadable, WireEvent
from campaigns.gateways.streams import MAX_MESSAGE_BYTES, Message, connect, read_message

pytestmark = pytest.mark.once

WHOLE = {
    "event_id": "e-1",
    "amount": "1.25",
    "campaign_id": 7,
    "campaign_external_id": "c-7",
    "brand_id": 3,
    "timestamp": "2026-01-31T09:30:00+01:00",
    "kind": "adjustment",
    "note": "credit – Übertrag",
    "hold_id": 12,
}


def message(*parts: bytes | str) -> Message:
    return Message(b"1-0", [part.encode() if isinstance(part, str) else part for part in parts])


def flat(**fields: object) -> Message:
    return message(*(str(part) for pair in fields.items() for part in pair))


def why(of: Message) -> str:
    read = read_message(of)
    assert isinstance(read, Unreadable), read
    return read.detail


def test_both_forms_say_the_same() -> None:
    assert set(WHOLE) == set(FIELDS)
    read = read_message(message("event", json.dumps(WHOLE)))
    assert isinstance(read, WireEvent)
    assert read_message(flat(**WHOLE)) == read
    assert read.timestamp == datetime(2026, 1, 31, 8, 30, tzinfo=UTC)
    assert (read.campaign_id, read.amount, read.note) == (7, "1.25", WHOLE["note"])


def test_a_field_without_text_is_one_that_was_not_sent() -> None:
    empty = dict.fromkeys(FIELDS, "")
    sent = flat(**{**empty, "event_id": "e-1", "amount": "1.25", "campaign_id": 7})
    assert read_message(sent) == WireEvent(event_id="e-1", amount="1.25", campaign_id=7)
    assert why(flat(**{**empty, "event_id": "e-1"})) == "The amount is missing."


GOOD: dict[str, Any] = {"event_id": "e-1", "amount": "1.25", "campaign_id": 7}
UNREADABLE = [
    (message("some", "thing"), "'some' is not a field of a spend event; its fields are event_id, amount"),
    (flat(**GOOD, colour=""), "'colour' is not a field of a spend event"),
    (flat(event_id="e-1", campaign_id=7), "The amount is missing."),
    (flat(**{**GOOD, "campaign_id": "seven"}), "The campaign_id is not a whole number."),
    (flat(**{**GOOD, "campaign_id": "7.0"}), "The campaign_id is not a whole number."),
    (flat(**{**GOOD, "campaign_id": "\u0667"}), "The campaign_id is not a whole number."),
    (flat(**{**GOOD, "campaign_id": "9" * 5_000}), "The campaign_id is not a whole number."),
    (flat(**GOOD, brand_id=" 3"), "The brand_id is not a whole number."),
    (flat(**GOOD, hold_id="0x1"), "The hold_id is not a whole number."),
    (flat(**GOOD, timestamp="1767225600"), "The timestamp is not an RFC 3339 time"),
    (flat(**GOOD, timestamp="yesterday"), "The timestamp is not an RFC 3339 time"),
    (message("event_id", "e", "amount", "1", "amount", "2"), "The message has the field 'amount' more than once."),
    (message("event", "{}", "event", "{}"), "The message has other fields beside its event"),
    (message("event", json.dumps(GOOD), "trace", "1"), "The message has other fields beside its event"),
    (message("event_id", b"\xff\xfe", "amount", "1"), "The field 'event_id' is not valid UTF-8."),
    (message(b"\xff" * 99, "1"), r"The field '\\xff\\xff"),
    (message("event", b'{"event_id": "\xff"}'), "The event is not JSON: it is not valid UTF-8."),
    (message("event", b'{"event_id": "a\x00b", "amount": "1"}'), "The event is not JSON"),
    (message("event", ""), "The event is not JSON"),
    (message("event", "null"), "An event is an object with the fields event_id"),
    (message("event", json.dumps([GOOD])), "An event is an object with the fields event_id"),
    (message("event", "[" * 30_000), "An event is an object with the fields event_id"),
    (message("event", '{"note":' * 5_000), "The note is not a text."),
    (message("event", json.dumps({**GOOD, "note": {"a": {"b": 1}}})), "The note is not a text."),
    (message("event", json.dumps({**GOOD, "amount": 1.25})), "The amount is not a decimal number as text"),
    (message("event", json.dumps({**GOOD, "amount": None})), "The amount is not a decimal number as text"),
    (message("event", json.dumps({**GOOD, "campaign_id": "7"})), "The campaign_id is not a whole number."),
    (message("event", json.dumps({**GOOD, "event_id": 5})), "The event_id is not a text"),
    (message("event", json.dumps({**GOOD, "note": "x" * MAX_MESSAGE_BYTES})), "a spend event has at most 65,536."),
    (message(*(f"f{number}" for number in range(10_000))), "'f0' is not a field of a spend event"),
    (message(), "The message was deleted from the stream before it was recorded."),
]


@pytest.mark.parametrize(("sent", "sentence"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_read_is_refused_with_a_sentence(sent: Message, sentence: str) -> None:
    reason = why(sent)
    assert sentence in reason
    assert len(reason) < 300
    assert reason.isprintable()


TEXT = st.sampled_from([name.encode() for name in (*FIELDS, "event")]) | st.binary(max_size=40)
VALUE = st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | st.integers().map(lambda n: str(n).encode())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=5),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())


@given(st.lists(st.tuples(TEXT, VALUE | JSON), max_size=12) | JSON.map(lambda value: [(b"event", value)]))
@example([(b"event", b'{"event_id": "\\ud800", "amount": "1"}')])
@example([(b"campaign_id", b"-0"), (b"event_id", b"e"), (b"amount", b"1")])
def test_nothing_that_is_sent_is_an_error(pairs: list[tuple[bytes, bytes]]) -> None:
    read = read_message(Message(b"1-0", [part for pair in pairs for part in pair]))
    assert isinstance(read, WireEvent | Unreadable)
    if isinstance(read, Unreadable):
        read.detail.encode()


@pytest.mark.parametrize(
    "url",
    [
        "http://:s3cret@host/0",
        "redis://:s3c/ret@host:1/0",
        "redis://:s3cret@host:port/0",
        "redis://:s3cret@host:70000/0",
        "redis://:s3cret@host/0?nonsense=1",
        "redis://:s3cret@host/0?socket_timeout=soon",
        "s3cret",
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="not redis://") as caught:
        connect(url)
    assert "s3c" not in str(caught.value)


def test_answers_stay_bytes_and_failures_are_seen_whatever_the_url_says() -> None:
    options = connect("redis://host/0?decode_responses=yes&socket_timeout=900").connection_pool.connection_kwargs
    assert (options["decode_responses"], options["socket_timeout"]) == (False, 5)
    assert options["retry"].get_retries() == 0
