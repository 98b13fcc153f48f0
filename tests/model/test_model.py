"""The model test: the real services against an oracle, step by step, on whatever Hypothesis comes up with.

`make model` runs it for long. A failure prints the steps as a program and a `@reproduce_failure` line; put that line
above the class `Machine` in machine.py to run exactly this case again. `--hypothesis-seed=1` repeats a whole run.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from campaigns.rules.reasons import Reason
from tests.model.machine import Machine

EXAMPLES = int(os.environ.get("TEST_MODEL_EXAMPLES", "15"))
STEPS = 40
MANY = 500
"""From so many examples on everything that can happen has to have happened."""

WANTED = {
    *("recorded", "duplicate", "conflict", "rejected", "refused", "turned"),
    *("hold", "key-used", "campaign-paused", "budget-exhausted", "released", "expired"),
    *(f"verdict {name}" for name in ("active", *(reason.code for reason in Reason))),
}


@pytest.mark.django_db(transaction=True)
def test_the_product_does_what_the_oracle_says() -> None:
    began = time.monotonic()
    Machine.met.clear()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    steps = sum(count for name, count in Machine.met.items() if name.startswith("step "))
    print(f"\n{connection.vendor}: {EXAMPLES:,} examples, {steps:,} steps in {time.monotonic() - began:.0f} s")
    print(", ".join(f"{name} {count:,}" for name, count in sorted(Machine.met.items())))
    assert steps > 5 * EXAMPLES
    if EXAMPLES >= MANY:
        assert {name for name in WANTED if Machine.met[name] >= 5} == WANTED


def test_the_oracle_stays_small_enough_to_be_believed() -> None:
    lines = (Path(__file__).parent / "oracle.py").read_text().splitlines()
    assert sum(1 for line in lines if line.strip()) <= 150
