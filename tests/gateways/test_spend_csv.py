"""Reports as they come out of ad platforms, spreadsheets and broken pipes: what is read, what is refused, and how."""

import codecs
import gzip
import itertools
import os
import pwd
import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.gateways import cells
from campaigns.gateways.cells import CellError, DayOrder
from campaigns.gateways.csv_records import MAX_LINE, MAX_LINES, SheetError
from campaigns.gateways.rejects_csv import Rejects
from campaigns.gateways.spend_csv import IMPORT_COLUMNS, Broken, Column, Row, Sheet, Skipped, Wishes

pytestmark = pytest.mark.once

BERLIN, HAVANA, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Havana"), ZoneInfo("UTC")

Save = Callable[[str | bytes], Path]
Read = TypeVar("Read")


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return what writes a file of some content and gives its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "spend.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def wishes(decimal: cells.DecimalMark | None = None, encoding: str | None = None, **columns: str) -> Wishes:
    named = {Column(name.replace("_", "-")): value for name, value in columns.items()}
    return Wishes(columns=named, decimal=decimal, encoding=encoding)


def refusal(path: Path, wish: Wishes | None = None) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(SheetError) as caught:
        Sheet(path, wish or Wishes())
    sentence = str(caught.value)
    assert sentence.isprintable(), "one line"
    return sentence


def or_refusal(read: Callable[[], Read]) -> Read | str:
    """What was read, or the sentence that refused it; any other exception passes."""
    try:
        return read()
    except (CellError, SheetError) as error:
        return str(error)


def kinds(sheet: Sheet) -> list[str]:
    """What became of each line: `row`, the kind that is skipped, or why it is broken."""
    return [
        "row" if isinstance(item, Row) else item.kind if isinstance(item, Skipped) else item.why
        for item in sheet.rows()
    ]


# --- Amounts -------------------------------------------------------------------------------------

READ = [
    # text, decimal mark, amount, currency told
    ("12", ".", "12", None),
    ("12.5", ".", "12.50", None),
    ("1,234.56", ".", "1234.56", None),
    ("1,234", ".", "1234", None),
    ("1.234", ".", "1.234", None),
    ("1.234", ",", "1234", None),
    ("1,234", ",", "1.234", None),
    ("1.234.567,89", ",", "1234567.89", None),
    ("12,34,567.50", ".", "1234567.50", None),
    ("1 234,56 €", ",", "1234.56", "EUR"),
    ("1\N{NO-BREAK SPACE}234,56\N{NO-BREAK SPACE}€", ",", "1234.56", "EUR"),
    ("1\N{NARROW NO-BREAK SPACE}234,56", ",", "1234.56", None),
    ("1'234.50", ".", "1234.50", None),
    ("1\u2019234.50", ".", "1234.50", None),
    ("$1,234.56", ".", "1234.56", "USD"),
    ("CA$5", ".", "5", "CAD"),
    ("R$ 5,00", ",", "5", "BRL"),
    ("USD 5.00", ".", "5", "USD"),
    ("5.00 usd", ".", "5", "USD"),
    ("$5.00 USD", ".", "5", "USD"),
    ("kr 5,00", ",", "5", "SEK"),
    ("Fr.12.50", ".", "12.50", "CHF"),
    ("12.50 zł", ".", "12.50", "PLN"),
    ("¥1,234", ".", "1234", "JPY"),
    (".5", ".", "0.5", None),
    ("5.", ".", "5", None),
    ("-5.00", ".", "-5", None),
    ("\N{MINUS SIGN}5.00", ".", "-5", None),
    ("-$5.00", ".", "-5", "USD"),
    ("$-5.00", ".", "-5", "USD"),
    ("(5.00)", ".", "-5", None),
    ("5.00-", ".", "-5", None),
    ("+5.00", ".", "5", None),
    ("1.5E+3", ".", "1500", None),
    ("1e-6", ".", "0.000001", None),
    ("0.1", ".", "0.1", None),
    ("0", ".", "0", None),
    ("0.00", ".", "0", None),
    ("", ".", "0", None),
    ("--", ".", "0", None),
    (" - ", ".", "0", None),
    ("123456789012.123456", ".", "123456789012.123456", None),
]


@pytest.mark.parametrize(("text", "mark", "amount", "currency"), READ)
def test_an_amount_is_read_exactly(text: str, mark: cells.DecimalMark, amount: str, currency: str | None) -> None:
    cost = cells.read_cost(text, mark)
    assert cost.micros == int(Decimal(amount) * 1_000_000)
    assert type(cost.micros) is int
    assert (currency in cost.currencies) if currency else not cost.currencies


