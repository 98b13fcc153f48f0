"""Who may see and do what: a person's brands, and who may do more than somebody else."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber

from campaigns.models import BrandLimit
from campaigns.rules.errors import BudgetError


def visible_brands(user_id: int) -> list[int] | None:
    """Return the ids of the only brands that a person sees, in ascending order; None if there is no limit."""
    limit = BrandLimit.objects.filter(user=user_id).annotate(brand_id=F("brands__pk"))
    rows = list(limit.order_by("brand_id").values_list("brand_id", flat=True))
    # One query, which nearly every request of a person makes: a limit without brands is one row without a brand.
    return [pk for pk in rows if pk is not None] if rows else None


def brands_of(user_ids: Collection[int], *, most: int) -> dict[int, tuple[list[str], int]]:
    """Return the first names of the only brands that people see, and how many these are, by person, in one query.

    Whoever sees all brands, or none, is not in it.
    """
    listed = BrandLimit.brands.through.objects.filter(brandlimit__in=user_ids)
    place = Window(RowNumber(), partition_by="brandlimit", order_by="brand__name")
    number = Window(Count("pk"), partition_by="brandlimit")
    numbered: Any = listed.annotate(place=place, number=number, name=F("brand__name"))  # the table has no class of ours
    found: dict[int, tuple[list[str], int]] = {}
    for row in numbered.filter(place__lte=most).order_by("brandlimit", "place").values("brandlimit", "name", "number"):
        found.setdefault(row["brandlimit"], ([], row["number"]))[0].append(row["name"])
    return found


def permissions_of(user_id: int) -> QuerySet[Permission]:
    """Return what a person was given, by themselves or by a group. A superuser may do everything beside that."""
    return Permission.objects.filter(Q(user=user_id) | Q(group__user=user_id)).distinct()


def groups_beyond(user_id: int) -> frozenset[int]:
    """Return the ids of the groups that may do something which a person may not, who is no superuser."""
    granted = Group.permissions.through.objects.filter(group=OuterRef("pk"))
    more = Exists(granted.exclude(permission__in=permissions_of(user_id).values("pk")))
    return frozenset(Group.objects.filter(more).values_list("pk", flat=True))


def people_beyond(user_id: int) -> frozenset[int]:
    """Return the ids of the people who may do something which a person may not, who is no superuser."""
    granted = User.user_permissions.through.objects.filter(user=OuterRef("pk"))
    more = Exists(granted.exclude(permission__in=permissions_of(user_id).values("pk")))
    found = User.objects.filter(Q(is_superuser=True) | Q(groups__in=groups_beyond(user_id)) | more)
    return frozenset(found.values_list("pk", flat=True))


def is_name(name: str) -> bool:
    """Return whether somebody logs in by this name."""
    return User.objects.filter(username=name).exists()


def find_person(name: str) -> User:
    """Return the person who logs in by this name. Raises BudgetError if there is none."""
    person = User.objects.filter(username=name).first() if name.isprintable() else None
    if person is None:
        raise BudgetError(f"There is nobody called {name!r}.")
    return person


def with_factor(user_id: int) -> User | None:
    """Return a person; `factor_id` is the id of their second factor, None without one. One query."""
    factor = Authenticator.objects.filter(user=OuterRef("pk"), type=Authenticator.Type.TOTP)
    return User.objects.filter(pk=user_id).annotate(factor_id=Subquery(factor.values("pk"))).first()


def factor_of(user_id: int) -> int | None:
    """Return the id of a person's second factor; None without one."""
    found: int | None = (
        Authenticator.objects.filter(user=user_id, type=Authenticator.Type.TOTP).values_list("pk", flat=True).first()
    )
    return found


def factors_of(user_ids: Collection[int]) -> dict[int, datetime]:
    """Return when people have set their second factors up, by person; whoever has none is not in it. One query."""
    rows = Authenticator.objects.filter(user__in=user_ids, type=Authenticator.Type.TOTP)
    return dict(rows.values_list("user_id", "created_at"))


def failed_logins(name: str, *, since: datetime) -> list[tuple[str, int, datetime]]:
    """Return from where logins by a name have failed, how often and when last, the newest first; at most 20."""
    rows = AccessAttempt.objects.filter(username=name, attempt_time__gt=since).order_by("-attempt_time")
    return list(rows.values_list("ip_address", "failures_since_start", "attempt_time")[:20])
