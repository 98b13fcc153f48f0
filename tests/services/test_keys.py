"""API keys: only a hash is kept, what was revoked is refused at once, and a key sees what it was given, no more."""

import hashlib
import secrets
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import ApiKey, Brand, Scope
from campaigns.rules.errors import BudgetError
from campaigns.services import catalog
from campaigns.services.keys import Caller, create_key, find_callers, revoke_key
from tests import factories
from tests.factories import NOW
from tests.services.races import together

pytestmark = pytest.mark.django_db

READ, SPEND, MANAGE = Scope.READ, Scope.SPEND, Scope.MANAGE


def made(name: str = "Ad server", *scopes: Scope, brands: list[Brand] | None = None) -> tuple[ApiKey, str]:
    ids = None if brands is None else [brand.pk for brand in brands]
    return create_key(name=name, scopes=scopes or (READ,), brand_ids=ids, now=NOW)


def found(secret: str) -> Caller | None:
    return find_callers([secret], now=NOW).get(secret)


# --- Making ----------------------------------------------------------------------------------


def test_only_a_hash_is_kept() -> None:
    key, secret = made()
    assert key.digest == hashlib.sha256(secret.encode()).hexdigest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM campaigns_apikey")
        kept = str(cursor.fetchall())
    assert key.prefix in kept
    assert secret.startswith(f"{key.prefix}_")
    for part in (secret, secret.removeprefix(key.prefix), secret.removeprefix(f"{key.prefix}_")):
        assert part not in kept
    assert secret.removeprefix(f"{key.prefix}_") not in repr(key.__dict__)


def test_a_secret_can_not_be_guessed_and_no_two_are_alike() -> None:
    made_keys = [made(f"Key {at}") for at in range(20)]
    assert len({key.prefix for key, _ in made_keys}) == len({secret for _, secret in made_keys}) == 20
    for key, secret in made_keys:
        assert key.prefix.startswith("bk_")
        assert len(secret.removeprefix(f"{key.prefix}_")) >= 43  # 256 bits


def test_what_a_key_is_made_with() -> None:
    brands = [factories.brand() for _ in range(2)]
    key, secret = create_key(
        name="  Ad server ", scopes=[SPEND, MANAGE, SPEND], brand_ids=[brand.pk for brand in brands], now=NOW
    )
    stored = ApiKey.objects.get()
    assert (stored.pk, stored.name, stored.scope_codes) == (key.pk, "Ad server", ["spend", "manage"])
    assert (stored.all_brands, stored.created_at, stored.created_by) == (False, NOW, None)
    assert (stored.revoked_at, stored.last_used_at) == (None, None)
    assert found(secret) == Caller(key.pk, SPEND | MANAGE, frozenset(brand.pk for brand in brands))


@pytest.mark.parametrize("name", ["", " ", "\n", "a\nb", "a\x00", "x" * 101, "\ud800", "a\tb"[:1] + "\x1b"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(BudgetError, match="The name must be plain text of 1 to 100 characters"):
        made(name)
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize("revoked", [True, False])
def test_a_name_that_is_taken(revoked: bool) -> None:
    key, secret = made("Ad server")
    if revoked:
        revoke_key(key_id=key.pk, now=NOW)
    with pytest.raises(BudgetError, match="There is a key named 'Ad server'"):
        made(" Ad server")
    assert ApiKey.objects.count() == 1
    assert (found(secret) is None) is revoked


def test_a_key_that_may_nothing_is_not_made() -> None:
    with pytest.raises(BudgetError, match="Give the key at least one scope"):
        create_key(name="x", scopes=[], now=NOW)
    for ids, sentence in (([], "Name at least one brand"), ([10**6], f"There is no brand {10**6}")):
        with pytest.raises(BudgetError, match=sentence):
            create_key(name="x", scopes=[READ], brand_ids=ids, now=NOW)
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, 2**63, 2**64])
def test_a_brand_that_there_can_not_be(number: int) -> None:
    with pytest.raises(BudgetError, match=f"There is no brand {number}"):
        create_key(name="x", scopes=[READ], brand_ids=[factories.brand().pk, number], now=NOW)


@pytest.mark.django_db(transaction=True)
def test_of_two_with_one_name_at_once_one_is_made() -> None:
    def make() -> bool:
        try:
            made("Ad server")
        except BudgetError:
            return False
        return True

    assert sorted(together(make, make, make)) == [False, False, True]
    assert ApiKey.objects.count() == 1


# --- Finding ---------------------------------------------------------------------------------


def test_each_gets_its_own() -> None:
    made_keys = [made(f"Key {at}", [READ, SPEND, MANAGE][at % 3]) for at in range(9)]
    callers = find_callers([secret for _, secret in made_keys] * 2, now=NOW)
    assert callers == {
        secret: Caller(key.pk, [READ, SPEND, MANAGE][at % 3], None) for at, (key, secret) in enumerate(made_keys)
    }


def test_nearly_right_is_wrong() -> None:
    key, secret = made()
    other = made("Other")[1]
    rest = secret.removeprefix(key.prefix)
    wrong = [
        *(secret[:-1], secret + "x", secret + "\n", f" {secret}", f"{secret} ", secret.swapcase(), secret.upper()),
        *(
            key.prefix,
            f"{key.prefix}_",
            key.prefix + other[len(key.prefix) :],
            key.digest,
            f"{key.prefix}_{key.digest}",
        ),
        *(rest, rest[1:], secret[::-1], secret.replace("_", "-"), f"{secret},{other}", f"{secret}\x00"),
    ]
    assert set(find_callers([*wrong, secret], now=NOW)) == {secret}


