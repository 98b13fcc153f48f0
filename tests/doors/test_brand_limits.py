"""People who are limited to some brands: no address, list, search, choice or action reaches another brand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import time_machine
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, URLResolver, get_resolver, reverse

from campaigns.admin.base import BaseAdmin
from campaigns.models import (
    ApiKey,
    Brand,
    BrandCounter,
    Campaign,
    CampaignCounter,
    Edit,
    Hold,
    PeriodicRun,
    RollOver,
    SpendLog,
    StatusChange,
)
from campaigns.services import catalog, reset_daily_budgets, roles
from campaigns.services.enforcement import enforce_all
from campaigns.services.holds import HoldAsk, Refused, place_holds
from campaigns.services.keys import create_key
from campaigns.services.roles import Role
from tests import factories
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough one"
SECRETS = ("Zanzibar", "Quagmire", "zq-")
"""What is in every name, note and id of the other brand, and nowhere else."""

OF_BRANDS: list[type[models.Model]] = [
    Brand,
    Campaign,
    SpendLog,
    Hold,
    BrandCounter,
    CampaignCounter,
    StatusChange,
    RollOver,
]


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def acme() -> Campaign:
    """The campaign of the brand that the person sees."""
    return furnished("Acme", "Spring sale", "own-")


@pytest.fixture
def other() -> Campaign:
    """The campaign of the brand that the person does not see."""
    return furnished("Zanzibar", "Quagmire", "zq-")


def furnished(brand_name: str, name: str, prefix: str) -> Campaign:
    """Make a brand and a campaign with a row of everything that is recorded."""
    brand = factories.brand(
        name=brand_name, external_id=f"{prefix}brand", daily_budget="50", timezone="Europe/Paris", currency="EUR"
    )
    campaign = factories.campaign(brand, name=name, external_id=f"{prefix}campaign", daily_budget="500")
    asked = place_holds([HoldAsk(campaign.pk, f"{prefix}hold", "0.01")], now=NOW)[0]
    assert not isinstance(asked, Refused)
    catalog.pause(campaign_id=campaign.pk, now=NOW, note=f"{prefix}note")
    catalog.resume(campaign_id=campaign.pk, now=NOW, note=f"{prefix}note")
    catalog.update_campaign(campaign_id=campaign.pk, now=NOW, monthly_budget="9000")
    spend(campaign, 60, event_id=f"{prefix}event")
    reset_daily_budgets(now=NOW)
    enforce_all(now=NOW)
    return campaign


def limited(role: Role, brand: Brand) -> Client:
    """Return the client of a person with a role who sees one brand only."""
    person = roles.create_person(name=f"limited-{role}", role=role, password=PASSWORD, brand_ids=[brand.pk])
    client = Client()
    client.force_login(person)
    return client


def page(name: str, model: type[models.Model], *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def told(response: Any) -> str:
    """Return everything that an answer says: its body and where it leads."""
    body = b"".join(response) if response.streaming else response.content
    return unescape(body.decode("utf-8", "replace")) + str(dict(response.headers))


def assert_silent(response: Any, where: str) -> None:
    """See that an answer is no error of ours and says nothing of the other brand."""
    assert response.status_code < 500, where
    text = told(response)
    found = [secret for secret in SECRETS if secret in text and secret not in where]
    assert not found, (where, response.status_code, found)


def kept(brand_id: int) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of a brand."""
    models_: tuple[type[models.Model], ...] = (Campaign, Edit, StatusChange, SpendLog, Hold, CampaignCounter)
    rows = {model.__name__: model._default_manager.filter(brand=brand_id) for model in models_}
    rows["Brand"] = Brand.objects.filter(pk=brand_id)
    return {name: list(found.order_by("pk").values()) for name, found in rows.items()}


# --- Every page of the product says how it is limited ---------------------------------------------


