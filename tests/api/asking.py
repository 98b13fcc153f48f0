"""Asking the API as a client with a key does."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator
from typing import Any

from django.http import HttpResponse
from django.test import Client

from campaigns.models import ApiKey, Brand, Scope
from campaigns.services.keys import create_key
from tests.factories import NOW

BASE = "/api/v1"

_numbers = itertools.count(1)


class Asker:
    """A client with a key. Answers are checked for what every answer must have."""

    def __init__(self, *scopes: Scope, brands: Collection[Brand] | None = None, name: str = "") -> None:
        ids = None if brands is None else [brand.pk for brand in brands]
        self.key: ApiKey
        name = name or f"Key {next(_numbers)}"
        self.key, self.secret = create_key(name=name, scopes=scopes or tuple(Scope), brand_ids=ids, now=NOW)
        self._client = Client(headers={"authorization": f"Bearer {self.secret}"})

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        """Send a request with a JSON body, or with one of bytes or none."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/json" if data else ""
        answer = self._client.generic(method, BASE + path, data, content_type=kind, headers=headers)
        assert isinstance(answer, HttpResponse)
        if answer.status_code >= 400:
            checked_problem(answer)
        return answer

    def get(self, path: str, **headers: str) -> Any:
        """Return what a GET shows."""
        return done(self.ask("GET", path, **headers))

    def post(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Return what a POST answers."""
        return done(self.ask("POST", path, body), status)

    def put(self, path: str, body: Any, *, status: int = 200) -> Any:
        """Return what a PUT answers."""
        return done(self.ask("PUT", path, body), status)

    def patch(self, path: str, body: Any) -> Any:
        """Return what a PATCH answers."""
        return done(self.ask("PATCH", path, body))

    def delete(self, path: str) -> Any:
        """Return what a DELETE answers."""
        return done(self.ask("DELETE", path))

    def problem(self, method: str, path: str, body: Any = None, *, status: int = 422) -> dict[str, Any]:
        """Return the problem that a request is refused with."""
        return problem_of(self.ask(method, path, body), status)

    def pages(self, path: str, *, limit: int) -> Iterator[list[dict[str, Any]]]:
        """Yield the items of each page of a list."""
        mark = "&" if "?" in path else "?"
        cursor = ""
        for _ in range(1_000):
            page = self.get(f"{path}{mark}limit={limit}{cursor}")
            yield page["items"]
            if page["next"] is None:
                return
            cursor = f"&cursor={page['next']}"
        raise AssertionError("the pages have no end")


def done(answer: HttpResponse, status: int = 200) -> Any:
    """Return the body of an answer of this status."""
    assert answer.status_code == status, answer.content
    return json.loads(answer.content)


def problem_of(answer: HttpResponse, status: int) -> dict[str, Any]:
    """Return the problem of an answer of this status."""
    assert answer.status_code == status, answer.content
    return checked_problem(answer)


def checked_problem(answer: HttpResponse) -> dict[str, Any]:
    """Return the problem of an answer, which has what each must have: sentences, and pointers if there are errors."""
    assert answer["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(answer.content)
    assert problem["status"] == answer.status_code < 500
    assert problem["type"] and problem["title"]
    for sentence in (problem["detail"], *(error["detail"] for error in problem.get("errors", []))):
        assert sentence.endswith(".")
        assert "should" not in sentence, sentence  # pydantic's own words
        assert "Traceback" not in sentence
    return problem


def pointers(problem: dict[str, Any]) -> list[str]:
    """Return what a problem points at."""
    return [error["pointer"] for error in problem.get("errors", [])]