REFUSED = [
    ("12,50", ".", "say --decimal ,"),
    ("1,23", ".", "say --decimal ,"),
    ("1,2345", ".", "say --decimal ,"),
    ("0,123", ".", "say --decimal ,"),
    ("1.234,56", ".", "say --decimal ,"),
    ("1,234.56", ",", "say --decimal ."),
    ("1,23,4", ".", "groups its digits in no known way"),
    ("1,234'567.00", ".", "groups its digits in no known way"),
    ("1 23", ".", "groups its digits in no known way"),
    ("12.34.56", ".", "groups its digits in no known way"),
    ("1.0000001", ".", "more than 6 decimals"),
    ("0.30000000000000004", ".", "more than 6 decimals"),
    ("abc", ".", "is not an amount"),
    ("NaN", ".", "is not an amount"),
    ("inf", ".", "is not an amount"),
    ("1e999", ".", "out of range"),
    ("1_000", ".", "is not an amount"),
    ("0x10", ".", "is not an amount"),
    ("12.5%", ".", "is not an amount"),
    ("5 apples", ".", "is not an amount"),
    ("€5 USD", ".", "is not an amount"),
    ("(5.00", ".", "is not an amount"),
    ("--5", ".", "is not an amount"),
    ("-(5)", ".", "is not an amount"),
    ("1-2", ".", "is not an amount"),
    ("٣٤", ".", "is not an amount"),
    ("\N{FULLWIDTH DIGIT FIVE}", ".", "is not an amount"),
    ("²", ".", "is not an amount"),
    ("9" * 70, ".", "is not an amount"),
    ("9" * 40, ".", "out of range"),
    ("=1+1", ".", "is not an amount"),
]


@pytest.mark.parametrize(("text", "mark", "why"), REFUSED)
def test_an_amount_that_could_be_another_is_refused(text: str, mark: cells.DecimalMark, why: str) -> None:
    with pytest.raises(CellError, match=re.escape(why)):
        cells.read_cost(text, mark)


@given(
    micros=st.integers(-(10**16), 10**16),
    group=st.sampled_from(["", "other", " ", "'"]),
    mark=st.sampled_from(cells.DECIMAL_MARKS),
    symbol=st.sampled_from(["", "€", "EUR ", " EUR"]),
)
def test_every_way_to_write_an_amount_is_read_back(
    micros: int, group: str, mark: cells.DecimalMark, symbol: str
) -> None:
    group = {"other": "." if mark == "," else ","}.get(group, group)
    units, rest = divmod(abs(micros), 1_000_000)
    text = f"{units:,}".replace(",", group) + (f"{mark}{rest:06d}" if rest else "")
    text = f"{symbol}{text}" if not symbol.startswith(" ") else f"{text}{symbol}"
    cost = cells.read_cost(f"-{text}" if micros < 0 else text, mark)
    assert cost.micros == micros


@given(st.text(max_size=80), st.sampled_from(cells.DECIMAL_MARKS))
def test_any_text_is_an_amount_or_a_clear_refusal(text: str, mark: cells.DecimalMark) -> None:
    assert cells.decimal_marks(text) in ("", ".", ",", "?")
    found = or_refusal(lambda: cells.read_cost(text, mark))
    assert found.isprintable() if isinstance(found, str) else type(found.micros) is int


@given(st.text(alphabet="0123456789.,' -$€", max_size=14))
def test_what_is_said_of_decimal_marks_is_what_reading_does(text: str) -> None:
    read: dict[str, int | None] = {}
    for mark in cells.DECIMAL_MARKS:
        try:
            read[mark] = cells.read_cost(text, mark).micros
        except CellError as error:
            read[mark] = None
            if "decimals; round" in str(error):
                return
    marks = cells.decimal_marks(text)
    if None not in read.values():
        assert marks == ("" if read["."] == read[","] else "?")
    elif marks in (".", ","):
        assert read["," if marks == "." else "."] is None


# --- Days and times ------------------------------------------------------------------------------

