"""Lists as CSV, and campaigns from CSV: what a sheet would do is shown first, by doing it and taking it back."""

from __future__ import annotations

import base64
import binascii
import re
from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse

from campaigns.admin import words
from campaigns.admin.base import BaseAdmin, action, actor, moment, visible_brands
from campaigns.admin.lists import RankedChangeList
from campaigns.gateways import campaigns_csv, sheets
from campaigns.gateways.campaigns_csv import Sheet
from campaigns.models import Brand, Campaign
from campaigns.queries import listing
from campaigns.queries.standing import CampaignStanding
from campaigns.rules import money, reasons
from campaigns.rules.errors import BudgetError
from campaigns.rules.schedules import describe_grid
from campaigns.services import sheets as importing
from campaigns.services.sheets import Does, Imported, Planned, Rights

CHUNK = 1_000
"""Rows that are read and sent at a time."""

MAX_SHOWN = 200
"""Rows that a preview shows one by one."""

_Header = tuple[str, ...]


class ExportAdmin(BaseAdmin[Any]):
    """A list with a button that exports it, as it is filtered and ordered."""

    sheet_header: _Header
    sheet_texts: frozenset[str]

    def sheet_rows(self, ids: Sequence[int], now: datetime) -> list[list[str]]:
        """Return the cells of some rows in this order, in a constant number of queries."""
        raise NotImplementedError

    @action(description="Export CSV", permissions=("view",), icon="download")
    def export_csv(self, request: HttpRequest) -> HttpResponseBase:
        """Send the list."""
        try:
            found = cast("RankedChangeList", self.get_changelist_instance(request))
        except IncorrectLookupParameters:
            return HttpResponseRedirect(self.link("changelist"))
        ids, now = array("q", found.ids(request)), moment(request)
        chunks = (self.sheet_rows(ids[at : at + CHUNK], now) for at in range(0, len(ids), CHUNK))
        body = sheets.stream_csv(self.sheet_header, chunks, texts=self.sheet_texts)
        return _download(StreamingHttpResponse(body, content_type="text/csv"), f"{self.opts.verbose_name_plural}.csv")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list; the button exports what it shows."""
        response = super().changelist_view(request, extra_context)
        query = request.GET.urlencode()
        if isinstance(response, TemplateResponse) and response.context_data is not None and query:
            for button in response.context_data.get("actions_list", ()):
                if button.get("path", "").rstrip("/").endswith("/export_csv"):
                    button["path"] += f"?{query}"
        return response


_Response = TypeVar("_Response", bound=HttpResponseBase)


def _download(response: _Response, name: str) -> _Response:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


class BrandSheets(ExportAdmin):
    """The list of brands as CSV."""

    sheet_header = (
        "id", "brand", "external_id", "currency", "time_zone", "daily_budget", "monthly_budget", "budget_scope",
        "spent_today", "spent_this_month", "campaigns", "active_campaigns", "archived",
    )  # fmt: skip
    sheet_texts = frozenset({"brand", "external_id"})

    def sheet_rows(self, ids: Sequence[int], now: datetime) -> list[list[str]]:
        """Return the cells of some brands, in three queries."""
        found = Brand.objects.in_bulk(list(ids))
        figures = listing.brand_figures(list(found.values()), now=now)
        return [_brand_cells(found[pk], figures[pk]) for pk in ids if pk in found]


def _brand_cells(brand: Brand, found: listing.BrandFigures) -> list[str]:
    return [
        str(brand.pk),
        brand.name,
        brand.external_id or "",
        brand.currency,
        brand.timezone.key,
        _budget(brand.daily_budget),
        _budget(brand.monthly_budget),
        brand.budget_scope,
        money.to_text(found.day.spent),
        money.to_text(found.month.spent),
        str(found.campaigns),
        str(found.active),
        "" if brand.archived_at is None else "yes",
    ]


class _FileForm(forms.Form):
    """Takes a file, or what was taken of it before: it goes along with the page."""

    file = forms.FileField(required=False)
    name = forms.CharField(required=False, max_length=255)
    content = forms.CharField(required=False)
    seal = forms.CharField(required=False, max_length=64)

    def sheet(self) -> tuple[str, bytes]:
        """Return the name of the file and what is in it. Raises BudgetError, a sentence, where there is none."""
        if not self.is_valid():
            if "file" in self.errors:
                raise BudgetError(f"{self.errors['file'][0]} Choose another file.")
            raise BudgetError("Choose the file again.")
        sent = self.cleaned_data["file"]
        if sent is not None:
            if sent.size > campaigns_csv.MAX_BYTES:
                raise BudgetError(f"{sent.name} has more than {campaigns_csv.MAX_BYTES // 2**20} MB; split it.")
            return str(sent.name), sent.read()
        if not self.cleaned_data["content"]:
            raise BudgetError("Choose a CSV file.")
        try:
            content = base64.b64decode(self.cleaned_data["content"], validate=True)
        except binascii.Error as error:
            raise BudgetError("Choose the file again.") from error
        return self.cleaned_data["name"] or "The file", content


class Shown(NamedTuple):
    """A row of a preview."""

    row: Planned
    changes: list[tuple[str, str, str]]


class CampaignSheets(ExportAdmin):
    """The list of campaigns as CSV, and campaigns from CSV."""

    sheet_header = (*campaigns_csv.TAKEN, *campaigns_csv.TOLD)
    sheet_texts = campaigns_csv.TEXTS

    def sheet_rows(self, ids: Sequence[int], now: datetime) -> list[list[str]]:
        """Return the cells of some campaigns, in a constant number of queries."""
        found = Campaign.objects.select_related("brand", "schedule").in_bulk(list(ids))
        standings = listing.campaign_standings(list(ids), now=now)
        return [_campaign_cells(found[pk], standings.get(pk)) for pk in ids if pk in found]

    def has_import_rows_permission(self, request: HttpRequest) -> bool:
        """Whoever may add or change campaigns."""
        return self.has_change_permission(request) or self.has_add_permission(request)

    @action(description="Import CSV", permissions=("import_rows",), icon="upload")
    def import_csv(self, request: HttpRequest) -> HttpResponse:
        """Take a file, show what it would do, do it, or give back the rows that can't be."""
        if request.method != "POST":
            if "example" in request.GET:
                return _download(HttpResponse(campaigns_csv.EXAMPLE, content_type="text/csv"), "example.csv")
            return self._import_page(request)
        form = _FileForm(request.POST, request.FILES)
        try:
            name, content = form.sheet()
            sheet = campaigns_csv.read_sheet(name, content)
        except BudgetError as error:
            return self._import_page(request, notice=str(error))
        context = {"name": name, "content": base64.b64encode(content).decode()}
        if "rejects" in request.POST:
            return self._rejects(request, sheet, name)
        if "apply" in request.POST:
            return self._apply_sheet(request, sheet, form.cleaned_data["seal"], context)
        return self._preview(request, sheet, context)

    def _rights(self, request: HttpRequest) -> Rights:
        return Rights(
            brand_ids=visible_brands(request),
            may_add=self.has_add_permission(request),
            may_change=self.has_change_permission(request),
        )

    def _preview(self, request: HttpRequest, sheet: Sheet, context: dict[str, Any], notice: str = "") -> HttpResponse:
        try:
            found = importing.rehearse(sheet.lines, self._rights(request), now=moment(request), by=actor(request))
        except BudgetError as error:
            return self._import_page(request, notice=str(error))
        return self._import_page(request, notice=notice, **context, **_shown(found))

    def _apply_sheet(self, request: HttpRequest, sheet: Sheet, seal: str, context: dict[str, Any]) -> HttpResponse:
        now, by, rights = moment(request), actor(request), self._rights(request)
        try:
            done = importing.apply(sheet.lines, rights, seen=seal, now=now, by=by)
        except BudgetError as error:
            return self._preview(request, sheet, context, notice=str(error))
        sentences = told(done)
        if not done.plan.of(Does.ERROR):
            self.message_user(request, " ".join(sentences), messages.SUCCESS)
            return HttpResponseRedirect(self.link("changelist"))
        return self._import_page(request, done=sentences, **context, **_shown(done, errors_only=True))

    def _rejects(self, request: HttpRequest, sheet: Sheet, name: str) -> HttpResponse:
        found = importing.plan(sheet.lines, self._rights(request))
        body = campaigns_csv.rejects(sheet, ((row.line, row.why) for row in found.of(Does.ERROR)))
        return _download(HttpResponse(body, content_type="text/csv"), f"{_plain_name(name)}-rejected.csv")

    def _import_page(self, request: HttpRequest, **more: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Import campaigns",
            "opts": self.opts,
            "back": self.link("changelist"),
            "columns": campaigns_csv.TAKEN,
            "max_rows": f"{campaigns_csv.MAX_ROWS:,}",
            "max_mb": campaigns_csv.MAX_BYTES // 2**20,
            **more,
        }
        return TemplateResponse(request, "campaigns/admin/bulk/import.html", context)


