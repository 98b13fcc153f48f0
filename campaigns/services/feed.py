"""Telling the status feed of what changed without a change of status."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from campaigns.models import feed
from campaigns.models.fields import adapt_moment
from campaigns.models.rows import one_of


def announce(*, brand_id: int, campaign_id: int | None = None, now: datetime) -> None:
    """Have the feed tell a campaign again, or all campaigns of a brand, once the caller's transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_catalogchange (brand_id, campaign_id, at, transaction_id)
            VALUES (%s, %s, %s, {feed.transaction_id(connection)})
            """,
            [brand_id, campaign_id, adapt_moment(connection, now)],
        )


def announce_campaigns(campaign_ids: Collection[int], *, now: datetime) -> None:
    """Have the feed tell some campaigns again, a row for each, in one statement."""
    if not campaign_ids:
        return
    condition, ids = one_of(connection, "c.id", sorted(campaign_ids))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_catalogchange (brand_id, campaign_id, at, transaction_id)
            SELECT c.brand_id, c.id, %s, {feed.transaction_id(connection)} FROM campaigns_campaign c WHERE {condition}
            """,
            [adapt_moment(connection, now), ids],
        )


def announce_brands(brand_ids: Collection[int], *, now: datetime) -> None:
    """Have the feed tell all campaigns of some brands again, a row for each brand, in one statement."""
    condition, ids = one_of(connection, "b.id", sorted(brand_ids))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_catalogchange (brand_id, campaign_id, at, transaction_id)
            SELECT b.id, NULL, %s, {feed.transaction_id(connection)} FROM campaigns_brand b WHERE {condition}
            """,
            [adapt_moment(connection, now), ids],
        )


def announce_each(*, brand_id: int, now: datetime) -> None:
    """Have the feed tell each campaign of a brand by its id: for when the brand will not be there to ask."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_catalogchange (brand_id, campaign_id, at, transaction_id)
            SELECT c.brand_id, c.id, %s, {feed.transaction_id(connection)} FROM campaigns_campaign c
            WHERE c.brand_id = %s
            """,
            [adapt_moment(connection, now), brand_id],
        )
