"""The filters beside the lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import ExpressionWrapper, F, Model, QuerySet, SmallIntegerField
from django.http import HttpRequest
from django.urls import reverse

from campaigns.admin.base import AutocompleteFilter, AutocompleteForm, ChoiceFilter
from campaigns.models import Campaign
from campaigns.rules import reasons

_Choices = Iterable[tuple[str, str]]


class ArchivedFilter(ChoiceFilter):
    """Leaves out what is archived unless asked for."""

    title = "archive"
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> _Choices:
        """Return the choices beside "in use"."""
        return (("yes", "Archived"), ("all", "Both"))

    all_option = ("", "In use")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list."""
        match self.value():
            case "all":
                return queryset
            case "yes":
                return queryset.exclude(archived_at=None)
            case _:
                return queryset.filter(archived_at=None)


class StatusFilter(ChoiceFilter):
    """Active or paused."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> _Choices:
        """Return the choices."""
        return (("active", "Active"), ("paused", "Paused"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list."""
        if self.value() in ("active", "paused"):
            return queryset.filter(is_active=self.value() == "active")
        return queryset


class ReasonFilter(ChoiceFilter):
    """One of the reasons why a campaign may not spend; it may have others beside it."""

    title = "reason"
    parameter_name = "reason"
    column = "reasons"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> _Choices:
        """Return the reasons in words."""
        return [(reason.code, words.capitalize()) for reason, words in reasons.LABELS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list."""
        for reason in reasons.LABELS:
            if reason.code == self.value():
                bit = ExpressionWrapper(F(self.column).bitand(int(reason)), output_field=SmallIntegerField())
                narrowed: QuerySet[Any] = queryset.alias(reason_bit=bit).exclude(reason_bit=0)
                return narrowed
        return queryset


class BecameFilter(ReasonFilter):
    """The same of a status change: what it changed to."""

    column = "to_reasons"


class CampaignChoices(AutocompleteJsonView):
    """What one can choose from in a campaign filter: campaigns of several brands may have the same name."""

    def get_queryset(self) -> QuerySet[Any]:
        """Return the matches with their brands."""
        return super().get_queryset().select_related("brand")

    def serialize_result(self, obj: Model, to_field_name: str) -> dict[str, str]:
        """Return a campaign with its brand's name."""
        return {**super().serialize_result(obj, to_field_name), "text": campaign_choice(obj)}


def campaign_choice(campaign: Model) -> str:
    """Return a campaign as one chooses it."""
    assert isinstance(campaign, Campaign)
    return f"{campaign.brand} · {campaign}"


class _CampaignField(forms.ModelChoiceField):  # type: ignore[type-arg]  # not generic at run time
    def label_from_instance(self, obj: Model) -> str:
        return campaign_choice(obj)


class _CampaignSelect(AutocompleteSelect):
    def get_url(self) -> str:
        return reverse(f"{self.admin_site.name}:campaigns_campaign_choices")


class _CampaignFilterForm(AutocompleteForm):
    field = _CampaignField  # its choices: the campaigns that the person may see, with their brands
    widget = _CampaignSelect


class CampaignFilter(AutocompleteFilter):
    """Chooses a campaign by typing its name."""

    form_class = _CampaignFilterForm
