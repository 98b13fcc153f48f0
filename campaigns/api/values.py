"""Values as they come in and go out: texts, amounts, days, numbers. Each says in a sentence what it would take.

What comes in is read strictly: an amount is a decimal string and never a JSON float, a number in JSON is no text. The
schema in the documents says the same as the reader beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from campaigns.queries.lookup import MAX_ID
from campaigns.rules import money, pacing
from campaigns.rules.reasons import Reason
from campaigns.rules.texts import MAX_NOTE, TextError, check_note

MAX_NAME, MAX_EXTERNAL_ID = 200, 128

_PLAIN_AMOUNT = re.compile(r"[0-9]{1,13}(\.[0-9]{1,6})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIGITS = re.compile(r"-?[0-9]{1,40}")

REASON_CODES = [reason.code for reason in Reason]

Reader: TypeAlias = Callable[[object], Any]
"""Takes a value as it came and gives it as it is meant; raises ValueError with a sentence."""


def text(most: int) -> Reader:
    """Return a reader of one line of plain text of 1 to `most` characters, without the white space around it."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("Give a text.")
        if not value.isprintable():
            raise ValueError("It has control characters; give plain text.")
        plain = value.strip()
        if not plain:
            raise ValueError(f"It is empty; give 1 to {most} characters.")
        if len(plain) > most:
            raise ValueError(f"It is longer than {most} characters; shorten it.")
        return plain

    return read


def or_null(read: Reader) -> Reader:
    """Return a reader that takes null, too."""
    return lambda value: None if value is None else read(value)


def number(least: int, most: int) -> Reader:
    """Return a reader of a whole number in JSON."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("Give a whole number.")
        if not least <= value <= most:
            raise ValueError(f"Give a whole number from {least:,} to {most:,}.")
        return value

    return read


def number_of_query(least: int, most: int) -> Reader:
    """Return a reader of a whole number as a parameter."""
    within = number(least, most)

    def read(value: object) -> int:
        if not (isinstance(value, str) and _DIGITS.fullmatch(value)):
            raise ValueError("Give a whole number.")
        return int(within(int(value)))

    return read


def _budget(value: object) -> Decimal:
    micros = money.parse_budget(value)
    assert micros is not None  # null does not get here
    if isinstance(value, str) and not _PLAIN_AMOUNT.fullmatch(value):
        raise ValueError('Give a plain decimal number such as "12.50".')
    return money.from_micros(micros)


def _day(value: object) -> date:
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("Give a day as text, such as 2026-01-31.")


def _truth_of_query(value: object) -> bool:
    if value not in ("true", "false"):
        raise ValueError("Give true or false.")
    return value == "true"


def _reason(value: object) -> Reason:
    for reason in Reason:
        if value == reason.code:
            return reason
    raise ValueError(f"Give one of {', '.join(REASON_CODES)}.")


def _note(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("Give a text.")
    try:
        check_note(value)
    except TextError as error:
        raise ValueError(str(error)) from None
    return value


_NULL = {"type": "null"}
_TEXT = {"type": "string", "minLength": 1, "pattern": r"\S"}
_DAY_SCHEMA = {"type": "string", "format": "date"}
_ID_SCHEMA = {"type": "integer", "minimum": 1, "maximum": MAX_ID}

Name: TypeAlias = Annotated[str, PlainValidator(text(MAX_NAME)), WithJsonSchema({**_TEXT, "maxLength": MAX_NAME})]
ExternalId: TypeAlias = Annotated[
    str, PlainValidator(text(MAX_EXTERNAL_ID)), WithJsonSchema({**_TEXT, "maxLength": MAX_EXTERNAL_ID})
]
ExternalIdOrNull: TypeAlias = Annotated[
    str | None,
    PlainValidator(or_null(text(MAX_EXTERNAL_ID))),
    WithJsonSchema({"anyOf": [{**_TEXT, "maxLength": MAX_EXTERNAL_ID}, _NULL]}),
]
Zone: TypeAlias = Annotated[
    str,
    PlainValidator(text(63)),
    WithJsonSchema({**_TEXT, "maxLength": 63, "format": "iana-time-zone", "examples": ["Europe/Berlin"]}),
]
Currency: TypeAlias = Annotated[
    str,
    PlainValidator(text(3)),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$", "format": "iso-4217", "examples": ["EUR"]}),
]
Budget: TypeAlias = Annotated[
    Decimal | None,
    PlainValidator(or_null(_budget)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,6})?$"},
                {"type": "integer", "minimum": 0, "maximum": money.MAX_BUDGET // money.MICROS},
                _NULL,
            ],
            "examples": ["250.00"],
        }
    ),
]
"""A budget in the brand's currency: null is no limit, 0 is always spent."""

