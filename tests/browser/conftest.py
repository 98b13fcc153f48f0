"""The real product in a real browser: granian, worker and beat on this session's PostgreSQL and Valkey, and Chromium.

Not by pytest-playwright: its browser lives as long as the session, and with it Playwright's event loop, in which
Django refuses to touch a database. Here both live only as long as the tests of this folder run.

What needs Django's models is imported late: given this folder, pytest reads this file before Django is set up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from tests.browser.barriers import PHONE, WIDE
from tests.browser.chromium import chromium as start_chromium
from tests.browser.watching import Watch
from tests.servers import Program, running

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from tests.browser.product import OpensPages, Site

PATIENCE_MS = 10_000
"""How long a test waits for what it expects; a busy machine is slow."""

FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is in this folder in the pass on PostgreSQL only: a browser asks for several things at once."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.postgresql)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Yield the browser, and let Django work beside Playwright's event loop meanwhile."""
    with pytest.MonkeyPatch.context() as patch, start_chromium() as browser:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        expect.set_options(timeout=PATIENCE_MS)
        yield browser


@pytest.fixture(scope="package")
def site(django_db_setup: None, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield the running product."""
    from tests.browser import product

    with product.site(valkey_url, tmp_path_factory.mktemp("web") / "log") as running_site:
        yield running_site


@pytest.fixture(autouse=True)
def empty_site(site: Site, transactional_db: None, valkey_url: str) -> None:
    """Give each test a site without data."""
    with redis.Redis.from_url(valkey_url) as broker:
        broker.flushall()


@pytest.fixture
def clockwork(site: Site, empty_site: None, tmp_path: Path) -> Iterator[dict[str, Program]]:
    """Run worker and beat beside the web, with passes each second, and yield both."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running(site.commands[name], environment=site.environment, log=tmp_path / name))
            for name in ("worker", "beat")
        }


@pytest.fixture
def watch(site: Site) -> Iterator[Watch]:
    """Fail the test in the end for whatever troubles its pages had."""
    watch = Watch(site.url)
    yield watch
    assert watch.troubles == []


@pytest.fixture
def open_page(
    chromium: Browser, site: Site, watch: Watch, empty_site: None, request: pytest.FixtureRequest
) -> Iterator[OpensPages]:
    """Yield what opens pages, each in a context of its own; all are closed in the end, and pictured on failure."""
    from tests.browser import product

    contexts: list[BrowserContext] = []

    def open_page(person: User | None = None, *, dark: bool = False, phone: bool = False) -> Page:
        width, height = PHONE if phone else WIDE
        context = chromium.new_context(
            base_url=site.url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        watch.over(context)
        if person:
            context.add_cookies([{"name": "sessionid", "value": product.session(person), "url": site.url}])
        return context.new_page()

    yield open_page
    for context in contexts:
        if FAILED in request.node.stash:
            _picture(context, request.node)
        context.close()


@pytest.fixture
def page(open_page: OpensPages) -> Page:
    """Return a page of somebody who may do everything."""
    from tests.browser.product import person

    return open_page(person("ada"))


@pytest.fixture
def operator_page(open_page: OpensPages) -> Page:
    """Return a page of an operator."""
    from tests.browser.product import person

    return open_page(person("otto", role="Operator"))


@pytest.fixture
def viewer_page(open_page: OpensPages) -> Page:
    """Return a page of a viewer."""
    from tests.browser.product import person

    return open_page(person("vera", role="Viewer"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Note down that a test failed, for whoever closes its pages."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def _picture(context: BrowserContext, item: Any) -> None:
    folder = item.config.cache.mkdir("browser")
    for number, page in enumerate(context.pages):
        path = folder / f"{item.name.replace('/', '_')[:100]}-{number}.png"
        try:
            page.screenshot(path=path)
        except Error as error:  # it may be the page that is broken
            print(f"no picture of {page.url}: {error}")
        else:
            print(f"{page.url} is pictured in {path}")
