"""Reports over HTTP, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext

from campaigns.gateways.sheets import write_csv
from campaigns.models import Brand, Scope
from tests import factories
from tests.api.asking import BASE, Asker, pointers
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db

JUNE = "from=2025-06-01&to=2025-06-30"


@pytest.fixture
def asker() -> Asker:
    return Asker(Scope.READ)


def cells(answer: HttpResponse) -> list[list[str]]:
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(answer.content.decode(), newline="")))


@pytest.fixture
def brand() -> Brand:
    """A brand of two campaigns that have spent on two days."""
    brand = factories.brand(name="Acme", timezone="Europe/Berlin", currency="EUR")
    one = factories.campaign(brand, name="One", external_id="1")
    two = factories.campaign(brand, name="Two")
    spend(one, "1.25")
    spend(two, 10)
    spend(two, "-12.5", note="too much", at=NOW - timedelta(days=1))
    return brand


def test_by_day(asker: Asker, brand: Brand) -> None:
    spend(factories.campaign(factories.brand(currency="CHF")), 3)
    assert asker.get(f"/reports/spend?group_by=day&{JUNE}") == {
        "group_by": "day",
        "items": [
            {"day": "2025-06-17", "currency": "EUR", "spent": "-12.50"},
            {"day": "2025-06-18", "currency": "CHF", "spent": "3.00"},
            {"day": "2025-06-18", "currency": "EUR", "spent": "11.25"},
        ],
        "next": None,
    }


def test_by_hour_of_the_brands_clock(asker: Asker, brand: Brand) -> None:
    rows = asker.get(f"/reports/spend?group_by=hour&{JUNE}&brand_id={brand.pk}")["items"]
    assert rows == [
        {"hour": "2025-06-17T14:00:00+02:00", "currency": "EUR", "spent": "-12.50"},
        {"hour": "2025-06-18T14:00:00+02:00", "currency": "EUR", "spent": "11.25"},
    ]


def test_by_campaign_and_by_brand(asker: Asker, brand: Brand) -> None:
    one, two = brand.campaigns.order_by("pk")
    shared = {"brand_id": brand.pk, "currency": "EUR"}
    assert asker.get(f"/reports/spend?group_by=campaign&{JUNE}")["items"] == [
        {"campaign_id": one.pk, "name": "One", "external_id": "1", "spent": "1.25", **shared},
        {"campaign_id": two.pk, "name": "Two", "external_id": None, "spent": "-2.50", **shared},
    ]
    assert asker.get(f"/reports/spend?group_by=brand&{JUNE}")["items"] == [
        {"brand_id": brand.pk, "name": "Acme", "external_id": None, "currency": "EUR", "spent": "-1.25"}
    ]
    alone = asker.get(f"/reports/spend?group_by=brand&{JUNE}&campaign_id={one.pk}")["items"]
    assert [row["spent"] for row in alone] == ["1.25"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_campaigns_come_page_by_page_over_ties(asker: Asker, size: int) -> None:
    brand = factories.brand()
    campaigns = [factories.campaign(brand) for _ in range(5)]
    for campaign in campaigns:
        spend(campaign, 5)
    spend(campaigns[3], 1)
    seen: list[int] = []
    for page in asker.pages(f"/reports/spend?group_by=campaign&{JUNE}", limit=size):
        if not seen:
            spend(factories.campaign(brand), 100)  # it comes first, and moves no page
        seen += [row["campaign_id"] for row in page]
    assert seen == [campaigns[at].pk for at in (3, 0, 1, 2, 4)]


WRONG = [
    ("group_by=week&from=2025-06-01&to=2025-06-02", ["group_by"]),
    ("from=2025-06-01&to=2025-06-02", ["group_by"]),
    ("group_by=day&to=2025-06-02", ["from"]),
    ("group_by=day&from=2025-06-31&to=today", ["from", "to"]),
    ("group_by=day&from=2025-06-01T00:00:00Z&to=2025-06-02", ["from"]),
    ("group_by=day&from=2025-06-02&to=2025-06-01", ["to"]),
    ("group_by=day&from=2024-01-01&to=2025-06-01", ["to"]),
    ("group_by=hour&from=2025-06-01&to=2025-06-02", ["group_by"]),
    ("group_by=day&from=0001-01-01&to=9999-12-31", ["to"]),
    (f"group_by=day&{JUNE}&limit=0", ["limit"]),
    (f"group_by=day&{JUNE}&limit=10001", ["limit"]),
    (f"group_by=day&{JUNE}&cursor=x", ["cursor"]),
    (f"group_by=brand&{JUNE}&cursor=WyJzcGVuZC1ieS1jYW1wYWlnbiIsMSwxXQ", ["cursor"]),
    (f"group_by=day&{JUNE}&brand_id=0", ["brand_id"]),
    (f"group_by=day&{JUNE}&campaign_id=x", ["campaign_id"]),
    (f"group_by=day&{JUNE}&format=xml", ["format"]),
    (f"group_by=day&{JUNE}&groupby=day", ["groupby"]),
]


@pytest.mark.parametrize(("query", "where"), WRONG, ids=[row[0][:60] for row in WRONG])
def test_a_wrong_question_is_answered_in_a_sentence(asker: Asker, query: str, where: list[str]) -> None:
    problem = asker.problem("GET", f"/reports/spend?{query}")
    assert (problem["type"], pointers(problem)) == ("invalid-fields", where)


def test_what_there_is_not_is_not_found(asker: Asker, brand: Brand) -> None:
    for query in ("brand_id=987654", "campaign_id=987654", f"brand_id={2**63 - 1}"):
        asker.problem("GET", f"/reports/spend?group_by=day&{JUNE}&{query}", status=404)
    other = factories.campaign()
    both = f"brand_id={brand.pk}&campaign_id={other.pk}"
    assert "only one of the two" in asker.problem("GET", f"/reports/spend?group_by=day&{JUNE}&{both}")["detail"]


def test_a_limited_key_sees_only_its_brands_spend(brand: Brand) -> None:
    spend(factories.campaign(), 99)
    limited = Asker(Scope.READ, brands=[brand])
    for group_by in ("day", "campaign", "brand"):
        rows = limited.get(f"/reports/spend?group_by={group_by}&{JUNE}")["items"]
        assert rows
        assert "99.00" not in {row["spent"] for row in rows}


# --- CSV -------------------------------------------------------------------------------------


@pytest.mark.parametrize("group_by", ["hour", "day", "campaign", "brand"])
def test_the_csv_says_the_same_as_the_json(asker: Asker, brand: Brand, group_by: str) -> None:
    path = f"/reports/spend?group_by={group_by}&{JUNE}&brand_id={brand.pk}"
    answer = asker.ask("GET", f"{path}&format=csv")
    header, *lines = cells(answer)
    expected = asker.get(path)["items"]
    assert [dict(zip(header, line, strict=True)) for line in lines] == [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in expected
    ]
    assert answer["Content-Disposition"] == f'attachment; filename="spend-by-{group_by}-2025-06-01-2025-06-30.csv"'
    assert "Link" not in answer


def test_no_rows_are_a_header(asker: Asker) -> None:
    answer = asker.ask("GET", f"/reports/spend?group_by=day&{JUNE}&format=csv")
    assert answer.content == b"day,currency,spent\r\n"


@pytest.mark.parametrize(
    ("accept", "query", "is_csv"),
    [
        ("text/csv", "", True),
        ("text/csv, application/json;q=0.5", "", True),
        ("application/json", "", False),
        ("*/*", "", False),
        ("", "", False),
        ("text/html", "", False),
        ("text/csv", "&format=json", False),
        ("application/json", "&format=csv", True),
    ],
)
def test_the_accept_header_chooses_unless_the_format_is_said(
    asker: Asker, accept: str, query: str, is_csv: bool
) -> None:
    answer = asker.ask("GET", f"/reports/spend?group_by=day&{JUNE}{query}", accept=accept)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/csv") is is_csv
    assert "Accept" in answer["Vary"]


def test_a_problem_is_a_problem_also_for_those_who_want_csv(asker: Asker) -> None:
    asker.problem("GET", "/reports/spend?group_by=day&format=csv")


def test_the_next_page_of_a_csv_is_linked(asker: Asker) -> None:
    brand = factories.brand()
    for at in range(3):
        spend(factories.campaign(brand, name=f"no. {at}"), 3 - at)
    path = f"/reports/spend?group_by=campaign&{JUNE}&limit=2"
    first = asker.ask("GET", path, accept="text/csv")
    address = first["Link"].removeprefix("<").removesuffix('>; rel="next"')
    following = urlsplit(address)
    second = asker.ask("GET", f"{following.path.removeprefix(BASE)}?{following.query}")
    assert [line[1] for line in cells(first)[1:] + cells(second)[1:]] == ["no. 0", "no. 1", "no. 2"]
    assert "Link" not in second


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1+1", "=cmd|' /C calc'!A0"])  # noqa: RUF001 - meant
def test_a_name_becomes_no_formula(asker: Asker, name: str) -> None:
    campaign = factories.campaign(name=name, external_id=name)
    spend(campaign, 1)
    _, line = cells(asker.ask("GET", f"/reports/spend?group_by=campaign&{JUNE}&format=csv"))
    assert line[1:3] == [f"'{name}", f"'{name}"]


def test_cells_keep_commas_quotes_and_other_scripts(asker: Asker) -> None:
    spend(factories.campaign(name='a,"b";日本 é'), 1)
    _, line = cells(asker.ask("GET", f"/reports/spend?group_by=campaign&{JUNE}&format=csv"))
    assert line[1] == 'a,"b";日本 é'


def test_an_amount_below_zero_stays_a_number() -> None:
    assert write_csv(["name", "spent"], [["-x", "-1.00"]], texts=frozenset({"name"})) == "name,spent\r\n'-x,-1.00\r\n"


def test_an_hour_that_comes_twice_is_two_rows(asker: Asker) -> None:
    campaign = factories.campaign(factories.brand(timezone="Europe/Berlin"), now=datetime(2025, 10, 1, tzinfo=UTC))
    for hour in (0, 1):
        at = datetime(2025, 10, 26, hour, 30, tzinfo=UTC)
        spend(campaign, 1, now=at, at=at)
    query = f"group_by=hour&from=2025-10-26&to=2025-10-26&campaign_id={campaign.pk}"
    hours = [row["hour"] for row in asker.get(f"/reports/spend?{query}")["items"]]
    assert hours == ["2025-10-26T02:00:00+02:00", "2025-10-26T02:00:00+01:00"]


@pytest.mark.parametrize("group_by", ["hour", "day", "campaign", "brand"])
def test_a_report_takes_a_constant_number_of_queries(asker: Asker, group_by: str) -> None:
    brand = factories.brand()
    counts = []
    for _ in range(2):
        for _ in range(3):
            spend(factories.campaign(brand), 1)
        path = f"/reports/spend?group_by={group_by}&{JUNE}&brand_id={brand.pk}"
        asker.get(path)
        with CaptureQueriesContext(connection) as captured:
            asker.get(path)
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 4 + (group_by == "hour")  # which months have left the ledger
