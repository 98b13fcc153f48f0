"""The headers that tell a browser what a page of ours may do, and that it may do nothing else."""

from csp.middleware import CSPMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

PERMISSIONS = ", ".join(
    f"{feature}=()" for feature in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
)
"""What no page of ours asks for, nor anything that might get into one."""


class PageHeaders(CSPMiddleware):
    """Sends the Content-Security-Policy of the settings, and the Permissions-Policy, with every page.

    With pages only: other answers run nothing, and writing the policy takes time that the API has
    better use for.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add them to a page."""
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        response.headers["Permissions-Policy"] = PERMISSIONS
        return super().process_response(request, response)
