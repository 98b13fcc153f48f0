"""Recovery codes at the same moment: one is good once, and none is used up while new ones are made."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.auth.models import User

from campaigns.gateways import sealing
from campaigns.services import factors
from campaigns.services.factors import Factor, Proof
from tests.factories import NOW
from tests.services.races import meet

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

LOCK = timedelta(minutes=15)


@pytest.fixture
def anna() -> User:
    return User.objects.create_user("anna")


@pytest.fixture
def factor(anna: User) -> Factor:
    secret = factors.new_secret()
    code = format_hotp_value(hotp_value(secret, int(NOW.timestamp()) // factors.PERIOD_SECONDS))
    made = factors.set_up(user_id=anna.pk, secret=secret, code=code, now=NOW)
    assert made is not None
    return made


def test_a_recovery_code_that_is_tried_twice_at_once_is_good_once(anna: User, factor: Factor) -> None:
    def prove() -> Proof:
        return factors.prove(user_id=anna.pk, code=factor.recovery_codes[0], lock=LOCK, now=NOW)

    met = meet(prove, prove, at=(sealing, "unseal"), when="after")
    assert (met.first, met.second, met.waited) == (Proof.RECOVERY, Proof.WRONG, True)


def test_while_a_recovery_code_is_tried_no_new_ones_are_made(anna: User, factor: Factor) -> None:
    met = meet(
        lambda: factors.prove(user_id=anna.pk, code=factor.recovery_codes[0], lock=LOCK, now=NOW),
        lambda: factors.renew_recovery_codes(user_id=anna.pk),
        at=(sealing, "unseal"),
        when="after",
    )
    assert (met.first, met.waited) == (Proof.RECOVERY, True)
    assert factors.recovery_codes_left(user_id=anna.pk) == len(met.second) == 10
