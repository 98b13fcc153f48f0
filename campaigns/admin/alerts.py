"""What was told and where it went: alerts, and each delivery with its attempts. Shown; a delivery can be repeated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from campaigns.admin import words
from campaigns.admin.base import AutocompleteFilter, ReadOnlyAdmin, action, figures, moment, visible_brands
from campaigns.admin.newest import BrandedPaginator, NewestPaginator
from campaigns.admin.writing import ConfirmForm
from campaigns.models import Alert, Brand, Delivery
from campaigns.queries import alerts as queries
from campaigns.queries.alerts import Sent
from campaigns.rules.alerts import FORECASTS, Kind
from campaigns.rules.errors import BudgetError
from campaigns.services import deliveries

_TONES = {
    Kind.DAILY_BUDGET: "amber",
    Kind.MONTHLY_BUDGET: "amber",
    Kind.TOTAL_BUDGET: "amber",
    Kind.FORECAST_ABOVE: "amber",
    Kind.UNDER_DELIVERY: "amber",
    Kind.RESUMED: "green",
    Kind.TEST: "gray",
}
_STATE_TONES = {
    Delivery.State.WAITING: "amber",
    Delivery.State.DELIVERED: "green",
    Delivery.State.FAILED: "red",
}


def tone(alert: Alert) -> str:
    """Return how serious an alert is: a budget that is all spent is red, a share of one amber."""
    kind = Kind(alert.kind)
    spent = alert.threshold >= 100 and kind not in FORECASTS
    return "red" if spent else _TONES.get(kind, "red" if kind is not Kind.PAUSED else "amber")


def zone_of(brand: Brand | None) -> ZoneInfo:
    """Return the zone in which moments of a brand are told; without one, that of the server."""
    return ZoneInfo(settings.TIME_ZONE) if brand is None else brand.timezone


def brand_of(alert: Alert) -> Brand | None:
    """Return the brand of an alert, which may be gone."""
    try:
        return alert.brand
    except ObjectDoesNotExist:
        return None


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin[Alert]):
    """Alerts."""

    brand_path = "brand"
    paginator = BrandedPaginator
    list_display = ("when", "text", "kind_label", "about", "went_to")
    list_display_links = ("when",)
    list_filter = ("kind", ("brand", AutocompleteFilter))
    fieldsets = (
        ("Alert", {"fields": ("text", "kind_label", "when", "about")}),
        ("Went to", {"fields": ("went_to",)}),
        ("Message", {"fields": ("sent_message",), "description": "What a webhook is sent, here in lines of its own."}),
    )
    empty_icon = "notifications"
    empty_text = (
        "Nothing was told yet. Without any rule, 50, 80 and 100% of each brand's budgets are told, and overspend."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        """Return the alerts with what they are about, also where that is gone."""
        return super().get_queryset(request).prefetch_related("brand", "campaign")

    def add_figures(self, request: HttpRequest, rows: Sequence[Alert]) -> dict[int, Any]:
        """Return where the alerts went."""
        return dict(queries.sent([row.pk for row in rows], brand_ids=visible_brands(request)))

    @admin.display(description="When", ordering="id")
    def when(self, alert: Alert) -> SafeString | str:
        """When it was told, on the brand's clock."""
        return words.clock(alert.at, zone_of(brand_of(alert)), seconds=True)

    @admin.display(description="Alert")
    def text(self, alert: Alert) -> SafeString:
        """What it says."""
        return format_html('<span class="bm-alert">{}</span>', alert.message)

    @admin.display(description="Kind", ordering="kind")
    def kind_label(self, alert: Alert) -> SafeString:
        """Which kind it is of."""
        return words.label(alert.get_kind_display(), tone(alert))

    @admin.display(description="About")
    def about(self, alert: Alert) -> SafeString | str:
        """The brand or the campaign, with a link."""
        if alert.brand_id is None:
            return "the installation"
        brand = brand_of(alert)
        if brand is None:
            return f"deleted brand {alert.brand_id}"
        model, row = ("brand", brand.pk) if alert.campaign_id is None else ("campaign", alert.campaign_id)
        try:
            name = brand.name if alert.campaign_id is None else f"{brand.name} · {alert.campaign}"
        except ObjectDoesNotExist:
            return f"deleted campaign {alert.campaign_id}"
        return format_html(
            '<a href="{}" class="bm-link">{}</a>', reverse(f"admin:campaigns_{model}_overview", args=[row]), name
        )

    @admin.display(description="Went to")
    def went_to(self, alert: Alert) -> SafeString | str:
        """Each channel with what has become of it."""
        found: list[Sent] = figures(alert) or []
        if not found:
            return format_html('<span class="bm-subtle">{}</span>', "no channel")
        each = ((_link(one.delivery_id, one.channel), state_label(one.state)) for one in found)
        return format_html('<span class="bm-sent">{}</span>', format_html_join("", "<span>{} {}</span>", each))

    @admin.display(description="JSON")
    def sent_message(self, alert: Alert) -> SafeString:
        """What a webhook is sent, in lines."""
        text = json.dumps(json.loads(alert.payload), indent=2, ensure_ascii=False)
        return format_html('<pre class="bm-json" tabindex="0">{}</pre>', text)


