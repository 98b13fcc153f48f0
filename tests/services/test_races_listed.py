"""The table of locks in docs/reliability.md is whole: every lock in the code is in it, with tests that there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
TAKES = {"select_for_update", "for_update", "flock", "Lock", "RLock", "Condition", "eval", "register_script"}
"""Functions that lock, or give what locks."""

SAYS = re.compile(r"ON CONFLICT|FOR (NO KEY )?UPDATE|FOR (KEY )?SHARE|LOCK TABLE|lock_timeout|advisory", re.IGNORECASE)
"""What a statement that locks, or that bounds a lock, has in it."""

NOT_LOCKS = {
    "rows.for_update": "it is the clause itself, which those take that are listed",
    "importing._Occurrences.number": "a table of its own in a file of its own",
    "append_only": "the texts of the triggers; who takes the lock is listed",
}

_THREADS = "a lock among the threads of one process, for which no worst order can be put by hand"
_NEW = "built while this table was made; a control is to come with its own tests"

OWED = {
    "addresses": _THREADS,
    "meters.Sender.__init__": _THREADS,
    "nudges.Nudger.__init__": _THREADS,
    "together.Together.__init__": _THREADS,
    "tasks": _THREADS,
    "together._Seat.__init__": _THREADS,
    "streams.SpendStream.forget_consumers": "a script is one step at the broker; as two steps it is not written",
    "alert_pauses.tell_of_pauses": _NEW,
    "alert_rules.update_rule": _NEW,
    "channels._locked": _NEW,
    "factors.forgive": _NEW,
    "factors.prove": _NEW,
    "factors.renew_recovery_codes": _NEW,
    "factors.set_up": _NEW,
    "pacing._insert": _NEW,
    "pacing._update": _NEW,
}
"""Locks that have no negative control yet, and why. A lock in the table can't be here."""


def locks() -> dict[str, str]:
    """Every place in the product that takes a lock, as module.function, with what gives it away."""
    paths = [path for package in ("campaigns", "budget_management") for path in (ROOT / package).rglob("*.py")]
    return {
        place: sign
        for path in sorted(paths)
        if "migrations" not in path.parts
        for place, sign in signs(ast.parse(path.read_text()), path.stem)
    }


def signs(tree: ast.AST, place: str) -> Iterator[tuple[str, str]]:
    """The signs of a lock below a node, each with the innermost class and function that it is in."""
    documented = isinstance(tree, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(tree)
    for at, node in enumerate(ast.iter_child_nodes(tree)):
        if documented and at == 0 and isinstance(node, ast.Expr):
            continue
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield from signs(node, f"{place}.{node.name}")
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # what is said of a constant
        if sign := sign_of(node):
            yield place, sign
        yield from signs(node, place)


def sign_of(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name if name in TAKES else ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and (said := SAYS.search(node.value)):
        return said[0]
    return ""


def table() -> dict[str, list[str]]:
    """The rows of the table: the places of a lock, and its tests."""
    section = (ROOT / "docs/reliability.md").read_text().split("\n## Races\n")[1].split("\n## ")[0]
    rows = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            of, _, shown, without = (cell.strip() for cell in line.strip("|").split(" | "))
            tests = re.findall(r"`(\w+)`", shown), re.findall(r"`(\w+)`", without)
            assert all(tests), f"{of} needs a test, and one without the lock"
            for place in re.findall(r"`([\w.]+)`", of):
                rows[place] = [*tests[0], *tests[1]]
    return rows


def test_every_lock_is_in_the_table() -> None:
    found = locks()
    assert len(found) > 10
    listed = {*table(), *NOT_LOCKS, *OWED}
    missing = {place: sign for place, sign in found.items() if place not in listed}
    assert not missing, "give each a row in docs/reliability.md, Races, with a test and one without the lock"
    assert {*NOT_LOCKS, *OWED} <= found.keys(), "some of these are gone"
    assert not {*table()} & {*OWED}


def test_every_lock_of_the_table_is_in_the_code() -> None:
    """Also those that no sign gives away, such as the order of a statement: as a function that there is."""
    functions = {place for path in (ROOT / "campaigns").rglob("*.py") for place in places(path)}
    assert {*table()} <= functions


def places(path: Path) -> Iterator[str]:
    def below(tree: ast.AST, place: str) -> Iterator[str]:
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                yield f"{place}.{node.name}"
                yield from below(node, f"{place}.{node.name}")

    return below(ast.parse(path.read_text()), path.stem)


def test_every_test_of_the_table_exists() -> None:
    texts = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    there = set(re.findall(r"^def (test_\w+)", texts, re.MULTILINE))
    assert not {name for names in table().values() for name in names} - there
