"""Campaigns as CSV: what the list is exported as, and what can be imported again with other values.

A cell that is empty leaves a value as it is; `none` removes a budget, a day or the hours.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from campaigns.gateways.csv_records import SheetError, Text
from campaigns.gateways.sheets import defused
from campaigns.rules.errors import BudgetError
from campaigns.rules.schedules import (
    ALL_WEEKDAYS,
    DAY_HOURS,
    WEEK_HOURS,
    Schedule,
    ScheduleError,
    describe,
    parse_weekdays,
)

MAX_BYTES = 5 * 2**20
MAX_ROWS = 10_000
"""What one file may have: it goes along with the page that shows what it would do."""

BUDGETS = ("daily_budget", "monthly_budget", "total_budget")
DAYS = ("flight_start", "flight_end")
TAKEN = ("id", "brand", "campaign", "external_id", *BUDGETS, *DAYS, "hours")
"""The columns that an import reads."""

TOLD = ("status", "reasons", "resumes_at", "spent_today", "spent_this_month", "currency", "time_zone")
"""The columns that only an export has; an import passes over them."""

LINE, REASON = "import_line", "import_reason"
"""The columns that a file of rejected rows has before its own; an import passes over them, too."""

TEXTS = frozenset({"brand", "campaign", "external_id"})
"""The columns that people have written, which may begin like a formula."""

NONE = "none"

_DELIMITERS = (",", ";", "\t")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# What is taken for a separator is not given back (++): a cell of nothing else would be gone through once for each.
_WINDOW = re.compile(r"(\d{1,2})(?::00)?\s*[-–—]\s*(\d{1,2})(?::00)?(?:[\s,]++(.+))?", re.ASCII)


class Line(NamedTuple):
    """A row: its line in the file, its cells as they stand, and by column; and why it can't be read if it can't."""

    number: int
    cells: list[str]
    values: Mapping[str, str]
    problem: str = ""


class Sheet(NamedTuple):
    """A file that could be read: its header as it stands, its separator, and its rows."""

    header: list[str]
    delimiter: str
    lines: list[Line]


class ValueRefusedError(BudgetError):
    """A cell that can't be read; the message is one sentence that names its column."""


def read_sheet(name: str, content: bytes) -> Sheet:
    """Read a file that was sent. Raises SheetError, with one sentence, where all of it can't be read."""
    if len(content) > MAX_BYTES:
        raise SheetError(f"{name} has more than {MAX_BYTES // 2**20} MB; split it into several files.")
    try:
        text = Text(Path(name), content=content)
        return _read(name, text)
    except SheetError as error:
        if "--encoding" in str(error):  # what helps at a shell
            raise SheetError(f"{name} is not text in UTF-8; save it as CSV UTF-8 and choose it again.") from error
        raise


def _read(name: str, text: Text) -> Sheet:
    best = max(_DELIMITERS, key=lambda delimiter: len({*_names(_header(text, delimiter))} & {*TAKEN}))
    header = _header(text, best)
    names = _names(header)
    _check_names(name, names)
    lines: list[Line] = []
    for at, record in enumerate(record for record in text.records(best) if record.problem or any(record.cells)):
        if at == 0:
            continue  # the header
        if len(lines) == MAX_ROWS:
            raise SheetError(f"{name} has more than {MAX_ROWS:,} rows; split it into several files.")
        problem = record.problem
        if not problem and len(record.cells) != len(header):
            problem = f"This row has {len(record.cells)} cells and the header {len(header)}."
        values = {} if problem else {n: cell.strip() for n, cell in zip(names, record.cells, strict=True)}
        lines.append(Line(record.line, record.cells, values, problem))
    if not lines:
        raise SheetError(f"{name} has a header but no rows; add a row for each campaign.")
    return Sheet(header, best, lines)


def _header(text: Text, delimiter: str) -> list[str]:
    return next((record.cells for record in text.records(delimiter) if any(record.cells)), [])


def _names(header: Sequence[str]) -> list[str]:
    """The names of the columns, without case and with one kind of space."""
    return [re.sub(r"[\s_-]+", "_", name.strip().lower()) for name in header]


