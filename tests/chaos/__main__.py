"""What the product survives: `python -m tests.chaos [--only NAME ...] [--seconds N] [--plant FAULT]`.

Each fault has a product of its own: PostgreSQL that syncs to disk, Valkey that keeps a log, web, worker, beat and two
consumers as docker-compose.yml starts them, and clients that report until they are answered. Afterwards ledger,
counters, statuses, journal and holds are held against what the clients were told. Exit code 1 if anything was wrong,
or could not be run. --plant plants a fault in the product or around it: then 1 is how it should end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.disguise import PLANTS
from tests.chaos.lines import Line

REPOSITORY = Path(__file__).resolve().parent.parent.parent

FAULTS = (
    "kill-web", "kill-worker", "kill-beat", "kill-consumer", "kill-database", "database-away", "kill-broker",
    "empty-broker", "full-disk", "task-again", "two-beats", "frozen-web", "frozen-worker", "frozen-consumer",
    "clock-back",
)  # fmt: skip
"""What runs when nothing else is asked for."""

ONE_TAKES_SECONDS = 900
"""How long one fault may take at most."""


def main(arguments: Sequence[str]) -> int:
    """Bring about the faults one after the other and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=FAULTS, metavar="NAME", help=f"of {', '.join(FAULTS)}, everything")
    parser.add_argument("--seconds", type=float, default=5, help="of load before and after; default: %(default)g")
    parser.add_argument("--plant", choices=PLANTS, default="", help="a fault that has to be found")
    parser.add_argument("--keep", type=Path, help="a new folder in which the logs of all programs stay")
    options = parser.parse_args(arguments)
    console = Console()
    lines = []
    for name in options.only:
        began = time.monotonic()
        lines.append(line := _one(name, options))
        console.print(f"{name}: done in {time.monotonic() - began:.0f} s", highlight=False)
        _tell(line)
    _print(lines, console)
    return int(any(line.wrong for line in lines))


def _one(name: str, options: argparse.Namespace) -> Line:
    """Bring about one fault in a process of its own: Django knows one database in its life."""
    command = [sys.executable, "-m", "tests.chaos.one", name, str(options.seconds), options.plant]
    if options.keep:
        command.append(str(options.keep.absolute() / name))
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            told, _ = process.communicate(timeout=ONE_TAKES_SECONDS)
        except subprocess.TimeoutExpired:
            return Line(name, wrong=[f"It was not over after {ONE_TAKES_SECONDS} s."])
        finally:
            process.terminate()  # not killed: it has programs to stop
    try:
        return Line(**json.loads(told.splitlines()[-1]))
    except (IndexError, ValueError):
        return Line(name, wrong=[f"It ended with {process.returncode} and told nothing."])


def _print(lines: Sequence[Line], console: Console) -> None:
    """Print the lines as a table for people, and as one for docs/reliability.md."""
    table = Table(title="What was survived")
    for number, column in enumerate(Line.COLUMNS):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for line in lines:
        table.add_row(*line.row())
    console.print(table)
    print("\n| " + " | ".join(Line.COLUMNS) + " |\n| --- " + "| ---: " * (len(Line.COLUMNS) - 1) + "|")
    for line in lines:
        print("| " + " | ".join(line.row()) + " |")


def _tell(line: Line) -> None:
    """Print what is to be told of one fault beside its cells, and the cells, should the rest never come."""
    print("  " + " | ".join(line.row()[1:]))
    for note in line.notes:
        print(f"  {note}.")
    print("\n".join(f"  WRONG: {wrong}" for wrong in line.wrong) or "  Nothing wrong.", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
