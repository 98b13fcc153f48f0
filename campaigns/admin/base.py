"""One thin typed front for Unfold, which ships without types, and what the pages of the admin have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from django.contrib import admin, messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.paginator import Paginator
from django.db import models
from django.db.models import QuerySet
from django.db.models.fields.related import RelatedField
from django.forms import Form, ModelChoiceField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action as unfold_action
from unfold.enums import ActionVariant

from campaigns.queries import lookup, people
from campaigns.services.status import Actor

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as UnfoldModelAdmin
    from django.contrib.admin import RelatedFieldListFilter as UnfoldAutocompleteFilter
    from django.contrib.admin import SimpleListFilter as ChoiceFilter
    from django.contrib.admin.views.main import ChangeList
    from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm
    from django.contrib.auth.forms import AdminUserCreationForm as UserCreationForm
    from django.forms import CheckboxSelectMultiple

    class DialogForm(Form):
        """Is shown in a dialog."""

    class UnfoldAutocompleteForm(Form):
        """Chooses what a list is filtered by."""

        def __init__(self, request: HttpRequest, name: str, *args: Any, **kwargs: Any) -> None: ...

else:
    from unfold.admin import ModelAdmin as UnfoldModelAdmin
    from unfold.contrib.filters.admin import AutocompleteSelectFilter as UnfoldAutocompleteFilter
    from unfold.contrib.filters.admin import RadioFilter as ChoiceFilter
    from unfold.contrib.filters.forms import AutocompleteDropdownForm as UnfoldAutocompleteForm
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
    from unfold.forms import BaseDialogForm as DialogForm
    from unfold.views import ChangeList
    from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget as CheckboxSelectMultiple

__all__ = [
    "AdminPasswordChangeForm",
    "AutocompleteFilter",
    "AutocompleteForm",
    "BaseAdmin",
    "CheckboxSelectMultiple",
    "ChoiceFilter",
    "DialogForm",
    "ReadOnlyAdmin",
    "UserChangeForm",
    "UserCreationForm",
    "action",
    "actor",
    "figures",
    "limited",
    "moment",
    "visible_brands",
]

_Model = TypeVar("_Model", bound=models.Model)
_Method = TypeVar("_Method", bound=Callable[..., Any])

MAX_COUNTED = 10_000
"""Rows of a list that are counted, and can be paged through; beyond it one filters."""

_MOMENT = "campaigns.moment"
_VISIBLE = "campaigns.visible_brands"
_FIGURES = "figures"


def moment(request: HttpRequest) -> datetime:
    """Return the moment of the request: the door reads the clock once and passes it down."""
    if _MOMENT not in request.META:
        request.META[_MOMENT] = timezone.now()
    return cast("datetime", request.META[_MOMENT])


def actor(request: HttpRequest) -> Actor:
    """Return the person who asks."""
    return Actor(user_id=request.user.pk)


def visible_brands(request: HttpRequest) -> list[int] | None:
    """Return the only brands that the person who asks may see, by id; None if there is no limit."""
    if _VISIBLE not in request.META:
        user = request.user
        request.META[_VISIBLE] = None if user.is_superuser else people.visible_brands(user.pk or 0)
    return cast("list[int] | None", request.META[_VISIBLE])


def limited(request: HttpRequest, rows: QuerySet[_Model], brand_path: str) -> QuerySet[_Model]:
    """Return the rows whose brand the person who asks may see. brand_path: how a row leads to it; empty: to none."""
    brands = visible_brands(request) if brand_path else None
    return rows if brands is None else rows.filter(**{f"{brand_path}__in": brands})


def figures(row: models.Model) -> Any:
    """Return what `add_figures` of its admin has put beside a row; None if there is nothing."""
    return vars(row).get(_FIGURES)


def action(
    *,
    description: str,
    permissions: Sequence[str] = ("change",),
    icon: str | None = None,
    variant: ActionVariant = ActionVariant.DEFAULT,
    title: str = "",
    explanation: str = "",
    submit: str = "",
    form_class: type[Form] | None = None,
) -> Callable[[_Method], _Method]:
    """Mark a method as an action. With a form class it opens a dialog first, and gets the valid form."""
    dialog = None
    if form_class is not None:
        dialog = {"title": title, "description": explanation, "form_class": form_class, "form_submit_text": submit}
    decorate = unfold_action(
        description=description, permissions=permissions, icon=icon, variant=variant, dialog=dialog
    )
    return cast("Callable[[_Method], _Method]", decorate if dialog is None else lambda verb: _in_page(decorate(verb)))


def _in_page(dialog: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Show a dialog only over the page of a row that there is; who comes by its address is led to that page."""

    @functools.wraps(dialog)
    def view(page: BaseAdmin[Any], request: HttpRequest, object_id: str, **kwargs: Any) -> HttpResponse:
        row = page.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"There is no such {page.opts.verbose_name}.")
        shown = dialog(page, request, object_id=object_id, **kwargs)  # which also looks whether the person may
        by_address = request.method == "GET" and "HX-Request" not in request.headers
        return HttpResponseRedirect(page.row_url(row)) if by_address else shown

    return view


