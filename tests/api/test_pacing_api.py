"""Pacing and forecasts over HTTP: the terms as they are set, the probability, and what is to come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from campaigns.models import OwnerPace, Scope
from campaigns.services import catalog
from campaigns.services.pacing import pace_all
from tests import factories
from tests.api.asking import Asker, pointers
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db

TERMS = {"pacing": "even", "daily_from_month": True, "daily_least": "1.00", "daily_most": "50.00"}
NO_TERMS = {"pacing": "asap", "daily_from_month": False, "daily_least": None, "daily_most": None}


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def asker() -> Asker:
    return Asker(Scope.MANAGE)


def terms(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in TERMS}


def test_the_terms_of_a_brand(asker: Asker) -> None:
    body = asker.post("/brands", {"name": "Plain"}, status=201)
    assert terms(body) == NO_TERMS
    body = asker.post("/brands", {"name": "Even", "monthly_budget": "130", **TERMS}, status=201)
    assert terms(body) == TERMS
    assert body["daily_budget"] == "10.00"  # of the 18th of June, 13 days are left
    path = f"/brands/{body['id']}"
    assert terms(asker.patch(path, {"daily_most": None})) == {**TERMS, "daily_most": None}
    assert asker.patch(path, {"monthly_budget": "260"})["daily_budget"] == "20.00"


def test_the_terms_of_a_campaign(asker: Asker) -> None:
    brand = factories.brand()
    body = asker.post("/campaigns", {"brand_id": brand.pk, "name": "Plain"}, status=201)
    assert terms(body) == NO_TERMS
    assert body["serve_probability"] == 1
    even = {"brand_id": brand.pk, "name": "Even", "monthly_budget": "130", **TERMS}
    body = asker.post("/campaigns", even, status=201)
    assert terms(body) == TERMS
    assert body["daily_budget"] == "10.00"
    assert body["serve_probability"] == 0.1
    assert asker.patch(f"/campaigns/{body['id']}", {"pacing": "asap"})["serve_probability"] == 1


def test_putting_a_campaign_without_naming_its_pacing_keeps_it(asker: Asker) -> None:
    brand = factories.brand()
    whole = {"brand_id": brand.pk, "name": "A", "monthly_budget": "130"}
    asker.put("/campaigns/by-external-id/a", {**whole, **TERMS}, status=201)
    body = asker.put("/campaigns/by-external-id/a", whole)
    assert terms(body) == TERMS
    assert body["daily_budget"] == "10.00"
    assert terms(asker.put("/campaigns/by-external-id/a", {**whole, "pacing": "asap"})) == {**TERMS, "pacing": "asap"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"pacing": "fast"}, "pacing"),
        ({"pacing": None}, "pacing"),
        ({"daily_from_month": "yes"}, "daily_from_month"),
        ({"daily_from_month": 1}, "daily_from_month"),
        ({"daily_least": 1.5}, "daily_least"),
        ({"daily_least": "60"}, "daily_least"),
        ({"daily_budget": "5"}, "daily_budget"),
        ({"monthly_budget": None}, "monthly_budget"),
    ],
)
def test_what_is_refused_names_its_field(asker: Asker, change: dict[str, Any], field: str) -> None:
    brand = factories.brand(monthly_budget=130, daily_from_month=True, daily_most=50)
    assert pointers(asker.problem("PATCH", f"/brands/{brand.pk}", change)) == [f"/{field}"]


def test_the_probability_has_four_decimals_everywhere(asker: Asker) -> None:
    campaign = factories.campaign(daily_budget=10, pacing="even")
    pace_all(now=NOW)
    OwnerPace.objects.update(published=123_400)
    (told,) = asker.get("/campaigns/status")["campaigns"]
    assert told["serve_probability"] == 0.1234
    assert asker.get(f"/campaigns/{campaign.pk}")["serve_probability"] == 0.1234
    assert asker.get(f"/campaigns/{campaign.pk}/standing")["serve_probability"] == 0.1234
    (listed,) = asker.get(f"/brands/{campaign.brand_id}/standing")["campaigns"]["items"]
    assert listed["serve_probability"] == 0.1234
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    assert asker.get(f"/campaigns/{campaign.pk}")["serve_probability"] == 0
    catalog.archive_campaign(campaign_id=campaign.pk, now=NOW)
    assert asker.get(f"/campaigns/{campaign.pk}")["serve_probability"] == 0


@pytest.mark.django_db(transaction=True)  # nothing is behind a position before it is committed
def test_a_conditional_request_sees_a_probability_that_is_published(asker: Asker) -> None:
    factories.campaign(daily_budget=10, pacing="even")
    pace_all(now=NOW)
    tag = asker.ask("GET", "/campaigns/status")["ETag"]
    assert asker.ask("GET", "/campaigns/status", **{"If-None-Match": tag}).status_code == 304
    OwnerPace.objects.update(probability=600_000, earned=1)
    assert pace_all(now=NOW + timedelta(minutes=1)).changed == 1
    assert asker.ask("GET", "/campaigns/status", **{"If-None-Match": tag}).status_code == 200


def test_standing_tells_what_is_to_come(asker: Asker) -> None:
    brand = factories.brand(daily_budget=15, monthly_budget=260)
    campaign = factories.campaign(brand, monthly_budget=130)
    spend(campaign, 10)
    body = asker.get(f"/brands/{brand.pk}/standing")
    assert body["forecast"] == {
        "day": {"likely": "15.00", "low": None, "high": None},
        "month": None,
        "wanted_today": "20.00",
        "runs_out_at": "2025-06-18T18:00:00+00:00",
        "lasting_daily_budget": "20.00",
    }
    assert body["target"] is None
    alone = asker.get(f"/campaigns/{campaign.pk}/standing")
    assert alone["forecast"]["lasting_daily_budget"] == "10.00"
    assert "forecast" not in body["campaigns"]["items"][0]


def test_standing_tells_the_target(asker: Asker) -> None:
    brand = factories.brand(daily_budget=15, pacing="even")
    campaign = factories.campaign(brand)
    spend(campaign, 10)
    pace_all(now=NOW)
    body = asker.get(f"/brands/{brand.pk}/standing")
    assert (body["target"], body["forecast"]["runs_out_at"]) == ("10.00", None)  # begun now, with what was spent
    assert asker.get(f"/campaigns/{campaign.pk}/standing")["target"] == "10.00"
    assert asker.get(f"/campaigns/{factories.campaign().pk}/standing")["target"] is None
