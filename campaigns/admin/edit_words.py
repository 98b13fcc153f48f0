"""What was edited, in words: each field by its name on the forms, with its value before and after."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from campaigns.admin import words
from campaigns.models import Brand
from campaigns.rules import schedules

LABELS: Mapping[str, str] = {
    "name": "Name",
    "external_id": "External ID",
    "timezone": "Time zone",
    "currency": "Currency",
    "budget_scope": "Budgets bind",
    "daily_budget": "Daily budget",
    "monthly_budget": "Monthly budget",
    "total_budget": "Total budget",
    "pacing": "Spends",
    "daily_from_month": "Daily budget from the month",
    "daily_least": "Least daily budget from the month",
    "daily_most": "Most daily budget from the month",
    "flight_start": "First day",
    "flight_end": "Last day",
    "hours": "May spend",
}
"""The fields as people know them, in the order in which they are told."""

_BUDGETS = {"daily_budget", "monthly_budget", "total_budget"}
_BOUNDS = {"daily_least", "daily_most"}
_DAYS = {"flight_start", "flight_end"}
_ALL_HOURS = "every day, all hours"


class EditLine(NamedTuple):
    """One field that was set: its name, what it was and what it became."""

    label: str
    was: str
    became: str


def edit_lines(changes: Mapping[str, tuple[str | None, str | None]], currency: str) -> list[EditLine]:
    """Return what an edit has set, field by field; amounts to their last digit and in the brand's currency.

    Where nothing was before, as in something that was just created, `was` is a dash (for a budget: no limit).
    """
    # In our order and not in the record's: PostgreSQL keeps the keys of its JSON in an order of its own.
    known = [name for name in LABELS if name in changes]
    others = sorted(set(changes) - set(known))
    return [_line(name, *changes[name], currency) for name in [*known, *others]]


def _line(name: str, was: str | None, became: str | None, currency: str) -> EditLine:
    label = LABELS.get(name) or name.replace("_", " ").capitalize()
    before, after = _value(name, was, currency), _value(name, became, currency)
    if before == after:  # as many hours in both, too many to be told
        after = f"{after}, other ones"
    return EditLine(label, before, after)


def _value(name: str, value: str | None, currency: str) -> str:
    if name in _BUDGETS:
        return words.NO_LIMIT if value is None else words.exact(value, currency)
    if name == "hours":
        return _hours(value)
    if not value:
        return words.NONE
    if name in _BOUNDS:
        return words.exact(value, currency)
    if name in _DAYS:
        return words.date(date.fromisoformat(value))
    if name == "pacing":
        return words.pacing(value)
    if name == "daily_from_month":
        return "yes" if value == str(True) else "no"
    return Brand.BudgetScope(value).label if name == "budget_scope" else value


def _hours(value: str | None) -> str:
    """The hours of the week: a window is kept in words, a grid as the 168 hours that it is."""
    if value is None:
        return _ALL_HOURS
    return value if value.strip("01") else schedules.describe_grid(value)