MOMENTS = [
    # text, hour, what it is in Berlin, as UTC
    ("2026-03-01", None, "2026-02-28T23:00"),
    ("20260301", None, "2026-02-28T23:00"),
    ("2026/03/01", None, "2026-02-28T23:00"),
    ("2026-3-1", None, "2026-02-28T23:00"),
    ("Mar 1, 2026", None, "2026-02-28T23:00"),
    ("March 1st, 2026", None, "2026-02-28T23:00"),
    ("1 Mar 2026", None, "2026-02-28T23:00"),
    ("1-Mar-2026", None, "2026-02-28T23:00"),
    ("Sun, Mar 1, 2026", None, "2026-02-28T23:00"),
    ("Sunday, 1 March 2026", None, "2026-02-28T23:00"),
    ("2026-03-01 00:00:00", None, "2026-02-28T23:00"),
    ("2026-03-01 05:30", None, "2026-03-01T04:30"),
    ("2026-03-01T05:30:00", None, "2026-03-01T04:30"),
    ("2026-03-01T05:30:00Z", None, "2026-03-01T05:30"),
    ("2026-03-01t05:30:00z", None, "2026-03-01T05:30"),
    ("2026-03-01T05:30:00+05:30", None, "2026-03-01T00:00"),
    ("2026-03-01 05:30:00 +0530", None, "2026-03-01T00:00"),
    ("2026-03-01 05:30:00 UTC", None, "2026-03-01T05:30"),
    ("20260301T053000", None, "2026-03-01T04:30"),
    ("Mar 1, 2026, 5:30 PM", None, "2026-03-01T16:30"),
    ("2026-03-01", "5", "2026-03-01T04:00"),
    ("2026-03-01", "05:00", "2026-03-01T04:00"),
    ("2026-03-01", "12 AM", "2026-02-28T23:00"),
    ("2026-03-01", "12 PM", "2026-03-01T11:00"),
    ("2026-03-01", "05:00:00 - 05:59:59", "2026-03-01T04:00"),
    ("2026-03-01", "5 AM \N{EN DASH} 6 AM", "2026-03-01T04:00"),
    ("2026-03-01 00:00:00", "5", "2026-03-01T04:00"),
    ("2026-03-01", "", "2026-02-28T23:00"),
    ("2026-03-29", "2", "2026-03-29T01:00"),  # the hour that spring skips
    ("2026-10-25", "2", "2026-10-25T00:00"),  # the hour that autumn repeats: its first time
]


@pytest.mark.parametrize(("text", "hour", "utc"), MOMENTS)
def test_a_moment_is_read_on_the_brand_s_clock(text: str, hour: str | None, utc: str) -> None:
    moment = cells.read_moment(text, hour, BERLIN, None)
    assert moment == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_a_day_begins_where_midnight_was_skipped() -> None:
    begins = datetime(2024, 3, 10, 5, tzinfo=UTC)  # in Havana the day began at 01:00
    assert cells.read_moment("2024-03-10", None, HAVANA, None) == begins
    assert cells.read_moment("2024-03-10", "0", HAVANA, None) == begins


@pytest.mark.parametrize("text", ["01/03/2026", "1.3.2026", "01-03-2026", "25/03/2026", "01/03/2026 05:00"])
def test_a_day_in_figures_needs_its_order(text: str) -> None:
    with pytest.raises(CellError, match="--day-first or --month-first"):
        cells.read_moment(text, None, UTC_ZONE, None)


def test_the_order_decides_the_day() -> None:
    first = cells.read_moment("01/03/2026", None, UTC_ZONE, DayOrder.DAY_FIRST)
    other = cells.read_moment("01/03/2026", None, UTC_ZONE, DayOrder.MONTH_FIRST)
    assert (first.month, first.day, other.month, other.day) == (3, 1, 1, 3)
    with pytest.raises(CellError, match="no such day"):
        cells.read_moment("25/03/2026", None, UTC_ZONE, DayOrder.MONTH_FIRST)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("", None),
        ("yesterday", None),
        ("2026-02-30", None),
        ("2026-13-01", None),
        ("2026-03", None),
        ("2026030105", None),
        ("46082", None),
        ("1767225600", None),
        ("01/03/26", None),
        ("2026-03-01 25:00", None),
        ("2026-03-01 24:00", None),
        ("2026-03-01 5:61", None),
        ("2026-03-01x05:00", None),
        ("2026-03-01 13 PM", None),
        ("2026-03-01T05:00+99:00", None),
        ("0001-01-01", None),
        ("9999-12-31", None),
        ("2026-03-0\N{ARABIC-INDIC DIGIT ONE}", None),
        ("2026-03-01", "24"),
        ("2026-03-01", "-1"),
        ("2026-03-01", "noon"),
        ("2026-03-01", "5+01:00"),
        ("2026-03-01 01:00", "5"),
        ("2026-03-01 00:00Z", "5"),
        ("9" * 500, None),
        ("2026-03-01", "9" * 500),
    ],
)
def test_what_is_no_moment_is_refused_in_one_sentence(text: str, hour: str | None) -> None:
    with pytest.raises(CellError) as caught:
        cells.read_moment(text, hour, BERLIN, None)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@given(st.text(max_size=70), st.one_of(st.none(), st.text(max_size=20)), st.sampled_from([None, *DayOrder]))
