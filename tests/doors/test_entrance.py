"""The way in: what locks out whom, what a second factor takes, and that nothing leads around it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core import serializers
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from campaigns.admin import entrance
from campaigns.services import attempts, factors
from campaigns.services.factors import Factor
from tests.doors.running import run
from tests.factories import NOW

PASSWORD = "a long pass phrase"
LOGIN, CODE, SET_UP, OWN = "/admin/login/", "/admin/login/code/", "/admin/login/set-up/", "/admin/second-factor/"
HERE, THERE = "192.0.2.7", "198.51.100.9"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture(autouse=True)
def quick_passwords(settings: pytest.MonkeyPatch) -> None:
    """Hash passwords in no time: hundreds are tried here."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]  # pytest-django's settings


@pytest.fixture
def anna() -> User:
    return User.objects.create_superuser("anna", password=PASSWORD)


@pytest.fixture
def required(settings: pytest.MonkeyPatch) -> None:
    settings.REQUIRE_SECOND_FACTOR = True  # type: ignore[attr-defined]  # pytest-django's settings


def code(secret: str, *, ahead: int = 0) -> str:
    """What an app with this secret shows now, or some half minutes later."""
    from django.utils import timezone

    return factors._code(secret, int(timezone.now().timestamp()) // factors.PERIOD_SECONDS + ahead)


def enrolled(person: User) -> tuple[str, Factor]:
    """Give somebody a second factor that was set up a minute ago."""
    secret = factors.new_secret()
    before = NOW - timedelta(minutes=1)
    shown = factors._code(secret, int(before.timestamp()) // factors.PERIOD_SECONDS)
    factor = factors.set_up(user_id=person.pk, secret=secret, code=shown, now=before)
    assert factor is not None
    return secret, factor


def knock(
    name: str, password: str, *, client: Client | None = None, ip: str = HERE, to: str = LOGIN, **headers: Any
) -> Any:
    """Send name and password."""
    data = {"username": name, "password": password}
    return (client or Client()).post(to, data, REMOTE_ADDR=ip, **headers)


def halfway(person: User) -> Client:
    """Come as far as the password leads somebody who has a second factor."""
    client = Client()
    assert knock(person.get_username(), PASSWORD, client=client)["Location"] in {CODE, SET_UP}
    return client


def is_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


# --- Lockout ---------------------------------------------------------------------------------------


def fail(times: int, name: str = "anna", **how: Any) -> Any:
    answers = [knock(name, f"guess {number}", **how) for number in range(times)]
    return answers[-1]


def test_five_wrong_passwords_lock_a_name_out_at_an_address_and_no_other(anna: User) -> None:
    berta = User.objects.create_superuser("berta", password=PASSWORD)
    assert fail(4).status_code == 200
    assert fail(1).status_code == 429
    assert knock("anna", PASSWORD).status_code == 429  # right, and too late
    assert knock("anna", PASSWORD, ip=THERE).status_code == 302  # the colleague whose name was guessed at
    assert knock(berta.username, PASSWORD).status_code == 302


def test_the_page_says_for_how_long_and_it_is_so(anna: User, clock: time_machine.Traveller) -> None:
    fail(4)
    clock.shift(timedelta(minutes=3))
    answer = fail(1)
    body = " ".join(answer.content.decode().split())
    assert "Wait until 18 Jun 2025, 12:18 UTC, which is 15 minutes from now" in body
    assert answer["Retry-After"] == "900"
    clock.shift(timedelta(minutes=14))
    assert fail(1)["Retry-After"] == "60"  # trying on makes it no longer
    clock.shift(timedelta(minutes=1, seconds=1))
    assert knock("anna", PASSWORD).status_code == 302


def test_an_address_that_tries_one_password_on_everybody_is_locked_out(anna: User) -> None:
    for number in range(attempts.MOST_OF_AN_ADDRESS - 1):
        assert knock(f"person {number}", "summer").status_code == 200
    assert knock("one more", "summer").status_code == 429
    assert knock("anna", PASSWORD).status_code == 429
    assert knock("anna", PASSWORD, ip=THERE).status_code == 302


def test_an_account_of_ones_own_does_not_clear_the_count_of_the_address(anna: User) -> None:
    knock("person", "summer")
    AccessAttempt.objects.update(failures_since_start=attempts.MOST_OF_AN_ADDRESS - 1)
    assert knock("anna", PASSWORD).status_code == 302
    assert knock("one more", "summer").status_code == 429


def test_logging_in_forgets_the_failures_of_the_name(anna: User) -> None:
    fail(4)
    assert knock("anna", PASSWORD).status_code == 302
    assert fail(4).status_code == 200


def test_another_browser_is_no_other_address(anna: User) -> None:
    for number in range(4):
        knock("anna", "guess", HTTP_USER_AGENT=f"browser {number}")
    assert knock("anna", "guess", HTTP_USER_AGENT="yet another").status_code == 429


def test_whoever_makes_up_a_forwarded_address_is_counted_by_his_own(anna: User) -> None:
    for number in range(4):
        knock("anna", "guess", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")
    assert knock("anna", "guess", HTTP_X_FORWARDED_FOR="203.0.113.99").status_code == 429


@pytest.mark.parametrize(
    ("address", "forwarded", "behind", "counted"),
    [
        ("192.0.2.7", "", False, "192.0.2.7"),
        ("192.0.2.7", "203.0.113.5", False, "192.0.2.7"),
        ("10.0.0.1", "203.0.113.5", True, "203.0.113.5"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.5", True, "203.0.113.5"),  # the first was made up
        ("10.0.0.1", "", True, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5:50123", True, "203.0.113.5"),  # some proxies say the port, too
        ("10.0.0.1", "[2001:db8:1:2::1]:50123", True, "2001:db8:1:2::"),
        ("10.0.0.1", "nonsense", True, None),
        ("2001:db8:1:2:aaaa::1", "", False, "2001:db8:1:2::"),
        ("2001:db8:1:2:bbbb::2", "", False, "2001:db8:1:2::"),  # one line, another address
        ("::ffff:192.0.2.7", "", False, "192.0.2.7"),
        ("fe80::1%eth0", "", False, "fe80::"),
        ("", "", False, None),
    ],
)
def test_failures_are_counted_by_the_address_that_can_be_trusted(
    settings: pytest.MonkeyPatch, address: str, forwarded: str, behind: bool, counted: str | None
) -> None:
    settings.BEHIND_PROXY = behind  # type: ignore[attr-defined]  # pytest-django's settings
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    request = RequestFactory().get("/", REMOTE_ADDR=address, **headers)  # type: ignore[arg-type]  # a header by name
    assert entrance.client_address(request) == counted


def test_without_an_address_it_still_locks(anna: User) -> None:
    assert fail(5, ip="").status_code == 429


def test_nothing_that_was_typed_is_kept_but_the_name(anna: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    typed = "correct horse battery"
    knock("anna", typed, to=f"{LOGIN}?next=/admin/{typed}")
    knock(typed, "x")  # the password, one field too early
    kept = serializers.serialize("json", AccessAttempt.objects.all())
    assert kept.count("failures_since_start") == 2
    assert typed not in kept + caplog.text
    assert "anna" in kept
    assert "csrfmiddlewaretoken" not in kept


def test_old_failures_are_cleared_away_by_the_next_and_no_login_is_kept(
    anna: User, clock: time_machine.Traveller
) -> None:
    for number in range(3):
        knock(f"person {number}", "summer")
    clock.shift(timedelta(minutes=16))
    fail(1)
    assert AccessAttempt.objects.count() == 1
    knock("anna", PASSWORD)
    assert not AccessLog.objects.exists()


def test_a_lock_is_ended_by_a_command(anna: User) -> None:
    fail(5)
    assert run("unlock", "anna").out == "5 failed logins forgotten.\n"
    assert knock("anna", PASSWORD).status_code == 302
    fail(3)
    assert run("unlock", "--address", HERE).out == "3 failed logins forgotten.\n"
    assert run("unlock", "nobody").err == "There is nobody called 'nobody'."
    assert run("unlock", "--address", "home").err == "'home' is no address."
    assert "Say whom to unlock" in run("unlock").err


def test_the_api_is_not_concerned(anna: User) -> None:
    fail(5)
    answers = [Client().get("/api/v1/brands", headers={"Authorization": "Bearer bk_0_x"}) for _ in range(60)]
    assert {answer.status_code for answer in answers} == {401}


# --- Second factor -----------------------------------------------------------------------------------


def test_without_a_second_factor_the_password_is_enough_where_none_is_required(anna: User) -> None:
    client = Client()
    assert knock("anna", PASSWORD, client=client)["Location"] == "/admin/"
    assert is_in(client)


@pytest.mark.usefixtures("required")
def test_where_it_is_required_the_first_login_leads_to_setting_it_up(anna: User) -> None:
    client = Client()
    to = f"{LOGIN}?next=/admin/campaigns/brand/"
    assert knock("anna", PASSWORD, client=client, to=to)["Location"] == SET_UP
    assert not is_in(client)
    page = client.get(SET_UP).content.decode()
    secret = re.findall(r'bm-secret">([A-Z2-7 ]+)<', page)[0].replace(" ", "")
    assert "data:image/svg+xml;base64," in page
    assert f"secret={secret}" in page
    assert "anna" in page
    assert "This code is not right" in client.post(SET_UP, {"code": "000000"}).content.decode()
    assert not is_in(client)
    shown = client.post(SET_UP, {"code": code(secret)}).content.decode()
    codes = re.findall(r"<code>(\d{4} \d{4})</code>", shown)
    assert len(set(codes)) == 10
    assert 'href="/admin/campaigns/brand/"' in shown
    assert is_in(client)
    assert codes[0] not in client.get(OWN).content.decode()


def test_with_a_second_factor_the_password_alone_lets_nobody_in(anna: User) -> None:
    secret, _ = enrolled(anna)
    client = halfway(anna)
    assert not is_in(client)
    answer = client.post(CODE, {"code": code(secret)})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert is_in(client)


def pages_of(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[str]:
    for one in patterns:
        address = prefix + re.sub(r"<[^>]+>|\(\?P.*?\)", "1", str(one.pattern)).replace("^", "").replace("$", "")
        if isinstance(one, URLResolver):
            yield from pages_of(one.url_patterns, address)
        else:
            yield address


@pytest.mark.parametrize("has_factor", [True, False])
@pytest.mark.usefixtures("required")
def test_half_a_login_opens_no_page_that_a_visitor_does_not_have(anna: User, has_factor: bool) -> None:
    if has_factor:
        enrolled(anna)
    client, visitor = halfway(anna), Client()
    addresses = set(pages_of(get_resolver().url_patterns)) - {CODE, SET_UP, "/metrics", "/readyz"}
    assert len(addresses) > 80
    for address in sorted(addresses):
        answer = client.get(address)
        if answer.get("Location", "").startswith(LOGIN) or answer.status_code in {401, 404, 405}:
            continue
        theirs = visitor.get(address)
        assert (answer.status_code, answer.get("Location")) == (theirs.status_code, theirs.get("Location")), address
        assert not re.search("brand|campaign", answer.get("Location", "")), address
    assert not is_in(client)


def test_half_a_login_does_nothing_either(anna: User) -> None:
    enrolled(anna)
    client = halfway(anna)
    for address in ("/admin/auth/user/add/", "/admin/campaigns/brand/add/", OWN, "/admin/password_change/"):
        answer = client.post(address, {"code": "000000", "name": "x", "username": "x"})
        assert answer["Location"].startswith(LOGIN), address
    assert client.get("/admin/live/", headers={"HX-Request": "true"})["HX-Redirect"].startswith(LOGIN)
    assert client.get("/admin/autocomplete/").status_code == 302


def test_nobody_enters_a_code_without_a_password(anna: User) -> None:
    secret, _ = enrolled(anna)
    for address in (CODE, SET_UP):
        for answer in (Client().get(address), Client().post(address, {"code": code(secret)})):
            assert answer["Location"] == LOGIN


def test_with_a_second_factor_nobody_sets_up_another_by_the_password_alone(anna: User) -> None:
    enrolled(anna)
    client = halfway(anna)
    assert client.get(SET_UP)["Location"] == CODE
    assert client.post(SET_UP, {"code": "123456"})["Location"] == CODE
    assert Authenticator.objects.filter(user=anna).count() == 2  # the app and the recovery codes


def test_a_password_is_good_for_ten_minutes_while_the_code_is_asked_for(
    anna: User, clock: time_machine.Traveller
) -> None:
    secret, _ = enrolled(anna)
    client = halfway(anna)
    clock.shift(entrance.PATIENCE + timedelta(seconds=1))
    assert client.post(CODE, {"code": code(secret)})["Location"] == LOGIN
    assert not is_in(client)


@pytest.mark.parametrize("change", [{"password": "!another"}, {"is_active": False}, {"is_staff": False}])
def test_what_changes_between_password_and_code_counts(anna: User, change: dict[str, Any]) -> None:
    secret, _ = enrolled(anna)
    client = halfway(anna)
    User.objects.update(**change)
    assert client.post(CODE, {"code": code(secret)})["Location"] == LOGIN
    assert not is_in(client)


def test_a_code_is_good_once_and_so_is_each_before_it(anna: User, clock: time_machine.Traveller) -> None:
    secret, _ = enrolled(anna)
    shown, before = code(secret), code(secret, ahead=-1)
    assert halfway(anna).post(CODE, {"code": shown}).status_code == 302
    for used in (shown, before, f" {shown[:3]} {shown[3:]} "):
        assert "was used before" in halfway(anna).post(CODE, {"code": used}).content.decode()
    clock.shift(timedelta(seconds=30))  # it would still be near enough
    assert "was used before" in halfway(anna).post(CODE, {"code": shown}).content.decode()
    assert halfway(anna).post(CODE, {"code": code(secret)}).status_code == 302


@pytest.mark.parametrize(("ahead", "status"), [(-2, 200), (-1, 302), (0, 302), (1, 302), (2, 200)])
def test_a_code_is_good_for_the_half_minutes_beside_it(anna: User, ahead: int, status: int) -> None:
    secret, _ = enrolled(anna)
    User.objects.get()
    shown = Authenticator.objects.get(type=Authenticator.Type.TOTP)
    shown.data |= {"counter": 0}
    shown.save()
    assert halfway(anna).post(CODE, {"code": code(secret, ahead=ahead)}).status_code == status


def test_a_recovery_code_lets_in_once(anna: User) -> None:
    _, factor = enrolled(anna)
    client = halfway(anna)
    answer = client.post(CODE, {"code": f"{factor.recovery_codes[3][:4]} {factor.recovery_codes[3][4:]}"}, follow=True)
    assert "you have 9 recovery codes left" in answer.content.decode()
    assert is_in(client)
    again = halfway(anna)
    assert again.post(CODE, {"code": factor.recovery_codes[3]}).status_code == 200
    assert not is_in(again)


def test_wrong_codes_lock_like_wrong_passwords(anna: User) -> None:
    secret, _ = enrolled(anna)
    client = halfway(anna)
    answers = [client.post(CODE, {"code": "000000"}, REMOTE_ADDR=HERE) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
    assert client.post(CODE, {"code": code(secret)}, REMOTE_ADDR=HERE).status_code == 429
    assert knock("anna", PASSWORD).status_code == 429


def test_ten_wrong_codes_from_anywhere_lock_the_codes_of_a_person(anna: User, clock: time_machine.Traveller) -> None:
    secret, _ = enrolled(anna)
    client = halfway(anna)
    for number in range(factors.MAX_MISSES):
        assert client.post(CODE, {"code": "000000"}, REMOTE_ADDR=f"203.0.113.{number}").status_code == 200
    assert client.post(CODE, {"code": code(secret)}, REMOTE_ADDR=THERE).status_code == 429
    clock.shift(timedelta(minutes=15))
    assert halfway(anna).post(CODE, {"code": code(secret)}, REMOTE_ADDR=THERE).status_code == 302


def test_the_command_lets_a_person_try_codes_again(anna: User) -> None:
    secret, _ = enrolled(anna)
    client = halfway(anna)
    for number in range(factors.MAX_MISSES):
        client.post(CODE, {"code": "000000"}, REMOTE_ADDR=f"203.0.113.{number}")
    assert run("unlock", "anna").code == 0
    assert client.post(CODE, {"code": code(secret)}, REMOTE_ADDR=THERE).status_code == 302


def test_secrets_are_sealed_in_the_tables_and_in_the_session(anna: User) -> None:
    secret, factor = enrolled(anna)
    stored = serializers.serialize("json", Authenticator.objects.all())
    assert secret not in stored
    assert not [one for one in factor.recovery_codes if one in stored]
    berta = User.objects.create_superuser("berta")
    client = Client()
    client.force_login(berta)
    page = client.get(SET_UP).content.decode()
    shown = re.findall(r'bm-secret">([A-Z2-7 ]+)<', page)[0].replace(" ", "")
    assert not [one for one in Session.objects.all() if shown in str(one.get_decoded())]


def test_a_changed_secret_key_is_told_in_a_sentence(anna: User, settings: pytest.MonkeyPatch) -> None:
    secret, _ = enrolled(anna)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "k" * 60  # type: ignore[attr-defined]  # pytest-django's settings
    assert "SECRET_KEY was changed" in halfway(anna).post(CODE, {"code": code(secret)}).content.decode()
    settings.SECRET_KEY_FALLBACKS = [old]  # type: ignore[attr-defined]  # pytest-django's settings
    assert halfway(anna).post(CODE, {"code": code(secret)}).status_code == 302


@pytest.mark.usefixtures("required")
def test_a_session_from_before_it_was_required_is_over(anna: User) -> None:
    client = Client()
    client.force_login(anna)
    assert not is_in(client)
    assert SESSION_KEYS.isdisjoint(client.session.keys())


SESSION_KEYS = {"_auth_user_id", "_auth_user_hash", entrance.ENTERING}


def test_setting_it_up_ends_every_other_session(anna: User) -> None:
    one, other = Client(), Client()
    for client in (one, other):
        client.force_login(anna)
    page = one.get(SET_UP).content.decode()
    secret = re.findall(r'bm-secret">([A-Z2-7 ]+)<', page)[0].replace(" ", "")
    form = {"code": code(secret)}
    assert "not your password" in one.post(SET_UP, form | {"password": "guess"}).content.decode()  # a stolen session
    assert "recovery codes" in one.post(SET_UP, form | {"password": PASSWORD}).content.decode()
    assert is_in(one)
    assert not is_in(other)


@pytest.mark.usefixtures("required")
def test_resetting_it_ends_every_session_and_leads_to_setting_it_up(anna: User) -> None:
    secret, _ = enrolled(anna)
    client = halfway(anna)
    client.post(CODE, {"code": code(secret)})
    assert is_in(client)
    assert "sets up a new second factor" in run("reset_second_factor", "anna").out
    assert not is_in(client)
    assert knock("anna", PASSWORD)["Location"] == SET_UP
    assert run("reset_second_factor", "anna").err == "anna has no second factor."


def test_new_recovery_codes_take_a_code_and_replace_the_old(anna: User) -> None:
    secret, factor = enrolled(anna)
    client = halfway(anna)
    client.post(CODE, {"code": factor.recovery_codes[0]})
    assert "This code is not right" in client.post(OWN, {"code": "000000", "renew": ""}).content.decode()
    shown = client.post(OWN, {"code": code(secret), "renew": ""}).content.decode()
    fresh = [one.replace(" ", "") for one in re.findall(r"<code>(\d{4} \d{4})</code>", shown)]
    assert len(fresh) == 10
    assert halfway(anna).post(CODE, {"code": factor.recovery_codes[1]}).status_code == 200
    assert halfway(anna).post(CODE, {"code": fresh[1]}).status_code == 302


@pytest.mark.parametrize("needed", [True, False])
def test_taking_it_away_takes_a_code(anna: User, settings: pytest.MonkeyPatch, needed: bool) -> None:
    settings.REQUIRE_SECOND_FACTOR = needed  # type: ignore[attr-defined]  # pytest-django's settings
    secret, factor = enrolled(anna)
    client = halfway(anna)
    client.post(CODE, {"code": factor.recovery_codes[0]})
    client.post(OWN, {"code": "000000", "remove": ""})
    assert Authenticator.objects.exists()
    answer = client.post(OWN, {"code": code(secret), "remove": ""})
    assert not Authenticator.objects.exists()
    assert answer["Location"] == (SET_UP if needed else OWN)
    assert is_in(client) is not needed


# --- Administrators ------------------------------------------------------------------------------------


def administrator(name: str) -> Client:
    person = User.objects.create_user(name, is_staff=True)
    person.groups.add(Group.objects.get(name="Administrator"))
    client = Client()
    client.force_login(person)
    return client


def act(client: Client, name: str, *people: User) -> str:
    data = {"action": name, "_selected_action": [str(one.pk) for one in people]}
    return client.post(reverse("admin:auth_user_changelist"), data, follow=True).content.decode()


def test_an_administrator_resets_and_unlocks_and_it_is_noted_down(anna: User) -> None:
    vera = User.objects.create_user("vera", is_staff=True, password=PASSWORD)
    enrolled(vera)
    fail(5, "vera")
    client = administrator("adam")
    assert (
        "5 from 192.0.2.7, last 18 Jun 2025, 12:00 UTC"
        in client.get(f"/admin/auth/user/{vera.pk}/change/").content.decode()
    )
    assert "Reset for 1." in act(client, "reset_second_factor", vera)
    assert "may try again" in act(client, "unlock", vera)
    assert knock("vera", PASSWORD)["Location"] == "/admin/"
    noted = LogEntry.objects.filter(object_id=str(vera.pk)).order_by("pk")
    assert [one.change_message for one in noted] == ["Reset the second factor.", "Unlocked the login."]


def test_nobody_resets_whoever_may_do_more_or_themselves(anna: User) -> None:
    enrolled(anna)
    client = administrator("adam")
    adam = User.objects.get(username="adam")
    for name in ("reset_second_factor", "unlock"):
        body = act(client, name, anna, adam)
        assert "Left as they are: adam, anna." in body or "Left as they are: anna, adam." in body
    assert Authenticator.objects.filter(user=anna).exists()
    assert not LogEntry.objects.exists()


def test_who_may_not_change_people_resets_nobody(anna: User) -> None:
    vera = User.objects.create_user("vera", is_staff=True)
    vera.groups.add(Group.objects.get(name="Viewer"))
    enrolled(anna)
    client = Client()
    client.force_login(vera)
    act(client, "reset_second_factor", anna)
    assert Authenticator.objects.filter(user=anna).exists()


def test_no_page_shows_what_allauth_and_axes_keep() -> None:
    labels = {model._meta.app_label for model in admin.site._registry}
    assert labels.isdisjoint({"account", "mfa", "axes"})
    for address in ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/accounts/2fa/"):
        assert Client().get(address).status_code == 404


# --- Sessions ------------------------------------------------------------------------------------------


def test_the_key_of_a_session_changes_at_every_step(anna: User) -> None:
    secret, _ = enrolled(anna)
    client = Client()
    client.session.save()
    planted = client.session
    planted["planted"] = "by somebody else"
    planted.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = planted.session_key or ""
    keys = [planted.session_key]
    knock("anna", PASSWORD, client=client)
    keys.append(client.session.session_key)
    client.post(CODE, {"code": code(secret)})
    keys.append(client.session.session_key)
    assert len(set(keys)) == 3
    assert "planted" not in client.session
    for key in keys[:2]:
        stranger = Client()
        stranger.cookies[settings.SESSION_COOKIE_NAME] = key or ""
        assert not is_in(stranger)


def test_another_password_ends_every_session(anna: User) -> None:
    client = Client()
    client.force_login(anna)
    assert is_in(client)
    anna.set_password("another phrase")
    anna.save()
    assert not is_in(client)


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": False}])
def test_whoever_is_shut_out_is_out_at_the_next_request(anna: User, change: dict[str, bool]) -> None:
    client = Client()
    client.force_login(anna)
    User.objects.update(**change)
    assert not is_in(client)


def test_a_login_is_good_for_the_hours_of_the_setting_and_then_cleared_away(
    anna: User, clock: time_machine.Traveller
) -> None:
    client = Client()
    knock("anna", PASSWORD, client=client)
    clock.shift(timedelta(hours=11, minutes=59))
    assert is_in(client)
    clock.shift(timedelta(minutes=2))
    assert not is_in(client)
    knock("anna", PASSWORD, client=Client())
    assert Session.objects.count() == 1


@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize(
    "following", ["https://evil.example.com/", "//evil.example.com", "javascript:alert(1)", "/\\evil.example.com"]
)
def test_next_leads_nowhere_else(anna: User, following: str, second: bool) -> None:
    secret = enrolled(anna)[0] if second else ""
    client = Client()
    answer = client.post(LOGIN, {"username": "anna", "password": PASSWORD, "next": following})
    if second:
        answer = client.post(CODE, {"code": code(secret)})
    assert answer["Location"] == "/admin/"


def test_every_form_of_the_entrance_needs_its_token(anna: User) -> None:
    enrolled(anna)
    strict = Client(enforce_csrf_checks=True)
    for address in (LOGIN, CODE, SET_UP):
        assert strict.post(address, {"username": "anna", "password": PASSWORD}).status_code == 403
    strict.force_login(User.objects.create_superuser("berta"))
    for address in (SET_UP, OWN):
        assert strict.post(address, {"code": "000000"}).status_code == 403


def test_nothing_of_the_entrance_is_kept_by_a_cache(anna: User) -> None:
    enrolled(anna)
    client = halfway(anna)
    for address in (LOGIN, CODE):
        assert "no-store" in client.get(address)["Cache-Control"]
