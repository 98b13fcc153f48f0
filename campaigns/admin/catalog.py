"""Brands and campaigns: what people set. Every save, pause, archiving and deletion is a service's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Field, QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold import widgets
from unfold.enums import ActionVariant

from campaigns.admin import words
from campaigns.admin.base import AutocompleteFilter, action, actor, figures, moment
from campaigns.admin.filters import ArchivedFilter, CampaignChoices, ReasonFilter, StatusFilter
from campaigns.admin.forms import (
    GRID,
    WINDOW,
    BrandForm,
    CampaignForm,
    NotedActionForm,
    NoteForm,
    one_line,
    weekday_bits,
)
from campaigns.admin.writing import MAX_NAMED, ServiceAdmin, is_archived
from campaigns.models import Brand, Campaign, DaypartingSchedule
from campaigns.models.fields import MoneyField
from campaigns.queries import listing
from campaigns.queries.standing import CampaignStanding, Limit
from campaigns.rules import periods, reasons
from campaigns.rules.verdict import BudgetScope
from campaigns.services import catalog
from campaigns.services.status import Actor, Change

_MONEY: Mapping[type[Field[Any, Any]], Mapping[str, Any]] = {
    MoneyField: {"widget": widgets.UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})}
}


@admin.register(Brand)
class BrandAdmin(ServiceAdmin[Brand]):
    """Brands."""

    form = BrandForm
    formfield_overrides = _MONEY
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
        return words.label("archived", "gray") if is_archived(brand) else _running_label(figures(brand))

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

    def panel(self, obj: Brand, now: datetime) -> dict[str, Any]:
        """Return what it has spent and how its campaigns stand."""
        found: listing.BrandFigures = figures(obj)
        campaigns = f"{reverse('admin:campaigns_campaign_changelist')}?brand__id__exact={obj.pk}"
        ledger = f"{reverse('admin:campaigns_spendlog_changelist')}?brand__id__exact={obj.pk}"
        journal = f"{reverse('admin:campaigns_statuschange_changelist')}?campaign__brand__id__exact={obj.pk}"
        return {
            "labels": words.label("archived", "gray") if is_archived(obj) else _running_label(found, whole=True),
            "today": _today(obj, now),
            "rows": [
                _row("Today", _binding(obj, found.day), obj.currency),
                _row("This month", _binding(obj, found.month), obj.currency),
            ],
            "note": _alone_note(obj),
            "links": (("Campaigns", campaigns), ("Spend log", ledger), ("Status changes", journal)),
        }

    def save_model(self, request: HttpRequest, obj: Brand, form: Any, change: Any) -> None:
        """Create or change it by the service, and tell what that did to its campaigns."""
        fields, now = form.changed_fields(), moment(request)
        changes: list[Change] = []
        if not change:
            obj.pk = catalog.create_brand(now=now, **form.all_fields()).pk
        elif fields:
            changes = catalog.update_brand(brand_id=obj.pk, now=now, by=actor(request), **fields)
        obj.refresh_from_db()
        for message, level in _told(changes):
            self.message_user(request, message, level)
        if change:
            found = listing.brand_figures([obj], now=now)[obj.pk]
            self.message_user(request, f"{obj}: {_brand_sentence(found)}", messages.INFO)

    def archive_one(self, pk: int, *, now: datetime, by: Actor) -> None:
        """Archive it with its campaigns."""
        catalog.archive_brand(brand_id=pk, now=now, by=by)

    def delete_one(self, pk: int, *, now: datetime) -> None:
        """Delete it with its campaigns."""
        catalog.delete_brand(brand_id=pk, now=now)

    def with_spend(self, pks: Collection[int]) -> set[int]:
        """Return which of them have spend."""
        return listing.brands_with_spend(pks)

    def dependents(self, rows: Sequence[Brand]) -> dict[str, int]:
        """Return how many campaigns go along."""
        campaigns = Campaign.objects.filter(brand__in=[row.pk for row in rows]).aggregate(number=Count("pk"))["number"]
        return {"campaign" if campaigns == 1 else "campaigns": campaigns} if campaigns else {}


@admin.register(Campaign)
class CampaignAdmin(ServiceAdmin[Campaign]):
    """Campaigns with their schedules."""

    form = CampaignForm
    formfield_overrides = _MONEY
    action_form = NotedActionForm
    actions = ("pause_selected", "resume_selected", "archive_selected")
    actions_detail = ("pause", "resume", "archive")
    list_display = ("name", "brand", "status", "resumes", "spent_today", "spent_this_month")
    list_filter = (StatusFilter, ReasonFilter, ("brand", AutocompleteFilter), ArchivedFilter)
    list_select_related = ("brand",)
    search_fields = ("name", "external_id", "brand__name")
    search_help_text = "Campaign, brand or external ID"
    ordering = ("brand__name", "name")
    autocomplete_fields = ("brand",)
    # The fields of the one form of hours that is chosen.
    conditional_fields = {  # noqa: RUF012 - read by Unfold
        "start_hour": f"hours == '{WINDOW}'",
        "end_hour": f"hours == '{WINDOW}'",
        "weekdays": f"hours == '{WINDOW}'",
        "grid": f"hours == '{GRID}'",
    }
    empty_icon = "campaign"
    empty_text = "No campaigns yet. Add one to a brand: it may spend at once, within the brand's budgets."

    def get_urls(self) -> list[URLPattern]:
        """Add what the campaign filters search in."""
        choices = CampaignChoices.as_view(admin_site=self.admin_site)
        return [
            path("choices/", self.admin_site.admin_view(choices), name="campaigns_campaign_choices"),
            *super().get_urls(),
        ]

    def add_figures(self, request: HttpRequest, rows: Sequence[Campaign]) -> dict[int, Any]:
        """Return the campaigns' standings, and the moment they are of."""
        now = moment(request)
        standings = listing.campaign_standings([row.pk for row in rows], now=now)
        return {pk: (standing, now) for pk, standing in standings.items()}

    @admin.display(description="Status", ordering="reasons")
    def status(self, campaign: Campaign) -> SafeString:
        """Active, or every reason why not."""
        return words.status_labels(campaign.reasons, archived=campaign.archived_at is not None)

    @admin.display(description="Resumes")
    def resumes(self, campaign: Campaign) -> SafeString | str:
        """When a paused one resumes."""
        standing, now = figures(campaign) or (None, None)
        if standing is None or standing.is_active:
            return words.NONE
        if standing.resumes_at is None:
            return format_html('<span class="bm-subtle">{}</span>', "not by itself")
        if standing.resumes_at <= now:
            return "now"
        return words.clock(standing.resumes_at, campaign.brand.timezone)

    @admin.display(description="Spent today")
    def spent_today(self, campaign: Campaign) -> SafeString | str:
        """What it has spent in its budget day."""
        return _spent(campaign, lambda standing: standing.day)

    @admin.display(description="Spent this month")
    def spent_this_month(self, campaign: Campaign) -> SafeString | str:
        """What it has spent in its budget month."""
        return _spent(campaign, lambda standing: standing.month)

    @admin.display(description="Daily budget")
    def daily(self, campaign: Campaign) -> str:
        """Its own daily budget, beside the brand's."""
        return _own_budget(campaign, campaign.daily_budget)

    @admin.display(description="Monthly budget")
    def monthly(self, campaign: Campaign) -> str:
        """Its own monthly budget, beside the brand's."""
        return _own_budget(campaign, campaign.monthly_budget)

    @admin.display(description="Total budget")
    def total(self, campaign: Campaign) -> str:
        """Its budget for its whole life."""
        return _own_budget(campaign, campaign.total_budget)

    @admin.display(description="May spend")
    def schedule_text(self, campaign: Campaign) -> str:
        """Its hours in words."""
        schedule = DaypartingSchedule.objects.filter(campaign=campaign).first()
        return "at any hour" if schedule is None else f"{schedule} {campaign.brand.timezone.key}"

    def get_readonly_fields(self, request: HttpRequest, obj: Campaign | None = None) -> Any:
        """Return what stays: a campaign does not move to another brand."""
        return () if obj is None else ("brand", "daily", "monthly", "total", "schedule_text")

    def get_fieldsets(self, request: HttpRequest, obj: Campaign | None = None) -> Any:
        """Return the form; whoever may only look sees amounts and hours in words."""
        if obj is None or self.has_change_permission(request, obj):
            zone = f"On the clock of {obj.brand.timezone.key}." if obj else "On the clock of the brand's time zone."
            budgets: tuple[str, ...] = ("daily_budget", "monthly_budget", "total_budget")
            hours: dict[str, Any] = {"fields": ("hours", ("start_hour", "end_hour"), "weekdays", "grid")}
            hours["description"] = zone
        else:
            budgets, hours = ("daily", "monthly", "total"), {"fields": ("schedule_text",)}
        return (
            ("Campaign", {"fields": ("brand", "name", "external_id")}),
            ("Budgets of its own", {"fields": budgets}),
            ("Flight", {"fields": (("flight_start", "flight_end"),)}),
            ("Hours", hours),
        )

    def panel(self, obj: Campaign, now: datetime) -> dict[str, Any]:
        """Return its status with every reason, and its standing at each limit that binds it."""
        standing, _ = figures(obj) or (None, None)
        zone, currency = obj.brand.timezone, obj.brand.currency
        ledger = f"{reverse('admin:campaigns_spendlog_changelist')}?campaign__id__exact={obj.pk}"
        journal = f"{reverse('admin:campaigns_statuschange_changelist')}?campaign__id__exact={obj.pk}"
        panel: dict[str, Any] = {
            "labels": words.status_labels(obj.reasons, archived=obj.archived_at is not None),
            "today": _today(obj.brand, now),
            "links": (
                ("Brand", reverse("admin:campaigns_brand_change", args=[obj.brand_id])),
                ("Spend log", ledger),
                ("Status changes", journal),
            ),
        }
        if standing is None:
            return panel
        sentence = "May spend now" if standing.is_active else words.resumption(standing, zone, now)
        alone = obj.brand.budget_scope == BudgetScope.CAMPAIGN
        brand = "Brand's budget, each campaign" if alone else "Brand, all campaigns"
        rows = [
            _row("Today", standing.day, currency),
            _row("This month", standing.month, currency),
            _row("In all", standing.total, currency),
            _row(f"{brand}, today", standing.brand_day, currency),
            _row(f"{brand}, this month", standing.brand_month, currency),
        ]
        return {**panel, "sentence": f"{sentence[0].upper()}{sentence[1:]}.", "rows": rows}

    def save_model(self, request: HttpRequest, obj: Campaign, form: Any, change: Any) -> None:
        """Create or change it and its schedule by the services, and tell how it stands."""
        fields, now, by = form.changed_fields(), moment(request), actor(request)
        if not change:
            brand_id = form.cleaned_data["brand"].pk
            obj.pk = catalog.create_campaign(brand_id=brand_id, now=now, by=by, **form.all_fields()).pk
        elif fields:
            catalog.update_campaign(campaign_id=obj.pk, now=now, by=by, **fields)
        if form.schedule_changed():
            _save_schedule(obj.pk, form.cleaned_data, now=now, by=by)
        obj.refresh_from_db()
        message, level = _status_message(obj, now)
        self.message_user(request, message, level)

    def archive_one(self, pk: int, *, now: datetime, by: Actor) -> None:
        """Archive it."""
        catalog.archive_campaign(campaign_id=pk, now=now, by=by)

    def delete_one(self, pk: int, *, now: datetime) -> None:
        """Delete it."""
        catalog.delete_campaign(campaign_id=pk, now=now)

    def with_spend(self, pks: Collection[int]) -> set[int]:
        """Return which of them have spend."""
        return listing.campaigns_with_spend(pks)

    def fitting_actions(self, row: Campaign) -> set[str]:
        """Return resume for what a person has paused, else pause."""
        if row.archived_at is not None:
            return set()
        return {"archive", "resume" if row.paused_manually else "pause"}

    @action(
        description="Pause",
        icon="pause",
        variant=ActionVariant.PRIMARY,
        title="Pause this campaign?",
        explanation="It stops spending at once and stays paused until a person resumes it.",
        submit="Pause",
        form_class=NoteForm,
    )
    def pause(self, request: HttpRequest, form: Form, object_id: str) -> HttpResponse:
        """Pause one, with a note."""

        def verb(row: Campaign) -> tuple[str, int]:
            now, note = moment(request), form.cleaned_data["note"]
            catalog.pause(campaign_id=row.pk, now=now, by=actor(request), note=note)
            return _status_message(row, now)

        return self.act(request, object_id, verb)

    @action(
        description="Resume",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        title="Resume this campaign?",
        explanation="It spends again as soon as no other reason stands in its way.",
        submit="Resume",
        form_class=NoteForm,
    )
    def resume(self, request: HttpRequest, form: Form, object_id: str) -> HttpResponse:
        """Lift a person's pause of one, with a note."""

        def verb(row: Campaign) -> tuple[str, int]:
            now, note = moment(request), form.cleaned_data["note"]
            catalog.resume(campaign_id=row.pk, now=now, by=actor(request), note=note)
            return _status_message(row, now)

        return self.act(request, object_id, verb)

    @action(description="Pause selected campaigns")
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        """Pause many, with a note."""
        self._each(request, queryset, catalog.pause, did="Paused {}.", not_="{} had been paused by a person before.")

    @action(description="Resume selected campaigns")
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        """Lift a person's pause of many, with a note."""
        self._each(request, queryset, catalog.resume, did="Resumed {}.", not_="{} had not been paused by a person.")

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Campaign],
        verb: Callable[..., Change | None],
        *,
        did: str,
        not_: str,
    ) -> None:
        now, by, note = moment(request), actor(request), one_line(request.POST.get("note", ""))
        rows = self.selected(queryset.filter(archived_at=None))
        changes = [verb(campaign_id=row.pk, now=now, by=by, note=note) for row in rows]
        changed = [change for change in changes if change is not None]
        if changed:
            self.message_user(request, did.format(words.count(len(changed), "campaign")), messages.SUCCESS)
        if len(changed) < len(rows):
            message = not_.format(words.count(len(rows) - len(changed), "campaign"))
            self.message_user(request, message, messages.WARNING)
        still = [change.campaign_id for change in changed if change.now and reasons.Reason.MANUAL not in change.now]
        if still:
            self.message_user(request, f"Still paused for other reasons: {_names(still)}.", messages.WARNING)


