"""Campaigns as CSV: every way to write a cell that is taken, and a sentence for what is not."""

from datetime import date

import pytest

from campaigns.gateways.campaigns_csv import (
    EXAMPLE,
    MAX_BYTES,
    Line,
    ValueRefusedError,
    hours_cell,
    read_hours,
    read_sheet,
    read_values,
    rejects,
)
from campaigns.gateways.csv_records import SheetError
from campaigns.gateways.sheets import defused, plain, stream_csv, write_csv
from campaigns.rules.schedules import Schedule, ScheduleError

WEEK = "".join(f"{day % 2}" * 24 for day in range(7))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_sheet_is_read_whatever_saved_it(encoding: str, delimiter: str) -> None:
    text = 'id, Daily Budget ,Campaign\r\n\r\n1,5,"Zoë, the\nsecond"\r\n,none,x\r\n'.replace(",", delimiter)
    sheet = read_sheet("a.csv", text.encode(encoding))
    assert [(line.number, dict(line.values), line.problem) for line in sheet.lines] == [
        (3, {"id": "1", "daily_budget": "5", "campaign": f"Zoë{delimiter} the\nsecond"}, ""),
        (5, {"id": "", "daily_budget": "none", "campaign": "x"}, ""),
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "a.csv is empty."),
        (b"PK\x03\x04xxxx", "a spreadsheet or a zip archive, not CSV"),
        (b"id,dialy_budget\n1,2\n", "has a column that campaigns don't have: dialy_budget. Remove or rename"),
        (b"cost,day\n1,2\n", "has none of the columns of campaigns in its first line"),
        (b"id,ID\n1,2\n", "has the column id twice"),
        (b"id,campaign\n", "has a header but no rows"),
        (b"id,campaign\n1,Z\xfc\n", "is not text in UTF-8; save it as CSV UTF-8"),
        (b"id\n" + b"1\n" * 10_001, "has more than 10,000 rows; split it"),
        (b"id\n" + b"1" * MAX_BYTES, "has more than 5 MB; split it"),
        (b"\x00i\x00d" * 9, "is not text in UTF-8"),
    ],
)
def test_a_file_that_can_not_be_read_is_one_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(SheetError) as error:
        read_sheet("a.csv", content)
    assert sentence in str(error.value)
    assert "--" not in str(error.value)


def test_a_row_that_can_not_be_read_costs_only_itself() -> None:
    sheet = read_sheet("a.csv", b'id,campaign\n1,a\n2,"x"y\n3\n4,b\n')
    assert [(line.number, bool(line.problem)) for line in sheet.lines] == [(2, False), (3, True), (4, True), (5, False)]
    assert sheet.lines[2].problem == "This row has 1 cells and the header 2."


def test_an_empty_cell_sets_nothing_and_none_removes() -> None:
    values = {"daily_budget": "", "monthly_budget": "12.50", "total_budget": "None", "flight_start": "2027-03-01"}
    assert read_values({**values, "flight_end": "none", "hours": "none", "status": "paused"}) == {
        "monthly_budget": "12.50",
        "total_budget": None,
        "flight_start": date(2027, 3, 1),
        "flight_end": None,
        "hours": None,
    }


@pytest.mark.parametrize("cell", ["1.3.2027", "2027-02-30", "20270301", "2027-W01-1", "soon"])
def test_a_day_that_is_none_is_said_so(cell: str) -> None:
    with pytest.raises(ValueRefusedError, match=r"Column flight_end: .* is not a day; write it as 2026-03-01"):
        read_values({"flight_end": cell})


@pytest.mark.parametrize("weekdays", [127, 31, 96, 0b0100101, 1])
@pytest.mark.parametrize(("start", "end"), [(22, 6), (9, 17), (22, 0), (0, 1), (5, 4)])
def test_a_window_comes_back_as_it_went(start: int, end: int, weekdays: int) -> None:
    cell = hours_cell(start, end, weekdays, None)
    assert cell.isascii()
    assert read_hours(cell) == {"start_hour": start, "end_hour": end, "weekdays": weekdays, "grid": None}


def test_a_grid_comes_back_as_it_went_and_is_no_number_to_a_spreadsheet() -> None:
    cell = hours_cell(None, None, None, WEEK)
    assert not cell.replace(" ", "").isdigit()
    assert read_hours(cell)["grid"] == read_hours(WEEK)["grid"] == Schedule.from_grid(WEEK).hours


@pytest.mark.parametrize("cell", ["always", "9-9", "25-3", "09:30-17:00", "9-17 someday", "grid 01", "0" * 168])
def test_hours_that_are_none_are_said_so(cell: str) -> None:
    with pytest.raises(ScheduleError):
        read_hours(cell)
    with pytest.raises(ValueRefusedError, match=r"^Column hours: "):
        read_values({"hours": cell})


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "plain", "", "'quoted", "'=x"])
def test_no_cell_is_a_formula_and_each_can_be_told_again(text: str) -> None:
    assert not defused(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    if not text.startswith("'="):  # read as what an export has made of =x; an import compares it with the present name
        assert plain(defused(text)) == text


def test_a_stream_is_the_table_with_a_mark() -> None:
    rows = [["=a", "1"], ["b", "-2"]]
    whole = write_csv(["name", "amount"], rows, texts=frozenset({"name"}))
    parts = list(stream_csv(["name", "amount"], [rows[:1], rows[1:]], texts=frozenset({"name"})))
    assert "".join(parts) == "\ufeff" + whole
    assert len(parts) == 3
    assert "'=a,1" in whole


def test_rejects_can_be_mended_and_read_again() -> None:
    sheet = read_sheet("a.csv", b'id;campaign\n1;"a;b"\n2;x;y\n')
    whys = [(line, "Because.") for line in sheet.lines]
    again = read_sheet("b.csv", rejects(sheet, whys).encode())
    assert again.lines[0] == Line(2, ["2", "Because.", "1", "a;b"], again.lines[0].values)
    assert again.lines[0].values["campaign"] == "a;b"
    assert again.lines[1].problem
    assert rejects(again, [(again.lines[0], "Still.")]).count("import_line") == 1


def test_the_example_is_read() -> None:
    sheet = read_sheet("example.csv", EXAMPLE.encode())
    assert [set(read_values(line.values)) for line in sheet.lines] == [
        {"daily_budget", "monthly_budget", "total_budget", "flight_start", "flight_end", "hours"},
        {"daily_budget", "flight_start", "flight_end", "hours"},
    ]
