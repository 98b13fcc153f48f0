"""The hours of a week: what the page computes is what the rules say, and what is painted is what is kept."""

from __future__ import annotations

import random

import pytest
from playwright.sync_api import Locator, Page, expect

from campaigns.models import Campaign, DaypartingSchedule
from campaigns.rules.schedules import Schedule, ScheduleError, describe_grid
from tests import factories

NIGHT_OF_FRIDAY = Schedule.from_window(22, 6, 0b0010000).hours
WEEKDAYS = (0b1111111, 0b0011111, 0b1100000, 0b0010000, 0b1000000, 0b0000001, 0b1010101, 0)


def hours_page(page: Page, grid: str | None = "0" * 167 + "1") -> Campaign:
    """Open the settings of a campaign with a week to paint."""
    campaign = factories.campaign(factories.brand(timezone="Europe/Paris"))
    if grid:
        DaypartingSchedule.objects.create(campaign=campaign, grid=grid)
    page.goto(f"/admin/campaigns/campaign/{campaign.pk}/change/")
    return campaign


def cell(page: Page, day: str, hour: int) -> Locator:
    """Find an hour by what a screen reader says of it."""
    return page.get_by_role("gridcell", name=f"{day} {hour:02}:00 to {hour + 1:02}:00")


def kept(campaign: Campaign) -> str | None:
    """The grid in the database."""
    return DaypartingSchedule.objects.get(campaign=campaign).grid


def save(page: Page) -> None:
    """Save the form, as most people do."""
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()


def meaning(start: int, end: int, weekdays: int) -> str | None:
    """What the rules make of a window; None if it is none."""
    try:
        return Schedule.from_window(start, end, weekdays).hours
    except ScheduleError:
        return None


def test_a_window_is_shown_as_the_rules_mean_it(page: Page) -> None:
    hours_page(page)
    cases = [[start, end, days] for start in range(-1, 26) for end in range(-1, 26) for days in WEEKDAYS]
    shown = page.evaluate("cases => cases.map(each => window.bmGrid.fromWindow(...each))", cases)
    assert len(cases) > 5000
    for case, week in zip(cases, shown, strict=True):
        assert week == meaning(*case), case


def test_a_week_is_described_as_the_rules_describe_it(page: Page) -> None:
    hours_page(page)
    chance = random.Random(4)
    weeks = [meaning(start, end, days) for start, end, days in ((22, 6, 31), (9, 17, 127), (0, 23, 64), (23, 0, 1))]
    weeks += ["1" * 168, NIGHT_OF_FRIDAY]
    weeks += ["".join(run * chance.randint(1, 30) for run in "01" * 12)[:168].ljust(168, "0") for _ in range(200)]
    described = page.evaluate("weeks => weeks.map(window.bmGrid.describe)", weeks)
    for week, words in zip(weeks, described, strict=True):
        assert week is not None
        rules = describe_grid(week)
        assert words == ("" if rules.startswith("custom") else rules), week


TEXTS = {
    "nothing": "",
    "an hour": "1",
    "half of the hours": "01" * 84,
    "one short": "1" * 167,
    "one too many": "1" * 169,
    "another digit": "2" + "1" * 167,
    "seven lines": "\n".join(["1" * 24] * 7),
    "seven lines, apart": "\r\n\r\n".join([" 10" * 12] * 7),
    "a line short, another long": "\n".join(["1" * 23, "1" * 25, *["1" * 24] * 5]),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_text_is_read_as_the_rules_read_it(text: str, page: Page) -> None:
    hours_page(page)
    try:
        rules = Schedule.from_grid(text).hours
    except ScheduleError:
        rules = None
    assert page.evaluate("text => window.bmGrid.parse(text)", text) == rules


def test_hours_over_midnight_are_painted_with_the_mouse(page: Page) -> None:
    campaign = hours_page(page, None)
    page.get_by_label("hour by hour", exact=False).first.check()
    page.get_by_role("button", name="None", exact=True).click()
    paint(page, ("Friday", 22), ("Friday", 23))
    paint(page, ("Saturday", 0), ("Saturday", 5))
    expect(page.get_by_text("Fri 22:00–06:00; 8 of 168 hours, on the clock of Europe/Paris.")).to_be_visible()
    save(page)
    assert kept(campaign) == NIGHT_OF_FRIDAY


def paint(page: Page, first: tuple[str, int], last: tuple[str, int]) -> None:
    """Press on one hour, move to another and let go."""
    cell(page, *first).hover()
    page.mouse.down()
    cell(page, *last).hover()
    page.mouse.up()


def test_hours_over_midnight_are_painted_with_the_keyboard(page: Page) -> None:
    campaign = hours_page(page, "1" * 168)
    page.get_by_role("button", name="None", exact=True).press("Enter")
    page.keyboard.press("Tab")
    while not page.evaluate("document.activeElement.closest('[role=grid]') !== null"):
        page.keyboard.press("Tab")
    press(page, "Home", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "End", "ArrowLeft", "Space")
    press(page, "Shift+ArrowRight")
    press(page, "ArrowDown", "Home", "Space", *["Shift+ArrowRight"] * 5)
    expect(cell(page, "Saturday", 5)).to_be_focused()
    expect(cell(page, "Saturday", 5)).to_have_accessible_name("Saturday 05:00 to 06:00, may spend")
    expect(cell(page, "Saturday", 6)).to_have_accessible_name("Saturday 06:00 to 07:00, may not spend")
    save(page)
    assert kept(campaign) == NIGHT_OF_FRIDAY


def press(page: Page, *keys: str) -> None:
    """Press keys one after the other."""
    for key in keys:
        page.keyboard.press(key)


def test_a_stroke_turns_what_it_began_on(page: Page) -> None:
    campaign = hours_page(page, "1" * 168)
    paint(page, ("Monday", 0), ("Tuesday", 1))
    save(page)
    night = "00" + "1" * 22
    assert kept(campaign) == night * 2 + "1" * 24 * 5


def test_a_window_over_midnight_is_shown_and_kept(page: Page) -> None:
    campaign = hours_page(page, None)
    page.locator("input[name=hours][value=window]").check()
    for field, hour in (("start_hour", 22), ("end_hour", 6)):
        page.locator(f"[name={field}]").select_option(str(hour))
    for box in page.locator("input[name=weekdays]").all():
        box.set_checked(box.get_attribute("value") == "16")
    expect(cell(page, "Friday", 22)).to_have_accessible_name("Friday 22:00 to 23:00, may spend")
    expect(cell(page, "Saturday", 5)).to_have_accessible_name("Saturday 05:00 to 06:00, may spend")
    expect(cell(page, "Saturday", 6)).to_have_accessible_name("Saturday 06:00 to 07:00, may not spend")
    save(page)
    schedule = DaypartingSchedule.objects.get(campaign=campaign)
    assert (schedule.start_hour, schedule.end_hour, schedule.weekdays) == (22, 6, 16)
