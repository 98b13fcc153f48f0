"""The second factor: codes of an authenticator app, and recovery codes for when it is lost.

The tables, the secrets and the arithmetic of RFC 6238 are allauth's. Ours is what a code is good for: each is accepted
once, also after its half minute, and wrong ones are counted in the row that is locked while they are compared. So a
thousand tries at once are judged one after the other, and no cache that forgets lets a code in twice.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.contrib.auth.models import User
from django.db import transaction

from campaigns.gateways import sealing
from campaigns.rules.errors import BudgetError

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 30
NEIGHBOURS = 1
"""Codes before and after the present one that are good, too: people type slowly, and clocks of phones differ."""

MAX_MISSES = 10
"""Wrong codes in a row, from wherever they come, after which no code is looked at for a while."""


class Proof(enum.Enum):
    """What came of a code."""

    APP = "app"
    RECOVERY = "recovery"
    WRONG = "wrong"
    TOO_MANY = "too_many"

    @property
    def good(self) -> bool:
        """Whether it proves anything."""
        return self in {Proof.APP, Proof.RECOVERY}


@dataclass(frozen=True)
class Factor:
    """A second factor that was set up: its id, and the recovery codes, which nobody sees again."""

    id: int
    recovery_codes: list[str]


def new_secret() -> str:
    """Return a secret for an authenticator app: 160 random bits."""
    secret: str = generate_totp_secret()
    return secret


def set_up(*, user_id: int, secret: str, code: str, now: datetime) -> Factor | None:
    """Make the secret a person's second factor, if the code shows that their app has it; else return None.

    Raises BudgetError if the person has one already.
    """
    counter = _counter_of(secret, code, now)
    if counter is None:
        return None
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        if Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists():
            raise BudgetError("A second factor was set up meanwhile. Log in with it.")
        factor = TOTP.activate(user, secret).instance
        factor.data = {**factor.data, "counter": counter}
        factor.save(update_fields=["data"])
        codes = _fresh_codes(user)
    logger.info("person %s has set up a second factor", user_id)
    return Factor(id=factor.pk, recovery_codes=codes)


def prove(*, user_id: int, code: str, lock: timedelta, now: datetime) -> Proof:
    """Try a code of the app, or a recovery code, which is used up by it.

    lock: for how long no code is looked at after MAX_MISSES wrong ones. Raises BudgetError when the secret can't be
    read any more.
    """
    try:
        with transaction.atomic():
            factor = _factors(user_id).select_for_update().filter(type=Authenticator.Type.TOTP).first()
            return Proof.WRONG if factor is None else _judged(factor, code, lock, now)
    except sealing.SealError:
        sentence = "The second factor can't be read, because SECRET_KEY was changed. Ask an administrator to reset it."
        raise BudgetError(sentence) from None


def renew_recovery_codes(*, user_id: int) -> list[str]:
    """Return new recovery codes; those before are good for nothing."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        # Whoever tries a code holds this row: a code of before must not be used up in the middle.
        list(_factors(user_id).select_for_update().filter(type=Authenticator.Type.TOTP))
        return _fresh_codes(user)


def recovery_codes_left(*, user_id: int) -> int:
    """Return how many recovery codes a person has not used yet."""
    row = _factors(user_id).filter(type=Authenticator.Type.RECOVERY_CODES).first()
    return 0 if row is None else len(RecoveryCodes(row).get_unused_codes())


def reset(*, user_ids: Collection[int]) -> int:
    """Take people's second factors away, and return how many people had one. Every session that rests on one ends."""
    factors = Authenticator.objects.filter(user__in=user_ids)
    with transaction.atomic():
        had = sorted(factors.filter(type=Authenticator.Type.TOTP).values_list("user_id", flat=True))
        factors.delete()
    for user_id in had:
        logger.info("the second factor of person %s was reset", user_id)
    return len(had)


def forgive(*, user_ids: Collection[int]) -> None:
    """Forget people's wrong codes."""
    factors = Authenticator.objects.filter(user__in=user_ids, type=Authenticator.Type.TOTP)
    with transaction.atomic():
        rows = list(factors.select_for_update())
        for factor in rows:
            factor.data = {**factor.data, "misses": 0}
        Authenticator.objects.bulk_update(rows, ["data"])


def _factors(user_id: int) -> Any:
    return Authenticator.objects.filter(user=user_id)


def _judged(factor: Any, code: str, lock: timedelta, now: datetime) -> Proof:
    data = factor.data
    misses = data.get("misses", 0)
    if misses and now - datetime.fromisoformat(data["missed_at"]) >= lock:
        misses = 0
    if misses >= MAX_MISSES:
        return Proof.TOO_MANY
    counter = _counter_of(sealing.unseal(data["secret"]), code, now)
    if counter is not None and counter > data.get("counter", -1):
        factor.last_used_at = now
        _keep(factor, counter=counter, misses=0)
        return Proof.APP
    recovery = _factors(factor.user_id).filter(type=Authenticator.Type.RECOVERY_CODES).first()
    if recovery is not None and RecoveryCodes(recovery).validate_code(code):
        factor.last_used_at = now
        _keep(factor, misses=0)
        return Proof.RECOVERY
    _keep(factor, misses=misses + 1, missed_at=now.isoformat())
    return Proof.WRONG


def _counter_of(secret: str, code: str, now: datetime) -> int | None:
    """Which half minute a code belongs to, among those that are good now; every one is compared, in constant time."""
    present = int(now.timestamp()) // PERIOD_SECONDS
    near = range(present - NEIGHBOURS, present + NEIGHBOURS + 1)
    same = [number for number in near if compare_user_code(actual=code, expected=_code(secret, number))]
    return same[-1] if same else None


def _code(secret: str, counter: int) -> str:
    code: str = format_hotp_value(hotp_value(secret, counter))
    return code


def _keep(factor: Any, **data: object) -> None:
    factor.data = {**factor.data, **data}
    factor.save(update_fields=["data", "last_used_at"])


def _fresh_codes(user: User) -> list[str]:
    _factors(user.pk).filter(type=Authenticator.Type.RECOVERY_CODES).delete()
    codes: list[str] = RecoveryCodes.activate(user).get_unused_codes()
    return codes
