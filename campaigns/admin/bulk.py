"""Changing many campaigns: what would be done is shown first, by doing it and taking it back; then one applies it."""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold import widgets

from campaigns.admin import words
from campaigns.admin.base import BaseAdmin, action, actor, moment
from campaigns.admin.forms import NoteField
from campaigns.models import Campaign
from campaigns.rules import money
from campaigns.rules.errors import BudgetError
from campaigns.services import bulk, reviews
from campaigns.services.bulk import BudgetChange, How
from campaigns.services.reviews import Outcome, State, Work
from campaigns.services.status import Actor

MAX_SHOWN = 200
"""Campaigns that a review shows one by one."""


class Verb(enum.StrEnum):
    """What can be done to many campaigns."""

    PAUSE = "pause"
    RESUME = "resume"
    BUDGETS = "budgets"


_TITLES = {Verb.PAUSE: "Pause {}", Verb.RESUME: "Resume {}", Verb.BUDGETS: "Change budgets of {}"}
_BUDGETS = {"daily_budget": "daily budget", "monthly_budget": "monthly budget", "total_budget": "total budget"}


class _Form(forms.Form):
    """What goes along from page to page: the campaigns, and where the list stood."""

    ids = forms.CharField(widget=forms.HiddenInput)
    filters = forms.CharField(required=False, widget=forms.HiddenInput, max_length=4_000)
    seal = forms.CharField(required=False, widget=forms.HiddenInput, max_length=64)

    def clean_ids(self) -> list[int]:
        """Read the ids; anything else was not written by our page."""
        written = self.cleaned_data["ids"].split(",")
        if not all(one.isascii() and one.isdigit() and len(one) < 19 for one in written):
            raise ValidationError("Select the campaigns in the list again.")
        return sorted({int(one) for one in written})


class NotedForm(_Form):
    """Asks for a note."""

    note = NoteField(
        label="Note",
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"placeholder": "Why"}),
        help_text="Optional. Kept in the journal of each campaign, with your name.",
    )


