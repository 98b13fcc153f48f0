"""Pages for people, and the one for probes."""

from http import HTTPStatus

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Lead to the admin."""
    return redirect("admin:index")


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers and has this version's tables, else 503 and why."""
    trouble = _trouble()
    if trouble:
        body = {"status": "unavailable", "reason": trouble}
        return JsonResponse(body, status=HTTPStatus.SERVICE_UNAVAILABLE)
    return JsonResponse({"status": "ok"})


def _trouble() -> str:
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "Migrations are missing: run manage.py migrate."
    except Error:  # InterfaceError is no DatabaseError
        return "The database does not answer."
    return ""


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
