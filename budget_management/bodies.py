"""A bound for what may be sent to a page, before any of it is read."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse

MOST_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
"""More than any form or file of ours has. The API says its own bounds, with its own sentences."""

SENTENCE = f"This is more than {MOST_BYTES // 2**20} MB, so none of it was read. Send less at once."


def refuse_large_bodies(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse a body that is too large from whoever it is.

    To look for the token of a form, Django reads the whole body and writes the files in it to the disk, also for
    visitors. A body without a length is read as empty, so that the length that is said is the one that counts.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        said = request.META.get("CONTENT_LENGTH") or "0"
        is_too_large = said.isascii() and said.isdigit() and (len(said) > 15 or int(said) > MOST_BYTES)
        if is_too_large and not request.path.startswith("/api/"):
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            return HttpResponse(f"{SENTENCE}\n", status=status, content_type="text/plain; charset=utf-8")
        return get_response(request)

    return middleware
