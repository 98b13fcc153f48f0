"""The hours of campaigns that are paced by themselves: kept like those of brands, learned from, and forecast by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, Campaign, CampaignHour, OwnerPace, SpendLog
from campaigns.queries.forecasts import campaign_forecast
from campaigns.queries.pacing import from_text
from campaigns.queries.traffic import campaign_traffic
from campaigns.rules import money
from campaigns.rules.profile import FLAT, LEARNED_DAYS, LEAST
from campaigns.services import catalog, hours
from campaigns.services.hours import KEPT_DAYS, sum_hours
from campaigns.services.pacing import pace_all
from tests import factories
from tests.services.races import together

pytestmark = pytest.mark.django_db

UNIT = money.MICROS
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2025, 6, 18, tzinfo=UTC)
NOON = MIDNIGHT + 12 * HOUR
LONG_AGO = MIDNIGHT - 40 * DAY
YESTERDAY = MIDNIGHT.date() - DAY

Hours = dict[tuple[int, date, int], int]


def stored() -> Hours:
    """The stored hours, in micros."""
    rows = CampaignHour.objects.values_list("campaign_id", "day", "hour", "spent")
    return {(campaign_id, day, hour): money.to_micros(spent) for campaign_id, day, hour, spent in rows}


def of_the_ledger(*campaigns: Campaign, before: date) -> Hours:
    """What the hours of some campaigns should be: each row of the ledger in its hour of the brand's clock."""
    found: Hours = defaultdict(int)
    for row in SpendLog.objects.select_related("brand").filter(campaign__in=campaigns, day__lt=before):
        local = row.timestamp.astimezone(UTC).astimezone(row.brand.timezone)
        found[row.campaign_id, row.day, local.hour] += money.to_micros(row.amount)
    return dict(found)


def even(brand: Brand | None = None, **fields: Any) -> Campaign:
    """A campaign that is paced by itself, and has begun to be."""
    campaign = factories.campaign(
        brand or factories.brand(now=LONG_AGO), now=LONG_AGO, **{"daily_budget": 240, "pacing": "even", **fields}
    )
    pace_all(now=LONG_AGO)
    return campaign


def live(campaign: Campaign, at_hours: dict[int, int], *, days: int = 7, before: datetime = MIDNIGHT) -> None:
    """Let a campaign spend so much at these hours of the days before."""
    for back in range(1, days + 1):
        for hour, amount in at_hours.items():
            at = before - back * DAY + hour * HOUR
            factories.spend(campaign, amount, now=before, at=at)


def run(*, minutes: int = KEPT_DAYS, now: datetime = MIDNIGHT) -> int:
    """Let runs look at every day that is kept."""
    return sum(sum_hours(now=now + minute * MINUTE) for minute in range(minutes))


def statements(work: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        work()
    return [query["sql"].strip() for query in captured.captured_queries]


# --- What is kept ----------------------------------------------------------------------------


def test_only_those_that_are_paced_by_themselves_have_hours() -> None:
    alone = factories.brand(now=LONG_AGO, daily_budget=100, pacing="even", budget_scope="campaign")
    as_one = factories.brand(now=LONG_AGO, daily_budget=100, pacing="even")
    own, bound = even(), factories.campaign(alone, now=LONG_AGO)
    not_any_more, archived = even(), even()
    others = [factories.campaign(as_one, now=LONG_AGO), factories.campaign(own.brand, now=LONG_AGO)]
    pace_all(now=LONG_AGO + HOUR)
    for campaign in (own, bound, not_any_more, archived, *others):
        live(campaign, {9: 2}, days=1)
    catalog.update_campaign(campaign_id=not_any_more.pk, pacing="asap", now=MIDNIGHT)
    catalog.archive_campaign(campaign_id=archived.pk, now=MIDNIGHT)
    run()
    assert stored() == {(campaign.pk, YESTERDAY, 9): 2 * UNIT for campaign in (own, bound)}
    assert set(CampaignHour.objects.values_list("campaign_id", "brand_id")) == {
        (own.pk, own.brand_id),
        (bound.pk, alone.pk),
    }


def test_hours_are_those_of_the_brands_clock_and_of_days_that_are_over_there() -> None:
    zones = ("Pacific/Honolulu", "Asia/Kathmandu", "Pacific/Auckland")
    campaigns = [even(factories.brand(now=LONG_AGO, timezone=zone)) for zone in zones]
    for campaign in campaigns:
        for back in range(0, 75, 5):
            factories.spend(campaign, 1, now=NOON, at=NOON - back * HOUR)
    run(now=NOON)
    todays = dict(zip(zones, (date(2025, 6, 18), date(2025, 6, 18), date(2025, 6, 19)), strict=True))
    expected: Hours = {}
    for campaign in campaigns:
        expected |= of_the_ledger(campaign, before=todays[str(campaign.brand.timezone)])
    assert stored() == expected
    assert {day for _, day, _ in stored()} >= {date(2025, 6, 15), date(2025, 6, 18)}


def test_who_begins_to_be_paced_gets_its_last_weeks_a_day_a_minute() -> None:
    campaign = factories.campaign(factories.brand(now=LONG_AGO), now=LONG_AGO, daily_budget=240)
    live(campaign, {9: 2}, days=LEARNED_DAYS)
    assert (run(), stored()) == (LEARNED_DAYS, {})  # of the brand
    catalog.update_campaign(campaign_id=campaign.pk, pacing="even", now=MIDNIGHT)
    pace_all(now=MIDNIGHT)
    assert sum_hours(now=MIDNIGHT) == 2
    assert run(minutes=28) == LEARNED_DAYS - 2
    assert stored() == of_the_ledger(campaign, before=MIDNIGHT.date())
    assert run() == 0


def test_a_run_reads_a_bounded_number_of_days_and_the_next_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "CAMPAIGN_BATCH", 2)
    monkeypatch.setattr(hours, "MOST_DAYS", 3)
    campaigns = [even() for _ in range(5)]
    for campaign in campaigns:
        live(campaign, {9: 1}, days=1)
    first = sum_hours(now=MIDNIGHT) - len(campaigns)  # the rest is the brands
    assert (first, len(stored())) == (4, 4)
    assert (sum_hours(now=MIDNIGHT), len(stored())) == (1, 5)
    assert sum_hours(now=MIDNIGHT) == 0


