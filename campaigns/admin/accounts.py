"""People and their permissions: Django's own pages in Unfold's dress."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as PlainGroupAdmin
from django.contrib.auth.admin import UserAdmin as PlainUserAdmin
from django.contrib.auth.models import Group, User

from campaigns.admin.base import AdminPasswordChangeForm, BaseAdmin, UserChangeForm, UserCreationForm

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(PlainUserAdmin[User], BaseAdmin[User]):
    """People."""

    form = UserChangeForm  # type: ignore[assignment]  # generic in a user model, here Django's own
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "first_name", "last_name", "is_staff", "is_superuser", "is_active")
    search_help_text = "Name or e-mail"
    list_filter_submit = True


@admin.register(Group)
class GroupAdmin(PlainGroupAdmin, BaseAdmin[Group]):
    """Groups of people with the same permissions."""

    empty_icon = "group"
    empty_text = "No groups yet. A group gives its people the same permissions."