def _brand_budget(brand: Brand, budget: Any) -> str:
    each = " each" if budget is not None and brand.budget_scope == BudgetScope.CAMPAIGN else ""
    return words.budget(budget, brand.currency) + each


def _own_budget(campaign: Campaign, budget: Any) -> str:
    return words.NONE if budget is None else words.budget(budget, campaign.brand.currency)


def _spent(campaign: Campaign, limit: Callable[[CampaignStanding], Limit]) -> SafeString | str:
    standing, _ = figures(campaign) or (None, None)
    return words.NONE if standing is None else words.spent_of(limit(standing), campaign.brand.currency, of_budget=True)


def _today(brand: Brand, now: datetime) -> str:
    day = periods.local_date(now, brand.timezone)
    return f"{day.day} {day:%B %Y} in {brand.timezone.key}"


def _binding(brand: Brand, limit: Limit) -> Limit:
    """What a brand has spent, without its budget where that binds each campaign alone."""
    return Limit(None, limit.spent) if brand.budget_scope == BudgetScope.CAMPAIGN else limit


def _alone_note(brand: Brand) -> str:
    if brand.budget_scope != BudgetScope.CAMPAIGN:
        return ""
    day = words.budget(brand.daily_budget, brand.currency)
    month = words.budget(brand.monthly_budget, brand.currency)
    return f"Each campaign alone: {day} a day, {month} a month."


