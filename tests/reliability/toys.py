"""Supervises toy programs: `python -m tests.reliability.toys FOLDER NAME=CODE...`, for test_supervisor.

Every program is Python code; `note(word)` in it appends a word to FOLDER/notes. A name that ends in
`!` is a program that never becomes ready.
"""

import os
import sys
from pathlib import Path

from rich.console import Console

from campaigns.management import supervisor
from campaigns.management.supervisor import Child, StartError, Supervisor

PRELUDE = """
import os, signal, subprocess, sys, time
def note(word):
    with open(os.environ["NOTES"], "a") as file:
        file.write(word + "\\n")
def on_stop(action):
    signal.signal(signal.SIGTERM, action)
"""


def main() -> None:
    """Run until a signal."""
    folder = Path(sys.argv[1])
    children = [
        Child(
            name=name.rstrip("!"),
            colour="white",
            command=[sys.executable, "-I", "-u", "-c", PRELUDE + code],
            environment={**os.environ, "NOTES": str(folder / "notes")},
            ready=(lambda: False) if name.endswith("!") else None,
        )
        for name, _, code in (argument.partition("=") for argument in sys.argv[2:])
    ]
    supervisor.READY_SECONDS = 1.0
    try:
        Supervisor(children, logs=folder / "logs", console=Console(width=200)).run(lambda: print("ready", flush=True))
    except StartError as error:
        sys.exit(f"not ready: {error}")


if __name__ == "__main__":
    main()