def _check_names(name: str, names: Sequence[str]) -> None:
    own = [column for column in names if column]
    unknown = [column for column in own if column not in {*TAKEN, *TOLD, LINE, REASON}]
    if not {*own} & {*TAKEN}:
        raise SheetError(f"{name} has none of the columns of campaigns in its first line: {', '.join(TAKEN)}.")
    if unknown:
        shown = ", ".join(repr(column[:40])[1:-1] for column in unknown[:5])  # what can't be printed is written out
        raise SheetError(
            f"{name} has {'a column' if len(unknown) == 1 else 'columns'} that campaigns don't have: {shown}. "
            f"Remove or rename; known are {', '.join(TAKEN)}."
        )
    twice = sorted(column for column, times in Counter(own).items() if times > 1)
    if twice:
        raise SheetError(f"{name} has the column {twice[0]} twice; keep one of them.")


def read_values(values: Mapping[str, str]) -> dict[str, Any]:
    """Return what a row sets: fields of a campaign, and `hours` as the columns of a schedule; not what names it.

    Amounts stay text: the rule about budgets reads them. Raises ValueRefusedError.
    """
    given: dict[str, Any] = {}
    for column in (*BUDGETS, *DAYS, "hours"):
        cell = values.get(column, "")
        if cell.lower() == NONE:
            given[column] = None
        elif cell:
            given[column] = _read_cell(column, cell)
    return given


def _read_cell(column: str, cell: str) -> Any:
    if column in BUDGETS:
        return cell
    if column in DAYS:
        return _read_day(column, cell)
    try:
        return read_hours(cell)
    except ScheduleError as error:
        raise ValueRefusedError(f"Column hours: {error}") from error


def _read_day(column: str, cell: str) -> date:
    try:
        if _DAY.fullmatch(cell):  # fromisoformat() alone also takes weeks
            return date.fromisoformat(cell)
    except ValueError:
        pass
    raise ValueRefusedError(
        f"Column {column}: {cell[:40]!r} is not a day; write it as 2026-03-01, or none for no limit."
    )


def hours_cell(start_hour: int | None, end_hour: int | None, weekdays: int | None, grid: str | None) -> str:
    """Return hours as a cell that `read_hours` takes back: `22:00-06:00, Mon-Fri`, or a grid with a day to a group."""
    if grid is None:
        assert start_hour is not None and end_hour is not None and weekdays is not None
        return describe(start_hour, end_hour, weekdays).replace("–", "-")
    return "grid " + " ".join(grid[day : day + DAY_HOURS] for day in range(0, WEEK_HOURS, DAY_HOURS))


def read_hours(cell: str) -> dict[str, int | str | None]:
    """Return the columns of a schedule that a cell tells. Raises ScheduleError."""
    if cell.lower().startswith("grid") or not cell.translate(_DIGITS_AND_SPACE):
        hours = Schedule.from_grid(cell.lower().removeprefix("grid")).hours
        return {"start_hour": None, "end_hour": None, "weekdays": None, "grid": hours}
    found = _WINDOW.fullmatch(cell)
    if found is None:
        raise ScheduleError(f"{cell[:40]!r} are no hours; write them as 09:00-17:00, Mon-Fri, as a grid, or none.")
    start, end = int(found[1]), int(found[2])
    weekdays = parse_weekdays(found[3]) if found[3] else ALL_WEEKDAYS
    end = 0 if end == DAY_HOURS else end
    Schedule.from_window(start, end, weekdays)
    return {"start_hour": start, "end_hour": end, "weekdays": weekdays, "grid": None}


_DIGITS_AND_SPACE = dict.fromkeys(map(ord, "01 \t\n\r"))


def rejects(sheet: Sheet, why: Iterable[tuple[Line, str]]) -> str:
    """Return the rows that were not taken, each with its line and the reason, ready to be mended and imported again.

    Cells stay as they were: they came from the person's own file. A reason may begin with a name that others gave.
    """
    own = [at for at, name in enumerate(_names(sheet.header)) if name not in (LINE, REASON)]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=sheet.delimiter)
    writer.writerow([LINE, REASON, *(sheet.header[at] for at in own)])
    for line, reason in why:
        whole = len(line.cells) == len(sheet.header)
        writer.writerow([line.number, defused(reason), *([line.cells[at] for at in own] if whole else line.cells)])
    return "\N{ZERO WIDTH NO-BREAK SPACE}" + out.getvalue()


EXAMPLE = """\
brand,campaign,external_id,daily_budget,monthly_budget,total_budget,flight_start,flight_end,hours
Acme,Spring sale,spring-1,100.00,2500.00,none,2027-03-01,2027-03-31,"08:00-22:00, Mon-Fri"
Acme,Night owls,,50,,,none,none,22:00-06:00
"""
"""What a new file can begin with."""
