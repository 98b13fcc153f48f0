"""The commands for API keys: made once, shown once, listed, revoked."""

import pytest

from campaigns.models import ApiKey, Scope
from campaigns.services.keys import find_callers
from tests import factories
from tests.doors.running import run
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def test_the_key_alone_goes_to_standard_output_and_is_good() -> None:
    ran = run("create_api_key", "Ad server", "--scope", "read", "spend")
    secret = ran.out.strip()
    assert (ran.code, ran.out.count("\n")) == (0, 1)
    caller = find_callers([secret], now=NOW)[secret]
    assert (caller.scopes, caller.brand_ids) == (Scope.READ | Scope.SPEND, None)
    assert "Ad server: read, spend; sees every brand." in ran.err
    assert "can't be shown again" in ran.err


def test_the_secret_is_kept_nowhere() -> None:
    secret = run("create_api_key", "Ad server", "--scope", "read").out.strip()
    kept = str(ApiKey.objects.values().get())
    assert secret not in kept
    assert secret.rpartition("_")[2] not in kept


def test_a_key_for_some_brands_sees_only_these() -> None:
    acme, other = factories.brand(name="Acme"), factories.brand()
    arguments = ("--scope", "manage", "--scope", "spend", "--brand", acme.pk, other.pk, "--brand", acme.pk)
    ran = run("create_api_key", "Import", *arguments)
    caller = find_callers([ran.out.strip()], now=NOW)[ran.out.strip()]
    assert caller.brand_ids == frozenset({acme.pk, other.pk})
    assert caller.scopes == Scope.MANAGE | Scope.SPEND


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["A", "--scope", "everything"], "invalid choice: 'everything'"),
        (["A"], "required: --scope"),
        (["A", "--scope", "read", "--brand", "99"], "There is no brand 99."),
        (["A", "--scope", "read", "--brand", "x"], "'x' is not an id"),
        (["", "--scope", "read"], "The name must be plain text of 1 to 100 characters."),
        (["a\nb", "--scope", "read"], "The name must be plain text of 1 to 100 characters."),
        (["n" * 101, "--scope", "read"], "The name must be plain text of 1 to 100 characters."),
        (["Taken", "--scope", "read"], "There is a key named 'Taken'"),
    ],
)
def test_what_can_not_be_is_told_in_a_line_and_makes_no_key(arguments: list[str], says: str) -> None:
    run("create_api_key", "Taken", "--scope", "read")
    ran = run("create_api_key", *arguments)
    assert ran.code
    assert says in ran.err
    assert (ran.out, ApiKey.objects.count()) == ("", 1)


def test_a_revoked_key_is_refused_at_once() -> None:
    secret = run("create_api_key", "Ad server", "--scope", "read").out.strip()
    ran = run("api_keys", "--revoke", "Ad server")
    assert (ran.code, "is refused" in ran.out) == (0, True)
    assert find_callers([secret], now=NOW) == {}
    assert run("api_keys", "--revoke", secret[:15]).code == 0  # by its beginning, and once more


def test_revoking_what_there_is_not_says_so() -> None:
    ran = run("api_keys", "--revoke", "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert "There is no key with the name or beginning 'nobody'" in ran.err


def test_the_list_shows_what_each_may_do_and_no_secret() -> None:
    acme = factories.brand(name="Acme [bold]")
    secret = run("create_api_key", "Bidder", "--scope", "spend", "--brand", acme.pk).out.strip()
    run("create_api_key", "Reports", "--scope", "read")
    run("api_keys", "--revoke", "Reports")
    find_callers([secret], now=NOW)
    lines = [" ".join(line.split()) for line in run("api_keys").out.splitlines()]
    assert lines[0] == "Key Name Scopes Brands Made Last used Revoked"
    assert lines[1].startswith(f"{ApiKey.objects.get(name='Reports').prefix}… Reports read all ")
    assert "never" in lines[1]
    assert lines[2].startswith(f"{secret[:15]}… Bidder spend Acme [bold] ")
    assert "2025-06-18 12:00 UTC" in lines[2]
    assert secret not in run("api_keys").out


def test_an_empty_list_says_how_to_make_a_key() -> None:
    assert "make one with: manage.py create_api_key" in run("api_keys").out
