"""`manage.py standing`: what it says, to people and to programs."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand
from campaigns.services import catalog, spend

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


@pytest.mark.parametrize("word", ["Acme [GmbH]", "acme", "ACME", "id"])
def test_a_brand_is_found_by_name_external_id_or_id(brand: Brand, word: str) -> None:
    catalog.create_brand(now=NOW, name="Other")
    text = printed("--brand", str(brand.pk) if word == "id" else word)
    assert "Acme" in text
    assert "Other" not in text


def test_an_unknown_brand_ends_with_one_line(brand: Brand) -> None:
    with pytest.raises(CommandError, match="There is no brand 'nobody'"):
        printed("--brand", "nobody")


def test_an_empty_database_says_what_to_do() -> None:
    assert "There are no brands yet" in printed()


def test_json_carries_exact_decimal_strings(brand: Brand) -> None:
    spend.log_spend(campaign_id=brand.campaigns.get(name="Search").pk, amount="0.000001", now=NOW)
    (one,) = json.loads(printed("--json"))
    assert one["day"] == {"budget": "100.00", "spent": "60.500001", "left": "39.499999"}
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
