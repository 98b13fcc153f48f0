"""People: what they may do, by roles, and which brands they see. Nobody makes anybody mightier than themselves."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast
from zoneinfo import ZoneInfo

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.contrib.auth.admin import GroupAdmin as PlainGroupAdmin
from django.contrib.auth.admin import UserAdmin as PlainUserAdmin
from django.contrib.auth.models import Group, User
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from unfold import widgets
from unfold.enums import ActionVariant

from campaigns.admin import words
from campaigns.admin.base import (
    AdminPasswordChangeForm,
    BaseAdmin,
    CheckboxSelectMultiple,
    UserChangeForm,
    UserCreationForm,
    action,
    figures,
)
from campaigns.models import Brand, BrandLimit
from campaigns.queries import people
from campaigns.services import attempts, factors, roles
from campaigns.services.roles import Role

for _model in (User, Group, Authenticator, EmailAddress):  # of allauth's tables nobody needs a page
    admin.site.unregister(_model)

ALL, SOME = "all", "some"
"""Which brands a person sees."""

_NAMED = 3
"""Brands that the list of people names one by one."""

_BEYOND = "campaigns.beyond."


class _LimitForm(forms.Form):
    """Asks which brands a person sees."""

    sees = forms.ChoiceField(
        label="Sees",
        choices=((ALL, "all brands, now and in future"), (SOME, "only these brands")),
        initial=ALL,
        widget=widgets.UnfoldAdminRadioSelectWidget(),
    )
    brands = forms.ModelMultipleChoiceField(
        label="Brands",
        queryset=Brand.objects.order_by("name"),
        required=False,
        widget=AutocompleteSelectMultiple(BrandLimit.brands.field, admin.site),
        help_text="Everything else is out of sight: in pages, lists, searches and exports. Whoever is limited does "
        "not look after people and API keys, whatever the role.",
    )

    def clean(self) -> dict[str, Any] | None:
        """Refuse a limit that was left empty by mistake."""
        data = super().clean() or self.cleaned_data
        chosen = data.get("brands")
        if data.get("sees") == SOME and chosen is not None and {"sees", "brands"} & set(self.changed_data):
            if not chosen:
                self.add_error("brands", "Choose at least one brand, or all brands.")
            elif len(chosen) > roles.MAX_BRANDS:
                self.add_error("brands", f"Choose at most {roles.MAX_BRANDS:,} brands, or all brands.")
        return data


class PersonForm(_LimitForm, UserChangeForm):  # type: ignore[type-arg]  # not generic at run time
    """A person as they are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        seen = people.visible_brands(self.instance.pk)
        self.initial = {"sees": ALL if seen is None else SOME, "brands": seen or [], **self.initial}


class NewPersonForm(_LimitForm, UserCreationForm):  # type: ignore[type-arg]  # not generic at run time
    """A new person, who can log in at once."""

    usable_password = None  # type: ignore[assignment]  # Django's way to drop a field: everybody logs in with one

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["groups"].required = True


class _RolesField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # not generic at run time
    """Groups, the three roles with what they may do."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name}: {roles.ROLE_LABELS[Role(obj.name)]}" if is_role(obj) else obj.name


def is_role(group: Group) -> bool:
    """Return whether a group is one of the three roles, which are the product's and not changed by anybody."""
    return group.name in list(Role)


def beyond(request: HttpRequest, model: type[models.Model]) -> frozenset[int]:
    """Return which people or groups may do something that the person who asks may not."""
    if request.user.is_superuser:
        return frozenset()
    key = f"{_BEYOND}{model.__name__}"
    if key not in request.META:
        find = people.people_beyond if model is User else people.groups_beyond
        request.META[key] = find(request.user.pk or 0)
    return cast("frozenset[int]", request.META[key])


