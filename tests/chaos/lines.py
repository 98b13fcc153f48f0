"""A line of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass
class Line:
    """What became of one fault: its cells, what is to be told beside them, and what was wrong."""

    words: str
    cells: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    COLUMNS: ClassVar = (
        "fault",
        "answered",
        "in the ledger",
        "counted twice",
        "lost",
        "retries",
        "first answer, s",
        "first of the stream, s",
        "first pass, s",
        "differences",
    )

    def row(self) -> list[str]:
        """Return the cells of the whole line; one that came to no end says so."""
        cells = self.cells or ["NOT DONE"]
        return [self.words, *cells, *[""] * (len(self.COLUMNS) - 1 - len(cells))]
