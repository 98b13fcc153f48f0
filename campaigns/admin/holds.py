"""Holds: shown, never changed; their clients settle or release them, or time does."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString

from campaigns.admin import words
from campaigns.admin.base import AutocompleteFilter, ReadOnlyAdmin
from campaigns.admin.filters import CampaignFilter
from campaigns.admin.newest import NewestPaginator
from campaigns.models import Hold

_COLOURS = {
    Hold.State.OPEN: "blue",
    Hold.State.SETTLED: "green",
    Hold.State.RELEASED: "gray",
    Hold.State.EXPIRED: "amber",
}


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin[Hold]):
    """Holds."""

    brand_path = "brand"
    paginator = NewestPaginator
    list_display = ("number", "campaign", "brand", "held", "state_label", "budget_day", "placed", "expires")
    list_filter = ("state", ("brand", AutocompleteFilter), ("campaign", CampaignFilter))
    list_select_related = ("brand", "campaign")
    fieldsets = (
        ("Hold", {"fields": ("brand", "campaign", "held", "asked_amount", "least", "state_label", "event_id")}),
        ("When", {"fields": ("budget_day", "placed", "expires")}),
        ("Asked for as", {"fields": ("key",)}),
    )
    empty_icon = "hourglass_top"
    empty_text = "No holds yet. Ad servers and bidders place them through the API to reserve money ahead of delivery."

    @admin.display(description="Hold", ordering="id")
    def number(self, hold: Hold) -> str:
        """Its id."""
        return f"{hold.pk}"

    @admin.display(description="Amount")
    def held(self, hold: Hold) -> str:
        """What was granted."""
        return words.exact(hold.amount, hold.brand.currency)

    @admin.display(description="Asked for")
    def asked_amount(self, hold: Hold) -> str:
        """What was asked for."""
        return words.exact(hold.asked, hold.brand.currency)

    @admin.display(description="At least")
    def least(self, hold: Hold) -> str:
        """The least that would have been taken."""
        return words.exact(hold.minimum, hold.brand.currency)

    @admin.display(description="State")
    def state_label(self, hold: Hold) -> SafeString:
        """What has become of it; past its expiry an open one is over, swept or not."""
        over = hold.state == Hold.State.OPEN and hold.expires_at <= timezone.now()
        state = Hold.State.EXPIRED if over else Hold.State(hold.state)
        return words.label(state.label, _COLOURS[state])

    @admin.display(description="Budget day")
    def budget_day(self, hold: Hold) -> str:
        """The day whose budgets it holds."""
        return words.date(hold.day)

    @admin.display(description="Placed")
    def placed(self, hold: Hold) -> SafeString | str:
        """When it was placed, on the brand's clock."""
        return words.clock(hold.created_at, hold.brand.timezone, seconds=True)

    @admin.display(description="Expires")
    def expires(self, hold: Hold) -> SafeString | str:
        """When it is over, on the brand's clock."""
        return words.clock(hold.expires_at, hold.brand.timezone, seconds=True)
