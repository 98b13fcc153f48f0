"""Lists that are ordered by figures: what was spent, and how much of a budget; and their filter by currency."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

from django.contrib.admin import ModelAdmin
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from campaigns.admin import words
from campaigns.admin.base import ChoiceFilter, FiguresChangeList, moment
from campaigns.models import Brand, Pacing
from campaigns.queries.listing import Rank

RANKS: Mapping[str, Rank] = {"spent_today": Rank.DAY, "spent_this_month": Rank.MONTH, "share": Rank.SHARE}
"""The columns that order a list by figures. To Django they order it by id, which the headers need."""


class Ranking(Protocol):
    """Returns the ids of some rows in the order of a rank."""

    def __call__(
        self, rows: Any, by: Rank, *, descending: bool, now: Any, start: int = 0, stop: int | None = None
    ) -> list[int]: ...


class RankedChangeList(FiguresChangeList):
    """A list that can be ordered by figures. Its admin has `ranking`."""

    @property
    def rank(self) -> tuple[Rank, bool] | None:
        """What the person has ordered by and whether it is descending, if by figures."""
        for column, direction in self.get_ordering_field_columns().items():
            name = self.list_display[int(column)] if int(column) < len(self.list_display) else ""
            return (RANKS[str(name)], direction == "desc") if name in RANKS else None
        return None

    def ids(self, request: HttpRequest) -> Sequence[int]:
        """Return the ids of all rows that match, in the order of the list."""
        if self.rank is None:
            return list(self.queryset.values_list("pk", flat=True))
        return _Ranked(self.queryset, self, request).ids()

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page's rows, in the order of figures where that is wanted."""
        plain = self.queryset
        if self.rank is not None:
            self.queryset = cast("Any", _Ranked(plain, self, request))
        try:
            super().get_results(request)
        finally:
            self.queryset = plain


class _Ranked:
    """Rows in the order of a rank, as far as a paginator needs them."""

    ordered = True

    def __init__(self, rows: QuerySet[models.Model], of: RankedChangeList, request: HttpRequest) -> None:
        assert of.rank is not None
        self._rows, self._now = rows, moment(request)
        self._by, self._descending = of.rank
        self._ranking = cast("Ranking", of.model_admin.ranking)  # type: ignore[attr-defined]  # ours have one

    def ids(self, start: int = 0, stop: int | None = None) -> list[int]:
        """Return the ids of some of the rows in order."""
        return self._ranking(self._rows, self._by, descending=self._descending, now=self._now, start=start, stop=stop)

    def count(self) -> int:
        """Return how many rows there are."""
        return self._rows.count()

    def order_by(self) -> _Ranked:
        """Return the rows for counting."""
        return self

    def __getitem__(self, which: slice) -> list[models.Model]:
        ids = self.ids(which.start or 0, which.stop)
        found = self._rows.order_by().in_bulk(ids)
        return [found[pk] for pk in ids if pk in found]

    def __iter__(self) -> Iterator[models.Model]:
        return iter(self[:])

    def _clone(self) -> list[models.Model]:
        """Return all rows: what a list of one page asks of its rows."""
        return self[:]


class CurrencyFilter(ChoiceFilter):
    """Brands, or what belongs to them, by currency."""

    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return the currencies of the brands that the person sees."""
        brands = model_admin.admin_site.get_model_admin(Brand).get_queryset(request).filter(archived_at=None)
        codes = brands.order_by("currency").values_list("currency", flat=True).distinct()
        return [(code, code) for code in codes]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list."""
        column = "currency" if queryset.model is Brand else "brand__currency"
        return queryset.filter(**{column: self.value()}) if self.value() else queryset


class PacingFilter(ChoiceFilter):
    """Brands by how they spend; campaigns by how they do themselves or with their brand."""

    title = "pacing"
    parameter_name = "pacing"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return the choices."""
        return [(choice.value, words.pacing(choice)) for choice in Pacing]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list."""
        if self.value() not in Pacing.values:
            return queryset
        evenly = Q(pacing=Pacing.EVEN)
        if queryset.model is not Brand:
            evenly |= Q(brand__pacing=Pacing.EVEN)
        return queryset.filter(evenly if self.value() == Pacing.EVEN else ~evenly)
