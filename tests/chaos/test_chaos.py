"""The fault tests, short: `kill -9` of everything, one after the other; and the clients that count twice are found.

All of them, and for longer: `make chaos`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.servers import REPOSITORY

pytestmark = [pytest.mark.postgresql, pytest.mark.processes]


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the fault tests as `make chaos` does, on servers of their own."""
    own = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "DATA_DIR", "REDIS_URL"}}
    return subprocess.run(
        [sys.executable, "-m", "tests.chaos", *arguments],
        cwd=REPOSITORY,
        env=own,
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )


def test_nothing_is_lost_and_nothing_counted_twice() -> None:
    done = chaos("--only", "everything", "--seconds", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing wrong." in done.stdout
    [row] = [line for line in done.stdout.splitlines() if line.startswith("| `kill -9` of everything")]
    _, answered, recorded, twice, lost, *_ = (cell.strip() for cell in row.strip("|").split("|"))
    assert int(answered.replace(",", "")) > 100
    assert int(recorded.replace(",", "")) >= int(answered.replace(",", ""))
    assert (twice, lost) == ("0", "0")
