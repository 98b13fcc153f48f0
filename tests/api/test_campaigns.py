"""Campaigns over HTTP: judged at once, and the answer shows the new status."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign, Scope, StatusChange
from campaigns.rules.reasons import Reason
from campaigns.services import catalog
from tests import factories
from tests.api.asking import Asker, done, pointers
from tests.factories import NOW, spend
from tests.services import races, reading

pytestmark = pytest.mark.django_db

NEVER_SENT = {
    "currency", "schedule", "is_active", "reasons", "resumes_at", "status_changed_at", "archived_at",
    "serve_probability",
}  # fmt: skip
PACING = {"pacing": "asap", "daily_from_month": False, "daily_least": None, "daily_most": None}


@pytest.fixture
def asker() -> Asker:
    return Asker(Scope.MANAGE)


def settable(campaign: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in campaign.items() if name not in {*NEVER_SENT, "id", "created_at"}}


# --- Creating --------------------------------------------------------------------------------


def test_a_campaign_is_created_as_it_is_sent(asker: Asker) -> None:
    brand = factories.brand(currency="EUR")
    sent = {
        "brand_id": brand.pk,
        "name": "Spring",
        "external_id": "c/1",
        "daily_budget": "10",
        "monthly_budget": "100.123456",
        "total_budget": 1000,
        "flight_start": "2025-06-01",
        "flight_end": "2199-12-31",
    }
    campaign = asker.post("/campaigns", sent, status=201)
    assert settable(campaign) == {
        **sent,
        **PACING,
        "daily_budget": "10.00",
        "monthly_budget": "100.123456",
        "total_budget": "1000.00",
    }
    assert (campaign["is_active"], campaign["reasons"], campaign["resumes_at"]) == (True, [], None)
    assert (campaign["currency"], campaign["schedule"], campaign["archived_at"]) == ("EUR", None, None)
    assert asker.get(f"/campaigns/{campaign['id']}") == campaign


def test_the_answer_shows_every_reason_and_when_it_resumes(asker: Asker) -> None:
    brand = factories.brand(timezone="Europe/Berlin")
    with time_machine.travel(NOW, tick=False):
        body = {"brand_id": brand.pk, "name": "x", "flight_start": "2025-06-20", "total_budget": "5"}
        campaign = asker.post("/campaigns", body, status=201)
    assert (campaign["is_active"], campaign["reasons"]) == (False, ["not_started"])
    assert campaign["resumes_at"] == "2025-06-19T22:00:00+00:00"
    assert campaign["status_changed_at"] == NOW.isoformat()
    (change,) = reading.journal(Campaign.objects.get())
    assert (change.api_key_id, change.actor_id) == (asker.key.pk, None)


def test_a_time_goes_out_to_the_microsecond(asker: Asker) -> None:
    at = datetime(2025, 6, 18, 12, 0, 0, 123456, tzinfo=UTC)
    campaign = factories.campaign(now=at)
    assert asker.get(f"/campaigns/{campaign.pk}")["created_at"] == "2025-06-18T12:00:00.123456+00:00"


WRONG: list[tuple[str, Any, str]] = [
    ("name", "", "empty"),
    ("name", "x" * 201, "200"),
    ("name", "a\x00", "control"),
    ("name", None, "text"),
    ("external_id", "", "empty"),
    ("external_id", 7, "text"),
    ("external_id", "taken", "another campaign"),
    ("daily_budget", 0.5, "floating"),
    ("monthly_budget", False, "boolean"),
    ("total_budget", "-0.01", "negative"),
    ("total_budget", "1000000000001", "above"),
    ("flight_start", "soon", "2026-01-31"),
    ("flight_start", "2025-02-30", "2026-01-31"),
    ("flight_start", "2025-06-01T00:00:00Z", "2026-01-31"),
    ("flight_start", "20250601", "2026-01-31"),
    ("flight_start", 20250601, "2026-01-31"),
    ("flight_start", "1999-12-31", "2000-01-01"),
    ("flight_start", "0000-01-01", "2026-01-31"),
    ("flight_end", "2200-01-01", "2199-12-31"),
    ("flight_end", "2025-06-09", "not before the flight start"),
    ("is_active", True, "no such field"),
    ("paused_manually", False, "no such field"),
    ("schedule", None, "no such field"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG, ids=[f"{row[0]}={row[1]!r:.20}" for row in WRONG])
def test_a_wrong_field_is_pointed_at(asker: Asker, field: str, value: Any, words: str) -> None:
    brand = factories.brand()
    factories.campaign(brand, external_id="taken")
    kept = factories.campaign(brand, flight_start=datetime(2025, 6, 10, tzinfo=UTC).date())
    new = {"brand_id": brand.pk, "name": "x", "flight_start": "2025-06-10", field: value}
    tries = [("POST", "/campaigns", new), ("PATCH", f"/campaigns/{kept.pk}", {field: value})]
    if field != "external_id":
        tries.append(("PUT", "/campaigns/by-external-id/new", new))
    for method, path, body in tries:
        problem = asker.problem(method, path, body)
        assert (problem["type"], pointers(problem)) == ("invalid-fields", [f"/{field}"])
        assert words in problem["errors"][0]["detail"]
    assert Campaign.objects.count() == 2


@pytest.mark.parametrize("wrong", ["1", 0, -1, 1.0, True, None, 2**63, 2**80, [1]], ids=repr)
def test_a_brand_id_that_is_none_is_pointed_at(asker: Asker, wrong: object) -> None:
    factories.brand()
    for method, path in (("POST", "/campaigns"), ("PUT", "/campaigns/by-external-id/x")):
        assert pointers(asker.problem(method, path, {"brand_id": wrong, "name": "x"})) == ["/brand_id"]


def test_a_brand_that_there_is_not(asker: Asker) -> None:
    for method, path in (("POST", "/campaigns"), ("PUT", "/campaigns/by-external-id/x")):
        asker.problem(method, path, {"brand_id": 987_654, "name": "x"}, status=404)


@pytest.mark.parametrize("number", ["0", str(2**63), str(2**80), "9" * 5000])
def test_a_campaign_that_there_is_not(asker: Asker, number: str) -> None:
    asker.problem("GET", f"/campaigns/{number}", status=404)
    asker.problem("PATCH", f"/campaigns/{number}", {"name": "x"}, status=404)
    asker.problem("POST", f"/campaigns/{number}/pause", status=404)
    asker.problem("DELETE", f"/campaigns/{number}/schedule", status=404)
    asker.problem("GET", f"/campaigns/{number}/standing", status=404)
    asker.problem("GET", f"/campaigns/{number}/history", status=404)


# --- Changing --------------------------------------------------------------------------------


def test_only_what_is_sent_is_changed_and_null_clears(asker: Asker) -> None:
    campaign = factories.campaign(
        external_id="e", daily_budget=1, monthly_budget=2, total_budget=3, flight_start=NOW.date()
    )
    path = f"/campaigns/{campaign.pk}"
    before = asker.get(path)
    assert asker.patch(path, {"name": "Other"}) == {**before, "name": "Other"}
    cleared = dict.fromkeys(("external_id", "daily_budget", "monthly_budget", "total_budget", "flight_start"))
    assert asker.patch(path, cleared) == {**before, "name": "Other", **cleared}
    assert asker.patch(path, {}) == asker.get(path)


def test_a_changed_budget_is_judged_at_once(asker: Asker) -> None:
    campaign = factories.campaign()
    spend(campaign, 10)
    path = f"/campaigns/{campaign.pk}"
    with time_machine.travel(NOW + timedelta(hours=1), tick=False):
        paused = asker.patch(path, {"daily_budget": "10"})
        assert (paused["is_active"], paused["reasons"]) == (False, ["campaign_daily_budget"])
        assert paused["resumes_at"] == "2025-06-19T00:00:00+00:00"
        assert paused["status_changed_at"] == "2025-06-18T13:00:00+00:00"
        assert asker.patch(path, {"daily_budget": "10.000001"})["is_active"] is True
    assert {change.api_key_id for change in StatusChange.objects.all()} == {asker.key.pk}


def test_archiving_can_be_sent_again(asker: Asker) -> None:
    campaign = factories.campaign()
    first = asker.post(f"/campaigns/{campaign.pk}/archive")
    assert (first["is_active"], first["reasons"], first["resumes_at"]) == (False, ["manual"], None)
    assert first["archived_at"] is not None
    assert asker.post(f"/campaigns/{campaign.pk}/archive") == first
    assert asker.problem("POST", f"/campaigns/{campaign.pk}/resume")["type"] == "refused"


# --- A person's pause ------------------------------------------------------------------------


def test_a_pause_keeps_its_note_and_its_key(asker: Asker) -> None:
    campaign = factories.campaign()
    path = f"/campaigns/{campaign.pk}"
    assert asker.post(f"{path}/pause", {"note": "wrong creative"})["reasons"] == ["manual"]
    assert asker.post(f"{path}/pause", {})["reasons"] == ["manual"]
    assert asker.post(f"{path}/resume")["is_active"] is True
    notes = [(change.note, change.cause, change.api_key_id) for change in reading.journal(campaign)]
    assert notes == [("wrong creative", "person", asker.key.pk), ("", "person", asker.key.pk)]


def test_resuming_lifts_no_other_reason(asker: Asker) -> None:
    campaign = factories.campaign(total_budget=0)
    asker.post(f"/campaigns/{campaign.pk}/pause")
    assert asker.post(f"/campaigns/{campaign.pk}/resume")["reasons"] == ["campaign_total_budget"]


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"note": "x" * 501}, "/note"),
        ({"note": "a\x00"}, "/note"),
        ({"note": None}, "/note"),
        ({"note": 5}, "/note"),
        ({"reason": "x"}, "/reason"),
        (b"null", ""),
        (b"[]", ""),
    ],
    ids=repr,
)
def test_a_wrong_note_is_refused(asker: Asker, verb: str, body: Any, pointer: str) -> None:
    campaign = factories.campaign()
    assert pointers(asker.problem("POST", f"/campaigns/{campaign.pk}/{verb}", body)) == [pointer]
    assert reading.journal(campaign) == []


# --- By external id --------------------------------------------------------------------------


@pytest.mark.parametrize("external_id", ["c-1", "a/b/c", "a b", "ümläut", "100%", "?x=1#y", ".", "..", "x" * 128])
def test_what_is_put_is_created_and_then_replaced(asker: Asker, external_id: str) -> None:
    brand = factories.brand()
    path = f"/campaigns/by-external-id/{quote(external_id, safe='')}"
    first = asker.put(path, {"brand_id": brand.pk, "name": "One", "daily_budget": "5", "total_budget": "0"}, status=201)
    assert (first["external_id"], first["daily_budget"]) == (external_id, "5.00")
    assert first["reasons"] == ["campaign_total_budget"]
    second = asker.put(path, {"brand_id": brand.pk, "name": "Two", "monthly_budget": "7", "flight_end": "2199-01-01"})
    assert settable(second) == {
        "brand_id": brand.pk,
        "name": "Two",
        "external_id": external_id,
        "daily_budget": None,
        "monthly_budget": "7.00",
        "total_budget": None,
        "flight_start": None,
        "flight_end": "2199-01-01",
        **PACING,
    }
    assert (second["id"], second["is_active"]) == (first["id"], True)
    assert asker.get(f"/campaigns?external_id={quote(external_id, safe='')}")["items"] == [second]


def test_schedule_and_pause_outlive_a_put(asker: Asker) -> None:
    campaign = factories.campaign(external_id="e")
    catalog.set_window(campaign_id=campaign.pk, start_hour=1, end_hour=2, now=NOW)
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    after = asker.put("/campaigns/by-external-id/e", {"brand_id": campaign.brand_id, "name": "x"})
    assert (after["schedule"]["start_hour"], "manual" in after["reasons"]) == (1, True)


def test_an_external_id_is_one_of_its_brand(asker: Asker) -> None:
    one, two = factories.brand(), factories.brand()
    first = asker.put("/campaigns/by-external-id/e", {"brand_id": one.pk, "name": "x"}, status=201)
    second = asker.put("/campaigns/by-external-id/e", {"brand_id": two.pk, "name": "x"}, status=201)
    assert first["id"] != second["id"]


@pytest.mark.parametrize("external_id", ["%20", "a%00", "a%1F", "x" * 129])
def test_a_wrong_external_id_is_refused(asker: Asker, external_id: str) -> None:
    body = {"brand_id": factories.brand().pk, "name": "x"}
    assert pointers(asker.problem("PUT", f"/campaigns/by-external-id/{external_id}", body)) == ["external_id"]


def test_an_archived_campaign_is_changed_and_stays_archived(asker: Asker) -> None:
    campaign = factories.campaign(external_id="e")
    catalog.archive_campaign(campaign_id=campaign.pk, now=NOW)
    after = asker.put("/campaigns/by-external-id/e", {"brand_id": campaign.brand_id, "name": "New"})
    assert (after["id"], after["name"], after["archived_at"] is None) == (campaign.pk, "New", False)


@pytest.mark.django_db(transaction=True)
def test_two_puts_at_once_make_one_campaign(asker: Asker) -> None:
    brand = factories.brand()
    asker.get("/brands")

    def put(name: str) -> Callable[[], int]:
        body = {"brand_id": brand.pk, "name": name}
        return lambda: asker.ask("PUT", "/campaigns/by-external-id/e", body).status_code

    statuses = races.together(*(put(f"no. {at}") for at in range(6)))
    assert sorted(statuses) == [200] * 5 + [201]
    assert Campaign.objects.filter(external_id="e").count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_second_put_waits_and_finds_what_the_first_has_made(asker: Asker) -> None:
    brand = factories.brand()
    body = {"brand_id": brand.pk, "name": "x"}

    def put() -> Any:
        answer = asker.ask("PUT", "/campaigns/by-external-id/e", body)
        return done(answer, answer.status_code)["id"], answer.status_code

    met = races.meet(put, put, at=(catalog, "create_campaign"), when="before")
    assert met.waited
    assert (met.first[1], met.second[1], met.first[0] == met.second[0]) == (201, 200, True)


# --- Listing ---------------------------------------------------------------------------------


def test_the_list_is_filtered(asker: Asker) -> None:
    brand, other = factories.brand(), factories.brand()
    active = factories.campaign(brand, external_id="e")
    spent = factories.campaign(brand, total_budget=0)
    both = factories.campaign(other, total_budget=0, external_id="e")
    catalog.pause(campaign_id=both.pk, now=NOW)
    gone = factories.campaign(other)
    catalog.archive_campaign(campaign_id=gone.pk, now=NOW)
    everything = [active.pk, spent.pk, both.pk, gone.pk]
    expected = {
        "": everything,
        "brand_id=" + str(brand.pk): [active.pk, spent.pk],
        "brand_id=987654": [],
        "external_id=e": [active.pk, both.pk],
        f"external_id=e&brand_id={other.pk}": [both.pk],
        "external_id=f": [],
        "is_active=true": [active.pk],
        "is_active=false": [spent.pk, both.pk, gone.pk],
        "reason=manual": [both.pk, gone.pk],
        "reason=campaign_total_budget": [spent.pk, both.pk],
        "reason=ended": [],
        "archived=true": [gone.pk],
        "archived=false": [active.pk, spent.pk, both.pk],
        "archived=false&reason=manual": [both.pk],
    }
    found = {query: [row["id"] for row in asker.get(f"/campaigns?{query}")["items"]] for query in expected}
    assert found == expected


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_can_be_asked_for(asker: Asker, reason: Reason) -> None:
    assert asker.get(f"/campaigns?reason={reason.code}")["items"] == []


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 1000])
def test_pages_make_up_the_whole(asker: Asker, limit: int) -> None:
    brand = factories.brand()
    campaigns = [factories.campaign(brand, name="the same name") for _ in range(5)]
    factories.campaign()
    pages = list(asker.pages(f"/campaigns?brand_id={brand.pk}", limit=limit))
    assert [row["id"] for page in pages for row in page] == [campaign.pk for campaign in campaigns]
    assert all(len(page) == limit for page in pages[:-1])


def test_what_is_added_meanwhile_moves_no_page(asker: Asker) -> None:
    brand = factories.brand()
    campaigns = [factories.campaign(brand) for _ in range(4)]
    seen: list[int] = []
    for page in asker.pages("/campaigns", limit=2):
        seen += [row["id"] for row in page]
        if len(seen) == 2:
            campaigns.append(factories.campaign(brand, name="AAA"))
            catalog.archive_campaign(campaign_id=campaigns[0].pk, now=NOW)
    assert seen == [campaign.pk for campaign in campaigns]


@pytest.mark.parametrize(
    "query",
    ["brand_id=0", "brand_id=x", "brand_id=1.0", "is_active=1", "reason=x", "reason=", "reason=MANUAL", "limit=0"],
)
def test_a_wrong_parameter_is_pointed_at(asker: Asker, query: str) -> None:
    assert pointers(asker.problem("GET", f"/campaigns?{query}")) == [query.partition("=")[0]]


def test_a_list_takes_a_constant_number_of_queries(asker: Asker) -> None:
    counts = []
    for _ in range(2):
        for at in range(5):
            campaign = factories.campaign(total_budget=0)
            catalog.set_window(campaign_id=campaign.pk, start_hour=at, end_hour=at + 1, now=NOW)
        asker.get("/campaigns")  # the key's use is noted
        with CaptureQueriesContext(connection) as captured:
            assert all(row["schedule"] for row in asker.get("/campaigns")["items"])
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 5
