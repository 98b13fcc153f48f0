"""Roles: what viewers, operators and administrators may do, and which brands a person sees.

The three roles are Django groups of those names. They are ours: every migrate puts back exactly these permissions. For
anything else one makes a group of one's own.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable

from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction

from campaigns.models import Brand, BrandLimit
from campaigns.rules.errors import BudgetError, InvalidFieldError

MAX_BRANDS = 1_000
"""The most brands that a limit names: every query of a limited person carries them."""

_SHOWN = (
    "brand",
    "campaign",
    "daypartingschedule",
    "spendlog",
    "hold",
    "brandcounter",
    "campaigncounter",
    "statuschange",
    "edit",
    "rollover",
    "periodicrun",
    "alert",
    "alertrule",
)


class Role(enum.StrEnum):
    """The roles, as their groups are called."""

    VIEWER = "Viewer"
    OPERATOR = "Operator"
    ADMINISTRATOR = "Administrator"


ROLE_LABELS = {
    Role.VIEWER: "sees brands, campaigns, spend, alerts and journals",
    Role.OPERATOR: "the same; pauses and resumes, sets budgets, flights, hours and the rules of alerts",
    Role.ADMINISTRATOR: "the same; adds, names, archives and deletes, and looks after channels, people and API keys",
}
"""Each role in words for people."""

_VIEWER = frozenset(f"campaigns.view_{model}" for model in _SHOWN)
_OPERATOR = (
    _VIEWER
    | {"campaigns.change_brand", "campaigns.change_campaign"}
    | {f"campaigns.{verb}_alertrule" for verb in ("add", "change", "delete")}
    | {"campaigns.view_channel", "campaigns.view_delivery", "campaigns.change_delivery"}
)
_ADMINISTRATOR = (
    _OPERATOR
    | {f"campaigns.{verb}_{model}" for verb in ("add", "delete") for model in ("brand", "campaign")}
    | {f"campaigns.{verb}_channel" for verb in ("add", "change", "delete")}
    | {f"campaigns.{verb}_apikey" for verb in ("view", "add", "change")}
    | {f"auth.{verb}_{model}" for verb in ("view", "add", "change", "delete") for model in ("user", "group")}
)
PERMISSIONS = {Role.VIEWER: _VIEWER, Role.OPERATOR: _OPERATOR, Role.ADMINISTRATOR: _ADMINISTRATOR}
"""What each role may do, as Django names permissions."""


def ensure_roles(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """Make the three groups and give them exactly their permissions, as far as these exist by now; any number of times.

    A constant number of statements.
    """
    granted = Group.permissions.through.objects.using(using)
    with transaction.atomic(using=using):
        groups = [Group(name=role.value) for role in Role]
        Group.objects.using(using).bulk_create(groups, ignore_conflicts=True)
        wanted = _wanted(using)
        ids = {group_id for group_id, _ in wanted}
        has = {(row.group_id, row.permission_id): row.pk for row in granted.filter(group__in=ids)}
        granted.filter(pk__in=[pk for pair, pk in has.items() if pair not in wanted]).delete()
        missing = [granted.model(group_id=group_id, permission_id=pk) for group_id, pk in sorted(wanted - has.keys())]
        granted.bulk_create(missing, ignore_conflicts=True)


def create_person(
    *, name: str, role: Role, password: str, email: str = "", brand_ids: Collection[int] | None = None
) -> User:
    """Make a person with a role who can log in at once; brand_ids: the only brands they see, None is all.

    Raises BudgetError, with nothing made, for a name or an address that can't be, or a brand that there is not.
    """
    person = User(username=name, email=User.objects.normalize_email(email), is_staff=True)
    person.set_password(password)
    try:
        person.full_clean()
    except ValidationError as error:
        field, (first, *_) = next(iter(error.message_dict.items()))
        raise InvalidFieldError(field, f"{field.capitalize()}: {first}") from error
    with transaction.atomic():
        try:
            with transaction.atomic():
                person.save(force_insert=True)
        except IntegrityError as error:
            raise BudgetError(f"There is a person called {name}; give another name.") from error
        person.groups.add(Group.objects.get(name=role))
        set_limit(user_id=person.pk, brand_ids=brand_ids)
    return person


def set_limit(*, user_id: int, brand_ids: Collection[int] | None) -> None:
    """Let a person see some brands only (an empty list: none at all), or every brand (None).

    Raises BudgetError, with nothing changed, for a brand that there is not or too many of them.
    """
    with transaction.atomic():
        if brand_ids is None:
            BrandLimit.objects.filter(user=user_id).delete()
            return
        wanted = set(brand_ids)
        _check(wanted)
        limit, _ = BrandLimit.objects.get_or_create(user_id=user_id)
        limit.brands.set(wanted)


def _wanted(using: str) -> set[tuple[int, int]]:
    """Which group gets which permission, as pairs of ids."""
    ids = dict(Group.objects.using(using).filter(name__in=list(Role)).values_list("name", "pk"))
    rows = Permission.objects.using(using).filter(content_type__app_label__in=["auth", "campaigns"])
    known = {
        f"{app}.{codename}": pk for app, codename, pk in rows.values_list("content_type__app_label", "codename", "pk")
    }
    return {(ids[role], known[name]) for role, names in PERMISSIONS.items() for name in names & known.keys()}


def _check(brand_ids: Iterable[int]) -> None:
    wanted = set(brand_ids)
    if len(wanted) > MAX_BRANDS:
        raise BudgetError(f"A limit names at most {MAX_BRANDS:,} brands; choose fewer, or all.")
    unknown = wanted - set(Brand.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    if unknown:
        raise InvalidFieldError("brands", f"There is no brand {min(unknown)}.")
