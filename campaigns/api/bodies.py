"""Bodies that are read as bytes, since they come too often for a schema to be laid over them."""

from __future__ import annotations

import contextlib
import re
from http import HTTPStatus

import msgspec
from django.http import HttpRequest, HttpResponse

from campaigns.api.problems import Problem, too_large

JSON, NDJSON = "application/json", "application/x-ndjson"
MAX_BYTES = 8 * 2**20
LARGE_BYTES = 64 * 2**10
DRAINED_BYTES, _PART_BYTES = 64 * 2**20, 2**20

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
        _drain(request)
        raise too_large()
    return request.body


def is_large(request: HttpRequest) -> bool:
    """Return whether to look at the key before the body: it costs less than reading so much for nobody."""
    length = str(request.META.get("CONTENT_LENGTH", ""))
    return not _LENGTH.fullmatch(length) or int(length) > LARGE_BYTES


def _drain(request: HttpRequest) -> None:
    """Read a body that is too large and throw it away, up to a bound.

    Who is answered in the middle of sending sees a broken connection, not the answer, and would send the same again.
    """
    left = DRAINED_BYTES
    with contextlib.suppress(Exception):  # whatever is wrong with what it sends, the answer is the same
        while left > 0 and (part := request.read(min(left, _PART_BYTES))):
            left -= len(part)


def answer(body: object, status: int = HTTPStatus.OK) -> HttpResponse:
    """Return a body as JSON."""
    return HttpResponse(msgspec.json.encode(body), status=status, content_type=JSON)
