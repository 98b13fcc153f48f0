"""Pages for people, and the one for probes."""

from datetime import timedelta
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from campaigns.queries.health import Intervals
from campaigns.queries.readiness import database_trouble, readiness


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Lead to the admin."""
    return redirect("admin:index")


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers and has this version's tables, else 503 and why."""
    trouble = database_trouble()
    if trouble:
        body = {"status": "unavailable", "reason": trouble}
        return JsonResponse(body, status=HTTPStatus.SERVICE_UNAVAILABLE)
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when everything does its work, else 503; either way with each check by its name."""
    checks = readiness(now=timezone.now(), intervals=intervals(), broker_url=settings.REDIS_URL)
    ready = all(check.ok for check in checks)
    body = {
        "status": "ready" if ready else "unavailable",
        "checks": {check.name: {"ok": True} if check.ok else {"ok": False, "reason": check.reason} for check in checks},
    }
    return JsonResponse(body, status=HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)


def intervals() -> Intervals:
    """Return how often the periodic tasks are due, as the settings say."""
    return Intervals(
        enforce=timedelta(seconds=settings.ENFORCE_INTERVAL_SECONDS),
        roll_over=timedelta(seconds=settings.ROLLOVER_INTERVAL_SECONDS),
        ledger_check=timedelta(seconds=settings.LEDGER_CHECK_INTERVAL_SECONDS),
        pacing=timedelta(seconds=settings.PACING_INTERVAL_SECONDS),
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that a request was no good as a whole, such as one with too many fields."""
    sentence = "This could not be read, or was too much at once. Go back and try again with less."
    return _error(request, sentence, HTTPStatus.BAD_REQUEST)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that a form is of a session that is over."""
    sentence = "This page was opened before you last logged in, so nothing was saved. Go back, reload it and try again."
    return _error(request, sentence, HTTPStatus.FORBIDDEN)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that the person may not see the page."""
    sentence = "Your account may not see this page. Ask an administrator if you should."
    return _error(request, sentence, HTTPStatus.FORBIDDEN)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that there is no such page."""
    return _error(request, "There is no such page.", HTTPStatus.NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponse:
    """Say that something went wrong here; what it was is in the log."""
    sentence = "Something went wrong on our side; it has been logged."
    return _error(request, sentence, HTTPStatus.INTERNAL_SERVER_ERROR)


def _error(request: HttpRequest, sentence: str, status: HTTPStatus) -> HttpResponse:
    """A page for people, and one line for programs. It asks for nothing that may be what has gone wrong."""
    if not request.accepts("text/html") or request.headers.get("Accept", "*/*") == "*/*":
        return HttpResponse(sentence + "\n", status=status, content_type="text/plain; charset=utf-8")
    return HttpResponse(
        render_to_string("campaigns/error.html", {"sentence": sentence, "status": status}), status=status
    )
