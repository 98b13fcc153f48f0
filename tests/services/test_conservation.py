"""Conservation: every counter is the sum of its ledger rows, and the audit finds and mends each that is not."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.models import BrandCounter, Campaign, CampaignCounter, SpendLog
from campaigns.rules import money
from campaigns.rules.periods import Period
from campaigns.services import audit, catalog
from campaigns.services.audit import Difference, check_ledger, repair_ledger
from campaigns.services.spend import Outcome, SpendEvent, record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services import reading
from tests.services.races import together

TODAY, MONTH, EVER = date(2025, 6, 18), date(2025, 6, 1), date(1970, 1, 1)

# --- Whatever happens, it holds --------------------------------------------------------------

micros = st.integers(1, money.MAX_AMOUNT) | st.sampled_from([1, 100_000, 10 * money.MICROS])


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event: which campaign, how much, how long ago, new or one of a few ids that come again."""
    sign = draw(st.sampled_from([1, 1, -1]))
    return {
        "owner": draw(st.integers(0, 3)),
        "amount": money.from_micros(sign * draw(micros)),
        "ago": draw(st.sampled_from([0, 0, 1, 5, 11, 12, 13, 24, 300, 40 * 24])),
        "event_id": draw(st.none() | st.sampled_from("abc")),
        "note": "correction" if sign < 0 else "",
    }


@pytest.mark.django_db
@settings(deadline=None, max_examples=40)
@given(calls=st.lists(st.lists(events(), max_size=6), max_size=6))
def test_every_counter_is_the_sum_of_its_ledger_rows(calls: list[list[dict[str, Any]]]) -> None:
    with transaction.atomic():
        brands = [factories.brand(timezone=zone) for zone in ("Asia/Kathmandu", "America/Los_Angeles")]
        campaigns = [factories.campaign(brands[at % 2]) for at in range(4)]
        expected: dict[tuple[int, date], int] = defaultdict(int)
        for number, call in enumerate(calls):
            now = NOW + number * timedelta(hours=7)
            sent = [
                event(
                    campaigns[e["owner"]],
                    e["amount"],
                    event_id=e["event_id"],
                    at=now - timedelta(hours=e["ago"]),
                    note=e["note"],
                )
                for e in call
            ]
            receipt = record_spend(sent, now=now)
            for spent, result in zip(sent, receipt.results, strict=True):
                if result.outcome is Outcome.RECORDED:
                    expected[_day(spent, campaigns)] += money.to_micros(spent.amount)
        assert check_ledger() == []
        assert reading.counters() == reading.sums_of_the_ledger()
        days = {(key[1], key[3]): sum_ for key, sum_ in reading.counters().items() if key[1] and key[2] == Period.DAY}
        assert days == {key: sum_ for key, sum_ in expected.items() if sum_}
        transaction.set_rollback(True)


def _day(spent: SpendEvent, campaigns: list[Campaign]) -> tuple[int, date]:
    """The campaign and the local day of an event, straight from the time zone database."""
    zone = next(campaign.brand.timezone for campaign in campaigns if campaign.pk == spent.campaign_id)
    assert spent.timestamp is not None
    assert spent.campaign_id is not None
    return spent.campaign_id, datetime.fromtimestamp(spent.timestamp.timestamp(), zone).date()


@pytest.mark.django_db
def test_a_changed_time_zone_leaves_what_was_counted_where_it_was() -> None:
    brand = factories.brand(timezone="America/Los_Angeles")
    campaign = factories.campaign(brand)
    spend(campaign, 1, at=NOW - timedelta(hours=6))  # the 17th there
    catalog.update_brand(brand_id=brand.pk, timezone="Asia/Tokyo", now=NOW)
    spend(campaign, 2, at=NOW - timedelta(hours=6))  # the 18th there
    days = [row.day for row in SpendLog.objects.order_by("id")]
    assert days == [date(2025, 6, 17), date(2025, 6, 18)]
    assert check_ledger() == []


# --- What the audit finds --------------------------------------------------------------------


@pytest.fixture
def paused() -> Campaign:
    """A campaign that has spent 12 of the 10 that each of its budgets allows."""
    brand = factories.brand(daily_budget=10, monthly_budget=10)
    campaign = factories.campaign(brand, daily_budget=10, monthly_budget=10, total_budget=10)
    spend(campaign, 12)
    return campaign


OWNERS = [
    ("brand's day", BrandCounter, Period.DAY, TODAY, "brand_daily_budget"),
    ("brand's month", BrandCounter, Period.MONTH, MONTH, "brand_monthly_budget"),
    ("campaign's day", CampaignCounter, Period.DAY, TODAY, "campaign_daily_budget"),
    ("campaign's month", CampaignCounter, Period.MONTH, MONTH, "campaign_monthly_budget"),
    ("campaign's total", CampaignCounter, Period.TOTAL, EVER, "campaign_total_budget"),
]
owners = pytest.mark.parametrize(
    ("model", "period", "start", "reason"), [row[1:] for row in OWNERS], ids=[row[0] for row in OWNERS]
)


def difference(model: Any, campaign: Campaign, period: Period, start: date, counted: int, ledger: int) -> Difference:
    campaign_id = campaign.pk if model is CampaignCounter else 0
    units = money.MICROS
    return Difference(
        audit.Figure.SPENT, campaign.brand_id, campaign_id, period, start, counted * units, ledger * units
    )