def test_any_text_is_a_moment_or_a_clear_refusal(text: str, hour: str | None, order: DayOrder | None) -> None:
    found = or_refusal(lambda: cells.read_moment(text, hour, HAVANA, order))
    assert found.isprintable() if isinstance(found, str) else found.tzinfo is UTC


@given(st.integers(100_000, 4_000_000_000), st.sampled_from([BERLIN, HAVANA, UTC_ZONE]))
def test_a_time_with_an_offset_is_read_back(seconds: int, zone: ZoneInfo) -> None:
    moment = datetime.fromtimestamp(seconds, zone)
    assert cells.read_moment(moment.isoformat(), None, UTC_ZONE, None) == moment


@pytest.mark.parametrize(("text", "hour"), [("0", 0), ("23", 23), ("11 pm", 23), ("7:00 a.m.", 7)])
def test_an_hour_is_read(text: str, hour: int) -> None:
    assert cells.read_hour(text) == time(hour)


# --- Columns -------------------------------------------------------------------------------------

HEADERS = [
    # header, what holds time, hour, campaign and cost
    ("Day,Campaign ID,Cost", ("Day", None, "Campaign ID", "Cost")),
    ("day,campaign_id,cost", ("day", None, "campaign_id", "cost")),
    (
        "Campaign,Campaign ID,Day,Hour of the day,Cost,Conv. value / cost",
        ("Day", "Hour of the day", "Campaign ID", "Cost"),
    ),
    ("Date,Campaign name,Spend (USD)", ("Date", None, "Campaign name", "Spend (USD)")),
    (
        "Campaign name,Campaign ID,Reporting starts,Reporting ends,Amount spent (EUR),Cost per result",
        ("Reporting starts", None, "Campaign ID", "Amount spent (EUR)"),
    ),
    (
        "Reporting starts,Reporting ends,Day,Time of day (ad account time zone),Campaign name,Amount spent (€)",
        ("Day", "Time of day (ad account time zone)", "Campaign name", "Amount spent (€)"),
    ),
    ("Timestamp,Date,External ID,Amount", ("Timestamp", None, "External ID", "Amount")),
    ("Date,Time,Campaign,Spend", ("Date", "Time", "Campaign", "Spend")),
    ("Time,Campaign,Spend", ("Time", None, "Campaign", "Spend")),
    ("Hour,Campaign,Spend", ("Hour", None, "Campaign", "Spend")),
    ("By Hour,Campaign ID,Campaign name,Cost", ("By Hour", None, "Campaign ID", "Cost")),
    (
        "Date,Advertiser Currency,Campaign ID,Media Cost (Advertiser Currency)",
        ("Date", None, "Campaign ID", "Media Cost (Advertiser Currency)"),
    ),
    ("  DAY , Campaign-ID ,COST_EUR", ("DAY", None, "Campaign-ID", "COST_EUR")),
]


@pytest.mark.parametrize(("header", "wanted"), HEADERS)
def test_the_columns_of_the_platforms_are_guessed(
    save: Save, header: str, wanted: tuple[str, str | None, str, str]
) -> None:
    layout = Sheet(save(f"{header}\n"), Wishes()).layout
    found = [
        layout.name(column) if column in layout.at else None
        for column in (Column.TIME, Column.HOUR, Column.CAMPAIGN, Column.COST)
    ]
    assert found == list(wanted)


@pytest.mark.parametrize(
    ("cost", "currencies"),
    [
        ("Cost", set()),
        ("Cost (EUR)", {"EUR"}),
        ("cost_usd", {"USD"}),
        ("Spend [GBP]", {"GBP"}),
        ("Spend JPY", {"JPY"}),
        ("Amount spent (€)", {"EUR"}),
        ("Cost (Account currency)", set()),
    ],
)
def test_the_header_of_the_cost_tells_its_currency(save: Save, cost: str, currencies: set[str]) -> None:
    assert Sheet(save(f"Day,Campaign,{cost}\n"), Wishes()).layout.currencies == currencies


