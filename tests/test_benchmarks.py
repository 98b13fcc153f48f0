"""Each benchmark runs, small, on the database of this pass: they must not rot. Their figures mean nothing here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("benchmarks.record", "counters lack the"),
        ("benchmarks.enforce", "Row by row: measured on 200 campaigns"),
        ("benchmarks.consume", "check_ledger: 0 differences after 480 events"),
        ("benchmarks.pages", "200 campaigns, 2,000 ledger rows"),
        ("benchmarks.pace", "campaigns paced"),
    ],
)
def test_the_benchmark_runs_small(module: str, says: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "DATA_DIR"}}
    run = subprocess.run(
        [sys.executable, "-m", module, "--small", "--database", connection.vendor],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    assert says in run.stdout


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("benchmarks.partitions", "The oldest month leaves: 2,000 of 7,000 rows"),
        ("benchmarks.scale", "At size: 400 campaigns of 8 brands, 8,000 ledger rows"),
        ("benchmarks.soak", "check_ledger: 0 differences"),
    ],
)
def test_the_benchmark_of_size_runs_small(module: str, says: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "DATA_DIR"}}
    run = subprocess.run(
        [sys.executable, "-m", module, "--small"],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert says in run.stdout


@pytest.mark.postgresql
@pytest.mark.processes
def test_the_benchmark_of_the_api_runs_small() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "DATA_DIR"}}
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.http", "--small"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    assert "20 granted of a budget of 20" in run.stdout
    assert "the ledger was clean after each load" in run.stdout


def test_the_benchmark_of_pacing_runs_small() -> None:
    """It needs no database: the rules are pure."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.pacing", "--small", "--only", "diurnal"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    assert "goal reached on every day: zero hours dark" in run.stdout
