"""The API as Ninja builds it, with the two things that it leaves open: errors of routing, and their documents."""

from __future__ import annotations

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, re_path
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from campaigns.api.problems import CONTENT_TYPE, Problem, not_found


class Api(NinjaAPI):
    """A NinjaAPI whose every error is a problem, in what it answers and in what it documents."""

    @property
    def urls(self) -> tuple[list[URLResolver | URLPattern], str, str]:
        """The addresses, the last of which takes what none of the others did."""
        patterns, app, namespace = super().urls
        for pattern in patterns:
            if isinstance(pattern, URLPattern):
                pattern.callback = _refuse_methods(pattern.callback)
        return [*patterns, re_path("", _nothing_here)], app, namespace

    def get_openapi_schema(self, *args: Any, **kwargs: Any) -> OpenAPISchema:
        """Return the document, in which the answers that are no success have their own content type."""
        schema = super().get_openapi_schema(*args, **kwargs)
        for path in schema["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if int(status) >= HTTPStatus.BAD_REQUEST and "content" in response:
                        response["content"] = {CONTENT_TYPE: next(iter(response["content"].values()))}
        return schema


def _refuse_methods(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if response.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return response
        allowed = response.headers["Allow"]
        return Problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method-not-allowed",
            f"{request.method} is not for this address; it takes {allowed}.",
            headers={"Allow": allowed},
        ).response()

    return answer


def _nothing_here(request: HttpRequest) -> HttpResponse:
    return not_found("There is no such address; see /api/v1/docs for those there are.").response()


_nothing_here.csrf_exempt = True  # type: ignore[attr-defined]  # no form is ever sent here
