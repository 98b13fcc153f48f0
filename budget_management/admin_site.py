"""How the admin looks and what its sidebar holds. Unfold reads it as the setting `UNFOLD`."""

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _file(name: str) -> Callable[[HttpRequest], str]:
    """Return what gives the address of a file of ours."""
    return lambda _: static(f"campaigns/{name}")


def _may_see(app: str, model: str) -> Callable[[HttpRequest], bool]:
    def may_see(request: HttpRequest) -> bool:
        # The page itself knows: a person's brands count beside the permissions.
        page = admin.site.get_model_admin(apps.get_model(app, model))
        return page.has_view_or_change_permission(request)

    return may_see


def _page(title: str, symbol: str, model: str, *, app: str = "campaigns") -> dict[str, Any]:
    return {
        "title": title,
        "icon": symbol,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_see(app, model),
    }


NAVIGATION = [
    {
        "items": [{"title": "Overview", "icon": "space_dashboard", "link": reverse_lazy("admin:index")}],
    },
    {
        "title": "Catalog",
        "items": [
            _page("Brands", "storefront", "brand"),
            _page("Campaigns", "campaign", "campaign"),
        ],
    },
    {
        "title": "Spend",
        "items": [
            _page("Spend log", "receipt_long", "spendlog"),
            _page("Holds", "hourglass_top", "hold"),
            _page("Brand counters", "functions", "brandcounter"),
            _page("Campaign counters", "calculate", "campaigncounter"),
        ],
    },
    {
        "title": "Alerts",
        "items": [
            _page("Alerts", "notifications", "alert"),
            _page("Deliveries", "outbox", "delivery"),
            _page("Rules", "rule", "alertrule"),
            _page("Channels", "hub", "channel"),
        ],
    },
    {
        "title": "Journal",
        "items": [
            _page("Status changes", "history", "statuschange"),
            _page("Edits", "edit_note", "edit"),
            _page("Roll-overs", "event_repeat", "rollover"),
            _page("Periodic runs", "schedule", "periodicrun"),
        ],
    },
    {
        "title": "Accounts",
        "items": [
            _page("Users", "person", "user", app="auth"),
            _page("Groups", "group", "group", app="auth"),
            _page("API keys", "key", "apikey"),
        ],
    },
]

# A calm blue: red, amber and green are the statuses'.
_PRIMARY = {
    "50": "oklch(97% .014 254.604)",
    "100": "oklch(93.2% .032 255.585)",
    "200": "oklch(88.2% .059 254.128)",
    "300": "oklch(80.9% .105 251.813)",
    "400": "oklch(70.7% .165 254.624)",
    "500": "oklch(62.3% .214 259.815)",
    "600": "oklch(54.6% .245 262.881)",
    "700": "oklch(48.8% .243 264.376)",
    "800": "oklch(42.4% .199 265.638)",
    "900": "oklch(37.9% .146 265.522)",
    "950": "oklch(28.2% .091 267.935)",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Budget Management",
    "SITE_HEADER": "Budget Management",
    "SITE_SUBHEADER": "Spend in, verdict out",
    "SITE_SYMBOL": "account_balance_wallet",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("icon.svg")}],
    "DASHBOARD_CALLBACK": "campaigns.admin.dashboard.dashboard",
    "SITE_URL": None,  # the admin is all there is to see
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [
        _file("admin.css"),
        _file("mended.css"),
        _file("pages.css"),
        _file("grid.css"),
        _file("effects.css"),
        _file("bulk.css"),
        _file("alerts.css"),
        _file("entrance.css"),
    ],
    "ACCOUNT": {
        "navigation": [
            {"title": "Change password", "link": reverse_lazy("admin:password_change")},
            {"title": "Second factor", "link": reverse_lazy("second_factor")},
        ]
    },
    "SCRIPTS": [_file("mended.js"), _file("live.js"), _file("effects.js")],
    "COLORS": {"primary": _PRIMARY},
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": NAVIGATION},
}
