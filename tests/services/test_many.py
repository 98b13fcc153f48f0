"""What one brand with very many campaigns, or very many brands, must not change."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, Campaign
from campaigns.services import catalog
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

MANY = 66_000
"""More than the parameters that one statement may have on PostgreSQL."""


@pytest.fixture
def crowded() -> Brand:
    brand = factories.brand()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO campaigns_campaign (brand_id, name, paused_manually, is_active, reasons, created_at)
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)
            SELECT %s, 'Campaign ' || i, 1 = 0, 1 = 1, 0, '2025-01-01' FROM n
            """,
            [MANY, brand.pk],
        )
    return brand


def test_a_brand_of_very_many_campaigns_is_archived(crowded: Brand) -> None:
    catalog.archive_brand(brand_id=crowded.pk, now=NOW)
    assert not Campaign.objects.filter(archived_at=None).exists()
    assert not Campaign.objects.filter(is_active=True).exists()


def test_a_brand_of_very_many_campaigns_is_deleted(crowded: Brand) -> None:
    catalog.delete_brand(brand_id=crowded.pk, now=NOW)
    assert not Brand.objects.exists()
    assert not Campaign.objects.exists()


def test_recording_spend_reads_no_table_of_all_brands() -> None:
    campaign = factories.campaign()
    factories.spend(campaign, 1)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        factories.spend(campaign, 1)
    assert not [query["sql"] for query in queries if "DISTINCT" in query["sql"]]
