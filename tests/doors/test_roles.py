"""What each role may do at the doors of the admin, and that nobody makes anybody mightier than themselves."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission, User
from django.db import models
from django.test import Client
from django.urls import reverse

from campaigns.models import (
    ApiKey,
    Brand,
    BrandCounter,
    Campaign,
    CampaignCounter,
    Hold,
    PeriodicRun,
    RollOver,
    SpendLog,
    StatusChange,
)
from campaigns.queries import people
from campaigns.services import catalog, roles
from campaigns.services.roles import Role
from tests import factories
from tests.factories import NOW
from tests.services.reading import why

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough one"
NOBODY, ROOT = "nobody", "root"
WHO = [NOBODY, Role.VIEWER, Role.OPERATOR, Role.ADMINISTRATOR, ROOT]
SHOWN: list[type[models.Model]] = [
    Brand,
    Campaign,
    SpendLog,
    Hold,
    BrandCounter,
    CampaignCounter,
    StatusChange,
    RollOver,
    PeriodicRun,
]
ACCOUNTS: list[type[models.Model]] = [User, Group, ApiKey]


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def sale() -> Campaign:
    return factories.campaign(factories.brand(name="Acme", daily_budget="100"), name="Spring sale")


def person(who: str) -> User:
    if who == ROOT:
        return User.objects.create_superuser(f"a-{who}")
    if who == NOBODY:
        return User.objects.create_user(f"a-{who}", is_staff=True)
    return roles.create_person(name=f"a-{who}", role=Role(who), password=PASSWORD)


def logged_in(who: str) -> Client:
    client = Client()
    client.force_login(person(who))
    return client


def page(name: str, model: type[models.Model], *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def text(response: Any) -> str:
    return unescape(str(response.content, "utf-8"))


def from_rank(who: str, least: str) -> bool:
    return WHO.index(who) >= WHO.index(least)


# --- Each role at each door ---------------------------------------------------------------------


@pytest.mark.parametrize("who", WHO)
def test_the_first_page_works_for_everybody_and_leads_where_one_may_go(who: str, sale: Campaign) -> None:
    client = logged_in(who)
    response = client.get(reverse("admin:index"))
    assert response.status_code == 200
    for model in (*SHOWN, *ACCOUNTS):
        may = from_rank(who, Role.ADMINISTRATOR if model in ACCOUNTS else Role.VIEWER)
        assert (page("changelist", model) in text(response)) is may, model
        assert client.get(page("changelist", model)).status_code == (200 if may else 403), model
    assert ("Acme" in text(response)) is from_rank(who, Role.VIEWER)
    assert ("Your account has no role yet." in text(response)) is (who == NOBODY)


@pytest.mark.parametrize("who", WHO)
def test_who_may_open_what(who: str, sale: Campaign) -> None:
    client = logged_in(who)
    doors = {
        page("change", Brand, sale.brand_id): Role.VIEWER,
        page("change", Campaign, sale.pk): Role.VIEWER,
        page("history", Campaign, sale.pk): Role.VIEWER,
        page("pause", Campaign, sale.pk): Role.OPERATOR,
        page("archive", Campaign, sale.pk): Role.ADMINISTRATOR,
        page("archive", Brand, sale.brand_id): Role.ADMINISTRATOR,
        page("add", Brand): Role.ADMINISTRATOR,
        page("add", Campaign): Role.ADMINISTRATOR,
        page("delete", Campaign, sale.pk): Role.ADMINISTRATOR,
        page("add", User): Role.ADMINISTRATOR,
        page("add", Group): Role.ADMINISTRATOR,
        page("add", ApiKey): Role.ADMINISTRATOR,
    }
    for url, least in doors.items():
        assert client.get(url, follow=True).status_code == (200 if from_rank(who, least) else 403), url


@pytest.mark.parametrize("who", WHO)
def test_who_may_pause_and_resume(who: str, sale: Campaign) -> None:
    client = logged_in(who)
    client.post(page("pause", Campaign, sale.pk), {"_form_submitted": "on"})
    assert (why(sale) == ["manual"]) is from_rank(who, Role.OPERATOR)
    catalog.pause(campaign_id=sale.pk, now=NOW)
    client.post(page("resume", Campaign, sale.pk), {"_form_submitted": "on"})
    assert (why(sale) == []) is from_rank(who, Role.OPERATOR)


@pytest.mark.parametrize("who", WHO)
def test_who_may_set_budgets_and_who_may_name(who: str, sale: Campaign) -> None:
    client = logged_in(who)
    given = {
        "name": "Zoom",
        "external_id": "z",
        "timezone": "Asia/Tokyo",
        "currency": "JPY",
        "daily_budget": "70",
        "monthly_budget": "",
        "budget_scope": "campaign",
        "pacing": "asap",
    }
    client.post(page("change", Brand, sale.brand_id), given)
    brand = Brand.objects.get()
    assert (brand.daily_budget == 70) is from_rank(who, Role.OPERATOR)
    named = (brand.name, brand.external_id, brand.timezone.key, brand.currency, brand.budget_scope)
    may_name = from_rank(who, Role.ADMINISTRATOR)
    given_names, kept = ("Zoom", "z", "Asia/Tokyo", "JPY", "campaign"), ("Acme", None, "UTC", "USD", "brand")
    assert named == (given_names if may_name else kept)
    changes = {"name": "Autumn sale", "external_id": "a", "total_budget": "9", "hours": "always", "pacing": "asap"}
    client.post(page("change", Campaign, sale.pk), changes)
    sale.refresh_from_db()
    assert (sale.total_budget == 9) is from_rank(who, Role.OPERATOR)
    assert (sale.name, sale.external_id) == (("Autumn sale", "a") if may_name else ("Spring sale", None))


@pytest.mark.parametrize("who", WHO)
def test_who_may_archive_delete_and_add(who: str, sale: Campaign) -> None:
    client, may = logged_in(who), from_rank(who, Role.ADMINISTRATOR)
    other = factories.campaign(sale.brand)
    client.post(page("archive", Campaign, sale.pk), {"_form_submitted": "on"})
    sale.refresh_from_db()
    assert (sale.archived_at is not None) is may
    listed = {"action": "archive_selected", "_selected_action": [other.pk], "confirmed": "yes"}
    client.post(page("changelist", Campaign), listed)
    other.refresh_from_db()
    assert (other.archived_at is not None) is may
    client.post(page("delete", Campaign, other.pk), {"post": "yes"})
    assert Campaign.objects.filter(pk=other.pk).exists() is not may
    client.post(page("add", Campaign), {"name": "New", "brand": sale.brand_id, "hours": "always", "pacing": "asap"})
    assert Campaign.objects.filter(name="New").exists() is may
    named = {"name": "B", "timezone": "UTC", "currency": "EUR", "budget_scope": "brand", "pacing": "asap"}
    client.post(page("add", Brand), named)
    assert Brand.objects.filter(name="B").exists() is may


# --- Making a person ----------------------------------------------------------------------------------


def new_person(client: Client, **more: Any) -> Any:
    role = Group.objects.get(name=Role.VIEWER)
    given = {"username": "vera", "password1": PASSWORD, "password2": PASSWORD, "groups": [role.pk], "sees": "all"}
    return client.post(page("add", User), {**given, **more}, follow=True)


@pytest.mark.parametrize("who", [Role.ADMINISTRATOR, ROOT])
def test_a_person_is_made_on_one_page_and_may_log_in_at_once(who: str, sale: Campaign) -> None:
    response = new_person(logged_in(who), sees="some", brands=[sale.brand_id])
    assert response.redirect_chain[-1][0] == page("changelist", User)
    vera = User.objects.get(username="vera")
    assert (vera.is_staff, vera.is_superuser) == (True, False)
    assert people.visible_brands(vera.pk) == [sale.brand_id]
    client = Client()
    answer = client.post(reverse("admin:login"), {"username": "vera", "password": PASSWORD}, follow=True)
    assert "Acme" in text(answer)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"groups": []}, "groups"),
        ({"sees": "some"}, "brands"),
        ({"sees": "some", "brands": [99]}, "brands"),
        ({"password2": "another long one"}, "password2"),
        ({"password1": "", "password2": ""}, "password1"),
    ],
)
def test_what_is_missing_of_a_person_is_told_at_its_field(given: dict[str, Any], field: str) -> None:
    response = new_person(logged_in(Role.ADMINISTRATOR), **given)
    assert field in response.context["adminform"].form.errors
    assert not User.objects.filter(username="vera").exists()


def change(client: Client, of: User, **more: Any) -> Any:
    given = {"username": of.username, "is_active": "on", "groups": [group.pk for group in of.groups.all()]}
    seen = people.visible_brands(of.pk)
    given |= {"sees": "all" if seen is None else "some", "brands": seen or []}
    return client.post(page("change", User, of.pk), {**given, **more})


def test_role_and_brands_of_a_person_are_changed(sale: Campaign) -> None:
    vera, client = person(Role.VIEWER), logged_in(Role.ADMINISTRATOR)
    operator = Group.objects.get(name=Role.OPERATOR)
    change(client, vera, groups=[operator.pk], sees="some", brands=[sale.brand_id])
    assert (vera.groups.get(), people.visible_brands(vera.pk)) == (operator, [sale.brand_id])
    shown = text(client.get(page("changelist", User)))
    assert "Operator" in shown
    assert "Acme" in shown
    change(client, vera, sees="all", brands=[])
    assert people.visible_brands(vera.pk) is None


def test_a_limit_that_became_empty_stays_so_when_something_else_is_changed(sale: Campaign) -> None:
    vera, client = person(Role.VIEWER), logged_in(Role.ADMINISTRATOR)
    roles.set_limit(user_id=vera.pk, brand_ids=[])
    change(client, vera, first_name="Vera")
    vera.refresh_from_db()
    assert (vera.first_name, people.visible_brands(vera.pk)) == ("Vera", [])


def test_who_gets_a_role_may_log_in() -> None:
    plain = User.objects.create_user("plain")
    change(logged_in(Role.ADMINISTRATOR), plain, groups=[Group.objects.get(name=Role.VIEWER).pk])
    plain.refresh_from_db()
    assert plain.is_staff


def test_a_saved_page_keeps_what_it_does_not_ask(sale: Campaign) -> None:
    single = person(Role.VIEWER)
    single.user_permissions.add(Permission.objects.get(codename="change_brand"))
    change(logged_in(Role.ADMINISTRATOR), single, first_name="Sina")
    assert single.user_permissions.get().codename == "change_brand"


# --- No escalation --------------------------------------------------------------------------------------


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("the-root", password=PASSWORD)


def test_an_administrator_can_not_touch_a_superuser(root: User) -> None:
    client = logged_in(Role.ADMINISTRATOR)
    assert client.get(page("change", User, root.pk)).status_code == 200  # to look at
    assert change(client, root, first_name="x", is_active="").status_code == 403
    assert client.get(page("password_change", User, root.pk)).status_code == 403
    new = {"password1": "quite another one", "password2": "quite another one", "usable_password": "true"}
    assert client.post(page("password_change", User, root.pk), new).status_code == 403
    assert client.post(page("delete", User, root.pk), {"post": "yes"}).status_code == 403
    listed = {"action": "delete_selected", "_selected_action": [root.pk], "post": "yes"}
    client.post(page("changelist", User), listed)
    root.refresh_from_db()
    assert (root.is_active, root.first_name, root.check_password(PASSWORD)) == (True, "", True)


def test_an_administrator_can_not_make_a_superuser() -> None:
    client = logged_in(Role.ADMINISTRATOR)
    own = User.objects.get()
    more = Permission.objects.get(codename="delete_session")
    forged = {"is_superuser": "on", "is_staff": "on", "user_permissions": [more.pk]}
    new_person(client, **forged)
    for one in (User.objects.get(username="vera"), own):
        change(client, one, **forged)
        one.refresh_from_db()
        assert (one.is_superuser, one.user_permissions.count()) == (False, 0)
    body = text(client.get(page("change", User, own.pk)))
    assert 'name="is_superuser"' not in body
    assert 'name="user_permissions"' not in body


def test_a_superuser_may_make_another(root: User) -> None:
    client = Client()
    client.force_login(root)
    vera = person(Role.VIEWER)
    change(client, vera, is_superuser="on", user_permissions=[Permission.objects.get(codename="add_brand").pk])
    vera.refresh_from_db()
    assert (vera.is_superuser, vera.user_permissions.count()) == (True, 1)


def test_nobody_gives_a_group_or_a_permission_that_they_lack() -> None:
    client = logged_in(Role.ADMINISTRATOR)
    vera, more = person(Role.VIEWER), Permission.objects.get(codename="delete_session")
    strong = Group.objects.create(name="Janitors")
    strong.permissions.add(more)
    assert "groups" in change(client, vera, groups=[strong.pk]).context["adminform"].form.errors
    assert vera.groups.get().name == Role.VIEWER
    response = client.post(page("add", Group), {"name": "Mine", "permissions": [more.pk]})
    assert "permissions" in response.context["adminform"].form.errors
    assert client.post(page("change", Group, strong.pk), {"name": "Mine", "permissions": []}).status_code == 403
    assert client.post(page("delete", Group, strong.pk), {"post": "yes"}).status_code == 403
    vera.groups.add(strong)
    assert client.get(page("password_change", User, vera.pk)).status_code == 403
    given = Permission.objects.get(codename="view_brand")
    client.post(page("add", Group), {"name": "Mine", "permissions": [given.pk]})
    assert Group.objects.get(name="Mine").permissions.get() == given


@pytest.mark.parametrize("who", [Role.ADMINISTRATOR, ROOT])
def test_the_three_roles_stay_as_they_are(who: str) -> None:
    client, role = logged_in(who), Group.objects.get(name=Role.VIEWER)
    assert "sees brands, campaigns, spend, alerts and journals" in text(client.get(page("changelist", Group)))
    assert client.get(page("change", Group, role.pk)).status_code == 200
    assert client.post(page("change", Group, role.pk), {"name": "x", "permissions": []}).status_code == 403
    assert client.post(page("delete", Group, role.pk), {"post": "yes"}).status_code == 403
    listed = {"action": "delete_selected", "_selected_action": [role.pk], "post": "yes"}
    client.post(page("changelist", Group), listed)
    assert Group.objects.get(pk=role.pk).permissions.count() == len(roles.PERMISSIONS[Role.VIEWER])


def test_the_dashboards_figures_take_a_role(sale: Campaign) -> None:
    assert "Acme" in text(logged_in(Role.VIEWER).get(reverse("admin_live")))
    assert "Acme" not in text(logged_in(NOBODY).get(reverse("admin_live")))
