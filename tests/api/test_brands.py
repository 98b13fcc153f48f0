"""Brands over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, Scope, StatusChange
from campaigns.services import catalog
from tests import factories
from tests.api.asking import Asker, pointers
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db

FULL = {
    "name": "Acme",
    "external_id": "a-1",
    "timezone": "Europe/Berlin",
    "currency": "EUR",
    "daily_budget": "100.5",
    "monthly_budget": 2000,
    "budget_scope": "campaign",
    "pacing": "even",
    "daily_from_month": False,
    "daily_least": None,
    "daily_most": None,
}


@pytest.fixture
def asker() -> Asker:
    return Asker(Scope.MANAGE)


# --- Creating --------------------------------------------------------------------------------


def test_a_brand_is_created_as_it_is_sent(asker: Asker) -> None:
    brand = asker.post("/brands", FULL, status=201)
    created_at = brand.pop("created_at")
    assert created_at.endswith("+00:00")
    assert brand == {
        **FULL,
        "id": Brand.objects.get().pk,
        "daily_budget": "100.50",
        "monthly_budget": "2000.00",
        "archived_at": None,
    }
    assert asker.get(f"/brands/{brand['id']}") == {**brand, "created_at": created_at}


def test_all_but_the_name_may_be_left_out(asker: Asker) -> None:
    brand = asker.post("/brands", {"name": " Acme "}, status=201)
    assert (brand["name"], brand["timezone"], brand["currency"], brand["budget_scope"]) == (
        "Acme",
        "UTC",
        "USD",
        "brand",
    )
    assert brand["daily_budget"] is brand["monthly_budget"] is brand["external_id"] is None


def test_creating_a_brand_takes_a_key_for_all_brands(asker: Asker) -> None:
    limited = Asker(Scope.MANAGE, brands=[factories.brand()])
    problem = limited.problem("POST", "/brands", FULL, status=403)
    assert problem["type"] == "forbidden"
    assert "all brands" in problem["detail"]
    assert not Brand.objects.filter(name="Acme").exists()


WRONG: list[tuple[str, Any, str]] = [
    ("name", "", "empty"),
    ("name", "  ", "empty"),
    ("name", "x" * 201, "200"),
    ("name", "a\x00b", "control"),
    ("name", "a\nb", "control"),
    ("name", "a\ud800b", "control"),
    ("name", 7, "text"),
    ("name", None, "text"),
    ("name", ["Acme"], "text"),
    ("name", "Taken", "another brand"),
    ("external_id", "", "empty"),
    ("external_id", "x" * 129, "128"),
    ("external_id", "a\x1f", "control"),
    ("external_id", 5, "text"),
    ("external_id", "taken", "another brand"),
    ("timezone", "Mars/Olympus", "IANA"),
    ("timezone", "../../etc/passwd", "IANA"),
    ("timezone", "/etc/localtime", "IANA"),
    ("timezone", "x" * 64, "63"),
    ("timezone", 5, "text"),
    ("currency", "ZZZ", "ISO 4217"),
    ("currency", "eur", "ISO 4217"),
    ("currency", "EURO", "3 characters"),
    ("currency", None, "text"),
    ("daily_budget", "-1", "negative"),
    ("daily_budget", -1, "negative"),
    ("daily_budget", 1.5, "floating"),
    ("daily_budget", 1.0, "floating"),
    ("daily_budget", True, "boolean"),
    ("daily_budget", "much", "not an amount"),
    ("daily_budget", "", "not an amount"),
    ("daily_budget", "NaN", "finite"),
    ("daily_budget", "Infinity", "finite"),
    ("daily_budget", "1e2", "plain decimal"),
    ("daily_budget", " 1", "plain decimal"),
    ("daily_budget", "1,5", "not an amount"),
    ("daily_budget", "\u0661", "not an amount"),
    ("daily_budget", "0.0000001", "6 decimals"),
    ("daily_budget", "1000000000000.01", "above"),
    ("daily_budget", 10**40, "range"),
    ("daily_budget", {"amount": 1}, "decimal number"),
    ("daily_budget", [], "decimal number"),
    ("monthly_budget", "1" * 1000, "not an amount"),
    ("budget_scope", "both", "'brand' or 'campaign'"),
    ("budget_scope", None, "'brand' or 'campaign'"),
    ("budget_scope", 1, "'brand' or 'campaign'"),
    ("colour", "red", "no such field"),
    ("archived_at", None, "no such field"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG, ids=[f"{row[0]}={row[1]!r:.20}" for row in WRONG])
def test_a_wrong_field_is_pointed_at(asker: Asker, field: str, value: Any, words: str) -> None:
    factories.brand(name="Taken", external_id="taken")
    kept = factories.brand()
    for method, path in (("POST", "/brands"), ("PATCH", f"/brands/{kept.pk}")):
        body = {field: value} if method == "PATCH" else {"name": "Acme", field: value}
        problem = asker.problem(method, path, body)
        assert problem["type"] == "invalid-fields"
        assert pointers(problem) == [f"/{field}"]
        assert words in problem["errors"][0]["detail"]
    assert Brand.objects.count() == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"null", 422),
        (b"[]", 422),
        (b'"Acme"', 422),
        (b"7", 422),
        (b'[{"name": "Acme"}]', 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"name": "Acme", }', 400),
        (b"[" * 100_000, 400),
        (b'{"name": ' + b"9" * 5000 + b"}", 400),
        (b'{"name": NaN}', 422),
        (b'{"name": "Acme", "\\ud800": 1}', 422),
        (b'{"name": "Acme", "' + b"x" * 10_000 + b'": 1}', 422),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_body_that_is_no_object_is_refused(asker: Asker, body: bytes, status: int) -> None:
    problem = asker.problem("POST", "/brands", body, status=status)
    assert len(problem["detail"]) < 500
    assert not Brand.objects.exists()


def test_a_body_that_is_too_large_is_refused(asker: Asker) -> None:
    asker.problem("POST", "/brands", b'{"name": "' + b"x" * (8 * 2**20) + b'"}', status=413)


def test_every_wrong_field_is_told_at_once(asker: Asker) -> None:
    problem = asker.problem("POST", "/brands", {"daily_budget": 0.5, "a/b~c": 1, "currency": 7})
    assert sorted(pointers(problem)) == ["/a~1b~0c", "/currency", "/daily_budget", "/name"]


# --- Changing --------------------------------------------------------------------------------


def test_only_what_is_sent_is_changed(asker: Asker) -> None:
    brand = asker.post("/brands", FULL, status=201)
    path = f"/brands/{brand['id']}"
    assert asker.patch(path, {"name": "Other"}) == {**brand, "name": "Other"}
    assert asker.patch(path, {"daily_budget": None, "external_id": None}) == {
        **brand,
        "name": "Other",
        "daily_budget": None,
        "external_id": None,
    }
    changed = {**FULL, "name": "Third", "currency": "CHF", "timezone": "Asia/Tokyo", "budget_scope": "brand"}
    after = asker.patch(path, changed)
    assert {name: after[name] for name in changed} == {
        **changed,
        "daily_budget": "100.50",
        "monthly_budget": "2000.00",
    }
    assert asker.patch(path, {}) == after == asker.get(path)


def test_a_lowered_budget_pauses_at_once_and_names_the_key(asker: Asker) -> None:
    brand = factories.brand()
    campaign = factories.campaign(brand)
    asker.patch(f"/brands/{brand.pk}", {"daily_budget": "0"})
    campaign.refresh_from_db()
    assert campaign.reason_codes == ["brand_daily_budget"]
    assert StatusChange.objects.get().api_key_id == asker.key.pk


def test_the_currency_stays_once_there_is_spend(asker: Asker) -> None:
    campaign = factories.campaign(factories.brand(currency="EUR"))
    spend(campaign, 1)
    problem = asker.problem("PATCH", f"/brands/{campaign.brand_id}", {"currency": "USD"})
    assert "EUR" in problem["detail"]


def test_archiving_takes_the_campaigns_along_and_can_be_sent_again(asker: Asker) -> None:
    brand = factories.brand()
    campaign = factories.campaign(brand)
    first = asker.post(f"/brands/{brand.pk}/archive")
    assert first["archived_at"] is not None
    assert asker.post(f"/brands/{brand.pk}/archive") == first
    campaign.refresh_from_db()
    assert (campaign.is_active, campaign.archived_at is not None) == (False, True)
    assert asker.problem("POST", "/campaigns", {"brand_id": brand.pk, "name": "x"})["type"] == "refused"


# --- Listing ---------------------------------------------------------------------------------


def test_the_list_is_filtered(asker: Asker) -> None:
    one, two = factories.brand(external_id="one"), factories.brand(external_id="two")
    catalog.archive_brand(brand_id=two.pk, now=NOW)

    def listed(query: str) -> list[int]:
        return [brand["id"] for brand in asker.get(f"/brands{query}")["items"]]

    assert listed("") == [one.pk, two.pk]
    assert listed("?archived=true") == [two.pk]
    assert listed("?archived=false") == [one.pk]
    assert listed("?external_id=two") == [two.pk]
    assert listed("?external_id=two&archived=false") == []
    assert listed("?external_id=three") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 8, 1000])
def test_pages_make_up_the_whole(asker: Asker, limit: int) -> None:
    brands = [factories.brand() for _ in range(7)]
    pages = list(asker.pages("/brands", limit=limit))
    assert [brand["id"] for page in pages for brand in page] == [brand.pk for brand in brands]
    assert all(len(page) == limit for page in pages[:-1])


def test_what_is_added_meanwhile_moves_no_page(asker: Asker) -> None:
    brands = [factories.brand() for _ in range(4)]
    seen: list[int] = []
    for page in asker.pages("/brands", limit=2):
        seen += [brand["id"] for brand in page]
        if len(seen) == 2:
            brands += [factories.brand(name="AAA first by name"), factories.brand()]
            catalog.update_brand(brand_id=brands[0].pk, name="ZZZ", now=NOW + timedelta(days=1))
    assert seen == [brand.pk for brand in brands]


QUERIES = [
    ("limit=0", "limit"),
    ("limit=1001", "limit"),
    ("limit=-1", "limit"),
    ("limit=ten", "limit"),
    ("limit=", "limit"),
    ("limit=1.0", "limit"),
    ("limit=" + "9" * 39, "limit"),
    ("cursor=", "cursor"),
    ("cursor=x", "cursor"),
    ("cursor=%00", "cursor"),
    ("cursor=" + "A" * 300, "cursor"),
    ("cursor=WyJjYW1wYWlnbnMiLDFd", "cursor"),  # of campaigns
    ("cursor=WyJicmFuZHMiXQ", "cursor"),  # without a place
    ("cursor=WyJicmFuZHMiLDEsMl0", "cursor"),  # with two
    ("cursor=WyJicmFuZHMiLCIxIl0", "cursor"),  # a text as a place
    ("cursor=WyJicmFuZHMiLDkyMjMzNzIwMzY4NTQ3NzU4MDhd", "cursor"),  # past 64 bits
    ("cursor=bnVsbA", "cursor"),
    ("archived=1", "archived"),
    ("archived=", "archived"),
    ("archived=null", "archived"),
    ("external_id=", "external_id"),
    ("external_id=a%00", "external_id"),
    ("external_id=" + "x" * 129, "external_id"),
    ("archvied=true", "archvied"),
]


@pytest.mark.parametrize(("query", "parameter"), QUERIES, ids=[row[0][:40] for row in QUERIES])
def test_a_wrong_parameter_is_pointed_at(asker: Asker, query: str, parameter: str) -> None:
    problem = asker.problem("GET", f"/brands?{query}")
    assert (problem["type"], pointers(problem)) == ("invalid-fields", [parameter])


def test_a_list_takes_a_constant_number_of_queries(asker: Asker) -> None:
    counts = []
    for _ in range(2):
        for _ in range(5):
            factories.brand()
        asker.get("/brands")  # the key's use is noted
        with CaptureQueriesContext(connection) as captured:
            asker.get("/brands")
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 2


@pytest.mark.parametrize("path", ["/brands/0", f"/brands/{2**63}", f"/brands/{2**80}", "/brands/" + "9" * 5000])
def test_a_brand_that_there_is_not(asker: Asker, path: str) -> None:
    asker.problem("GET", path, status=404)
    asker.problem("PATCH", path, {"name": "x"}, status=404)


@pytest.mark.parametrize("path", ["/brands/-1", "/brands/one", "/brands/1.0", "/brands/1/"])
def test_what_is_no_id_is_no_address(asker: Asker, path: str) -> None:
    asker.problem("GET", path, status=404)
