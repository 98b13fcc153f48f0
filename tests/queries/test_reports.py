"""Reports say what the ledger says, added up one row at a time by the tests' own hands."""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, BrandCounter, Campaign, CampaignCounter, SpendLog
from campaigns.queries.reports import (
    BrandSpend,
    CampaignSpend,
    DaySpend,
    GroupBy,
    HourSpend,
    Place,
    SpendReport,
    spend_report,
)
from campaigns.rules import money, periods
from campaigns.rules.errors import BudgetError
from campaigns.services import catalog
from campaigns.services.spend import record_spend
from tests import factories
from tests.factories import NOW, event, spend

pytestmark = pytest.mark.django_db

LONG_AGO = datetime(2025, 1, 1, 12, tzinfo=UTC)
"""When the owners were created: doing that counts 0 in the day it is done, which is no day of the reports."""

TODAY = NOW.date()
INSTANT = timedelta(microseconds=1)
MICROS = money.MICROS


# --- The same by hand ------------------------------------------------------------------------


def ledger(*, first: date, last: date, **which: Any) -> list[SpendLog]:
    """The rows that a report is made of."""
    rows = SpendLog.objects.select_related("brand", "campaign").filter(**which)
    return [row for row in rows if first <= row.day <= last]


def added_up(rows: Iterable[SpendLog], key: Callable[[SpendLog], Any]) -> dict[Any, int]:
    sums: dict[Any, int] = defaultdict(int)
    for row in rows:
        sums[key(row)] += money.to_micros(row.amount)
    return sums


def days_by_hand(rows: Iterable[SpendLog]) -> list[DaySpend]:
    sums = added_up(rows, lambda row: (row.day, row.brand.currency))
    return [DaySpend(day, currency, sums[day, currency]) for day, currency in sorted(sums)]


def campaigns_by_hand(rows: Iterable[SpendLog]) -> list[CampaignSpend]:
    sums = added_up(rows, lambda row: row.campaign)
    by_hand = [CampaignSpend(c.pk, c.name, c.external_id, c.brand_id, c.brand.currency, sums[c]) for c in sums]
    return sorted(by_hand, key=lambda row: (-row.spent, row.id))


def brands_by_hand(rows: Iterable[SpendLog]) -> list[BrandSpend]:
    sums = added_up(rows, lambda row: row.brand)
    by_hand = [BrandSpend(b.pk, b.name, b.external_id, b.currency, sums[b]) for b in sums]
    return sorted(by_hand, key=lambda row: (-row.spent, row.id))


def hours_by_hand(rows: Iterable[SpendLog], brand: Brand) -> list[tuple[str, str, int]]:
    sums = added_up(rows, lambda row: hour_begins(row.timestamp, brand.timezone))
    return [(at.astimezone(brand.timezone).isoformat(), brand.currency, sums[at]) for at in sorted(sums)]


def hour_begins(moment: datetime, zone: ZoneInfo) -> datetime:
    """Go back minute by minute for as long as the clock shows the same hour with the same offset."""

    def shown(at: datetime) -> tuple[Any, ...]:
        local = at.astimezone(zone)
        return local.date(), local.hour, local.utcoffset()

    begins = moment.replace(second=0, microsecond=0)
    while shown(begins - timedelta(minutes=1)) == shown(moment):
        begins -= timedelta(minutes=1)
    return begins


def hours(report: SpendReport) -> list[tuple[str, str, int]]:
    """The rows as the API tells them: two hours of the same wall time differ in their offsets."""
    return [(row.start.isoformat(), row.currency, row.spent) for row in report.rows if isinstance(row, HourSpend)]


BY_HAND: dict[GroupBy, Callable[[Iterable[SpendLog]], Sequence[Any]]] = {
    GroupBy.DAY: days_by_hand,
    GroupBy.CAMPAIGN: campaigns_by_hand,
    GroupBy.BRAND: brands_by_hand,
}


# --- A world with two currencies, several zones and the end of summer time -------------------

LATE_OCTOBER = datetime(2025, 10, 31, 12, tzinfo=UTC)
SCATTERED_FROM = date(2025, 10, 5)