def _row(name: str, limit: Limit, currency: str) -> dict[str, Any]:
    """A line of the panel: what was spent of a budget, and what is left or too much."""
    left = words.NONE if limit.left is None else words.amount(limit.left, currency)
    return {
        "name": name,
        "spent": words.spent_of(limit, currency),
        "budget": words.NO_LIMIT if limit.budget is None else words.amount(limit.budget, currency),
        "left": left,
        "over": words.amount(limit.overspend, currency) if limit.overspend else "",
    }


def _running_label(found: listing.BrandFigures, *, whole: bool = False) -> SafeString:
    if not found.campaigns:
        return words.label("no campaigns", "gray")
    tone = "green" if found.active == found.campaigns else "amber" if found.active else "red"
    return words.label(_running(found) if whole else f"{found.active:,} of {found.campaigns:,} active", tone)


def _running(found: listing.BrandFigures) -> str:
    return f"{found.active:,} of {words.count(found.campaigns, 'campaign')} may spend now"


def _brand_sentence(found: listing.BrandFigures) -> str:
    if not found.campaigns:
        return "it has no campaigns yet."
    return f"{_running(found)}."


def _status_message(campaign: Campaign, now: datetime) -> tuple[str, int]:
    """A campaign's status as it is now, and how to show it."""
    standing = listing.campaign_standings([campaign.pk], now=now).get(campaign.pk)
    if standing is None:
        return f"{campaign} is archived.", messages.INFO
    sentence = words.status_sentence(standing.name, standing, campaign.brand.timezone, now)
    return sentence, messages.SUCCESS if standing.is_active else messages.WARNING