class BudgetsForm(_Form):
    """Asks what is to be done to which budget."""

    field = forms.ChoiceField(
        label="Budget",
        choices=[(name, label.capitalize()) for name, label in _BUDGETS.items()],
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    how = forms.ChoiceField(
        label="Change",
        choices=(
            (How.SET, "Set to an amount"),
            (How.RAISE, "Raise by percent"),
            (How.LOWER, "Lower by percent"),
            (How.REMOVE, "Remove: no limit of its own"),
        ),
        widget=widgets.UnfoldAdminSelectWidget(attrs={"x-model": "how"}),
    )
    value = forms.CharField(
        label="Amount or percent",
        required=False,
        max_length=40,
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text="An amount is in each campaign's own currency. What percent give is rounded to its cents.",
    )

    def clean(self) -> dict[str, Any] | None:
        """Read the value as what it is."""
        data = super().clean() or self.cleaned_data
        how = data.get("how")
        try:
            data["value"] = _value(data.get("value", ""), How(how)) if how and how != How.REMOVE else None
        except (BudgetError, money.MoneyError) as error:
            self.add_error("value", str(error))
        return data

    @property
    def change(self) -> BudgetChange:
        """What is to be done."""
        data = self.cleaned_data
        return BudgetChange(data["field"], How(data["how"]), data["value"])


def _value(text: str, how: How) -> Decimal:
    percent = how is not How.SET
    if not text.strip():
        raise BudgetError("Give how many percent." if percent else "Give an amount.")
    micros = money.to_micros(text.strip().removesuffix("%").strip()) if percent else money.parse_budget(text.strip())
    value = money.from_micros(micros or 0)
    bulk.check_percent(how, value)
    return value


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants done to which campaigns, and the service that does it."""

    verb: Verb
    ids: Sequence[int]
    note: str = ""
    change: BudgetChange | None = None

    def work(self, now: datetime, by: Actor) -> Work:
        """Return the service's verb with all that it takes, but for the campaigns."""
        if self.change is not None:
            return partial(bulk.change_budgets, change=self.change, now=now, by=by)
        verb = bulk.pause_campaigns if self.verb is Verb.PAUSE else bulk.resume_campaigns
        return partial(verb, now=now, by=by, note=self.note)


class Row(NamedTuple):
    """A campaign of a review: its status and budget before and after."""

    campaign: Campaign
    before: SafeString
    after: SafeString
    budget_before: str
    budget_after: str
    status_changes: bool
    budget_changes: bool


class BulkAdmin(BaseAdmin[Campaign]):
    """Pausing, resuming and budgets of many campaigns, with a review."""

    def get_urls(self) -> list[URLPattern]:
        """Add the review."""
        review = self.admin_site.admin_view(self.bulk_view)
        return [path("bulk/<str:verb>/", review, name="campaigns_campaign_bulk"), *super().get_urls()]

    @action(description="Pause selected campaigns")
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> HttpResponse | None:
        """Pause many, after a review."""
        return self._begin_bulk(request, queryset, Verb.PAUSE)

    @action(description="Resume selected campaigns")
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> HttpResponse | None:
        """Lift a person's pause of many, after a review."""
        return self._begin_bulk(request, queryset, Verb.RESUME)

    @action(description="Change budgets of selected campaigns")
    def change_budgets_selected(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> HttpResponse | None:
        """Ask for a change of a budget, and show it."""
        return self._begin_bulk(request, queryset, Verb.BUDGETS)

    def bulk_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Show what would be done, or do what was shown."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        if request.method != "POST" or verb not in list(Verb):
            return HttpResponseRedirect(self.link("changelist"))
        form = (BudgetsForm if verb == Verb.BUDGETS else NotedForm)(request.POST)
        if not form.is_valid():
            if "ids" in form.errors:
                return self._back_to_list(request, form, [("Select the campaigns in the list again.", messages.ERROR)])
            return self._bulk_page(request, Verb(verb), form)
        chosen = form.cleaned_data["ids"]
        # Whatever ids were sent: only what the person may see, and is in use.
        seen = self.get_queryset(request).filter(pk__in=chosen[: bulk.MAX_CAMPAIGNS + 1], archived_at=None)
        ids = list(seen.order_by("pk").values_list("pk", flat=True))
        change = form.change if isinstance(form, BudgetsForm) else None
        wish = Wish(Verb(verb), ids, form.cleaned_data.get("note", ""), change)
        return self._apply(request, wish, form) if "apply" in request.POST else self._review(request, wish, form)

    def _begin_bulk(self, request: HttpRequest, queryset: QuerySet[Campaign], verb: Verb) -> HttpResponse | None:
        found = queryset.filter(archived_at=None).order_by("pk").values_list("pk", flat=True)
        ids = list(found[: bulk.MAX_CAMPAIGNS + 1])
        if len(ids) > bulk.MAX_CAMPAIGNS:
            raise BudgetError(
                f"These are more than {bulk.MAX_CAMPAIGNS:,} campaigns; select fewer at once, for example with a "
                "filter."
            )
        if not ids:
            self.message_user(request, "These are archived and stay as they are.", messages.WARNING)
            return None
        sent = {"ids": ",".join(map(str, ids)), "filters": request.GET.urlencode(), "how": How.SET}
        if verb is Verb.BUDGETS:
            return self._bulk_page(request, verb, BudgetsForm(initial=sent))
        return self._review(request, Wish(verb, ids), NotedForm(initial=sent))

    def _review(self, request: HttpRequest, wish: Wish, form: _Form, *, notice: str = "") -> HttpResponse:
        try:
            outcome = reviews.rehearse(wish.work(moment(request), actor(request)), wish.ids)
        except BudgetError as error:
            return self._bulk_page(request, wish.verb, form, notice=str(error))
        return self._bulk_page(request, wish.verb, form, wish=wish, outcome=outcome, notice=notice)

    def _apply(self, request: HttpRequest, wish: Wish, form: _Form) -> HttpResponse:
        work = wish.work(moment(request), actor(request))
        try:
            outcome = reviews.apply(work, wish.ids, seen=form.cleaned_data["seal"])
        except BudgetError as error:
            return self._review(request, wish, form, notice=str(error))
        done = [(sentence, messages.SUCCESS if is_done else messages.INFO) for sentence, is_done in told(wish, outcome)]
        return self._back_to_list(request, form, done)

    def _bulk_page(
        self,
        request: HttpRequest,
        verb: Verb,
        form: _Form,
        *,
        wish: Wish | None = None,
        outcome: Outcome | None = None,
        notice: str = "",
    ) -> HttpResponse:
        number = len(form["ids"].value().split(","))
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _TITLES[verb].format(words.count(number, "campaign")),
            "opts": self.opts,
            "form": form,
            "verb": verb.value,
            "notice": notice,
            "back": self._list_url(form),
        }
        if wish is not None and outcome is not None:
            context |= _shown(wish, outcome)
        return TemplateResponse(request, "campaigns/admin/bulk/review.html", context)

    def _back_to_list(self, request: HttpRequest, form: _Form, told: list[tuple[str, int]]) -> HttpResponse:
        for sentence, level in told:
            self.message_user(request, sentence, level)
        return HttpResponseRedirect(self._list_url(form))

    def _list_url(self, form: _Form) -> str:
        filters = form["filters"].value()
        return self.link("changelist") + (f"?{filters}" if filters else "")


# --- What a review says ------------------------------------------------------------------------


def _shown(wish: Wish, outcome: Outcome) -> dict[str, Any]:
    """What the page shows of an outcome: in words, and the campaigns that it does most to first."""
    order = sorted(outcome.before, key=lambda pk: (_weight(outcome.before[pk], outcome.after[pk]), pk))
    found = Campaign.objects.select_related("brand").in_bulk(order[:MAX_SHOWN])
    field = wish.change.field if wish.change else ""
    rows = [_row(found[pk], outcome.before[pk], outcome.after[pk], field) for pk in order[:MAX_SHOWN] if pk in found]
    return {
        "outcome": outcome,
        "sentences": [sentence for sentence, _ in told(wish, outcome, would=True)] + _currencies(wish),
        "rows": rows,
        "more": len(order) - len(rows),
        "budget_label": _BUDGETS.get(field, "").capitalize(),
        "changes": outcome.before != outcome.after,
    }


def _weight(before: State, after: State) -> int:
    """0 where it begins or ceases to spend, 1 where anything else changes, 2 where nothing does."""
    if bool(before.reasons) != bool(after.reasons):
        return 0
    return 1 if before != after else 2


def _row(campaign: Campaign, before: State, after: State, field: str) -> Row:
    was, becomes = (getattr(state, field, None) for state in (before, after))
    currency = campaign.brand.currency
    return Row(
        campaign,
        words.status_labels(before.reasons),
        words.status_labels(after.reasons),
        _budget(was, currency),
        _budget(becomes, currency),
        status_changes=before.reasons != after.reasons,
        budget_changes=was != becomes,
    )


def _budget(micros: int | None, currency: str) -> str:
    return words.NO_LIMIT if micros is None else words.exact(money.from_micros(micros), currency)


def told(wish: Wish, outcome: Outcome, *, would: bool = False) -> list[tuple[str, bool]]:
    """Return what was done, or would be, as sentences; each with whether it is something that changes."""
    pairs = [(state, outcome.after[pk]) for pk, state in outcome.before.items()]
    paused = sum(1 for before, after in pairs if after.reasons and not before.reasons)
    resumed = sum(1 for before, after in pairs if before.reasons and not after.reasons)
    kept = [before for before, after in pairs if before[:4] == after[:4]]
    changed = [after for before, after in pairs if before[:4] != after[:4]]
    still = len(changed) - (paused if wish.verb is Verb.PAUSE else resumed)
    found: list[tuple[str, bool]] = []
    if wish.change is not None and changed:
        budget = _BUDGETS[wish.change.field]
        found.append(
            (f"{'Changes' if would else 'Changed'} the {budget} of {words.count(len(changed), 'campaign')}.", True)
        )
    if resumed:
        found.append((f"{'Resumes' if would else 'Resumed'} {words.count(resumed, 'campaign')}.", True))
    if paused:
        found.append((f"{'Pauses' if would else 'Paused'} {words.count(paused, 'campaign')}.", True))
    if wish.verb is Verb.PAUSE and still:
        why = "paused for other reasons, and from now on also by a person"
        found.append((f"{words.count(still, 'campaign')}: {why}.", True))
    if wish.verb is Verb.RESUME and still:
        found.append(
            (f"{words.count(still, 'campaign')} no longer paused by a person, but still for other reasons.", True)
        )
    if wish.change is not None and changed and not paused and not resumed:
        found.append((f"No campaign {'would be' if would else 'was'} paused or resumed.", False))
    if kept:
        stay = "stays as it is" if len(kept) == 1 else "stay as they are"
        found.append((f"{words.count(len(kept), 'campaign')} {stay}: {_why_kept(wish, kept)}.", False))
    return found


def _why_kept(wish: Wish, kept: Sequence[State]) -> str:
    if wish.verb is Verb.PAUSE:
        return "paused by a person before"
    if wish.verb is Verb.RESUME:
        return "not paused by a person"
    assert wish.change is not None
    budget = _BUDGETS[wish.change.field]
    without = sum(1 for state in kept if getattr(state, wish.change.field) is None)
    if without == len(kept):
        return f"no {budget}"
    if not without:
        return f"this {budget} already"
    return f"{without:,} without a {budget}, {len(kept) - without:,} with this one already"


def _currencies(wish: Wish) -> list[str]:
    """Say so where one amount means several: 100 euros are not 100 yen."""
    if wish.change is None or wish.change.how is not How.SET:
        return []
    counts = Counter(Campaign.objects.filter(pk__in=wish.ids).order_by().values_list("brand__currency", flat=True))
    if len(counts) < 2:
        return []
    amounts = [
        f"{words.exact(wish.change.value or 0, code)} for {words.count(number, 'campaign')}"
        for code, number in counts.most_common()
    ]
    return [
        f"These campaigns spend in {len(counts)} currencies, and the amount is in each one's own: {', '.join(amounts)}."
    ]
