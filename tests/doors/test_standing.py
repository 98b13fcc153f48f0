"""`manage.py standing`: what it says, to people and to programs."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, PeriodicRun
from campaigns.services import catalog, enforcement, spend
from campaigns.services.holds import HoldAsk, place_holds
from tests.doors.running import manage, run

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)  # a Tuesday, 13:00 in Berlin


def printed(*arguments: str) -> str:
    out = io.StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("standing", *arguments, stdout=out)
    return out.getvalue()


def line(text: str, name: str) -> str:
    return " ".join(next(row for row in text.splitlines() if row.strip().startswith(name)).split())


@pytest.fixture
def brand() -> Brand:
    brand = catalog.create_brand(
        now=NOW,
        name="Acme [GmbH]",
        external_id="acme",
        timezone="Europe/Berlin",
        currency="EUR",
        daily_budget="100",
        monthly_budget="1000",
    )
    names = ("Search", "Night", "Held")
    search, night, held = (catalog.create_campaign(brand_id=brand.pk, now=NOW, name=name).pk for name in names)
    catalog.set_window(campaign_id=night, start_hour=22, end_hour=4, now=NOW)
    catalog.pause(campaign_id=held, now=NOW)
    spend.log_spend(campaign_id=search, amount="60.5", now=NOW)
    return brand


def test_it_says_budget_spent_left_status_and_when_it_resumes(brand: Brand) -> None:
    text = printed()
    assert line(text, "Acme") == "Acme [GmbH], EUR 60.50 100.00 60.50 1,000.00 39.50 1 of 3 active now Tue 13:00"
    assert line(text, "Search") == "Search 60.50 – 60.50 – 39.50 active"
    assert line(text, "Night") == "Night 0.00 – 0.00 – 39.50 schedule 22:00"
    assert line(text, "Held") == "Held 0.00 – 0.00 – 39.50 manual not by itself"
    assert "1 of 3 campaigns may spend now" in text


def test_overspend_shows_and_every_reason_is_named(brand: Brand) -> None:
    campaign_id = brand.campaigns.get(name="Night").pk
    spend.log_spend(campaign_id=campaign_id, amount="50", now=NOW)
    text = printed()
    assert "0 of 3 active, 10.50 over budget" in line(text, "Acme")
    assert line(text, "Night").endswith("0.00 brand daily budget, schedule Wed 00:00")


@pytest.mark.parametrize("word", ["Acme [GmbH]", "acme [gmbh]", "acme", "ACME", " acme ", "id"])
def test_a_brand_is_found_by_name_external_id_or_id(brand: Brand, word: str) -> None:
    catalog.create_brand(now=NOW, name="Other")
    text = printed("--brand", str(brand.pk) if word == "id" else word)
    assert "Acme" in text
    assert "Other" not in text


@pytest.mark.parametrize("word", ["nobody", "Acm", "", "\udcff", "acme\0", "9" * 30, "0"])
def test_an_unknown_brand_ends_with_one_line(brand: Brand, word: str) -> None:
    with pytest.raises(CommandError, match="There is no brand with the id, external id or name '") as end:
        printed("--brand", word)
    assert end.value.returncode == 1
    assert str(end.value).isprintable()


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_bytes_that_are_no_text_end_with_one_line() -> None:
    ran = manage("standing", "--brand", os.fsdecode(b"\xff"))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith("Error: There is no brand with the id, external id or name '\\udcff'")


def test_upper_and_lower_case_tell_brands_apart_that_differ_in_nothing_else(brand: Brand) -> None:
    catalog.create_brand(now=NOW, name="ACME")
    assert "Acme [GmbH]" in printed("--brand", "acme")
    assert "Acme [GmbH]" not in printed("--brand", "ACME")
    with pytest.raises(CommandError, match=r"'Acme' may be brand .* and brand .*; give what only one of them has"):
        printed("--brand", "Acme")


def test_an_archived_brand_is_said_to_be_archived(brand: Brand) -> None:
    catalog.archive_brand(brand_id=brand.pk, now=NOW)
    assert printed("--brand", "acme") == "Acme [GmbH] is archived.\n"
    assert printed() == "All brands are archived.\n"


def test_log_spend_names_a_reason_as_the_table_does(brand: Brand) -> None:
    night = brand.campaigns.get(name="Night")
    with time_machine.travel(NOW, tick=False):
        said = run("log_spend", night.pk, "50").out
    words = "brand daily budget, schedule"
    assert f"is paused ({words});" in said
    assert words in line(printed(), "Night")


@pytest.mark.parametrize(
    ("age", "says"),
    [
        (timedelta(seconds=-5), ""),  # by another machine's clock
        (timedelta(seconds=180), ""),
        (timedelta(seconds=181), "The last pass ran 3 minutes ago: is beat running?"),
        (timedelta(hours=1, minutes=50), "The last pass ran 1 hour ago: is beat running?"),
        (timedelta(days=3, hours=2), "The last pass ran 3 days ago: is beat running?"),
    ],
)
def test_a_pass_that_is_missed_is_told(brand: Brand, age: timedelta, says: str) -> None:
    record_pass(NOW - age)
    record_pass(NOW - age - timedelta(days=1))
    record_pass(NOW, finished=False)
    record_pass(NOW, task=PeriodicRun.Task.RESET_DAILY)
    assert printed().partition("zone.\n")[2].strip() == says


def test_no_pass_at_all_is_told_where_there_are_campaigns(brand: Brand) -> None:
    assert printed().endswith("\nNo pass has run yet: is beat running?\n")
    enforcement.enforce_all(now=NOW)
    assert "beat" not in printed()
    PeriodicRun.objects.all().delete()
    catalog.create_brand(now=NOW, name="Without campaigns")
    assert "beat" not in printed("--brand", "without campaigns")


def record_pass(
    at: datetime, *, finished: bool = True, task: PeriodicRun.Task = PeriodicRun.Task.ENFORCE
) -> PeriodicRun:
    return PeriodicRun.objects.create(task=task, started_at=at, finished_at=at if finished else None)


def test_an_empty_database_says_what_to_do() -> None:
    assert "There are no brands yet" in printed()


def test_what_is_held_is_shown_where_there_are_holds_and_is_not_left(brand: Brand) -> None:
    assert "Held" not in printed().splitlines()[0]
    search = brand.campaigns.get(name="Search")
    asks = [HoldAsk(search.pk, "a", "10"), HoldAsk(search.pk, "b", "5", ttl_seconds=1)]
    place_holds(asks, now=NOW - timedelta(seconds=1))  # the second has just expired, and nothing has swept it yet
    text = printed()
    assert text.splitlines()[0].split()[-4:] == ["Held", "Left", "Status", "Resumes"]
    assert line(text, "Acme") == "Acme [GmbH], EUR 60.50 100.00 60.50 1,000.00 10.00 29.50 1 of 3 active now Tue 13:00"
    assert line(text, "Search") == "Search 60.50 – 60.50 – 10.00 29.50 active"
    (one,) = json.loads(printed("--json"))
    assert (one["day"]["held"], one["day"]["left"]) == ("10.00", "29.50")


def test_json_carries_exact_decimal_strings(brand: Brand) -> None:
    spend.log_spend(campaign_id=brand.campaigns.get(name="Search").pk, amount="0.000001", now=NOW)
    (one,) = json.loads(printed("--json"))
    assert one["day"] == {"budget": "100.00", "spent": "60.500001", "held": "0.00", "left": "39.499999"}
    night = next(campaign for campaign in one["campaigns"] if campaign["name"] == "Night")
    assert night["reasons"] == ["schedule"]
    assert night["resumes_at"] == "2026-03-10T21:00:00+00:00"


def test_the_number_of_queries_does_not_grow(brand: Brand) -> None:
    with CaptureQueriesContext(
        connection,
    ) as few:
        printed()
    for number in range(20):
        other = catalog.create_brand(now=NOW, name=f"Brand {number}", timezone="Asia/Tokyo")
        catalog.create_campaign(brand_id=other.pk, now=NOW, name="Only")
    with CaptureQueriesContext(connection) as many:
        printed()
    assert len(many) == len(few)
