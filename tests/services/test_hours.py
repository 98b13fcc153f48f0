"""The stored hours: whatever was recorded, however late, a run makes them what the ledger says, and never more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.models import Brand, BrandHour, SpendLog
from campaigns.rules import money
from campaigns.services import catalog, hours
from campaigns.services.hours import KEPT_DAYS, NEAR_DAYS, sum_hours
from tests import factories
from tests.factories import NOW
from tests.services.races import meet, together

pytestmark = pytest.mark.django_db

UNIT = money.MICROS
TODAY = NOW.date()
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

Hours = dict[tuple[int, date, int], int]


def stored() -> Hours:
    """The stored hours, in micros."""
    rows = BrandHour.objects.values_list("brand_id", "day", "hour", "spent")
    return {(brand_id, day, hour): money.to_micros(spent) for brand_id, day, hour, spent in rows}


def of_the_ledger() -> Hours:
    """What the hours should be: each row of the ledger in its hour of the brand's clock."""
    found: Hours = defaultdict(int)
    for row in SpendLog.objects.select_related("brand"):
        local = row.timestamp.astimezone(UTC).astimezone(row.brand.timezone)
        found[row.brand_id, row.day, local.hour] += money.to_micros(row.amount)
    return dict(found)


def by_hour(brand: Brand, day: date = TODAY) -> dict[int, int]:
    return {hour: spent for (brand_id, of, hour), spent in stored().items() if (brand_id, of) == (brand.pk, day)}


