"""Brands: the list, and what people set on one. Every save, archiving and deletion is a service's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from campaigns.admin import telling, words
from campaigns.admin.base import actor, figures, moment, visible_brands
from campaigns.admin.brand_page import brand_page
from campaigns.admin.effects import BudgetsAdmin
from campaigns.admin.filters import ArchivedFilter
from campaigns.admin.forms import PACING_CONDITIONS, PACING_FIELDS, BrandForm
from campaigns.admin.lists import CurrencyFilter, PacingFilter, RankedChangeList
from campaigns.admin.pages import OverviewAdmin
from campaigns.admin.sheets import BrandSheets
from campaigns.admin.writing import MONEY, is_archived
from campaigns.models import Brand, Campaign
from campaigns.queries import listing
from campaigns.queries.standing import Limit, brand_standing
from campaigns.rules.verdict import BudgetScope
from campaigns.services import catalog
from campaigns.services.status import Actor, Change

ONLY_SOME = "You see only some brands and would not see a new one: ask an administrator who sees all brands to add it."


@admin.register(Brand)
class BrandAdmin(BrandSheets, OverviewAdmin[Brand], BudgetsAdmin):
    """Brands."""

    brand_path = "pk"
    overview_template = "campaigns/admin/overview/brand.html"
    live_template = "campaigns/admin/overview/brand_live.html"
    identity = ("name", "external_id", "timezone", "currency", "budget_scope")
    form = BrandForm
    formfield_overrides = MONEY
    list_display = ("name", "spent_today", "spent_this_month", "share", "running", "zone")
    list_filter = (CurrencyFilter, PacingFilter, ArchivedFilter)
    conditional_fields = PACING_CONDITIONS
    actions_list = ("export_csv",)
    search_fields = ("name", "external_id")
    search_help_text = "Name or external ID"
    ordering = ("name",)
    empty_icon = "storefront"
    empty_text = "No brands yet. Add one with its time zone, currency and budgets; then add its campaigns."

    def has_add_permission(self, request: HttpRequest) -> bool:
        """As permitted; nobody adds a brand that is then out of their sight."""
        return visible_brands(request) is None and super().has_add_permission(request)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add a brand, or say in one sentence why a person with a limit can't."""
        if visible_brands(request) is not None and request.user.has_perm("campaigns.add_brand"):
            self.message_user(request, ONLY_SOME, messages.ERROR)
            return HttpResponseRedirect(self.link("changelist"))
        return super().add_view(request, form_url, extra_context)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RankedChangeList]:
        """Return the list, which can be ordered by figures."""
        return RankedChangeList

    ranking = staticmethod(listing.ranked_brands)

    def add_figures(self, request: HttpRequest, rows: Sequence[Brand]) -> dict[int, Any]:
        """Return the brands' figures."""
        return listing.brand_figures(rows, now=moment(request))

    @admin.display(description="Spent today", ordering="pk")
    def spent_today(self, brand: Brand) -> SafeString:
        """What it has spent in its budget day."""
        return _spent(brand, figures(brand).day, brand.daily_budget)

    @admin.display(description="Spent this month", ordering="pk")
    def spent_this_month(self, brand: Brand) -> SafeString:
        """What it has spent in its budget month."""
        return _spent(brand, figures(brand).month, brand.monthly_budget)

    @admin.display(description="Daily budget", ordering="daily_budget")
    def daily(self, brand: Brand) -> str:
        """Its daily budget."""
        return _brand_budget(brand, brand.daily_budget)

    @admin.display(description="Monthly budget", ordering="monthly_budget")
    def monthly(self, brand: Brand) -> str:
        """Its monthly budget."""
        return _brand_budget(brand, brand.monthly_budget)

    @admin.display(description="Spends")
    def pacing_text(self, brand: Brand) -> str:
        """How it spends its budget."""
        return words.pacing(brand.pacing)

    @admin.display(description="Daily budget from the month")
    def from_month(self, brand: Brand) -> str:
        """Whether its daily budget is set from the month, and within which bounds."""
        return words.from_month(brand, brand.currency)

    @admin.display(description="Share of budget", ordering="pk")
    def share(self, brand: Brand) -> SafeString | str:
        """The budget that is spent furthest, and which one it is."""
        found = listing.largest_brand_share(brand, figures(brand))
        if found is None or is_archived(brand):
            return words.NONE
        return words.share_of(found.limit, found.which.removeprefix("the brand's "), brand.currency)

    @admin.display(description="Campaigns")
    def running(self, brand: Brand) -> SafeString:
        """How many of its campaigns may spend."""
        return words.label("archived", "gray") if is_archived(brand) else telling.running_label(figures(brand))

    @admin.display(description="Time zone", ordering="timezone")
    def zone(self, brand: Brand) -> str:
        """Its time zone."""
        return brand.timezone.key

    def get_fieldsets(self, request: HttpRequest, obj: Brand | None = None) -> Any:
        """Return the form; whoever may only look sees amounts in words."""
        editable = obj is None or self.has_change_permission(request, obj)
        budgets = ("daily_budget", "monthly_budget") if editable else ("daily", "monthly")
        pacing = PACING_FIELDS if editable else ("pacing_text", "from_month")
        return (
            ("Brand", {"fields": ("name", "external_id")}),
            ("Budgets", {"fields": (*budgets, "budget_scope")}),
            ("Pacing", {"fields": pacing}),
            ("Time zone and currency", {"fields": ("timezone", "currency")}),
        )

    def overview(self, request: HttpRequest, row: Brand, now: datetime) -> dict[str, Any]:
        """Return what its page shows."""
        standing = brand_standing(brand_id=row.pk, now=now)
        may_add = row.archived_at is None and request.user.has_perm("campaigns.add_campaign")
        return brand_page(row, standing, now=now, may_add=may_add)

    def beside(self, request: HttpRequest, row: Brand) -> dict[str, Any]:
        """Return its budgets, which are edited there; a part that refreshes would take the form away."""
        return {} if is_archived(row) else self.budgets_context(request, row)

    def save_model(self, request: HttpRequest, obj: Brand, form: Any, change: Any) -> None:
        """Create or change it by the service, and tell what that did to its campaigns."""
        now = moment(request)
        changes: list[Change] = []
        if not change:
            obj.pk = catalog.create_brand(now=now, by=actor(request), **form.all_fields()).pk
        else:
            changes = self.store(obj, form, now=now, by=actor(request))
        obj.refresh_from_db()
        for message, level in telling.told(changes):
            self.message_user(request, message, level)
        if change:
            found = listing.brand_figures([obj], now=now)[obj.pk]
            self.message_user(request, f"{obj}: {telling.brand_sentence(found)}", messages.INFO)

    def archive_rows(self, pks: Sequence[int], *, now: datetime, by: Actor) -> None:
        """Archive them with their campaigns: each as a set, and a transaction of its own."""
        for pk in pks:
            catalog.archive_brand(brand_id=pk, now=now, by=by)

    def delete_one(self, pk: int, *, now: datetime, by: Actor) -> None:
        """Delete it with its campaigns."""
        catalog.delete_brand(brand_id=pk, now=now, by=by)

    def with_spend(self, pks: Collection[int]) -> set[int]:
        """Return which of them have spend."""
        return listing.brands_with_spend(pks)

    def dependents(self, rows: Sequence[Brand]) -> dict[str, int]:
        """Return how many campaigns go along."""
        campaigns = Campaign.objects.filter(brand__in=[row.pk for row in rows]).aggregate(number=Count("pk"))["number"]
        return {"campaign" if campaigns == 1 else "campaigns": campaigns} if campaigns else {}


def _brand_budget(brand: Brand, budget: Any) -> str:
    each = " each" if budget is not None and brand.budget_scope == BudgetScope.CAMPAIGN else ""
    return words.budget(budget, brand.currency) + each


def _spent(brand: Brand, limit: Limit, budget: Any) -> SafeString:
    """What a brand has spent of its budget; where that binds each campaign alone, beside the budget of each."""
    if brand.budget_scope != BudgetScope.CAMPAIGN:
        return words.spent_of(limit, brand.currency, of_budget=True)
    spent = words.spent_of(Limit(None, limit.spent), brand.currency)
    return format_html('{} <span class="bm-subtle">{}</span>', spent, _brand_budget(brand, budget))
