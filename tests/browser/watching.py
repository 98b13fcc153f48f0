"""What no page may do: say an error, fail, or ask another host."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response, WebError


@dataclass
class Watch:
    """Gathers the troubles of all pages that it was put over; a test ends well only without any."""

    origin: str
    troubles: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        """Look at all that happens in a context."""
        context.on("console", self._said)
        context.on("weberror", self._threw)
        context.on("request", self._asked)
        context.on("response", self._answered)

    def forgive(self, text: str) -> None:
        """Take out the troubles that a test has asked for; there must be some."""
        kept = [trouble for trouble in self.troubles if text not in trouble]
        assert len(kept) < len(self.troubles), f"no trouble says {text!r}: {self.troubles}"
        self.troubles = kept

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:  # a breach of the Content-Security-Policy is an error
            self.troubles.append(f"console {message.type} on {_path(message.page)}: {message.text}")

    def _threw(self, error: WebError) -> None:
        self.troubles.append(f"exception on {_path(error.page)}: {error.error}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.troubles.append(f"a request left the host: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.troubles.append(f"HTTP {response.status}: {response.request.method} {response.url}")


def _path(page: Page | None) -> str:
    return urlsplit(page.url).path if page else "no page"
