"""Standing and history over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign, Scope
from campaigns.services import catalog, holds
from campaigns.services.holds import HoldAsk
from campaigns.services.status import Actor
from tests import factories
from tests.api.asking import Asker, pointers
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db

NONE = {"budget": None, "spent": "0.00", "held": "0.00", "left": None, "overspend": None}


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def asker() -> Asker:
    return Asker(Scope.READ)


def hold(campaign: Campaign, amount: str, *, seconds: int = 60) -> None:
    asked = HoldAsk(campaign.pk, f"{campaign.pk} {amount}", amount, ttl_seconds=seconds)
    holds.place_holds([asked], now=NOW)


def limit(budget: str | None, spent: str, held: str, left: str | None, overspend: str | None) -> dict[str, Any]:
    return {"budget": budget, "spent": spent, "held": held, "left": left, "overspend": overspend}


def without_foresight(body: dict[str, Any]) -> dict[str, Any]:
    """What a standing has beside what only the standing of one has; that is in test_pacing_api.py."""
    return {name: value for name, value in body.items() if name not in {"forecast", "target"}}


# --- A campaign ------------------------------------------------------------------------------


def test_a_campaigns_standing_has_every_limit(asker: Asker) -> None:
    brand = factories.brand(daily_budget=100, currency="EUR", timezone="Pacific/Kiritimati")
    campaign = factories.campaign(brand, external_id="e", monthly_budget="30", total_budget=1000)
    spend(factories.campaign(brand), 40)
    spend(campaign, "10.5")
    hold(campaign, "2")
    assert without_foresight(asker.get(f"/campaigns/{campaign.pk}/standing")) == {
        "campaign_id": campaign.pk,
        "brand_id": brand.pk,
        "name": campaign.name,
        "external_id": "e",
        "currency": "EUR",
        "today": "2025-06-19",
        "is_active": True,
        "reasons": [],
        "resumes_at": None,
        "serve_probability": 1,
        "left": "17.50",
        "limits": {
            "brand_day": limit("100.00", "50.50", "2.00", "47.50", "0.00"),
            "brand_month": limit(None, "50.50", "2.00", None, None),
            "campaign_day": limit(None, "10.50", "2.00", None, None),
            "campaign_month": limit("30.00", "10.50", "2.00", "17.50", "0.00"),
            "campaign_total": limit("1000.00", "10.50", "2.00", "987.50", "0.00"),
        },
    }


def test_a_paused_campaign_says_why_in_words(asker: Asker) -> None:
    campaign = factories.campaign(daily_budget=5, flight_end=NOW.date() - timedelta(days=1))
    spend(campaign, 7)
    found = asker.get(f"/campaigns/{campaign.pk}/standing")
    assert (found["is_active"], found["resumes_at"], found["left"]) == (False, None, "0.00")
    assert found["reasons"] == [
        {"code": "campaign_daily_budget", "text": "daily budget of the campaign spent"},
        {"code": "ended", "text": "flight ended"},
    ]
    assert found["limits"]["campaign_day"] == limit("5.00", "7.00", "0.00", "0.00", "2.00")


def test_nothing_limits_a_campaign_without_budgets(asker: Asker) -> None:
    campaign = factories.campaign()
    found = asker.get(f"/campaigns/{campaign.pk}/standing")
    assert (found["left"], set(map(str, found["limits"].values()))) == (None, {str(NONE)})


def test_an_expired_hold_counts_for_nothing(asker: Asker) -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10), daily_budget=10)
    hold(campaign, "4", seconds=30)
    path = f"/campaigns/{campaign.pk}/standing"
    assert asker.get(path)["left"] == "6.00"
    with time_machine.travel(NOW + timedelta(seconds=30), tick=False):
        assert asker.get(path)["left"] == "10.00"
        assert asker.get(f"/brands/{campaign.brand_id}/standing")["day"]["held"] == "0.00"


def test_what_is_archived_has_no_standing(asker: Asker) -> None:
    campaign = factories.campaign()
    catalog.archive_brand(brand_id=campaign.brand_id, now=NOW)
    for path in (f"/campaigns/{campaign.pk}", f"/brands/{campaign.brand_id}"):
        assert "archived" in asker.problem("GET", f"{path}/standing", status=404)["detail"]


# --- A brand ---------------------------------------------------------------------------------


def test_a_brands_standing_has_its_limits_its_counts_and_its_campaigns(asker: Asker) -> None:
    brand = factories.brand(daily_budget=100, monthly_budget=50, external_id="b")
    one, two = factories.campaign(brand), factories.campaign(brand, total_budget=0)
    gone = factories.campaign(brand)
    catalog.archive_campaign(campaign_id=gone.pk, now=NOW)
    spend(one, 30)
    hold(one, "5")
    spend(two, 31)
    found = asker.get(f"/brands/{brand.pk}/standing")
    found.pop("forecast")
    campaigns = found.pop("campaigns")
    assert found == {
        "brand_id": brand.pk,
        "name": brand.name,
        "external_id": "b",
        "currency": "USD",
        "timezone": "UTC",
        "today": "2025-06-18",
        "budget_scope": "brand",
        "day": limit("100.00", "61.00", "5.00", "34.00", "0.00"),
        "month": limit("50.00", "61.00", "5.00", "0.00", "11.00"),
        "active": 0,
        "paused": 2,
        "target": None,
    }
    assert campaigns == {
        "items": [without_foresight(asker.get(f"/campaigns/{campaign.pk}/standing")) for campaign in (one, two)],
        "next": None,
    }


def test_budgets_that_bind_each_campaign_alone_have_no_sum_that_is_left(asker: Asker) -> None:
    brand = factories.brand(daily_budget=10, budget_scope="campaign")
    one, two = factories.campaign(brand), factories.campaign(brand)
    spend(one, 8)
    spend(two, 9)
    found = asker.get(f"/brands/{brand.pk}/standing")
    assert found["day"] == limit("10.00", "17.00", "0.00", None, None)
    lefts = [campaign["limits"]["brand_day"]["left"] for campaign in found["campaigns"]["items"]]
    assert lefts == ["2.00", "1.00"]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_its_campaigns_come_page_by_page(asker: Asker, size: int) -> None:
    brand = factories.brand()
    campaigns = [factories.campaign(brand) for _ in range(5)]
    factories.campaign()
    seen: list[int] = []
    cursor = ""
    for _ in range(5):
        page = asker.get(f"/brands/{brand.pk}/standing?limit={size}{cursor}")["campaigns"]
        seen += [row["campaign_id"] for row in page["items"]]
        cursor = f"&cursor={page['next']}"
        if page["next"] is None:
            break
    assert seen == [campaign.pk for campaign in campaigns]


def test_it_takes_a_constant_number_of_queries(asker: Asker) -> None:
    brand = factories.brand(daily_budget=100)
    counts = []
    for _ in range(2):
        for _ in range(5):
            hold(factories.campaign(brand), "1")
        asker.get(f"/brands/{brand.pk}/standing")
        with CaptureQueriesContext(connection) as captured:
            asker.get(f"/brands/{brand.pk}/standing")
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 17


# --- History ---------------------------------------------------------------------------------


def test_history_names_the_key_or_the_user_and_the_figures(asker: Asker) -> None:
    manager = Asker(Scope.MANAGE, name="Bid server")
    campaign = factories.campaign(daily_budget=5)
    manager.post(f"/campaigns/{campaign.pk}/pause", {"note": "stop"})
    user = get_user_model().objects.create_user("maria")
    catalog.resume(campaign_id=campaign.pk, now=NOW, by=Actor(user_id=user.pk))
    spend(campaign, 6)
    rows = asker.get(f"/campaigns/{campaign.pk}/history")["items"]
    assert [(row["cause"], row["user"], row["api_key"], row["note"]) for row in rows] == [
        ("spend", None, None, ""),
        ("person", "maria", None, ""),
        ("person", None, "Bid server", "stop"),
    ]
    assert [(row["from_reasons"], row["to_reasons"]) for row in rows] == [
        ([], ["campaign_daily_budget"]),
        (["manual"], []),
        ([], ["manual"]),
    ]
    assert rows[0]["at"] == NOW.isoformat()
    assert rows[0]["limits"]["campaign_day"] == {"budget": "5.00", "spent": "6.00"}
    assert rows[0]["limits"]["brand_day"] == {"budget": None, "spent": "6.00"}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_history_comes_page_by_page_and_what_is_added_moves_nothing(asker: Asker, size: int) -> None:
    campaign = factories.campaign()
    for at in range(5):
        act = catalog.resume if at % 2 else catalog.pause
        act(campaign_id=campaign.pk, now=NOW, note=f"no. {at}")
    notes: list[str] = []
    for page in asker.pages(f"/campaigns/{campaign.pk}/history", limit=size):
        if not notes:
            catalog.resume(campaign_id=campaign.pk, now=NOW, note="later")
        notes += [row["note"] for row in page]
    assert notes == [f"no. {at}" for at in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("list_of", ["brands/{brand}/standing", "campaigns/{campaign}/history"])
@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=x", "cursor=WyJicmFuZHMiLDFd", "page=2"])
def test_a_wrong_page_is_refused(asker: Asker, list_of: str, query: str) -> None:
    campaign = factories.campaign()
    path = "/" + list_of.format(brand=campaign.brand_id, campaign=campaign.pk)
    assert pointers(asker.problem("GET", f"{path}?{query}")) == [query.partition("=")[0]]
