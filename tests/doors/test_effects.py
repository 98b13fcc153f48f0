"""What saving would do, told before; and a brand's budgets edited where they are shown."""

import re
from decimal import Decimal
from functools import partial
from html import unescape
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, BrandLimit, Campaign, Edit
from campaigns.services import bulk, catalog
from tests import factories
from tests.doors.test_admin import messages, page, save, shown_form
from tests.factories import NOW, spend
from tests.services.races import holding
from tests.services.reading import why

pytestmark = pytest.mark.django_db

SCRIPT = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def acme() -> Brand:
    return factories.brand(name="Acme", timezone="Europe/Paris", currency="EUR", daily_budget="100")


@pytest.fixture
def sale(acme: Brand) -> Campaign:
    return factories.campaign(acme, name="Spring sale")


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def person(*permissions: str) -> Client:
    user = User.objects.create_user("ben", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return logged_in(user)


def said(response: Any) -> list[str]:
    """The lines of an answer as text, without what only the eye sees."""
    assert response.status_code == 200
    lines = re.findall(r'<p class="bm-effect-line[^>]*>(.*?)</p>', response.content.decode(), re.DOTALL)
    return [" ".join(unescape(re.sub(r"<span[^>]*aria-hidden.*?</span>|<[^>]+>", " ", one)).split()) for one in lines]


def effect(client: Client, row: Brand | Campaign, **changes: Any) -> list[str]:
    """Open the settings of a row, change some fields, and ask what saving would do."""
    fields = shown_form(client, page("change", type(row), row.pk), type(row))
    before = everything()
    response = client.post(page("effect", type(row), row.pk), {**fields, **changes}, headers=SCRIPT)
    assert everything() == before, "asking has changed something"
    return said(response)


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of ours, and what the admin logs."""
    tables: list[type[Any]] = [*apps.get_app_config("campaigns").get_models(), LogEntry]
    return {table._meta.label: sorted(table._default_manager.values_list(), key=repr) for table in tables}


# --- The effect is told, and is what saving does ---------------------------------------------------------


def test_a_lower_budget_would_pause_and_a_higher_one_resume(client: Client, acme: Brand, sale: Campaign) -> None:
    spend(sale, 60)
    assert effect(client, acme, daily_budget="50") == ["If saved: Pauses Spring sale: daily budget of the brand spent."]
    assert "Paused Spring sale: daily budget of the brand spent." in messages(save(client, acme, daily_budget="50"))
    assert effect(client, acme, daily_budget="60.01") == ["If saved: Resumes Spring sale."]
    assert "Resumed Spring sale." in messages(save(client, acme, daily_budget="60.01"))


def test_a_change_without_effect_says_so_and_none_says_nothing(client: Client, acme: Brand, sale: Campaign) -> None:
    assert effect(client, acme, daily_budget="200") == ["If saved: No campaign would be paused or resumed."]
    assert effect(client, acme) == []


def test_many_campaigns_are_counted_and_the_first_five_named(client: Client, acme: Brand) -> None:
    for number in range(7):
        factories.campaign(acme, name=f"Sale {number}")
    (line,) = effect(client, acme, daily_budget="0")
    assert line == (
        "If saved: Pauses 7 campaigns (Sale 0, Sale 1, Sale 2, Sale 3, Sale 4 and 2 more): "
        "daily budget of the brand spent."
    )


def test_a_paused_campaign_with_other_reasons_than_before_is_told(client: Client, acme: Brand, sale: Campaign) -> None:
    catalog.pause(campaign_id=sale.pk, now=NOW)
    assert effect(client, acme, daily_budget="0") == [
        "If saved: 1 campaign stays paused, for other reasons than before."
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"daily_budget": "60"},
            "Pauses it: daily budget of the campaign spent; resumes 19 Jun 2025, 00:00 Europe/Paris.",
        ),
        (
            {"hours": "window", "start_hour": "22", "end_hour": "6"},
            "Pauses it: outside its hours; resumes 18 Jun 2025, 22:00 Europe/Paris.",
        ),
        ({"flight_start": "2025-07-01"}, "Pauses it: flight not started; resumes 1 Jul 2025, 00:00 Europe/Paris."),
        ({"daily_budget": "61"}, "It stays active."),
    ],
)
def test_a_campaign_is_told_with_when_it_resumes(
    client: Client, sale: Campaign, given: dict[str, str], told: str
) -> None:
    spend(sale, 60)
    assert effect(client, sale, **given) == [f"If saved: {told}"]
    save(client, sale, **given)
    assert bool(why(sale)) == told.startswith("Pauses")
    assert effect(client, sale) == []


def test_a_paused_campaign_resumes_or_stays_paused(client: Client, sale: Campaign) -> None:
    catalog.set_window(campaign_id=sale.pk, start_hour=22, end_hour=6, now=NOW)
    assert effect(client, sale, hours="always") == ["If saved: Resumes it."]
    (line,) = effect(client, sale, daily_budget="0")
    assert line == (
        "If saved: It stays paused: daily budget of the campaign spent, outside its hours; does not resume by itself."
    )


def test_what_is_wrong_is_said_at_its_field(client: Client, acme: Brand, sale: Campaign) -> None:
    (line,) = effect(client, acme, daily_budget="-1")
    assert line.startswith("Daily budget: A budget can't be negative")
    (line,) = effect(client, sale, hours="grid", grid="0" * 168)
    assert line.startswith("Hours of the week: A grid needs at least one open hour")
    spend(sale, 1)
    assert effect(client, acme, currency="USD") == [
        "Acme has spend in EUR, so its currency stays; make a new brand instead."
    ]


def test_names_are_text_and_no_markup(client: Client, acme: Brand) -> None:
    factories.campaign(acme, name="<b>Sale</b>")
    fields = shown_form(client, page("change", Brand, acme.pk), Brand)
    response = client.post(page("effect", Brand, acme.pk), {**fields, "daily_budget": "0"})
    assert b"&lt;b&gt;Sale&lt;/b&gt;" in response.content


def test_a_brand_too_large_to_try_out_is_not_tried(
    client: Client, acme: Brand, sale: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.campaign(acme)
    monkeypatch.setattr(bulk, "MAX_CAMPAIGNS", 1)
    assert effect(client, acme, daily_budget="0") == [
        "Up to 2 campaigns may be paused or resumed, too many to try out beforehand."
    ]


def test_it_takes_as_many_queries_for_many_campaigns(client: Client, acme: Brand, sale: Campaign) -> None:
    def queries() -> int:
        fields = {**shown_form(client, page("change", Brand, acme.pk), Brand), "daily_budget": "0"}
        with CaptureQueriesContext(
            connection,
        ) as captured:
            client.post(page("effect", Brand, acme.pk), fields)
        return len(captured)

    few = queries()
    for _ in range(5):
        factories.campaign(acme)
    assert queries() == few


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_brand_that_somebody_changes_is_busy(client: Client, acme: Brand, sale: Campaign) -> None:
    with holding(partial(catalog.update_brand, brand_id=acme.pk, now=NOW, daily_budget="70")):
        fields = {**shown_form(client, page("change", Brand, acme.pk), Brand), "daily_budget": "0"}
        (line,) = said(client.post(page("effect", Brand, acme.pk), fields))
    assert line == "Busy: somebody is changing the same things right now. Try again in a moment."


# --- Who may ask -----------------------------------------------------------------------------------------


def test_only_who_may_change_may_ask_and_only_of_what_they_see(acme: Brand, sale: Campaign) -> None:
    viewer = person("view_brand", "view_campaign")
    for row in (acme, sale):
        assert viewer.post(page("effect", type(row), row.pk), {}).status_code == 403
    assert viewer.post(page("budgets", Brand, acme.pk), {"daily_budget": "1"}).status_code == 403
    assert viewer.post(page("budgets_effect", Brand, acme.pk), {"daily_budget": "1"}).status_code == 403
    assert viewer.get(page("budgets", Brand, acme.pk) + "?edit=1", headers=SCRIPT).status_code == 403
    nobody = Client().post(page("effect", Brand, acme.pk), {})
    assert (nobody.status_code, nobody.url) == (302, f"/admin/login/?next={page('effect', Brand, acme.pk)}")  # type: ignore[attr-defined]  # of a redirect
    assert Edit.objects.filter(verb=Edit.Verb.CHANGED).count() == 0


def test_a_person_with_a_limit_asks_only_of_their_brands(acme: Brand, sale: Campaign) -> None:
    other = factories.brand(name="Umbrella")
    ben = person("view_brand", "view_campaign", "change_brand", "change_campaign")
    BrandLimit.objects.create(user=User.objects.get(username="ben")).brands.set([other])
    for url in (
        page("effect", Brand, acme.pk),
        page("effect", Campaign, sale.pk),
        page("budgets", Brand, acme.pk),
        page("budgets_effect", Brand, acme.pk),
    ):
        assert ben.post(url, {"daily_budget": "1"}).status_code == 404
    assert ben.get(page("budgets", Brand, acme.pk), headers=SCRIPT).status_code == 404
    assert said(ben.post(page("budgets_effect", Brand, other.pk), {"daily_budget": "1"}, headers=SCRIPT))


def test_asking_takes_a_post_with_the_token_of_the_session(acme: Brand) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("anna"))
    assert strict.get(page("effect", Brand, acme.pk)).status_code == 405
    for name in ("effect", "budgets", "budgets_effect"):
        assert strict.post(page(name, Brand, acme.pk), {"daily_budget": "1"}).status_code == 403


def test_an_archived_brand_stays_as_it_is(client: Client, acme: Brand) -> None:
    catalog.archive_brand(brand_id=acme.pk, now=NOW)
    assert client.post(page("budgets", Brand, acme.pk), {"daily_budget": "1"}).status_code == 403
    assert "Edit budgets" not in client.get(page("budgets", Brand, acme.pk), headers=SCRIPT).content.decode()


# --- Budgets in place ------------------------------------------------------------------------------------


def budgets(client: Client, brand: Brand, **given: Any) -> Any:
    """Open the budgets of a brand, change them, and save as the script does."""
    fields = shown_budgets(client, brand)
    return client.post(page("budgets", Brand, brand.pk), {**fields, **given}, headers=SCRIPT)


def shown_budgets(client: Client, brand: Brand) -> dict[str, str]:
    """The fields of the form as a browser would post them."""
    body = client.get(page("budgets", Brand, brand.pk) + "?edit=1", headers=SCRIPT).content.decode()
    inputs = re.findall(r"<input[^>]*>", body)
    found = {re.search(r'name="([^"]+)"', one): re.search(r'value="([^"]*)"', one) for one in inputs}
    return {name[1]: value[1] if value else "" for name, value in found.items() if name}


def test_budgets_are_shown_edited_tried_and_saved_in_place(client: Client, acme: Brand, sale: Campaign) -> None:
    spend(sale, 60)
    shown = client.get(page("budgets", Brand, acme.pk), headers=SCRIPT).content.decode()
    assert "100.00 EUR" in shown
    assert "Spent today: 60.00 EUR" in shown
    fields = {**shown_budgets(client, acme), "daily_budget": "50"}
    tried = client.post(page("budgets_effect", Brand, acme.pk), fields, headers=SCRIPT)
    assert said(tried) == ["If saved: Pauses Spring sale: daily budget of the brand spent."]
    assert why(sale) == []
    saved = client.post(page("budgets", Brand, acme.pk), fields, headers=SCRIPT)
    assert said(saved) == ["Paused Spring sale: daily budget of the brand spent."]
    assert saved.headers["HX-Trigger-After-Swap"] == "bm-changed"
    assert "50.00 EUR" in saved.content.decode()
    assert why(sale) == ["brand_daily_budget"]
    assert Edit.objects.latest("pk").changes == {"daily_budget": ["100.00", "50.00"]}
    assert LogEntry.objects.get().get_change_message() == "Changed Daily budget."


def test_budgets_that_cant_be_are_refused_in_the_form(client: Client, acme: Brand) -> None:
    response = budgets(client, acme, daily_budget="-1")
    assert "A budget can&#x27;t be negative" in response.content.decode()
    assert "HX-Trigger-After-Swap" not in response.headers
    acme.refresh_from_db()
    assert acme.daily_budget == Decimal(100)


def test_untouched_budgets_change_nothing(client: Client, acme: Brand) -> None:
    before = everything()
    assert said(budgets(client, acme)) == ["Nothing was changed."]
    assert everything() == before


def test_a_budget_that_somebody_else_has_changed_is_not_put_back(client: Client, acme: Brand) -> None:
    fields = shown_budgets(client, acme)
    catalog.update_brand(brand_id=acme.pk, now=NOW, daily_budget="500")
    client.post(page("budgets", Brand, acme.pk), {**fields, "monthly_budget": "9000"}, headers=SCRIPT)
    acme.refresh_from_db()
    assert (acme.daily_budget, acme.monthly_budget) == (Decimal(500), Decimal(9000))


def test_without_scripts_it_is_a_page_with_a_form(client: Client, acme: Brand, sale: Campaign) -> None:
    spend(sale, 60)
    url = page("budgets", Brand, acme.pk)
    body = client.get(url).content.decode()
    assert "<html" in body
    assert 'name="daily_budget"' in body
    response = client.post(url, {**shown_budgets(client, acme), "daily_budget": "50"}, follow=True)
    assert messages(response) == ["Paused Spring sale: daily budget of the brand spent."]
    assert response.redirect_chain[0][0] == page("overview", Brand, acme.pk)


def test_who_may_only_look_sees_budgets_and_no_button(acme: Brand) -> None:
    body = person("view_brand").get(page("budgets", Brand, acme.pk), headers=SCRIPT).content.decode()
    assert "100.00 EUR" in body
    assert "Edit budgets" not in body
