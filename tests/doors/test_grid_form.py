"""The week of hours in a campaign's settings: what the server gives the script that paints it, and takes back."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import time_machine
from django.test import Client

from campaigns.models import Brand, Campaign, DaypartingSchedule
from campaigns.services import catalog
from tests import factories
from tests.doors.test_admin import errors, page, save, shown_form
from tests.factories import NOW

pytestmark = pytest.mark.django_db

NIGHT = {"hours": "window", "start_hour": "22", "end_hour": "6"}
MORNINGS = "\n".join(["0" * 6 + "1" * 6 + "0" * 12] * 7)
PAINTED = {"grid_painted": "1"}
"""What the script adds: the person saw only the form of hours that is chosen."""


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def sale() -> Campaign:
    return factories.campaign(factories.brand(name="Acme", timezone="Asia/Kathmandu"), name="Spring sale")


def body(client: Client, url: str) -> str:
    return str(client.get(url).content, "utf-8")


def test_the_page_names_the_clock_and_brings_script_style_and_a_field_that_works_without(
    client: Client, sale: Campaign
) -> None:
    text = body(client, page("change", Campaign, sale.pk))
    assert re.search(r'<div class="bm-week" id="id_grid_week" data-zone="Asia/Kathmandu">', text)
    assert re.search(r'<details class="bm-week-text" open>.*<textarea[^>]* name="grid"', text, re.DOTALL)
    assert re.search(r'<script src="/static/campaigns/grid[^"]*\.js"', text)
    assert re.search(r'<link href="/static/campaigns/grid[^"]*\.css"', text)
    assert "grid_painted" not in text  # that is the script's to say


def test_a_new_campaign_has_a_week_too(client: Client, sale: Campaign) -> None:
    text = body(client, page("add", Campaign))
    assert 'data-zone="the brand&#x27;s time zone"' in text
    fields = shown_form(client, page("add", Campaign), Campaign)
    assert fields["grid"] == ["\n".join(["1" * 24] * 7)]
    given = {**PAINTED, "brand": sale.brand_id, "name": "Mornings", "hours": "grid", "grid": MORNINGS}
    client.post(page("add", Campaign), {**fields, **given})
    assert str(DaypartingSchedule.objects.get(campaign__name="Mornings")) == "every day 06:00–12:00"


def test_a_window_and_a_grid_are_told_apart_by_what_is_chosen_when_only_that_is_seen(
    client: Client, sale: Campaign
) -> None:
    mixed = {**NIGHT, "grid": MORNINGS}
    assert "filled in both" in errors(save(client, sale, **mixed))["hours"][0]
    save(client, sale, **mixed, **PAINTED)
    assert str(DaypartingSchedule.objects.get()) == "22:00–06:00, every day"
    save(client, sale, **{**mixed, "start_hour": "20", "hours": "grid"}, **PAINTED)
    assert str(DaypartingSchedule.objects.get()) == "every day 06:00–12:00"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_is_painted_comes_back_as_it_was(client: Client, sale: Campaign, newline: str) -> None:
    save(client, sale, hours="grid", grid=MORNINGS.replace("\n", newline), **PAINTED)
    fields: dict[str, Any] = shown_form(client, page("change", Campaign, sale.pk), Campaign)
    assert (fields["hours"], fields["grid"]) == (["grid"], [MORNINGS])


def test_the_week_shows_what_a_window_means(client: Client, sale: Campaign) -> None:
    friday = 0b0010000
    catalog.set_window(campaign_id=sale.pk, start_hour=22, end_hour=6, weekdays=friday, now=NOW)
    (grid,) = shown_form(client, page("change", Campaign, sale.pk), Campaign)["grid"]
    days = grid.split("\n")
    assert (days[4], days[5]) == ("0" * 22 + "11", "1" * 6 + "0" * 18)
    assert {*days[:4], days[6]} == {"0" * 24}


def test_all_forms_of_hours_say_when_they_are_shown(client: Client, sale: Campaign) -> None:
    text = body(client, page("change", Campaign, sale.pk))
    shown = [unescape(one) for one in re.findall(r'x-show="([^"]+)"', text)]
    assert shown.count("hours == 'window'") == 3
    assert shown.count("hours == 'window' || hours == 'grid'") == 1


def test_a_brand_has_no_week(client: Client, sale: Campaign) -> None:
    assert "bm-week" not in body(client, page("change", Brand, sale.brand_id))