@pytest.mark.parametrize(
    ("header", "holds"),
    [("Campaign ID", "id"), ("External ID", "external id"), ("Campaign name", "name"), ("Campaign", "any")],
)
def test_the_header_of_the_campaign_tells_what_it_holds(save: Save, header: str, holds: str) -> None:
    assert Sheet(save(f"Day,{header},Cost\n"), Wishes()).layout.campaign_is == holds


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Day,Campaign,Clicks", ("cost", "--cost-column", "'Clicks'")),
        ("Campaign,Cost", ("day or time", "--time-column")),
        ("Day,Cost", ("campaign", "--campaign-column")),
        ("a,b,c", ("--time-column", "--campaign-column", "--cost-column", "'a', 'b', 'c'")),
        ("Day,Campaign,Cost,Spend", ("'Cost', 'Spend'", "--cost-column")),
        ("Day,Date,Campaign,Cost", ("'Day', 'Date'", "--time-column")),
        ("Day,Campaign,Cost,Cost", ("'Cost', 'Cost'",)),
        ("Day,Campaign,Cost per click", ("--cost-column",)),
        ("Start date,Campaign,Cost", ("--time-column",)),
    ],
)
def test_what_can_t_be_guessed_names_the_columns_and_the_option(
    save: Save, header: str, words: tuple[str, ...]
) -> None:
    sentence = refusal(save(f"{header}\n1,2,3\n"))
    for word in words:
        assert word in sentence


def test_named_columns_win_over_guesses(save: Save) -> None:
    path = save("When,Day,Who,Cost,Paid\n")
    layout = Sheet(path, wishes(time="When", campaign="who", cost="Paid")).layout
    assert [layout.name(c) for c in (Column.TIME, Column.CAMPAIGN, Column.COST)] == ["When", "Who", "Paid"]
    assert "has no column 'Kost'" in refusal(path, wishes(cost="Kost", campaign="Who"))


def test_micros_are_not_taken_for_money(save: Save) -> None:
    path = save("Day,Campaign,cost_micros\n")
    assert "--cost-column" in refusal(path)
    assert "micros" in refusal(path, wishes(cost="cost_micros"))


# --- Files ---------------------------------------------------------------------------------------

PLAIN = "Day,Campaign,Cost\n2026-03-01,Frühling,1.50\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (PLAIN.encode(), "utf-8"),
        (PLAIN.encode("utf-8-sig"), "utf-8-sig"),
        (PLAIN.encode("utf-16"), "utf-16"),
        (codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"), "utf-16"),
        (PLAIN.encode("utf-32"), "utf-32"),
    ],
)
def test_the_encoding_is_known_by_its_mark(save: Save, content: bytes, encoding: str) -> None:
    sheet = Sheet(save(content), Wishes())
    assert sheet.text.encoding == encoding
    assert list(sheet.rows()) == [Row(2, ["2026-03-01", "Frühling", "1.50"])]


def test_another_encoding_is_asked_for_and_taken(save: Save) -> None:
    path = save(PLAIN.encode("cp1252"))
    sentence = refusal(path)
    assert "line 2" in sentence and "--encoding cp1252" in sentence
    assert next(Sheet(path, wishes(encoding="cp1252")).rows()) == Row(2, ["2026-03-01", "Frühling", "1.50"])
    for unknown in ("klingon", "rot13", "base64", "", "utf-8\0"):
        if unknown:
            assert "no text encoding" in refusal(path, wishes(encoding=unknown))


def test_an_encoding_with_a_mark_is_read_also_when_it_is_named_without(save: Save) -> None:
    path = save(PLAIN.encode("utf-8-sig"))
    assert next(Sheet(path, wishes(encoding="utf-8")).rows()) == Row(2, ["2026-03-01", "Frühling", "1.50"])


