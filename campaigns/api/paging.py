"""Pages: cursors that name the place where a page has ended."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Annotated, TypeAlias

import msgspec
from pydantic import Field, PlainValidator, WithJsonSchema

from campaigns.api.problems import Problem
from campaigns.api.values import number_of_query, text
from campaigns.queries.lookup import MAX_ID

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
"""The most rows of one page of a list."""

_LONGEST = 200

Limit: TypeAlias = Annotated[
    int,
    PlainValidator(number_of_query(1, MAX_LIMIT)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
    Field(description="How many at most."),
]
Cursor: TypeAlias = Annotated[
    str | None,
    PlainValidator(text(_LONGEST)),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _LONGEST}),
    Field(description="The `next` of the page before; without it, the first page."),
]


def write_cursor(kind: str, *place: int) -> str:
    """Return the cursor of a place in lists of a kind, such as the id of the last row of a page."""
    return base64.urlsafe_b64encode(msgspec.json.encode([kind, *place])).decode().rstrip("=")


def read_cursor(cursor: str, kind: str, numbers: int = 1) -> tuple[int, ...]:
    """Return the place that a cursor names; raises the problem of one that was not made by `write_cursor`."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        _, *place = msgspec.json.decode(packed, type=list[str | int])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise _broken() from None
    whole = [number for number in place if isinstance(number, int) and abs(number) <= MAX_ID]
    # Written again it is the same, or it was of another kind, or not written here.
    if not len(whole) == len(place) == numbers or write_cursor(kind, *whole) != cursor:
        raise _broken()
    return tuple(whole)


def place_of(cursor: str | None, kind: str) -> int:
    """Return the id after which a page of a list in ascending order begins: that of its cursor, or 0."""
    return 0 if cursor is None else read_cursor(cursor, kind)[0]


def next_after(kind: str, ids: list[int], limit: int) -> str | None:
    """Return the cursor of the page after one of `limit` rows, if one more row than that was found."""
    return write_cursor(kind, ids[limit - 1]) if len(ids) > limit else None


def _broken() -> Problem:
    detail = "This cursor is not one of this list; send the `next` of the page before, or none for the first page."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-fields", detail, errors=[("cursor", detail)])