def _plain_name(name: str) -> str:
    """A name of a file without its ending and without what a header can't carry."""
    return re.sub(r"[^A-Za-z0-9_ -]", "", name.rsplit(".", 1)[0]).strip()[:80] or "campaigns"


def _budget(value: Any) -> str:
    micros = money.parse_budget(value)
    return "" if micros is None else money.to_text(micros)


def _campaign_cells(campaign: Campaign, standing: CampaignStanding | None) -> list[str]:
    brand = campaign.brand
    own = [_budget(budget) for budget in (campaign.daily_budget, campaign.monthly_budget, campaign.total_budget)]
    days = ["" if day is None else day.isoformat() for day in (campaign.flight_start, campaign.flight_end)]
    names = [str(campaign.pk), brand.name, campaign.name, campaign.external_id or ""]
    return [*names, *own, *days, _hours(campaign), *_told(standing, brand), brand.currency, brand.timezone.key]


def _hours(campaign: Campaign) -> str:
    try:
        schedule = campaign.schedule
    except ObjectDoesNotExist:
        return ""
    return campaigns_csv.hours_cell(schedule.start_hour, schedule.end_hour, schedule.weekdays, schedule.grid)


def _told(standing: CampaignStanding | None, brand: Brand) -> list[str]:
    """Status, reasons, when it resumes, and what it spent today and this month."""
    if standing is None:
        return ["archived", "", "", "", ""]
    resumes = None if standing.is_active else standing.resumes_at
    return [
        "active" if standing.is_active else "paused",
        " ".join(reasons.codes(standing.reasons)),
        "" if resumes is None else resumes.astimezone(brand.timezone).isoformat(timespec="minutes"),
        money.to_text(standing.day.spent),
        money.to_text(standing.month.spent),
    ]


