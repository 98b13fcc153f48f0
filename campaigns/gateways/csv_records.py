"""Text files of comma-separated values, read record by record: lazily, within bounds, whatever is in them.

A record that can't be read costs itself, not those behind it: after a quote that is never closed, reading goes on
with the next line. The csv module sees no line more than twice for that, however many quotes stay open.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import deque
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, NamedTuple

from campaigns.rules.errors import BudgetError

MAX_LINE = 131_072
"""The most characters of one record; also the most that Python's csv module takes in one cell."""

MAX_LINES = 100
"""The most lines that one record may run over, inside quotes."""

_HEAD = 65_536
# The longest mark first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY = (
    (b"PK\x03\x04", "a spreadsheet or a zip archive"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet in the old Excel format"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3\x00", "a database"),
    (b"PAR1", "a Parquet file"),
)
_OVERLONG = "(a line that was too long to be kept)\n"
"""Compared by identity."""
_UNMATCHED = "The quotes of this line don't match: a quoted cell is not closed, or goes on after its closing quote."


class SheetError(BudgetError):
    """A file that can't be read as a whole. The message is one sentence that says what to do."""


class Record(NamedTuple):
    """One record: the number of its first line (from 1), its cells, and why it could not be read if it could not.

    A record with a problem has one cell, the beginning of its line.
    """

    line: int
    cells: list[str]
    problem: str = ""


class Text:
    """A text file that was found readable, with its encoding. Raises SheetError for what is no text.

    content: what is in it, where it was sent and lies in no folder; its path is then only its name.
    """

    def __init__(self, path: Path, encoding: str | None = None, *, content: bytes | None = None) -> None:
        self.path = path
        self._content = content
        self.size, head = _look_at(path) if content is None else (len(content), content[:_HEAD])
        _check_head(path, head)
        self.encoding = encoding or _encoding(path, head)
        try:
            codecs.lookup(self.encoding)
            "".encode(self.encoding)
        except (LookupError, ValueError) as error:
            raise SheetError(
                f"There is no text encoding {self.encoding!r}; utf-8, utf-16 and cp1252 are some."
            ) from error
        self._file: BinaryIO | None = None

    @property
    def position(self) -> int:
        """How many bytes the latest pass over the records has read."""
        return self._file.tell() if self._file and not self._file.closed else self.size

    def records(self, delimiter: str) -> Iterator[Record]:
        """Yield every record; raises SheetError where the text is not in its encoding, or can't be read on."""
        with self._open() as stream:
            lines = _Lines(stream, self, delimiter)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            while True:
                lines.begin_record()
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except (csv.Error, _RecordError) as error:
                    yield Record(lines.began, [lines.first.rstrip("\r\n")[:1000]], _sentence(error))
                    reader = csv.reader(lines, delimiter=delimiter, strict=True)
                else:
                    yield Record(lines.began, cells)

    def _open(self) -> TextIOWrapper:
        try:
            self._file = self.path.open("rb") if self._content is None else io.BytesIO(self._content)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return TextIOWrapper(self._file, encoding=self.encoding, newline="")


class _RecordError(Exception):
    """A record past its bounds, or in a quote that does not end well; the message says which."""


class _OpenError(Exception):
    """A line has come to its end and the quote that it began in is still open."""


