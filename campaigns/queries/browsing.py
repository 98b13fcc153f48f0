"""Browsing: brands and campaigns in the order of their ids, some at a time and after a place.

The place is an id and not a number of rows: what is added or changed between two pages moves nothing, and the last
page costs what the first one does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db.models import ExpressionWrapper, F, SmallIntegerField

from campaigns.models import Brand, Campaign
from campaigns.rules.reasons import Reason


def browse_brands(
    *,
    after: int,
    limit: int,
    brand_ids: Collection[int] | None = None,
    external_id: str | None = None,
    archived: bool | None = None,
) -> Sequence[Brand]:
    """Return up to `limit` brands with ids above `after`, in one query; None filters nothing.

    brand_ids: the only brands that the caller may see.
    """
    rows = Brand.objects.filter(pk__gt=after)
    if brand_ids is not None:
        rows = rows.filter(pk__in=brand_ids)
    if external_id is not None:
        rows = rows.filter(external_id=external_id)
    if archived is not None:
        rows = rows.filter(archived_at__isnull=not archived)
    return list(rows.order_by("pk")[:limit])


def browse_campaigns(
    *,
    after: int,
    limit: int,
    brand_ids: Collection[int] | None = None,
    brand_id: int | None = None,
    external_id: str | None = None,
    is_active: bool | None = None,
    reason: Reason | None = None,
    archived: bool | None = None,
) -> Sequence[Campaign]:
    """Return up to `limit` campaigns with ids above `after`, with brand and schedule, in one query.

    None filters nothing. brand_ids: the only brands whose campaigns the caller may see. reason: one of perhaps several
    reasons why they may not spend.
    """
    rows = Campaign.objects.select_related("brand", "schedule").filter(pk__gt=after)
    if brand_ids is not None:
        rows = rows.filter(brand__in=brand_ids)
    if brand_id is not None:
        rows = rows.filter(brand=brand_id)
    if external_id is not None:
        rows = rows.filter(external_id=external_id)
    if is_active is not None:
        rows = rows.filter(is_active=is_active)
    if reason is not None:
        bit = ExpressionWrapper(F("reasons").bitand(int(reason)), output_field=SmallIntegerField())
        rows = rows.alias(bit=bit).filter(bit__gt=0)
    if archived is not None:
        rows = rows.filter(archived_at__isnull=not archived)
    return list(rows.order_by("pk")[:limit])
