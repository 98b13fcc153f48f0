"""Paging through tables that grow without end, for people who see little of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

from django.db.models import Model, QuerySet

from campaigns.admin import base
from campaigns.admin.base import CappedPaginator

LOOKED_AT = 500_000
"""The newest rows of a table among which a filtered list looks for its own: that much is read at most."""


class NewestPaginator(CappedPaginator):
    """Shows the newest rows that match, and reads a bounded part of the table to find them.

    Rows come by descending id, and no index has the ids of a brand in order (it would cost every event). So a list
    that is filtered, such as by the brands that a person sees, looks among the newest rows of the table. What has
    none there, but an index by its brand, shows its few older ones.
    """

    by_brand = False
    """Whether an index leads to the rows of a brand."""
    narrowed = False
    """Whether there may be older rows that are not shown."""

    @cached_property
    def count(self) -> int:
        """The number of rows that are shown, at most 10,000."""
        rows = cast("QuerySet[Model]", self.object_list)
        newest: QuerySet[Model, int] = QuerySet(rows.model).order_by("-pk").values_list("pk", flat=True)
        floor = (newest.first() or 0) - LOOKED_AT if rows.query.where else 0
        if floor > 0:
            self.narrowed = True
            self.object_list = rows.filter(pk__gt=floor)
        number: int = super().count
        return self._few_older(rows) if floor > 0 and number < self.per_page else number

    @property
    def is_capped(self) -> bool:
        """Whether there may be more rows than were counted."""
        return self.narrowed or super().is_capped

    def _few_older(self, rows: QuerySet[Any]) -> int:
        if self.by_brand:
            found = list(rows.order_by().values_list("pk", flat=True)[: base.MAX_COUNTED])
            if len(found) < base.MAX_COUNTED:
                self.narrowed = False
                self.object_list = rows.filter(pk__in=found)
                return len(found)
        return cast("QuerySet[Any]", self.object_list).order_by()[: base.MAX_COUNTED].count()


class BrandedPaginator(NewestPaginator):
    """The same for a table with an index that begins with the brand."""

    by_brand = True
