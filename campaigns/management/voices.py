"""What the supervised programs say: all of it goes to their log files, what matters to the screen."""

import logging
import re
from enum import Enum
from logging.handlers import RotatingFileHandler
from pathlib import Path

from rich.console import Console
from rich.text import Text

LOG_BYTES = 2_000_000  # twice that for each program: the current file and the one before
LINE_BYTES = 65_536  # a line without end is cut here, not collected
LEVEL_COLUMNS = 80  # a level further right belongs to the message

LEVEL = re.compile(rb"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b|^Traceback ")
OURS = re.compile(rb"\bINFO +campaigns\b")


class Shows(Enum):
    """How much of what a program says is worth a person's screen."""

    NOTHING = "nothing"
    WARNINGS = "warnings"  # and what the product itself says
    EVERYTHING = "everything"


class Voice:
    """One program's output."""

    def __init__(self, name: str, *, colour: str, width: int, shows: Shows, logs: Path, console: Console) -> None:
        """Prepare `logs`/`name`.log, and lines that begin with `name` in `width` columns."""
        self.path = logs / f"{name}.log"
        self._prefix = Text(f"{name:>{width}} │ ", style=colour)
        self._shows = shows
        self._console = console
        self._rest = b""  # of a line that has no end yet
        self._loud = False  # whether the last line that had a level was shown
        handler = RotatingFileHandler(self.path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._log = logging.Logger(name)  # noqa: LOG001 - not below the root logger, whose handlers print
        self._log.addHandler(handler)

    def hear(self, chunk: bytes) -> None:
        """Take what the program wrote, which may end in the middle of a line."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > LINE_BYTES:
            self.finish()

    def finish(self) -> None:
        """Take what there is of the last line as the whole of it."""
        if self._rest:
            self._line(self._rest)
        self._rest = b""

    def announce(self, sentence: str) -> None:
        """Print a line about the program, whatever it shows of itself."""
        self._loud = False
        self._print(Text(sentence, style="bold yellow"))

    def _line(self, line: bytes) -> None:
        words = line.decode(errors="replace").rstrip("\r")
        self._log.info("%s", words)
        # A line without a level (of a traceback, say) goes where the one before it went.
        if level := LEVEL.search(line[:LEVEL_COLUMNS]):
            quiet = level[0] in {b"DEBUG", b"INFO"} and not OURS.search(line[:LEVEL_COLUMNS])
            self._loud = not quiet
        if self._shows is Shows.EVERYTHING or (self._shows is Shows.WARNINGS and self._loud):
            self._print(Text(words))

    def _print(self, words: Text) -> None:
        self._console.print(self._prefix + words, soft_wrap=True)