def statements(work: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        work()
    return [query["sql"].strip() for query in captured.captured_queries]


def written(work: Callable[[], Any]) -> list[str]:
    return [sql for sql in statements(work) if sql.startswith(("INSERT", "UPDATE", "DELETE"))]


def test_hours_are_those_of_each_brands_own_clock() -> None:
    here, there = factories.campaign(), factories.campaign(factories.brand(timezone="Asia/Kathmandu"))  # UTC+5:45
    for campaign in (here, there):
        factories.spend(campaign, 2, at=NOW - HOUR)
        factories.spend(campaign, 3, at=NOW)
        factories.spend(campaign, 4, at=NOW + timedelta(minutes=4))
    assert sum_hours(now=NOW) == 2
    assert by_hour(here.brand) == {11: 2 * UNIT, 12: 7 * UNIT}
    assert by_hour(there.brand) == {16: 2 * UNIT, 17: 7 * UNIT}


def test_a_second_run_finds_nothing_and_writes_nothing() -> None:
    factories.spend(factories.campaign(), 2)
    assert sum_hours(now=NOW) == 1
    before = set(BrandHour.objects.values_list("pk", "spent"))
    again = written(lambda: sum_hours(now=NOW))
    assert [sql.split()[2] for sql in again] == ['"campaigns_brandhour"', '"campaigns_campaignhour"']  # long past
    assert all(sql.startswith("DELETE") for sql in again)
    assert sum_hours(now=NOW) == 0
    assert set(BrandHour.objects.values_list("pk", "spent")) == before


def test_only_the_hour_that_was_spent_in_is_written_again() -> None:
    campaign = factories.campaign()
    factories.spend(campaign, 2, at=NOW - HOUR)
    factories.spend(campaign, 3)
    sum_hours(now=NOW)
    before = dict(BrandHour.objects.values_list("hour", "pk"))
    factories.spend(campaign, 4)
    assert sum_hours(now=NOW) == 1
    after = dict(BrandHour.objects.values_list("hour", "pk"))
    assert by_hour(campaign.brand) == {11: 2 * UNIT, 12: 7 * UNIT}
    assert (after[11], after[12] == before[12]) == (before[11], False)


def test_late_spend_and_adjustments_mend_the_day_they_count_in() -> None:
    campaign = factories.campaign()
    for back in range(12):
        factories.spend(campaign, 10, at=NOW - back * DAY)
    sum_hours(now=NOW)
    factories.spend(campaign, 5, at=NOW - 3 * DAY - HOUR)
    factories.spend(campaign, -25, at=NOW - 8 * DAY, note="credit")
    assert sum_hours(now=NOW) == 2
    assert by_hour(campaign.brand, TODAY - 3 * DAY) == {11: 5 * UNIT, 12: 10 * UNIT}
    assert by_hour(campaign.brand, TODAY - 8 * DAY) == {12: -15 * UNIT}
    assert min(day for _, day, _ in stored()) == TODAY - 8 * DAY


def test_days_that_are_over_for_long_are_forgotten() -> None:
    campaign = factories.campaign()
    factories.spend(campaign, 1)
    sum_hours(now=NOW)
    sum_hours(now=NOW + (KEPT_DAYS - 1) * DAY)
    assert by_hour(campaign.brand) == {12: UNIT}
    sum_hours(now=NOW + KEPT_DAYS * DAY)
    assert stored() == {}


def test_days_of_long_ago_are_looked_at_one_a_minute() -> None:
    campaign = factories.campaign()
    late = [NOW - back * DAY for back in range(NEAR_DAYS - 1, KEPT_DAYS)]
    for at in late:
        factories.spend(campaign, 1, at=at)
    sum_hours(now=NOW)
    assert len(stored()) == 2  # the last of the near ones, and one of the others
    for minute in range(1, KEPT_DAYS - NEAR_DAYS):
        sum_hours(now=NOW + timedelta(minutes=minute))
    assert {day for _, day, _ in stored()} == {at.date() for at in late}


@pytest.mark.parametrize("by", [UNIT, -UNIT])
def test_what_is_wrong_is_found_and_mended(by: int) -> None:
    campaign = factories.campaign()
    factories.spend(campaign, 2, at=NOW - HOUR)
    factories.spend(campaign, 3)
    sum_hours(now=NOW)
    BrandHour.objects.filter(hour=11).update(spent=money.from_micros(2 * UNIT + by))
    BrandHour.objects.create(brand=campaign.brand, day=TODAY, hour=3, spent=7)
    assert sum_hours(now=NOW) == 1
    assert stored() == of_the_ledger()
    BrandHour.objects.all().delete()
    assert sum_hours(now=NOW) == 1
    assert stored() == of_the_ledger()


def test_hours_of_a_day_in_which_nothing_was_spent_are_removed() -> None:
    brand = factories.brand()
    BrandHour.objects.create(brand=brand, day=TODAY, hour=3, spent=7)
    assert sum_hours(now=NOW) == 1
    assert stored() == {}


@pytest.mark.parametrize(
    ("sunday", "expected"),
    [
        (datetime(2025, 10, 26, tzinfo=UTC), {2: 8, 3: 1}),
        (datetime(2025, 3, 30, tzinfo=UTC), {1: 4, 3: 4, 4: 1}),
    ],
    ids=["an hour that comes twice is one row", "an hour that is skipped has none"],
)
def test_clocks_that_are_changed(sunday: datetime, expected: dict[int, int]) -> None:
    campaign = factories.campaign(factories.brand(timezone="Europe/Berlin"), now=sunday)
    for quarters in range(9):
        factories.spend(campaign, 1, at=sunday + timedelta(minutes=15 * quarters), now=sunday + 12 * HOUR)
    sum_hours(now=sunday + 12 * HOUR)
    assert by_hour(campaign.brand, sunday.date()) == {hour: spent * UNIT for hour, spent in expected.items()}


def test_a_day_begins_at_the_brands_midnight() -> None:
    honolulu, auckland = (factories.brand(timezone=zone) for zone in ("Pacific/Honolulu", "Pacific/Auckland"))
    for brand in (honolulu, auckland):
        campaign = factories.campaign(brand)
        for back in range(0, 9 * 24 + 30, 5):
            factories.spend(campaign, 1, at=NOW - back * HOUR)
    sum_hours(now=NOW)
    expected = {key: spent for key, spent in of_the_ledger().items() if key[1] >= TODAY - 8 * DAY}
    assert stored() == expected
    assert {day for _, day, _ in stored()} >= {date(2025, 6, 19), TODAY - 8 * DAY}  # in Auckland it is the 19th


def test_a_bent_counter_costs_a_look_and_leaves_the_hours_alone() -> None:
    campaign = factories.campaign()
    factories.spend(campaign, 2)
    sum_hours(now=NOW)
    counters = campaign.brand.counters.filter(period=1)
    assert counters.update(spent=5) == 1
    sum_hours(now=NOW)
    assert stored() == of_the_ledger()


def test_many_brands_are_summed_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "BATCH", 2)
    for _ in range(5):
        factories.spend(factories.campaign(), 1)
    assert sum_hours(now=NOW) == 5
    assert stored() == of_the_ledger()


