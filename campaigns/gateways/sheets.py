"""Tables as CSV, for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

# What a spreadsheet takes for the beginning of a formula, also in the wide forms of East Asian keyboards.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001 - these are meant


def write_csv(header: Sequence[str], rows: Iterable[Sequence[str]], *, texts: frozenset[str]) -> str:
    """Return a table as CSV (RFC 4180) with a header.

    texts: the columns whose cells people have written. Such a cell that a spreadsheet would take for a formula begins
    with an apostrophe, so that it is a text there; an amount below zero stays a number.
    """
    return _line(header) + _lines(header, rows, texts)


def stream_csv(
    header: Sequence[str], chunks: Iterable[Iterable[Sequence[str]]], *, texts: frozenset[str]
) -> Iterator[str]:
    """Yield the same in parts, the header first and then a part for each chunk of rows.

    It begins with a byte order mark, by which spreadsheets know that it is UTF-8.
    """
    yield "\N{ZERO WIDTH NO-BREAK SPACE}" + _line(header)
    for rows in chunks:
        yield _lines(header, rows, texts)


def defused(cell: str) -> str:
    """Return a cell that people have written so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def plain(cell: str) -> str:
    """Return what a defused cell was."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def _line(cells: Sequence[str]) -> str:
    return _lines(cells, [cells], frozenset())


def _lines(header: Sequence[str], rows: Iterable[Sequence[str]], texts: frozenset[str]) -> str:
    sheet = io.StringIO(newline="")
    free = [name in texts for name in header]
    csv.writer(sheet).writerows(
        [defused(cell) if written else cell for cell, written in zip(row, free, strict=True)] for row in rows
    )
    return sheet.getvalue()
