"""The three roles as groups, people with a role, and the brands they see."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import BrandLimit
from campaigns.queries import people
from campaigns.rules.errors import BudgetError
from campaigns.services import roles
from campaigns.services.roles import PERMISSIONS, Role
from tests import factories
from tests.doors.running import run

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough one"


def granted(role: Role) -> set[str]:
    rows = Permission.objects.filter(group__name=role).values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in rows}


# --- The groups ----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_a_migrated_database_has_the_roles_with_exactly_their_permissions(role: Role) -> None:
    assert granted(role) == PERMISSIONS[role]


def test_each_role_may_do_what_the_one_before_may() -> None:
    assert PERMISSIONS[Role.VIEWER] < PERMISSIONS[Role.OPERATOR] < PERMISSIONS[Role.ADMINISTRATOR]
    assert {name.split(".")[1].split("_")[0] for name in PERMISSIONS[Role.VIEWER]} == {"view"}


@pytest.mark.django_db(transaction=True)
def test_a_flush_and_a_migrate_bring_the_roles_back() -> None:
    viewer = Group.objects.get(name=Role.VIEWER)
    viewer.permissions.add(Permission.objects.get(codename="delete_brand"))
    viewer.permissions.remove(Permission.objects.get(codename="view_brand"))
    Group.objects.get(name=Role.OPERATOR).delete()
    call_command("migrate", verbosity=0)
    assert {role: granted(role) for role in Role} == PERMISSIONS
    Group.objects.all().delete()
    call_command("flush", verbosity=0, interactive=False)
    assert {role: granted(role) for role in Role} == PERMISSIONS


def test_a_group_of_ones_own_is_left_alone() -> None:
    own = Group.objects.create(name="Auditors")
    own.permissions.add(Permission.objects.get(codename="view_brand"))
    roles.ensure_roles()
    assert own.permissions.get().codename == "view_brand"
    assert Group.objects.count() == 4


def test_who_has_a_role_keeps_it_and_a_second_run_writes_nothing() -> None:
    person = roles.create_person(name="otto", role=Role.OPERATOR, password=PASSWORD)
    with CaptureQueriesContext(connection) as queries:
        roles.ensure_roles()
    assert person.groups.get().name == Role.OPERATOR
    assert not [query for query in queries if query["sql"].startswith("DELETE")]
    assert len(queries) <= 8


# --- People --------------------------------------------------------------------------------------


def test_a_person_has_the_role_and_may_log_in() -> None:
    roles.create_person(name="vera", role=Role.VIEWER, password=PASSWORD, email="Vera@EXAMPLE.com")
    vera = User.objects.get(username="vera")
    assert (vera.is_staff, vera.is_superuser, vera.email) == (True, False, "Vera@example.com")
    assert vera.check_password(PASSWORD)
    assert vera.get_all_permissions() == PERMISSIONS[Role.VIEWER]
    assert people.visible_brands(vera.pk) is None


@pytest.mark.parametrize(
    ("name", "email", "says"),
    [
        ("vera", "", "already exists"),
        ("", "", "Username: This field cannot be blank"),
        ("two words", "", "Enter a valid username"),
        ("new", "nowhere", "Email: Enter a valid email address"),
    ],
)
def test_who_can_not_be_is_refused_and_not_made(name: str, email: str, says: str) -> None:
    roles.create_person(name="vera", role=Role.VIEWER, password=PASSWORD)
    with pytest.raises(BudgetError, match=says):
        roles.create_person(name=name, role=Role.VIEWER, password=PASSWORD, email=email)
    assert User.objects.count() == 1


def test_a_brand_that_there_is_not_makes_no_person() -> None:
    with pytest.raises(BudgetError, match=r"There is no brand 99\."):
        roles.create_person(name="vera", role=Role.VIEWER, password=PASSWORD, brand_ids=[99])
    assert not User.objects.exists()


def test_a_limit_is_set_changed_emptied_and_lifted() -> None:
    first, second = factories.brand(), factories.brand()
    vera = roles.create_person(name="vera", role=Role.VIEWER, password=PASSWORD, brand_ids=[second.pk, first.pk])
    assert people.visible_brands(vera.pk) == [first.pk, second.pk]
    roles.set_limit(user_id=vera.pk, brand_ids=[second.pk])
    assert people.visible_brands(vera.pk) == [second.pk]
    roles.set_limit(user_id=vera.pk, brand_ids=[])
    assert people.visible_brands(vera.pk) == []
    roles.set_limit(user_id=vera.pk, brand_ids=None)
    assert people.visible_brands(vera.pk) is None
    assert not BrandLimit.objects.exists()


def test_whose_last_brand_is_deleted_sees_none_and_not_all() -> None:
    brand = factories.brand()
    vera = roles.create_person(name="vera", role=Role.VIEWER, password=PASSWORD, brand_ids=[brand.pk])
    brand.delete()
    assert people.visible_brands(vera.pk) == []


def test_a_limit_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "MAX_BRANDS", 1)
    vera = roles.create_person(name="vera", role=Role.VIEWER, password=PASSWORD)
    with pytest.raises(BudgetError, match="at most 1 brands"):
        roles.set_limit(user_id=vera.pk, brand_ids=[factories.brand().pk, factories.brand().pk])
    assert people.visible_brands(vera.pk) is None


def test_what_a_person_sees_takes_one_query() -> None:
    brand = factories.brand()
    vera = roles.create_person(name="vera", role=Role.VIEWER, password=PASSWORD, brand_ids=[brand.pk])
    with CaptureQueriesContext(connection) as queries:
        people.visible_brands(vera.pk)
    assert len(queries) == 1


def test_the_names_of_peoples_brands_take_one_query_and_are_cut() -> None:
    names = ["Alpha", "Beta", "Gamma"]
    ids = [factories.brand(name=name).pk for name in names]
    vera = roles.create_person(name="vera", role=Role.VIEWER, password=PASSWORD, brand_ids=ids)
    otto = roles.create_person(name="otto", role=Role.VIEWER, password=PASSWORD, brand_ids=ids[2:])
    ada = roles.create_person(name="ada", role=Role.VIEWER, password=PASSWORD)
    with CaptureQueriesContext(connection) as queries:
        found = people.brands_of([vera.pk, otto.pk, ada.pk], most=2)
    assert found == {vera.pk: (["Alpha", "Beta"], 3), otto.pk: (["Gamma"], 1)}
    assert len(queries) == 1


def test_who_may_do_more_than_an_administrator() -> None:
    ada = roles.create_person(name="ada", role=Role.ADMINISTRATOR, password=PASSWORD)
    roles.create_person(name="otto", role=Role.OPERATOR, password=PASSWORD)
    root = User.objects.create_superuser("root")
    single, grouped = User.objects.create_user("single"), User.objects.create_user("grouped")
    more = Permission.objects.get(codename="delete_session")
    single.user_permissions.add(more)
    own = Group.objects.create(name="Janitors")
    own.permissions.add(more)
    grouped.groups.add(own)
    assert people.groups_beyond(ada.pk) == {own.pk}
    assert people.people_beyond(ada.pk) == {root.pk, single.pk, grouped.pk}
    ada.user_permissions.add(more)
    assert people.groups_beyond(ada.pk) == set()
    assert people.people_beyond(ada.pk) == {root.pk}


# --- The command ---------------------------------------------------------------------------------


def test_the_password_alone_goes_to_standard_output_and_is_good() -> None:
    factories.brand(name="Acme"), factories.brand(name="Bolt & Sons")
    ran = run("create_person", "vera", "--role", "viewer", "--brand", "acme", "Bolt & Sons", "--email", "v@example.com")
    vera = User.objects.get(username="vera")
    assert (ran.code, ran.out.count("\n"), vera.email) == (0, 1, "v@example.com")
    assert vera.check_password(ran.out.strip())
    assert len(people.visible_brands(vera.pk) or []) == 2
    assert "vera may log in as Viewer; sees Acme, Bolt & Sons." in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["vera"], "required: --role"),
        (["vera", "--role", "king"], "invalid choice: 'king'"),
        (["vera", "--role", "viewer", "--brand", "Nowhere"], "Nowhere"),
        (["two words", "--role", "viewer"], "Enter a valid username"),
    ],
)
def test_what_can_not_be_is_told_in_a_line(arguments: list[str], says: str) -> None:
    ran = run("create_person", *arguments)
    assert ran.code
    assert says in ran.err
    assert "\n" not in ran.err.strip()
    assert not User.objects.exists()
