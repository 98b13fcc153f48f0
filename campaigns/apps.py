"""The Django app."""

from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate

from campaigns.gateways import traces


class CampaignsConfig(AppConfig):
    """Registers the one app of the product."""

    name = "campaigns"
    verbose_name = "Budgets and campaigns"

    def ready(self) -> None:
        """Begin to trace, where that is wanted, and let every migrate and flush end with the roles as they should."""
        traces.begin()  # before the middleware is loaded and any connection is made
        # After Django's own receiver, which makes the permissions: its app is ready before this one.
        post_migrate.connect(_ensure_roles, sender=self, dispatch_uid="campaigns.roles")


def _ensure_roles(*, using: str, apps: Apps = apps, **_: Any) -> None:
    from campaigns.services import roles

    if "permission" in apps.all_models["auth"]:  # a migrate may have led back to where there are none
        roles.ensure_roles(using=using)