def test_every_page_says_what_becomes_of_it_for_people_with_a_limit() -> None:
    for model, its_admin in admin.site._registry.items():
        assert isinstance(its_admin, BaseAdmin), f"{model.__name__}: stand it on BaseAdmin"
        own = [cls for cls in type(its_admin).__mro__ if cls is not BaseAdmin and "brand_path" in vars(cls)]
        assert own, f"{model.__name__}: declare brand_path on its admin"


def test_no_page_of_rows_with_a_brand_is_open_without_a_path() -> None:
    for model, its_admin in admin.site._registry.items():
        assert isinstance(its_admin, BaseAdmin)
        if any(field.related_model is Brand for field in model._meta.get_fields()):
            assert its_admin.brand_path != "", model.__name__


# --- Walking every address ------------------------------------------------------------------------


def patterns(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield the name of every address of the site under a resolver, and what it takes."""
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            space = f"{prefix}{one.namespace}:" if one.namespace else prefix
            yield from patterns(one, space)
        elif one.name:
            yield f"{prefix}{one.name}", list(one.pattern.converters)


def foreign_ids(other: Campaign, name: str) -> list[int]:
    """Return the ids of the other brand's rows that an address of this name may be about."""
    rows: dict[str, Any] = {
        model._meta.model_name or "": model._default_manager.filter(brand=other.brand_id)
        for model in (Campaign, SpendLog, Hold, BrandCounter, CampaignCounter, StatusChange, RollOver, Edit)
    }
    rows |= {"brand": Brand.objects.filter(pk=other.brand_id), "user": User.objects, "apikey": ApiKey.objects}
    about = [found for model, found in rows.items() if f"_{model}_" in name]
    return [pk for found in about for pk in found.order_by("pk").values_list("pk", flat=True)[:3]] or [
        other.brand_id,
        other.pk,
    ]


def addresses(other: Campaign) -> list[str]:
    """Return every address of the admin, filled in with what the person may not see."""
    found: list[str] = []
    for name, takes in patterns(get_resolver()):
        if not name.startswith(("admin:", "admin_")):
            continue
        for values in itertools.product(*(foreign_ids(other, name) for _ in takes)):
            try:
                found.append(reverse(name, kwargs=dict(zip(takes, values, strict=True))))
            except NoReverseMatch:
                continue  # such as an app label that there is not
    assert len(found) > 80
    # Logging out would end the walk.
    return [url for url in dict.fromkeys(found) if not url.endswith("/logout/")]


@pytest.mark.parametrize("role", Role)
def test_no_address_shows_or_changes_another_brand(acme: Campaign, other: Campaign, role: Role) -> None:
    client = limited(role, acme.brand)
    create_key(name="Zanzibar key", scopes=[1], brand_ids=[other.brand_id], now=NOW)  # type: ignore[list-item]  # as good as a Scope
    before = kept(other.brand_id)
    given = {"_form_submitted": "on", "post": "yes", "note": "x", "name": "Taken over", "brand": other.brand_id}
    for url in addresses(other):
        for query in ("", f"?_popup=1&_to_field=name&brand={other.brand_id}"):
            assert_silent(client.get(url + query), f"GET {url}{query}")
        assert_silent(client.post(url, given), f"POST {url}")
        assert_silent(client.get(url, headers={"HX-Request": "true"}), f"htmx {url}")
    assert kept(other.brand_id) == before
    assert (ApiKey.objects.count(), User.objects.count()) == (1, 1)


def test_the_walk_would_see_a_page_that_shows_too_much(acme: Campaign, other: Campaign) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))
    loud = [url for url in addresses(other) if any(secret in told(client.get(url)) for secret in SECRETS)]
    for model in OF_BRANDS:
        assert any(url.startswith(page("changelist", model)) for url in loud), model


# --- Lists, filters, searches -----------------------------------------------------------------------


@pytest.mark.parametrize("model", OF_BRANDS)
def test_lists_hold_ones_own_rows_and_nothing_else(acme: Campaign, other: Campaign, model: type[models.Model]) -> None:
    client = limited(Role.VIEWER, acme.brand)
    response = client.get(page("changelist", model))
    assert_silent(response, model.__name__)
    rows = response.context["cl"].result_list
    assert rows
    assert {row.pk if model is Brand else row.brand_id for row in rows} == {acme.brand_id}