def test_what_a_run_asks_does_not_grow_with_brands_and_days() -> None:
    def cost() -> int:
        return len(statements(lambda: sum_hours(now=NOW)))

    factories.spend(factories.campaign(), 1)
    few = cost()
    for _ in range(20):
        campaign = factories.campaign()
        for back in range(5):
            factories.spend(campaign, 1, at=NOW - back * DAY)
    assert (cost(), cost() < few) == (few, True)


def test_without_brands_there_is_nothing_to_do() -> None:
    assert sum_hours(now=NOW) == 0


# --- Anything, in any order ------------------------------------------------------------------

EVENTS = st.tuples(
    st.integers(0, 2), st.integers(-4, 12 * 24 * 60), st.integers(-5, 9).filter(bool), st.sampled_from([0, 1, 2])
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, max_size=25))
def test_after_a_run_the_hours_add_up_to_the_ledger(events: list[tuple[int, int, int, int]]) -> None:
    with transaction.atomic():
        zones = ("UTC", "America/St_Johns", "Australia/Lord_Howe")
        campaigns = [factories.campaign(factories.brand(timezone=zone)) for zone in zones]
        now = NOW
        for which, minutes, amount, ahead in events:
            at, note = now - timedelta(minutes=minutes), "credit" if amount < 0 else ""
            factories.spend(campaigns[which], amount, at=at, now=now, note=note)
            now += ahead * timedelta(hours=7)
            if ahead:
                sum_hours(now=now)
        sum_hours(now=now)
        found, expected = by_day(stored()), by_day(of_the_ledger())
        recent = {key for key in expected if key[1] > now.date() - 8 * DAY}
        assert {key: found.get(key, 0) for key in recent} == {key: expected[key] for key in recent}
        transaction.set_rollback(True)


def by_day(found: Hours) -> dict[tuple[int, date], int]:
    days: dict[tuple[int, date], int] = defaultdict(int)
    for (brand_id, day, _), spent in found.items():
        days[brand_id, day] += spent
    return dict(days)


# --- At the same time ------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_runs_side_by_side_count_nothing_twice() -> None:
    campaigns = [factories.campaign() for _ in range(5)]
    for campaign in campaigns:
        for back in range(12):
            factories.spend(campaign, 1, at=NOW - back * HOUR)
    together(*[lambda: sum_hours(now=NOW)] * 4)
    assert stored() == of_the_ledger()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_what_was_written_by_who_has_read_less_is_found_by_the_next_run() -> None:
    campaign = factories.campaign()
    factories.spend(campaign, 1)

    def spend_and_sum() -> int:
        factories.spend(campaign, 2)
        return sum_hours(now=NOW)

    meeting = meet(lambda: sum_hours(now=NOW), spend_and_sum, at=(hours, "_from_ledger"), when="after")
    assert not meeting.waited  # nothing is locked while the ledger is read
    assert by_day(stored())[campaign.brand_id, TODAY] == UNIT  # of the one that read first and wrote last
    assert sum_hours(now=NOW) == 1
    assert stored() == of_the_ledger()


def test_a_brand_that_moves_gets_the_hours_of_its_new_clock() -> None:
    brand = factories.brand(timezone="UTC")
    factories.spend(factories.campaign(brand), 20, at=NOW - 2 * HOUR)
    sum_hours(now=NOW)
    assert by_hour(brand) == {10: 20 * UNIT}
    catalog.update_brand(brand_id=brand.pk, timezone="America/New_York", now=NOW)
    assert stored() == {}
    sum_hours(now=NOW)
    assert by_hour(brand) == {6: 20 * UNIT}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_spend_does_not_wait_for_a_run() -> None:
    campaign = factories.campaign()
    factories.spend(campaign, 1)
    meeting = meet(
        lambda: sum_hours(now=NOW), lambda: factories.spend(campaign, 2), at=(hours, "_from_ledger"), when="after"
    )
    assert not meeting.waited
    assert by_day(stored())[campaign.brand_id, TODAY] == UNIT
    assert sum_hours(now=NOW) == 1
    assert stored() == of_the_ledger()


def test_a_brand_is_deleted_with_its_hours() -> None:
    brand = factories.brand()
    BrandHour.objects.create(brand=brand, day=TODAY, hour=3, spent=0)
    catalog.delete_brand(brand_id=brand.pk, now=NOW)
    assert stored() == {}
