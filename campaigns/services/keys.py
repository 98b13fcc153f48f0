"""API keys: made, shown once, found again by what a client sends, revoked."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q

from campaigns.models import ApiKey, Brand, Scope
from campaigns.queries.lookup import MAX_ID
from campaigns.rules.errors import BudgetError
from campaigns.rules.texts import is_plain

_MARK = "bk"  # how every key begins, so that one that leaked can be recognised
_PREFIX_BYTES, _SECRET_BYTES = 6, 32
_LONGEST = 100

SHOWN_USE = timedelta(minutes=1)
"""How far behind the last use of a key may be shown; each use of its own would be a write for every request."""


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a key that was found good. brand_ids: the only brands it may see; None is all, now and in future."""

    key_id: int
    scopes: Scope
    brand_ids: frozenset[int] | None

    def may(self, scope: Scope) -> bool:
        """Return whether it may do what takes this scope. Who manages may read what there is to manage."""
        return bool(scope & self.scopes) or (scope is Scope.READ and bool(self.scopes & Scope.MANAGE))

    def sees(self, brand_id: int) -> bool:
        """Return whether it may see this brand."""
        return self.brand_ids is None or brand_id in self.brand_ids


def create_key(
    *,
    name: str,
    scopes: Collection[Scope],
    brand_ids: Collection[int] | None = None,
    now: datetime,
    created_by_id: int | None = None,
) -> tuple[ApiKey, str]:
    """Make a key for all brands, or for some; return it with its secret, which is kept nowhere.

    Raises BudgetError for a name that is taken or no plain text, no scope, or a brand that there is not.
    """
    name = name.strip()
    if not (name and len(name) <= _LONGEST and is_plain(name) and "\n" not in name):
        raise BudgetError(f"The name must be plain text of 1 to {_LONGEST} characters.")
    if not scopes:
        raise BudgetError("Give the key at least one scope: read, spend or manage.")
    if brand_ids is not None:
        _insist_on_brands(brand_ids)
    prefix = f"{_MARK}_{secrets.token_hex(_PREFIX_BYTES)}"
    secret = f"{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    key = ApiKey(
        name=name,
        prefix=prefix,
        digest=_digest(secret),
        scopes=int(reduce(or_, scopes)),
        all_brands=brand_ids is None,
        created_at=now,
        created_by_id=created_by_id,
    )
    try:
        with transaction.atomic():
            key.full_clean()
            key.save(force_insert=True)
            key.brands.set(brand_ids or ())
    except (IntegrityError, ValidationError) as error:
        raise BudgetError(f"There is a key named {name!r}, perhaps a revoked one; give another name.") from error
    return key, secret


def revoke_key(*, key_id: int, now: datetime) -> None:
    """Revoke a key: the next request with it is refused. Raises BudgetError if there is no such key."""
    if not ApiKey.objects.filter(pk=key_id).exists():
        raise BudgetError(f"There is no API key {key_id}.")
    ApiKey.objects.filter(pk=key_id, revoked_at=None).update(revoked_at=now)


def find_callers(sent: Iterable[str], *, now: datetime) -> dict[str, Caller]:
    """Return who sent each of these secrets; those that are unknown, wrong or revoked are left out.

    One statement for any number of them, one more where keys are for some brands only.
    """
    prefixes = {secret: _prefix(secret) for secret in sent if secret.isascii() and secret.isprintable()}
    rows = ApiKey.objects.filter(prefix__in=set(prefixes.values()), revoked_at=None).order_by()
    found = {row[1]: _Row(*row) for row in rows.values_list(*_Row._fields)}
    good = {
        secret: found[prefix]
        for secret, prefix in prefixes.items()
        if prefix in found and hmac.compare_digest(found[prefix].digest, _digest(secret))
    }
    _note_use(good.values(), now)
    brands = _brands([row.id for row in good.values() if not row.all_brands])
    return {
        secret: Caller(row.id, Scope(row.scopes), None if row.all_brands else frozenset(brands[row.id]))
        for secret, row in good.items()
    }


class _Row(NamedTuple):
    """What of a key is looked at for every request."""

    id: int
    prefix: str
    digest: str
    scopes: int
    all_brands: bool
    last_used_at: datetime | None


def _prefix(secret: str) -> str:
    return secret[: len(_MARK) + 1 + 2 * _PREFIX_BYTES]


def _digest(secret: str) -> str:
    # One round is enough: 256 random bits can't be guessed from their hash, as a password can.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _insist_on_brands(brand_ids: Collection[int]) -> None:
    if not brand_ids:
        raise BudgetError("Name at least one brand, or none at all for a key that sees every brand.")
    possible = [brand_id for brand_id in brand_ids if 0 < brand_id <= MAX_ID]
    known = set(Brand.objects.filter(pk__in=possible).order_by().values_list("pk", flat=True))
    missing = sorted(set(brand_ids) - known)
    if missing:
        raise BudgetError(f"There is no brand {missing[0]}.")


def _brands(key_ids: Collection[int]) -> dict[int, set[int]]:
    brands: dict[int, set[int]] = defaultdict(set)
    if key_ids:
        pairs = ApiKey.brands.through.objects.filter(apikey__in=key_ids).values_list("apikey_id", "brand_id")
        for key_id, brand_id in pairs:
            brands[key_id].add(brand_id)
    return brands


def _note_use(rows: Iterable[_Row], now: datetime) -> None:
    late = [row.id for row in rows if row.last_used_at is None or row.last_used_at < now - SHOWN_USE]
    if late:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - SHOWN_USE)
        ApiKey.objects.filter(stale, pk__in=late).update(last_used_at=now)
