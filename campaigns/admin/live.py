"""Parts of a page that refresh themselves: the same view renders them, alone, when the page asks again.

A part carries a digest of what it shows, which the page sends with its next question: where nothing has changed, the
answer is empty and the page is left alone, with whatever is focused, selected or pointed at in it.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

PARAMETER = "live"
"""The parameter with the digest; its presence asks for the part alone."""

SECONDS = 5
"""How often a page asks."""


def is_asked(request: HttpRequest) -> bool:
    """Return whether the page asks for its part again."""
    return PARAMETER in request.GET


def part(request: HttpRequest, template: str, context: dict[str, Any], *, path: str = "") -> SafeString:
    """Render the part within what makes it ask again. path: what it asks; its own page unless given."""
    content = render_to_string(template, context, request)
    others = [(name, value) for name, value in request.GET.items() if name != PARAMETER]
    digest = _digest(content)
    url = f"{path or request.path}?{urlencode([*others, (PARAMETER, digest)])}"
    frame = {"content": content, "url": url, "seconds": SECONDS, "digest": digest}
    return render_to_string("campaigns/admin/live.html", frame, request)


def is_known(request: HttpRequest, rendered: SafeString) -> bool:
    """Return whether the page that asks has what there is."""
    asked = request.GET.get(PARAMETER, "")
    return bool(asked) and f'data-digest="{asked}"' in rendered


def answer(request: HttpRequest, rendered: SafeString) -> HttpResponse:
    """Answer the page that asks for its part: nothing if it has what there is."""
    if is_known(request, rendered):
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    return HttpResponse(rendered)


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]
