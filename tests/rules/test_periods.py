"""Budget days and months on the wall clocks of the world, above all where those are changed."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.rules.periods import (
    TOTAL_START,
    LocalNow,
    Period,
    as_utc,
    day_begins,
    local_date,
    local_hour,
    local_now,
    next_day_begins,
    next_month_begins,
    offset_change,
    period_start,
)

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Local changes of the UTC offset, each at its instant. After the arrow: what the wall shows next.
CHANGES = {
    "Berlin, spring: 02:00 -> 03:00": ("Europe/Berlin", "2025-03-30T01:00"),
    "Berlin, autumn: 03:00 -> 02:00": ("Europe/Berlin", "2025-10-26T01:00"),
    "Sao Paulo, spring: 00:00 -> 01:00": ("America/Sao_Paulo", "2018-11-04T03:00"),
    "Sao Paulo, autumn: 24:00 -> 23:00": ("America/Sao_Paulo", "2018-02-18T02:00"),
    "Havana, spring: 00:00 -> 01:00": ("America/Havana", "2024-03-10T05:00"),
    "Havana, autumn: 01:00 -> 00:00": ("America/Havana", "2024-11-03T05:00"),
    "Scoresbysund, spring: 23:00 -> 24:00": ("America/Scoresbysund", "2025-03-30T01:00"),
    "Scoresbysund, autumn: 24:00 -> 23:00": ("America/Scoresbysund", "2025-10-26T01:00"),
    "Toronto: 23:30 -> 00:30 the day after": ("America/Toronto", "1919-03-31T04:30"),
    "St. John's, spring: 00:01 -> 01:01": ("America/St_Johns", "2009-03-08T03:31"),
    "St. John's: 00:01 -> 23:01 the month before": ("America/St_Johns", "2009-11-01T02:31"),
    "St. John's: 00:01 -> 22:01 the day before": ("America/St_Johns", "1988-10-30T01:31"),
    "Casey: 02:00 -> 23:00 the day before": ("Antarctica/Casey", "2010-03-04T15:00"),
    "Lord Howe, spring: 02:00 -> 02:30": ("Australia/Lord_Howe", "2024-10-05T15:30"),
    "Lord Howe, autumn: 02:00 -> 01:30": ("Australia/Lord_Howe", "2025-04-05T15:00"),
    "Casablanca, Ramadan: 03:00 -> 02:00": ("Africa/Casablanca", "2025-02-23T02:00"),
    "Gaza, spring: 00:01 -> 01:01": ("Asia/Gaza", "2020-03-27T22:00"),
    "Gaza, autumn: 01:00 -> 00:00": ("Asia/Gaza", "2016-10-28T22:00"),
    "Apia: all of 2011-12-30 left out": ("Pacific/Apia", "2011-12-30T10:00"),
    "Kiritimati: all of 1994-12-31 left out": ("Pacific/Kiritimati", "1994-12-31T10:00"),
    "Kathmandu: +5:30 -> +5:45": ("Asia/Kathmandu", "1985-12-31T18:30"),
}
ZONES = sorted({zone for zone, _ in CHANGES.values()})

changes = st.sampled_from(sorted(CHANGES.values())).map(lambda change: (ZoneInfo(change[0]), utc(change[1])))
minutes_around = st.integers(min_value=-40 * 60, max_value=40 * 60)
any_zone = st.sampled_from(ZONES).map(ZoneInfo)
any_moment = st.datetimes(
    min_value=datetime(1985, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone itself
    max_value=datetime(2060, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def minutes_from(moment: datetime, hours: int) -> Iterator[datetime]:
    """Every full minute of the hours from ``moment`` on. All changes above fall on full minutes."""
    return (moment + minute * MINUTE for minute in range(hours * 60))


def wall_date(moment: datetime, zone: ZoneInfo) -> date:
    """The plain definition, straight from the time zone database."""
    return datetime.fromtimestamp(moment.timestamp(), zone).date()


@pytest.mark.parametrize(("zone", "at"), CHANGES.values(), ids=CHANGES)
def test_the_table_of_changes_is_true(zone: str, at: str) -> None:
    # The time zone database is revised: a row that no longer holds should say so itself.
    before, after = ((utc(at) - lag).astimezone(ZoneInfo(zone)) for lag in (SECOND, SECOND * 0))
    assert before.utcoffset() != after.utcoffset()


# --- local_date, local_hour, local_now -------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "at", "day", "weekday", "hour"),
    [
        ("UTC", "2025-06-30T23:59:59.999999", "2025-06-30", 0, 23),
        ("UTC", "2025-07-01T00:00", "2025-07-01", 1, 0),
        ("Europe/Berlin", "2025-06-30T21:59:59", "2025-06-30", 0, 23),
        ("Europe/Berlin", "2025-06-30T22:00", "2025-07-01", 1, 0),
        ("Europe/Berlin", "2025-12-31T22:59:59", "2025-12-31", 2, 23),
        ("Europe/Berlin", "2025-12-31T23:00", "2026-01-01", 3, 0),
        ("Asia/Kathmandu", "2025-06-30T18:14:59", "2025-06-30", 0, 23),
        ("Asia/Kathmandu", "2025-06-30T18:15", "2025-07-01", 1, 0),
        ("America/Sao_Paulo", "2018-11-04T02:59:59", "2018-11-03", 5, 23),
        ("America/Sao_Paulo", "2018-11-04T03:00", "2018-11-04", 6, 1),
        ("America/Sao_Paulo", "2018-02-18T01:59:59", "2018-02-17", 5, 23),
        ("America/Sao_Paulo", "2018-02-18T02:00", "2018-02-17", 5, 23),
        ("America/Sao_Paulo", "2018-02-18T03:00", "2018-02-18", 6, 0),
        ("Pacific/Apia", "2011-12-30T09:59:59", "2011-12-29", 3, 23),
        ("Pacific/Apia", "2011-12-30T10:00", "2011-12-31", 5, 0),
        ("America/St_Johns", "2009-11-01T02:30:59", "2009-11-01", 6, 0),
        ("America/St_Johns", "2009-11-01T02:31", "2009-10-31", 5, 23),
    ],
)
def test_an_instant_is_read_off_the_local_wall(zone: str, at: str, day: str, weekday: int, hour: int) -> None:
    moment, local_day = utc(at), date.fromisoformat(day)
    assert local_date(moment, ZoneInfo(zone)) == local_day
    assert local_hour(moment, ZoneInfo(zone)) == (weekday, hour)
    assert local_now(moment, ZoneInfo(zone)) == LocalNow(
        zone=zone, day=local_day, month=local_day.replace(day=1), weekday=weekday, hour=hour
    )


def test_the_zone_a_moment_arrives_in_does_not_matter() -> None:
    moment = utc("2025-06-30T22:30")
    for arrives_in in (UTC, timezone(timedelta(hours=-11)), ZoneInfo("Asia/Tokyo")):
        assert local_date(moment.astimezone(arrives_in), ZoneInfo("Europe/Berlin")) == date(2025, 7, 1)


def test_a_wall_time_that_never_was_counts_as_the_instant_it_stands_for() -> None:
    # Toronto's clocks went from 23:30 to 00:30 the day after. 23:45 stands for 00:45.
    toronto = ZoneInfo("America/Toronto")
    assert local_date(datetime(1919, 3, 30, 23, 45, tzinfo=toronto), toronto) == date(1919, 3, 31)


class _ZoneWithoutOffset(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None

    tzname = dst = utcoffset


@pytest.mark.parametrize("function", [local_date, local_hour, local_now, next_day_begins])
@pytest.mark.parametrize("zone_of_moment", [None, _ZoneWithoutOffset()])
def test_a_naive_moment_is_refused(function: object, zone_of_moment: tzinfo | None) -> None:
    assert callable(function)
    with pytest.raises(ValueError, match="needs a time zone"):
        function(datetime(2025, 1, 1, 12, tzinfo=zone_of_moment), ZoneInfo("Europe/Berlin"))


def test_as_utc_keeps_the_instant() -> None:
    moment = utc("2025-06-30T22:30:00.000001")
    assert as_utc(moment) is moment
    from_berlin = as_utc(moment.astimezone(ZoneInfo("Europe/Berlin")))
    assert (from_berlin, from_berlin.tzinfo) == (moment, UTC)


@given(zone=any_zone, moment=any_moment)
def test_local_date_is_what_the_time_zone_database_says(zone: ZoneInfo, moment: datetime) -> None:
    wall = datetime.fromtimestamp(moment.timestamp(), zone)
    assert local_date(moment, zone) == wall.date()
    assert local_hour(moment, zone) == (wall.weekday(), wall.hour)


# --- period_start ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "day", "start"),
    [
        (Period.DAY, date(2024, 2, 29), date(2024, 2, 29)),
        (Period.MONTH, date(2024, 2, 29), date(2024, 2, 1)),
        (Period.MONTH, date(2024, 2, 1), date(2024, 2, 1)),
        (Period.MONTH, date(2025, 12, 31), date(2025, 12, 1)),
        (Period.TOTAL, date(2024, 2, 29), TOTAL_START),
        (Period.TOTAL, date(1969, 12, 31), TOTAL_START),
    ],
)
def test_the_key_of_a_period(period: Period, day: date, start: date) -> None:
    assert period_start(period, day) == start


def test_the_stored_values_stay() -> None:
    assert {period.name: period.value for period in Period} == {"DAY": 1, "MONTH": 2, "TOTAL": 3}
    assert date(1970, 1, 1) == TOTAL_START


def test_a_datetime_is_no_budget_day() -> None:
    moment = utc("2025-06-30T22:30")  # 1 July in Berlin
    with pytest.raises(TypeError, match="local_date"):
        period_start(Period.DAY, moment)
    with pytest.raises(TypeError, match="local_date"):
        day_begins(moment, ZoneInfo("Europe/Berlin"))


# --- day_begins ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("UTC", "2025-03-30", "2025-03-30T00:00"),
        ("Europe/Berlin", "2025-03-30", "2025-03-29T23:00"),
        ("Europe/Berlin", "2025-03-31", "2025-03-30T22:00"),
        ("Europe/Berlin", "2025-10-26", "2025-10-25T22:00"),
        ("Europe/Berlin", "2025-10-27", "2025-10-26T23:00"),
        ("Asia/Kathmandu", "2025-07-01", "2025-06-30T18:15"),
        # New Year came a quarter of an hour early: the clocks went from 00:00 to 00:15.
        ("Asia/Kathmandu", "1986-01-01", "1985-12-31T18:30"),
        ("Australia/Lord_Howe", "2024-10-06", "2024-10-05T13:30"),
        ("Australia/Lord_Howe", "2024-10-07", "2024-10-06T13:00"),
        # Midnight is skipped: the day begins at 01:00.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00"),
        ("America/Havana", "2024-03-10", "2024-03-10T05:00"),
        # 23:00 to 24:00 comes twice: midnight comes once, after the second.
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00"),
        # 00:00 to 01:00 comes twice: the day begins with the first.
        ("America/Havana", "2024-11-03", "2024-11-03T04:00"),
        ("Asia/Gaza", "2016-10-29", "2016-10-28T21:00"),
        # The last hour of the day before is skipped, up to midnight.
        ("America/Scoresbysund", "2025-03-30", "2025-03-30T01:00"),
        # Half an hour on either side of midnight is skipped: the day begins at 00:30.
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30"),
        # The day begins, is taken back after a minute, and begins again: the first counts.
        ("America/St_Johns", "2009-11-01", "2009-11-01T02:30"),
        # As before, but it is taken back after two hours.
        ("Antarctica/Casey", "2010-03-05", "2010-03-04T13:00"),
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00"),
        # There is no such day: it begins with the next.
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00"),
        ("Pacific/Apia", "2012-01-01", "2011-12-31T10:00"),
        ("Pacific/Kiritimati", "1994-12-31", "1994-12-31T10:00"),
    ],
)
def test_a_day_begins(zone: str, day: str, begins: str) -> None:
    found = day_begins(date.fromisoformat(day), ZoneInfo(zone))
    assert found == utc(begins)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(("zone_name", "at"), CHANGES.values(), ids=CHANGES)
def test_a_day_begins_at_the_earliest_minute_that_has_its_date(zone_name: str, at: str) -> None:
    zone, change = ZoneInfo(zone_name), utc(at)
    starts = change - timedelta(days=3)
    scan = [(minute, wall_date(minute, zone)) for minute in minutes_from(starts, 144)]
    for days in range(-1, 3):
        day = wall_date(change, zone) + timedelta(days=days)
        assert day_begins(day, zone) == next(minute for minute, wall in scan if wall >= day)


@given(zone=any_zone, day=st.dates(date(1986, 1, 2), date(2060, 1, 1)))
@example(zone=ZoneInfo("America/Toronto"), day=date(1919, 3, 31))
@example(zone=ZoneInfo("America/Sao_Paulo"), day=date(2018, 11, 4))
def test_a_day_begins_where_an_earlier_one_was(zone: ZoneInfo, day: date) -> None:
    begins = day_begins(day, zone)
    assert wall_date(begins, zone) >= day
    assert wall_date(begins - TICK, zone) < day
    if wall_date(begins, zone) > day:
        assert (zone.key, day) in {
            ("Pacific/Apia", date(2011, 12, 30)),
            ("Pacific/Kiritimati", date(1994, 12, 31)),
        }


# --- next_day_begins, next_month_begins ------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "at", "next_day", "next_month"),
    [
        ("UTC", "2024-02-29T00:00", "2024-03-01T00:00", "2024-03-01T00:00"),
        ("UTC", "2025-01-31T12:00", "2025-02-01T00:00", "2025-02-01T00:00"),
        ("UTC", "2025-12-30T23:59:59.999999", "2025-12-31T00:00", "2026-01-01T00:00"),
        ("Europe/Berlin", "2025-03-30T00:59:59", "2025-03-30T22:00", "2025-03-31T22:00"),
        ("Europe/Berlin", "2025-10-25T22:00", "2025-10-26T23:00", "2025-10-31T23:00"),
        ("Asia/Kathmandu", "2025-06-30T18:14:59", "2025-06-30T18:15", "2025-06-30T18:15"),
        ("Asia/Kathmandu", "2025-06-30T18:15", "2025-07-01T18:15", "2025-07-31T18:15"),
        ("America/Sao_Paulo", "2018-11-03T12:00", "2018-11-04T03:00", "2018-12-01T02:00"),
        ("America/Sao_Paulo", "2018-02-18T01:30", "2018-02-18T03:00", "2018-03-01T03:00"),
        ("America/Sao_Paulo", "2018-02-18T02:30", "2018-02-18T03:00", "2018-03-01T03:00"),
        ("Australia/Lord_Howe", "2024-10-05T15:30", "2024-10-06T13:00", "2024-10-31T13:00"),
        ("Pacific/Apia", "2011-12-30T09:59", "2011-12-30T10:00", "2011-12-31T10:00"),
        ("Pacific/Apia", "2011-12-30T10:00", "2011-12-31T10:00", "2011-12-31T10:00"),
        # The last day of the month and the year is the one that is left out.
        ("Pacific/Kiritimati", "1994-12-31T09:00", "1994-12-31T10:00", "1994-12-31T10:00"),
        # St. John's, Halloween 2009. November lasts a minute, then it is October again.
        ("America/St_Johns", "2009-11-01T02:29:59", "2009-11-01T02:30", "2009-11-01T02:30"),
        ("America/St_Johns", "2009-11-01T02:30:30", "2009-11-02T03:30", "2009-12-01T03:30"),
        ("America/St_Johns", "2009-11-01T02:31", "2009-11-01T03:30", "2009-11-01T03:30"),
        ("America/St_Johns", "2009-11-01T03:29:59", "2009-11-01T03:30", "2009-11-01T03:30"),
        ("America/St_Johns", "2009-11-01T03:30", "2009-11-02T03:30", "2009-12-01T03:30"),
    ],
)
def test_the_next_day_and_month_begin(zone: str, at: str, next_day: str, next_month: str) -> None:
    day_turns = next_day_begins(utc(at), ZoneInfo(zone))
    month_turns = next_month_begins(utc(at), ZoneInfo(zone))
    assert (day_turns, month_turns) == (utc(next_day), utc(next_month))
    assert day_turns.tzinfo is month_turns.tzinfo is UTC


@settings(deadline=None)  # a scan of two days takes its time on a busy machine
@given(change=changes, minutes=minutes_around)
@example(change=(ZoneInfo("America/St_Johns"), utc("2009-11-01T02:31")), minutes=0)
def test_the_next_day_is_the_first_minute_with_a_later_date(change: tuple[ZoneInfo, datetime], minutes: int) -> None:
    zone, moment = change[0], change[1] + minutes * MINUTE
    today = wall_date(moment, zone)
    later = (minute for minute in minutes_from(moment, 50) if wall_date(minute, zone) > today)
    assert next_day_begins(moment, zone) == next(later)


@given(zone=any_zone, moment=any_moment)
def test_the_next_month_begins_where_an_earlier_one_was(zone: ZoneInfo, moment: datetime) -> None:
    turns = next_month_begins(moment, zone)
    before, after = wall_date(turns - TICK, zone), wall_date(turns, zone)
    months = [day.replace(day=1) for day in (wall_date(moment, zone), before, after)]
    assert months[0] == months[1] < months[2]
    assert moment < turns <= moment + timedelta(days=32)


@given(zone=any_zone, moment=any_moment)
def test_going_from_day_to_day_misses_none(zone: ZoneInfo, moment: datetime) -> None:
    for _ in range(5):
        turns = next_day_begins(moment, zone)
        assert moment < turns <= moment + timedelta(hours=50)
        assert wall_date(turns - TICK, zone) == wall_date(moment, zone)
        moment = turns


# --- offset_change ---------------------------------------------------------------------------


@pytest.mark.parametrize(("zone", "at"), CHANGES.values(), ids=CHANGES)
def test_the_change_is_found_to_the_second(zone: str, at: str) -> None:
    change, rng = utc(at), random.Random(at)
    for _ in range(20):
        low = change - timedelta(seconds=rng.uniform(0.001, 43_000))
        high = change + timedelta(seconds=rng.uniform(0, 43_000))
        assert offset_change(low, high, ZoneInfo(zone)) == change
    assert offset_change(change - TICK, change, ZoneInfo(zone)) == change