class World(NamedTuple):
    brands: list[Brand]
    campaigns: list[Campaign]


def scattered(zones: Sequence[tuple[str, str]], *, seed: int = 1) -> World:
    """Make a brand in each zone and currency, with campaigns that spend at random, some of it late or taken back."""
    chance = random.Random(seed)
    brands = [factories.brand(timezone=zone, currency=currency, now=LONG_AGO) for zone, currency in zones]
    campaigns = [factories.campaign(brand, now=LONG_AGO) for brand in brands for _ in range(3)]
    seconds = int((LATE_OCTOBER - datetime(2025, 10, 5, tzinfo=UTC)).total_seconds())
    events = []
    for _ in range(600):
        at = LATE_OCTOBER - timedelta(seconds=chance.randrange(seconds), microseconds=chance.randrange(10**6))
        back = chance.random() < 0.2
        amount = money.from_micros(chance.randrange(1, 10**8) * (-1 if back else 1))
        events.append(event(chance.choice(campaigns), amount, at=at, note="back" if back else ""))
    record_spend(events, now=LATE_OCTOBER)
    return World(brands, campaigns)


ZONES = [("Europe/Berlin", "EUR"), ("Asia/Kathmandu", "USD"), ("America/St_Johns", "USD"), ("UTC", "JPY")]

SPANS = [
    pytest.param(SCATTERED_FROM, date(2025, 10, 31), id="all"),
    pytest.param(date(2025, 10, 25), date(2025, 10, 27), id="around the end of summer time"),
    pytest.param(date(2025, 10, 26), date(2025, 10, 26), id="one day"),
    pytest.param(date(2025, 1, 2), date(2025, 10, 31), id="most of a year"),
    pytest.param(date(2024, 1, 1), date(2024, 12, 31), id="nothing"),
]


@pytest.mark.parametrize(("first", "last"), SPANS)
def test_days_campaigns_and_brands_add_up_to_the_ledger(first: date, last: date) -> None:
    world = scattered(ZONES)
    brand, campaign, others = world.brands[1], world.campaigns[7], [world.brands[0].pk, world.brands[2].pk]
    scopes: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"brand_id": brand.pk}, {"brand": brand}),
        ({"campaign_id": campaign.pk}, {"campaign": campaign}),
        ({"campaign_id": campaign.pk, "brand_id": campaign.brand_id}, {"campaign": campaign}),
        ({"brand_ids": others}, {"brand__in": others}),
        ({"brand_ids": []}, {"brand__in": []}),
        ({"brand_ids": others, "brand_id": others[0]}, {"brand": others[0]}),
    ]
    for group_by, by_hand in BY_HAND.items():
        for scope, which in scopes:
            report = spend_report(group_by=group_by, first=first, last=last, **scope)
            assert report.rows == by_hand(ledger(first=first, last=last, **which)), (group_by, scope)
            assert not report.more


@pytest.mark.parametrize(("first", "last"), SPANS[:3])
def test_hours_add_up_to_the_ledger(first: date, last: date) -> None:
    world = scattered(ZONES)
    first = max(first, date(2025, 10, 1))
    for brand in world.brands:
        report = spend_report(group_by=GroupBy.HOUR, first=first, last=last, brand_id=brand.pk)
        assert hours(report) == hours_by_hand(ledger(first=first, last=last, brand=brand), brand)
    for campaign in world.campaigns:
        report = spend_report(group_by=GroupBy.HOUR, first=first, last=last, campaign_id=campaign.pk)
        assert hours(report) == hours_by_hand(ledger(first=first, last=last, campaign=campaign), campaign.brand)


# --- Hours -----------------------------------------------------------------------------------

