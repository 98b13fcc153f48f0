"""The demo shows what it is for: every form of schedule, many reasons, and spend that moves campaigns."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F

from campaigns.models import Brand, BrandCounter, Campaign, DaypartingSchedule, RollOver, SpendLog, StatusChange
from campaigns.rules import reasons
from campaigns.rules.reasons import Reason
from campaigns.services import audit, demo, enforcement
from campaigns.services.demo.seed import DAYS

# Early on the 1st of a month in one zone is the last day of another in the next: the hardest hour to look good at.
NOW = datetime(2026, 4, 1, 3, 20, tzinfo=UTC)


# Committed step by step, as in life: in one long transaction PostgreSQL could clear away no row version.
@pytest.mark.django_db(transaction=True)
def test_it_has_a_month_of_history_many_reasons_and_spend_that_moves_campaigns() -> None:
    assert demo.seed(now=NOW, days=3)
    assert DAYS >= 30
    assert_a_dozen_brands_with_a_month_behind_them()
    assert_paused_for_many_reasons()
    rows = SpendLog.objects.count()
    assert not demo.seed(now=NOW + timedelta(hours=1))
    assert SpendLog.objects.count() == rows
    assert_the_reporter_pauses_and_resumes_by_spend_alone()
    assert audit.check_ledger() == []
    for hours in (7, 15):
        enforcement.enforce_all(now=NOW + timedelta(hours=hours))
        found = reasons_found()
        assert {Reason.MANUAL, Reason.SCHEDULE, Reason.ENDED, Reason.NOT_STARTED} <= found
        assert Campaign.objects.filter(is_active=True).exists()


def assert_a_dozen_brands_with_a_month_behind_them() -> None:
    assert Brand.objects.count() == 12
    assert len(set(Brand.objects.values_list("timezone", flat=True))) == 12
    assert len(set(Brand.objects.values_list("currency", flat=True))) == 12
    first = SpendLog.objects.order_by("timestamp").values_list("timestamp", flat=True)[0]
    assert NOW - first > timedelta(days=2)
    assert not SpendLog.objects.filter(timestamp__gt=NOW).exists()
    assert RollOver.objects.filter(brand__name="Sakura Home", period=1).count() >= 3
    forms = DaypartingSchedule.objects
    assert forms.exclude(grid=None).exists()
    assert forms.filter(weekdays__lt=127).exists()
    assert forms.filter(start_hour__gt=F("end_hour")).exists()


def assert_paused_for_many_reasons() -> None:
    found = reasons_found()
    assert {Reason.MANUAL, Reason.SCHEDULE, Reason.ENDED, Reason.NOT_STARTED} <= found
    assert {Reason.BRAND_DAILY_BUDGET, Reason.BRAND_MONTHLY_BUDGET} <= found
    assert Campaign.objects.filter(is_active=True).exists()


def assert_the_reporter_pauses_and_resumes_by_spend_alone() -> None:
    chance = random.Random(7)
    for tick in range(250):
        demo.report(now=NOW + timedelta(seconds=2 * tick), chance=chance)
    by_spend = StatusChange.objects.filter(cause="spend", at__gte=NOW, at__lt=NOW + timedelta(seconds=500))
    assert by_spend.filter(from_reasons=reasons.NONE).exists(), "nothing was paused"
    assert by_spend.filter(to_reasons=reasons.NONE).exists(), "nothing was resumed"


def reasons_found() -> set[Reason]:
    return {reason for campaign in Campaign.objects.all() for reason in campaign.reasons}


@pytest.mark.django_db
def test_the_reporter_leaves_other_brands_alone() -> None:
    from campaigns.services import catalog

    brand = catalog.create_brand(now=NOW, name="Somebody's own", daily_budget="10")
    catalog.create_campaign(brand_id=brand.pk, now=NOW, name="Mine")
    assert demo.report(now=NOW, chance=random.Random(1)).events == 0
    assert not SpendLog.objects.exists()
    assert not BrandCounter.objects.exclude(spent=0).exists()