class CappedPaginator(Paginator[Any]):
    """Counts up to 10,000 rows and no further: a count over the ledger would read all of it."""

    template_name = "campaigns/admin/pagination.html"

    @cached_property
    def count(self) -> int:
        """The number of rows, at most 10,000."""
        rows = cast("QuerySet[models.Model]", self.object_list)
        return rows.order_by()[:MAX_COUNTED].count()

    @property
    def is_capped(self) -> bool:
        """Whether there may be more rows than were counted."""
        return self.count >= MAX_COUNTED

    @property
    def shown(self) -> str:
        """The number of rows for people."""
        return f"{self.count:,}"


class FiguresChangeList(ChangeList):
    """A list whose rows get their figures as a set."""

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page's rows, then their figures."""
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count  # nothing is left out: no "show all"
        # What fits on one page, Django takes from the list itself, and not from the paginator, which bounds it.
        self.result_list = list(self.result_list if self.multi_page else self.paginator.page(1).object_list)
        cast("BaseAdmin[Any]", self.model_admin).put_figures(request, self.result_list)

    def url_for_result(self, result: models.Model) -> str:
        """Return where a row of the list leads to."""
        return cast("BaseAdmin[Any]", self.model_admin).row_url(result)


def _may_be_id(text: str) -> bool:
    """Whether a form may have sent this as the id of a row; nothing at all is no choice."""
    return not text or (text.isascii() and text.isdecimal() and not _is_impossible_id(text))


def _is_impossible_id(value: object) -> bool:
    """Whether an address names an id that no row can have: SQLite can't even be asked for it."""
    texts = map(str, value if isinstance(value, list) else [value])
    return any(text.isdecimal() and (len(text) > 19 or int(text) > lookup.MAX_ID) for text in texts)


class AutocompleteForm(UnfoldAutocompleteForm):
    """Chooses what a list is filtered by, among what the person may see: also the name of what is chosen is one."""

    def __init__(self, request: HttpRequest, name: str, *args: Any, data: dict[str, Any], **kwargs: Any) -> None:
        possible = {key: value for key, value in data.items() if not _is_impossible_id(value)}
        super().__init__(request, name, *args, data=possible, **kwargs)
        field = cast("ModelChoiceField[Any]", self.fields[name])
        shown_by = admin.site.get_model_admin(cast("QuerySet[Any]", field.queryset).model)
        field.queryset = shown_by.get_queryset(request)