Day: TypeAlias = Annotated[date, PlainValidator(_day), WithJsonSchema(_DAY_SCHEMA)]
DayOrNull: TypeAlias = Annotated[
    date | None,
    PlainValidator(or_null(_day)),
    WithJsonSchema({"anyOf": [_DAY_SCHEMA, _NULL], "examples": ["2026-01-31"]}),
]
ObjectId: TypeAlias = Annotated[int, PlainValidator(number(1, MAX_ID)), WithJsonSchema(_ID_SCHEMA)]
Note: TypeAlias = Annotated[
    str, PlainValidator(_note), WithJsonSchema({"type": "string", "maxLength": MAX_NOTE, "default": ""})
]

# Parameters that may be left out. They are None then, which can't be sent: the documents name no null.
IdOfQuery: TypeAlias = Annotated[int | None, PlainValidator(number_of_query(1, MAX_ID)), WithJsonSchema(_ID_SCHEMA)]
TruthOfQuery: TypeAlias = Annotated[bool | None, PlainValidator(_truth_of_query), WithJsonSchema({"type": "boolean"})]
ExternalIdOfQuery: TypeAlias = Annotated[
    str | None, PlainValidator(text(MAX_EXTERNAL_ID)), WithJsonSchema({**_TEXT, "maxLength": MAX_EXTERNAL_ID})
]
ReasonOfQuery: TypeAlias = Annotated[
    Reason | None, PlainValidator(_reason), WithJsonSchema({"type": "string", "enum": REASON_CODES})
]

# --- What goes out ---------------------------------------------------------------------------

_AMOUNT: dict[str, Any] = {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{2,6}$", "examples": ["250.00"]}

Money: TypeAlias = Annotated[str, WithJsonSchema(_AMOUNT)]
MoneyOrNull: TypeAlias = Annotated[str | None, WithJsonSchema({"anyOf": [_AMOUNT, _NULL]})]


def _moment(moment: datetime) -> str:
    return moment.isoformat()


Moment: TypeAlias = Annotated[
    datetime,
    # Ninja's own encoder would cut it to milliseconds.
    PlainSerializer(_moment, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-31T09:30:00+00:00"]}),
]


def amount(value: Decimal) -> str:
    """Return an amount as it goes out."""
    return money.to_text(money.to_micros(value))


def amount_or_null(value: Decimal | None) -> str | None:
    """Return a budget as it goes out."""
    return None if value is None else amount(value)


def micros_or_null(value: int | None) -> str | None:
    """Return micros as they go out."""
    return None if value is None else money.to_text(value)


Share: TypeAlias = Annotated[
    float, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1, "examples": [0.3125]})
]
"""A probability: no money, and so a number."""


SERVE = (
    "The share of chances at which to serve: 1 unless the campaign or its brand is paced evenly, 0 while it is paused."
)
"""What it says of a campaign."""


def share(millionths: int) -> float:
    """Return a probability as it goes out, with four decimals at most."""
    return round(millionths / pacing.ONE, 4)


def described(what: str) -> Any:
    """Return a field that may be left out of a query, with what it is for."""
    return Field(None, description=what)