@admin.register(User)
class UserAdmin(PlainUserAdmin[User], BaseAdmin[User]):
    """People. Closed to people with a limit, who could lift it here."""

    brand_path = None
    id_fields = ("brands",)
    form = PersonForm
    add_form = NewPersonForm
    add_form_template = None
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "email", "role", "sees", "state", "factor")
    actions = ("reset_second_factor", "unlock")
    list_filter = ("groups", "is_active")
    search_help_text = "Name or e-mail"
    list_filter_submit = True
    filter_horizontal = ("user_permissions",)
    conditional_fields = {"brands": f"sees == '{SOME}'"}  # noqa: RUF012 - read by Unfold
    add_fieldsets = (
        ("Person", {"fields": ("username", ("first_name", "last_name"), "email")}),
        ("Password", {"fields": ("password1", "password2")}),
        ("Role", {"fields": ("groups",)}),
        ("Brands", {"fields": ("sees", "brands")}),
    )
    empty_icon = "person"
    empty_text = "No people match."

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return the people with what the list tells of them."""
        return super().get_queryset(request).select_related("brand_limit").prefetch_related("groups")

    def add_figures(self, request: HttpRequest, rows: Any) -> dict[int, Any]:
        """Return the names of the brands of those who see only some, and since when people have second factors."""
        ids = [row.pk for row in rows]
        brands, factors_made = people.brands_of(ids, most=_NAMED), people.factors_of(ids)
        return {pk: (brands.get(pk), factors_made.get(pk)) for pk in ids}

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """As permitted, for those who may do no more than who asks."""
        return super().has_change_permission(request, obj) and (obj is None or obj.pk not in beyond(request, User))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """As permitted, for those who may do no more than who asks."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.pk not in beyond(request, User))

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Return the form; superusers alone make superusers and give permissions one by one."""
        if obj is None:
            return self.add_fieldsets
        name = (("first_name", "last_name"), "email")
        dates = ("Dates", {"fields": (("joined", "last_seen"),)})
        if not self.has_change_permission(request, obj):
            access = {"fields": ("is_active", "role", "sees", "factor")}
            return (("Person", {"fields": ("username", *name)}), ("Access", access), dates)
        single = ("is_superuser", "user_permissions") if request.user.is_superuser else ()
        return (
            ("Person", {"fields": ("username", *name)}),
            ("Logging in", {"fields": ("secret", "factor", "failures")}),
            ("Role", {"fields": ("is_active", "groups")}),
            ("Brands", {"fields": ("sees", "brands")}),
            *((("Beyond the roles", {"fields": single, "classes": ("collapse",)}),) if single else ()),
            dates,
        )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Return what the product records."""
        return ("secret", "factor", "failures", "joined", "last_seen")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Ask for roles by boxes, and offer none that may do more than who asks."""
        if db_field.name != "groups":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        offered = Group.objects.exclude(pk__in=beyond(request, Group)).order_by("pk")
        return db_field.formfield(
            form_class=_RolesField,
            queryset=offered,
            label="Role",
            widget=CheckboxSelectMultiple(),
            help_text="Several may be chosen; each adds to what the person may do.",
        )

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: Any) -> None:
        """Save the person; whoever has a role may log in."""
        if not change or form.cleaned_data.get("groups") or obj.is_superuser:
            obj.is_staff = True
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save roles and brands."""
        super().save_related(request, form, formsets, change)
        data = form.cleaned_data
        chosen = None if data["sees"] == ALL else [brand.pk for brand in data["brands"]]
        roles.set_limit(user_id=form.instance.pk, brand_ids=chosen)

    def response_add(self, request: HttpRequest, obj: User, post_url_continue: str | None = None) -> HttpResponse:
        """Lead to the list: everything has been asked."""
        return super(PlainUserAdmin, self).response_add(request, obj, post_url_continue)

    @admin.display(description="Name")
    def full_name(self, person: User) -> str:
        """First and last name."""
        return person.get_full_name() or words.NONE

    @admin.display(description="Role")
    def role(self, person: User) -> str:
        """What they may do."""
        names = [group.name for group in person.groups.all()]
        return ", ".join(["Superuser", *names] if person.is_superuser else names) or words.NONE

    @admin.display(description="Sees")
    def sees(self, person: User) -> str:
        """Which brands."""
        if person.is_superuser or not hasattr(person, "brand_limit"):
            return "all brands"
        brands, _ = figures(person) or (None, None)
        names, number = brands or ([], 0)
        return words.named([*names, *[""] * (number - len(names))], _NAMED) if number else "no brand"

    @admin.display(description="Password")
    def secret(self, person: User) -> SafeString:
        """Where it is changed; it can't be shown."""
        return format_html('<a href="{}" class="bm-link">Set another password</a>', "../password/")

    @admin.display(description="Second factor")
    def factor(self, person: User) -> SafeString | str:
        """Since when the person has one, on the server's clock."""
        _, made = figures(person) or (None, None)
        return words.label("none", "gray") if made is None else words.clock(made, ZoneInfo(settings.TIME_ZONE))

    @admin.display(description="Failed logins")
    def failures(self, person: User) -> SafeString | str:
        """From where logins by this name have failed lately."""
        rows = people.failed_logins(person.get_username(), since=timezone.now() - settings.AXES_COOLOFF_TIME)
        zone = ZoneInfo(settings.TIME_ZONE)
        told = ((number, address or "an unknown address", words.when(at, zone)) for address, number, at in rows)
        return format_html_join(mark_safe("<br>"), "{} from {}, last {}", told) or "none lately"

    @action(description="Reset second factor", icon="phonelink_erase", variant=ActionVariant.DANGER)
    def reset_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Take the second factors away, from those who may do no more than who asks."""
        chosen = self._in_reach(request, queryset)
        count = factors.reset(user_ids=[person.pk for person in chosen]) if chosen else 0
        if count:
            self._note(request, chosen, "Reset the second factor.")
            text = f"Reset for {count}. Their sessions have ended; they log in by password and set up a new one."
            self.message_user(request, text, messages.SUCCESS)
        elif chosen:
            self.message_user(request, "Nobody of those has a second factor.", messages.WARNING)

    @action(description="Unlock login", icon="lock_open")
    def unlock(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Forget failed logins and wrong codes."""
        chosen = self._in_reach(request, queryset)
        if chosen:
            attempts.forget(names=[person.get_username() for person in chosen])
            factors.forgive(user_ids=[person.pk for person in chosen])
            self._note(request, chosen, "Unlocked the login.")
            self.message_user(request, "Their failed logins are forgotten; they may try again.", messages.SUCCESS)

    def _in_reach(self, request: HttpRequest, queryset: QuerySet[User]) -> list[User]:
        """The chosen who may do no more than who asks, who is not among them; the rest is told."""
        chosen = list(queryset)
        reach = [one for one in chosen if one.pk != request.user.pk and one.pk not in beyond(request, User)]
        if left := [one.get_username() for one in chosen if one not in reach]:
            text = (
                f"Left as they are: {', '.join(left)}. Nobody does this for themselves, or for people who may do more."
            )
            self.message_user(request, text, messages.WARNING)
        return reach

    def _note(self, request: HttpRequest, chosen: Collection[User], what: str) -> None:
        """Write into the history of each who did it, in one statement."""
        rows = User.objects.filter(pk__in=[person.pk for person in chosen])
        LogEntry.objects.log_actions(request.user.pk or 0, rows, CHANGE, change_message=what)

    @admin.display(description="Joined")
    def joined(self, person: User) -> SafeString | str:
        """When the account was made, on the server's clock."""
        return words.clock(person.date_joined, ZoneInfo(settings.TIME_ZONE))

    @admin.display(description="Last logged in")
    def last_seen(self, person: User) -> SafeString | str:
        """When they logged in last, on the server's clock."""
        return "never" if person.last_login is None else words.clock(person.last_login, ZoneInfo(settings.TIME_ZONE))

    @admin.display(description="May log in", boolean=True)
    def state(self, person: User) -> bool:
        """Whether the person may log in here."""
        return person.is_active and person.is_staff


@admin.register(Group)
class GroupAdmin(PlainGroupAdmin, BaseAdmin[Group]):
    """Groups of people with the same permissions: the three roles, which stay as they are, and groups of one's own."""

    brand_path = None
    list_display = ("name", "meaning")
    empty_icon = "group"
    empty_text = "No groups yet. A group gives its people the same permissions."

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """As permitted, for a group of one's own that may do no more than who asks."""
        return super().has_change_permission(request, obj) and self._is_own(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """As permitted, for a group of one's own that may do no more than who asks."""
        return super().has_delete_permission(request, obj) and self._is_own(request, obj)

    def _is_own(self, request: HttpRequest, obj: Group | None) -> bool:
        return obj is None or not (is_role(obj) or obj.pk in beyond(request, Group))

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        """Offer no permission that who asks lacks."""
        if db_field.name == "permissions" and not request.user.is_superuser:
            kwargs["queryset"] = people.permissions_of(request.user.pk)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    @admin.display(description="What it may do")
    def meaning(self, group: Group) -> str:
        """The role in words."""
        return roles.ROLE_LABELS[Role(group.name)] if is_role(group) else "what was chosen for it"
