"""Brands: the list, and what people set on one. Every save, archiving and deletion is a service's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count
from django.http import HttpRequest
from django.utils.safestring import SafeString

from campaigns.admin import telling, words
from campaigns.admin.base import actor, figures, moment
from campaigns.admin.filters import ArchivedFilter
from campaigns.admin.forms import BrandForm
from campaigns.admin.writing import MONEY, ServiceAdmin, is_archived
from campaigns.models import Brand, Campaign
from campaigns.queries import listing
from campaigns.queries.standing import Limit
from campaigns.rules.verdict import BudgetScope
from campaigns.services import catalog
from campaigns.services.status import Actor, Change


@admin.register(Brand)
class BrandAdmin(ServiceAdmin[Brand]):
    """Brands."""

    form = BrandForm
    formfield_overrides = MONEY
    list_display = ("name", "spent_today", "daily", "spent_this_month", "monthly", "running", "zone")
    list_filter = (ArchivedFilter, "currency")
    search_fields = ("name", "external_id")
    search_help_text = "Name or external ID"
    ordering = ("name",)
    empty_icon = "storefront"
    empty_text = "No brands yet. Add one with its time zone, currency and budgets; then add its campaigns."

    def add_figures(self, request: HttpRequest, rows: Sequence[Brand]) -> dict[int, Any]:
        """Return the brands' figures."""
        return listing.brand_figures(rows, now=moment(request))

    @admin.display(description="Spent today")
    def spent_today(self, brand: Brand) -> SafeString:
        """What it has spent in its budget day."""
        return words.spent_of(_binding(brand, figures(brand).day), brand.currency)

    @admin.display(description="Spent this month")
    def spent_this_month(self, brand: Brand) -> SafeString:
        """What it has spent in its budget month."""
        return words.spent_of(_binding(brand, figures(brand).month), brand.currency)

    @admin.display(description="Daily budget", ordering="daily_budget")
    def daily(self, brand: Brand) -> str:
        """Its daily budget."""
        return _brand_budget(brand, brand.daily_budget)

    @admin.display(description="Monthly budget", ordering="monthly_budget")
    def monthly(self, brand: Brand) -> str:
        """Its monthly budget."""
        return _brand_budget(brand, brand.monthly_budget)

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
        return (
            ("Brand", {"fields": ("name", "external_id")}),
            ("Budgets", {"fields": (*budgets, "budget_scope")}),
            ("Time zone and currency", {"fields": ("timezone", "currency")}),
        )

    def save_model(self, request: HttpRequest, obj: Brand, form: Any, change: Any) -> None:
        """Create or change it by the service, and tell what that did to its campaigns."""
        fields, now = form.changed_fields(), moment(request)
        changes: list[Change] = []
        if not change:
            obj.pk = catalog.create_brand(now=now, by=actor(request), **form.all_fields()).pk
        elif fields:
            changes = catalog.update_brand(brand_id=obj.pk, now=now, by=actor(request), **fields)
        obj.refresh_from_db()
        for message, level in telling.told(changes):
            self.message_user(request, message, level)
        if change:
            found = listing.brand_figures([obj], now=now)[obj.pk]
            self.message_user(request, f"{obj}: {telling.brand_sentence(found)}", messages.INFO)

    def archive_one(self, pk: int, *, now: datetime, by: Actor) -> None:
        """Archive it with its campaigns."""
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


def _binding(brand: Brand, limit: Limit) -> Limit:
    """What a brand has spent, without its budget where that binds each campaign alone."""
    return Limit(None, limit.spent) if brand.budget_scope == BudgetScope.CAMPAIGN else limit