@pytest.mark.parametrize("model", OF_BRANDS)
def test_no_parameter_widens_a_list(acme: Campaign, other: Campaign, model: type[models.Model]) -> None:
    client = limited(Role.VIEWER, acme.brand)
    for parameter in (
        f"brand__id__exact={other.brand_id}",
        f"campaign__brand__id__exact={other.brand_id}",
        f"campaign__id__exact={other.pk}",
        f"id__exact={other.brand_id}",
        "brand__name__startswith=Zanz",
        "archived=all",
        "q=Zanzibar",
        "q=zq-event",
        "all=",
        "_popup=1",
        "_to_field=name",
    ):
        response = client.get(f"{page('changelist', model)}?{parameter}", follow=True)
        assert_silent(response, f"{model.__name__}?{parameter}")


def test_the_name_of_what_is_filtered_by_is_not_told(acme: Campaign, other: Campaign) -> None:
    client = limited(Role.VIEWER, acme.brand)
    for query in (f"brand__id__exact={other.brand_id}", f"campaign__id__exact={other.pk}"):
        assert_silent(client.get(f"{page('changelist', SpendLog)}?{query}"), query)
    shown = told(client.get(f"{page('changelist', SpendLog)}?campaign__id__exact={acme.pk}"))
    assert "Acme · Spring sale" in shown


@pytest.mark.parametrize("address", ["autocomplete", "campaigns_campaign_choices"])
@pytest.mark.parametrize(
    ("model", "field"),
    [("campaign", "brand"), ("spendlog", "campaign"), ("spendlog", "brand"), ("apikey", "brands")],
)
@pytest.mark.parametrize("term", ["", "Zan", "Quag", "zq-"])
def test_choices_offer_ones_own_only(
    acme: Campaign, other: Campaign, address: str, model: str, field: str, term: str
) -> None:
    if address == "campaigns_campaign_choices" and field != "campaign":
        return
    client = limited(Role.OPERATOR, acme.brand)
    query = {"app_label": "campaigns", "model_name": model, "field_name": field, "term": term}
    response = client.get(reverse(f"admin:{address}"), query)
    assert_silent(response, f"{address} {query}")
    assert len(response.json()["results"]) == (0 if term else 1)


def test_people_can_not_be_searched(acme: Campaign) -> None:
    client = limited(Role.ADMINISTRATOR, acme.brand)
    query = {"app_label": "campaigns", "model_name": "apikey", "field_name": "created_by", "term": ""}
    assert client.get(reverse("admin:autocomplete"), query).status_code == 403


# --- Forms and actions --------------------------------------------------------------------------------


def test_a_campaign_is_added_to_ones_own_brand_only(acme: Campaign, other: Campaign) -> None:
    client = limited(Role.ADMINISTRATOR, acme.brand)
    given = {"name": "New", "hours": "always", "pacing": "asap"}
    response = client.post(page("add", Campaign), {**given, "brand": other.brand_id})
    assert_silent(response, "add")
    assert "brand" in response.context["adminform"].form.errors
    assert Campaign.objects.count() == 2
    client.post(page("add", Campaign), {**given, "brand": acme.brand_id})
    assert Campaign.objects.get(name="New").brand_id == acme.brand_id


def test_actions_leave_forged_rows_alone(acme: Campaign, other: Campaign) -> None:
    client = limited(Role.ADMINISTRATOR, acme.brand)
    before = kept(other.brand_id)
    for model, pk in ((Campaign, other.pk), (Brand, other.brand_id)):
        for action in {*(admin.site.get_model_admin(model).actions or ()), "delete_selected"}:
            data = {"action": action, "_selected_action": [pk], "confirmed": "yes", "post": "yes", "note": "x"}
            for across in ("0", "1"):
                response = client.post(page("changelist", model), {**data, "select_across": across}, follow=True)
                assert_silent(response, f"{action} {model.__name__} {across}")
    assert kept(other.brand_id) == before


