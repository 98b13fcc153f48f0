"""The staff doors, on Unfold: what people set is saved by services, what the product records is only shown."""

from django.contrib import admin

from campaigns.admin import access, accounts, alert_rules, alerts, brands, campaigns, channels, holds, journal, ledger

__all__ = [
    "access",
    "accounts",
    "alert_rules",
    "alerts",
    "brands",
    "campaigns",
    "channels",
    "holds",
    "journal",
    "ledger",
]

admin.site.index_template = "campaigns/admin/dashboard/index.html"
admin.site.index_title = "Overview"
