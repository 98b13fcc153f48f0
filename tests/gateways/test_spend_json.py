"""Spend events as JSON: every bad input there is gets a sentence of its own, and what is beside it is read."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.gateways.spend_json import (
    FIELDS,
    Read,
    Unreadable,
    WireError,
    WireEvent,
    read_body,
    read_event,
    read_lines,
)

pytestmark = pytest.mark.once

GOOD = b'{"event_id":"e","amount":"1.25","campaign_id":7}'
READ = WireEvent(event_id="e", amount="1.25", campaign_id=7)


def body(*events: bytes) -> bytes:
    return b'{"events":[' + b",".join(events) + b"]}"


def an_event(**fields: Any) -> bytes:
    return json.dumps({"event_id": "e", "amount": "1", "campaign_id": 7, **fields}).encode()


# --- What is read ----------------------------------------------------------------------------


def test_an_event_with_all_of_its_fields() -> None:
    sent = {
        "event_id": "e-1 🙂",
        "amount": "-1.000001",
        "campaign_id": 7,
        "campaign_external_id": "c",
        "brand_id": 8,
        "timestamp": "2025-06-18T14:00:00.123456+02:00",
        "kind": "adjustment",
        "note": "less\n",
        "hold_id": 9,
    }
    expected = WireEvent(
        **{**sent, "timestamp": datetime(2025, 6, 18, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))}  # type: ignore[arg-type]  # a dict of all kinds of values
    )
    assert set(sent) == set(FIELDS)
    raw = json.dumps(sent).encode()
    assert read_event(raw) == expected
    assert read_body(body(raw), most=1) == read_lines(raw, most=1) == [expected]


def test_what_may_be_left_out_or_null() -> None:
    bare = WireEvent(event_id="e", amount=1)
    assert read_event(b'{"amount":1,"event_id":"e"}') == bare
    names = ("campaign_id", "campaign_external_id", "brand_id", "timestamp", "hold_id")
    nulls = json.dumps({"event_id": "e", "amount": 1, **dict.fromkeys(names)}).encode()
    assert read_event(nulls) == bare


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        ("2025-06-18T12:00:00Z", datetime(2025, 6, 18, 12, tzinfo=UTC)),
        ("2025-06-18t12:00:00z", datetime(2025, 6, 18, 12, tzinfo=UTC)),
        ("2025-06-18 12:00:00Z", datetime(2025, 6, 18, 12, tzinfo=UTC)),
        ("2025-06-18T12:00:00-00:00", datetime(2025, 6, 18, 12, tzinfo=UTC)),
        ("2025-06-18T12:00:00", datetime(2025, 6, 18, 12)),  # noqa: DTZ001 - it has no offset: refused where recorded
    ],
)
def test_times(sent: str, moment: datetime) -> None:
    event = read_event(an_event(timestamp=sent))
    assert isinstance(event, WireEvent)
    assert event.timestamp is not None
    assert (event.timestamp, event.timestamp.tzinfo is None) == (moment, moment.tzinfo is None)


def test_white_space_and_line_ends() -> None:
    assert read_body(b" \r\n\t" + body(b" " + GOOD + b"\n") + b"\n ", most=1) == [READ]
    for separator in (b"\n", b"\r\n", b"\n\n\n", b"\r\n\r\n", b"\n  \t\n"):
        assert read_lines(separator.join([GOOD] * 3), most=3) == [READ] * 3
        assert read_lines(separator + separator.join([GOOD] * 3) + separator, most=3) == [READ] * 3


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \n"])
def test_empty_lines_are_no_events_however_many(blank: bytes) -> None:
    """Each line of a file with an empty one after it; and very many of them in front."""
    lines = (GOOD + b"\n" + blank) * 60
    assert read_lines(lines, most=100) == [READ] * 60
    assert read_lines(blank * 5_000 + lines, most=60) == [READ] * 60


def test_a_member_that_comes_twice_counts_as_the_last() -> None:
    assert read_event(b'{"event_id":"a","event_id":"b","amount":1}') == WireEvent(event_id="b", amount=1)


# --- What can't be read ----------------------------------------------------------------------

NO_OBJECT = f"An event is an object with the fields {', '.join(FIELDS)}."
AMOUNT = 'The amount is not a decimal number as text; send one such as "12.50".'
TIME = "The timestamp is not an RFC 3339 time; send one such as 2026-01-31T09:30:00+01:00."


def unknown(shown: str) -> str:
    return f"{shown} is not a field of a spend event; its fields are {', '.join(FIELDS)}."


BAD: list[tuple[bytes, str | None, str]] = [
    (b"null", None, NO_OBJECT),
    (b"true", None, NO_OBJECT),
    (b"1", None, NO_OBJECT),
    (b'"event"', None, NO_OBJECT),
    (b"[]", None, NO_OBJECT),
    (b"[" + GOOD + b"]", None, NO_OBJECT),
    (b"{}", None, "The event_id is missing."),
    (b'{"amount":1}', None, "The event_id is missing."),
    (b'{"event_id":"e"}', "e", "The amount is missing."),
    (an_event(event_id=None), None, "The event_id is not a text; give every event an id of its own."),
    (an_event(event_id=5), None, "The event_id is not a text; give every event an id of its own."),
    (an_event(event_id=["e"]), None, "The event_id is not a text; give every event an id of its own."),
    (an_event(amount=None), "e", AMOUNT),
    (an_event(amount=1.5), "e", AMOUNT),
    (an_event(amount=1.0), "e", AMOUNT),
    (b'{"event_id":"e","amount":1e2}', "e", AMOUNT),
    (b'{"event_id":"e","amount":1e400}', None, AMOUNT),
    (b'{"event_id":"e","amount":' + b"1" * 5_000 + b"}", None, AMOUNT),
    (an_event(amount=True), "e", AMOUNT),
    (an_event(amount={"value": 1}), "e", AMOUNT),
    (an_event(amount=["1"]), "e", AMOUNT),
    (an_event(campaign_id="7"), "e", "The campaign_id is not a whole number."),
    (an_event(campaign_id=7.0), "e", "The campaign_id is not a whole number."),
    (an_event(campaign_id=True), "e", "The campaign_id is not a whole number."),
    (an_event(campaign_external_id=7), "e", "The campaign_external_id is not a text."),
    (an_event(brand_id="7"), "e", "The brand_id is not a whole number."),
    (an_event(hold_id="7"), "e", "The hold_id is not a whole number."),
    (an_event(timestamp=1_750_248_000), "e", TIME),
    (an_event(timestamp="yesterday"), "e", TIME),
    (an_event(timestamp="2025-06-18"), "e", TIME),
    (an_event(timestamp="2025-06-31T12:00:00Z"), "e", TIME),
    (an_event(timestamp="2025-06-18T24:00:00Z"), "e", TIME),
    (an_event(timestamp="2025-06-18T12:00:60Z"), "e", TIME),
    (an_event(timestamp="2025-06-18T12:00:00+24:00"), "e", TIME),
    (an_event(timestamp="10000-06-18T12:00:00Z"), "e", TIME),
    (an_event(timestamp=""), "e", TIME),
    (an_event(kind=1), "e", "The kind is neither 'spend' nor 'adjustment'."),
    (an_event(kind=None), "e", "The kind is neither 'spend' nor 'adjustment'."),
    (an_event(note=5), "e", "The note is not a text."),
    (an_event(note=None), "e", "The note is not a text."),
    (
        an_event(campaing_id=7),
        "e",
        unknown("'campaing_id'"),
    ),
    (
        an_event(**{"x" * 90: 7}),
        "e",
        unknown(f"'{'x' * 40}...'"),
    ),
    (an_event(**{"": 7}), "e", unknown("''")),
    (an_event(**{"a`b": 7}), "e", unknown("'a'")),
]


@pytest.mark.parametrize(("raw", "event_id", "detail"), BAD, ids=range(len(BAD)))
def test_an_event_that_can_not_be_read_is_refused_alone(raw: bytes, event_id: str | None, detail: str) -> None:
    assert read_event(raw) == Unreadable(event_id, detail)
    expected = [READ, Unreadable(event_id, detail), READ]
    assert read_body(body(GOOD, raw, GOOD), most=3) == expected
    assert read_lines(b"\n".join([GOOD, raw, GOOD]), most=3) == expected


NO_JSON: list[bytes] = [
    b"x",
    b"{",
    b"}",
    b'{"event_id":"e"',
    b"{'event_id':'e'}",
    b'{"event_id":"e",}',
    b'{"event_id":e}',
    b'{"amount":01}',
    b'{"amount":+1}',
    b'{"amount":.5}',
    b'{"amount":NaN}',
    b'{"amount":Infinity}',
    GOOD + GOOD,
    GOOD + b",",
    b"\xef\xbb\xbf" + GOOD,
    b"\x00",
    b'{"event_id":"\x00","amount":1}',
    b'{"event_id":"\xff","amount":1}',
    b'{"event_id":"\xed\xa0\x80","amount":1}',
    b'{"event_id":"\\ud800","amount":1}',
    b'{"event_id":"\\x41","amount":1}',
    b'{"event_id":"e","amount":"' + b"\xc3" + b'"}',
    b"[" * 100_000,
    b'{"event_id":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]


@pytest.mark.parametrize("raw", NO_JSON, ids=range(len(NO_JSON)))
def test_a_line_that_is_no_json_is_refused_alone(raw: bytes) -> None:
    for read in (read_event(raw), *read_lines(b"\n".join([GOOD, raw, GOOD]), most=3)[1:2]):
        assert isinstance(read, Unreadable)
        assert read.event_id is None
        assert read.detail.startswith(("The event is not JSON: ", "The event_id is not a text", NO_OBJECT))
        assert read.detail.endswith(".")
    assert [read_lines(b"\n".join([GOOD, raw, GOOD]), most=3)[at] for at in (0, 2)] == [READ, READ]


@pytest.mark.parametrize("raw", NO_JSON, ids=range(len(NO_JSON)))
def test_a_body_with_something_in_it_that_is_no_json(raw: bytes) -> None:
    """It is no JSON as a whole, or, where only a text in it can't be read, that event alone is refused."""
    read = read_or_sentence(body(GOOD, raw, GOOD), most=4)
    if isinstance(read, str):
        assert read.startswith("The body is not ")
    else:
        assert [one for one in read if isinstance(one, WireEvent)] in ([READ] * 2, [READ] * 3)