@pytest.mark.django_db
@owners
def test_a_counter_that_was_tampered_with_is_found_and_mended(
    paused: Campaign, model: Any, period: Period, start: date, reason: str
) -> None:
    before, held = reading.counters(), reading.why(paused)
    model.objects.filter(period=period).update(spent=Decimal(3))
    found = [difference(model, paused, period, start, 3, 12)]
    assert check_ledger() == found
    # Judged on the wrong figure, the campaign loses a reason; the repair gives it back.
    catalog.update_campaign(campaign_id=paused.pk, name="judged again", now=NOW)
    assert reading.why(paused) == [r for r in held if r != reason]
    assert repair_ledger(now=NOW) == found
    assert check_ledger() == []
    assert reading.counters() == before
    assert reading.why(paused) == held
    assert reading.steps(paused)[-1].startswith("repair: ")
    reading.assert_journal_unbroken(paused)


@pytest.mark.django_db
@owners
def test_a_counter_that_is_missing_is_found_and_mended(
    paused: Campaign, model: Any, period: Period, start: date, reason: str
) -> None:
    before = reading.counters()
    model.objects.filter(period=period).delete()
    found = [difference(model, paused, period, start, 0, 12)]
    assert check_ledger() == found
    assert repair_ledger(now=NOW) == found
    assert (check_ledger(), reading.counters()) == ([], before)


@pytest.mark.django_db
@owners
def test_a_counter_without_ledger_rows_is_found_and_emptied(
    model: Any, period: Period, start: date, reason: str
) -> None:
    brand = factories.brand(daily_budget=10, monthly_budget=10)
    idle = factories.campaign(brand, daily_budget=10, monthly_budget=10, total_budget=10)
    of_whom = {"brand": idle.brand} if model is BrandCounter else {"brand": idle.brand, "campaign": idle}
    model.objects.update_or_create(**of_whom, period=period, start=start, defaults={"spent": 50})
    catalog.update_campaign(campaign_id=idle.pk, name="judged again", now=NOW)
    assert reading.why(idle) == [reason]
    found = [difference(model, idle, period, start, 50, 0)]
    assert check_ledger() == found
    assert repair_ledger(now=NOW) == found
    assert (check_ledger(), reading.counters(), reading.why(idle)) == ([], {}, [])


@pytest.mark.django_db
def test_a_counter_of_a_period_that_cannot_be_is_found(paused: Campaign) -> None:
    CampaignCounter.objects.filter(period=Period.MONTH).update(start=date(2025, 6, 2))
    assert [(d.start, d.counted, d.ledger) for d in check_ledger()] == [
        (date(2025, 6, 1), 0, 12_000_000),
        (date(2025, 6, 2), 12_000_000, 0),
    ]
    repair_ledger(now=NOW)
    assert check_ledger() == []


@pytest.mark.django_db
def test_two_errors_that_cancel_out_are_still_two() -> None:
    brand = factories.brand()
    one, two = factories.campaign(brand), factories.campaign(brand)
    record_spend([event(one, 5), event(two, 5)], now=NOW)
    CampaignCounter.objects.filter(campaign=one, period=Period.DAY).update(spent=4)
    CampaignCounter.objects.filter(campaign=two, period=Period.DAY).update(spent=6)
    assert [d.campaign_id for d in check_ledger()] == [one.pk, two.pk]
    assert len(repair_ledger(now=NOW)) == 2
    assert reading.counters() == reading.sums_of_the_ledger()


@pytest.mark.django_db
def test_a_repair_of_a_wrong_surplus_resumes_the_brands_other_campaigns() -> None:
    brand = factories.brand(daily_budget=10)
    one, two = factories.campaign(brand), factories.campaign(brand)
    spend(one, 9)
    BrandCounter.objects.filter(period=Period.DAY).update(spent=11)
    catalog.update_brand(brand_id=brand.pk, name="Judged again", now=NOW)
    assert reading.why(one) == reading.why(two) == ["brand_daily_budget"]
    repair_ledger(now=NOW)
    assert reading.why(one) == reading.why(two) == []


@pytest.mark.django_db
def test_a_sound_ledger_is_left_alone(paused: Campaign) -> None:
    spend(paused, -2, note="correction", at=NOW - timedelta(days=1))
    before = reading.steps(paused)
    assert repair_ledger(now=NOW) == []
    assert reading.steps(paused) == before


@pytest.mark.django_db
def test_an_empty_ledger_has_no_differences() -> None:
    factories.campaign()  # has counters of 0, from the lock that its creation took
    assert check_ledger() == []


@pytest.mark.django_db
def test_a_repair_of_many_counters_goes_in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "BATCH", 7)
    campaigns = [factories.campaign() for _ in range(6)]
    record_spend([event(campaign, 5) for campaign in campaigns], now=NOW)
    before = reading.counters()
    BrandCounter.objects.update(spent=1)
    CampaignCounter.objects.update(spent=2)
    assert len(repair_ledger(now=NOW)) == 30
    assert reading.counters() == before


@pytest.mark.django_db(transaction=True)
def test_a_repair_while_spend_is_recorded_loses_none_of_it() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=1_000))

    def record() -> None:
        for _ in range(25):
            spend(campaign, "0.1")

    def repair() -> None:
        for _ in range(10):
            with connection.cursor() as cursor:
                cursor.execute("UPDATE campaigns_brandcounter SET spent = spent + 7 WHERE period = 1")
            repair_ledger(now=NOW)

    together(record, record, repair)
    assert check_ledger() == []
    assert reading.counted(campaign.brand, Period.DAY, "2025-06-18") == Decimal(5)


@pytest.mark.django_db
def test_the_audit_reads_one_snapshot_of_any_day() -> None:
    """Days on both sides of a new year and of 29 February go to the right months."""
    campaign = factories.campaign(factories.brand(timezone="Pacific/Apia"))
    for moment in ("2024-02-29T09:59", "2024-02-29T10:00", "2024-12-31T10:59", "2025-01-01T10:00", "2011-12-30T10:00"):
        at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        spend(campaign, 1, now=at)
    assert check_ledger() == []
    assert reading.counters() == reading.sums_of_the_ledger()