def _link(delivery_id: int, name: str) -> SafeString:
    url = reverse("admin:campaigns_delivery_change", args=[delivery_id])
    return format_html('<a href="{}" class="bm-link">{}</a>', url, name)


def state_label(state: Delivery.State) -> SafeString:
    """Return the state of a delivery as a label."""
    return words.label(state.label, _STATE_TONES[state])


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin[Delivery]):
    """Deliveries."""

    brand_path = "channel__brand"
    paginator = NewestPaginator
    actions = ("deliver_again_selected",)  # type: ignore[assignment]  # the one page that is read and has one
    actions_detail = ("deliver_again",)
    list_display = ("made", "text", "channel", "state_text", "tries_number", "last_try", "due")
    list_display_links = ("made",)
    list_filter = ("state", ("channel", AutocompleteFilter))
    list_select_related = ("alert", "channel", "channel__brand")
    fieldsets = (
        ("Delivery", {"fields": ("text", "channel", "state_text", "made", "due")}),
        ("Attempts", {"fields": ("log",)}),
    )
    empty_icon = "outbox"
    empty_text = "Nothing was sent yet. Add a channel, such as a webhook: then every alert goes there."

    def has_again_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Whoever may change deliveries may repeat one; nothing else of them changes."""
        return self.is_open(request) and request.user.has_perm("campaigns.change_delivery")

    def add_figures(self, request: HttpRequest, rows: Sequence[Delivery]) -> dict[int, Any]:
        """Return the last attempts."""
        return queries.last_errors([row.pk for row in rows])

    @admin.display(description="Since", ordering="id")
    def made(self, row: Delivery) -> SafeString | str:
        """When it was put on its way."""
        return words.clock(row.made_at, zone_of(row.channel.brand), seconds=True)

    @admin.display(description="Alert")
    def text(self, row: Delivery) -> SafeString:
        """What the alert says, with a link to it."""
        url = reverse("admin:campaigns_alert_change", args=[row.alert_id])
        return format_html('<a href="{}" class="bm-link bm-alert">{}</a>', url, row.alert.message)

    @admin.display(description="State", ordering="state")
    def state_text(self, row: Delivery) -> SafeString:
        """What has become of it."""
        return state_label(Delivery.State(row.state))

    @admin.display(description="Attempts", ordering="attempts")
    def tries_number(self, row: Delivery) -> str:
        """How often it was tried."""
        return f"{row.attempts:,}"

    @admin.display(description="Last attempt")
    def last_try(self, row: Delivery) -> str:
        """What came of the last attempt, in words."""
        last = figures(row)
        return words.NONE if last is None else last.error or "It was taken."

    @admin.display(description="Next attempt")
    def due(self, row: Delivery) -> SafeString | str:
        """When it is tried next."""
        if row.state != Delivery.State.WAITING:
            return words.NONE
        return words.clock(row.due_at, zone_of(row.channel.brand), seconds=True)

    @admin.display(description="Log")
    def log(self, row: Delivery) -> SafeString | str:
        """Every attempt: when, how long it took, the status, what came of it, how the answer began."""
        zone = zone_of(row.channel.brand)
        each = (
            (
                words.clock(one.at, zone, seconds=True),
                words.NONE if one.status is None else one.status,
                f"{one.milliseconds:,} ms",
                one.error or "It was taken.",
                one.answer or words.NONE,
            )
            for one in queries.attempts_of(row.pk)
        )
        rows = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", each)
        if not rows:
            return "Not tried yet."
        return format_html(
            '<div class="bm-scroll" tabindex="0"><table class="bm-table bm-log"><thead><tr>'
            "<th>When</th><th>Status</th><th>Took</th><th>What came of it</th><th>The answer began</th>"
            "</tr></thead><tbody>{}</tbody></table></div>",
            rows,
        )

    @action(
        description="Deliver again",
        permissions=("again",),
        icon="replay",
        title="Deliver this again?",
        explanation="The same message goes out once more, under the same id.",
        submit="Deliver again",
        form_class=ConfirmForm,
    )
    def deliver_again(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Put one on its way once more."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404("There is no such delivery.")
        self._again(request, [row.pk])
        return self.leave(request, self.row_url(row))

    @action(description="Deliver selected again", permissions=("again",))
    def deliver_again_selected(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Put some on their way once more."""
        self._again(request, list(queryset.values_list("pk", flat=True)[: self.list_per_page]))

    def _again(self, request: HttpRequest, pks: Sequence[int]) -> None:
        try:
            number = deliveries.deliver_again(delivery_ids=pks, now=moment(request))
        except BudgetError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            counted = words.count(number, "delivery is", "deliveries are")
            self.message_user(request, f"{capfirst(counted)} on the way again.", messages.SUCCESS)
