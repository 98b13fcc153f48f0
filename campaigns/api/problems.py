"""Errors as `application/problem+json` (RFC 9457): every answer that is not a success has this one form."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
import ninja.errors
from django.core.exceptions import RequestDataTooBig
from django.db import Error, InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Schema
from psycopg.errors import IdleInTransactionSessionTimeout, LockNotAvailable
from pydantic import ConfigDict, Field

from campaigns.rules.errors import BudgetError, InvalidFieldError

CONTENT_TYPE = "application/problem+json"

_log = logging.getLogger(__name__)


class FieldError(Schema):
    """What is wrong with one field."""

    pointer: str = Field(description="JSON pointer into the body, or the name of a parameter.", examples=["/amount"])
    detail: str = Field(description="What is wrong and what to do, in a sentence.")


class ProblemBody(Schema):
    """What went wrong, for people and programs."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = Field(description="The kind of problem, for programs.", examples=["budget-exhausted"])
    title: str = Field(description="The kind of problem in words; the same for every problem of this type.")
    status: int = Field(description="The HTTP status again.")
    detail: str = Field(description="What happened here and what to do, in a sentence.")
    errors: list[FieldError] = Field(default=[], description="What is wrong with single fields.")


TITLES = {
    "invalid-request": "The request can't be read",
    "invalid-fields": "Some fields are not valid",
    "refused": "The change can't be made",
    "unauthorized": "A valid API key is needed",
    "forbidden": "The API key may not do this",
    "not-found": "There is no such thing",
    "method-not-allowed": "This method does not exist here",
    "budget-exhausted": "The budget does not have this much left",
    "campaign-paused": "The campaign may not spend",
    "key-used": "The key was used for another hold",
    "hold-settled": "The hold was settled before",
    "event-conflict": "The event id was used for another event",
    "cursor-unknown": "The cursor is not known",
    "too-large": "The body is too large",
    "length-required": "The length of the body is missing",
    "unsupported-media-type": "This kind of body can't be read",
    "overloaded": "Too much is waiting to be recorded",
    "unavailable": "The database does not answer",
    "internal-error": "Something went wrong on our side",
}
"""Every type of problem there is, with its title."""


class Problem(Exception):  # noqa: N818 - it is what RFC 9457 calls it
    """An answer that is not a success. `detail` is one sentence for people; `more` are members of its type."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.errors, self.headers, self.more = errors, headers or {}, more or {}

    def response(self) -> HttpResponse:
        """Return it as it goes over the wire."""
        body: dict[str, Any] = {
            "type": self.kind,
            "title": TITLES[self.kind],
            "status": int(self.status),
            "detail": self.detail,
            **self.more,
        }
        if self.errors:
            body["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in self.errors]
        response = HttpResponse(
            msgspec.json.encode(body), status=self.status, content_type=CONTENT_TYPE, headers=dict(self.headers)
        )
        # Refusals are part of the work. Django would write a line for each, thousands a second for a busy bidder.
        response._has_been_logged = True  # type: ignore[attr-defined] # noqa: SLF001 - the only way to say so
        return response


def invalid(field: str, detail: str) -> Problem:
    """Return the problem of one field of the body."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-fields", detail, errors=[(f"/{field}", detail)])


def not_found(detail: str) -> Problem:
    """Return the problem of something that there is not, or not for this key."""
    return Problem(HTTPStatus.NOT_FOUND, "not-found", detail)


