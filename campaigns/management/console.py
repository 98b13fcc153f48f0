"""What the commands for people share: how they print, and how they end when something is wrong.

A command that stands on `PlainCommand` ends wrong input and a missing database with one line on standard error and
an exit code, never with a traceback (`--traceback` shows it all the same).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn, TextIO

from babel.numbers import get_currency_precision
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    OutputWrapper,
    handle_default_options,
)
from django.db import DatabaseError, Error, InterfaceError, OperationalError, connections
from rich.console import Console
from rich.text import Text

from campaigns.rules import money
from campaigns.rules.errors import BudgetError

FAILED = 1
"""Exit code: the command ran and found something wrong."""

MISUSED = 2
"""Exit code: the command could not run on what it was given."""

INTERRUPTED = 130
"""Exit code: Ctrl-C."""

PLAIN_WIDTH = 120
"""Columns of a table that is printed where there is no terminal, such as into a file."""

MAX_ID = 2**63 - 1

_NO_TABLE = ("no such table", "no such column", "UndefinedTable", "UndefinedColumn")


class PlainCommand(BaseCommand):
    """A command for people. `self.out` and `self.err` are rich consoles on standard output and standard error.

    Text is printed as it is: square brackets in the name of a campaign are no markup. Raise BudgetError, or
    CommandError with its exit code, for what the caller has to mend; `misused` for arguments that can't be.
    """

    # The checks of the whole site are for those who develop it, and cost as much time as a short command takes.
    requires_system_checks = ()

    out: Console
    err: Console

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return a parser that says in one line what is wrong; its usage is what `--help` is for."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.__class__ = _Parser  # Django lets no command choose
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as the process's own command: errors become one line on standard error and the exit code."""
        _mend_output()
        self.stderr = OutputWrapper(sys.stderr)
        self.stderr.style_func = self.style.ERROR
        _pool.listen()
        traceback = "--traceback" in argv
        try:
            self._parse_and_execute(argv)
        except CommandError as error:
            if traceback:
                raise
            self._end(str(error), error.returncode)
        except KeyboardInterrupt:
            if traceback:
                raise
            self._end("Stopped.", INTERRUPTED)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered would fail again
            if isinstance(error, BrokenPipeError):  # whoever read our output, such as `head`, has seen enough
                sys.exit(FAILED)
            self._end(f"Input or output failed: {error.strerror or error}.", FAILED)
        finally:
            with contextlib.suppress(ImproperlyConfigured):
                connections.close_all()

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run, also for `call_command`: what went wrong leaves as CommandError with its exit code."""
        self.out = console(options.get("stdout") or sys.stdout, options)
        self.err = console(options.get("stderr") or sys.stderr, options)
        try:
            return super().execute(*args, **options)
        except BudgetError as error:
            raise CommandError(str(error)) from error
        except Error as error:
            raise CommandError(database_sentence(error)) from error

    def say(self, line: str, style: str = "") -> None:
        """Print one line on standard output: never wrapped, so that programs can read it, too."""
        self.out.print(Text(line, style=style), soft_wrap=True)

    def _parse_and_execute(self, argv: list[str]) -> None:
        options = self.create_parser(argv[0], argv[1]).parse_args(argv[2:])
        handle_default_options(options)
        given = vars(options)
        self.execute(*given.pop("args", ()), **given)

    def _end(self, sentence: str, code: int) -> NoReturn:
        self.stderr.write(f"Error: {one_line(sentence)}" if code != INTERRUPTED else one_line(sentence))
        sys.exit(code)


class _Parser(CommandParser):
    """Raises what it finds wrong, with the exit code for it."""

    def error(self, message: str) -> NoReturn:
        raise misused(f"{message}; see --help.")


def console(stream: TextIO, options: dict[str, Any]) -> Console:
    """Return a console that prints text as it is; without a terminal and COLUMNS it has 120 columns."""
    wide = stream.isatty() or "COLUMNS" in os.environ
    return Console(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if wide else PLAIN_WIDTH,
        no_color=options.get("no_color") or None,
        force_terminal=True if options.get("force_color") else None,
    )


def misused(sentence: str) -> CommandError:
    """Return the error for arguments that the command can't run with."""
    return CommandError(sentence, returncode=MISUSED)


def row_id(text: str) -> int:
    """Argument type: the id of a brand, a campaign or anything else in the database."""
    try:
        number = int(text) if text.isascii() else 0
    except ValueError:
        number = 0
    if not 0 < number <= MAX_ID:
        raise ArgumentTypeError(f"{shown(text)} is not an id: a whole number from 1 on")
    return number


def exact_money(micros: int, currency: str = "", *, sign: bool = False) -> str:
    """Return an amount to the last micro, thousands separated: for sums that people hold against another system's."""
    units, rest = divmod(abs(micros), money.MICROS)
    decimals = f"{rest:06d}".rstrip("0")
    fewest = get_currency_precision(currency) if currency else 2
    point = "." if decimals or fewest else ""
    before = "-" if micros < 0 else "+" if sign else ""
    return f"{before}{units:,}{point}{decimals.ljust(fewest, '0')} {currency}".rstrip()


def one_line(text: str) -> str:
    """Return the text without line breaks and other control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))


def shown(text: str) -> str:
    """Return text that came from outside as a message may carry it: quoted, safe to print and short."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def listed(names: Iterable[str], *, most: int = 20) -> str:
    """Return names as a sentence lists them: quoted, and with a bound."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + rest


def database_sentence(error: Error) -> str:
    """Return an error of the database as a person can act on it."""
    cause = f"{type(error.__cause__).__name__} {error}"
    if any(sign in cause for sign in _NO_TABLE):
        return "The database is not up to date; bring it there with: python manage.py migrate."
    absent = isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError
    words = (absent and _pool.last_words) or str(error)
    first, *_ = words.strip().splitlines() or [type(error).__name__]
    why = one_line(first).rstrip(".")
    return f"The database does not answer: {why}." if absent else f"The database refused: {why}; try --traceback."


class _Pool(logging.Handler):
    """Keeps the last failed attempt of the pool to connect, of which its own error at the end says nothing.

    Without a listener each attempt would be a line on standard error.
    """

    last_words = ""

    def listen(self) -> None:
        """Take over what the pool logs."""
        logger = logging.getLogger("psycopg.pool")
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the record."""
        self.last_words = record.getMessage().partition(": ")[2] or record.getMessage()


_pool = _Pool()


def _mend_output() -> None:
    """Let a terminal that can't show a letter show its code, and what was started without output do without."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - for as long as the process lives
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