class _Lines:
    """The lines of a stream, as the csv module asks for them.

    Its second line of a record is asked for only within an open quote. Whether that quote will be closed is found
    out before any line is given away, so that a record that fails has taken its first line only.

    The lines that were looked at for it are kept, and how they end: a quote that is open before any of them meets the
    same end, whichever line it was opened in. So no line is looked at twice, and reading stays linear where every
    line opens a quote anew.
    """

    def __init__(self, stream: TextIOWrapper, text: Text, delimiter: str) -> None:
        self._stream = stream
        self._text = text
        self._delimiter = delimiter
        self._ahead: deque[str] = deque()
        self._size_ahead = 0
        self._closed = False
        self._wrong = ""
        self._taken = 0
        self.number = 0
        self.first = ""

    @property
    def began(self) -> int:
        """The number of the record's first line."""
        return self.number - self._taken + 1

    def begin_record(self) -> None:
        self._taken = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._taken == 1:
            self._look_ahead()
        line = self._next_ahead() if self._ahead else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self._taken += 1
        if self._taken == 1:
            self.first = line
        if problem := _problem(line):
            raise _RecordError(problem)
        return line

    def _next_ahead(self) -> str:
        line = self._ahead.popleft()
        self._size_ahead -= len(line)
        return line

    def _look_ahead(self) -> None:
        """Raise _RecordError unless the quote that is open now will be closed within the bounds of a record."""
        if not self._ahead:
            self._closed, self._wrong = False, ""
        while not (self._closed or self._wrong) and self._is_within_bounds(1):
            self._look_at(self._read())
        if self._wrong:
            raise _RecordError(self._wrong)
        if not self._closed or not self._is_within_bounds(0):
            raise _RecordError(
                f"A quote in this line is not closed within {MAX_LINES} lines and {MAX_LINE:,} characters."
            )

    def _is_within_bounds(self, more: int) -> bool:
        return 1 + len(self._ahead) + more <= MAX_LINES and len(self.first) + self._size_ahead <= MAX_LINE

    def _look_at(self, line: str) -> None:
        """Keep a line, and what becomes of a quote that is open before it."""
        if not line:
            self._wrong = _UNMATCHED
            return
        self._ahead.append(line)
        self._size_ahead += len(line)
        self._wrong = _problem(line)
        if self._wrong:
            return
        try:
            next(csv.reader(_within_quote(line), delimiter=self._delimiter, strict=True))
            self._closed = True
        except csv.Error:
            self._wrong = _UNMATCHED
        except _OpenError:
            pass

    def _read(self) -> str:
        try:
            line = self._stream.readline(MAX_LINE)
            if len(line) == MAX_LINE and line[-1] not in "\r\n":
                while (rest := self._stream.readline(MAX_LINE)) and rest[-1] not in "\r\n":
                    pass
                line = _OVERLONG
        except UnicodeError as error:
            raise self._undecodable(error) from error
        except OSError as error:
            raise _unreadable(self._text.path, error) from error
        return line.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}") if self.number == 0 else line

    def _undecodable(self, error: UnicodeError) -> SheetError:
        line = self.number + len(self._ahead) + 1
        if isinstance(error, UnicodeDecodeError):
            line += error.object[: error.start].count(b"\n")
        return SheetError(
            f"{self._text.path} is not {self._text.encoding} text (line {line}); say which encoding it has, such as "
            "--encoding cp1252, or save it as CSV UTF-8."
        )


def _within_quote(line: str) -> Iterator[str]:
    """What the csv module has to be given so that it reads a line as if a quote had been opened before it."""
    yield '"'
    yield line
    raise _OpenError


def _problem(line: str) -> str:
    """Why a line can't be read whatever stands before it; empty if it can."""
    if line is _OVERLONG:
        return f"The line is longer than {MAX_LINE:,} characters."
    return "The line has NUL characters." if "\0" in line else ""


def _look_at(path: Path) -> tuple[int, bytes]:
    """The size of a file and its first bytes."""
    try:
        if path.is_dir():
            raise SheetError(f"{path} is a folder; name a CSV file.")
        if path.exists() and not path.is_file():
            raise SheetError(f"{path} is not a regular file; it is read more than once, so save it first.")
        with path.open("rb") as file:
            head = file.read(_HEAD)
            size = file.seek(0, io.SEEK_END)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:  # a NUL in the name
        raise SheetError(f"{str(path)!r} is not the name of a file.") from error
    return size, head


def _check_head(path: Path, head: bytes) -> None:
    if not head:
        raise SheetError(f"{path} is empty.")
    for mark, kind in _BINARY:
        if head.startswith(mark):
            raise SheetError(f"{path} is {kind}, not CSV; export or save it as CSV and import that.")


def _encoding(path: Path, head: bytes) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if head.count(b"\0") > len(head) // 10:
        raise SheetError(
            f"{path} is not text, or does not tell its encoding; if it is UTF-16, say --encoding utf-16-le."
        )
    return "utf-8"


def _unreadable(path: Path, error: OSError) -> SheetError:
    return SheetError(f"{path} can't be read: {error.strerror or error}.")


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, _RecordError) else _UNMATCHED