def unauthorized() -> Problem:
    """Return the problem of a missing, unknown or revoked key."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "Send a valid API key as Authorization: Bearer KEY; manage.py create_api_key makes one.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def handle(api: NinjaAPI) -> None:
    """Have every error of an API leave as a problem."""
    _answer(api, Problem, lambda _, problem: problem)
    _answer(api, BudgetError, lambda _, error: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "refused", str(error)))
    _answer(api, InvalidFieldError, lambda _, error: invalid(error.field, str(error)))
    _answer(api, ninja.errors.AuthenticationError, lambda *_: unauthorized())
    _answer(api, ninja.errors.ValidationError, lambda _, error: _invalid_fields(error))
    _answer(api, ninja.errors.HttpError, lambda _, error: _unreadable(error))
    _answer(api, Http404, lambda *_: not_found("There is no such thing."))
    _answer(api, RequestDataTooBig, lambda *_: too_large())
    _answer(api, OperationalError, lambda _, error: _unavailable(error))
    _answer(api, InterfaceError, lambda _, error: _unavailable(error))
    _answer(api, InternalError, _asleep_or_wrong)
    _answer(api, Exception, _internal_error)


_Error = TypeVar("_Error", bound=Exception)


def _answer(api: NinjaAPI, kind: type[_Error], problem: Callable[[HttpRequest, _Error], Problem]) -> None:
    def respond(request: HttpRequest, error: _Error | type[_Error]) -> HttpResponse:
        assert isinstance(error, kind)
        return problem(request, error).response()

    api.add_exception_handler(kind, respond)


def too_large() -> Problem:
    """Return the problem of a body past the limit."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The body is larger than 8 MiB; send it in several requests."
    )


def _invalid_fields(error: ninja.errors.ValidationError) -> Problem:
    errors = [(_pointer(one["loc"]), _sentence(one)) for one in error.errors[:_MOST_ERRORS]]
    detail = " ".join(f"{pointer.lstrip('/') or 'The body'}: {what}" for pointer, what in errors[:5])
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-fields", detail, errors=errors)


_MOST_ERRORS, _LONGEST_PART = 100, 100


def _pointer(location: Sequence[str | int]) -> str:
    """Where the error is: `body`, the name of the parameter that takes it, and the way into it (RFC 6901)."""
    if location[0] == "body":
        return "".join(f"/{_part(part)}" for part in location[2:])
    return _part(location[-1])


def _part(name: str | int) -> str:
    """A step of a pointer. It may be a name that a client made up, of any length."""
    return str(name)[:_LONGEST_PART].replace("~", "~0").replace("/", "~1")


_SENTENCES = {
    "extra_forbidden": "There is no such field; leave it out.",
    "missing": "It is missing.",
    "invalid_key": "There is no such field; leave it out.",
    "string_type": "Give a text.",
    "string_unicode": "It has halves of a character; give plain text.",
    "int_type": "Give a whole number.",
    "int_parsing": "Give a whole number.",
    "bool_type": "Give true or false.",
    "list_type": "Give a list.",
    "model_type": "Send an object with fields.",
    "literal_error": "Give {expected}.",
    "enum": "Give {expected}.",
    "too_short": "Give at least {min_length}.",
    "too_long": "Give at most {max_length}.",
    "string_too_short": "Give at least {min_length} characters.",
    "string_too_long": "Give at most {max_length} characters.",
}
"""What is said for an error of pydantic's, by its type; its own words are those of a programmer."""


def _sentence(error: Mapping[str, Any]) -> str:
    if error["type"] in _SENTENCES:
        return _SENTENCES[error["type"]].format_map(error.get("ctx", {}))
    words = str(error["msg"]).removeprefix("Value error, ")
    return words if words.endswith((".", "?")) else f"{words}."


def _unreadable(error: ninja.errors.HttpError) -> Problem:
    detail = "The body is not JSON; send an object with the content type application/json."
    return Problem(error.status_code, "invalid-request", detail)


def busy() -> Problem:
    """Return the problem of something that somebody else keeps busy at this moment; nothing was done."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "overloaded",
        "This brand is being changed at this moment, and nothing was recorded; send the same again in a second.",
        headers={"Retry-After": "1"},
    )


def _unavailable(error: Error) -> Problem:
    if isinstance(error.__cause__, LockNotAvailable):
        return busy()
    _log.error("the database does not answer: %s", str(error).strip().partition("\n")[0])
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "The database does not answer; send the same request again in a moment.",
        headers={"Retry-After": "1"},
    )


def _asleep_or_wrong(request: HttpRequest, error: InternalError) -> Problem:
    """The problem of a process that was frozen in a transaction and lost it meanwhile: nothing is wrong with us."""
    if isinstance(error.__cause__, IdleInTransactionSessionTimeout):
        return _unavailable(error)
    return _internal_error(request, error)


def _internal_error(request: HttpRequest, error: Exception) -> Problem:
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", "Something went wrong on our side; it has been logged."
    )