def read_or_sentence(raw: bytes, *, most: int, read: Callable[..., Read] = read_body) -> Read | str:
    """What is read, or the one sentence that says why nothing is."""
    try:
        return read(raw, most=most)
    except WireError as error:
        sentence = str(error)
    assert sentence.endswith(".")
    return sentence


NO_BODIES: list[tuple[bytes, str]] = [
    (b"", "The body is not JSON: input data was truncated."),
    (b" ", "The body is not JSON: input data was truncated."),
    (b"null", "The body is not a list of events: expected object, got null."),
    (b"[]", "The body is not a list of events: expected object, got array."),
    (b"1", "The body is not a list of events: expected object, got int."),
    (GOOD, "The body is not a list of events: "),
    (b"{}", "The body is not a list of events: object missing required field events."),
    (b'{"events":null}', "The body is not a list of events: expected array, got null - at $.events."),
    (b'{"events":{}}', "The body is not a list of events: expected array, got object - at $.events."),
    (b'{"events":"x"}', "The body is not a list of events: expected array, got str - at $.events."),
    (b'{"events":[' + GOOD + b'],"more":1}', "The body is not a list of events: object contains unknown field more."),
    (b'{"events":[' + GOOD + b"]", "The body is not JSON: "),
    (b'{"events":[' + GOOD + b"]} x", "The body is not JSON: "),
    (b'{"events":[]}', "There are no events; send from 1 to 3."),
    (body(*[GOOD] * 4), "These are more than 3 events; send at most 3 at once."),
    (body(*[b"{}"] * 4), "These are more than 3 events; send at most 3 at once."),
    (b"[" * 100_000, "The body is not "),
    (b'{"events":' + b"[" * 100_000, "The body is not "),
    (b'{"\xff":[]}', "The body is not "),
]


