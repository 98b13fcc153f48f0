"""What keeps somebody out of a page: what axe finds, and what is wider than the screen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

WIDE, PHONE = (1440, 900), (390, 844)

SERIOUS = {"serious", "critical"}
COLOURS = ["color-contrast", "link-in-text-block"]
"""What axe can find in one theme and not in the other."""


def barriers(page: Page) -> Iterator[str]:
    """What is wrong with the page as it stands, in both themes and both widths; it ends wide and light again."""
    for (width, height), theme in itertools.product((WIDE, PHONE), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("theme => { Alpine.$data(document.documentElement).adminTheme = theme }", theme)
        expect(page.locator("html")).to_have_class(theme)
        where = f"{page.url.partition('/admin')[2] or page.url} {theme} at {width}"
        yield from (f"{where}: {found}" for found in axe(page, only=COLOURS if theme == "dark" else None))
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wider > 0:
            yield f"{where}: {wider} px wider than the screen"
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    page.evaluate("Alpine.$data(document.documentElement).adminTheme = 'light'")


def assert_open_to_all(page: Page) -> None:
    """Fail if the page as it stands keeps somebody out."""
    found = list(barriers(page))
    assert not found, "\n".join(found)


def axe(page: Page, *, only: list[str] | None) -> Iterator[str]:
    """What axe finds that keeps somebody out. only: some of its rules."""
    # Without fetching the style sheets once more, which takes half of its time for a rule that is no matter of ours.
    options = {"resultTypes": ["violations"], "preload": False, **({"runOnly": only} if only else {})}
    for violation in Axe().run(page, options=options).response["violations"]:
        if violation["impact"] in SERIOUS:
            for node in violation["nodes"]:
                why = " ".join(node["failureSummary"].split())
                yield f"{violation['id']} ({violation['impact']}) {node['target']} {node['html'][:160]} {why[:300]}"
