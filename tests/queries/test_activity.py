"""Activity: when a campaign was active today, what it and its brand spent by hour and by day, and who spent it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from campaigns.models import Brand, BrandHour, Campaign, StatusChange
from campaigns.queries import activity
from campaigns.queries.activity import (
    ActiveStep,
    DaySpent,
    HourPoint,
    Stretch,
    active_through_day,
    campaign_shares,
    day_band,
    hours_today,
)
from campaigns.rules import money, periods, reasons
from campaigns.rules.reasons import Reason
from campaigns.services import catalog
from campaigns.services.spend import record_spend
from tests import factories
from tests.factories import NOW, event, spend

pytestmark = pytest.mark.django_db

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
MIDNIGHT = datetime(2025, 6, 18, tzinfo=UTC)
BEFORE = NOW - timedelta(days=3)
MICROS = money.MICROS
ACTIVE = reasons.NONE


def at(hour: int, minute: int = 0) -> datetime:
    """A moment of the day, in UTC."""
    return MIDNIGHT + timedelta(hours=hour, minutes=minute)


def band(campaign: Campaign, now: datetime = NOW, zone: ZoneInfo = UTC_ZONE) -> list[Stretch]:
    return day_band(campaign_id=campaign.pk, zone=zone, now=now)


def pause(campaign: Campaign, now: datetime) -> None:
    catalog.pause(campaign_id=campaign.pk, now=now)


def resume(campaign: Campaign, now: datetime) -> None:
    catalog.resume(campaign_id=campaign.pk, now=now)


def told(points: list[HourPoint]) -> dict[str, int]:
    """The points at which more was spent than at the one before, by their time in UTC."""
    grown = {f"{here.moment:%H:%M}": here.spent for before, here in pairwise(points) if here.spent != before.spent}
    return {name: micros // MICROS for name, micros in grown.items()}


# --- The band --------------------------------------------------------------------------------


def test_a_day_without_changes_is_what_it_is_now() -> None:
    active, paused = factories.campaign(now=BEFORE), factories.campaign(now=BEFORE)
    pause(paused, BEFORE)
    assert band(active) == [Stretch(MIDNIGHT, NOW, ACTIVE)]
    assert band(paused) == [Stretch(MIDNIGHT, NOW, Reason.MANUAL)]


def test_a_change_of_today_tells_what_was_before_it() -> None:
    campaign = factories.campaign(now=BEFORE)
    pause(campaign, at(9))
    resume(campaign, at(10, 30))
    assert band(campaign) == [
        Stretch(MIDNIGHT, at(9), ACTIVE),
        Stretch(at(9), at(10, 30), Reason.MANUAL),
        Stretch(at(10, 30), NOW, ACTIVE),
    ]


def test_what_was_before_midnight_goes_on_after_it() -> None:
    campaign = factories.campaign(now=BEFORE)
    pause(campaign, MIDNIGHT - timedelta(hours=2))
    resume(campaign, at(3))
    assert band(campaign) == [Stretch(MIDNIGHT, at(3), Reason.MANUAL), Stretch(at(3), NOW, ACTIVE)]


def test_reasons_come_and_go_one_by_one() -> None:
    campaign = factories.campaign(factories.brand(now=BEFORE, daily_budget=10), now=BEFORE)
    spend(campaign, 10, now=at(8))
    pause(campaign, at(9))
    catalog.update_brand(brand_id=campaign.brand_id, now=at(11), daily_budget=100)
    assert [(stretch.start, stretch.reasons) for stretch in band(campaign)] == [
        (MIDNIGHT, ACTIVE),
        (at(8), Reason.BRAND_DAILY_BUDGET),
        (at(9), Reason.BRAND_DAILY_BUDGET | Reason.MANUAL),
        (at(11), Reason.MANUAL),
    ]


def test_it_begins_with_the_campaign() -> None:
    campaign = factories.campaign(now=at(7), total_budget=0)
    assert band(campaign) == [Stretch(at(7), NOW, Reason.CAMPAIGN_TOTAL_BUDGET)]


def test_at_its_first_moment_nothing_has_been_yet() -> None:
    campaign = factories.campaign(now=BEFORE)
    assert band(campaign, now=MIDNIGHT) == []
    assert band(factories.campaign(now=NOW)) == []
    assert day_band(campaign_id=campaign.pk + 1_000, zone=UTC_ZONE, now=NOW) == []


def test_a_change_at_midnight_leaves_nothing_of_what_was_before() -> None:
    campaign = factories.campaign(now=BEFORE)
    pause(campaign, MIDNIGHT)
    assert band(campaign) == [Stretch(MIDNIGHT, NOW, Reason.MANUAL)]


def test_what_lasted_no_time_is_not_told() -> None:
    campaign = factories.campaign(now=BEFORE)
    pause(campaign, at(9))
    resume(campaign, at(9))
    assert band(campaign) == [Stretch(MIDNIGHT, NOW, ACTIVE)]


def test_what_came_later_holds_though_its_clock_was_behind() -> None:
    campaign = factories.campaign(now=BEFORE)
    pause(campaign, at(0, 1))
    resume(campaign, MIDNIGHT - timedelta(seconds=1))
    assert band(campaign) == [Stretch(MIDNIGHT, NOW, ACTIVE)]


def test_no_two_stretches_overlap_though_a_clock_was_behind() -> None:
    campaign = factories.campaign(now=BEFORE)
    pause(campaign, at(9))
    catalog.update_campaign(campaign_id=campaign.pk, now=at(8, 59), total_budget=0)
    both = Reason.MANUAL | Reason.CAMPAIGN_TOTAL_BUDGET
    assert band(campaign) == [Stretch(MIDNIGHT, at(9), ACTIVE), Stretch(at(9), NOW, both)]


def test_a_change_ahead_of_the_clock_is_not_told_before_its_time() -> None:
    campaign = factories.campaign(now=BEFORE)
    pause(campaign, NOW + timedelta(seconds=2))
    assert band(campaign) == [Stretch(MIDNIGHT, NOW, ACTIVE)]


@pytest.mark.parametrize(("day", "hours"), [(date(2025, 3, 30), 23), (date(2025, 10, 26), 25)])
def test_a_day_has_the_hours_that_the_clock_gives_it(day: date, hours: int) -> None:
    begins = periods.day_begins(day, BERLIN)
    campaign = factories.campaign(factories.brand(timezone="Europe/Berlin", now=BEFORE), now=begins - timedelta(days=9))
    last = begins + timedelta(hours=hours) - timedelta(microseconds=1)
    assert band(campaign, last, BERLIN) == [Stretch(begins, last, ACTIVE)]
    points = hours_today(campaign_id=campaign.pk, zone=BERLIN, now=last)
    assert (points[0].moment, points[-1].moment, len(points)) == (begins, last, hours * 4 + 1)
    # A brand's hours: the one that comes twice is one.
    assert len(hours_today(brand_id=campaign.brand_id, zone=BERLIN, now=last)) == min(hours, 24) + 1


def test_of_very_many_changes_the_latest_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MAX_CHANGES", 3)
    campaign = factories.campaign(now=BEFORE)
    for hour in range(1, 4):
        (pause if hour % 2 else resume)(campaign, at(hour))
    assert band(campaign)[0] == Stretch(MIDNIGHT, at(1), ACTIVE)
    for hour in range(4, 7):
        (pause if hour % 2 else resume)(campaign, at(hour))
    assert band(campaign) == [
        Stretch(at(3), at(4), Reason.MANUAL),
        Stretch(at(4), at(5), ACTIVE),
        Stretch(at(5), at(6), Reason.MANUAL),
        Stretch(at(6), NOW, ACTIVE),
    ]


# --- Spend by hour ---------------------------------------------------------------------------


def test_a_campaigns_day_grows_by_quarters_of_an_hour() -> None:
    campaign = factories.campaign(now=BEFORE)
    for amount, moment in ((1, MIDNIGHT), (2, at(0, 14)), (4, at(0, 15)), (8, at(9, 59)), (16, at(11, 50))):
        spend(campaign, amount, at=moment)
    spend(campaign, 100, at=MIDNIGHT - timedelta(minutes=1))
    points = hours_today(campaign_id=campaign.pk, zone=UTC_ZONE, now=at(11, 52))
    assert told(points) == {"00:15": 3, "00:30": 7, "10:00": 15, "11:52": 31}
    assert [point.moment for point in points] == [
        *(MIDNIGHT + at * timedelta(minutes=15) for at in range(48)),
        at(11, 52),
    ]


def test_what_the_ledger_did_not_have_yet_is_in_the_last_point(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = factories.campaign(now=BEFORE)
    spend(campaign, 1, at=at(3))
    plain = activity._campaign_quarters

    def and_then_some(campaign_id: int, day: date) -> list[tuple[int, int]]:
        found = plain(campaign_id, day)
        spend(campaign, 5, at=at(4))
        return found

    monkeypatch.setattr(activity, "_campaign_quarters", and_then_some)
    assert told(hours_today(campaign_id=campaign.pk, zone=UTC_ZONE, now=NOW)) == {"03:15": 1, "12:00": 6}


def test_an_adjustment_takes_away_where_it_belongs() -> None:
    campaign = factories.campaign(now=BEFORE)
    spend(campaign, 10, at=at(2))
    spend(campaign, -4, at=at(5), note="refund")
    assert told(hours_today(campaign_id=campaign.pk, zone=UTC_ZONE, now=NOW)) == {"02:15": 10, "05:15": 6}


def test_a_zone_that_is_half_an_hour_off_has_its_own_hours() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    campaign = factories.campaign(factories.brand(timezone="Asia/Kolkata", now=BEFORE), now=BEFORE)
    BrandHour.objects.create(brand=campaign.brand, day=NOW.date(), hour=0, spent=Decimal(3))
    points = hours_today(brand_id=campaign.brand_id, zone=kolkata, now=at(2, 10))
    # 18:30 in UTC is midnight there.
    assert [f"{point.moment:%H:%M}" for point in points][:3] == ["18:30", "19:30", "20:30"]
    assert [point.spent // MICROS for point in points][:3] == [0, 3, 3]
    assert points[-1] == HourPoint(at(2, 10), 0)


def test_a_brands_day_grows_by_its_hours_and_ends_with_its_counter() -> None:
    campaign = factories.campaign(now=BEFORE)
    brand = campaign.brand
    for amount, moment in ((1, at(0, 5)), (2, at(9, 59)), (4, at(10)), (8, at(11, 58))):
        spend(campaign, amount, at=moment)
    for hour, amount in ((0, 1), (9, 2), (10, 4)):
        BrandHour.objects.create(brand=brand, day=NOW.date(), hour=hour, spent=Decimal(amount))
    BrandHour.objects.create(brand=brand, day=NOW.date() - timedelta(days=1), hour=3, spent=Decimal(100))
    points = hours_today(brand_id=brand.pk, zone=UTC_ZONE, now=at(11, 59))
    assert told(points) == {"01:00": 1, "10:00": 3, "11:00": 7, "11:59": 15}
    assert [point.moment for point in points] == [*(at(hour) for hour in range(12)), at(11, 59)]


def test_an_hour_to_come_and_one_that_is_not_over_are_in_the_last_point() -> None:
    campaign = factories.campaign(now=BEFORE)
    spend(campaign, 3, at=at(11))
    for hour in (11, 12, 23):
        BrandHour.objects.create(brand=campaign.brand, day=NOW.date(), hour=hour, spent=Decimal(1))
    points = hours_today(brand_id=campaign.brand_id, zone=UTC_ZONE, now=at(11, 59))
    assert told(points) == {"11:59": 3}


def test_an_hour_that_comes_twice_counts_when_it_is_over() -> None:
    campaign = factories.campaign(factories.brand(timezone="Europe/Berlin", now=BEFORE), now=BEFORE)
    begins = periods.day_begins(date(2025, 10, 26), BERLIN)
    now = begins + timedelta(hours=6)
    spend(campaign, 5, at=begins + timedelta(hours=2), now=now)
    BrandHour.objects.create(brand=campaign.brand, day=date(2025, 10, 26), hour=2, spent=Decimal(5))
    # 02:00 came at 00:00 and at 01:00 in UTC.
    assert told(hours_today(brand_id=campaign.brand_id, zone=BERLIN, now=now)) == {"02:00": 5}


def test_at_midnight_there_is_one_point() -> None:
    campaign = factories.campaign(now=BEFORE)
    spend(campaign, 2, now=MIDNIGHT)
    assert hours_today(campaign_id=campaign.pk, zone=UTC_ZONE, now=MIDNIGHT) == [HourPoint(MIDNIGHT, 2 * MICROS)]


@pytest.mark.parametrize("owners", [{}, {"brand_id": 1, "campaign_id": 1}])
def test_it_is_one_owners(owners: dict[str, Any]) -> None:
    for ask in (hours_today, activity.days):
        with pytest.raises(ValueError, match="a brand or a campaign"):
            ask(**owners, zone=UTC_ZONE, now=NOW)


# --- Spend by day ----------------------------------------------------------------------------


def test_each_day_is_there_and_today_is_last() -> None:
    campaign = factories.campaign(now=BEFORE)
    other = factories.campaign(campaign.brand, now=BEFORE)
    for amount, ago in ((1, 0), (2, 1), (4, 29), (8, 30)):
        spend(campaign, amount, at=NOW - timedelta(days=ago))
    spend(other, 16, at=NOW - timedelta(days=1))
    found = activity.days(campaign_id=campaign.pk, zone=UTC_ZONE, now=NOW)
    assert [day for day, _ in found] == [NOW.date() - timedelta(days=ago) for ago in range(29, -1, -1)]
    assert {day.day: spent // MICROS for day, spent in found if spent} == {20: 4, 17: 2, 18: 1}
    assert activity.yesterday(found) == DaySpent(date(2025, 6, 17), 2 * MICROS)
    of_brand = activity.days(brand_id=campaign.brand_id, zone=UTC_ZONE, now=NOW, days=2)
    assert of_brand == [DaySpent(date(2025, 6, 17), 18 * MICROS), DaySpent(date(2025, 6, 18), MICROS)]
    assert activity.yesterday(of_brand[1:]) is None


def test_the_days_are_the_brands() -> None:
    campaign = factories.campaign(factories.brand(timezone="Pacific/Auckland", now=BEFORE), now=BEFORE)
    spend(campaign, 1)  # noon in UTC is the next midnight there
    found = activity.days(campaign_id=campaign.pk, zone=ZoneInfo("Pacific/Auckland"), now=NOW, days=1)
    assert found == [DaySpent(date(2025, 6, 19), MICROS)]


# --- Shares ----------------------------------------------------------------------------------


def shared(*amounts: int, **fields: Any) -> tuple[Brand, list[Campaign]]:
    """Make a brand whose campaigns have spent some amounts today."""
    brand = factories.brand(now=BEFORE, **fields)
    made = [factories.campaign(brand, now=BEFORE, name=f"C{at}") for at in range(len(amounts))]
    record_spend([event(of, amount) for of, amount in zip(made, amounts, strict=True) if amount], now=NOW)
    return brand, made


def test_the_one_that_spent_most_comes_first_with_its_share() -> None:
    brand, made = shared(1, 5, 0, 3)
    spend(made[3], 7, at=NOW - timedelta(days=1))
    catalog.update_campaign(campaign_id=made[1].pk, now=NOW, daily_budget=5)
    found = campaign_shares(brand_id=brand.pk, now=NOW)
    assert [(c.name, c.spent // MICROS, c.share) for c in found.campaigns] == [
        ("C1", 5, Decimal("55.5")),
        ("C3", 3, Decimal("33.3")),
        ("C0", 1, Decimal("11.1")),
        ("C2", 0, Decimal("0.0")),
    ]
    first, second, *_ = found.campaigns
    assert (first.id, first.daily_budget, first.reasons) == (made[1].pk, 5 * MICROS, Reason.CAMPAIGN_DAILY_BUDGET)
    assert first.resumes_at == MIDNIGHT + timedelta(days=1)
    assert (second.month_spent, second.daily_budget, second.resumes_at) == (10 * MICROS, None, None)
    assert (found.spent, found.more, found.more_spent, found.archived_spent) == (9 * MICROS, 0, 0, 0)


def test_the_rest_is_told_in_sum() -> None:
    brand, made = shared(1, 2, 4, 8, 16)
    shared(100)
    catalog.archive_campaign(campaign_id=made[3].pk, now=NOW)
    found = campaign_shares(brand_id=brand.pk, now=NOW, limit=2)
    assert [c.name for c in found.campaigns] == ["C4", "C2"]
    assert (found.more, found.more_spent) == (2, 3 * MICROS)
    assert (found.spent, found.archived_spent) == (31 * MICROS, 8 * MICROS)


def test_no_spend_has_no_shares_and_below_zero_is_none_of_it() -> None:
    brand, _ = shared(0, 0)
    assert [(c.name, c.share) for c in campaign_shares(brand_id=brand.pk, now=NOW).campaigns] == [
        ("C0", None),
        ("C1", None),
    ]
    brand, made = shared(4, 0)
    spend(made[1], -1, note="refund")
    assert [c.share for c in campaign_shares(brand_id=brand.pk, now=NOW).campaigns] == [
        Decimal(100) + Decimal("33.3"),
        0,
    ]


def test_a_brand_without_campaigns_in_use_still_says_what_it_spent() -> None:
    brand, (only,) = shared(4)
    catalog.archive_campaign(campaign_id=only.pk, now=NOW)
    found = campaign_shares(brand_id=brand.pk, now=NOW)
    assert (found.campaigns, found.more, found.more_spent) == ([], 0, 0)
    assert found.spent == found.archived_spent == 4 * MICROS
    assert campaign_shares(brand_id=brand.pk + 1_000, now=NOW).spent == 0


# --- Active through the day ------------------------------------------------------------------


def steps(brand: Brand, now: datetime = NOW) -> list[tuple[str, int, int]]:
    found = active_through_day(brand_id=brand.pk, zone=UTC_ZONE, now=now)
    assert found.complete
    return [(f"{moment:%H:%M}", active, campaigns) for moment, active, campaigns in found.steps]


def test_a_quiet_day_is_one_step() -> None:
    brand, (_, paused, archived) = shared(0, 0, 0)
    pause(paused, BEFORE)
    catalog.archive_campaign(campaign_id=archived.pk, now=BEFORE)
    shared(0)
    assert steps(brand) == [("00:00", 1, 2)]
    assert steps(factories.brand()) == [("00:00", 0, 0)]


def test_each_change_is_a_step() -> None:
    brand, (first, second, _) = shared(0, 0, 0)
    pause(first, at(2))
    pause(second, at(3))
    resume(first, at(4))
    made = factories.campaign(brand, now=at(5))
    factories.campaign(brand, now=at(6), total_budget=0)
    catalog.archive_campaign(campaign_id=made.pk, now=at(7))
    catalog.archive_campaign(campaign_id=second.pk, now=at(8))
    assert steps(brand) == [
        ("00:00", 3, 3),
        ("02:00", 2, 3),
        ("03:00", 1, 3),
        ("04:00", 2, 3),
        ("05:00", 3, 4),
        ("06:00", 3, 5),
        ("07:00", 2, 4),
        ("08:00", 2, 3),
    ]


def test_a_change_from_one_reason_to_another_is_none() -> None:
    brand, (first, *_) = shared(0, 0)
    pause(first, at(2))
    catalog.update_campaign(campaign_id=first.pk, now=at(3), total_budget=0)
    assert steps(brand) == [("00:00", 2, 2), ("02:00", 1, 2)]


def test_what_happens_at_once_is_one_step() -> None:
    brand, made = shared(0, 0, 0, daily_budget=10)
    spend(made[0], 10, now=at(6))
    assert steps(brand) == [("00:00", 3, 3), ("06:00", 0, 3)]
    assert steps(brand, now=at(6)) == [("00:00", 3, 3), ("06:00", 0, 3)]


def test_a_deleted_campaign_is_as_if_it_had_never_been() -> None:
    brand, (first, second) = shared(0, 0)
    pause(first, at(2))
    pause(second, at(3))
    catalog.delete_campaign(campaign_id=first.pk, now=at(4))
    assert steps(brand) == [("00:00", 1, 1), ("03:00", 0, 1)]


def test_a_change_at_midnight_is_the_first_step() -> None:
    brand, (first, *_) = shared(0, 0)
    pause(first, MIDNIGHT)
    assert steps(brand) == [("00:00", 1, 2)]


@pytest.mark.parametrize("most", ["MAX_BRAND_CHANGES", "MAX_STEPS"])
def test_of_too_many_changes_only_the_latest_are_counted(most: str, monkeypatch: pytest.MonkeyPatch) -> None:
    brand, made = shared(0, 0, 0)
    for hour, campaign in enumerate(made):
        pause(campaign, at(hour + 1))
    monkeypatch.setattr(activity, most, 3)
    assert active_through_day(brand_id=brand.pk, zone=UTC_ZONE, now=NOW).complete
    monkeypatch.setattr(activity, most, 2)
    found = active_through_day(brand_id=brand.pk, zone=UTC_ZONE, now=NOW)
    assert not found.complete
    assert found.steps == [ActiveStep(at(1), 2, 3), ActiveStep(at(2), 1, 3), ActiveStep(at(3), 0, 3)]


# --- The whole against a simple replay -------------------------------------------------------


class Replayed(TestCase):
    """Whatever is done over a day, bands and steps are what somebody saw who looked after each act."""

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["pause", "resume", "budget", "create", "archive"]), st.integers(0, 2)),
            max_size=12,
        )
    )
    def test_the_band_and_the_steps_are_what_was_seen(self, acts: list[tuple[str, int]]) -> None:
        brand = factories.brand(now=BEFORE)
        made = [factories.campaign(brand, now=BEFORE) for _ in range(2)]
        first = made[0]
        seen = [(MIDNIGHT, Reason(0), 2, 2)]
        for hour, (act, number) in enumerate(acts):
            self._do(act, brand, made, number, at(hour, 30))
            rows = Campaign.objects.filter(brand=brand, archived_at=None)
            stored = Campaign.objects.get(pk=first.pk).reasons
            seen.append((at(hour, 30), stored, rows.filter(is_active=True).count(), rows.count()))
        ends = [*(moment for moment, *_ in seen[1:]), at(13)]
        stretches = band(first, at(13))
        expected = [(start, end, why) for (start, why, *_), end in zip(seen, ends, strict=True)]
        for start, end, why in expected:
            (around,) = [one for one in stretches if one.start <= start and end <= one.end]
            assert around.reasons == why
        assert all(one.end == other.start and one.reasons != other.reasons for one, other in pairwise(stretches))
        found = active_through_day(brand_id=brand.pk, zone=UTC_ZONE, now=at(13)).steps
        for moment, _, active, campaigns in seen:
            assert [step for step in found if step.moment <= moment][-1][1:] == (active, campaigns)
        assert all(one[1:] != other[1:] for one, other in pairwise(found))

    def _do(self, act: str, brand: Brand, made: list[Campaign], number: int, now: datetime) -> None:
        of = made[number % len(made)]
        if act == "create":
            made.append(factories.campaign(brand, now=now, total_budget=None if number else 0))
        elif act == "archive":
            catalog.archive_campaign(campaign_id=made[-1].pk, now=now) if len(made) > 2 else None
        elif act == "budget":
            catalog.update_campaign(campaign_id=of.pk, now=now, monthly_budget=0 if number else None)
        elif Campaign.objects.filter(pk=of.pk, archived_at=None).exists():
            (pause if act == "pause" else resume)(of, now)


# --- What it costs ---------------------------------------------------------------------------


def queries(ask: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as captured:
        ask()
    return len(captured)


def test_the_number_of_queries_is_constant() -> None:
    brand, (first, *_) = shared(3, 2, 1, daily_budget=6)
    assert StatusChange.objects.count() == 3
    asks: dict[Callable[[], object], int] = {
        lambda: band(first): 2,
        lambda: hours_today(campaign_id=first.pk, zone=UTC_ZONE, now=NOW): 2,
        lambda: hours_today(brand_id=brand.pk, zone=UTC_ZONE, now=NOW): 2,
        lambda: activity.days(brand_id=brand.pk, zone=UTC_ZONE, now=NOW): 1,
        lambda: campaign_shares(brand_id=brand.pk, now=NOW): 4,
        lambda: active_through_day(brand_id=brand.pk, zone=UTC_ZONE, now=NOW): 1,
    }
    assert [queries(ask) for ask in asks] == list(asks.values())
