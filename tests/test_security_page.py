"""docs/security.md: every claim has an id of its own and names a test that is there and runs."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| *([A-Z]+[0-9]+) *\|(.*)$")
"""A claim, whatever else is wrong with its row."""

TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
SKIPS = ("skip", "skipif", "xfail")

pytestmark = pytest.mark.once


def faults(page: str) -> list[str]:
    """What is wrong with the claims of a page."""
    rows = [match.groups() for line in page.splitlines() if (match := ROW.match(line))]
    found = [f"{name} stands twice" for name, number in Counter(name for name, *_ in rows).items() if number > 1]
    for name, told in rows:
        tests = TEST.findall(told)
        found += [] if tests else [f"{name} names no test"]
        found += [f"{name}: {trouble}" for path, test in tests if (trouble := trouble_of(path, test))]
    for part in page.split("\n## ")[1:]:
        if "| id |" in part and not any(ROW.match(line) for line in part.splitlines()):
            found.append(f"{part.splitlines()[0]} has no claim")
    return found


def trouble_of(path: str, test: str) -> str:
    """Why a test can't be relied on; empty if it can."""
    if not (ROOT / path).is_file():
        return f"there is no {path}"
    tree = ast.parse((ROOT / path).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == test]
    if not functions:
        return f"{path} has no {test}"
    marks = " ".join(ast.unparse(mark) for mark in functions[0].decorator_list)
    if any(f"mark.{skip}" in marks for skip in SKIPS):
        return f"{test} is skipped"
    asserts = any(isinstance(node, ast.Assert) or "raises" in ast.dump(node) for node in ast.walk(functions[0]))
    return "" if asserts else f"{test} asserts nothing"


def test_every_claim_is_tested() -> None:
    page = (ROOT / "docs/security.md").read_text()
    assert len([line for line in page.splitlines() if ROW.match(line)]) > 60
    assert faults(page) == []


def test_every_door_is_named() -> None:
    page = (ROOT / "docs/security.md").read_text().lower()
    doors = ("login", "pages", "the api", "csv", "stream", "broker", "database", "/metrics", "/healthz", "commands")
    assert [door for door in (*doors, "static files", "logs", "second factor") if door not in page] == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("| X1 | It is so. | |", "names no test"),
        ("| X1 | It is so. | `tests/nowhere.py::test_it` |", "there is no"),
        ("| X1 | It is so. | `tests/test_security_page.py::test_nothing` |", "has no test_nothing"),
        ("| X1 | So. | `tests/test_audit.py::test_make_test_audits` |\n" * 2, "stands twice"),
    ],
)
def test_a_claim_without_its_test_is_found(row: str, fault: str) -> None:
    assert fault in " ".join(faults(row))
