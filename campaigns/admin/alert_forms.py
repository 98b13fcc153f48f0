"""What the pages of rules and of channels share: services store, and what they refuse is shown at its field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from campaigns.admin.base import BaseAdmin, visible_brands
from campaigns.rules.errors import BudgetError, InvalidFieldError

_Row = TypeVar("_Row", bound=models.Model)

_REFUSAL = "campaigns.alerts.refusal"


def is_new(row: models.Model) -> bool:
    """Return whether a row is still to be made."""
    return row.pk is None


class RefusedForm(forms.ModelForm[_Row]):
    """A form that shows what a service has refused, and takes no row of everybody from a person with a limit."""

    refusal: ClassVar[BudgetError | None] = None
    is_limited: ClassVar[bool] = False

    def clean(self) -> dict[str, Any] | None:
        """Add what was refused."""
        cleaned = super().clean()
        if self.refusal is not None:
            field = self.refusal.field if isinstance(self.refusal, InvalidFieldError) else None
            at = field if field in self.fields else None
            self.add_error(at, ValidationError(str(self.refusal)))
        if (
            self.is_limited
            and "brand" in self.fields
            and not self.cleaned_data.get("brand")
            and "brand" not in self.errors
        ):
            self.add_error("brand", "Choose a brand: you see only some of them.")
        return cleaned

    def _post_clean(self) -> None:
        """Leave it to the service whether the row can be."""


class OwnedAdmin(BaseAdmin[_Row]):
    """Rows of a brand or of everything, stored by services."""

    show_history: ClassVar[bool] = False
    delete_confirmation_template = "campaigns/admin/confirm_alert_delete.html"

    def store(self, request: HttpRequest, row: _Row, form: Any) -> _Row:
        """Make or change a row by its service."""
        raise NotImplementedError

    def remove(self, request: HttpRequest, row: _Row) -> None:
        """Delete a row by its service."""
        raise NotImplementedError

    def named(self, rows: Sequence[_Row]) -> list[str]:
        """Return rows as a question names them."""
        return [str(row) for row in rows]

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
            self.refuse(request, error)
            return super().changeform_view(request, object_id, form_url, extra_context)

    def refuse(self, request: HttpRequest, error: BudgetError) -> None:
        """Let the form of this request say why it can't be."""
        request.META[_REFUSAL] = error

    def get_form(self, request: HttpRequest, obj: _Row | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form, which knows what was refused in this request."""
        form = cast("type[RefusedForm[_Row]]", super().get_form(request, obj, change, **kwargs))
        form.refusal = request.META.get(_REFUSAL)
        form.is_limited = visible_brands(request) is not None
        return form

    def save_model(self, request: HttpRequest, obj: _Row, form: Any, change: Any) -> None:
        """Store by the service."""
        stored = self.store(request, obj, form)
        obj.pk = stored.pk
        obj.refresh_from_db()

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """There is nothing beside the row."""

    def delete_model(self, request: HttpRequest, obj: _Row) -> None:
        """Delete by the service."""
        self.remove(request, obj)

    def get_deleted_objects(
        self, objs: Sequence[_Row] | QuerySet[_Row], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return what is deleted: the row; what goes with it is not counted."""
        lacking = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return self.named(list(objs)), {str(self.opts.verbose_name): len(objs)}, lacking, []

    def act(self, request: HttpRequest, object_id: str, verb: Callable[[_Row], Any]) -> HttpResponse:
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
