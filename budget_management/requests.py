"""What is told of every request: a line in the log, and its part of the metrics."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from budget_management.logs import context
from campaigns.gateways import meters

logger = logging.getLogger(__name__)

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NO_ROUTE = "none"
"""The route of a request for which there is none: a static file, or an address that somebody made up."""

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY_PREFIX = re.compile(r"Bearer\s+(bk_[0-9a-f]{12})_")


class RequestRecord:
    """Gives each request an id, and tells when it was answered, how and how fast.

    An id that came as X-Request-ID is kept if it is one, so that it can be followed through a proxy; the answer names
    it. Nothing that the sender chose is told beside it: the route and not the address, no header and no body.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer."""
        began = time.monotonic()
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = sent if _SANE_ID.fullmatch(sent) else uuid.uuid4().hex
        context.set({"request_id": request_id})  # until it is finished: Django logs some answers after us
        response = self._get_response(request)
        response.headers["X-Request-ID"] = request_id
        _tell(request, response.status_code, time.monotonic() - began)
        return response


@receiver(request_finished)
def _forget_the_request(**_: object) -> None:
    context.set({})


def _tell(request: HttpRequest, status: int, seconds: float) -> None:
    method = request.method if request.method in METHODS else "other"
    route = request.resolver_match.route if request.resolver_match else NO_ROUTE
    area = "api" if route.startswith("api/") else "admin" if route.startswith("admin/") else "other"
    meters.observe_request(method, route, f"{status // 100}xx", area=area, seconds=seconds)
    if logger.isEnabledFor(logging.INFO):
        milliseconds = round(seconds * 1_000, 1)
        fields = {"method": method, "route": route, "status": status, "milliseconds": milliseconds, **_who(request)}
        logger.info("%s %s %d in %s ms", method, route, status, milliseconds, extra={"fields": fields})


def _who(request: HttpRequest) -> dict[str, object]:
    """The beginning of the key that was sent, or the person's id if somebody has looked: to look costs a query."""
    if key := _KEY_PREFIX.match(request.META.get("HTTP_AUTHORIZATION", "")):
        return {"api_key": key[1]}
    user = getattr(request, "_cached_user", None)
    return {} if user is None or user.pk is None else {"user": user.pk}
