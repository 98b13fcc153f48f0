"""Who asks: the API key of a request, and what it may do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from campaigns.api.problems import Problem, unauthorized
from campaigns.models import Scope
from campaigns.services import keys
from campaigns.services.keys import Caller


class Key(HttpBearer):
    """The key of a request, found and good for a scope. The operation has it as `caller(request)`."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        """Return who sent a key; raises the problem of a key that is no good."""
        return admitted(keys.find_callers([token], now=timezone.now()), token, self.scope)


class SentKey(HttpBearer):
    """The key of a request as it was sent, not looked at yet: it will be, with those of the requests beside it."""

    def authenticate(self, request: HttpRequest, token: str) -> str:
        """Return what was sent."""
        return token or ""


# The names are those of the security schemes in the documents.
READ, SPEND, MANAGE = Key(Scope.READ), Key(Scope.SPEND), Key(Scope.MANAGE)
SPEND_TOGETHER = SentKey()


def admitted(callers: Mapping[str, Caller], token: str, scope: Scope) -> Caller:
    """Return who sent a key; raises the problem of a key that is unknown or may not do this."""
    found = callers.get(token)
    if found is None:
        raise unauthorized()
    if not found.may(scope):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "forbidden",
            f"This takes a key with the scope {scope.code!r}, which yours does not have.",
        )
    return found


def caller(request: HttpRequest) -> Caller:
    """Return who sent the request."""
    found = request.auth  # type: ignore[attr-defined]  # Ninja puts it there
    assert isinstance(found, Caller)
    return found


def sent_key(request: HttpRequest) -> str:
    """Return the key that came with a request whose key is looked at later."""
    token = request.auth  # type: ignore[attr-defined]  # Ninja puts it there
    assert isinstance(token, str)
    return token
