"""The lists of brands and campaigns: ordered by figures as a set, filtered, and the share of budget in words."""

import random
from collections.abc import Iterator
from decimal import Decimal
from html import unescape
from itertools import pairwise
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.models import Brand, BrandLimit, Campaign
from campaigns.queries import listing
from campaigns.queries.listing import Rank, largest_brand_share, largest_share
from campaigns.services import catalog
from tests import factories
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def show(client: Client, model: type[models.Model], query: str = "") -> Any:
    response = client.get(reverse(f"admin:campaigns_{model._meta.model_name}_changelist") + f"?{query}")
    assert response.status_code == 200
    return response


def names(client: Client, model: type[models.Model], query: str = "") -> list[str]:
    return [row.name for row in show(client, model, query).context["cl"].result_list]


def column(client: Client, model: type[models.Model], name: str) -> int:
    """The number of a column, as the address of an order names it."""
    return list(show(client, model).context["cl"].list_display).index(name)


def ordered(
    client: Client, model: type[models.Model], by: str, *, descending: bool = False, more: str = ""
) -> list[str]:
    return names(client, model, f"o={'-' if descending else ''}{column(client, model, by)}{more}")


@pytest.fixture
def five() -> None:
    """Campaigns in two zones and currencies, named after what is special about them."""
    acme = factories.brand(name="Acme", timezone="UTC", currency="EUR", daily_budget=100)
    bolt = factories.brand(name="Bolt", timezone="Asia/Tokyo", currency="JPY")
    core = factories.brand(name="Core", monthly_budget=10, budget_scope="campaign")
    over, idle = factories.campaign(acme, name="over", total_budget=40), factories.campaign(acme, name="idle")
    month = factories.campaign(bolt, name="month", monthly_budget=1000)
    free, alone = factories.campaign(bolt, name="free"), factories.campaign(core, name="alone")
    spend(over, 60)
    spend(month, 10)
    spend(month, 900, at=NOW.replace(day=2))
    spend(free, 20)
    spend(alone, 5)
    assert idle.name == "idle"


@pytest.mark.parametrize(
    ("by", "ascending"),
    [
        ("spent_today", ["idle", "alone", "month", "free", "over"]),
        ("spent_this_month", ["idle", "alone", "free", "over", "month"]),
        # 50% of the brand's month alone, 60% of the brand's day, 91% of its month, 150% of its total; free has none
        ("share", ["alone", "idle", "month", "over", "free"]),
    ],
)
def test_campaigns_are_ordered_by_what_they_spent_and_by_their_share(
    client: Client, five: None, by: str, ascending: list[str]
) -> None:
    assert ordered(client, Campaign, by) == ascending
    last = ["free"] if by == "share" else []  # without a budget: last either way
    assert ordered(client, Campaign, by, descending=True) == [n for n in reversed(ascending) if n not in last] + last


@pytest.mark.parametrize(
    ("by", "ascending"),
    [
        ("spent_today", ["Core", "Bolt", "Acme"]),
        ("spent_this_month", ["Core", "Acme", "Bolt"]),
        ("share", ["Acme", "Bolt", "Core"]),
    ],
)
def test_brands_are_ordered_likewise(client: Client, five: None, by: str, ascending: list[str]) -> None:
    assert ordered(client, Brand, by) == ascending


def test_the_share_says_of_which_budget(client: Client, five: None) -> None:
    body = " ".join(unescape(show(client, Campaign).content.decode()).split())
    for share in ('150% <span class="bm-subtle">of its total', '60% <span class="bm-subtle">of the brand\'s day'):
        assert share in body
    assert '91% <span class="bm-subtle">of its own month' in body
    assert '50% <span class="bm-subtle">of the brand\'s month' in body
    assert '60% <span class="bm-subtle">of day' in unescape(show(client, Brand).content.decode())


def test_an_order_by_figures_goes_on_over_the_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    brand = factories.brand()
    for number in range(7):
        spend(factories.campaign(brand, name=f"c{number}"), 10 + number)
    monkeypatch.setattr("campaigns.admin.campaigns.CampaignAdmin.list_per_page", 3)
    pages = [ordered(client, Campaign, "spent_today", descending=True, more=f"&p={page}") for page in (1, 2, 3)]
    assert pages == [["c6", "c5", "c4"], ["c3", "c2", "c1"], ["c0"]]


def test_equals_are_ordered_by_id(client: Client) -> None:
    made = [factories.campaign(name=f"c{number}").name for number in range(5)]
    assert ordered(client, Campaign, "spent_today") == made == ordered(client, Campaign, "share", descending=True)


