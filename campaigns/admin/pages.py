"""The pages of a brand and of a campaign: how it stands, why, since when, and what it has spent. They refresh."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from campaigns.admin import live, words
from campaigns.admin.base import moment
from campaigns.admin.edit_words import edit_lines
from campaigns.admin.sentences import change_sentence
from campaigns.admin.writing import ServiceAdmin
from campaigns.models import Edit
from campaigns.queries.activity import DaySpent, yesterday
from campaigns.queries.changes import ToldChange
from campaigns.queries.edits import Edits, ToldEdit
from campaigns.queries.standing import Limit
from campaigns.rules import periods

_Row = TypeVar("_Row", bound=models.Model)


class OverviewAdmin(ServiceAdmin[_Row]):
    """Gives each row a page that shows it; its form becomes the page beside it."""

    change_form_outer_before_template = "campaigns/admin/overview/tabs.html"
    overview_template: ClassVar[str]
    live_template: ClassVar[str]

    def overview(self, request: HttpRequest, row: _Row, now: datetime) -> dict[str, Any]:
        """Return what the page shows of a row."""
        raise NotImplementedError

    def beside(self, request: HttpRequest, row: _Row) -> dict[str, Any]:
        """Return what the page shows beside the part that refreshes."""
        return {}

    def get_urls(self) -> list[URLPattern]:
        """Add the page."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_overview"
        view = self.admin_site.admin_view(self.overview_view)
        return [path("<path:object_id>/overview/", view, name=name), *super().get_urls()]

    def row_url(self, row: models.Model) -> str:
        """Return the address of a row's page, where lists lead to."""
        return self.link("overview", row.pk)

    def overview_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the page, or only the part of it that refreshes."""
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        if row is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]  # Django's own
            return missing
        shown = {"page": self.overview(request, row, moment(request)), "opts": self.opts}
        part = live.part(request, self.live_template, shown)
        if live.is_asked(request):
            return live.answer(request, part)
        return TemplateResponse(request, self.overview_template, self._frame(request, row, part))

    def _frame(self, request: HttpRequest, row: _Row, part: SafeString) -> dict[str, Any]:
        actions = self.get_actions_detail(request, row.pk)
        return {
            **self.admin_site.each_context(request),
            "title": str(row),
            "opts": self.opts,
            "original": row,
            "has_view_permission": True,
            "tabs": self.tabs(request, row, "overview"),
            "is_live": True,
            "live": part,
            **self.beside(request, row),
            "actions_detail": self._get_actions_navigation(self.actions_detail, actions, row.pk),  # type: ignore[attr-defined]  # Unfold's
        }

    def tabs(self, request: HttpRequest, row: _Row, current: str) -> list[dict[str, Any]]:
        """Return the tabs above the pages of a row."""
        settings = "Settings" if self.has_change_permission(request, row) else "Settings (read only)"
        names = {"overview": "Overview", "change": settings}
        return [
            {"title": title, "url": self.link(page, row.pk), "current": page == current}
            for page, title in names.items()
        ]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: _Row | None = None,
    ) -> HttpResponse:
        """Add the tabs above the form."""
        if obj is not None:
            context["tabs"] = self.tabs(request, obj, "change")
            context["show_history"] = False  # the page beside it tells of the edits
            context["show_save_and_add_another"] = False  # beside Save it is too easily pressed
        return super().render_change_form(request, context, add, change, form_url, obj)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the record of edits, which also tells what programs did, and from which value to which."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return HttpResponseRedirect(self.link("changelist"))
        return HttpResponseRedirect(filtered("edit", **{f"{self.opts.model_name}__id__exact": row.pk}))

    def response_post_save_add(self, request: HttpRequest, obj: _Row) -> HttpResponseRedirect:
        """Lead from the form to the page."""
        return HttpResponseRedirect(self.row_url(obj))

    def response_post_save_change(self, request: HttpRequest, obj: _Row) -> HttpResponseRedirect:
        """Lead from the form to the page."""
        return HttpResponseRedirect(self.row_url(obj))


# --- What both pages show ------------------------------------------------------------------------


def limit_rows(limits: Sequence[tuple[str, Limit]], currency: str) -> list[dict[str, Any]]:
    """Return a line for each of the limits that there are: what was spent of it, and what is left or too much."""
    return [
        {
            "name": name,
            "spent": words.amount(limit.spent, currency),
            "held": words.amount(limit.held, currency),
            "budget": words.whole(limit.budget, currency),
            "left": words.amount(limit.left or 0, currency),
            "over": words.amount(limit.overspend, currency) if limit.overspend else "",
            "share": words.gauge(limit, currency),
        }
        for name, limit in limits
        if limit.budget is not None
    ]


def tile(title: str, text: str | SafeString) -> dict[str, str | SafeString]:
    """Return a figure with its name."""
    return {"title": title, "text": text}


def today_note(zone: ZoneInfo, now: datetime) -> str:
    """Return the budget day with its zone: `22 Nov 2026, Europe/Berlin`."""
    return f"{words.date(periods.local_date(now, zone))}, {zone.key}"


def filtered(model: str, **parameters: object) -> str:
    """Return the address of a list of ours with some filters set."""
    return f"{reverse(f'admin:campaigns_{model}_changelist')}?{urlencode(parameters)}"


def spend_tiles(days: Sequence[DaySpent], month: int | None, currency: str) -> list[dict[str, str | SafeString]]:
    """Return what was spent today, yesterday and, where it is known, this month."""
    before = yesterday(days)
    tiles = [
        tile("Spent today", words.amount(days[-1].spent, currency)),
        tile("Yesterday", words.amount(before.spent if before else 0, currency)),
    ]
    return tiles if month is None else [*tiles, tile("This month", words.amount(month, currency))]


def average_note(days: Sequence[DaySpent], currency: str) -> str:
    """Return the average of the whole days among some; the last one is not over."""
    past = days[:-1]
    average = sum(day.spent for day in past) // max(len(past), 1)
    return f"{words.amount(average, currency)} a day on average"


def told_items(changes: Sequence[ToldChange], now: datetime, *, named: bool = True) -> list[dict[str, Any]]:
    """Return changes of status as lines, one for what happened to several campaigns of a brand at once.

    named: with the campaigns, as links.
    """
    together = [list(some) for _, some in itertools.groupby(changes, key=lambda change: _event(change, now))]
    return [
        {
            "tone": words.tone(some[0].to_reasons),
            "names": _campaign_links(some) if named else "",
            "brand": some[0].brand,
            "sentence": change_sentence(some[0], now),
        }
        for some in together
    ]


def _event(change: ToldChange, now: datetime) -> tuple[object, ...]:
    """What is the same where one event has changed several campaigns."""
    return (change.brand_id, change.at, change.cause, change_sentence(change, now))


def _campaign_links(changes: Sequence[ToldChange]) -> SafeString:
    url = "admin:campaigns_campaign_overview"
    links = ((reverse(url, args=[one.campaign_id]), one.id, one.campaign) for one in reversed(changes))
    return format_html_join(", ", '<a class="bm-link" href="{}" id="change-{}">{}</a>', links)


def edit_items(edits: Edits, currency: str, zone: ZoneInfo) -> list[dict[str, Any]]:
    """Return edits as lines: who, what, when, and each field with its value before and after."""
    return [
        {
            "who": _who(edit),
            "what": _what(edit),
            "when": words.clock(edit.at, zone),
            "lines": [line for line in edit_lines(edit.changes, currency) if edit.verb in _TOLD],
        }
        for edit in edits.edits
    ]


_TOLD = (Edit.Verb.CHANGED, Edit.Verb.DIVIDED)
"""What is told with each field; something new has only what it is."""


def _who(edit: ToldEdit) -> str:
    if edit.verb == Edit.Verb.DIVIDED:
        return "Month to day"
    return edit.actor or (f"Key {edit.api_key}" if edit.api_key else "A command")


def _what(edit: ToldEdit) -> str:
    if edit.verb == Edit.Verb.DIVIDED:
        return f"set the daily budget of {_edited(edit)}"
    return f"{edit.verb.label} {_edited(edit)}"


def _edited(edit: ToldEdit) -> str:
    if edit.campaign_id is None:
        return "the brand"
    return edit.campaign or "a deleted campaign"


def linked(text: str, url: str) -> SafeString:
    """Return a link."""
    return format_html('<a class="bm-link" href="{}">{}</a>', url, text)