# --- What a preview says -----------------------------------------------------------------------


def _shown(found: Imported, *, errors_only: bool = False) -> dict[str, Any]:
    order = list(Does)  # errors first
    rows = sorted(found.plan.rows, key=lambda row: (order.index(row.does), row.line.number))
    if errors_only:
        rows = found.plan.of(Does.ERROR)
    errors = len(found.plan.of(Does.ERROR))
    return {
        "plan": found.plan,
        "sentences": told(found, would=True),
        "rows": [Shown(row, list(_changes(row))) for row in rows[:MAX_SHOWN]],
        "more": max(len(rows) - MAX_SHOWN, 0),
        "apply": f"Apply the {words.count(found.plan.good, 'good row' if errors else 'row')}",
        "rejected": words.count(errors, "rejected row") if errors else "",
    }


def told(found: Imported, *, would: bool = False) -> list[str]:
    """Return what a sheet did, or would do, as sentences."""
    created, changed = len(found.plan.of(Does.CREATE)), len(found.plan.of(Does.CHANGE))
    paused = sum(1 for change in found.changes if change.now and not change.was)
    resumed = sum(1 for change in found.changes if change.was and not change.now)
    does = [
        ("Creates", "Created", created, "campaign"),
        ("Changes", "Changed", changed, "campaign"),
        ("Pauses", "Paused", paused, "campaign"),
        ("Resumes", "Resumed", resumed, "campaign"),
    ]
    sentences = [f"{one if would else did} {words.count(number, noun)}." for one, did, number, noun in does if number]
    if not found.plan.good:
        sentences.append("No row changes anything.")
    elif not paused and not resumed:
        sentences.append(f"No campaign {'would be' if would else 'was'} paused or resumed.")
    if same := len(found.plan.of(Does.NOTHING)):
        sentences.append(f"{words.count(same, 'row')} {'says' if same == 1 else 'say'} what is so already.")
    if errors := len(found.plan.of(Does.ERROR)):
        sentences.append(f"{words.count(errors, 'row')} can't be taken.")
    return sentences


def _changes(row: Planned) -> Iterator[tuple[str, str, str]]:
    """What a row changes: the column, and its value before and after."""
    order = ["name", *campaigns_csv.TAKEN]
    for field in sorted(row.changes, key=order.index):
        was, became = row.changes[field]
        if row.does is Does.CREATE and field == "name":
            continue  # it stands beside it
        label = "Name" if field == "name" else field.replace("_", " ").capitalize().replace(" id", " ID")
        yield label, _value(field, was, row), _value(field, became, row)


def _value(field: str, value: Any, row: Planned) -> str:
    if field.endswith("_budget"):
        currency = row.brand.currency if row.brand else ""
        return words.NO_LIMIT if value is None else words.exact(value, currency)
    if field == "hours":
        return "at any hour" if value is None else describe_grid(value) if value.isdigit() else str(value)
    if value in (None, ""):
        return words.NONE
    return words.date(value) if field in campaigns_csv.DAYS else str(value)
