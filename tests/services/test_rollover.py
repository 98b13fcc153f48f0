"""A period is a key: days and months turn at each brand's own midnight, and nothing needs to be run for it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.models import Brand, Campaign, PeriodicRun, RollOver, StatusChange
from campaigns.rules.periods import Period
from campaigns.services import catalog, is_within_dayparting, reset_daily_budgets, reset_monthly_budgets, rollover, runs
from campaigns.services.enforcement import enforce_all
from campaigns.services.spend import Outcome
from tests import factories
from tests.factories import NOW, spend
from tests.services import reading
from tests.services.reading import why

pytestmark = pytest.mark.django_db

TICK = timedelta(microseconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- Whose midnight --------------------------------------------------------------------------

DAYS = [  # zone, the instant at which a day begins there, that day
    ("UTC", "2025-06-19T00:00", "2025-06-19"),
    ("Europe/Berlin", "2025-03-29T23:00", "2025-03-30"),
    ("Europe/Berlin", "2025-03-30T22:00", "2025-03-31"),  # after 23 hours
    ("Europe/Berlin", "2025-10-26T23:00", "2025-10-27"),  # after 25
    ("Asia/Kathmandu", "2025-06-18T18:15", "2025-06-19"),
    ("Australia/Lord_Howe", "2025-04-05T13:00", "2025-04-06"),
    ("Australia/Lord_Howe", "2025-04-06T13:30", "2025-04-07"),  # after 24 and a half
    ("America/Sao_Paulo", "2018-11-04T03:00", "2018-11-04"),  # at 01:00: there was no midnight
    ("America/Sao_Paulo", "2018-02-18T03:00", "2018-02-18"),  # not at 02:00, when the clock went back to 23:00
    ("America/Havana", "2024-11-03T04:00", "2024-11-03"),  # and not again at 05:00
    ("Pacific/Apia", "2011-12-29T10:00", "2011-12-29"),
    ("Pacific/Apia", "2011-12-30T10:00", "2011-12-31"),  # the 30th never came
    ("Pacific/Kiritimati", "2025-06-18T10:00", "2025-06-19"),
    ("Pacific/Pago_Pago", "2025-06-18T11:00", "2025-06-18"),
]


@pytest.mark.parametrize(("zone", "begins", "day"), DAYS)
def test_a_day_turns_at_the_brands_own_midnight(zone: str, begins: str, day: str) -> None:
    midnight = utc(begins)
    brand = factories.brand(timezone=zone, daily_budget=10, now=midnight - 2 * TICK)
    campaign = factories.campaign(brand, now=midnight - 2 * TICK)
    reset_daily_budgets(now=midnight - TICK)
    spend(campaign, 10, now=midnight - TICK)
    assert reset_daily_budgets(now=midnight - TICK).judged == 0
    assert why(campaign) == ["brand_daily_budget"]
    outcome = reset_daily_budgets(now=midnight)
    assert (outcome.judged, outcome.changed) == (1, 1)
    assert reading.steps(campaign) == ["spend: active -> brand_daily_budget", "roll_over: brand_daily_budget -> active"]
    newest = RollOver.objects.latest("id")
    assert (newest.brand, newest.period, str(newest.start), newest.at) == (brand, Period.DAY, day, midnight)
    assert reset_daily_budgets(now=midnight + timedelta(hours=20)).judged == 0
    # The day before is still what it was, and spend counts from here on anew.
    spend(campaign, 3, now=midnight)
    days = {
        str(start): spent
        for (_, owner, period, start), spent in reading.counters().items()
        if (owner, period) == (0, 1)
    }
    assert days.pop(day) == 3_000_000
    assert list(days.values()) == [10_000_000]


def test_each_brand_turns_by_itself() -> None:
    zones = ["Asia/Tokyo", "Asia/Kathmandu", "Europe/Berlin", "UTC", "America/Los_Angeles"]
    campaigns = [factories.campaign(factories.brand(timezone=zone, daily_budget=1)) for zone in zones]
    reset_daily_budgets(now=NOW)
    for campaign in campaigns:
        spend(campaign, 1)
    turned = []
    for hour in range(26):
        outcome = reset_daily_budgets(now=NOW + timedelta(hours=hour))
        turned.append(outcome.changed)
        reading.assert_all_is_sound(NOW + timedelta(hours=hour))
    # Tokyo at 15:00 UTC, Kathmandu at 18:15, Berlin at 22:00, UTC at 0:00, Los Angeles at 7:00
    assert [hour for hour, changed in enumerate(turned) if changed] == [3, 7, 10, 12, 19]


MONTHS = [
    ("UTC", "2025-07-01T00:00", "2025-07-01"),
    ("Europe/Berlin", "2025-06-30T22:00", "2025-07-01"),
    ("Asia/Kathmandu", "2024-12-31T18:15", "2025-01-01"),
    ("Australia/Lord_Howe", "2025-03-31T13:00", "2025-04-01"),
    ("America/Sao_Paulo", "2018-11-01T03:00", "2018-11-01"),
    ("Pacific/Apia", "2011-12-31T10:00", "2012-01-01"),
    ("UTC", "2024-03-01T00:00", "2024-03-01"),
]


@pytest.mark.parametrize(("zone", "begins", "month"), MONTHS)
def test_a_month_turns_at_the_brands_own_first(zone: str, begins: str, month: str) -> None:
    midnight = utc(begins)
    brand = factories.brand(timezone=zone, monthly_budget=10, now=midnight - 2 * TICK)
    campaign = factories.campaign(brand, now=midnight - 2 * TICK)
    reset_monthly_budgets(now=midnight - TICK)
    spend(campaign, 10, now=midnight - TICK, at=midnight - timedelta(days=3))
    reset_daily_budgets(now=midnight - TICK)
    assert why(campaign) == ["brand_monthly_budget"]
    assert reset_monthly_budgets(now=midnight - TICK).judged == 0
    assert reset_monthly_budgets(now=midnight).changed == 1
    assert why(campaign) == []
    assert str(RollOver.objects.filter(period=Period.MONTH).latest("id").start) == month


# --- However often, however late -------------------------------------------------------------


def spend_over_days(campaign: Campaign, between: Callable[[datetime], object]) -> None:
    """Spend every six hours of ten days around a new month, some of it late."""
    for step in range(40):
        now = utc("2025-06-26T01:00") + step * timedelta(hours=6)
        spend(campaign, "0.7", now=now)
        spend(campaign, "0.3", now=now, at=now - timedelta(hours=13))
        if step % 4 == 1:
            between(now)


@pytest.mark.parametrize("times", [0, 1, 5])
@pytest.mark.parametrize("late", [timedelta(), timedelta(days=3)], ids=["in time", "days late"])
def test_counters_do_not_depend_on_resets(times: int, late: timedelta) -> None:
    brand = factories.brand(timezone="America/Sao_Paulo", daily_budget=2, monthly_budget=30)
    campaign = factories.campaign(brand, total_budget=1000)

    def reset(now: datetime) -> None:
        for _ in range(times):
            reset_daily_budgets(now=now + late)
            reset_monthly_budgets(now=now + late)
            enforce_all(now=now + late)

    spend_over_days(campaign, reset)
    assert reading.counters() == reading.sums_of_the_ledger()
    days = [start for (_, owner, period, start) in reading.counters() if not owner and period == Period.DAY]
    assert len(days) == 11
    assert reading.counted(campaign, Period.TOTAL, "1970-01-01") == Decimal(40)
    june, july = (reading.counted(brand, Period.MONTH, start) for start in ("2025-06-01", "2025-07-01"))
    assert june is not None
    assert july is not None
    assert june + july == Decimal(40)


def test_a_second_reset_at_once_finds_nothing_to_do() -> None:
    factories.campaign(factories.brand(daily_budget=0))
    for reset in (reset_daily_budgets, reset_monthly_budgets):
        assert [reset(now=NOW).judged for _ in range(3)] == [1, 0, 0]
    assert RollOver.objects.count() == 2


def test_late_spend_for_yesterday_does_not_pause_today() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    spend(campaign, 4)
    tomorrow = NOW + timedelta(days=1)
    receipt = spend(campaign, 20, now=tomorrow, at=NOW)
    assert receipt.count(Outcome.RECORDED) == 1
    assert why(campaign) == []
    assert reading.counted(campaign, Period.DAY, "2025-06-18") == 24
    assert reading.counted(campaign, Period.DAY, "2025-06-19") is None
    assert reading.counted(campaign, Period.MONTH, "2025-06-01") == 24


def test_a_reset_that_ran_too_late_still_leaves_todays_spend() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    spend(campaign, 10)
    next_morning = utc("2025-06-19T08:00")
    spend(campaign, 9, now=next_morning)
    assert why(campaign) == ["brand_daily_budget"]  # nobody has looked since midnight
    reset_daily_budgets(now=next_morning + timedelta(hours=1))
    assert why(campaign) == []
    assert reading.counted(campaign, Period.DAY, "2025-06-19") == 9
    spend(campaign, 1, now=next_morning + timedelta(hours=2))
    assert why(campaign) == ["brand_daily_budget"]


def test_the_pass_alone_catches_up_with_a_missed_midnight() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    spend(campaign, 10)
    enforce_all(now=NOW + timedelta(days=3))
    assert why(campaign) == []


# --- Flights and hours: what time alone changes ----------------------------------------------


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati", "America/Sao_Paulo"])
def test_a_flight_begins_and_ends_with_the_brands_days(zone: str) -> None:
    brand = factories.brand(timezone=zone)
    first = brand.timezone
    begins = datetime(2025, 6, 20, tzinfo=first).astimezone(UTC)
    ends = datetime(2025, 6, 23, tzinfo=first).astimezone(UTC)
    flight = {"flight_start": begins.astimezone(first).date(), "flight_end": datetime(2025, 6, 22).date()}  # noqa: DTZ001
    campaign = factories.campaign(brand, **flight)  # type: ignore[arg-type]
    seen = []
    for now in (begins - TICK, begins, ends - TICK, ends):
        enforce_all(now=now)
        seen.append(why(campaign))
    assert seen == [["not_started"], [], [], ["ended"]]


@pytest.mark.parametrize(
    ("zone", "window", "at", "open_"),
    [
        ("Europe/Berlin", (9, 17), "2025-06-18T06:59:59", False),
        ("Europe/Berlin", (9, 17), "2025-06-18T07:00", True),
        ("Europe/Berlin", (9, 17), "2025-06-18T15:00", False),
        ("Europe/Berlin", (2, 3), "2025-03-30T00:59", False),  # 02:00 never comes
        ("Europe/Berlin", (2, 3), "2025-03-30T01:00", False),
        ("Europe/Berlin", (2, 3), "2025-10-26T00:30", True),  # and comes twice
        ("Europe/Berlin", (2, 3), "2025-10-26T01:30", True),
        ("Asia/Kathmandu", (22, 6), "2025-06-18T16:14", False),
        ("Asia/Kathmandu", (22, 6), "2025-06-18T16:15", True),
        ("Asia/Kathmandu", (22, 6), "2025-06-19T00:15", False),
        ("Australia/Lord_Howe", (1, 2), "2025-04-05T15:15", True),  # 01:45 once more
        ("Pacific/Apia", (0, 1), "2011-12-30T10:30", True),
    ],
)
def test_hours_follow_the_brands_clock(zone: str, window: tuple[int, int], at: str, open_: bool) -> None:
    campaign = factories.campaign(factories.brand(timezone=zone))
    catalog.set_window(campaign_id=campaign.pk, start_hour=window[0], end_hour=window[1], now=NOW)
    enforce_all(now=utc(at))
    assert why(campaign) == ([] if open_ else ["schedule"])
    assert is_within_dayparting(campaign=campaign, now=utc(at)) is open_


def test_without_a_schedule_every_hour_is_open() -> None:
    assert is_within_dayparting(campaign=factories.campaign(), now=NOW)


def test_a_window_past_midnight_belongs_to_the_weekday_it_began_on() -> None:
    campaign = factories.campaign()
    catalog.set_window(campaign_id=campaign.pk, start_hour=22, end_hour=2, weekdays=0b0010000, now=NOW)  # Fridays
    opened = []
    for hour in range(24 * 7):
        now = utc("2025-06-16T00:00") + timedelta(hours=hour)  # a Monday
        enforce_all(now=now)
        if not why(campaign):
            opened.append(now.strftime("%a %H"))
    assert opened == ["Fri 22", "Fri 23", "Sat 00", "Sat 01"]


def test_a_new_zone_is_a_new_day_or_the_old_one_again() -> None:
    evening = utc("2025-06-18T23:00")
    brand = factories.brand(daily_budget=10)
    campaign = factories.campaign(brand)
    spend(campaign, 10, now=evening)
    assert why(campaign) == ["brand_daily_budget"]
    catalog.update_brand(brand_id=brand.pk, timezone="Asia/Kathmandu", now=evening)  # the 19th there
    assert why(campaign) == []
    spend(campaign, 4, now=evening)
    catalog.update_brand(brand_id=brand.pk, timezone="America/Los_Angeles", now=evening)  # the 18th
    assert why(campaign) == ["brand_daily_budget"]
    assert reading.counted(brand, Period.DAY, "2025-06-18") == 10
    assert reading.counted(brand, Period.DAY, "2025-06-19") == 4
    assert reading.counters() == reading.sums_of_the_ledger()


# --- The record of it ------------------------------------------------------------------------


def test_a_run_leaves_a_record_with_its_figures() -> None:
    for budget in (0, 0, None):
        campaign = factories.campaign(factories.brand())
        Brand.objects.filter(pk=campaign.brand_id).update(daily_budget=budget)
    enforce_all(now=NOW)
    reset_daily_budgets(now=NOW)
    reset_monthly_budgets(now=NOW)
    records = PeriodicRun.objects.order_by("id").values_list("task", "started_at", "judged", "changed")
    assert list(records) == [("enforce", NOW, 3, 2), ("reset_daily", NOW, 3, 0), ("reset_monthly", NOW, 3, 0)]
    for run in PeriodicRun.objects.all():
        assert run.finished_at is not None
        assert timedelta() <= run.finished_at - run.started_at < timedelta(minutes=1)


def test_a_run_that_failed_leaves_a_record_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    factories.campaign()

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the database went away")

    monkeypatch.setattr("campaigns.services.status.find_stale", fail)
    with pytest.raises(RuntimeError):
        reset_daily_budgets(now=NOW)
    assert list(PeriodicRun.objects.values_list("finished_at", flat=True)) == [None]
    assert not RollOver.objects.exists()  # so that it is done again
    monkeypatch.undo()
    assert reset_daily_budgets(now=NOW).judged == 1


def test_old_records_of_runs_are_forgotten_and_nothing_else() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=0))
    enforce_all(now=NOW - runs.KEPT - TICK)
    enforce_all(now=NOW - runs.KEPT)
    reset_daily_budgets(now=NOW - timedelta(days=100))
    changes = StatusChange.objects.count()
    reset_daily_budgets(now=NOW)
    assert list(PeriodicRun.objects.order_by("id").values_list("task", flat=True)) == ["enforce", "reset_daily"]
    assert RollOver.objects.count() == 2
    assert StatusChange.objects.count() == changes
    assert why(campaign) == ["brand_daily_budget"]


def test_archived_brands_and_campaigns_do_not_roll_over() -> None:
    brand, other = factories.brand(daily_budget=10), factories.brand(daily_budget=10)
    gone, here, of_gone = factories.campaign(other), factories.campaign(other), factories.campaign(brand)
    for campaign in (here, of_gone):
        spend(campaign, 10)
    catalog.archive_campaign(campaign_id=gone.pk, now=NOW)
    catalog.archive_brand(brand_id=brand.pk, now=NOW)
    reset_daily_budgets(now=NOW + timedelta(days=1))
    assert list(RollOver.objects.values_list("brand", flat=True)) == [other.pk]
    assert why(gone) == ["manual", "brand_daily_budget"]
    assert why(of_gone) == ["manual", "brand_daily_budget"]
    assert why(here) == []


def test_many_brands_roll_over_in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollover, "BATCH", 3)
    monkeypatch.setattr("campaigns.services.enforcement.BATCH", 2)
    campaigns = [factories.campaign(factories.brand(daily_budget=1)) for _ in range(8)]
    for campaign in campaigns:
        spend(campaign, 1)
    assert enforce_all(now=NOW) == runs.Outcome(judged=8, changed=0)
    outcome = reset_daily_budgets(now=NOW + timedelta(days=1))
    assert outcome == runs.Outcome(judged=8, changed=8)
    assert RollOver.objects.count() == 8


# --- Three days without beat -----------------------------------------------------------------

START = utc("2025-03-28T12:00")
"""The clocks of Europe go forward within the three days, and the month turns."""

World = list[dict[str, Any]]
worlds = st.lists(
    st.fixed_dictionaries(
        {
            "zone": st.sampled_from(
                ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Auckland", "America/Sao_Paulo"]
            ),
            "daily": st.sampled_from([None, 0, 10, 20]),
            "monthly": st.sampled_from([None, 40, 60]),
            "scope": st.sampled_from(["brand", "campaign"]),
            "campaigns": st.lists(
                st.fixed_dictionaries(
                    {
                        "daily": st.sampled_from([None, None, 5, 10]),
                        "total": st.sampled_from([None, None, 30]),
                        "start": st.sampled_from([None, None, 1, 3, 4]),
                        "end": st.sampled_from([None, None, 4, 5]),
                        "window": st.none()
                        | st.tuples(st.integers(0, 23), st.integers(0, 23), st.integers(1, 127)).filter(
                            lambda w: w[0] != w[1]
                        ),
                        "spent": st.lists(
                            st.tuples(st.integers(0, 80), st.sampled_from([5, 10, 20, -5]), st.integers(0, 30)),
                            max_size=5,
                        ),
                        "paused": st.sampled_from([None, None, None, 10, 50]),
                    }
                ),
                min_size=1,
                max_size=3,
            ),
        }
    ),
    min_size=1,
    max_size=3,
)


Lived = list[tuple[Campaign, dict[str, Any]]]
"""The campaigns of a world with their terms."""


def build(world: World) -> Lived:
    campaigns: Lived = []
    for terms in world:
        brand = factories.brand(
            timezone=terms["zone"],
            daily_budget=terms["daily"],
            monthly_budget=terms["monthly"],
            budget_scope=terms["scope"],
            now=START,
        )
        for own in terms["campaigns"]:
            starts, ends = (
                None if day is None else START.date() + timedelta(day) for day in (own["start"], own["end"])
            )
            campaign = factories.campaign(
                brand,
                daily_budget=own["daily"],
                total_budget=own["total"],
                flight_start=starts,
                flight_end=ends,
                now=START,
            )
            if own["window"]:
                hours = dict(zip(("start_hour", "end_hour", "weekdays"), own["window"], strict=True))
                catalog.set_window(campaign_id=campaign.pk, now=START, **hours)
            campaigns.append((campaign, own))
    return campaigns


def live(campaign: Campaign, own: dict[str, Any], hour: int, now: datetime) -> None:
    """One hour of a campaign: what a person does to it, and what it spends."""
    if own["paused"] == hour:
        catalog.pause(campaign_id=campaign.pk, now=now)
    for at, amount, ago in own["spent"]:
        if at == hour:
            spend(campaign, amount, now=now, at=now - timedelta(hours=ago), note="less" if amount < 0 else "")


def live_through(world: World, *, beat: bool) -> list[tuple[list[str], bool]]:
    """Three days of spend and of people, with or without periodic tasks, then one pass; return every status."""
    campaigns = build(world)
    for hour in range(84):
        # Off the full hour, so that no pass falls together with a boundary by luck.
        now = START + timedelta(hours=hour, minutes=7)
        for campaign, own in campaigns:
            live(campaign, own, hour, now)
        if beat and hour % 6 == 0:
            reset_daily_budgets(now=now)
            reset_monthly_budgets(now=now)
            enforce_all(now=now)
    end = START + timedelta(hours=84)
    enforce_all(now=end)
    reading.assert_all_is_sound(end)
    return [(why(campaign), Campaign.objects.get(pk=campaign.pk).paused_manually) for campaign, _ in campaigns]


@settings(deadline=None, max_examples=8)
@given(world=worlds)
def test_after_three_days_without_beat_one_pass_leaves_everything_as_if_it_had_run(world: World) -> None:
    lives = []
    for beat in (True, False):
        with transaction.atomic():
            statuses = live_through(world, beat=beat)
            sums = sorted((period, start, micros) for (_, _, period, start), micros in reading.counters().items())
            lives.append((statuses, sums))
            transaction.set_rollback(True)
    assert lives[0] == lives[1]
