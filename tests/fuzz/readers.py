"""What is fuzzed: for each reader how a valid input looks, and what must hold whatever it is given.

A check calls the reader and lets only its documented error pass. It gets what a valid sample must be read as, or None
for a spoiled one, of which only what holds for every input is asked: what is accepted can be written and read again
and is the same, and every refusal is one line for people.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from django.db import connection
from hypothesis import strategies as st

from campaigns.api import paging, status
from campaigns.api.problems import Problem
from campaigns.gateways import campaigns_csv, cells, spend_csv
from campaigns.gateways.cells import CellError, DayOrder
from campaigns.gateways.csv_records import SheetError, Text
from campaigns.gateways.spend_json import Unreadable, WireError, WireEvent, read_body, read_event, read_lines
from campaigns.gateways.streams import Message, read_message
from campaigns.models import feed
from campaigns.queries.lookup import MAX_ID
from campaigns.rules import money
from campaigns.rules.schedules import MAX_DESCRIPTION, Schedule, ScheduleError, describe, describe_grid, parse_weekdays

Sample = tuple[Any, Any]
"""An input, and what it must be read as."""

MOST = 200
ZONES = [ZoneInfo(name) for name in ("UTC", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo")]


class Reader(NamedTuple):
    """samples: valid inputs. check: called with an input and what it must be read as (None: whatever)."""

    samples: st.SearchStrategy[Sample]
    check: Callable[[Any, Any], None]
    database: bool = False


def told(sentence: str) -> None:
    """A refusal is one line for people, and no longer than they would read."""
    assert sentence.isprintable(), sentence
    assert 0 < len(sentence) < 1_500, sentence


def refused(error: Exception, *, rightly: bool) -> None:
    assert rightly, error
    told(str(error))


# --- Money -------------------------------------------------------------------------------------

exact = st.integers(1, money.MAX_AMOUNT)
plain = exact.map(money.to_text)
forms = st.sampled_from(["{}", " {} ", "+{}", "{}00", "00{}", "{}e0", "{}E+0"])


def amount_sample(micros: int, form: str) -> Sample:
    return form.format(f"{Decimal(micros).scaleb(-6):f}" if "e" in form.lower() else money.to_text(micros)), micros


def check_amount(given: object, expected: int | None) -> None:
    for kind in (str, Decimal):
        value: object = given
        if kind is Decimal:
            value = Context(prec=60, traps=[]).create_decimal(str(given).strip())
        try:
            micros = money.parse_amount(value, negative=True)
        except money.MoneyError as error:
            refused(error, rightly=expected is None)
            continue
        assert expected in (None, micros)
        assert Fraction(str(value).strip()) * 1_000_000 == micros
        assert money.parse_amount(money.to_text(micros), negative=True) == micros


# --- Cells of reports --------------------------------------------------------------------------


def cost_sample(micros: int, look: str) -> Sample:
    units, _, decimals = money.to_text(micros).partition(".")
    grouped = f"{int(units):,}"
    return {
        "plain": (f"{units}.{decimals}", micros),
        "grouped": (f"{grouped}.{decimals}", micros),
        "dollars": (f"-${grouped}.{decimals}", -micros),
        "code": (f"{grouped}.{decimals} EUR", micros),
        "brackets": (f"({units}.{decimals})", -micros),
    }[look]


def check_cost(given: str, expected: int | None) -> None:
    for mark in cells.DECIMAL_MARKS:
        try:
            cost = cells.read_cost(given, mark)
        except CellError as error:
            refused(error, rightly=expected is None or mark == ",")
            continue
        assert type(cost.micros) is int
        assert mark == "," or expected in (None, cost.micros)
        assert cells.read_cost(money.to_text(cost.micros).replace(".", mark), mark).micros == cost.micros


moments = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - bounds are naive by contract
    lambda moment: moment.replace(microsecond=0)
)
looks = st.sampled_from(
    ["%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%dT%H:%M:%SZ", "%b %d, %Y %I:%M:%S %p UTC", "%d %B %Y, %H:%M:%S Z"]
)


def check_moment(given: str, expected: datetime | None) -> None:
    for zone in ZONES:
        for order, hour in ((None, None), (DayOrder.DAY_FIRST, "5 PM"), (DayOrder.MONTH_FIRST, given)):
            try:
                moment = cells.read_moment(given, hour, zone, order)
            except CellError as error:
                refused(error, rightly=expected is None or hour is not None)
                continue
            assert moment.utcoffset() == timedelta()
            assert expected is None or hour or moment == expected
            assert cells.read_moment(moment.isoformat(), None, zone, None) == moment


# --- CSV ---------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(words | st.just('a,"\n;b'), min_size=width, max_size=width), min_size=1, max_size=6)
)


def csv_bytes(rows: list[list[str]], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue().encode()


def check_records(given: bytes, expected: list[list[str]] | None) -> None:
    for delimiter in spend_csv.DELIMITERS:
        try:
            records = list(Text(Path("sent.csv"), content=given).records(delimiter))
        except SheetError as error:
            refused(error, rightly=expected is None)
            continue
        lines = [record.line for record in records]
        assert lines == sorted(set(lines))
        for record in records:
            if record.problem:
                assert len(record.cells) == 1
                told(record.problem)
        if expected is not None and delimiter == ",":
            assert [record.cells for record in records] == expected


def report_sample(rows: list[tuple[datetime, int, int]], header: list[str], delimiter: str) -> Sample:
    """A report of spend, and what it adds up to."""
    body = [[f"{at:%Y-%m-%d %H:%M}", f"C{campaign}", money.to_text(micros)] for at, campaign, micros in rows]
    return csv_bytes([header, *body], delimiter), sum(micros for _, _, micros in rows)


def check_report(given: bytes, expected: int | None) -> None:
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(given)
        file.flush()
        try:
            sheet = spend_csv.Sheet(Path(file.name), spend_csv.Wishes(decimal="."))
            items = list(sheet.rows())
        except SheetError as error:
            refused(error, rightly=expected is None)
            return
    assert sheet.rows_in_all == len(items)
    total = 0
    for item in items:
        if isinstance(item, spend_csv.Row):
            assert len(item.cells) == len(sheet.layout.header)
            total += cost_of(sheet, item)
        elif isinstance(item, spend_csv.Broken):
            told(item.why)
    assert expected in (None, total)


def cost_of(sheet: spend_csv.Sheet, row: spend_csv.Row) -> int:
    try:
        return cells.read_cost(sheet.layout.cell(row, spend_csv.Column.COST) or "", sheet.decimal).micros
    except CellError as error:
        told(str(error))
        return 0


hours = st.one_of(
    st.tuples(st.integers(0, 23), st.integers(0, 23), st.integers(1, 127))
    .filter(lambda window: window[0] != window[1])
    .map(lambda window: {**dict(zip(("start_hour", "end_hour", "weekdays"), window, strict=True)), "grid": None}),
    st.integers(1, 2**168 - 1).map(
        lambda bits: {"start_hour": None, "end_hour": None, "weekdays": None, "grid": f"{bits:0168b}"}
    ),
)
days = st.dates(date(1990, 1, 1), date(2090, 1, 1))


def campaign_sample(rows: list[tuple[str, int, date | None, dict[str, Any] | None]], delimiter: str) -> Sample:
    """A file of campaigns, and the values in it."""
    sent, expected = [["Campaign", "daily budget", "flight_start", "HOURS", "status"]], []
    for name, micros, day, form in rows:
        cell = "none" if form is None else campaigns_csv.hours_cell(**form)
        sent.append([f"n{name}", money.to_text(micros), day.isoformat() if day else "", cell, "active"])
        expected.append(
            {"daily_budget": money.to_text(micros), **({"flight_start": day} if day else {}), "hours": form}
        )
    return csv_bytes(sent, delimiter), expected


def check_campaigns(given: bytes, expected: list[dict[str, Any]] | None) -> None:
    try:
        sheet = campaigns_csv.read_sheet("campaigns.csv", given)
    except SheetError as error:
        return refused(error, rightly=expected is None)
    found = [values_of(line) for line in sheet.lines]
    assert expected in (None, found)
    rejected = campaigns_csv.rejects(sheet, ((line, "a reason") for line in sheet.lines))
    again = campaigns_csv.read_sheet("rejects.csv", rejected.encode())
    if not any(line.problem for line in sheet.lines):
        assert [line.values for line in again.lines if not line.problem] == [
            {**line.values, campaigns_csv.LINE: str(line.number), campaigns_csv.REASON: "a reason"}
            for line in sheet.lines
        ]
    return None


def values_of(line: campaigns_csv.Line) -> dict[str, Any] | None:
    if line.problem:
        told(line.problem)
        return None
    try:
        values = campaigns_csv.read_values(line.values)
    except campaigns_csv.ValueRefusedError as error:
        told(str(error))
        return None
    if form := values.get("hours"):
        assert campaigns_csv.read_hours(campaigns_csv.hours_cell(**form)) == form
    return values


# --- JSON and messages -------------------------------------------------------------------------

events = st.fixed_dictionaries(
    {"event_id": words, "amount": plain | st.integers(-(2**63), 2**63 - 1), "campaign_id": st.integers(0, 10**18 - 1)},
    optional={
        "timestamp": moments.map(datetime.isoformat),
        "kind": st.sampled_from(["spend", "adjustment"]),
        "note": words,
        "hold_id": st.none() | st.integers(1, 2**40),
        "brand_id": st.integers(-5, 10**18 - 1),
        "campaign_external_id": words,
    },
)


def wire(sent: dict[str, Any]) -> WireEvent:
    moment = sent.get("timestamp")
    return WireEvent(**{**sent, **({"timestamp": datetime.fromisoformat(moment)} if moment else {})})


def check_event(event: WireEvent | Unreadable) -> None:
    """What was read can be written and read again."""
    if isinstance(event, Unreadable):
        return told(event.detail)
    try:
        written = msgspec.json.encode(event)
    except UnicodeEncodeError as error:  # half of a pair would be text that nothing can store
        raise AssertionError(error) from error
    assert read_event(written) == event
    return None


def check_body(given: bytes, expected: list[dict[str, Any]] | None) -> None:
    try:
        read = read_body(given, most=MOST)
    except WireError as error:
        return refused(error, rightly=expected is None)
    assert 0 < len(read) <= MOST
    for event in read:
        check_event(event)
    assert expected is None or read == [wire(sent) for sent in expected]
    return None


def check_lines(given: bytes, expected: list[dict[str, Any]] | None) -> None:
    try:
        read = read_lines(given, most=MOST)
    except WireError as error:
        return refused(error, rightly=expected is None)
    assert 0 < len(read) <= MOST
    for event in read:
        check_event(event)
    assert expected is None or read == [wire(sent) for sent in expected]
    return None


def message_sample(sent: dict[str, Any], flat: bool) -> Sample:
    """A message in one of its two forms. Its parts are parted by a byte that no valid part has."""
    if not flat:
        return b"event\x1e" + json.dumps(sent).encode(), wire(sent)
    parts = [part for name, value in sent.items() if value not in (None, "") for part in (name, str(value))]
    left_out = {name: value for name, value in sent.items() if value not in (None, "")}
    ready = {**left_out, "amount": str(sent["amount"])}
    return "\x1e".join(parts).encode(), wire(ready) if "event_id" in left_out else None


def check_message(given: bytes, expected: WireEvent | None) -> None:
    parts = given.split(b"\x1e")
    event = read_message(Message(b"1-0", parts if len(parts) % 2 == 0 else parts[:-1]))
    check_event(event)
    assert expected is None or event == expected, (event, expected)


# --- Hours -------------------------------------------------------------------------------------


def grid_sample(bits: int, form: str) -> Sample:
    grid = f"{bits:0168b}"
    lines = [grid[day : day + 24] for day in range(0, 168, 24)]
    return {"one": grid, "lines": "\n".join(lines), "spaced": " ".join(grid), "crlf": "\r\n".join(lines) + "\r\n"}[
        form
    ], grid


def check_grid(given: str, expected: str | None) -> None:
    try:
        hours = Schedule.from_grid(given).hours
    except ScheduleError as error:
        return refused(error, rightly=expected is None)
    assert expected in (None, hours)
    assert len(hours) == 168
    assert Schedule.from_grid(hours).hours == hours == "".join(given.split())
    assert 0 < len(describe_grid(given)) <= MAX_DESCRIPTION
    return None


def weekday_sample(bits: int) -> Sample:
    return describe(9, 17, bits).partition(", ")[2], bits


def check_weekdays(given: str, expected: int | None) -> None:
    try:
        weekdays = parse_weekdays(given)
    except ScheduleError as error:
        return refused(error, rightly=expected is None)
    assert expected in (None, weekdays)
    assert 1 <= weekdays <= 127
    assert parse_weekdays(weekday_sample(weekdays)[0]) == weekdays
    return None


# --- Cursors -----------------------------------------------------------------------------------

places = st.lists(st.integers(-MAX_ID, MAX_ID), min_size=1, max_size=3)


def page_sample(place: list[int]) -> Sample:
    return paging.write_cursor("spend", *place), tuple(place)


def check_page(given: str, expected: tuple[int, ...] | None) -> None:
    for numbers in (1, 2, 3):
        try:
            place = paging.read_cursor(given, "spend", numbers)
        except Problem as problem:
            assert expected is None or len(expected) != numbers
            told(problem.detail)
            continue
        assert expected in (None, place)
        assert paging.write_cursor("spend", *place) == given


def position_sample(numbers: list[int], own: bool) -> Sample:
    """A position of the feed: this one's own, or one that looks like it."""
    where = feed.position(connection)
    if own:
        return where, True
    first, last = min(numbers), max(numbers)
    incarnation = where.partition("/")[0]
    running = ",".join(map(str, sorted({*numbers} - {last})))
    return (f"{incarnation}/{first}:{last}:{running}" if "/" in where else str(numbers[0])), None