def _told(changes: Sequence[Change]) -> list[tuple[str, int]]:
    """What a change did to campaigns, as messages."""
    paused = [change for change in changes if change.now and not change.was]
    resumed = [change.campaign_id for change in changes if change.was and not change.now]
    told: list[tuple[str, int]] = []
    if resumed:
        told.append((f"Resumed {_names(resumed)}.", messages.SUCCESS))
    if paused:
        names = _names([change.campaign_id for change in paused])
        told.append((f"Paused {names}: {_why(paused)}.", messages.WARNING))
    return told


def _why(paused: Sequence[Change]) -> str:
    """The reasons that some campaigns were paused for, taken together."""
    why = reasons.NONE
    for change in paused:
        why |= change.now
    return reasons.in_words(why)


def _names(campaign_ids: Sequence[int]) -> str:
    """Some campaigns by name, and how many more there are."""
    shown = Campaign.objects.in_bulk(campaign_ids[:MAX_NAMED])
    names = [str(shown[pk]) for pk in campaign_ids[:MAX_NAMED] if pk in shown]
    more = len(campaign_ids) - len(names)
    return words.named([*names, *[""] * more], MAX_NAMED)


def _save_schedule(campaign_id: int, data: dict[str, Any], *, now: datetime, by: Actor) -> None:
    match data["hours"]:
        case "window":
            catalog.set_window(
                campaign_id=campaign_id,
                start_hour=data["start_hour"],
                end_hour=data["end_hour"],
                weekdays=weekday_bits(data["weekdays"]),
                now=now,
                by=by,
            )
        case "grid":
            catalog.set_grid(campaign_id=campaign_id, grid=data["grid"], now=now, by=by)
        case _:
            catalog.clear_schedule(campaign_id=campaign_id, now=now, by=by)
