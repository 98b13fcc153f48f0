"""Campaigns with their schedules: the list, and what people set on one. Every save and pause is a service's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.enums import ActionVariant

from campaigns.admin import telling, words
from campaigns.admin.base import AutocompleteFilter, action, actor, figures, moment
from campaigns.admin.bulk import BulkAdmin
from campaigns.admin.campaign_page import campaign_page
from campaigns.admin.effects import Line, TryingAdmin, standing_after
from campaigns.admin.filters import ArchivedFilter, CampaignChoices, ReasonFilter, StatusFilter
from campaigns.admin.forms import (
    GRID,
    PACING_CONDITIONS,
    PACING_FIELDS,
    WINDOW,
    CampaignForm,
    NoteForm,
    weekday_bits,
)
from campaigns.admin.lists import CurrencyFilter, PacingFilter, RankedChangeList
from campaigns.admin.pages import OverviewAdmin
from campaigns.admin.sheets import CampaignSheets
from campaigns.admin.writing import MONEY
from campaigns.models import Campaign, DaypartingSchedule
from campaigns.queries import listing
from campaigns.queries.standing import CampaignStanding, Limit
from campaigns.services import bulk, catalog
from campaigns.services.status import Actor, Change


@admin.register(Campaign)
class CampaignAdmin(BulkAdmin, CampaignSheets, OverviewAdmin[Campaign], TryingAdmin[Campaign]):
    """Campaigns with their schedules."""

    brand_path = "brand"
    overview_template = "campaigns/admin/overview/campaign.html"
    live_template = "campaigns/admin/overview/campaign_live.html"
    identity = ("name", "external_id")
    form = CampaignForm
    formfield_overrides = MONEY
    actions = ("pause_selected", "resume_selected", "change_budgets_selected", "archive_selected")
    actions_list = ("import_csv", "export_csv")
    actions_detail = ("pause", "resume", "archive")
    list_display = ("titled", "brand", "status", "resumes", "spent_today", "spent_this_month", "share")
    list_filter = (
        StatusFilter,
        ReasonFilter,
        ("brand", AutocompleteFilter),
        CurrencyFilter,
        PacingFilter,
        ArchivedFilter,
    )
    list_select_related = ("brand",)
    search_fields = ("name", "external_id", "brand__name")
    search_help_text = "Campaign, brand or external ID"
    ordering = ("brand__name", "name")
    autocomplete_fields = ("brand",)
    # The fields of the one form of hours that is chosen.
    conditional_fields = {  # noqa: RUF012 - read by Unfold
        **PACING_CONDITIONS,
        "start_hour": f"hours == '{WINDOW}'",
        "end_hour": f"hours == '{WINDOW}'",
        "weekdays": f"hours == '{WINDOW}'",
        "grid": f"hours == '{WINDOW}' || hours == '{GRID}'",  # of a window it shows what that means
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

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RankedChangeList]:
        """Return the list, which can be ordered by figures."""
        return RankedChangeList

    ranking = staticmethod(listing.ranked_campaigns)

    def add_figures(self, request: HttpRequest, rows: Sequence[Campaign]) -> dict[int, Any]:
        """Return the campaigns' standings, and the moment they are of."""
        now = moment(request)
        standings = listing.campaign_standings([row.pk for row in rows], now=now)
        return {pk: (standing, now) for pk, standing in standings.items()}

    @admin.display(description="Campaign", ordering="name")
    def titled(self, campaign: Campaign) -> str:
        """Its name."""
        return campaign.name

    @admin.display(description="Status", ordering="reasons")
    def status(self, campaign: Campaign) -> SafeString:
        """Active, or every reason why not; of a paced one what it serves."""
        labels = words.status_labels(campaign.reasons, archived=campaign.archived_at is not None)
        standing, _ = figures(campaign) or (None, None)
        return labels if standing is None else format_html("{}{}", labels, words.serves(standing.probability))

    @admin.display(description="Resumes")
    def resumes(self, campaign: Campaign) -> SafeString | str:
        """When a paused one resumes."""
        if figures(campaign) is None:
            return words.NONE
        standing, now = figures(campaign)
        return words.resumes(standing.reasons, standing.resumes_at, campaign.brand.timezone, now)

    @admin.display(description="Spent today", ordering="pk")
    def spent_today(self, campaign: Campaign) -> SafeString | str:
        """What it has spent in its budget day."""
        return _spent(campaign, lambda standing: standing.day)

    @admin.display(description="Spent this month", ordering="pk")
    def spent_this_month(self, campaign: Campaign) -> SafeString | str:
        """What it has spent in its budget month."""
        return _spent(campaign, lambda standing: standing.month)

    @admin.display(description="Share of budget", ordering="pk")
    def share(self, campaign: Campaign) -> SafeString | str:
        """The limit that is spent furthest, and which one it is."""
        standing, _ = figures(campaign) or (None, None)
        found = None if standing is None else listing.largest_share(standing)
        return words.NONE if found is None else words.share_of(*found, campaign.brand.currency)

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

    @admin.display(description="Spends")
    def pacing_text(self, campaign: Campaign) -> str:
        """How it spends its budget."""
        return words.pacing(campaign.pacing)

    @admin.display(description="Daily budget from the month")
    def from_month(self, campaign: Campaign) -> str:
        """Whether its daily budget is set from the month, and within which bounds."""
        return words.from_month(campaign, campaign.brand.currency)

    @admin.display(description="May spend")
    def schedule_text(self, campaign: Campaign) -> str:
        """Its hours in words."""
        schedule = DaypartingSchedule.objects.filter(campaign=campaign).first()
        return "at any hour" if schedule is None else f"{schedule} {campaign.brand.timezone.key}"

    def get_readonly_fields(self, request: HttpRequest, obj: Campaign | None = None) -> Any:
        """Return what stays: a campaign does not move to another brand."""
        identity = super().get_readonly_fields(request, obj)
        in_words = ("daily", "monthly", "total", "schedule_text", "pacing_text", "from_month")
        return () if obj is None else ("brand", *in_words, *identity)

    def get_fieldsets(self, request: HttpRequest, obj: Campaign | None = None) -> Any:
        """Return the form; whoever may only look sees amounts and hours in words."""
        if obj is None or self.has_change_permission(request, obj):
            zone = f"On the clock of {obj.brand.timezone.key}." if obj else "On the clock of the brand's time zone."
            budgets: tuple[str, ...] = ("daily_budget", "monthly_budget", "total_budget")
            pacing: tuple[str, ...] = PACING_FIELDS
            hours: dict[str, Any] = {"fields": ("hours", ("start_hour", "end_hour"), "weekdays", "grid")}
            hours["description"] = zone
        else:
            budgets, hours = ("daily", "monthly", "total"), {"fields": ("schedule_text",)}
            pacing = ("pacing_text", "from_month")
        return (
            ("Campaign", {"fields": ("brand", "name", "external_id")}),
            ("Budgets of its own", {"fields": budgets}),
            ("Pacing", {"fields": pacing}),
            ("Flight", {"fields": (("flight_start", "flight_end"),)}),
            ("Hours", hours),
        )

    def overview(self, request: HttpRequest, row: Campaign, now: datetime) -> dict[str, Any]:
        """Return what its page shows."""
        standing, _ = figures(row) or (None, None)
        return campaign_page(row, standing, now=now, may_change=self.has_change_permission(request, row))

    def save_model(self, request: HttpRequest, obj: Campaign, form: Any, change: Any) -> None:
        """Create or change it and its schedule by the services, and tell how it stands."""
        now, by = moment(request), actor(request)
        if not change:
            brand_id = form.cleaned_data["brand"].pk
            obj.pk = catalog.create_campaign(brand_id=brand_id, now=now, by=by, **form.all_fields()).pk
        self.store(obj, form, now=now, by=by, created=not change)
        obj.refresh_from_db()
        message, level = telling.status_message(obj, now)
        self.message_user(request, message, level)

    def store(self, row: Campaign, form: Any, *, now: datetime, by: Actor, created: bool = False) -> list[Change]:
        """Store what was changed of it, and its schedule; the form of one just created has only the latter left."""
        fields, changes = form.changed_fields(), list[Change]()
        if fields and not created:
            changes = catalog.update_campaign(campaign_id=row.pk, now=now, by=by, **fields)
        if form.schedule_changed():
            changes += _save_schedule(row.pk, form.cleaned_data, now=now, by=by)
        return changes

    def outcome(self, row: Campaign, changes: Sequence[Change], now: datetime) -> list[Line]:
        """Tell how a change would leave it."""
        return standing_after(row, was_active=row.is_active, now=now)

    def archive_rows(self, pks: Sequence[int], *, now: datetime, by: Actor) -> None:
        """Archive them."""
        bulk.archive_campaigns(pks, now=now, by=by)

    def delete_one(self, pk: int, *, now: datetime, by: Actor) -> None:
        """Delete it."""
        catalog.delete_campaign(campaign_id=pk, now=now, by=by)

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
        return self._set_pause(request, form, object_id, catalog.pause)

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
        return self._set_pause(request, form, object_id, catalog.resume)

    def _set_pause(
        self, request: HttpRequest, form: Form, object_id: str, service: Callable[..., Change | None]
    ) -> HttpResponse:
        def verb(row: Campaign) -> tuple[str, int]:
            now, note = moment(request), form.cleaned_data["note"]
            service(campaign_id=row.pk, now=now, by=actor(request), note=note)
            return telling.status_message(row, now)

        return self.act(request, object_id, verb)


def _own_budget(campaign: Campaign, budget: Any) -> str:
    return words.NONE if budget is None else words.budget(budget, campaign.brand.currency)


def _spent(campaign: Campaign, limit: Callable[[CampaignStanding], Limit]) -> SafeString | str:
    standing, _ = figures(campaign) or (None, None)
    return words.NONE if standing is None else words.spent_of(limit(standing), campaign.brand.currency, of_budget=True)


def _save_schedule(campaign_id: int, data: dict[str, Any], *, now: datetime, by: Actor) -> list[Change]:
    match data["hours"]:
        case "window":
            return catalog.set_window(
                campaign_id=campaign_id,
                start_hour=data["start_hour"],
                end_hour=data["end_hour"],
                weekdays=weekday_bits(data["weekdays"]),
                now=now,
                by=by,
            )
        case "grid":
            return catalog.set_grid(campaign_id=campaign_id, grid=data["grid"], now=now, by=by)
        case _:
            return catalog.clear_schedule(campaign_id=campaign_id, now=now, by=by)