def check_position(given: str, expected: bool | None) -> None:
    try:
        since = feed.since(connection, given)
    except feed.PositionError as error:
        return refused(error, rightly=expected is None)
    with connection.cursor() as cursor:  # what is accepted, the database can compare with
        cursor.execute(f"SELECT count(*) FROM campaigns_statuschange WHERE {since.condition}", since.params)
    return None


def feed_cursor_sample(position: str) -> Sample:
    return status.cursor_of(position, None), position


def check_feed_cursor(given: str, expected: str | None) -> None:
    try:
        position = status._position(given, None)
    except feed.PositionError as error:
        return refused(error, rightly=expected is None)
    assert expected in (None, position)
    return check_position(position, None)


READERS: dict[str, Reader] = {
    "amounts": Reader(st.builds(amount_sample, exact, forms), check_amount),
    "costs in reports": Reader(
        st.builds(cost_sample, exact, st.sampled_from(["plain", "grouped", "dollars", "code", "brackets"])), check_cost
    ),
    "times in reports": Reader(st.builds(lambda at, look: (at.strftime(look), at), moments, looks), check_moment),
    "CSV records": Reader(tables.map(lambda rows: (csv_bytes(rows), rows)), check_records),
    "spend CSV": Reader(
        st.builds(
            report_sample,
            st.lists(st.tuples(moments, st.integers(1, 9), exact), min_size=1, max_size=8),
            st.sampled_from([["Day", "Campaign", "Cost"], ["timestamp", "campaign_id", "Spend (EUR)"]]),
            st.sampled_from([",", ";", "\t"]),
        ),
        check_report,
    ),
    "campaigns CSV": Reader(
        st.builds(
            campaign_sample,
            st.lists(st.tuples(words, exact, st.none() | days, st.none() | hours), min_size=1, max_size=4),
            st.sampled_from([",", ";", "\t"]),
        ),
        check_campaigns,
    ),
    "JSON bodies": Reader(
        st.lists(events, min_size=1, max_size=4).map(lambda sent: (json.dumps({"events": sent}).encode(), sent)),
        check_body,
    ),
    "JSON lines": Reader(
        st.lists(events, min_size=1, max_size=4).map(lambda sent: ("\n".join(map(json.dumps, sent)).encode(), sent)),
        check_lines,
    ),
    "stream messages": Reader(st.builds(message_sample, events, st.booleans()), check_message),
    "schedule grids": Reader(
        st.builds(grid_sample, st.integers(1, 2**168 - 1), st.sampled_from(["one", "lines", "spaced", "crlf"])),
        check_grid,
    ),
    "weekdays": Reader(st.builds(weekday_sample, st.integers(1, 127)), check_weekdays),
    "paging cursors": Reader(places.map(page_sample), check_page),
    "feed positions": Reader(
        st.builds(position_sample, st.lists(st.integers(0, 2**64), min_size=2, max_size=4), st.booleans()),
        check_position,
        database=True,
    ),
    "feed cursors": Reader(
        st.text(st.characters(codec="ascii", exclude_characters="|"), max_size=40).map(feed_cursor_sample),
        check_feed_cursor,
        database=True,
    ),
}
