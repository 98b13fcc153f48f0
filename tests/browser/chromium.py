"""The Chromium that the browser tests and the screenshots drive.

`python -m tests.browser.chromium` prints its path, or says what to do when there is none.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ON_A_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
MISSING = (
    "There is no Chromium for the browser tests: install the package chromium (Debian: apt-get install chromium "
    "fonts-liberation) or Google Chrome, or set CHROMIUM to the path of one."
)
# It asks its maker for updates and the like at every start, which is neither needed nor polite where the network
# is closed.
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


class NoChromiumError(Exception):
    """There is none; the message says what to install."""


def executable(own: str) -> str:
    """Return the path of a Chromium. own: where Playwright would keep one of its own.

    Raises NoChromiumError.
    """
    chosen = os.environ.get("CHROMIUM")
    if chosen and not shutil.which(chosen):
        raise NoChromiumError(f"CHROMIUM is {chosen}, which is no program.")
    candidates = (chosen, *map(shutil.which, NAMES), shutil.which(ON_A_MAC), own if Path(own).exists() else None)
    found = next(filter(None, candidates), None)
    if not found:
        raise NoChromiumError(MISSING)
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start one, and stop it when the block ends. Raises NoChromiumError."""
    with sync_playwright() as playwright:
        path = executable(playwright.chromium.executable_path)
        # Without its sandbox, which neither root nor a container can have: what it opens here is our own pages.
        browser = playwright.chromium.launch(executable_path=path, args=[*QUIET], chromium_sandbox=False)
        yield browser
        browser.close()


def main() -> int:
    """Print the path of the Chromium, or on standard error what to do."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    try:
        print(executable(own))
    except NoChromiumError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
