"""How the admin writes: forms show, services store. What a service refuses is shown and has changed nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any, ClassVar, TypeVar, cast

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_permission_codename
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Field, QuerySet
from django.forms import Form, ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from unfold import widgets

from campaigns.admin import words
from campaigns.admin.base import BaseAdmin, DialogForm, action, actor, moment
from campaigns.models import Brand, Campaign
from campaigns.models.fields import MoneyField
from campaigns.rules.errors import BudgetError
from campaigns.services.status import Actor

MAX_SELECTED = 1_000
"""Rows that one action above a list works on; each is a transaction of its own."""

MAX_NAMED = 5
"""Rows that a message names one by one."""

MONEY: Mapping[type[Field[Any, Any]], Mapping[str, Any]] = {
    MoneyField: {"widget": widgets.UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})}
}
"""How amounts are asked for."""

_REFUSAL = "campaigns.refusal"

_Row = TypeVar("_Row", bound=models.Model)


class ServiceForm(ModelForm[_Row]):
    """A form whose content a service stores. It validates as any other, and shows what the service refuses."""

    stored: ClassVar[frozenset[str]]
    """The fields that the service takes."""
    refusal: ClassVar[str] = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            # What the person was shown goes along, so that "changed" means changed by this person: a value that
            # somebody else has changed meanwhile is not put back.
            field.show_hidden_initial = self.instance.pk is not None

    def clean(self) -> dict[str, Any] | None:
        """Add what a service refused, and what somebody else has set while this form was open."""
        if self.refusal:
            raise ValidationError(self.refusal)
        cleaned = super().clean()
        for name in self.changed_fields():
            self._refuse_overwriting(name)
        return cleaned

    def _refuse_overwriting(self, name: str) -> None:
        """Refuse a change of what the person has not seen; the form that is shown then shows it, so Save sets it."""
        field, seen_at = self.fields[name], self.add_initial_prefix(name)
        if not field.show_hidden_initial or seen_at not in self.data or name in self.errors:
            return
        hidden = field.hidden_widget()
        seen = hidden.value_from_datadict(self.data, self.files, seen_at)
        present = self[name].initial
        if not field.has_changed(present, seen) or not field.has_changed(present, self[name].data):
            return
        shown = "nothing" if present in (None, "") else present
        self.add_error(name, f"Somebody else has set this to {shown} meanwhile. Save again to set yours.")
        posted = cast("QueryDict", self.data).copy()
        shown_values = field.prepare_value(present)
        values = shown_values if isinstance(shown_values, list | tuple) else ["" if present is None else shown_values]
        posted.setlist(seen_at, [str(value) for value in values])
        self.data = posted

    def changed_fields(self) -> dict[str, Any]:
        """Return what the service takes and the person has changed."""
        return {name: self.cleaned_data.get(name) for name in self.changed_data if name in self.stored}

    def all_fields(self) -> dict[str, Any]:
        """Return everything that the service takes."""
        return {name: value for name, value in self.cleaned_data.items() if name in self.stored}


def is_archived(row: object) -> bool:
    """Return whether a brand or campaign is archived."""
    return isinstance(row, Brand | Campaign) and row.archived_at is not None


class ConfirmForm(DialogForm):
    """Asks for nothing but the click."""


class ServiceAdmin(BaseAdmin[_Row]):
    """Brands and campaigns alike: saved, archived and deleted by services."""

    warn_unsaved_form = True
    identity: ClassVar[tuple[str, ...]] = ()
    """The fields that say what a row is, not how it may spend: they take the permission to add such rows."""
    actions: Sequence[Any] | None = ("archive_selected",)
    actions_detail: Sequence[str] = ("archive",)
    delete_confirmation_template = "campaigns/admin/confirm_delete.html"
    delete_selected_confirmation_template = "campaigns/admin/confirm_delete_selected.html"

    # What the two models do differently.

    def archive_rows(self, pks: Sequence[int], *, now: datetime, by: Actor) -> None:
        """Archive rows by their service."""
        raise NotImplementedError

    def delete_one(self, pk: int, *, now: datetime, by: Actor) -> None:
        """Delete a row by its service."""
        raise NotImplementedError

    def with_spend(self, pks: Collection[int]) -> set[int]:
        """Return which rows have spend, and so can't be deleted."""
        raise NotImplementedError

    def dependents(self, rows: Sequence[_Row]) -> dict[str, int]:
        """Return what would be deleted along with the rows, by name of the kind."""
        return {}

    # Saving.

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As permitted, but what is archived stays as it is. Unfold passes an id for the row, too."""
        return not is_archived(obj) and super().has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: _Row | None = None) -> Any:
        """Return what stays as it is: the identity, for who may not add such rows."""
        may_add = request.user.has_perm(f"campaigns.{get_permission_codename('add', self.opts)}")
        return () if obj is None or may_add else self.identity

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or save the form. A refusal has rolled everything back: the form is shown again and says why."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except BudgetError as error:
            request.META[_REFUSAL] = str(error)
            return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(
        self, request: HttpRequest, obj: _Row | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[_Row]]:
        """Return the form, which knows what a service has refused in this request."""
        form = cast("type[ServiceForm[_Row]]", super().get_form(request, obj, change, **kwargs))
        form.refusal = request.META.get(_REFUSAL, "")
        return form

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: _Row | None = None,
    ) -> HttpResponse:
        """Offer deletion only where there is no spend."""
        if obj is not None:
            context["show_delete"] = not self.with_spend([obj.pk])
        return super().render_change_form(request, context, add, change, form_url, obj)

    # Deleting.

    def get_deleted_objects(
        self, objs: Sequence[_Row] | QuerySet[_Row], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return what a deletion takes along; raise BudgetError for what has spend.

        The counters that stand in Django's way are empty then, and the service removes them.
        """
        rows = self.selected(objs)
        spent = self.with_spend([row.pk for row in rows])
        named = [str(row) for row in rows if row.pk in spent]
        if named:
            has = "has" if len(named) == 1 else "have"
            raise BudgetError(f"{words.named(named, MAX_NAMED)} {has} spend and can't be deleted; archive instead.")
        along = self.dependents(rows)
        model = self.opts.verbose_name if len(rows) == 1 else self.opts.verbose_name_plural
        lacking = {str(self.opts.verbose_name)} if not self.has_delete_permission(request) else set()
        if along and not request.user.has_perm("campaigns.delete_campaign"):
            lacking |= {"campaign"}
        return [str(row) for row in rows], {str(model): len(rows), **along}, lacking, []

    def delete_model(self, request: HttpRequest, obj: _Row) -> None:
        """Delete by the service."""
        self.delete_one(obj.pk, now=moment(request), by=actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[_Row]) -> None:
        """Delete by the service, all or none."""
        with transaction.atomic():
            for row in self.selected(queryset):
                self.delete_one(row.pk, now=moment(request), by=actor(request))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete, or say in one sentence why not."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except BudgetError as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(self.link("change", unquote(object_id)))

    # Actions.

    def selected(self, rows: Sequence[_Row] | QuerySet[_Row]) -> list[_Row]:
        """Return the rows that an action works on, in the order in which they are locked.

        Raises BudgetError for more than 1,000.
        """
        ordered = rows.order_by("pk") if isinstance(rows, QuerySet) else rows
        found = list(ordered[: MAX_SELECTED + 1])
        if len(found) > MAX_SELECTED:
            raise BudgetError(
                f"These are more than {MAX_SELECTED:,} {self.opts.verbose_name_plural}; select fewer at once, "
                "for example with a filter."
            )
        return found

    def counted(self, rows: Sequence[_Row]) -> str:
        """Return how many rows there are, with their noun."""
        return words.count(len(rows), str(self.opts.verbose_name), str(self.opts.verbose_name_plural))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list or run an action; a refusal is one sentence."""
        # Deleting logs first: a refusal must take back the log, too. Other actions are many transactions.
        deleting = request.method == "POST" and request.POST.get("action") == "delete_selected"
        try:
            with transaction.atomic() if deleting else nullcontext():
                return super().changelist_view(request, extra_context)
        except BudgetError as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def get_actions_detail(self, request: HttpRequest, object_id: int | str) -> list[Any]:
        """Return the buttons that fit the state of the row."""
        row = super(BaseAdmin, self).get_object(request, unquote(str(object_id)))  # without figures
        fitting = self.fitting_actions(row) if row is not None else set()
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        found: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]  # Unfold's
        return [one for one in found if one.action_name.removeprefix(prefix) in fitting]

    def fitting_actions(self, row: _Row) -> set[str]:
        """Return the names of the actions that make sense for a row."""
        return set() if is_archived(row) else {"archive"}

    def act(self, request: HttpRequest, object_id: str, verb: Callable[[_Row], tuple[str, int]]) -> HttpResponse:
        """Do something to one row and lead back to its page with a message, the verb's or why it was refused."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        try:
            message, level = verb(row)
        except BudgetError as error:
            message, level = str(error), messages.ERROR
        self.message_user(request, message, level)
        return self.leave(request, self.row_url(row))

    @action(
        description="Archive",
        permissions=("delete",),
        icon="archive",
        title="Archive for good?",
        explanation="It stops spending at once and leaves the lists. Its spend and its journal stay.",
        submit="Archive",
        form_class=ConfirmForm,
    )
    def archive(self, request: HttpRequest, form: Form, object_id: str) -> HttpResponse:
        """Archive one."""

        def verb(row: _Row) -> tuple[str, int]:
            self.archive_rows([row.pk], now=moment(request), by=actor(request))
            return f"{row} is archived.", messages.SUCCESS

        return self.act(request, object_id, verb)

    @action(description="Archive selected %(verbose_name_plural)s", permissions=("delete",))
    def archive_selected(self, request: HttpRequest, queryset: QuerySet[_Row]) -> HttpResponse | None:
        """Archive many, after a page that asks."""
        rows = self.selected(queryset.filter(archived_at=None))
        if rows and "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": f"Archive {self.counted(rows)}?",
                "opts": self.opts,
                "rows": rows,
                "back": self.link("changelist"),
            }
            return TemplateResponse(request, "campaigns/admin/confirm_archive.html", context)
        if rows:
            self.archive_rows([row.pk for row in rows], now=moment(request), by=actor(request))
        self.message_user(request, f"Archived {self.counted(rows)}.", messages.SUCCESS if rows else messages.WARNING)
        return None
