"""The journals: what was done to campaigns and why, and what ran when. Shown, never changed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from campaigns.admin import words
from campaigns.admin.base import AutocompleteFilter, ReadOnlyAdmin
from campaigns.admin.edit_words import edit_lines
from campaigns.admin.filters import BecameFilter, CampaignFilter
from campaigns.admin.newest import BrandedPaginator
from campaigns.models import Brand, Edit, PeriodicRun, RollOver, StatusChange
from campaigns.models.counters import PeriodKind
from campaigns.rules import money

_Value = TypeVar("_Value")
_Row = TypeVar("_Row", bound=StatusChange | Edit)


class _AboutAdmin(ReadOnlyAdmin[_Row]):
    """Rows about a campaign or brand that a person or key did; all of these may be gone, the journal outlives them."""

    brand_path = "brand"
    paginator = BrandedPaginator

    def get_queryset(self, request: HttpRequest) -> QuerySet[_Row]:
        """Return the rows with what they are about, also where that is gone: a join would drop the row."""
        return super().get_queryset(request).prefetch_related("brand", "campaign", "actor", "api_key")

    @admin.display(description="Campaign")
    def campaign_name(self, row: StatusChange | Edit) -> SafeString | str:
        """Which campaign, with a link."""
        if row.campaign_id is None:
            return words.NONE
        name = _or(lambda: str(row.campaign), "")
        if not name:
            return f"deleted campaign {row.campaign_id}"
        url = reverse("admin:campaigns_campaign_overview", args=[row.campaign_id])
        return format_html('<a href="{}" class="bm-link">{}</a>', url, name)

    @admin.display(description="Brand")
    def brand_name(self, row: StatusChange | Edit) -> str:
        """Which brand."""
        return _or(lambda: row.brand.name, f"deleted brand {row.brand_id}")

    @admin.display(description="By")
    def person(self, row: StatusChange | Edit) -> str:
        """Who, if a person or an API key did it."""
        if row.api_key_id is not None:
            key = _or(lambda: row.api_key, None)
            return f"deleted key {row.api_key_id}" if key is None else f"key {key}"
        if row.actor_id is None:
            return words.NONE
        actor = _or(lambda: row.actor, None)
        return f"deleted user {row.actor_id}" if actor is None else str(actor)


@admin.register(StatusChange)
class StatusChangeAdmin(_AboutAdmin[StatusChange]):
    """Status changes."""

    list_display = ("when", "campaign_name", "brand_name", "change", "cause_text", "person", "note")
    list_display_links = ("when",)
    list_filter = (("campaign__brand", AutocompleteFilter), ("campaign", CampaignFilter), BecameFilter, "cause")
    fieldsets = (
        ("Change", {"fields": ("when", "brand_name", "campaign_name", "change", "cause_text", "person", "note")}),
        (
            "Judged on",
            {
                "fields": ("brand_day", "brand_month", "campaign_day", "campaign_month", "campaign_total"),
                "description": "What had been spent at that moment, and of which budget.",
            },
        ),
    )
    empty_icon = "history"
    empty_text = "No status has changed yet. Every pause and every resumption will be here, with its reasons."

    @admin.display(description="When", ordering="id")
    def when(self, change: StatusChange) -> SafeString | str:
        """When, on the brand's clock."""
        return words.clock(change.at, _zone(change), seconds=True)

    @admin.display(description="Change")
    def change(self, change: StatusChange) -> SafeString:
        """From which status to which."""
        was, became = words.status_labels(change.from_reasons), words.status_labels(change.to_reasons)
        return format_html(
            '<span class="bm-change">{}<span class="bm-became"><span class="bm-subtle">→</span>{}</span></span>',
            was,
            became,
        )

    @admin.display(description="Because", ordering="cause")
    def cause_text(self, change: StatusChange) -> str:
        """What brought it about."""
        return capfirst(change.get_cause_display())

    @admin.display(description="Brand, day")
    def brand_day(self, change: StatusChange) -> str:
        """What the brand had spent in the day."""
        return _of(change, change.brand_daily_spent, change.brand_daily_budget)

    @admin.display(description="Brand, month")
    def brand_month(self, change: StatusChange) -> str:
        """What the brand had spent in the month."""
        return _of(change, change.brand_monthly_spent, change.brand_monthly_budget)

    @admin.display(description="Campaign, day")
    def campaign_day(self, change: StatusChange) -> str:
        """What the campaign had spent in the day."""
        return _of(change, change.campaign_daily_spent, change.campaign_daily_budget)

    @admin.display(description="Campaign, month")
    def campaign_month(self, change: StatusChange) -> str:
        """What the campaign had spent in the month."""
        return _of(change, change.campaign_monthly_spent, change.campaign_monthly_budget)

    @admin.display(description="Campaign, in all")
    def campaign_total(self, change: StatusChange) -> str:
        """What the campaign had spent in all."""
        return _of(change, change.campaign_total_spent, change.campaign_total_budget)


