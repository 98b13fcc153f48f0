"""Rules of alerts: what is told, of whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold import widgets

from campaigns.admin import words
from campaigns.admin.alert_forms import OwnedAdmin, RefusedForm, is_new
from campaigns.admin.base import AutocompleteFilter, CheckboxSelectMultiple, moment
from campaigns.models import AlertRule
from campaigns.rules import alerts, reasons
from campaigns.rules.alerts import FORECASTS, STATUSES, SUBJECTS, Kind, Subject
from campaigns.rules.reasons import Reason
from campaigns.services import alert_rules

_OF = {Subject.BRAND: "of the brand", Subject.CAMPAIGN: "of each campaign", Subject.PRODUCT: ""}


def _choice(kind: Kind, subject: Subject) -> str:
    return f"{kind:d}-{subject:d}"


def _of(kind: Kind, subject: Subject) -> str:
    """Whom a choice is about; of forecasts, a rule is about one campaign."""
    if kind in STATUSES:
        return ""
    return "of one campaign" if kind in FORECASTS and subject is Subject.CAMPAIGN else _OF[subject]


WHAT = {
    _choice(kind, subject): capfirst(f"{alerts.LABELS[kind]} {_of(kind, subject)}".strip())
    for kind, subjects in SUBJECTS.items()
    for subject in subjects
}
"""What a rule may be about, as one chooses it."""

_WITH_PERCENTS = [_choice(k, s) for k, subjects in SUBJECTS.items() for s in subjects if k in alerts.WITH_PERCENTS]
_WITH_REASONS = [_choice(k, s) for k, subjects in SUBJECTS.items() for s in subjects if k in STATUSES]
_OF_CAMPAIGNS = [_choice(k, s) for k, subjects in SUBJECTS.items() for s in subjects if s is Subject.CAMPAIGN]
_OF_PRODUCT = [_choice(k, s) for k, subjects in SUBJECTS.items() for s in subjects if s is Subject.PRODUCT]


def _where(condition: str) -> str:
    """The condition under which a field is shown; the form of a rule that there is asks no more what it is about."""
    return f"typeof what === 'undefined' || {condition}"


class RuleForm(RefusedForm[AlertRule]):
    """Asks what is told, and of whom."""

    what = forms.ChoiceField(
        label="Tell", choices=list(WHAT.items()), widget=widgets.UnfoldAdminSelectWidget(), required=False
    )
    percents = forms.CharField(
        label="Percent",
        max_length=60,
        required=False,
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
        help_text="Shares of the budget; empty: 50, 80, 100. Of overspend: how far beyond it; empty: 5. "
        "Of a forecast above it: how far above; empty: 10. Of under-delivery: the share it stays below; empty: 80.",
    )
    why = forms.TypedMultipleChoiceField(
        label="Reasons",
        coerce=int,
        required=False,
        choices=[(int(reason), capfirst(label)) for reason, label in reasons.LABELS.items()],
        initial=[int(reason) for reason in alerts.TOLD_PAUSES],
        widget=CheckboxSelectMultiple,
        help_text="A pause, or its end, is told if it has one of these.",
    )

    class Meta:
        model = AlertRule
        fields = ("brand", "campaign", "percents", "is_on")
        labels = {"is_on": "On"}  # noqa: RUF012 - Django's Meta
        help_texts = {  # noqa: RUF012 - Django's Meta
            "brand": "Empty: every brand.",
            "campaign": "Only this one. Empty: every campaign; of forecasts, choose one.",
            "is_on": "Off: nothing of this is told here, whatever a wider rule says.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not is_new(self.instance) and "why" in self.fields:
            self.initial["why"] = [int(reason) for reason in self.instance.pause_reasons]

    def clean(self) -> dict[str, Any] | None:
        """Keep what is of the installation from people who see only some brands."""
        cleaned = super().clean()
        if self.is_limited and self.cleaned_data.get("what") in _OF_PRODUCT:
            self.add_error("what", "This is of the installation, and you see only some brands; choose something else.")
        return cleaned

    @property
    def chosen(self) -> tuple[Kind, Subject]:
        """What was chosen in `what`."""
        kind, _, subject = self.cleaned_data["what"].partition("-")
        return Kind(int(kind)), Subject(int(subject))

    @property
    def why_chosen(self) -> Reason:
        """The reasons that were chosen."""
        return Reason(sum(self.cleaned_data.get("why") or []))


@admin.register(AlertRule)
class AlertRuleAdmin(OwnedAdmin[AlertRule]):
    """Rules of alerts."""

    brand_path = "brand"
    form = RuleForm
    autocomplete_fields = ("brand", "campaign")
    list_display = ("told", "of_whom", "when_told", "state")
    list_filter = ("kind", ("brand", AutocompleteFilter), "is_on")
    list_select_related = ("brand", "campaign", "campaign__brand")
    list_before_template = "campaigns/admin/alert_rules_note.html"
    actions = None
    conditional_fields = {  # noqa: RUF012 - read by Unfold
        "percents": _where(f"{_WITH_PERCENTS}.includes(what)"),
        "why": _where(f"{_WITH_REASONS}.includes(what)"),
        "campaign": _where(f"{_OF_CAMPAIGNS}.includes(what)"),
        "brand": _where(f"!{_OF_PRODUCT}.includes(what)"),
    }
    empty_icon = "rule"
    empty_text = "No rules yet, so what is said above holds. Add one to tell more, less, or of campaigns."

    def get_fieldsets(self, request: HttpRequest, obj: AlertRule | None = None) -> Any:
        """Return the form; what a rule is about stays as it is."""
        if obj is None:
            return ((None, {"fields": ("what", "brand", "campaign", "percents", "why", "is_on")}),)
        if not self.has_change_permission(request, obj):
            return ((None, {"fields": ("told", "of_whom", "when_told", "state")}),)
        kind = Kind(obj.kind)
        own = ("why",) if kind in STATUSES else () if kind in alerts.PRODUCT else ("percents",)
        return ((None, {"fields": ("told", "of_whom", *own, "is_on")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: AlertRule | None = None) -> Any:
        """Return what is only shown."""
        return () if obj is None else ("told", "of_whom", "when_told", "state")

    def store(self, request: HttpRequest, row: AlertRule, form: Any) -> AlertRule:
        """Make or change a rule."""
        rule_form = cast("RuleForm", form)
        data = rule_form.cleaned_data
        if not is_new(row):
            return alert_rules.update_rule(
                rule_id=row.pk,
                percents=data.get("percents"),
                reasons=rule_form.why_chosen if "why" in data else None,
                is_on=data["is_on"],
            )
        kind, subject = rule_form.chosen
        of_campaigns, of_product = subject is Subject.CAMPAIGN, subject is Subject.PRODUCT
        return alert_rules.create_rule(
            kind=kind,
            subject=subject,
            # What is hidden for this choice may have been filled in for another one before.
            brand_id=None if of_product or data["brand"] is None else data["brand"].pk,
            campaign_id=data["campaign"].pk if of_campaigns and data["campaign"] is not None else None,
            percents=data["percents"] if _choice(kind, subject) in _WITH_PERCENTS else "",
            reasons=rule_form.why_chosen,
            is_on=data["is_on"],
            now=moment(request),
        )

    def remove(self, request: HttpRequest, row: AlertRule) -> None:
        """Delete a rule."""
        alert_rules.delete_rule(rule_id=row.pk)

    @admin.display(description="Tells", ordering="kind")
    def told(self, rule: AlertRule) -> str:
        """What it tells."""
        return WHAT.get(_choice(Kind(rule.kind), Subject(rule.subject)), rule.get_kind_display())

    @admin.display(description="Of", ordering="brand__name")
    def of_whom(self, rule: AlertRule) -> str:
        """Of whom."""
        if rule.campaign is not None:
            return f"{rule.campaign.brand} · {rule.campaign}"
        if rule.subject == Subject.PRODUCT:
            return "the installation"
        return "every brand" if rule.brand is None else str(rule.brand)

    @admin.display(description="At")
    def when_told(self, rule: AlertRule) -> str:
        """From when on."""
        kind = Kind(rule.kind)
        if kind in alerts.PRODUCT:
            return words.NONE
        if kind in STATUSES:
            return capfirst(reasons.in_words(rule.pause_reasons))
        shown = alerts.percents_in_words([int(part) for part in rule.percents.split(",")])
        if kind is Kind.UNDER_DELIVERY:
            return f"below {shown} of the budget"
        return f"{shown} beyond the budget" if kind in alerts.BEYOND else shown

    @admin.display(description="State", ordering="is_on")
    def state(self, rule: AlertRule) -> SafeString:
        """Whether it is on."""
        return words.label("on", "green") if rule.is_on else words.label("off", "gray")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        """Return the rules with whom they are about."""
        return super().get_queryset(request).select_related("brand", "campaign__brand")

    def named(self, rows: Sequence[AlertRule]) -> list[str]:
        """Return the rules as a question names them."""
        return [f"{self.told(row)}, {self.of_whom(row)}" for row in rows]
