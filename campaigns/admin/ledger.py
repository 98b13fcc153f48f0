"""The ledger and its counters: shown, never changed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from campaigns.admin import words
from campaigns.admin.base import AutocompleteFilter, ReadOnlyAdmin
from campaigns.admin.filters import CampaignFilter
from campaigns.admin.newest import BrandedPaginator, NewestPaginator
from campaigns.models import Brand, BrandCounter, CampaignCounter, SpendLog
from campaigns.models.counters import PeriodKind
from campaigns.queries.archive import archived_until


@admin.register(SpendLog)
class SpendLogAdmin(ReadOnlyAdmin[SpendLog]):
    """The spend log."""

    brand_path = "brand"
    paginator = BrandedPaginator
    list_display = ("occurred", "brand", "campaign", "exact_amount", "adjusted", "budget_day", "event")
    list_filter = (("brand", AutocompleteFilter), ("campaign", CampaignFilter))
    list_select_related = ("brand", "campaign")
    search_fields = ("event_id",)
    search_help_text = "Event ID, exactly"
    sortable_by = ()  # the newest first: any other order would read the whole ledger
    fieldsets = (
        ("Spend", {"fields": ("brand", "campaign", "exact_amount", "kind", "note")}),
        ("When", {"fields": ("occurred", "budget_day", "recorded")}),
        ("Reported as", {"fields": ("event",)}),
    )
    empty_icon = "receipt_long"
    empty_text = "No spend recorded yet. It arrives through the API, an import, or manage.py log_spend."

    list_before_template = "campaigns/admin/ledger_note.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Say from which day on the list has rows, if older ones are in the archive."""
        return super().changelist_view(request, (extra_context or {}) | {"archived_until": archived_until()})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[SpendLog], bool]:
        """Find an event by its id: the key begins with the brand, so all brands are named."""
        if not search_term.strip():
            return queryset, False
        return queryset.filter(event_id=search_term.strip(), brand__in=Brand.objects.order_by()), False

    @admin.display(description="Occurred", ordering="timestamp")
    def occurred(self, row: SpendLog) -> SafeString | str:
        """When it occurred, on the brand's clock."""
        return words.clock(row.timestamp, row.brand.timezone, seconds=True)

    @admin.display(description="Recorded")
    def recorded(self, row: SpendLog) -> SafeString | str:
        """When it was recorded, on the brand's clock."""
        return words.clock(row.recorded_at, row.brand.timezone, seconds=True)

    @admin.display(description="Kind")
    def adjusted(self, row: SpendLog) -> SafeString | str:
        """Marks the adjustments among the spend."""
        return words.label("Adjustment", "amber") if row.kind == SpendLog.Kind.ADJUSTMENT else "Spend"

    @admin.display(description="Budget day")
    def budget_day(self, row: SpendLog) -> str:
        """The day it counts in."""
        return words.date(row.day)

    @admin.display(description="Event ID")
    def event(self, row: SpendLog) -> str:
        """The reporter's id."""
        return row.event_id

    @admin.display(description="Amount")
    def exact_amount(self, row: SpendLog) -> str:
        """The amount to its last digit."""
        return words.exact(row.amount, row.brand.currency)


class _CounterAdmin(ReadOnlyAdmin[Any]):
    """What both kinds of counter show."""

    brand_path = "brand"
    paginator = NewestPaginator
    empty_icon = "functions"
    empty_text = "No counters yet. The first spend of a day, a month or a campaign begins one."
    ordering = ("-id",)

    @admin.display(description="Period")
    def period_label(self, row: BrandCounter | CampaignCounter) -> str:
        """The day, the month, or the whole life."""
        if row.period == PeriodKind.TOTAL:
            return "in all"
        if row.period == PeriodKind.MONTH:
            return f"{row.start:%B %Y}"
        return words.date(row.start)

    @admin.display(description="Spent")
    def spent_amount(self, row: BrandCounter | CampaignCounter) -> str:
        """What was spent."""
        return words.exact(row.spent, row.brand.currency)

    @admin.display(description="Held")
    def held_amount(self, row: BrandCounter | CampaignCounter) -> str:
        """What is held."""
        return words.exact(row.held, row.brand.currency)


@admin.register(BrandCounter)
class BrandCounterAdmin(_CounterAdmin):
    """Counters of brands."""

    list_display = ("brand", "period_label", "spent_amount", "held_amount")
    list_filter = ("period", ("brand", AutocompleteFilter))
    list_select_related = ("brand",)
    fields = ("brand", "period_label", "spent_amount", "held_amount")


@admin.register(CampaignCounter)
class CampaignCounterAdmin(_CounterAdmin):
    """Counters of campaigns."""

    list_display = ("campaign", "brand", "period_label", "spent_amount", "held_amount")
    list_filter = ("period", ("brand", AutocompleteFilter), ("campaign", CampaignFilter))
    list_select_related = ("brand", "campaign")
    fields = ("brand", "campaign", "period_label", "spent_amount", "held_amount")
