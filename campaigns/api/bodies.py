"""Bodies that are read as bytes, since they come too often for a schema to be laid over them."""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec
from django.http import HttpRequest, HttpResponse

from campaigns.api.problems import Problem, too_large

JSON, NDJSON = "application/json", "application/x-ndjson"
MAX_BYTES = 8 * 2**20

_LENGTH = re.compile(r"[0-9]{1,12}", re.ASCII)


def read(request: HttpRequest, *kinds: str) -> bytes:
    """Return the body of a request of one of these content types; raises the problem of one that can't be read."""
    if request.content_type not in kinds:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", f"Send the body as {' or '.join(kinds)}."
        )
    length = request.META.get("CONTENT_LENGTH")
    if not length:
        raise Problem(HTTPStatus.LENGTH_REQUIRED, "length-required", "Send the body with a Content-Length.")
    if not _LENGTH.fullmatch(str(length)) or int(length) > MAX_BYTES:
        raise too_large()
    return request.body


def answer(body: object, status: int = HTTPStatus.OK) -> HttpResponse:
    """Return a body as JSON."""
    return HttpResponse(msgspec.json.encode(body), status=status, content_type=JSON)
