"""The file of rejects: the rows that an import did not take, each with its line and the reason, ready to import again.

It is written in the encoding and with the separator of the file that the rows came from, so that the same options
fit both. Cells stay as they were, also one that a spreadsheet would take for a formula: it came from the user's own
file, and changed it would be another row. What this module adds never begins like a formula.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from campaigns.gateways.csv_records import SheetError
from campaigns.gateways.spend_csv import IMPORT_COLUMNS, Sheet

_HEAD = 4_096


class Rejects:
    """Writes a file of rejects; there is none as long as no row was rejected. A context manager.

    Takes the place of an earlier file of rejects, and raises SheetError rather than of any other file.
    """

    def __init__(self, path: Path, sheet: Sheet) -> None:
        self.path = path
        self.count = 0
        self._sheet = sheet
        self._own = sheet.layout.import_columns
        self._file: TextIO | None = None
        self._writer: Any = None
        _make_way(path, sheet.text.path)

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError as failure:
                raise self._unwritable(failure) from failure

    def add(self, *, line: int | str, found: Sequence[str], why: str, event_id: str = "") -> None:
        """Add a row: its line in the imported file, its cells, the reason, and the event id it would have had."""
        try:
            if self._writer is None:
                self._writer = self._begin()
            self._writer.writerow([line, why, event_id, *found[self._own :]])
        except OSError as error:
            raise self._unwritable(error) from error
        self.count += 1

    def flush(self) -> None:
        """Hand to the system what was added so far."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                raise self._unwritable(error) from error

    def _begin(self) -> Any:
        layout, text = self._sheet.layout, self._sheet.text
        self._file = self.path.open("w", encoding=text.encoding, errors="backslashreplace", newline="")
        writer = csv.writer(self._file, delimiter=layout.delimiter)
        writer.writerow([*IMPORT_COLUMNS, *layout.header[self._own :]])
        return writer

    def _unwritable(self, error: OSError) -> SheetError:
        return SheetError(f"{self.path} can't be written: {error.strerror or error}; name another with --rejects.")


def _make_way(path: Path, source: Path) -> None:
    """Remove the rejects of an earlier run, and see that new ones can be written."""
    try:
        if path.exists():
            if path.samefile(source):
                raise SheetError(f"{path} is the file to import; name another for the rejects with --rejects.")
            if not path.is_file() or not _is_of_rejects(path):
                raise SheetError(f"{path} is there and is no file of rejects; name another with --rejects.")
        path.open("w").close()
        path.unlink()
    except OSError as error:
        problem = error.strerror or error
        raise SheetError(f"{path} can't be written: {problem}; name another with --rejects.") from error
    except ValueError as error:
        raise SheetError(f"{str(path)!r} is not the name of a file.") from error


def _is_of_rejects(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    # In every encoding that a report comes in, its letters are these bytes, with or without zeros between them.
    return not head or IMPORT_COLUMNS[1].encode() in head.replace(b"\0", b"")