@pytest.mark.parametrize(("raw", "sentence"), NO_BODIES, ids=range(len(NO_BODIES)))
def test_a_body_that_is_none_is_refused_whole(raw: bytes, sentence: str) -> None:
    with pytest.raises(WireError) as caught:
        read_body(raw, most=3)
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("raw", [b"", b"\n", b"\r\n\n \t\n"])
def test_lines_without_an_event_are_refused(raw: bytes) -> None:
    with pytest.raises(WireError, match="There are no events; send from 1 to 3"):
        read_lines(raw, most=3)


@pytest.mark.parametrize("line", [GOOD, b"{}", b"x"])
def test_too_many_lines_are_refused_whole(line: bytes) -> None:
    assert len(read_lines(b"\n".join([line] * 3), most=3)) == 3
    for number in (4, 5, 100):
        with pytest.raises(WireError, match="These are more than 3 events; send at most 3 at once"):
            read_lines(b"\n".join([line] * number), most=3)


HALVES = [
    b"\\ud83d",
    b"\\uD83D",
    b"\\ude00",
    b"x\\ud83dx",
    b"\\ud83d\\ud83d",
    b"\\ude00\\ud83d",
    b"\\ud83d\\n",
    b"\\\\\\ud83d",
    b'\\"\\udfff',
]