class AutocompleteFilter(UnfoldAutocompleteFilter):
    """Filters a list by a row of another model, which is chosen by typing."""

    form_class = AutocompleteForm

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list; an address may name an id that no row can have."""
        if any(map(_is_impossible_id, self.used_parameters.values())):
            return queryset.none()
        found = super().queryset(request, queryset)
        return queryset.none() if found is None else found


class BaseAdmin(UnfoldModelAdmin[_Model]):
    """What all pages share: who sees which rows, no count beyond what is shown, figures by the set.

    Every page says by `brand_path` what becomes of it for people who are limited to some brands.
    """

    brand_path: ClassVar[str | None] = None
    """How a row leads to its brand, as a lookup; "" for rows of no brand, which everybody may see.

    None closes the page to people with a limit: they could lift it there, or it is of other brands, too.
    """

    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # a count per choice of each filter, over the whole table
    list_per_page = 50
    list_max_show_all = 0
    list_filter_submit = True
    empty_value_display = "–"
    empty_icon: ClassVar[str] = "inbox"
    empty_text: ClassVar[str] = "Nothing here yet."

    def is_open(self, request: HttpRequest) -> bool:
        """Return whether the person may come here at all, whatever the permissions say."""
        return self.brand_path is not None or visible_brands(request) is None

    def has_module_permission(self, request: HttpRequest) -> bool:
        """As permitted, where it is open to the person."""
        return self.is_open(request) and super().has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: _Model | None = None) -> bool:
        """As permitted, where it is open to the person."""
        return self.is_open(request) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """As permitted, where it is open to the person."""
        return self.is_open(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: _Model | None = None) -> bool:
        """As permitted, where it is open to the person."""
        return self.is_open(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: _Model | None = None) -> bool:
        """As permitted, where it is open to the person."""
        return self.is_open(request) and super().has_delete_permission(request, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[_Model]:
        """Return the rows that the person may see: lists, pages, searches, autocompletes and actions begin here."""
        rows = super().get_queryset(request)
        return limited(request, rows, self.brand_path or "") if self.is_open(request) else rows.none()

    def get_field_queryset(
        self, db: str | None, db_field: RelatedField[Any, Any], request: HttpRequest
    ) -> QuerySet[Any] | None:
        """Return what may be chosen in a form: no more than the person may see."""
        if self.admin_site.is_registered(db_field.remote_field.model):
            return self.admin_site.get_model_admin(db_field.remote_field.model).get_queryset(request)
        return super().get_field_queryset(db, db_field, request)

    id_fields: ClassVar[tuple[str, ...]] = ()
    """Fields of the form, beside the autocompleting ones, whose values are ids of rows."""

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[_Model], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Run an action; what is no id can't have been selected."""
        if not all(map(_may_be_id, request.POST.getlist(ACTION_CHECKBOX_NAME))):
            self.message_user(request, "Something was selected that is not in this list.", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **kwargs)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or save the form. What is no id is an id of nothing, which the field refuses in words."""
        for name in (*self.autocomplete_fields, *self.id_fields):
            if not all(map(_may_be_id, request.POST.getlist(name))):
                posted = request.POST.copy()
                posted[name] = "0"
                request.POST = posted  # type: ignore[assignment]  # Django's own way to change what was posted
        return super().changeform_view(request, object_id, form_url, extra_context)

    def add_figures(self, request: HttpRequest, rows: Sequence[_Model]) -> dict[int, Any]:
        """Return what is shown beside the rows, by id, in a constant number of queries."""
        return {}

    def put_figures(self, request: HttpRequest, rows: Sequence[_Model]) -> None:
        """Put the figures beside the rows, where `figures` finds them."""
        found = self.add_figures(request, rows) if rows else {}
        for row in rows:
            vars(row)[_FIGURES] = found.get(row.pk)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that fetches figures."""
        return FiguresChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> _Model | None:
        """Return the object with its figures."""
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            self.put_figures(request, [found])
        return found

    def row_url(self, row: models.Model) -> str:
        """Return the address of a row's page, where lists lead to."""
        return self.link("change", row.pk)

    def link(self, page: str, *args: object) -> str:
        """Return the address of one of this model's pages: `changelist`, `change`, or an action."""
        return reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{page}", args=args)

    def leave(self, request: HttpRequest, url: str) -> HttpResponse:
        """Lead to a page, also out of a dialog, which is a request of a script."""
        if "HX-Request" in request.headers:
            return HttpResponse(headers={"HX-Redirect": url})
        return HttpResponseRedirect(url)


class ReadOnlyAdmin(BaseAdmin[_Model]):
    """Shows what no person writes: the ledger, the counters, the journals. No superuser may change it either."""

    paginator = CappedPaginator
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: _Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: _Model | None = None) -> bool:
        """Nobody."""
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a row; it has no history of edits, because there are none."""
        context = {"show_history": False, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)