@admin.register(Edit)
class EditAdmin(_AboutAdmin[Edit]):
    """Edits: who set what, from which value to which."""

    list_display = ("when", "campaign_name", "brand_name", "verb_text", "lines", "person")
    list_display_links = ("when",)
    list_filter = (("brand", AutocompleteFilter), ("campaign", CampaignFilter), "verb")
    fieldsets = ((None, {"fields": ("when", "brand_name", "campaign_name", "verb_text", "lines", "person")}),)
    empty_icon = "edit_note"
    empty_text = "Nothing has been edited yet. Every change of a brand or a campaign will be here, with who made it."

    @admin.display(description="When", ordering="id")
    def when(self, edit: Edit) -> SafeString | str:
        """When, on the brand's clock."""
        return words.clock(edit.at, _zone(edit), seconds=True)

    @admin.display(description="What", ordering="verb")
    def verb_text(self, edit: Edit) -> str:
        """Created, changed, archived or deleted."""
        return f"{'Brand' if edit.campaign_id is None else 'Campaign'} {edit.get_verb_display()}"

    @admin.display(description="From and to")
    def lines(self, edit: Edit) -> SafeString | str:
        """Each field with its value before and after."""
        brand = _brand(edit)
        lines = edit_lines(edit.changes, "" if brand is None else brand.currency)
        if not lines:
            return words.NONE
        each = ((line.label, line.was, line.became) for line in lines)
        return format_html_join(mark_safe("<br>"), "{}: {} → {}", each)


@admin.register(RollOver)
class RollOverAdmin(ReadOnlyAdmin[RollOver]):
    """Roll-overs."""

    brand_path = "brand"
    paginator = BrandedPaginator
    list_display = ("brand", "began", "period", "judged")
    list_filter = ("period", ("brand", AutocompleteFilter))
    list_select_related = ("brand",)
    fields = ("brand", "began", "period", "judged")
    empty_icon = "event_repeat"
    empty_text = "No roll-over yet. The worker records one when a brand's day or month begins."

    @admin.display(description="Began")
    def began(self, row: RollOver) -> str:
        """The day or the month."""
        return f"{row.start:%B %Y}" if row.period == PeriodKind.MONTH else words.date(row.start)

    @admin.display(description="Campaigns judged by", ordering="id")
    def judged(self, row: RollOver) -> SafeString | str:
        """When its campaigns had been judged, on the brand's clock."""
        return words.clock(row.at, row.brand.timezone, seconds=True)


@admin.register(PeriodicRun)
class PeriodicRunAdmin(ReadOnlyAdmin[PeriodicRun]):
    """Periodic runs. They are of all brands at once and name none."""

    brand_path = ""
    list_display = ("started", "task_text", "state", "took", "judged_count", "changed_count")
    list_filter = ("task",)
    fields = ("task_text", "started", "state", "took", "judged_count", "changed_count")
    empty_icon = "schedule"
    empty_text = "Nothing has run yet. Start the worker and beat: they judge all campaigns every minute."

    @admin.display(description="Started", ordering="id")
    def started(self, run: PeriodicRun) -> SafeString | str:
        """When it began, on the server's clock."""
        return words.clock(run.started_at, ZoneInfo(settings.TIME_ZONE), seconds=True)

    @admin.display(description="Task", ordering="task")
    def task_text(self, run: PeriodicRun) -> str:
        """Which task."""
        return run.get_task_display().capitalize()

    @admin.display(description="State")
    def state(self, run: PeriodicRun) -> SafeString:
        """Whether it came to its end."""
        if run.finished_at is not None:
            return words.label("finished", "green")
        return words.label("running, or was killed", "amber")

    @admin.display(description="Took")
    def took(self, run: PeriodicRun) -> str:
        """How long it took."""
        if run.finished_at is None:
            return words.NONE
        return f"{(run.finished_at - run.started_at).total_seconds():,.2f} s"

    @admin.display(description="Looked at")
    def judged_count(self, run: PeriodicRun) -> str:
        """How many campaigns it looked at."""
        return f"{run.judged:,}"

    @admin.display(description="Changed")
    def changed_count(self, run: PeriodicRun) -> str:
        """How many statuses it changed."""
        return f"{run.changed:,}"


def _or(read: Callable[[], _Value], otherwise: _Value) -> _Value:
    """Read something that may have been deleted."""
    try:
        return read()
    except ObjectDoesNotExist:
        return otherwise


def _brand(row: StatusChange | Edit) -> Brand | None:
    return _or(lambda: row.brand, None)


def _zone(row: StatusChange | Edit) -> ZoneInfo:
    brand = _brand(row)
    return ZoneInfo(settings.TIME_ZONE) if brand is None else brand.timezone


def _of(change: StatusChange, spent: Decimal, budget: Decimal | None) -> str:
    brand = _brand(change)
    currency = "" if brand is None else brand.currency
    shown = money.format_money(money.to_micros(spent), currency)
    return f"{shown}, {words.NO_LIMIT}" if budget is None else f"{shown} of {words.budget(budget, currency)}"