@pytest.mark.parametrize("half", HALVES)
def test_half_of_a_pair_spoils_its_own_event_only(half: bytes) -> None:
    """As where a reporter has cut a text in the middle of a character."""
    bad = b'{"event_id":"%b","amount":1}' % half
    whole = b'{"event_id":"\\ud83d\\ude00 \\\\ud83d \\"","amount":1}'
    good = WireEvent(event_id='😀 \\ud83d "', amount=1)
    first, refused, last, again = read_body(body(GOOD, bad, whole, bad), most=4)
    assert (first, last) == (READ, good)
    for one in (refused, again, read_event(bad)):
        assert isinstance(one, Unreadable)
        assert one.detail.startswith("The event is not JSON: ")
    with pytest.raises(WireError, match="The body is not JSON"):
        read_body(body(GOOD, bad, b"x"), most=4)


# --- Both ways are one way -------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
wire_events = st.fixed_dictionaries(
    {"event_id": st.text(max_size=5) | json_values, "amount": st.sampled_from(["1", 2, "x"]) | json_values},
    optional=dict.fromkeys(FIELDS[2:], json_values) | {"kind": st.sampled_from(["spend", "x"])},
)


@given(events=st.lists(wire_events | json_values, min_size=1, max_size=5))
def test_whatever_is_sent_is_read_the_same_in_a_body_and_on_lines(events: list[Any]) -> None:
    raw = [json.dumps(event).encode() for event in events]
    read = read_body(body(*raw), most=5)
    assert read == read_lines(b"\n".join(raw), most=5) == [read_event(one) for one in raw]
    assert len(read) == len(events)


@given(raw=st.binary(max_size=60))
def test_no_bytes_at_all_are_more_than_a_clear_error(raw: bytes) -> None:
    for reader in (read_body, read_lines):
        read_or_sentence(raw, most=3, read=reader)
    read_event(raw)
