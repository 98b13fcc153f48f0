"""API keys: made here or by `create_api_key`, shown once, revoked."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.enums import ActionVariant

from campaigns.admin import words
from campaigns.admin.base import BaseAdmin, CheckboxSelectMultiple, action, actor, moment
from campaigns.models import ApiKey, Scope
from campaigns.models.access import SCOPE_LABELS
from campaigns.rules.errors import BudgetError
from campaigns.services import keys


class KeyForm(forms.ModelForm[ApiKey]):
    """Asks for what a new key is to be."""

    may = forms.TypedMultipleChoiceField(
        label="Scopes",
        coerce=int,
        choices=[(int(scope), f"{scope.code.capitalize()}: {label}") for scope, label in SCOPE_LABELS.items()],
        widget=CheckboxSelectMultiple,
        help_text="An ad server or bidder takes read and spend.",
    )

    class Meta:
        model = ApiKey
        fields = ("name", "brands")


@admin.register(ApiKey)
class ApiKeyAdmin(BaseAdmin[ApiKey]):
    """API keys. A key is never changed: it is revoked, and another is made.

    Closed to people with a limit: a key may see more than they.
    """

    brand_path = None
    form = KeyForm
    autocomplete_fields = ("brands",)
    list_display = ("name", "begins", "state", "may", "sees", "created", "used")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "prefix")
    actions = ("revoke",)
    ordering = ("-id",)
    empty_icon = "key"
    empty_text = "No API keys yet. Make one for each ad server, bidder or job that uses the API."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Return the keys with their brands."""
        return super().get_queryset(request).prefetch_related("brands")

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """Return the form of a new key, or what is known of one."""
        if obj is None:
            return ((None, {"fields": ("name", "may", "brands")}),)
        return ((None, {"fields": ("name", "begins", "state", "may", "sees", "created", "made_by", "used")}),)

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form of a new key; one that there is has no fields to change."""
        if obj is not None:
            kwargs["form"] = forms.ModelForm
        return super().get_form(request, obj, change, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Nobody changes a key; whoever may make one may revoke one."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Nobody: the journal names the keys that did things."""
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or save the form; somebody may take a name while it is filled in."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except BudgetError as error:
            self.message_user(request, str(error), messages.ERROR)
            return self.leave(request, request.get_full_path())

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: Any) -> None:
        """Make the key, and show it this once."""
        chosen = [brand.pk for brand in form.cleaned_data["brands"]]
        key, secret = keys.create_key(
            name=form.cleaned_data["name"],
            scopes=[Scope(bit) for bit in form.cleaned_data["may"]],
            brand_ids=chosen or None,
            now=moment(request),
            created_by_id=actor(request).user_id,
        )
        obj.pk = key.pk
        obj.refresh_from_db()
        shown = format_html("Copy the key now, it is shown only once: <code>{}</code>", secret)
        self.message_user(request, shown, messages.WARNING)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Leave the brands as the service has saved them."""

    @action(description="Revoke", icon="block", variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Refuse them from now on."""
        chosen = list(queryset.filter(revoked_at=None))
        for key in chosen:
            keys.revoke_key(key_id=key.pk, now=moment(request))
        names = ", ".join(key.name for key in chosen)
        text = f"Revoked: {names}." if chosen else "These were revoked before."
        self.message_user(request, text, messages.SUCCESS if chosen else messages.WARNING)

    @admin.display(description="Key")
    def begins(self, key: ApiKey) -> SafeString:
        """How it begins."""
        return format_html("<code>{}…</code>", key.prefix)

    @admin.display(description="State")
    def state(self, key: ApiKey) -> SafeString:
        """Whether it is good."""
        return words.label("revoked", "red") if key.revoked_at else words.label("good", "green")

    @admin.display(description="Scopes")
    def may(self, key: ApiKey) -> SafeString:
        """What it may do."""
        return format_html_join(" ", "{}", ((words.label(code, "blue"),) for code in key.scope_codes))

    @admin.display(description="Brands")
    def sees(self, key: ApiKey) -> str:
        """Which brands it sees."""
        return "all" if key.all_brands else ", ".join(str(brand) for brand in key.brands.all()) or "none"

    @admin.display(description="Made", ordering="created_at")
    def created(self, key: ApiKey) -> str:
        """When it was made."""
        return _moment(key.created_at)

    @admin.display(description="By")
    def made_by(self, key: ApiKey) -> str:
        """Who made it."""
        return str(key.created_by or words.NONE)

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, key: ApiKey) -> str:
        """When it was last used, to within a minute."""
        return "never" if key.last_used_at is None else _moment(key.last_used_at)


def _moment(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC"
