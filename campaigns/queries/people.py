"""Who may see and do what: a person's brands, and who may do more than somebody else."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from campaigns.models import BrandLimit


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