def test_what_came_late_or_is_wrong_is_found_and_mended() -> None:
    campaign = even()
    live(campaign, {9: 2, 10: 3}, days=5)
    run()
    factories.spend(campaign, 4, now=MIDNIGHT, at=MIDNIGHT - 3 * DAY + 9 * HOUR)
    factories.spend(campaign, -1, now=MIDNIGHT, at=MIDNIGHT - 5 * DAY + 9 * HOUR, note="credit")
    CampaignHour.objects.filter(day=YESTERDAY, hour=9).delete()
    CampaignHour.objects.create(
        brand=campaign.brand, campaign=campaign, day=MIDNIGHT.date() - 20 * DAY, hour=3, spent=7
    )
    run()
    assert stored() == of_the_ledger(campaign, before=MIDNIGHT.date())


def test_when_nothing_came_the_ledger_is_not_read_and_nothing_is_written() -> None:
    live(even(), {9: 2})
    run()
    asked = statements(lambda: sum_hours(now=MIDNIGHT))
    assert not [sql for sql in asked if "campaigns_spendlog" in sql]
    assert [sql.split()[2] for sql in asked if not sql.startswith("SELECT")] == [
        '"campaigns_brandhour"',  # of days long past
        '"campaigns_campaignhour"',
    ]


def test_days_that_are_over_for_long_are_forgotten() -> None:
    live(even(), {9: 2}, days=1)
    sum_hours(now=MIDNIGHT)
    sum_hours(now=MIDNIGHT + (KEPT_DAYS - 2) * DAY)
    assert len(stored()) == 1
    sum_hours(now=MIDNIGHT + (KEPT_DAYS - 1) * DAY)
    assert stored() == {}


def test_a_brand_that_moves_gets_the_hours_of_its_new_clock() -> None:
    campaign = even()
    live(campaign, {10: 20}, days=1)
    sum_hours(now=MIDNIGHT)
    catalog.update_brand(brand_id=campaign.brand_id, timezone="America/New_York", now=MIDNIGHT + 6 * HOUR)
    assert stored() == {}
    sum_hours(now=MIDNIGHT + 6 * HOUR)
    assert stored() == {(campaign.pk, YESTERDAY, 6): 20 * UNIT}


def test_what_a_run_asks_does_not_grow_with_campaigns_and_days() -> None:
    live(even(), {9: 1}, days=1)
    few = len(statements(lambda: sum_hours(now=MIDNIGHT)))
    for _ in range(5):
        live(even(), {9: 1, 10: 1}, days=5)
    assert len(statements(lambda: sum_hours(now=MIDNIGHT))) == few


@pytest.mark.django_db(transaction=True)
def test_runs_side_by_side_count_nothing_twice() -> None:
    campaigns = [even() for _ in range(3)]
    for campaign in campaigns:
        live(campaign, {9: 1, 10: 2}, days=2)
    together(*[lambda: run(minutes=2)] * 3)
    expected = of_the_ledger(*campaigns, before=MIDNIGHT.date())
    assert {key: spent for key, spent in stored().items() if key[1] == YESTERDAY} == {
        key: spent for key, spent in expected.items() if key[1] == YESTERDAY
    }


# --- What is learned -------------------------------------------------------------------------


def weights_of(campaign: Campaign, now: datetime = MIDNIGHT) -> tuple[int, ...]:
    """The profile that a campaign is paced by from now on."""
    run()
    pace_all(now=now)
    return from_text(OwnerPace.objects.get(campaign=campaign).profile).weights