def test_a_wrong_letter_far_down_is_found_before_anything_is_yielded(save: Save) -> None:
    rows = b"2026-03-01,A,1.50\n" * 50_000
    assert "line 50002" in refusal(save(b"Day,Campaign,Cost\n" + rows + b"2026-03-01,\xff,1\n"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_separator_is_found(save: Save, delimiter: str, end: str) -> None:
    lines = [["Day", "Campaign", "Cost"], ["2026-03-01", "a b", "1.50"]]
    sheet = Sheet(save(end.join(delimiter.join(line) for line in lines) + end), Wishes())
    assert sheet.layout.delimiter == delimiter
    assert list(sheet.rows()) == [Row(2, ["2026-03-01", "a b", "1.50"])]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n\n", "nothing but empty lines"),
        (b"hello\n", "does not look like CSV"),
        (b"PK\x03\x04" + b"\0" * 100, "spreadsheet"),
        (gzip.compress(PLAIN.encode()), "gzip"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 100, "spreadsheet"),
        (b"%PDF-1.7", "PDF"),
        (bytes(range(256)) * 4, "is not"),
        (PLAIN.encode("utf-16-le"), "--encoding utf-16-le"),
        (b"\0" * 1000, "is not text"),
        (b'"' * 1000, "does not look like CSV"),
        (b"x" * 1_000_000, "does not look like CSV"),
    ],
)
def test_what_is_no_csv_is_refused_in_one_sentence(save: Save, content: bytes, words: str) -> None:
    assert words in refusal(save(content))


def test_what_is_no_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.csv")
    assert "is a folder" in refusal(tmp_path)
    assert "not the name of a file" in refusal(Path("a\0b"))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_a_file_that_may_not_be_read_is_refused(save: Save) -> None:
    path = save(PLAIN)
    path.chmod(0)
    with somebody_else():
        assert "Permission denied" in refusal(path)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Be no longer root, who may read everything."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(was)


# --- Rows ----------------------------------------------------------------------------------------


def test_titles_totals_and_notes_are_no_spend(save: Save) -> None:
    google = save(
        'Campaign report\n"March 1, 2026 - March 2, 2026"\nDay,Campaign,Cost\n2026-03-01,A,1.50\n'
        "2026-03-02,Total Recall,2\n"
        "Total: Campaigns, --,3.50\n Total: Account,--,3.50\n"
    )
    sheet = Sheet(google, Wishes())
    assert (sheet.layout.line, sheet.layout.titles) == (3, 2)
    assert kinds(sheet) == ["row", "row", "total row", "total row"]


def test_a_total_that_only_lacks_its_campaign_is_skipped_first_and_last(save: Save) -> None:
    header = "Reporting starts,Reporting ends,Campaign name,Amount spent (EUR)\n"
    row, total = "2026-03-01,2026-03-01,A,1.50\n", "2026-03-01,2026-03-02,,3.00\n"
    assert kinds(Sheet(save(header + total + row + row), Wishes())) == ["total row", "row", "row"]
    assert kinds(Sheet(save(header + row + row + total), Wishes())) == ["row", "row", "total row"]
    between = kinds(Sheet(save(header + row + total + row), Wishes()))
    assert between == ["row", "The row names no campaign.", "row"]
    only_totals = kinds(Sheet(save(header + total * 4), Wishes()))
    assert only_totals == ["total row", "The row names no campaign.", "The row names no campaign.", "total row"]


def test_notes_below_a_gap_are_skipped(save: Save) -> None:
    sheet = Sheet(
        save(
            "Date,Campaign ID,Spend\n2026/03/01,7,1.50\n,,1.50\n\nReport Time:,2026/03/02 10:00\n"
            "Group By:,Advertiser\nMRC Accredited Metrics\n"
        ),
        Wishes(),
    )
    assert kinds(sheet) == ["row", "total row", "footer line", "footer line", "footer line"]


def test_a_line_that_was_cut_off_is_no_note(save: Save) -> None:
    found = kinds(Sheet(save("Day,Campaign,Cost\n2026-03-01,A,1.50\n2026-03-0"), Wishes()))
    assert found == ["row", "The row has 1 columns and the header 3."]


def test_a_header_in_between_is_skipped(save: Save) -> None:
    assert kinds(Sheet(save(PLAIN + PLAIN), Wishes())) == ["row", "repeated header", "row"]


def test_rows_of_another_length_are_broken_but_for_empty_ends(save: Save) -> None:
    sheet = Sheet(save("Day,Campaign,Cost\n2026-03-01,A,1,234.50\n2026-03-01,A\n2026-03-01,A,1.50,,\n"), Wishes())
    first, second, third = sheet.rows()
    assert isinstance(first, Broken) and "4 columns and the header 3" in first.why and "quotes" in first.why
    assert isinstance(second, Broken) and "2 columns and the header 3" in second.why
    assert third == Row(4, ["2026-03-01", "A", "1.50"])


