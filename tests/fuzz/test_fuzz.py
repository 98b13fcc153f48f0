"""Whatever is sent, a reader reads it or says in one line what is wrong: nothing else, and soon.

Each example of Hypothesis is a valid input, which must be read exactly, and nine that were spoiled from it. `make
fuzz` gives each reader 100,000 inputs; a failure prints the example and a `@reproduce_failure` line.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import mutate, mutate_text
from tests.fuzz.readers import READERS, Reader

INPUTS = int(os.environ.get("TEST_FUZZ_INPUTS", "300"))
SPOILED = 9
MOST_SECONDS = 1.0
"""Of the processor, for 64 KB at most, which some checks read with several separators and once more."""

MOST_GROWTH = 600_000
"""Kilobytes that the process may grow by over all inputs of a reader, with what Hypothesis keeps of its own."""


def names() -> list[Any]:
    """The readers; those without a database in the pass on SQLite only."""
    return [
        pytest.param(
            name, marks=pytest.mark.django_db if reader.database else pytest.mark.once, id=name.replace(" ", "-")
        )
        for name, reader in READERS.items()
    ]


@pytest.mark.parametrize("name", names())
def test_whatever_is_sent_is_read_or_refused_in_one_line(name: str) -> None:
    reader, tried, slowest = READERS[name], 0, 0.0
    began, size = time.monotonic(), peak()

    @settings(
        max_examples=max(INPUTS // (1 + SPOILED), 1),
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(sample=reader.samples, seed=st.integers(0, 2**32))
    def hold(sample: tuple[Any, Any], seed: int) -> None:
        nonlocal tried, slowest
        for sent, expected in inputs(sample, seed):
            slowest = max(slowest, cost(reader, sent, expected))
            tried += 1
        assert slowest < MOST_SECONDS

    try:
        hold()
    finally:
        seconds, growth = time.monotonic() - began, (peak() - size) // 1024
        print(f"\n| {name} | {tried:,} | {seconds:.0f} | {slowest * 1000:.0f} | {growth} |")
    assert peak() - size < MOST_GROWTH
    assert tried >= 0.9 * INPUTS or name == "weekdays", "Hypothesis has run out of examples"


def inputs(sample: tuple[Any, Any], seed: int) -> Iterator[tuple[Any, Any]]:
    """A valid input with what it must be read as, and some spoiled ones."""
    sent, _ = sample
    chance = random.Random(seed)
    yield sample
    for _ in range(SPOILED):
        yield (mutate(sent, chance) if isinstance(sent, bytes) else mutate_text(sent, chance)), None


def cost(reader: Reader, sent: Any, expected: Any) -> float:
    """Check an input; return the seconds of the processor that it took, without collecting what Hypothesis keeps."""
    gc.disable()
    start = time.process_time()
    try:
        reader.check(sent, expected)
        return time.process_time() - start
    finally:
        gc.enable()


def peak() -> int:
    """The most memory that this process has ever had, in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.once
def test_every_reader_is_seen_to_fail_when_it_breaks() -> None:
    """A check that lets everything pass would prove nothing: each refuses a wrong expectation."""
    for name, reader in READERS.items():
        if not reader.database:
            assert fails(reader), name


def fails(reader: Reader) -> bool:
    quick = settings(database=None, phases=[Phase.generate])  # any sample will do, not the smallest
    sent, expected = find(reader.samples, lambda sample: sample[1] is not None, settings=quick)
    wrong = [*expected, expected[0]] if isinstance(expected, list) else None if expected is None else (expected, 1)
    try:
        reader.check(sent, wrong)
    except AssertionError:
        return True
    return False
