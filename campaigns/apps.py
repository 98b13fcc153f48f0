"""The Django app."""

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    """Registers the one app of the product."""

    name = "campaigns"
    verbose_name = "Budgets and campaigns"
