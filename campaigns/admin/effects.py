"""The effect of a change before it is saved, and a brand's budgets edited where they are shown.

An effect is no estimate: the service call that saving makes is rehearsed, and what it did is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.db import models, transaction
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from campaigns.admin import telling, words
from campaigns.admin.base import actor, moment
from campaigns.admin.forms import BudgetsForm
from campaigns.admin.writing import ServiceAdmin, ServiceForm
from campaigns.models import Brand, Campaign
from campaigns.queries import listing
from campaigns.rules import reasons
from campaigns.rules.errors import BudgetError
from campaigns.rules.verdict import BudgetScope
from campaigns.services import bulk, catalog
from campaigns.services.rehearsal import RehearsalBusyError, rehearse
from campaigns.services.status import Actor, Change

_Row = TypeVar("_Row", bound=models.Model)


class Line(NamedTuple):
    """One sentence about an effect, with the name of its icon and its tone. tells: whether it tells the effect."""

    text: str
    icon: str = "check"
    tone: str = "gray"
    tells: bool = True


def told(changes: Sequence[Change], *, saved: bool = False) -> list[Line]:
    """Return which campaigns a change pauses and resumes, or what it did once it is saved."""
    looks = {messages.SUCCESS: ("play_arrow", "green"), messages.WARNING: ("pause", "amber")}
    lines = [Line(text, *looks[level]) for text, level in telling.told(changes, saved=saved)]
    others = sum(1 for change in changes if change.was and change.now)
    if others:
        stays = "stays" if others == 1 else "stay"
        lines.append(Line(f"{words.count(others, 'campaign')} {stays} paused, for other reasons than before.", "info"))
    if not lines:
        nothing = "Saved. No campaign was paused or resumed." if saved else "No campaign would be paused or resumed."
        lines.append(Line(nothing))
    return lines


def standing_after(campaign: Campaign, *, was_active: bool, now: datetime) -> list[Line]:
    """Return how a change leaves one campaign, and when it resumes."""
    standing = listing.campaign_standings([campaign.pk], now=now).get(campaign.pk)
    if standing is None:
        return [Line("It was archived just now, and stays as it is.", "info")]
    if standing.is_active:
        return [Line("It stays active.") if was_active else Line("Resumes it.", "play_arrow", "green")]
    why = f"{reasons.in_words(standing.reasons)}; {words.resumption(standing, campaign.brand.timezone, now)}"
    return [Line(f"Pauses it: {why}.", "pause", "amber") if was_active else Line(f"It stays paused: {why}.", "info")]


def wrong(form: ModelForm[Any]) -> list[Line]:
    """Return what is wrong with a form, each field with its first sentence."""
    return [
        Line(
            str(found[0]) if name == NON_FIELD_ERRORS else f"{form.fields[name].label}: {found[0]}",
            "error",
            "red",
            tells=False,
        )
        for name, found in form.errors.items()
    ]


def _is_part(request: HttpRequest) -> bool:
    """Whether a script asks for the fragment only."""
    return "HX-Request" in request.headers


class TryingAdmin(ServiceAdmin[_Row]):
    """Says beside the Save button what saving would do."""

    change_form_after_template = "campaigns/admin/effect_area.html"

    def store(self, row: _Row, form: Any, *, now: datetime, by: Actor) -> list[Change]:
        """Store what the person has changed of a row by the services; return the status changes."""
        raise NotImplementedError

    def affected(self, row: _Row) -> int:
        """Return how many campaigns a change of the row may pause or resume."""
        return 1

    def outcome(self, row: _Row, changes: Sequence[Change], now: datetime) -> list[Line]:
        """Tell what a change did, while it is rehearsed."""
        return told(changes)

    def get_urls(self) -> list[URLPattern]:
        """Add what says what saving would do."""
        view = self.admin_site.admin_view(require_POST(self.effect_view))
        return [path("<path:object_id>/effect/", view, name=self._page("effect")), *super().get_urls()]

    def _page(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def effect_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer with the effect of the posted form. Nothing is saved."""
        row = self.changeable(request, object_id)
        form = self.get_form(request, row, change=True)(request.POST, instance=row)
        return self.show_effect(request, row, cast("ServiceForm[_Row]", form))

    def changeable(self, request: HttpRequest, object_id: str) -> _Row:
        """Return the row, if the person may change it."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        return row

    def show_effect(self, request: HttpRequest, row: _Row, form: ServiceForm[_Row]) -> HttpResponse:
        """Answer with the effect of a form, or what is wrong with it."""
        lines = self.effect(row, form, now=moment(request), by=actor(request)) if form.is_valid() else wrong(form)
        return TemplateResponse(request, "campaigns/admin/effect.html", {"lines": lines})

    def effect(self, row: _Row, form: ServiceForm[_Row], *, now: datetime, by: Actor) -> list[Line]:
        """Return what saving a valid form would do."""
        if not form.has_changed():
            return []
        affected = self.affected(row)
        if affected > bulk.MAX_CAMPAIGNS:
            many = words.count(affected, "campaign")
            return [
                Line(f"Up to {many} may be paused or resumed, too many to try out beforehand.", "info", tells=False)
            ]
        try:
            return rehearse(lambda: self.outcome(row, self.store(row, form, now=now, by=by), now))
        except RehearsalBusyError as error:
            return [Line(str(error), "hourglass_top", tells=False)]
        except BudgetError as error:
            return [Line(str(error), "error", "red", tells=False)]


class BudgetsAdmin(TryingAdmin[Brand]):
    """Lets the budgets of a brand be edited where they are shown. A plain page does the same without scripts."""

    budgets_template: ClassVar[str] = "campaigns/admin/budgets_inline.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the budgets of a brand and the effect of others."""
        site, at = self.admin_site, "<path:object_id>/budgets/"
        effect = site.admin_view(require_POST(self.budgets_effect_view))
        return [
            path(at, site.admin_view(self.budgets_view), name=self._page("budgets")),
            path(f"{at}effect/", effect, name=self._page("budgets_effect")),
            *super().get_urls(),
        ]

    def store(self, row: Brand, form: Any, *, now: datetime, by: Actor) -> list[Change]:
        """Change the brand."""
        fields = form.changed_fields()
        return catalog.update_brand(brand_id=row.pk, now=now, by=by, **fields) if fields else []

    def affected(self, row: Brand) -> int:
        """Return how many campaigns it has."""
        return row.campaigns.filter(archived_at=None).count()

    def budgets_effect_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer with the effect of the posted budgets. Nothing is saved."""
        row = self.changeable(request, object_id)
        return self.show_effect(request, row, BudgetsForm(request.POST, instance=row))

    def budgets_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the budgets of a brand, the form that changes them, or what saving it did."""
        if request.method == "POST":
            return self._save_budgets(request, self.changeable(request, object_id))
        if not _is_part(request) or "edit" in request.GET:
            brand = self.changeable(request, object_id)
            return self._budgets(request, brand, BudgetsForm(instance=brand))
        found = self.get_object(request, unquote(object_id))
        if found is None:
            raise Http404("There is no such brand.")
        if not self.has_view_or_change_permission(request, found):
            raise PermissionDenied
        return self._budgets(request, found, back="back" in request.GET)

    def _save_budgets(self, request: HttpRequest, brand: Brand) -> HttpResponse:
        form = BudgetsForm(request.POST, instance=brand)
        if not form.is_valid():
            return self._budgets(request, brand, form)
        try:
            changes = self._store_budgets(request, brand, form)
        except BudgetError as error:
            form.add_error(NON_FIELD_ERRORS, str(error))
            return self._budgets(request, brand, form)
        lines = told(changes, saved=True) if form.has_changed() else [Line("Nothing was changed.")]
        if not _is_part(request):
            for line in lines:
                self.message_user(request, line.text, messages.SUCCESS)
            return HttpResponseRedirect(self.row_url(brand))
        brand.refresh_from_db()
        response = self._budgets(request, brand, lines=lines, back=True)
        response["HX-Trigger-After-Swap"] = "bm-changed"
        return response

    def _store_budgets(self, request: HttpRequest, brand: Brand, form: Any) -> list[Change]:
        with transaction.atomic():
            changes = self.store(brand, form, now=moment(request), by=actor(request))
            if form.has_changed():
                self.log_change(request, brand, self.construct_change_message(request, form, []))
        return changes

    def _budgets(
        self, request: HttpRequest, brand: Brand, form: BudgetsForm | None = None, **more: Any
    ) -> HttpResponse:
        """The fragment, or the page around it for a browser that asks for one."""
        context = {**self.budgets_context(request, brand, form), **more}
        if _is_part(request):
            return TemplateResponse(request, self.budgets_template, context)
        site = {**self.admin_site.each_context(request), "title": f"Budgets of {brand}", "opts": self.opts}
        return TemplateResponse(request, "campaigns/admin/budgets_page.html", {**site, **context})

    def budgets_context(self, request: HttpRequest, brand: Brand, form: BudgetsForm | None = None) -> dict[str, Any]:
        """Return what the fragment shows, also for the page that includes it; two queries."""
        found = listing.brand_figures([brand], now=moment(request))[brand.pk]
        each = "" if brand.budget_scope == BudgetScope.BRAND else " for each campaign"
        limits = (("daily_budget", found.day, "today"), ("monthly_budget", found.month, "this month"))
        noted = {"daily_budget": ", set from the month"} if brand.daily_from_month else {}
        return {
            "brand": brand,
            "form": form,
            "budgets": [
                {
                    "label": f"{name.replace('_', ' ').capitalize()}{each}{noted.get(name, '')}",
                    "budget": words.budget(getattr(brand, name), brand.currency) if form is None else "",
                    "spent": f"Spent {when}: {words.amount(limit.spent, brand.currency)}",
                    "field": None if form is None else form[name],
                }
                for name, limit, when in limits
            ],
            "may_change": self.has_change_permission(request, brand),
            "budgets_url": self.link("budgets", brand.pk),
            "effect_url": self.link("budgets_effect", brand.pk),
            "page_url": self.row_url(brand),
        }
