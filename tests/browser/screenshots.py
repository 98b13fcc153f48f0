"""Pictures the pages of the demo for the documents: `make screenshots`.

Starts the product with demo data of its own, waits until its reporter has sent spend, and stops it again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import NoChromiumError, chromium
from tests.servers import REPOSITORY, free_port, running

FOLDER = REPOSITORY / "docs" / "screenshots"
MAX_BYTES = 300_000
WIDTH, HEIGHT = 1440, 1080
"""What one sees without much scrolling; a whole page would be too small to read, and too large to load."""
CAMPAIGN = "Night owls"
"""Of the demo: with a budget, hours over midnight, and pauses of either kind."""

START_SECONDS = 180.0
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")


def main() -> None:
    """Take all pictures."""
    FOLDER.mkdir(exist_ok=True)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="screenshots.") as folder:
        environment = {**os.environ, "ENVIRONMENT": "embedded", "DATA_DIR": folder}
        for name in ("DATABASE_URL", "REDIS_URL"):
            environment.pop(name, None)
        command = [sys.executable, "manage.py", "up", "--demo", "--port", port]
        with running(command, environment=environment, log=Path(folder, "log")) as product:
            product.wait_for("Budget management is running", within=START_SECONDS)
            product.wait_for("reporter │ paused", within=START_SECONDS)
            with chromium() as browser:
                for theme in THEMES:
                    picture(browser, f"http://127.0.0.1:{port}", Path(folder, "admin-password").read_text(), theme)


def picture(browser: Browser, url: str, password: str, theme: Theme) -> None:
    """Take the pictures of one theme."""
    context = browser.new_context(
        base_url=url,
        viewport={"width": WIDTH, "height": HEIGHT},
        color_scheme=theme,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto("/admin/login/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password.strip())
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("list", name="Health")).to_be_visible()
    take(page, f"dashboard-{theme}")
    page.goto(f"/admin/campaigns/campaign/?q={CAMPAIGN}")
    page.get_by_role("link", name=CAMPAIGN).first.click()
    expect(page.get_by_role("region", name="Status", exact=True)).to_be_visible()
    take(page, f"campaign-{theme}")
    context.close()


def take(page: Page, name: str) -> None:
    """Write one picture."""
    page.evaluate("document.fonts.ready")
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    print(f"{path.relative_to(REPOSITORY)}: {size // 1000} kB")
    if size > MAX_BYTES:
        raise SystemExit(f"{path.name} is larger than {MAX_BYTES // 1000} kB: picture less.")


if __name__ == "__main__":
    try:
        main()
    except NoChromiumError as error:
        sys.exit(str(error))