def test_a_person_with_a_limit_adds_no_brand_and_is_told_why(acme: Campaign) -> None:
    client = limited(Role.ADMINISTRATOR, acme.brand)
    response = client.get(page("add", Brand), follow=True)
    assert "ask an administrator who sees all brands" in told(response)
    client.post(page("add", Brand), {"name": "New", "timezone": "UTC", "currency": "EUR", "budget_scope": "brand"})
    assert Brand.objects.count() == 1
    assert page("add", Brand) not in told(client.get(page("changelist", Brand)))


def test_a_limited_administrator_still_names_and_archives_their_own(acme: Campaign) -> None:
    client = limited(Role.ADMINISTRATOR, acme.brand)
    form = client.get(page("change", Brand, acme.brand_id)).context["adminform"].form
    assert {"name", "timezone", "currency"} <= set(form.fields)
    client.post(page("archive", Campaign, acme.pk), {"_form_submitted": "on"})
    acme.refresh_from_db()
    assert acme.archived_at is not None


def test_nobody_with_a_limit_gets_at_accounts_or_keys(acme: Campaign) -> None:
    client = limited(Role.ADMINISTRATOR, acme.brand)
    own = User.objects.get()
    for url in (
        reverse("admin:auth_user_changelist"),
        reverse("admin:auth_user_add"),
        reverse("admin:auth_user_change", args=[own.pk]),
        reverse("admin:auth_user_password_change", args=[own.pk]),
        reverse("admin:auth_group_changelist"),
        reverse("admin:auth_group_add"),
        page("changelist", ApiKey),
        page("add", ApiKey),
    ):
        response = client.post(url, {"sees": "all", "username": "x", "name": "x"})
        assert response.status_code in {302, 403, 404}, url
        assert client.get(url).status_code in {302, 403, 404}, url
    sidebar = told(client.get(page("changelist", Brand)))
    assert reverse("admin:auth_user_changelist") not in sidebar
    assert page("changelist", ApiKey) not in sidebar
    assert page("changelist", PeriodicRun) in sidebar
    assert (User.objects.count(), ApiKey.objects.count()) == (1, 0)


def test_who_sees_no_brand_sees_no_row(acme: Campaign, other: Campaign) -> None:
    client = limited(Role.VIEWER, acme.brand)
    roles.set_limit(user_id=User.objects.get().pk, brand_ids=[])
    for model in OF_BRANDS:
        response = client.get(page("changelist", model))
        assert (response.status_code, len(response.context["cl"].result_list)) == (200, 0)
    assert "Acme" not in told(client.get(reverse("admin:index")))


def test_a_superuser_has_no_limit(acme: Campaign, other: Campaign) -> None:
    anna = User.objects.create_superuser("anna")
    roles.set_limit(user_id=anna.pk, brand_ids=[acme.brand_id])
    client = Client()
    client.force_login(anna)
    assert len(client.get(page("changelist", Brand)).context["cl"].result_list) == 2


def test_a_limit_holds_from_the_next_request_on(acme: Campaign, other: Campaign) -> None:
    client = limited(Role.VIEWER, other.brand)
    person = User.objects.get()
    assert "Zanzibar" in told(client.get(page("changelist", Brand)))
    roles.set_limit(user_id=person.pk, brand_ids=[acme.brand_id])
    assert_silent(client.get(page("changelist", Brand)), "after")


@pytest.mark.parametrize("model", OF_BRANDS)
def test_a_limit_costs_the_same_few_queries_for_any_number_of_brands(
    acme: Campaign, other: Campaign, model: type[models.Model]
) -> None:
    client = limited(Role.VIEWER, acme.brand)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page("changelist", model)).status_code == 200
        return len(queries)

    one = cost()
    ids = [acme.brand_id, other.brand_id, *(factories.brand().pk for _ in range(20))]
    roles.set_limit(user_id=User.objects.get().pk, brand_ids=ids)
    assert cost() == one