CLOCK_CHANGES = [
    ("Europe/Berlin", date(2025, 10, 26)),
    ("Europe/Berlin", date(2025, 3, 30)),
    ("America/St_Johns", date(2025, 11, 2)),
    ("America/St_Johns", date(2025, 3, 9)),
    ("Australia/Lord_Howe", date(2025, 4, 6)),  # half an hour back
    ("Australia/Lord_Howe", date(2025, 10, 5)),  # and forth
    ("Antarctica/Troll", date(2025, 10, 26)),  # two hours
    ("Africa/Cairo", date(2025, 4, 25)),  # at midnight, which is skipped
    ("America/Havana", date(2025, 11, 2)),  # at 1 o'clock back to midnight, which comes twice
    ("Asia/Kathmandu", date(2025, 6, 1)),  # never, and 5:45 ahead
    ("Pacific/Chatham", date(2025, 4, 6)),  # 13:45 ahead, then 12:45
]


@pytest.mark.parametrize(("zone", "day"), CLOCK_CHANGES)
def test_every_hour_of_a_day_on_which_clocks_are_changed(zone: str, day: date) -> None:
    campaign = factories.campaign(factories.brand(timezone=zone, now=LONG_AGO), now=LONG_AGO)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    # Three days, with an event at the beginning of each quarter of an hour and one just before it.
    moments = [noon + timedelta(minutes=15 * at) - early for at in range(-144, 144) for early in (timedelta(), INSTANT)]
    events = [event(campaign, money.from_micros(at * at + 1), at=moment) for at, moment in enumerate(moments)]
    record_spend(events, now=noon + timedelta(days=5))
    for first, last in ((day, day), (day - timedelta(days=3), day + timedelta(days=3))):
        report = spend_report(group_by=GroupBy.HOUR, first=first, last=last, campaign_id=campaign.pk)
        assert hours(report) == hours_by_hand(ledger(first=first, last=last, campaign=campaign), campaign.brand)
        assert len({row.start for row in report.rows if isinstance(row, HourSpend)}) == len(report.rows)