def test_a_quote_that_is_never_closed_costs_its_own_line(save: Save) -> None:
    rows = "".join(f"2026-03-01,A{number},1.50\n" for number in range(MAX_LINES * 3))
    sheet = Sheet(save('Day,Campaign,Cost\n2026-03-01,A,1.50\n2026-03-01,"B,1.50\n' + rows), Wishes())
    items = list(sheet.rows())
    assert [type(item) for item in items] == [Row, Broken, *[Row] * MAX_LINES * 3]
    assert items[1].line == 3 and isinstance(items[1], Broken) and "not closed" in items[1].why
    assert items[2] == Row(4, ["2026-03-01", "A0", "1.50"])


def test_a_quote_that_is_open_at_the_end_costs_its_own_line(save: Save) -> None:
    found = kinds(Sheet(save('Day,Campaign,Cost\n2026-03-01,"A,1.50\n2026-03-01,B,1.50'), Wishes()))
    assert "quote" in found[0] and found[1:] == ["row"]


def test_quoted_lines_and_inches_are_read(save: Save) -> None:
    sheet = Sheet(save('Day,Campaign,Cost\n2026-03-01,"A\nB ""C""","1.50"\n2026-03-01,5" screen,2\n'), Wishes())
    assert list(sheet.rows()) == [
        Row(2, ["2026-03-01", 'A\nB "C"', "1.50"]),
        Row(4, ["2026-03-01", '5" screen', "2"]),
    ]


def test_a_huge_cell_costs_its_own_line(save: Save) -> None:
    huge = "x" * (MAX_LINE * 3)
    for cell in (huge, f'"{huge}"', '"' + "x\n" * 90_000 + '"'):
        items = list(Sheet(save(f"Day,Campaign,Cost\n2026-03-01,{cell},1\n2026-03-01,A,2\n"), Wishes()).rows())
        assert isinstance(items[0], Broken)
        assert all(len(part) <= 1000 for item in items if isinstance(item, Broken) for part in item.cells)
        assert Row(items[-1].line, ["2026-03-01", "A", "2"]) == items[-1]


def test_a_long_file_is_read_in_little_memory(save: Save) -> None:
    path = save("Day,Campaign,Cost\n" + "".join(f"2026-03-01,Campaign {at},{at}.5\n" for at in range(50_000)))
    tracemalloc.start()
    try:
        rows = sum(isinstance(item, Row) for item in Sheet(path, Wishes()).rows())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 50_000
    assert peak < path.stat().st_size / 2


def test_nul_characters_cost_their_own_line(save: Save) -> None:
    found = kinds(Sheet(save("Day,Campaign,Cost\n2026-03-01,A\0,1.50\n2026-03-01,B,1.50\n"), Wishes()))
    assert found == ["The line has NUL characters.", "row"]


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        (["12,50"], "say --decimal ,"),
        (["1.234,56", "1.234"], "say --decimal ,"),
        (["1,234"], "two ways"),
        (["1.234"], "two ways"),
        (["1.234", "12,50", "12.50"], "two ways"),
    ],
)
def test_amounts_that_would_have_to_be_guessed_stop_the_file(save: Save, costs: list[str], words: str) -> None:
    path = save("Day;Campaign;Cost\n" + "".join(f"2026-03-01;A;{cost}\n" for cost in costs))
    assert words in refusal(path)
    for mark in cells.DECIMAL_MARKS:
        assert Sheet(path, wishes(decimal=mark)).decimal == mark


@pytest.mark.parametrize("costs", [["12"], ["1,234", "12.50"], ["1.234", "12.50"], ["12,50", "12.50"], ["1,234,567"]])
def test_amounts_that_can_be_told_apart_are_taken(save: Save, costs: list[str]) -> None:
    assert Sheet(save("Day;Campaign;Cost\n" + "".join(f"2026-03-01;A;{c}\n" for c in costs)), Wishes()).decimal == "."


# --- Anything ------------------------------------------------------------------------------------

_texts = st.text(
    alphabet=st.one_of(
        st.sampled_from('",;\t\n\r\0 0123456789.-/:$€()=+@'),
        st.sampled_from(["Day", "Campaign", "Cost", "Total", "2026-03-01", "1.50", "A"]).flatmap(st.sampled_from),
        st.characters(codec="utf-8"),
    ),
    max_size=400,
)


