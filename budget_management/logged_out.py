"""What a script of a page is told once its person has been logged out: never the login page, put into the page."""

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

GOING_ON = "You have been logged out. Log in in another tab, then go on here."


def tell_scripts(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Make of a redirect to the login, which htmx would follow, one that leads the whole page there.

    A form that is being filled in is not led away: what a preview of it answers is shown beside it.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if "HX-Request" not in request.headers or not _leads_to_login(response):
            return response
        if request.path.endswith("/effect/"):
            return HttpResponse(GOING_ON, status=HTTPStatus.UNAUTHORIZED, content_type="text/plain; charset=utf-8")
        page = urlsplit(request.headers.get("HX-Current-URL", ""))
        address = page._replace(scheme="", netloc="", fragment="").geturl() or reverse("admin:index")
        return HttpResponse(headers={"HX-Redirect": redirect_to_login(address, reverse("admin:login"))["Location"]})

    return middleware


def _leads_to_login(response: HttpResponse) -> bool:
    found = response.status_code == HTTPStatus.FOUND
    return found and urlsplit(response.headers["Location"]).path == reverse("admin:login")