ODD = [
    "",
    " ",
    "\x00",
    "\n",
    "é",
    "ключ",
    "🙂",
    "\ud800",
    "\udcff",
    "%",
    "_",
    "bk",
    "bk_",
    "bk_%",
    "x" * 100_000,
    "';--",
    "\\",
]


def test_odd_secrets_are_unknown_and_spoil_nothing() -> None:
    _, secret = made()
    assert set(find_callers([*ODD, secret, *(secret[:15] + odd for odd in ODD)], now=NOW)) == {secret}
    assert find_callers(ODD, now=NOW) == {}
    assert find_callers([], now=NOW) == {}


def test_a_key_with_the_same_beginning_and_another_end_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """By chance two keys may get one prefix: the second is not made rather than taken for the first."""
    monkeypatch.setattr(secrets, "token_hex", lambda size: "ab" * size)
    _, secret = made()
    with pytest.raises(BudgetError):
        made("Other")
    assert found(secret) is not None


def test_a_revoked_key_is_refused_at_once_and_stays_so() -> None:
    key, secret = made()
    assert found(secret) is not None
    revoke_key(key_id=key.pk, now=NOW)
    assert found(secret) is None
    revoke_key(key_id=key.pk, now=NOW + timedelta(days=1))
    key.refresh_from_db()
    assert key.revoked_at == NOW  # when it was done first
    assert found(secret) is None


@pytest.mark.parametrize("number", [0, -1, 10**6, 2**63, 2**70])
def test_a_key_that_there_is_not_is_not_revoked(number: int) -> None:
    with pytest.raises(BudgetError, match=f"There is no API key {number}"):
        revoke_key(key_id=number, now=NOW)


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        (READ, {READ}),
        (SPEND, {SPEND}),
        (MANAGE, {READ, MANAGE}),
        (READ | SPEND, {READ, SPEND}),
        (SPEND | MANAGE, {READ, SPEND, MANAGE}),
        (READ | SPEND | MANAGE, {READ, SPEND, MANAGE}),
    ],
)
def test_a_key_may_what_its_scopes_say(scopes: Scope, may: set[Scope]) -> None:
    _, secret = create_key(name="x", scopes=list(scopes), now=NOW)
    caller = found(secret)
    assert caller is not None
    assert {scope for scope in Scope if caller.may(scope)} == may


# --- Brands ----------------------------------------------------------------------------------


def test_a_key_for_all_brands_sees_those_to_come() -> None:
    _, secret = made()
    caller = found(secret)
    assert caller is not None
    assert caller.brand_ids is None
    assert caller.sees(factories.brand().pk)


def test_a_key_for_some_brands_sees_no_other() -> None:
    one, two, other = (factories.brand() for _ in range(3))
    _, secret = made("x", READ, brands=[one, two])
    caller = found(secret)
    assert caller is not None
    assert [caller.sees(brand.pk) for brand in (one, two, other)] == [True, True, False]


def test_a_key_whose_last_brand_is_deleted_sees_nothing() -> None:
    one, two = factories.brand(), factories.brand()
    _, secret = made("x", READ, brands=[one, two])
    catalog.delete_brand(brand_id=one.pk, now=NOW)
    caller = found(secret)
    assert caller is not None
    assert caller.brand_ids == frozenset({two.pk})
    catalog.delete_brand(brand_id=two.pk, now=NOW)
    caller = found(secret)
    assert caller is not None
    assert caller.brand_ids == frozenset()
    assert not caller.sees(one.pk)
    assert not caller.sees(factories.brand().pk)


# --- What it costs ---------------------------------------------------------------------------


def statements(sent: list[str], now: Any = NOW) -> int:
    with CaptureQueriesContext(connection) as seen:
        find_callers(sent, now=now)
    return len(seen)


def test_any_number_of_keys_cost_the_same_statements() -> None:
    brand = factories.brand()
    everywhere = [made(f"All {at}")[1] for at in range(20)]
    limited = [made(f"Some {at}", brands=[brand])[1] for at in range(20)]
    find_callers(everywhere + limited, now=NOW)  # their use has been noted by now
    assert statements(everywhere[:1]) == statements(everywhere) == 1
    assert statements(limited[:1]) == statements(everywhere + limited) == 2


def test_its_use_is_noted_to_within_a_minute() -> None:
    key, secret = made()
    noted = []
    for seconds in (0, 59, 60, 61, 120, 121, 122):
        find_callers([secret], now=NOW + timedelta(seconds=seconds))
        key.refresh_from_db()
        assert key.last_used_at is not None
        noted.append((key.last_used_at - NOW).total_seconds())
    assert noted == [0, 0, 0, 61, 61, 61, 122]
    find_callers([secret], now=NOW)  # an older clock takes nothing back
    key.refresh_from_db()
    assert key.last_used_at == NOW + timedelta(seconds=122)


def test_a_wrong_secret_is_no_use_of_the_key() -> None:
    key, secret = made()
    find_callers([secret[:-1]], now=NOW)
    key.refresh_from_db()
    assert key.last_used_at is None


@pytest.mark.django_db(transaction=True)
def test_many_at_once_note_their_use_without_waiting_in_a_circle() -> None:
    sent = [made(f"Key {at}")[1] for at in range(30)]

    def use(step: int) -> None:
        for at in range(20):
            order = sent[::step]
            assert len(find_callers(order, now=NOW + timedelta(minutes=2 * at))) == 30

    together(*(partial(use, step) for step in (1, -1, 1, -1)))
    assert ApiKey.objects.filter(last_used_at=None).count() == 0
