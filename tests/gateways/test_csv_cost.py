"""What a file costs to read grows with its size, whatever is in it: a small one keeps the processor busy for nobody."""

from __future__ import annotations

import contextlib
import csv
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from campaigns.gateways import csv_records, spend_csv
from campaigns.gateways.campaigns_csv import ValueRefusedError, read_sheet, read_values
from campaigns.gateways.csv_records import MAX_LINE, MAX_LINES, SheetError, Text

pytestmark = pytest.mark.once

QUOTES = {
    "opened anew in each line": 'a","b\n',
    "opened anew and broken now and then": 'a","b\n' * (MAX_LINES - 2) + '"b"c\n',
    "opened in each line": '"a\n',
    "never closed": '"a\n' + "b\n" * MAX_LINES,
    "closed by the next line": '"a\nb"\n',
    "open over long lines": '"' + "a" * 1_300 + '\n","',
}


@pytest.mark.parametrize("lines", QUOTES.values(), ids=QUOTES)
def test_no_line_is_read_more_than_twice_whatever_its_quotes(lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (lines * (2 * MAX_LINE // len(lines))).encode()
    seen = 0

    def counted(given: Iterable[str]) -> Iterator[str]:
        nonlocal seen
        for line in given:
            seen += len(line)
            yield line

    def reader(given: Iterable[str], **options: Any) -> Any:
        return csv.reader(counted(given), **options)

    monkeypatch.setattr(csv_records, "csv", SimpleNamespace(reader=reader, Error=csv.Error))
    records = sum(1 for _ in Text(Path("a.csv"), content=content).records(","))
    lines_in_all = content.count(b"\n") + 1
    assert records >= lines_in_all / MAX_LINES
    assert len(content) <= seen <= 2 * len(content) + lines_in_all  # a quote is put before a line that is looked at


def test_what_fails_and_what_does_not_is_as_if_each_record_were_tried_alone() -> None:
    """A quote that can't be closed costs its own line, whatever was found out for the lines before it."""
    chance = random.Random(20260301)
    parts = ['"', '"', '""', ",", "a", "\n", "\n", "\r\n", "\r", 'a","b\n', '"\n', '","b\n', "\0"]
    for _ in range(1_500):
        content = "".join(chance.choices(parts, k=chance.randint(1, 60)))
        found = [
            (at, cells, bool(why)) for at, cells, why in Text(Path("a"), "utf-8", content=content.encode()).records(",")
        ]
        assert found == list(tried_alone(content)) or not content, content


def tried_alone(content: str) -> Iterator[tuple[int, list[str], bool]]:
    """Each record by a reader of its own, from its first line on."""
    lines = content.replace("\r\n", "\x1e").replace("\r", "\x1f").replace("\n", "\n\x1d")
    split = lines.replace("\x1e", "\r\n\x1d").replace("\x1f", "\r\x1d").split("\x1d")
    left, at = [line for line in split if line], 0
    while at < len(left):
        reader = csv.reader(left[at:], strict=True)
        try:
            cells = next(reader)
            if any("\0" in line for line in left[at : at + reader.line_num]):
                raise csv.Error
            yield at + 1, cells, False
            at += reader.line_num
        except csv.Error:
            yield at + 1, [left[at].rstrip("\r\n")], True
            at += 1


def read_campaigns(content: bytes) -> None:
    with contextlib.suppress(SheetError, ValueRefusedError):
        for line in read_sheet("a.csv", content).lines:
            read_values(line.values)


def read_report(content: bytes) -> None:
    text = Text(Path("a.csv"), content=content)
    with contextlib.suppress(SheetError):
        spend_csv._find_layout(text, spend_csv.Wishes())


SIZE = 100_000
HARD: dict[str, tuple[Callable[[bytes], None], str]] = {
    "separators before the weekdays": (read_campaigns, 'id,hours\n1,"9-17' + "," * SIZE + 'a\nb"\n'),
    "one column again and again": (read_campaigns, "id," * (SIZE // 3) + "id\n1\n"),
    "spaces in a name": (read_report, "cost" + " " * SIZE + "!,day\n1\n"),
    "brackets in a name": (read_report, "cost" + "( " * (SIZE // 2) + ",day\n1\n"),
    "accents on one letter": (read_report, "a" + "\u0301" * (SIZE // 4) + "\u0316" * (SIZE // 4) + ",day\n1\n"),
}


@pytest.mark.parametrize(("read", "content"), HARD.values(), ids=HARD)
def test_no_cell_costs_more_than_its_length(read: Callable[[bytes], None], content: str) -> None:
    """Beside a file of many small cells of the same size, which takes some tens of milliseconds."""
    plain = "id,campaign\n" + "1,abc\n" * (SIZE // 6)
    usual = min(cost(read_campaigns, plain) for _ in range(3))
    assert min(cost(read, content) for _ in range(3)) < 20 * usual


def cost(read: Callable[[bytes], None], content: str) -> float:
    began = time.process_time()
    read(content.encode())
    return time.process_time() - began
