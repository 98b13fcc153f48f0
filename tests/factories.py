"""Small builders for tests: brands, campaigns and spend, with what a case does not care about filled in."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Unpack

from campaigns.models import Brand, Campaign
from campaigns.services import catalog
from campaigns.services.catalog import BrandFields, CampaignFields
from campaigns.services.spend import Receipt, SpendEvent, record_spend

NOW = datetime(2025, 6, 18, 12, tzinfo=UTC)
"""A Wednesday noon, which cases that need no other moment share."""

_numbers = itertools.count(1)


def brand(*, now: datetime = NOW, **fields: Unpack[BrandFields]) -> Brand:
    """Create a brand: in UTC, without budgets, with a name of its own."""
    fields.setdefault("name", f"Brand {next(_numbers)}")
    fields.setdefault("timezone", "UTC")
    return catalog.create_brand(now=now, **fields)


def campaign(of: Brand | None = None, *, now: datetime = NOW, **fields: Unpack[CampaignFields]) -> Campaign:
    """Create a campaign, of a brand of its own unless one is given."""
    fields.setdefault("name", f"Campaign {next(_numbers)}")
    return catalog.create_campaign(brand_id=(of or brand(now=now)).pk, now=now, **fields)


def event(
    of: Campaign | int,
    amount: Decimal | str | int = 1,
    *,
    event_id: str | None = None,
    at: datetime | None = None,
    note: str = "",
) -> SpendEvent:
    """Build a spend event with a new id unless one is given; with a note it is an adjustment."""
    return SpendEvent(
        event_id=f"event-{next(_numbers)}" if event_id is None else event_id,
        campaign_id=of if isinstance(of, int) else of.pk,
        amount=amount,
        timestamp=at,
        kind="adjustment" if note else "spend",
        note=note,
    )


def spend(
    of: Campaign,
    amount: Decimal | str | int,
    *,
    now: datetime = NOW,
    at: datetime | None = None,
    event_id: str | None = None,
    note: str = "",
) -> Receipt:
    """Record one event of a campaign; with a note it is an adjustment."""
    return record_spend([event(of, amount, event_id=event_id, at=at, note=note)], now=now)
