"""The first page and the pages of brands and campaigns: what they say, that they refresh, and what they cost."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.models import Brand, Campaign
from campaigns.services import catalog, hours
from campaigns.services.enforcement import enforce_all
from campaigns.services.status import Actor
from tests import factories
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def acme() -> Brand:
    return factories.brand(name="Acme", timezone="Europe/Paris", currency="EUR", daily_budget="100", monthly_budget=900)


@pytest.fixture
def sale(acme: Brand) -> Campaign:
    return factories.campaign(acme, name="Spring sale", now=NOW - timedelta(days=40))


def url(row: Brand | Campaign) -> str:
    return reverse(f"admin:campaigns_{row._meta.model_name}_overview", args=[row.pk])


def text(client: Client, address: str) -> str:
    """What a person reads on a page: its text, without what is for programs."""
    answer = client.get(address)
    assert answer.status_code == 200, answer
    return words_of(answer.content.decode())


def words_of(body: str) -> str:
    plain = re.sub(r"<(script|style|title)\b.*?</\1>", " ", body.rsplit('id="main"', maxsplit=1)[-1], flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", plain))).replace(" .", ".")


class TestCampaign:
    def test_an_active_one_says_what_it_spent(self, client: Client, sale: Campaign) -> None:
        spend(sale, "12.34")
        spend(sale, "5", at=NOW - timedelta(days=1), now=NOW - timedelta(days=1))
        shown = text(client, url(sale))
        assert "active May spend" in shown
        assert "Spent today 12.34 EUR Yesterday 5.00 EUR This month 17.34 EUR In all 17.34 EUR" in shown
        assert "Brand, all campaigns, today 12.34 EUR 100.00 EUR 87.66 EUR 12%" in shown
        assert "Brand, all campaigns, this month 17.34 EUR 900.00 EUR 882.66 EUR 1%" in shown

    def test_a_paused_one_names_every_reason_and_when_it_resumes(self, client: Client, sale: Campaign) -> None:
        catalog.set_window(campaign_id=sale.pk, start_hour=20, end_hour=23, now=NOW)
        spend(sale, 130)
        shown = text(client, url(sale))
        assert "Paused since 14:00: daily budget of the brand spent, outside its hours." in shown
        assert "Resumes 19 Jun 2025, 20:00 Europe/Paris." in shown
        assert "30.00 EUR over" in shown
        assert "20:00–23:00" in shown

    def test_since_when_it_is_paused_whatever_came_in_between(self, client: Client, sale: Campaign, anna: User) -> None:
        catalog.pause(campaign_id=sale.pk, now=NOW - timedelta(hours=4), by=Actor(user_id=anna.pk))
        spend(sale, 130, now=NOW - timedelta(hours=1))
        assert "Paused since 10:00: paused by a person, daily budget of the brand spent." in text(client, url(sale))
        catalog.resume(campaign_id=sale.pk, now=NOW, by=Actor(user_id=anna.pk))
        shown = text(client, url(sale))
        assert "Paused since 10:00: daily budget of the brand spent." in shown
        assert "Pause lifted 14:00 by anna; still paused: daily budget of Acme spent; resumes at midnight" in shown

    def test_a_persons_pause_is_told_with_name_and_note(self, client: Client, sale: Campaign, anna: User) -> None:
        catalog.pause(campaign_id=sale.pk, now=NOW, by=Actor(user_id=anna.pk), note="wrong creative")
        shown = text(client, url(sale))
        assert "Stays paused until a person resumes it." in shown
        assert "anna" in shown
        assert "wrong creative" in shown

    def test_edits_are_told_with_who_and_from_and_to(self, client: Client, sale: Campaign, anna: User) -> None:
        catalog.update_campaign(campaign_id=sale.pk, daily_budget="50", now=NOW, by=Actor(user_id=anna.pk))
        catalog.update_campaign(campaign_id=sale.pk, daily_budget="60.5", now=NOW, by=Actor(user_id=anna.pk))
        shown = text(client, url(sale))
        assert "Daily budget: 50.00 EUR → 60.50 EUR" in shown
        assert "anna changed" in shown

    def test_its_own_budget_is_drawn(self, client: Client, sale: Campaign) -> None:
        catalog.update_campaign(campaign_id=sale.pk, daily_budget="40", now=NOW)
        spend(sale, 10)
        shown = text(client, url(sale))
        assert "Spent today: 10.00 EUR of 40.00 EUR." in shown
        assert "Daily budget 40.00 EUR" in shown

    def test_an_archived_one_stays_to_be_seen(self, client: Client, sale: Campaign) -> None:
        spend(sale, 10)
        catalog.archive_campaign(campaign_id=sale.pk, now=NOW)
        shown = text(client, url(sale))
        assert "Archived. It does not spend; its ledger and journal stay." in shown
        assert "Spent today 10.00 EUR" in shown
        assert "Change hours" not in shown

    def test_one_without_any_budget_says_so(self, client: Client) -> None:
        assert "No budget binds it" in text(client, url(factories.campaign()))

    def test_what_is_held_is_shown_where_something_is(self, client: Client, sale: Campaign) -> None:
        assert "Held" not in text(client, url(sale))
        from tests.services.holding import place

        place(sale, 4)
        assert "Brand, all campaigns, today 0.00 EUR 4.00 EUR 100.00 EUR 96.00 EUR 0%" in text(client, url(sale))

    def test_names_are_text_and_no_markup(self, client: Client, acme: Brand) -> None:
        evil = factories.campaign(acme, name="<script>alert(1)</script>")
        catalog.pause(campaign_id=evil.pk, now=NOW, note="<b>note</b>")
        for address in (url(evil), url(acme), reverse("admin:index")):
            body = client.get(address).content.decode()
            assert "<script>alert" not in body
            assert "<b>note" not in body

    def test_lists_lead_to_it_and_its_form_stands_beside_it(self, client: Client, sale: Campaign) -> None:
        shown = client.get(reverse("admin:campaigns_campaign_changelist")).content.decode()
        assert f'href="{url(sale)}"' in shown
        form = client.get(reverse("admin:campaigns_campaign_change", args=[sale.pk])).content.decode()
        assert f'href="{url(sale)}"' in form

    def test_one_that_there_is_not_leads_away(self, client: Client) -> None:
        answer = client.get(reverse("admin:campaigns_campaign_overview", args=[999]))
        assert answer.status_code == 302


class TestBrand:
    def test_it_says_what_is_spent_and_which_campaigns_spend_it(self, client: Client, acme: Brand) -> None:
        one, two = (factories.campaign(acme, name=name) for name in ("One", "Two"))
        spend(one, 75)
        spend(two, 30)
        shown = text(client, url(acme))
        assert "Daily budget is spent: 0 of 2 campaigns may spend now." in shown
        assert "The next budget day begins 19 Jun 2025, 00:00 Europe/Paris." in shown
        assert "Today 105.00 EUR 100.00 EUR 5.00 EUR over" in shown
        assert re.search(r"One daily budget of the brand spent .* 75.00 EUR 71.4% 75.00 EUR", shown)
        assert shown.index("One") < shown.index("Two")

    def test_budgets_that_bind_each_campaign_alone_are_told_apart(self, client: Client) -> None:
        brand = factories.brand(daily_budget=10, budget_scope="campaign", currency="USD")
        spend(factories.campaign(brand), 12)
        shown = text(client, url(brand))
        assert "Its budgets bind each campaign alone: 10.00 USD a day, no limit a month." in shown
        assert "0 of 1 campaign may spend now." in shown

    def test_what_archived_campaigns_spent_is_not_lost(self, client: Client, acme: Brand, sale: Campaign) -> None:
        spend(factories.campaign(acme), 40)
        spend(sale, 20)
        catalog.archive_campaign(campaign_id=sale.pk, now=NOW)
        assert "Archived campaigns 20.00 EUR" in text(client, url(acme))

    def test_who_may_see_brands_only_sees_no_campaigns(self, acme: Brand, sale: Campaign) -> None:
        catalog.pause(campaign_id=sale.pk, now=NOW, note="a secret note")
        vera = User.objects.create_user("vera", is_staff=True)
        vera.user_permissions.add(Permission.objects.get(codename="view_brand"))
        client = Client()
        client.force_login(vera)
        shown = text(client, url(acme))
        assert "Acme" in shown
        assert "Spring sale" not in shown
        assert "a secret note" not in shown

    def test_one_without_campaigns_says_what_to_do(self, client: Client, acme: Brand) -> None:
        assert "No campaigns yet. Add one" in text(client, url(acme))

    def test_an_archived_one_stays_to_be_seen(self, client: Client, sale: Campaign, acme: Brand) -> None:
        spend(sale, 10)
        catalog.archive_brand(brand_id=acme.pk, now=NOW)
        assert "Archived. Its campaigns do not spend" in text(client, url(acme))


class TestDashboard:
    def test_the_brand_that_is_out_of_budget_comes_first(self, client: Client, sale: Campaign) -> None:
        spend(factories.campaign(factories.brand(name="Aardvark", daily_budget=50)), 10)
        spend(sale, 120)
        shown = text(client, reverse("admin:index"))
        assert shown.index("Acme") < shown.index("Aardvark")
        assert "Acme Overspent" in shown.replace("overspent", "Overspent")
        assert "120.00 of 100.00 EUR" in shown
        assert "1 of 2 campaigns may spend now" in shown
        assert "Daily budget of the brand spent 1" in shown

    def test_an_empty_one_says_what_to_do(self, client: Client) -> None:
        shown = text(client, reverse("admin:index"))
        assert "No brands yet" in shown
        assert "Add a brand" in shown

    def test_a_person_without_a_role_is_told_whom_to_ask(self) -> None:
        factories.brand(name="Acme")
        client = Client()
        client.force_login(User.objects.create_user("new", is_staff=True))
        shown = text(client, reverse("admin:index"))
        assert "Ask an administrator" in shown
        assert "Acme" not in shown

    def test_hours_of_the_currency_that_is_asked_for(self, client: Client, sale: Campaign) -> None:
        spend(sale, 7)
        spend(factories.campaign(factories.brand(currency="JPY")), 500)
        hours.sum_hours(now=NOW)
        shown = text(client, f"{reverse('admin:index')}?currency=JPY")
        assert "Spend by hour today, JPY" in shown
        assert "12:00 500 JPY" in shown
        assert "days before" not in shown  # there are none yet
        assert "Spend by hour today, EUR" in text(client, f"{reverse('admin:index')}?currency=EUR")


class TestRefreshing:
    @pytest.fixture
    def address(self, acme: Brand, sale: Campaign, request: pytest.FixtureRequest) -> str:
        return {"brand": url(acme), "campaign": url(sale), "dashboard": reverse("admin:index")}[request.param]

    @pytest.mark.parametrize("address", ["brand", "campaign", "dashboard"], indirect=True)
    def test_a_page_gets_its_part_again_only_when_it_has_changed(
        self, client: Client, sale: Campaign, address: str
    ) -> None:
        asks = poll_of(client.get(address).content.decode())
        assert is_left_alone(client.get(asks, headers=HTMX))
        spend(sale, 120)
        answer = client.get(asks, headers=HTMX)
        assert answer.status_code == 200
        assert answer.content.decode().lstrip().startswith('<div id="live"')
        assert "120.00" in words_of(answer.content.decode())
        assert is_left_alone(client.get(poll_of(answer.content.decode()), headers=HTMX))

    @pytest.mark.parametrize("address", ["brand", "campaign", "dashboard"], indirect=True)
    def test_who_was_logged_out_is_led_to_the_login_and_gets_no_login_in_the_page(
        self, client: Client, address: str
    ) -> None:
        asks = poll_of(client.get(address).content.decode())
        client.logout()
        answer = client.get(asks, headers={**HTMX, "HX-Current-URL": f"http://testserver{address}"})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["HX-Redirect"] == f"{reverse('admin:login')}?next={address}"

    def test_a_made_up_digest_is_no_trouble(self, client: Client, sale: Campaign) -> None:
        for digest in ("", "x", '"><script>', "0" * 5_000):
            answer = client.get(url(sale), {"live": digest}, headers=HTMX)
            assert answer.status_code == 200
            assert "<script>" not in answer.content.decode()

    def test_other_parameters_stay(self, client: Client, sale: Campaign) -> None:
        spend(sale, 1)
        asks = poll_of(client.get(f"{reverse('admin:index')}?currency=EUR").content.decode())
        assert "currency=EUR" in asks

    def test_the_health_strip_is_told_anew_each_time_and_takes_nothing_else_along(self, client: Client) -> None:
        factories.campaign()
        enforce_all(now=NOW)
        asks = poll_of(client.get(reverse("admin:index")).content.decode())
        with time_machine.travel(NOW + timedelta(seconds=20), tick=False):
            answer = client.get(asks, headers=HTMX)
        assert is_left_alone(answer)
        assert 'hx-swap-oob="true"' in answer.content.decode()
        assert "20 s ago" in answer.content.decode()

    def test_who_is_logged_out_over_a_form_keeps_the_form(self, client: Client, acme: Brand) -> None:
        address = reverse("admin:campaigns_brand_effect", args=[acme.pk])
        client.logout()
        answer = client.post(address, {"name": "Other"}, headers=HTMX)
        assert answer.status_code == 401
        assert answer.content.decode() == "You have been logged out. Log in in another tab, then go on here."


def is_left_alone(answer: Any) -> bool:
    """Whether a page that asked for its part is told to leave it as it is."""
    return bool(answer.status_code == 204 or answer.headers.get("HX-Reswap") == "none")


def poll_of(body: str) -> str:
    found = re.search(r'hx-get="([^"]*live=[^"]*)"', body)
    assert found, body[:500]
    return unescape(found[1])


def test_the_cost_does_not_grow_with_what_there_is(client: Client, acme: Brand, sale: Campaign) -> None:
    spend(sale, 101)
    factories.campaign(acme, name="Another")

    def counts() -> list[int]:
        found = []
        for address in (reverse("admin:index"), url(acme), url(sale)):
            client.get(address)
            with CaptureQueriesContext(
                connection,
            ) as queries:
                client.get(address)
            found.append(len(queries))
        return found

    few = counts()
    for number in range(8):
        brand = factories.brand(name=f"B{number}", daily_budget=1)
        for at in range(3):
            spend(factories.campaign(brand, name=f"C{at}"), 1)
        spend(factories.campaign(acme, name=f"D{number}"), 20)
    enforce_all(now=NOW)
    assert max(more - less for more, less in zip(counts(), few, strict=True)) == 0
    assert max(few) <= 40


def test_a_viewer_sees_but_is_offered_nothing_to_do(acme: Brand, sale: Campaign) -> None:
    viewer = User.objects.create_user("vera", is_staff=True)
    viewer.groups.add(Group.objects.get(name="Viewer"))
    client = Client()
    client.force_login(viewer)
    shown = client.get(url(sale)).content.decode()
    assert "Change hours" not in shown
    assert "/pause/" not in shown
    assert "Settings (read only)" in shown


def test_the_day_is_that_of_the_brand(client: Client) -> None:
    """At noon in London it is tomorrow on Kiritimati: the page is of the brand's day."""
    brand = factories.brand(timezone="Pacific/Kiritimati", currency="AUD", daily_budget=10)
    campaign = factories.campaign(brand)
    spend(campaign, 3, at=datetime(2025, 6, 18, 9, tzinfo=UTC), now=NOW)
    shown = text(client, url(campaign))
    assert "Spent today 0.00 AUD Yesterday 3.00 AUD" in shown
    assert "19 Jun 2025, Pacific/Kiritimati" in shown
