"""The verdict: every reason alone and together, and the moment at which a paused campaign may spend again."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.rules import reasons
from campaigns.rules.reasons import Reason
from campaigns.rules.schedules import ALL_WEEKDAYS, Schedule
from campaigns.rules.verdict import BudgetScope, Spent, Terms, pause_reasons, resumes_at

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
APIA = ZoneInfo("Pacific/Apia")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")

QUARTER = timedelta(minutes=15)
TICK = timedelta(microseconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOON = utc("2025-06-18T12:00")  # a Wednesday
TODAY = NOON.date()
OFFICE = Schedule.from_window(9, 17, 0b0011111)
NIGHT = Schedule.from_window(22, 6)


def terms(**changed: object) -> Terms:
    return dataclasses.replace(Terms(zone=UTC_ZONE), **changed)  # type: ignore[arg-type]


# --- Why it may not spend --------------------------------------------------------------------

BOUND_BY = {  # a budget -> the counter it is held against, the reason it gives
    "brand_daily_budget": ("brand_daily", Reason.BRAND_DAILY_BUDGET),
    "brand_monthly_budget": ("brand_monthly", Reason.BRAND_MONTHLY_BUDGET),
    "campaign_daily_budget": ("campaign_daily", Reason.CAMPAIGN_DAILY_BUDGET),
    "campaign_monthly_budget": ("campaign_monthly", Reason.CAMPAIGN_MONTHLY_BUDGET),
    "campaign_total_budget": ("campaign_total", Reason.CAMPAIGN_TOTAL_BUDGET),
}


@pytest.mark.parametrize(("budget", "counter", "reason"), [(b, c, r) for b, (c, r) in BOUND_BY.items()], ids=BOUND_BY)
@pytest.mark.parametrize(
    ("limit", "spent", "pauses"),
    [
        (None, 10**18, False),  # no budget is no limit
        (100, 99, False),
        (100, 100, True),  # exactly spent is spent
        (100, 101, True),
        (100, 0, False),
        (100, -5, False),
        (1, 0, False),
        (0, 0, True),  # a budget of nothing is always spent
        (0, -5, True),
        (0, 5, True),
    ],
)
def test_a_budget_pauses_once_it_is_spent(
    budget: str, counter: str, reason: Reason, limit: int | None, spent: int, pauses: bool
) -> None:
    why = pause_reasons(terms(**{budget: limit}), Spent(**{counter: spent}), NOON)
    assert why == (reason if pauses else reasons.NONE)


@pytest.mark.parametrize(("budget", "counter"), [(b, c) for b, (c, _) in BOUND_BY.items()], ids=BOUND_BY)
def test_a_budget_looks_at_no_other_counter(budget: str, counter: str) -> None:
    others = Spent(**{field.name: 10**18 for field in dataclasses.fields(Spent) if field.name != counter})
    assert pause_reasons(terms(**{budget: 1}), others, NOON) == reasons.NONE


@pytest.mark.parametrize(
    ("scope", "spent", "why"),
    [
        (BudgetScope.BRAND, Spent(brand_daily=10, brand_monthly=10), "brand_daily_budget brand_monthly_budget"),
        (BudgetScope.BRAND, Spent(campaign_daily=10, campaign_monthly=10), ""),
        (BudgetScope.CAMPAIGN, Spent(brand_daily=10, brand_monthly=10), ""),
        (BudgetScope.CAMPAIGN, Spent(campaign_daily=10), "brand_daily_budget"),
        (BudgetScope.CAMPAIGN, Spent(campaign_monthly=10), "brand_monthly_budget"),
    ],
)
def test_a_brands_budgets_bind_the_sum_or_each_campaign_alone(scope: BudgetScope, spent: Spent, why: str) -> None:
    bound = terms(budget_scope=scope, brand_daily_budget=10, brand_monthly_budget=10)
    assert reasons.codes(pause_reasons(bound, spent, NOON)) == why.split()


@pytest.mark.parametrize(
    ("zone", "at", "start", "end", "why"),
    [
        (UTC_ZONE, "2025-06-18T12:00", None, None, ""),
        (UTC_ZONE, "2025-06-17T23:59:59.999999", "2025-06-18", None, "not_started"),
        (UTC_ZONE, "2025-06-18T00:00", "2025-06-18", None, ""),
        (UTC_ZONE, "2025-06-18T23:59:59.999999", None, "2025-06-18", ""),
        (UTC_ZONE, "2025-06-19T00:00", None, "2025-06-18", "ended"),
        (UTC_ZONE, "2025-06-18T12:00", "2025-06-18", "2025-06-18", ""),
        # the day is the brand's, not UTC's
        (BERLIN, "2025-06-17T21:59:59", "2025-06-18", None, "not_started"),
        (BERLIN, "2025-06-17T22:00", "2025-06-18", None, ""),
        (BERLIN, "2025-06-18T22:00", None, "2025-06-18", "ended"),
        (KATHMANDU, "2025-06-17T18:14:59", "2025-06-18", None, "not_started"),
        (KATHMANDU, "2025-06-17T18:15", "2025-06-18", None, ""),
        # Apia had no 30 December 2011: what starts on it starts on the 31st, what ends on it has ended by then
        (APIA, "2011-12-30T09:59:59", "2011-12-30", None, "not_started"),
        (APIA, "2011-12-30T10:00", "2011-12-30", None, ""),
        (APIA, "2011-12-30T09:59:59", None, "2011-12-30", ""),
        (APIA, "2011-12-30T10:00", None, "2011-12-30", "ended"),
        # Sao Paulo's 4 November 2018 began at 01:00
        (SAO_PAULO, "2018-11-04T02:59:59", "2018-11-04", None, "not_started"),
        (SAO_PAULO, "2018-11-04T03:00", "2018-11-04", None, ""),
    ],
)
def test_a_flight_is_whole_days_of_the_brand(
    zone: ZoneInfo, at: str, start: str | None, end: str | None, why: str
) -> None:
    flown = terms(
        zone=zone,
        flight_start=None if start is None else date.fromisoformat(start),
        flight_end=None if end is None else date.fromisoformat(end),
    )
    assert reasons.codes(pause_reasons(flown, Spent(), utc(at))) == why.split()


@pytest.mark.parametrize(
    ("zone", "at", "schedule", "why"),
    [
        (UTC_ZONE, "2025-06-18T09:00", OFFICE, ""),
        (UTC_ZONE, "2025-06-18T08:59:59.999999", OFFICE, "schedule"),
        (UTC_ZONE, "2025-06-18T17:00", OFFICE, "schedule"),
        (UTC_ZONE, "2025-06-21T12:00", OFFICE, "schedule"),  # a Saturday
        (BERLIN, "2025-06-18T07:00", OFFICE, ""),
        (UTC_ZONE, "2025-06-18T05:59", NIGHT, ""),
        (UTC_ZONE, "2025-06-18T06:00", NIGHT, "schedule"),
        (LORD_HOWE, "2025-04-05T14:59", Schedule.from_window(1, 2), ""),  # 01:59, then 01:30 once more
        (LORD_HOWE, "2025-04-05T15:29", Schedule.from_window(1, 2), ""),
        (LORD_HOWE, "2025-04-05T15:30", Schedule.from_window(1, 2), "schedule"),
    ],
)
def test_a_schedule_is_hours_of_the_brand(zone: ZoneInfo, at: str, schedule: Schedule, why: str) -> None:
    assert reasons.codes(pause_reasons(terms(zone=zone, schedule=schedule), Spent(), utc(at))) == why.split()


def test_a_persons_pause_needs_no_other_reason() -> None:
    assert pause_reasons(terms(paused_manually=True), Spent(), NOON) == Reason.MANUAL


def test_all_reasons_that_can_hold_together_do() -> None:
    everything = terms(
        brand_daily_budget=1,
        brand_monthly_budget=1,
        campaign_daily_budget=1,
        campaign_monthly_budget=1,
        campaign_total_budget=1,
        schedule=NIGHT,
        paused_manually=True,
        flight_start=TODAY + timedelta(1),
    )
    spent = Spent(brand_daily=1, brand_monthly=1, campaign_daily=1, campaign_monthly=1, campaign_total=1)
    assert pause_reasons(everything, spent, NOON) == reasons.ALL & ~Reason.ENDED
    ended = dataclasses.replace(everything, flight_start=None, flight_end=TODAY - timedelta(1))
    assert pause_reasons(ended, spent, NOON) == reasons.ALL & ~Reason.NOT_STARTED


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        pause_reasons(terms(), Spent(), datetime(2025, 6, 18))  # noqa: DTZ001 - the fault


# --- When it may spend again -----------------------------------------------------------------

DAY_SPENT = Spent(brand_daily=10, campaign_daily=10, brand_monthly=10, campaign_monthly=10, campaign_total=10)


@pytest.mark.parametrize(
    ("changed", "at", "resumes"),
    [
        pytest.param({}, "2025-06-18T12:00", "2025-06-18T12:00", id="it may now"),
        pytest.param({"brand_daily_budget": 10}, "2025-06-18T12:00", "2025-06-19T00:00", id="brand's day"),
        pytest.param({"campaign_daily_budget": 10}, "2025-06-18T12:00", "2025-06-19T00:00", id="its own day"),
        pytest.param({"brand_monthly_budget": 10}, "2025-06-18T12:00", "2025-07-01T00:00", id="brand's month"),
        pytest.param({"campaign_monthly_budget": 10}, "2025-12-31T23:59", "2026-01-01T00:00", id="its own month"),
        pytest.param(
            {"brand_daily_budget": 10, "campaign_monthly_budget": 10},
            "2025-06-18T12:00",
            "2025-07-01T00:00",
            id="day and month: the later",
        ),
        pytest.param({"campaign_total_budget": 10}, "2025-06-18T12:00", None, id="total: never"),
        pytest.param({"brand_daily_budget": 0}, "2025-06-18T12:00", None, id="a daily budget of 0: never"),
        pytest.param({"campaign_monthly_budget": 0}, "2025-06-18T12:00", None, id="a monthly budget of 0: never"),
        pytest.param({"paused_manually": True}, "2025-06-18T12:00", None, id="a person's pause: never"),
        pytest.param(
            {"paused_manually": True, "brand_daily_budget": 10}, "2025-06-18T12:00", None, id="person and day: never"
        ),
        pytest.param({"schedule": OFFICE}, "2025-06-18T08:15", "2025-06-18T09:00", id="hours of today"),
        pytest.param({"schedule": OFFICE}, "2025-06-20T17:00", "2025-06-23T09:00", id="hours after the weekend"),
        pytest.param({"schedule": NIGHT}, "2025-06-18T12:00", "2025-06-18T22:00", id="hours of the night"),
        pytest.param(
            {"schedule": OFFICE, "brand_daily_budget": 10}, "2025-06-18T12:00", "2025-06-19T09:00", id="day, then hours"
        ),
        pytest.param(
            {"schedule": NIGHT, "brand_daily_budget": 10},
            "2025-06-18T12:00",
            "2025-06-19T00:00",
            id="day, and the hours are open at midnight",
        ),
        pytest.param(
            {"schedule": OFFICE, "brand_daily_budget": 10},
            "2025-06-20T12:00",
            "2025-06-23T09:00",
            id="day, then hours after the weekend",
        ),
        pytest.param({"flight_start": date(2025, 7, 1)}, "2025-06-18T12:00", "2025-07-01T00:00", id="flight start"),
        pytest.param(
            {"flight_start": date(2025, 7, 5), "schedule": OFFICE},
            "2025-06-18T12:00",
            "2025-07-07T09:00",
            id="flight starts on a Saturday, then hours",
        ),
        pytest.param(
            {"flight_start": date(2025, 6, 20), "brand_monthly_budget": 10},
            "2025-06-18T12:00",
            "2025-07-01T00:00",
            id="flight start, and the month is later",
        ),
        pytest.param({"flight_end": date(2025, 6, 17)}, "2025-06-18T12:00", None, id="ended: never"),
        pytest.param(
            {"flight_end": date(2025, 6, 18), "brand_daily_budget": 10}, "2025-06-18T12:00", None, id="ends today"
        ),
        pytest.param(
            {"flight_end": date(2025, 6, 19), "brand_daily_budget": 10},
            "2025-06-18T12:00",
            "2025-06-19T00:00",
            id="ends tomorrow",
        ),
        pytest.param(
            {"flight_end": date(2025, 6, 22), "schedule": OFFICE}, "2025-06-20T17:00", None, id="ends before it opens"
        ),
        pytest.param(
            {"zone": BERLIN, "brand_daily_budget": 10}, "2025-03-29T22:59", "2025-03-29T23:00", id="Berlin's midnight"
        ),
        pytest.param(
            {"zone": BERLIN, "schedule": Schedule.from_window(2, 3)},
            "2025-03-30T00:00",
            "2025-03-31T00:00",
            id="Berlin has no 02:00 in spring",
        ),
        pytest.param(
            {"zone": KATHMANDU, "campaign_daily_budget": 10}, "2025-06-18T12:00", "2025-06-18T18:15", id="Kathmandu"
        ),
        pytest.param(
            {"zone": SAO_PAULO, "brand_daily_budget": 10}, "2018-11-03T12:00", "2018-11-04T03:00", id="no midnight"
        ),
        pytest.param(
            {"zone": SAO_PAULO, "brand_daily_budget": 10}, "2018-02-17T12:00", "2018-02-18T03:00", id="a day of 25 h"
        ),
        pytest.param({"zone": APIA, "brand_daily_budget": 10}, "2011-12-30T09:00", "2011-12-30T10:00", id="no 30th"),
        pytest.param(
            {"zone": APIA, "flight_start": date(2011, 12, 30)}, "2011-12-29T12:00", "2011-12-30T10:00", id="start on it"
        ),
        pytest.param(
            {"zone": LORD_HOWE, "schedule": Schedule.from_window(2, 3)},
            "2024-10-05T15:00",
            "2024-10-05T15:30",
            id="Lord Howe: 02:00 is 02:30",
        ),
    ],
)
def test_it_resumes_when_the_last_reason_clears(changed: dict[str, object], at: str, resumes: str | None) -> None:
    found = resumes_at(terms(**changed), DAY_SPENT, utc(at))
    assert found == (None if resumes is None else utc(resumes))


def test_it_resumes_at_the_very_instant() -> None:
    paused = terms(zone=KATHMANDU, brand_daily_budget=10)
    assert resumes_at(paused, DAY_SPENT, utc("2025-06-18T18:15") - TICK) == utc("2025-06-18T18:15")


# Changes of the clock, so that the cases gather where they are hard. Nowhere here does a local date come twice.
CHANGES = [
    (BERLIN, "2025-03-30T01:00"),
    (BERLIN, "2025-10-26T01:00"),
    (SAO_PAULO, "2018-11-04T03:00"),
    (SAO_PAULO, "2018-02-18T02:00"),
    (ZoneInfo("America/Havana"), "2024-11-03T05:00"),
    (LORD_HOWE, "2024-10-05T15:30"),
    (LORD_HOWE, "2025-04-05T15:00"),
    (APIA, "2011-12-30T10:00"),
    (KATHMANDU, "2025-06-30T18:15"),
]

windows = st.tuples(st.integers(0, 23), st.integers(0, 23), st.integers(1, ALL_WEEKDAYS)).filter(lambda w: w[0] != w[1])
grids = st.sets(st.integers(0, 167), min_size=1, max_size=5).map(
    lambda hours: "".join("01"[hour in hours] for hour in range(168))
)
schedules = st.none() | windows.map(lambda w: Schedule.from_window(*w)) | grids.map(Schedule.from_grid)
limits = st.sampled_from([None, None, None, 10, 20])  # 10 is spent, 20 is not; 0 is in the table above
flight_days = st.sampled_from([None, None, -3, 0, 1, 4, 12])


@st.composite
def standings(draw: st.DrawFn) -> tuple[Terms, datetime]:
    zone, change = draw(st.sampled_from(CHANGES))
    # Off the quarter hour by a little, or exactly on it.
    now = utc(change) + draw(st.integers(-300, 300)) * QUARTER + draw(st.sampled_from([0, 1])) * timedelta(seconds=7)
    today = now.astimezone(zone).date()
    starts, ends = draw(flight_days), draw(flight_days)
    budgets = [*BOUND_BY][:4]
    return (
        terms(
            zone=zone,
            schedule=draw(schedules),
            flight_start=None if starts is None else today + timedelta(starts),
            flight_end=None if ends is None else today + timedelta(ends),
            **{budget: draw(limits) for budget in budgets},
        ),
        now,
    )


def moments_from(now: datetime, days: int) -> Iterator[datetime]:
    """`now` and every quarter hour after it: no zone above changes its clock or its day between two of them."""
    yield now
    tick = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0) + QUARTER
    while tick < now + timedelta(days):
        yield tick
        tick += QUARTER


def counters_at(moment: datetime, now: datetime, zone: ZoneInfo) -> Spent:
    """What the counters say then, if what was spent by `now` (10 in each) stays all there is."""
    then, today = (instant.astimezone(UTC).astimezone(zone).date() for instant in (moment, now))
    day = 10 if then == today else 0
    month = 10 if (then.year, then.month) == (today.year, today.month) else 0
    return Spent(brand_daily=day, campaign_daily=day, brand_monthly=month, campaign_monthly=month, campaign_total=10)


@settings(deadline=None, max_examples=80)  # a scan of 50 days takes its time
@given(case=standings())
def test_no_earlier_quarter_hour_is_free(case: tuple[Terms, datetime]) -> None:
    paused, now = case
    free = (m for m in moments_from(now, 50) if not pause_reasons(paused, counters_at(m, now, paused.zone), m))
    expected = next(free, None)
    found = resumes_at(paused, DAY_SPENT, now)
    if expected is None:
        assert found is None or found >= now + timedelta(50)
    else:
        assert found == expected


def test_a_flight_at_the_end_of_all_calendars_resumes_at_no_moment() -> None:
    terms = Terms(zone=ZoneInfo("UTC"), flight_start=date(9999, 12, 31), schedule=Schedule.from_window(5, 6))
    assert resumes_at(terms, Spent(), datetime(2025, 6, 18, 12, tzinfo=UTC)) is None
