"""Fields of brands and campaigns: how what callers give becomes what a row keeps, or what is wrong with it.

Nothing here asks the database: ten thousand campaigns are checked as one is. What other rows have (a name or an
external id that is taken) is for the caller to look up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from campaigns.models import Brand, Campaign, Pacing
from campaigns.rules import money
from campaigns.rules.errors import BudgetError, InvalidFieldError

BUDGETS = frozenset({"daily_budget", "monthly_budget", "total_budget"})
FLIGHT = frozenset({"flight_start", "flight_end"})
PACING = frozenset({"pacing", "daily_from_month", "daily_least", "daily_most"})
AMOUNTS = BUDGETS | {"daily_least", "daily_most"}
CAMPAIGN = frozenset({"name", "external_id", *BUDGETS, *FLIGHT, *PACING})
"""What people set on a campaign, but for its hours."""

Changed = dict[str, tuple[Any, Any]]
"""Fields that are another value by a change, each with what it was and what it is."""


def put(campaign: Campaign, given: Mapping[str, Any]) -> Changed:
    """Set some fields of a campaign in Python, checked; return those that are another value by that.

    Raises BudgetError, and InvalidFieldError where one field is to blame; the row in Python is then of no use.
    """
    before = assign(campaign, given)
    try:
        campaign.clean_fields(exclude=CAMPAIGN_OTHERS | (CAMPAIGN - given.keys()))
        _check_flight(campaign)
    except ValidationError as error:
        raise invalid(error, campaign, given) from error
    check_pacing(campaign, given)
    change = changed(campaign, before)
    check_daily_budget(campaign, change)
    return change


def assign(row: Brand | Campaign, given: Mapping[str, Any]) -> dict[str, Any]:
    """Set some fields of a row as it keeps them; return what they were."""
    before = {name: getattr(row, name) for name in given}
    for name, value in given.items():
        setattr(row, name, read(name, value))
    if row.external_id == "":
        row.external_id = None  # many rows may have none, only one may have an empty one
    if row.daily_from_month and "daily_budget" in given and row.daily_budget is None:
        row.daily_budget = before["daily_budget"]  # none of its own: then it is what the month leaves
    return before


def check_pacing(row: Brand | Campaign, given: Mapping[str, Any]) -> None:
    """Refuse terms of pacing that can't be together, whichever of them was set. given: what was set."""
    if row.pacing == Pacing.EVEN and not _has_budget(row):
        raise _blamed(given, "pacing", "even pacing takes a budget to spread; set one, or choose asap.", BUDGETS)
    if row.daily_from_month and row.monthly_budget is None:
        sentence = "it takes a monthly budget to divide; set one, or switch this off."
        raise _blamed(given, "daily_from_month", sentence, {"monthly_budget"})
    if row.daily_least is not None and row.daily_most is not None and row.daily_most < row.daily_least:
        raise _blamed(given, "daily_most", "give an amount that is not below the daily least.", {"daily_least"})


def check_daily_budget(row: Brand | Campaign, change: Changed) -> None:
    """Refuse a daily budget that a person sets where it is set from the month. change: what was changed."""
    if row.daily_from_month and "daily_budget" in change and row.daily_budget is not None:
        sentence = "Daily budget: it is set from the month; switch that off (daily from month) to set it yourself."
        raise InvalidFieldError("daily_budget", sentence)


def _has_budget(row: Brand | Campaign) -> bool:
    """Whether any budget binds it alone, so that there is something to spread."""
    if isinstance(row, Campaign):
        own = (row.daily_budget, row.monthly_budget, row.total_budget)
        alone = row.brand.budget_scope == Brand.BudgetScope.CAMPAIGN
        return own != (None, None, None) or (alone and _has_budget(row.brand))
    return (row.daily_budget, row.monthly_budget) != (None, None)


def _blamed(given: Mapping[str, Any], field: str, sentence: str, others: Collection[str]) -> InvalidFieldError:
    """An error of a field or, where another one brought it about, of that."""
    blamed = field if field in given else next((name for name in given if name in others), field)
    return InvalidFieldError(blamed, f"{label(field)}: {sentence}")


def changed(row: Brand | Campaign, before: Mapping[str, Any]) -> Changed:
    """Return which of some fields are no more what they were."""
    return {name: (was, getattr(row, name)) for name, was in before.items() if getattr(row, name) != was}


def read(field: str, value: Any) -> Any:
    """Return the value of a field as the row keeps it, where that is stricter than what the row itself would take."""
    if isinstance(value, str):
        value = value.strip()
        if not value.isprintable():
            raise InvalidFieldError(field, f"{label(field)}: plain text only, without control characters.")
    if field == "pacing" and value not in Pacing.values:
        raise InvalidFieldError(field, f"Pacing: give one of {', '.join(Pacing.values)}.")
    if field in AMOUNTS and value is not None:
        try:
            money.parse_budget(value)
        except money.MoneyError as error:
            raise InvalidFieldError(field, f"{label(field)}: {error}") from error
    if field == "timezone" and not isinstance(value, ZoneInfo):
        # Not all that can be opened is a zone of the database: some names are of another zone on each machine.
        if not isinstance(value, str) or value not in _zones():
            sentence = f"Timezone: {value!r} is none; give an IANA name such as Europe/Berlin."
            raise InvalidFieldError(field, sentence)
        return ZoneInfo(value)
    return value


def label(field: str) -> str:
    """Return the name of a field as a sentence begins with it."""
    return field.replace("_", " ").capitalize()


def invalid(error: ValidationError, row: Brand | Campaign, given: Mapping[str, Any]) -> BudgetError:
    """Return the first thing that is wrong, with the field it is about."""
    field, (first, *_) = next(iter(error.error_dict.items()))
    sentence = first.messages[0]
    if field == NON_FIELD_ERRORS:
        # A rule about several fields: that one is to blame which its sentence names and which was set.
        named = next((name for name in given if label(name) in sentence), None)
        if named is None:
            return BudgetError(sentence)
        field, sentence = named, sentence.removeprefix(f"{label(named)}: ")
    if first.code in {"unique", "unique_together"}:
        return taken(row, field)
    return InvalidFieldError(field, f"{label(field)}: {sentence}")


def taken(row: Brand | Campaign, field: str) -> InvalidFieldError:
    """Return the error of a name or id that another row has."""
    sentence = f"{label(field)}: another {type(row).__name__.lower()} has this one; give another."
    return InvalidFieldError(field, sentence)


CAMPAIGN_OTHERS = frozenset(
    {"id", "brand", "paused_manually", "is_active", "reasons", "status_changed_at", "archived_at", "created_at"}
)
"""What a campaign has beside that; nobody sets it here."""

FLIGHT_ORDER = "Flight end: give a day that is not before the flight start."
"""As the constraint in the database says it, which has the last word."""


def _check_flight(campaign: Campaign) -> None:
    if campaign.flight_start and campaign.flight_end and campaign.flight_end < campaign.flight_start:
        raise ValidationError({NON_FIELD_ERRORS: [FLIGHT_ORDER]})


@cache
def _zones() -> frozenset[str]:
    """The names of the time zone database, which begin with a capital; what a machine adds of its own does not."""
    return frozenset(name for name in available_timezones() if name[0].isupper() and name != "Factory")