def test_an_order_by_figures_keeps_filters_search_and_the_archive(client: Client, five: None) -> None:
    catalog.archive_campaign(campaign_id=Campaign.objects.get(name="over").pk, now=NOW)
    assert ordered(client, Campaign, "spent_today", descending=True) == ["free", "month", "alone", "idle"]
    assert ordered(client, Campaign, "spent_today", descending=True, more="&archived=all")[-1] == "over"
    assert ordered(client, Campaign, "spent_today", more="&currency=JPY") == ["month", "free"]
    assert ordered(client, Campaign, "spent_today", more="&q=bolt") == ["month", "free"]
    assert ordered(client, Campaign, "share", more="&q=nobody") == []


def test_campaigns_and_brands_are_found_by_currency(client: Client, five: None) -> None:
    assert names(client, Campaign, "currency=JPY") == ["free", "month"]
    assert names(client, Brand, "currency=EUR") == ["Acme"]
    assert names(client, Brand, "currency=XXX") == []


def test_whoever_sees_some_brands_orders_only_theirs_and_sees_only_their_currencies(five: None) -> None:
    staff = User.objects.create_user("carl", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=["view_campaign", "view_brand"]))
    limit = BrandLimit.objects.create(user=staff)
    limit.brands.set(Brand.objects.filter(name="Bolt"))
    carl = Client()
    carl.force_login(staff)
    assert ordered(carl, Campaign, "share") == ["month", "free"]
    assert ordered(carl, Brand, "share") == ["Bolt"]
    assert "currency=EUR" not in show(carl, Campaign).content.decode()
    limit.brands.clear()
    assert ordered(carl, Campaign, "share") == ordered(carl, Brand, "spent_today") == []


@pytest.mark.parametrize("query", ["o=99", "o=-99", "o=x", "o=5.6.7", "o=7.-7", "o=-7&p=9", "o=7&p=x"])
def test_an_odd_order_is_no_error(client: Client, five: None, query: str) -> None:
    url = reverse("admin:campaigns_campaign_changelist") + f"?{query}"
    assert client.get(url).status_code in (200, 302)


def test_sorting_takes_the_same_queries_for_3_rows_and_for_30(client: Client) -> None:
    def cost(model: type[models.Model], by: str) -> int:
        address = f"o=-{column(client, model, by)}"
        with CaptureQueriesContext(connection) as queries:
            show(client, model, address)
        return len(queries)

    def costs() -> list[int]:
        return [cost(model, by) for model in (Brand, Campaign) for by in ("spent_today", "spent_this_month", "share")]

    for _ in range(3):
        spend(factories.campaign(factories.brand(daily_budget=3)), 1)
    few = costs()
    for _ in range(27):
        spend(factories.campaign(factories.brand(daily_budget=3)), 1)
    assert costs() == few
    assert max(few) <= 12


def test_the_order_in_sql_is_the_share_that_is_shown() -> None:
    """Figures at random, also some that take whole numbers to their bounds."""
    dice = random.Random(4)
    amounts = ["0", "0.000001", "0.01", "1", "3", "9999999.99", "1000000000", "1000000000000", None]

    def budgets(*names: str) -> dict[str, Any]:
        return {name: dice.choice(amounts) for name in names}

    for _ in range(12):
        brand = factories.brand(
            budget_scope=dice.choice(["brand", "campaign"]), **budgets("daily_budget", "monthly_budget")
        )
        for _ in range(3):
            campaign = factories.campaign(brand, **budgets("daily_budget", "monthly_budget", "total_budget"))
            for _ in range(dice.randint(0, 2)):
                spend(campaign, dice.choice(["0.000001", "0.01", "7", "1000000000"]))
    standings = listing.campaign_standings(list(Campaign.objects.values_list("pk", flat=True)), now=NOW)
    shares = {pk: largest_share(standing) for pk, standing in standings.items()}
    found = listing.ranked_campaigns(Campaign.objects.all(), Rank.SHARE, descending=True, now=NOW)
    assert_falling([shares[pk] for pk in found])
    brands = {brand.pk: brand for brand in Brand.objects.all()}
    figures = listing.brand_figures(list(brands.values()), now=NOW)
    ids = listing.ranked_brands(Brand.objects.all(), Rank.SHARE, descending=True, now=NOW)
    assert_falling([largest_brand_share(brands[pk], figures[pk]) for pk in ids])


def assert_falling(shares: list[listing.Share | None]) -> None:
    """Fail unless shares fall, as far as millionths tell them apart, and those without a budget come last."""
    parts = [None if share is None else part(share) for share in shares]
    with_budget = [part for part in parts if part is not None]
    assert parts == with_budget + [None] * (len(parts) - len(with_budget))
    assert len(set(with_budget)) > 4
    for one, other in pairwise(with_budget):
        assert one >= other * (1 - Decimal("0.000001")) - Decimal("0.000001") or one > 10**9


def part(share: listing.Share) -> Decimal:
    budget = share.limit.budget
    return Decimal(max(share.limit.spent, 0)) / budget if budget else Decimal(1)