@settings(max_examples=300)
@given(content=st.one_of(st.binary(max_size=400), _texts.map(str.encode)), header=st.booleans())
def test_any_bytes_are_rows_or_one_clear_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, header: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes((b"Day,Campaign,Cost\n" if header else b"") + content)
    sheet = or_refusal(lambda: Sheet(path, Wishes()))
    if isinstance(sheet, str):
        assert sheet.isprintable()
        return
    lines = [item.line for item in sheet.rows()]
    assert lines == sorted(set(lines)), "every line has one fate"
    assert len(lines) == sheet.rows_in_all


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["2026-03-01", "2026-03-02 05:00"]),
            st.text(
                st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cc"]), min_size=1
            ).filter(lambda name: name.strip() not in cells.NO_COST),
            st.decimals("0.01", "99999", places=2).map(str),
        ),
        max_size=30,
    ),
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    titles=st.integers(0, 3),
)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    delimiter: str,
    encoding: str,
    titles: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    quoted = (delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    lines = [*["A title"] * titles, delimiter.join(["Day", "Campaign", "Cost"]), *quoted]
    path.write_text("\r\n".join(lines) + "\r\n", encoding=encoding, newline="")
    sheet = Sheet(path, wishes(decimal="."))
    assert [tuple(item.cells) for item in sheet.rows() if isinstance(item, Row)] == rows
    assert sheet.rows_in_all == len(rows)


# --- Rejects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rejects_are_read_by_what_read_their_source(tmp_path: Path, encoding: str, delimiter: str) -> None:
    source, path = tmp_path / "spend.csv", tmp_path / "spend.rejects.csv"
    cells_of = ["2026-03-01", '=cmd|"x"!A1, Frühling;\t', "-1.50"]
    quoted = delimiter.join('"' + cell.replace('"', '""') + '"' for cell in cells_of)
    header = delimiter.join(["Day", "Campaign", "Cost"])
    source.write_bytes(f"A title\n{header}\n{quoted}\n".encode(encoding))
    wish = wishes(encoding="cp1252" if encoding == "cp1252" else None)
    sheet = Sheet(source, wish)
    (row,) = sheet.rows()
    assert isinstance(row, Row)
    with Rejects(path, sheet) as rejects:
        assert not path.exists(), "no rejects, no file"
        rejects.add(line=row.line, found=row.cells, why="Why → it is.", event_id="csv:1:2026-03-01:1")
        rejects.add(line=9, found=[*row.cells, "more"], why="Longer.")
    again = Sheet(path, wish)
    assert tuple(again.layout.header[:3]) == IMPORT_COLUMNS
    first, second = again.rows()
    assert isinstance(first, Row) and isinstance(second, Broken)
    assert first.cells[3:] == row.cells, "kept as they were"
    assert [again.layout.kept(first, name) for name in ("import line", "import event id")] == [
        "3",
        "csv:1:2026-03-01:1",
    ]
    assert not any(added.startswith(tuple("=+-@\t\r")) for item in (first, second) for added in item.cells[:3])


def test_rejects_take_the_place_of_earlier_ones_only(save: Save, tmp_path: Path) -> None:
    sheet = Sheet(save(PLAIN), Wishes())
    path = tmp_path / "out.csv"
    for _ in range(2):
        with Rejects(path, sheet) as rejects:
            rejects.add(line=2, found=["a", "b", "c"], why="Why.")
    assert len(path.read_text().splitlines()) == 2
    with Rejects(path, sheet):
        pass
    assert not path.exists(), "those of the last run would be taken for those of this one"
    path.write_text("my own notes\n")
    with pytest.raises(SheetError, match="no file of rejects"):
        Rejects(path, sheet)
    assert path.read_text() == "my own notes\n"
    with pytest.raises(SheetError, match="the file to import"):
        Rejects(sheet.text.path, sheet)
    for nowhere in (tmp_path, tmp_path / "none" / "out.csv", Path("a\0b")):
        with pytest.raises(SheetError):
            Rejects(nowhere, sheet)


def test_a_full_disk_is_one_sentence(save: Save) -> None:
    sheet = Sheet(save(PLAIN), Wishes())
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    rejects = Rejects(sheet.text.path.with_name("out.csv"), sheet)
    rejects.path = Path("/dev/full")

    def fill() -> None:
        with rejects:
            for line in itertools.count(1):
                rejects.add(line=line, found=["a", "b", "c"], why="Why.")

    with pytest.raises(SheetError, match="can't be written"):
        fill()