def in_hours(zone: str, spent: dict[str, int], *, day: date) -> list[tuple[str, int]]:
    """What a report says of spend at some moments, as local time and whole units."""
    campaign = factories.campaign(factories.brand(timezone=zone, now=LONG_AGO), now=LONG_AGO)
    now = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=2)
    record_spend([event(campaign, units, at=datetime.fromisoformat(at)) for at, units in spent.items()], now=now)
    report = spend_report(group_by=GroupBy.HOUR, first=day, last=day, brand_id=campaign.brand_id)
    return [(start, spent // MICROS) for start, _, spent in hours(report)]


def test_an_hour_that_comes_twice_is_two_rows_with_their_offsets() -> None:
    spent = {
        "2025-10-25T23:59:59.999999Z": 1,
        "2025-10-26T00:00:00Z": 2,
        "2025-10-26T00:59:59.999999Z": 4,
        "2025-10-26T01:00:00Z": 8,
        "2025-10-26T01:59:59.999999Z": 16,
        "2025-10-26T02:00:00Z": 32,
    }
    assert in_hours("Europe/Berlin", spent, day=date(2025, 10, 26)) == [
        ("2025-10-26T01:00:00+02:00", 1),
        ("2025-10-26T02:00:00+02:00", 6),
        ("2025-10-26T02:00:00+01:00", 24),
        ("2025-10-26T03:00:00+01:00", 32),
    ]


def test_an_hour_that_is_skipped_is_no_row() -> None:
    spent = {"2025-03-30T00:59:59.999999Z": 1, "2025-03-30T01:00:00Z": 2}
    assert in_hours("Europe/Berlin", spent, day=date(2025, 3, 30)) == [
        ("2025-03-30T01:00:00+01:00", 1),
        ("2025-03-30T03:00:00+02:00", 2),
    ]


def test_hours_begin_on_the_local_clock_and_not_on_that_of_utc() -> None:
    spent = {"2025-06-18T00:14:59.999999Z": 1, "2025-06-18T00:15:00Z": 2, "2025-06-18T01:14:59Z": 4}
    assert in_hours("Asia/Kathmandu", spent, day=date(2025, 6, 18)) == [
        ("2025-06-18T05:00:00+05:45", 1),
        ("2025-06-18T06:00:00+05:45", 6),
    ]


def test_where_clocks_go_back_within_an_hour_both_parts_begin_where_they_do() -> None:
    spent = {
        "2025-04-05T14:00:00Z": 1,
        "2025-04-05T14:59:59Z": 2,
        "2025-04-05T15:00:00Z": 4,
        "2025-04-05T15:30:00Z": 8,
    }
    assert in_hours("Australia/Lord_Howe", spent, day=date(2025, 4, 6)) == [
        ("2025-04-06T01:00:00+11:00", 3),
        ("2025-04-06T01:30:00+10:30", 4),
        ("2025-04-06T02:00:00+10:30", 8),
    ]


def test_the_last_microsecond_of_an_hour_is_of_that_hour() -> None:
    """SQLite's own functions round to milliseconds."""
    spent = {f"2025-06-18T09:59:59.{micros:06}Z": 1 for micros in (0, 1, 499_999, 999_499, 999_500, 999_999)}
    assert in_hours("UTC", spent, day=date(2025, 6, 18)) == [("2025-06-18T09:00:00+00:00", 6)]


def test_hours_add_up_to_days_after_the_brand_has_moved() -> None:
    brand = factories.brand(timezone="America/Los_Angeles", now=LONG_AGO)
    campaign = factories.campaign(brand, now=LONG_AGO)
    record_spend([event(campaign, at + 1, at=NOW - timedelta(hours=at)) for at in range(48)], now=NOW)
    catalog.update_brand(brand_id=brand.pk, timezone="Asia/Tokyo", now=NOW)
    day = TODAY - timedelta(days=1)
    by_hour = spend_report(group_by=GroupBy.HOUR, first=day, last=day, brand_id=brand.pk)
    by_day = spend_report(group_by=GroupBy.DAY, first=day, last=day, brand_id=brand.pk)
    assert sum(row.spent for row in by_hour.rows) == sum(row.spent for row in by_day.rows) > 0
    assert {row[0][-6:] for row in hours(by_hour)} == {"+09:00"}


@pytest.mark.once
def test_all_clocks_are_changed_between_two_quarters_of_an_hour() -> None:
    """What the reports by hour count on, and what the next edition of the time zone database might end."""
    quarter, step = timedelta(minutes=15), timedelta(days=1)
    for name in sorted(available_timezones()):
        zone, at = ZoneInfo(name), datetime(2023, 1, 1, tzinfo=UTC)
        while at.year < 2030:
            offset, later = at.astimezone(zone).utcoffset(), (at + step).astimezone(zone).utcoffset()
            assert offset is not None
            assert offset % quarter == timedelta(), name
            if offset != later:
                assert periods.offset_change(at, at + step, zone).timestamp() % quarter.total_seconds() == 0, name
            at += step


# --- What counts -----------------------------------------------------------------------------


def only(group_by: GroupBy, day: date = TODAY, **which: Any) -> Sequence[Any]:
    """The rows of a report on one day."""
    return spend_report(group_by=group_by, first=day, last=day, **which).rows


@pytest.mark.parametrize("group_by", GroupBy)
def test_late_spend_counts_when_it_occurred(group_by: GroupBy) -> None:
    campaign = factories.campaign(now=LONG_AGO)
    spend(campaign, 3, at=NOW - timedelta(days=20), now=NOW)
    assert [row.spent for row in only(group_by, TODAY - timedelta(days=20), campaign_id=campaign.pk)] == [3 * MICROS]
    assert only(group_by, campaign_id=campaign.pk) == []


@pytest.mark.parametrize("group_by", GroupBy)
def test_an_adjustment_counts_with_its_sign(group_by: GroupBy) -> None:
    campaign = factories.campaign(now=LONG_AGO)
    spend(campaign, "2.5")
    spend(campaign, "-3.000001", note="invalid clicks")
    assert [row.spent for row in only(group_by, brand_id=campaign.brand_id)] == [-500_001]


@pytest.mark.parametrize("group_by", GroupBy)
def test_what_is_archived_has_spent_all_the_same(group_by: GroupBy) -> None:
    campaign = factories.campaign(now=LONG_AGO)
    spend(campaign, 1)
    catalog.archive_brand(brand_id=campaign.brand_id, now=NOW + timedelta(days=1))
    assert [row.spent for row in only(group_by, brand_id=campaign.brand_id)] == [MICROS]


def test_currencies_are_never_added_up() -> None:
    for currency in ("USD", "EUR", "USD"):
        spend(factories.campaign(factories.brand(currency=currency, now=LONG_AGO), now=LONG_AGO), 1)
    assert only(GroupBy.DAY) == [DaySpend(TODAY, "EUR", MICROS), DaySpend(TODAY, "USD", 2 * MICROS)]


def test_a_sum_of_the_largest_amounts_is_exact() -> None:
    campaign = factories.campaign(now=LONG_AGO)
    record_spend([event(campaign, "999999999.999999") for _ in range(5_000)], now=NOW)
    spend(campaign, "0.000001")
    for group_by in GroupBy:
        assert [row.spent for row in only(group_by, brand_id=campaign.brand_id)] == [5_000 * 10**15 - 4_999]


def test_who_has_no_counter_is_left_out_and_who_has_one_of_0_is_not() -> None:
    campaign, _ = factories.campaign(now=LONG_AGO), factories.campaign(now=LONG_AGO)
    spend(campaign, 1)
    spend(campaign, -1, note="back")
    assert [(row.id, row.spent) for row in only(GroupBy.CAMPAIGN)] == [(campaign.pk, 0)]
    assert [(row.id, row.spent) for row in only(GroupBy.BRAND)] == [(campaign.brand_id, 0)]
    assert [row.spent for row in only(GroupBy.HOUR, campaign_id=campaign.pk)] == [0]


def test_rows_say_whose_they_are() -> None:
    brand = factories.brand(name="Acme", external_id="a-1", currency="CHF", now=LONG_AGO)
    campaign = factories.campaign(brand, name="Search", external_id="s-1", now=LONG_AGO)
    spend(campaign, 2)
    expected = CampaignSpend(campaign.pk, "Search", "s-1", brand.pk, "CHF", 2 * MICROS)
    assert only(GroupBy.CAMPAIGN) == [expected]
    assert only(GroupBy.BRAND) == [BrandSpend(brand.pk, "Acme", "a-1", "CHF", 2 * MICROS)]
    assert only(GroupBy.BRAND, campaign_id=campaign.pk) == [BrandSpend(brand.pk, "Acme", "a-1", "CHF", 2 * MICROS)]


def test_months_and_totals_are_not_counted_beside_the_days() -> None:
    campaign = factories.campaign(now=LONG_AGO)
    first_of_month = NOW.replace(day=1)
    spend(campaign, 1, at=first_of_month, now=first_of_month)
    for group_by in BY_HAND:
        assert [row.spent for row in only(group_by, first_of_month.date())] == [MICROS]


# --- Order and pages -------------------------------------------------------------------------

SPENT = [5, 7, 5, -2, 5, 0, 9]


def ranks() -> list[Campaign]:
    """Make campaigns, each of its own brand, that have spent SPENT; return them from the most to the least."""
    campaigns = [factories.campaign(now=LONG_AGO) for _ in SPENT]
    for campaign, units in zip(campaigns, SPENT, strict=True):
        spend(campaign, 10)
        spend(campaign, units - 10, note="to what it has to be")
    return [campaigns[at] for at in sorted(range(len(SPENT)), key=lambda at: (-SPENT[at], at))]


def test_the_most_comes_first_and_then_the_oldest() -> None:
    ranked = ranks()
    assert [row.id for row in only(GroupBy.CAMPAIGN)] == [campaign.pk for campaign in ranked]
    assert [row.id for row in only(GroupBy.BRAND)] == [campaign.brand_id for campaign in ranked]


@pytest.mark.parametrize("group_by", [GroupBy.CAMPAIGN, GroupBy.BRAND])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_make_up_the_whole(group_by: GroupBy, limit: int) -> None:
    ranks()
    whole = only(group_by)
    pages: list[Any] = []
    after: Place | None = None
    while True:
        page = spend_report(group_by=group_by, first=TODAY, last=TODAY, limit=limit, after=after)
        assert 0 < len(page.rows) <= limit
        pages += page.rows
        assert page.more is (len(pages) < len(whole))
        if not page.more:
            break
        after = page.after
    assert pages == whole


def test_hours_and_days_are_whole_whatever_the_limit() -> None:
    campaign = factories.campaign(now=LONG_AGO)
    record_spend([event(campaign, at=NOW - timedelta(hours=12 * at)) for at in range(20)], now=NOW)
    for group_by, rows in ((GroupBy.HOUR, 20), (GroupBy.DAY, 10)):
        report = spend_report(
            group_by=group_by, first=TODAY - timedelta(days=30), last=TODAY, brand_id=campaign.brand_id, limit=1
        )
        assert (len(report.rows), report.more) == (rows, False)


# --- What can't be had -----------------------------------------------------------------------


def refused(**wish: Any) -> str:
    arguments: dict[str, Any] = {"group_by": GroupBy.DAY, "first": TODAY, "last": TODAY, **wish}
    with pytest.raises(BudgetError) as error:
        spend_report(**arguments)
    sentence = str(error.value)
    assert sentence.endswith(".")
    return sentence


def test_the_days_are_bounded() -> None:
    assert "swap the two days" in refused(first=TODAY + timedelta(days=1))
    assert "These are 367 days; ask for at most 366" in refused(first=TODAY - timedelta(days=366))
    for group_by in BY_HAND:
        assert spend_report(group_by=group_by, first=TODAY - timedelta(days=365), last=TODAY).rows == []
    hourly: dict[str, Any] = {"group_by": GroupBy.HOUR, "brand_id": factories.brand().pk}
    assert "These are 32 days; ask for at most 31" in refused(first=TODAY - timedelta(days=31), **hourly)
    assert spend_report(first=TODAY - timedelta(days=30), last=TODAY, **hourly).rows == []
    assert "swap" in refused(first=date.max, last=date.min)
    assert spend_report(group_by=GroupBy.DAY, first=date.min, last=date.min).rows == []
    assert spend_report(group_by=GroupBy.DAY, first=date.max, last=date.max).rows == []


def test_hours_need_a_brand() -> None:
    factories.brand()
    assert "give a brand or a campaign" in refused(group_by=GroupBy.HOUR)


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_page_is_bounded(limit: int) -> None:
    assert "1 to 10,000" in refused(group_by=GroupBy.CAMPAIGN, limit=limit)


@pytest.mark.parametrize("after", [Place(2**63, 1), Place(0, 2**63), Place(-(2**70), 1)])
def test_a_place_that_no_page_has_is_refused(after: Place) -> None:
    assert "No page ended there" in refused(group_by=GroupBy.BRAND, after=after)


@pytest.mark.parametrize("group_by", GroupBy)
@pytest.mark.parametrize("number", [0, -1, 987_654_321, 2**63, 2**80])
def test_there_must_be_such_a_brand_or_campaign(group_by: GroupBy, number: int) -> None:
    assert refused(group_by=group_by, brand_id=number) == f"There is no brand {number}."
    assert refused(group_by=group_by, campaign_id=number) == f"There is no campaign {number}."


@pytest.mark.parametrize("group_by", GroupBy)
def test_what_the_caller_may_not_see_is_not_there(group_by: GroupBy) -> None:
    seen, unseen = factories.campaign(now=LONG_AGO), factories.campaign(now=LONG_AGO)
    for campaign in (seen, unseen):
        spend(campaign, 1)
    may_see: dict[str, Any] = {"group_by": group_by, "brand_ids": [seen.brand_id]}
    assert refused(brand_id=unseen.brand_id, **may_see) == f"There is no brand {unseen.brand_id}."
    for brand in ({}, {"brand_id": seen.brand_id}):
        assert refused(campaign_id=unseen.pk, **brand, **may_see) == f"There is no campaign {unseen.pk}."
    report = spend_report(first=TODAY, last=TODAY, campaign_id=seen.pk, **may_see)
    assert [row.spent for row in report.rows] == [MICROS]
    if group_by is not GroupBy.HOUR:
        report = spend_report(first=TODAY, last=TODAY, **may_see)
        assert [row.spent for row in report.rows] == [MICROS]


@pytest.mark.parametrize("group_by", GroupBy)
def test_a_campaign_of_another_brand_is_a_mistake(group_by: GroupBy) -> None:
    campaign, brand = factories.campaign(), factories.brand()
    sentence = refused(group_by=group_by, campaign_id=campaign.pk, brand_id=brand.pk)
    assert sentence == f"Campaign {campaign.pk} is not of brand {brand.pk}; give only one of the two."


# --- What it costs ---------------------------------------------------------------------------


def statements(**wish: Any) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        spend_report(**{"first": TODAY - timedelta(days=6), "last": TODAY, **wish})
    return [query["sql"] for query in captured.captured_queries]


def tables(sql: str) -> set[str]:
    return set(re.findall(r"campaigns_(\w+)", sql))


@pytest.mark.parametrize("group_by", GroupBy)
def test_a_report_is_one_statement_beside_the_lookups(group_by: GroupBy) -> None:
    world = scattered(ZONES[:2])
    campaign = world.campaigns[0]
    sent = statements(group_by=group_by, brand_id=campaign.brand_id, campaign_id=campaign.pk)
    by_hour = group_by is GroupBy.HOUR  # which months have left the ledger is looked up, too
    assert len(sent) == 3 + by_hour
    assert all(tables(sql) <= {"brand", "campaign", "ledgerarchive"} for sql in sent[:-1])
    if group_by is not GroupBy.HOUR:
        assert len(statements(group_by=group_by)) == 1


def test_only_hours_read_the_ledger() -> None:
    brand = factories.brand()
    for group_by in GroupBy:
        for which in ({}, {"brand_id": brand.pk}, {"brand_ids": [brand.pk]}):
            if group_by is not GroupBy.HOUR or "brand_id" in which:
                read = tables(statements(group_by=group_by, **which)[-1])
                assert ("spendlog" in read) is (group_by is GroupBy.HOUR)
                assert bool(read & {"brandcounter", "campaigncounter"}) is (group_by is not GroupBy.HOUR)


def test_what_the_counters_say_is_said() -> None:
    campaign = factories.campaign(now=LONG_AGO)
    spend(campaign, 1)
    CampaignCounter.objects.filter(campaign=campaign, period=1).update(spent=3)
    BrandCounter.objects.filter(brand=campaign.brand, period=1).update(spent=4)
    assert [only(group_by)[0].spent // MICROS for group_by in BY_HAND] == [4, 3, 4]
    assert [only(group_by, campaign_id=campaign.pk)[0].spent // MICROS for group_by in BY_HAND] == [3, 3, 3]


BY_DAY = "(period=? AND start=?)"
BY_OWNER = "(period=? AND start=? AND campaign_id=? AND brand_id=?)"
IN_THE_LEDGER = "spendlog_campaign_day (campaign_id=? AND day>? AND day<?)"


@pytest.mark.sqlite  # whose plans don't depend on how many rows there are
@pytest.mark.parametrize(
    ("group_by", "of", "looked_up"),
    [
        (GroupBy.DAY, "all", BY_DAY),
        (GroupBy.DAY, "brand", "(period=? AND start=? AND brand_id=?)"),
        (GroupBy.DAY, "campaign", BY_OWNER),
        (GroupBy.BRAND, "all", BY_DAY),
        (GroupBy.CAMPAIGN, "all", BY_DAY),
        (GroupBy.CAMPAIGN, "brand", BY_OWNER),
        (GroupBy.CAMPAIGN, "some brands", BY_OWNER),
        (GroupBy.HOUR, "brand", IN_THE_LEDGER),
        (GroupBy.HOUR, "campaign", IN_THE_LEDGER),
    ],
)
def test_days_and_owners_are_looked_up_in_an_index(group_by: GroupBy, of: str, looked_up: str) -> None:
    campaign = factories.campaign()
    scopes: dict[str, dict[str, Any]] = {
        "all": {},
        "brand": {"brand_id": campaign.brand_id},
        "some brands": {"brand_ids": [campaign.brand_id]},
        "campaign": {"campaign_id": campaign.pk},
    }
    sql = statements(group_by=group_by, **scopes[of])[-1]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        assert looked_up in "\n".join(row[3] for row in cursor.fetchall())
