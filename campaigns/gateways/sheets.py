"""Tables as CSV, for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

# What a spreadsheet takes for the beginning of a formula, also in the wide forms of East Asian keyboards.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001 - these are meant


def write_csv(header: Sequence[str], rows: Iterable[Sequence[str]], *, texts: frozenset[str]) -> str:
    """Return a table as CSV (RFC 4180) with a header.

    texts: the columns whose cells people have written. Such a cell that a spreadsheet would take for a formula begins
    with an apostrophe, so that it is a text there; an amount below zero stays a number.
    """
    sheet = io.StringIO(newline="")
    writer = csv.writer(sheet)
    writer.writerow(header)
    free = [name in texts for name in header]
    writer.writerows(
        [_safe(cell) if written else cell for cell, written in zip(row, free, strict=True)] for row in rows
    )
    return sheet.getvalue()


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