def highest(weights: tuple[int, ...]) -> int:
    return max(range(24), key=lambda hour: weights[hour])


def test_a_campaign_is_paced_by_its_own_hours_and_not_by_its_brands() -> None:
    campaign = even()
    other = factories.campaign(campaign.brand, now=LONG_AGO)
    live(campaign, {9: 2}, days=20)
    live(other, {20: 50}, days=20)
    weights = weights_of(campaign)
    assert highest(weights) == 9
    assert weights[20] == LEAST


def test_one_that_has_hardly_spent_is_paced_as_its_brand_is() -> None:
    campaign = even()
    other = factories.campaign(campaign.brand, now=LONG_AGO)
    live(campaign, {9: 2}, days=2)
    live(other, {20: 50}, days=20)
    assert highest(weights_of(campaign)) == 20
    live(campaign, {9: 2}, days=7, before=MIDNIGHT - 5 * DAY)
    weights = weights_of(campaign, now=MIDNIGHT + DAY)
    assert weights[9] > 10 * LEAST < weights[20]  # of both


def test_a_brands_budgets_that_bind_each_alone_pace_by_own_hours_too() -> None:
    brand = factories.brand(now=LONG_AGO, daily_budget=240, pacing="even", budget_scope="campaign")
    early, late = even(brand, pacing="asap"), even(brand, pacing="asap")
    live(early, {9: 2}, days=20)
    live(late, {20: 2}, days=20)
    assert (highest(weights_of(early)), highest(weights_of(late, now=MIDNIGHT + MINUTE))) == (9, 20)


def test_hours_in_which_it_was_paused_say_nothing() -> None:
    campaign = even(daily_budget=10)
    for back in range(3, 0, -1):
        catalog.pause(campaign_id=campaign.pk, now=MIDNIGHT - back * DAY + 15 * HOUR)
        catalog.resume(campaign_id=campaign.pk, now=MIDNIGHT - back * DAY + 18 * HOUR)
    live(campaign, {9: 2}, days=3)
    run()
    zones = {campaign.pk: campaign.brand.timezone}
    traffic = campaign_traffic(zones, {campaign.pk: FLAT}, now=MIDNIGHT)[campaign.pk]
    weights = traffic.learned.weights
    assert min(weights[15:18]) > weights[3]  # as the brand's, and not as none
    assert [sum(spent or 0 for spent in day.hours) for day in traffic.days] == [2 * UNIT] * 3


def test_learning_asks_as_much_whatever_there_is() -> None:
    def cost(now: datetime) -> int:
        return len(statements(lambda: pace_all(now=now)))

    brand = factories.brand(now=LONG_AGO)
    live(even(brand), {9: 2}, days=1)
    run()
    few = cost(MIDNIGHT)
    for _ in range(6):
        live(even(brand), {9: 2, 10: 2}, days=8)
    run(now=MIDNIGHT + DAY)
    assert cost(MIDNIGHT + DAY) == few


# --- What is forecast ------------------------------------------------------------------------


def test_the_forecast_of_a_paced_campaign_grows_by_its_own_hours() -> None:
    campaign = even()
    other = factories.campaign(campaign.brand, now=LONG_AGO)
    live(campaign, {9: 8}, days=20)
    live(other, {20: 500}, days=20)
    run()
    factories.spend(campaign, 8, now=NOON, at=MIDNIGHT + 9 * HOUR)
    own = campaign_forecast(campaign_id=campaign.pk, now=NOON).day
    catalog.update_campaign(campaign_id=campaign.pk, pacing="asap", now=NOON)
    spread = campaign_forecast(campaign_id=campaign.pk, now=NOON).day
    assert own is not None and spread is not None
    assert own.spend.likely < 9 * UNIT  # nothing more comes after nine
    assert spread.spend.likely > 12 * UNIT


def test_a_day_whose_hours_are_not_all_there_is_forecast_by_its_sum() -> None:
    campaign = even(daily_budget=1_000)
    live(campaign, {9: 8}, days=20)
    run()
    before = campaign_forecast(campaign_id=campaign.pk, now=MIDNIGHT).day
    CampaignHour.objects.update(spent=money.from_micros(UNIT))
    after = campaign_forecast(campaign_id=campaign.pk, now=MIDNIGHT).day
    assert before is not None and after is not None
    assert before.spend.likely == after.spend.likely == 8 * UNIT


def test_days_that_differ_in_their_hours_make_a_forecast_less_sure() -> None:
    campaign = even(daily_budget=1_000)
    for back in range(20):
        live(campaign, {(9, 20)[back % 2]: 8}, days=1, before=MIDNIGHT - back * DAY)
    run()
    found = campaign_forecast(campaign_id=campaign.pk, now=NOON).day
    assert found is not None and found.spend.low is not None and found.spend.high is not None
    assert found.spend.high - found.spend.low > 2 * UNIT
