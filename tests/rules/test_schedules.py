"""Dayparting: which hours of the week are open, and when to the second that next changes."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.rules.schedules import (
    ALL_WEEKDAYS,
    MAX_DESCRIPTION,
    Schedule,
    ScheduleError,
    describe,
    describe_grid,
    parse_weekdays,
)

MON, TUE, WED, THU, FRI, SAT, SUN = (1 << weekday for weekday in range(7))
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)

CLOSED_DAY = "0" * 24
OFFICE_DAY = "0" * 9 + "1" * 8 + "0" * 7  # 09:00 to 17:00
SHORT_DAY = "0" * 10 + "1" * 4 + "0" * 10  # 10:00 to 14:00
OPEN_DAY = "1" * 24


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dashed(text: str) -> str:
    """Expected words, typed with hyphens."""
    return text.replace("-", "\N{EN DASH}")


def open_hours(schedule: Schedule) -> set[tuple[str, int]]:
    return {(DAYS[i // 24], i % 24) for i, mark in enumerate(schedule.hours) if mark == "1"}


def window_is_open(start: int, end: int, weekdays: int, weekday: int, hour: int) -> bool:
    """What a window means, hour by hour: the definition that ``from_window`` is held against."""
    began_today = bool(weekdays & 1 << weekday)
    began_yesterday = bool(weekdays & 1 << (weekday - 1) % 7)
    if start < end:
        return began_today and start <= hour < end
    return (began_today and hour >= start) or (began_yesterday and hour < end)


def grid_is_open(grid: str, moment: datetime, zone: ZoneInfo) -> bool:
    """What a grid means at an instant: the definition that the walk in time is held against."""
    wall = datetime.fromtimestamp(moment.timestamp(), zone)
    return grid[wall.weekday() * 24 + wall.hour] == "1"


hours_of_day = st.integers(0, 23)
weekday_masks = st.integers(1, ALL_WEEKDAYS)
windows = st.tuples(hours_of_day, hours_of_day, weekday_masks).filter(lambda w: w[0] != w[1])
random_grids = st.integers(1, 2**168 - 1).map(lambda bits: f"{bits:0168b}")
one_hour_grids = st.integers(0, 167).map(lambda hour: f"{1 << hour:0168b}")
all_but_one_grids = one_hour_grids.map(lambda grid: grid.translate({48: "1", 49: "0"}))
day_grids = st.lists(st.sampled_from([CLOSED_DAY, OFFICE_DAY, SHORT_DAY, OPEN_DAY]), min_size=7, max_size=7).map(
    "".join
)
window_grids = windows.map(lambda window: Schedule.from_window(*window).hours)
grids = (random_grids | one_hour_grids | all_but_one_grids | day_grids | window_grids).filter(lambda grid: "1" in grid)


# --- From a window ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "weekdays", "opens"),
    [
        (9, 12, MON, {("Mon", 9), ("Mon", 10), ("Mon", 11)}),
        (0, 1, TUE | SUN, {("Tue", 0), ("Sun", 0)}),
        (23, 0, WED, {("Wed", 23)}),
        (22, 0, SAT, {("Sat", 22), ("Sat", 23)}),
        (22, 2, FRI, {("Fri", 22), ("Fri", 23), ("Sat", 0), ("Sat", 1)}),
        (23, 1, SUN, {("Sun", 23), ("Mon", 0)}),
        (1, 0, THU, {("Thu", hour) for hour in range(1, 24)}),
        (2, 1, THU, {("Thu", hour) for hour in range(2, 24)} | {("Fri", 0)}),
        (0, 23, ALL_WEEKDAYS, {(day, hour) for day in DAYS for hour in range(23)}),
    ],
)
def test_a_window_opens_its_hours_on_the_weekday_it_begins_on(
    start: int, end: int, weekdays: int, opens: set[tuple[str, int]]
) -> None:
    assert open_hours(Schedule.from_window(start, end, weekdays)) == opens


def test_a_window_is_for_every_day_unless_told() -> None:
    assert Schedule.from_window(9, 17) == Schedule.from_window(9, 17, ALL_WEEKDAYS)


@given(window=windows)
def test_a_window_is_its_definition_hour_by_hour(window: tuple[int, int, int]) -> None:
    hours = Schedule.from_window(*window).hours
    assert hours == "".join("01"[window_is_open(*window, weekday, hour)] for weekday in range(7) for hour in range(24))


@pytest.mark.parametrize(
    ("window", "says"),
    [
        ((9, 9), "both 9, .* to run all day, remove the schedule"),
        ((0, 0), "both 0, .* to run all day, remove the schedule"),
        ((24, 5), "start hour must be a whole number from 0 to 23"),
        ((-1, 5), "start hour must be a whole number from 0 to 23"),
        ((5, 24), "end hour must be a whole number from 0 to 23 .*0 ends it at midnight"),
        ((5, -1), "end hour must be"),
        ((True, 5), "start hour must be"),
        ((5, False), "end hour must be"),
        ((9.0, 17), "start hour must be"),
        (("9", 17), "start hour must be"),
        ((9, None), "end hour must be"),
        ((9, 10**5000), "end hour must be"),
        ((9, 17, 0), "weekdays must be a number from 1 to 127"),
        ((9, 17, 128), "weekdays must be"),
        ((9, 17, -1), "weekdays must be"),
        ((9, 17, True), "weekdays must be"),
        ((9, 17, "mon"), "weekdays must be"),
        ((9, 17, None), "weekdays must be"),
    ],
)
def test_a_window_that_cannot_be_is_refused(window: tuple[int, ...], says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        Schedule.from_window(*window)
    with pytest.raises(ScheduleError, match=says):
        describe(*window, *(ALL_WEEKDAYS,) * (3 - len(window)))


# --- From a grid -----------------------------------------------------------------------------

OFFICE_WEEK = OFFICE_DAY * 5 + CLOSED_DAY * 2


@pytest.mark.parametrize(
    "grid",
    [
        OFFICE_WEEK,
        "\n".join([OFFICE_DAY] * 5 + [CLOSED_DAY] * 2),
        "\r\n\r\n".join([OFFICE_DAY] * 5 + [CLOSED_DAY] * 2) + "\r\n",
        "  " + " ".join(OFFICE_WEEK) + "\t\n",
        "\n".join(f"{day[:12]} {day[12:]}" for day in [OFFICE_DAY] * 5 + [CLOSED_DAY] * 2),
    ],
    ids=["one line", "seven lines", "blank lines between", "spaced out", "half days apart"],
)
def test_a_grid_is_read_whatever_its_white_space(grid: str) -> None:
    assert Schedule.from_grid(grid) == Schedule.from_window(9, 17, MON | TUE | WED | THU | FRI)


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ("", "needs 168 hours.*this one has 0"),
        ("1" * 167, "needs 168 hours.*this one has 167"),
        ("1" * 169, "needs 168 hours.*this one has 169"),
        ("1" * 167 + "2", "0 .closed. and 1 .open. only"),
        ("1" * 80 + "x" + "1" * 87, "0 .closed. and 1 .open. only"),
        ("1" * 167 + "\N{FULLWIDTH DIGIT ONE}", "0 .closed. and 1 .open. only"),
        ("0" * 168, "at least one open hour.*pause it instead"),
        # 168 in all, but every hour from Tuesday to Thursday would be off by one.
        ("\n".join(["1" * 24, "1" * 23, "1" * 24, "1" * 25, *["1" * 24] * 3]), "Tue has 23"),
        (None, "a text of 168 characters"),
        (True, "a text of 168 characters"),
        (b"1" * 168, "a text of 168 characters"),
        ([1] * 168, "a text of 168 characters"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(grid: str, says: str) -> None:
    for reader in (Schedule.from_grid, describe_grid):
        with pytest.raises(ScheduleError, match=says):
            reader(grid)


@pytest.mark.parametrize("hours", ["", "0" * 168, "1" * 167, "1" * 167 + " ", "2" * 168])
def test_no_schedule_escapes_the_check(hours: str) -> None:
    with pytest.raises(ScheduleError):
        Schedule(hours)


def test_schedules_are_equal_by_their_hours() -> None:
    assert Schedule.from_grid("1" * 168) == Schedule("1" * 168) != Schedule("0" + "1" * 167)
    assert len({Schedule.from_window(22, 0), Schedule.from_window(22, 0)}) == 1


# --- allows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "zone", "at", "allowed"),
    [
        ((9, 17, MON), "UTC", "2025-06-30T08:59:59.999999", False),
        ((9, 17, MON), "UTC", "2025-06-30T09:00", True),
        ((9, 17, MON), "UTC", "2025-06-30T16:59:59.999999", True),
        ((9, 17, MON), "UTC", "2025-06-30T17:00", False),
        ((9, 17, MON), "UTC", "2025-07-01T12:00", False),
        # Friday night in Berlin, two hours ahead of UTC.
        ((22, 2, FRI), "Europe/Berlin", "2025-07-04T19:59:59", False),
        ((22, 2, FRI), "Europe/Berlin", "2025-07-04T20:00", True),
        ((22, 2, FRI), "Europe/Berlin", "2025-07-04T23:59:59", True),
        ((22, 2, FRI), "Europe/Berlin", "2025-07-05T00:00", False),
        # The small hours of Friday belong to Thursday.
        ((22, 2, FRI), "Europe/Berlin", "2025-07-03T23:00", False),
        ((22, 2, SUN), "Europe/Berlin", "2025-07-06T23:00", True),
        ((22, 2, MON), "Europe/Berlin", "2025-07-06T23:00", False),
        ((9, 17, MON), "Asia/Kathmandu", "2025-06-30T03:14:59", False),
        ((9, 17, MON), "Asia/Kathmandu", "2025-06-30T03:15", True),
        # The repeated hour counts both times, the skipped one never.
        ((2, 3, SUN), "Europe/Berlin", "2025-10-26T00:30", True),
        ((2, 3, SUN), "Europe/Berlin", "2025-10-26T01:30", True),
        ((2, 3, SUN), "Europe/Berlin", "2025-10-26T02:00", False),
        ((2, 3, SUN), "Europe/Berlin", "2025-03-30T00:59:59", False),
        ((2, 3, SUN), "Europe/Berlin", "2025-03-30T01:00", False),
        ((0, 6, FRI), "Pacific/Apia", "2011-12-30T10:00", False),
        ((0, 6, SAT), "Pacific/Apia", "2011-12-30T10:00", True),
    ],
)
def test_an_instant_is_judged_by_the_local_wall(
    window: tuple[int, int, int], zone: str, at: str, *, allowed: bool
) -> None:
    assert Schedule.from_window(*window).allows(utc(at), ZoneInfo(zone)) is allowed


def test_a_wall_time_that_never_was_counts_as_the_instant_it_stands_for() -> None:
    # Berlin's clocks went from 02:00 to 03:00. 02:30 stands for 03:30.
    berlin = ZoneInfo("Europe/Berlin")
    skipped = datetime(2025, 3, 30, 2, 30, tzinfo=berlin)
    assert not Schedule.from_window(2, 3).allows(skipped, berlin)
    assert Schedule.from_window(3, 4).next_opening(skipped, berlin) == skipped.astimezone(UTC)


@pytest.mark.parametrize("method", ["allows", "next_opening", "next_closing"])
def test_a_naive_moment_is_refused(method: str) -> None:
    naive = utc("2025-07-01T12:00").replace(tzinfo=None)
    with pytest.raises(ValueError, match="needs a time zone"):
        getattr(Schedule.from_window(9, 17), method)(naive, ZoneInfo("UTC"))


# --- next_opening, next_closing --------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "zone", "at", "opens", "closes"),
    [
        # Open now: at once, to the microsecond. The end is excluded.
        ((9, 17, MON), "UTC", "2025-06-30T09:00", "2025-06-30T09:00", "2025-06-30T17:00"),
        (
            (9, 17, MON),
            "UTC",
            "2025-06-30T16:59:59.999999",
            "2025-06-30T16:59:59.999999",
            "2025-06-30T17:00",
        ),
        # Closed now: it closes at once, and opens in a moment or in a week.
        (
            (9, 17, MON),
            "UTC",
            "2025-06-30T08:59:59.999999",
            "2025-06-30T09:00",
            "2025-06-30T08:59:59.999999",
        ),
        ((9, 17, MON), "UTC", "2025-06-30T17:00", "2025-07-07T09:00", "2025-06-30T17:00"),
        # Over midnight, over the end of the week and of the year.
        ((22, 6, SUN), "UTC", "2024-12-29T22:30", "2024-12-29T22:30", "2024-12-30T06:00"),
        ((22, 0, ALL_WEEKDAYS), "UTC", "2024-12-31T23:00", "2024-12-31T23:00", "2025-01-01T00:00"),
        ((9, 17, MON), "Asia/Kathmandu", "2025-06-29T12:00", "2025-06-30T03:15", None),
        ((9, 17, MON), "Asia/Kathmandu", "2025-06-30T05:00", None, "2025-06-30T11:15"),
        # Berlin, spring: 02:00 to 03:00 is skipped at 01:00 UTC.
        ((1, 3, SUN), "Europe/Berlin", "2025-03-30T00:10", None, "2025-03-30T01:00"),
        ((3, 5, SUN), "Europe/Berlin", "2025-03-30T00:10", "2025-03-30T01:00", None),
        ((3, 5, SUN), "Europe/Berlin", "2025-03-30T01:10", None, "2025-03-30T03:00"),
        ((2, 3, ALL_WEEKDAYS), "Europe/Berlin", "2025-03-30T00:10", "2025-03-31T00:00", None),
        # The only hour of the week is the skipped one: nearly two weeks from closing to opening.
        ((2, 3, SUN), "Europe/Berlin", "2025-03-23T02:00", "2025-04-06T00:00", None),
        # A window that spans the change: Saturday 20:00 to Sunday 10:00, an hour short.
        ((20, 10, SAT), "Europe/Berlin", "2025-03-29T12:00", "2025-03-29T19:00", None),
        ((20, 10, SAT), "Europe/Berlin", "2025-03-29T20:00", None, "2025-03-30T08:00"),
        # Berlin, autumn: 02:00 to 03:00 comes twice from 00:00 UTC.
        ((2, 3, SUN), "Europe/Berlin", "2025-10-25T12:00", "2025-10-26T00:00", None),
        ((2, 3, SUN), "Europe/Berlin", "2025-10-26T00:00", None, "2025-10-26T02:00"),
        ((3, 4, SUN), "Europe/Berlin", "2025-10-26T00:30", "2025-10-26T02:00", None),
        ((1, 2, SUN), "Europe/Berlin", "2025-10-25T23:30", None, "2025-10-26T00:00"),
        # Sao Paulo, spring: midnight is skipped at 03:00 UTC, Sunday begins at 01:00.
        ((0, 1, ALL_WEEKDAYS), "America/Sao_Paulo", "2018-11-03T12:00", "2018-11-05T02:00", None),
        ((23, 0, SAT), "America/Sao_Paulo", "2018-11-04T02:30", None, "2018-11-04T03:00"),
        ((22, 2, SAT), "America/Sao_Paulo", "2018-11-04T02:30", None, "2018-11-04T04:00"),
        ((1, 2, SUN), "America/Sao_Paulo", "2018-11-04T02:30", "2018-11-04T03:00", None),
        # Sao Paulo, autumn: at 02:00 UTC it is 23:00 on Saturday again.
        ((23, 0, SAT), "America/Sao_Paulo", "2018-02-18T01:30", None, "2018-02-18T03:00"),
        ((0, 1, SUN), "America/Sao_Paulo", "2018-02-18T01:30", "2018-02-18T03:00", None),
        # Lord Howe, spring: 02:00 to 02:30 is skipped at 15:30 UTC, half an hour is left.
        ((2, 3, SUN), "Australia/Lord_Howe", "2024-10-05T12:00", "2024-10-05T15:30", None),
        ((2, 3, SUN), "Australia/Lord_Howe", "2024-10-05T15:30", None, "2024-10-05T16:00"),
        # Lord Howe, autumn: 01:30 to 02:00 comes twice, so the hour from 1 lasts till 15:30 UTC.
        ((1, 2, SUN), "Australia/Lord_Howe", "2025-04-05T12:00", "2025-04-05T14:00", None),
        ((1, 2, SUN), "Australia/Lord_Howe", "2025-04-05T14:00", None, "2025-04-05T15:30"),
        ((2, 3, SUN), "Australia/Lord_Howe", "2025-04-05T14:00", "2025-04-05T15:30", None),
        # St. John's: Sunday begins, is Saturday again after a minute, and begins again.
        ((0, 1, SUN), "America/St_Johns", "2009-11-01T02:00", "2009-11-01T02:30", None),
        ((0, 1, SUN), "America/St_Johns", "2009-11-01T02:30", None, "2009-11-01T02:31"),
        ((0, 1, SUN), "America/St_Johns", "2009-11-01T02:31", "2009-11-01T03:30", None),
        ((0, 1, SUN), "America/St_Johns", "2009-11-01T03:30", None, "2009-11-01T04:30"),
        # Apia had no Friday 2011-12-30: Thursday's night ends at midnight, which is Saturday.
        ((22, 4, THU), "Pacific/Apia", "2011-12-29T20:00", "2011-12-30T08:00", None),
        ((22, 4, THU), "Pacific/Apia", "2011-12-30T08:00", None, "2011-12-30T10:00"),
        ((8, 20, FRI), "Pacific/Apia", "2011-12-29T20:00", "2012-01-05T18:00", None),
    ],
)
def test_when_it_next_opens_and_closes(
    window: tuple[int, int, int], zone: str, at: str, opens: str | None, closes: str | None
) -> None:
    # Where the table leaves one out, it is the moment itself.
    schedule, moment = Schedule.from_window(*window), utc(at)
    opening = schedule.next_opening(moment, ZoneInfo(zone))
    closing = schedule.next_closing(moment, ZoneInfo(zone))
    assert (opening, closing) == (utc(opens or at), utc(closes or at))
    assert opening is not None
    assert closing is not None
    assert opening.tzinfo is closing.tzinfo is UTC


def test_always_open_never_closes() -> None:
    always, moment = Schedule("1" * 168), utc("2025-03-30T00:59:59.5")
    assert always.next_opening(moment, ZoneInfo("Europe/Berlin")) == moment
    assert always.next_closing(moment, ZoneInfo("Europe/Berlin")) is None


def test_the_answer_is_utc_whatever_zone_was_asked_in() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    moment = datetime(2025, 6, 30, 12, tzinfo=berlin)
    for schedule in (Schedule.from_window(9, 17), Schedule.from_window(18, 20)):
        for found in (schedule.next_opening(moment, berlin), schedule.next_closing(moment, berlin)):
            assert found is not None
            assert found.tzinfo is UTC


# Instants at which the clocks of a zone were changed, and one zone where they never are.
CHANGES = [
    ("Europe/Berlin", "2025-03-30T01:00"),
    ("Europe/Berlin", "2025-10-26T01:00"),
    ("America/Sao_Paulo", "2018-11-04T03:00"),
    ("America/Sao_Paulo", "2018-02-18T02:00"),
    ("America/Havana", "2024-11-03T05:00"),
    ("America/St_Johns", "2009-03-08T03:31"),
    ("America/St_Johns", "2009-11-01T02:31"),
    ("Antarctica/Casey", "2010-03-04T15:00"),
    ("Australia/Lord_Howe", "2024-10-05T15:30"),
    ("Australia/Lord_Howe", "2025-04-05T15:00"),
    ("Africa/Casablanca", "2025-02-23T02:00"),
    ("Asia/Gaza", "2020-03-27T22:00"),
    ("Asia/Gaza", "2016-10-28T22:00"),
    ("Asia/Kathmandu", "1985-12-31T18:30"),
    ("Asia/Kathmandu", "2025-06-30T18:15"),
    ("Pacific/Apia", "2011-12-30T10:00"),
]
changes = st.sampled_from(CHANGES).map(lambda change: (ZoneInfo(change[0]), utc(change[1])))
minutes_around = st.integers(-8 * 24 * 60, 24 * 60) | st.integers(-180, 180)
seconds_around = st.floats(-8 * 86_400, 86_400) | st.floats(-7200, 7200)


@settings(deadline=None)  # a scan of two weeks takes its time on a busy machine
@given(grid=grids, change=changes, minutes=minutes_around)
def test_the_next_change_is_the_one_a_scan_by_the_minute_finds(
    grid: str, change: tuple[ZoneInfo, datetime], minutes: int
) -> None:
    # Wall hours and clock changes all fall on full minutes here, so the scan is exact.
    zone, moment = change[0], change[1] + minutes * MINUTE
    schedule, is_open = Schedule(grid), grid_is_open(grid, moment, zone)
    find = schedule.next_closing if is_open else schedule.next_opening
    scan = (moment + minute * MINUTE for minute in range(15 * 24 * 60))
    expected = next((at for at in scan if grid_is_open(grid, at, zone) != is_open), None)
    assert find(moment, zone) == expected


@given(grid=grids, change=changes, seconds=seconds_around)
def test_the_next_change_is_exact_to_the_microsecond(
    grid: str, change: tuple[ZoneInfo, datetime], seconds: float
) -> None:
    zone, moment = change[0], change[1] + timedelta(seconds=seconds)
    schedule = Schedule(grid)
    finds: list[tuple[Callable[..., datetime | None], bool]] = [
        (schedule.next_opening, True),
        (schedule.next_closing, False),
    ]
    for find, wanted in finds:
        found = find(moment, zone)
        if schedule.allows(moment, zone) is wanted:
            assert found == moment
        elif found is not None:
            assert schedule.allows(found, zone) is wanted
            assert schedule.allows(found - TICK, zone) is not wanted


# --- parse_weekdays --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "weekdays"),
    [
        ("mon", MON),
        ("Sunday", SUN),
        ("mo,tu,we,th,fr,sa,su", ALL_WEEKDAYS),
        ("mon,wed,sun", MON | WED | SUN),
        ("mon-fri", MON | TUE | WED | THU | FRI),
        ("MON-FRI", MON | TUE | WED | THU | FRI),
        (" Mon - Wed , Sat ", MON | TUE | WED | SAT),
        ("mon wed; thurs", MON | WED | THU),
        ("tues\u2013thurs", TUE | WED | THU),
        ("mon-mon", MON),
        ("fri-mon", FRI | SAT | SUN | MON),
        ("sun-sat", ALL_WEEKDAYS),
        ("mon-wed,tue-thu", MON | TUE | WED | THU),
        ("mon,mon,", MON),
        ("all", ALL_WEEKDAYS),
        ("ALL", ALL_WEEKDAYS),
        ("Every  day", ALL_WEEKDAYS),
    ],
)
def test_weekdays_are_read_as_people_write_them(text: str, weekdays: int) -> None:
    assert parse_weekdays(text) == weekdays


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", '"" is not a weekday'),
        (" , ", '"" is not a weekday'),
        ("m", '"m" is not a weekday'),
        ("moon", '"moon" is not a weekday'),
        ("mondays", '"mondays" is not a weekday'),
        ("-", '"" is not a weekday'),
        ("mon-", '"" is not a weekday'),
        ("-fri", '"" is not a weekday'),
        ("mon-wed-fri", '"wed-fri" is not a weekday'),
        ("mon,all", '"all" is not a weekday'),
        # Is 0 Monday or Sunday? Is 1 the first or the second day? Not ours to guess.
        ("0,1,2", '"0" is not a weekday: write names'),
        ("127", '"127" is not a weekday: write names'),
        ("x" * 200, f'"{"x" * 20}" is not a weekday'),
        ("mon," * 51, "shorter"),
        (None, "as a text"),
        (127, "as a text"),
        (["mon"], "as a text"),
    ],
)
def test_weekdays_that_cannot_be_read_are_refused(text: str, says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        parse_weekdays(text)


@pytest.mark.parametrize("weekdays", range(1, ALL_WEEKDAYS + 1))
def test_weekdays_in_words_read_back_as_they_were(weekdays: int) -> None:
    _, words = describe(9, 17, weekdays).split(", ", 1)
    assert parse_weekdays(words) == weekdays


# --- describe, describe_grid -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "weekdays", "words"),
    [
        (22, 6, MON | TUE | WED | THU | FRI, "22:00-06:00, Mon-Fri"),
        (9, 17, ALL_WEEKDAYS, "09:00-17:00, every day"),
        (22, 0, FRI, "22:00-24:00, Fri"),
        (0, 6, SAT | SUN, "00:00-06:00, Sat-Sun"),
        (9, 17, MON | WED | THU | FRI | SUN, "09:00-17:00, Mon, Wed-Fri, Sun"),
    ],
)
def test_a_window_in_words(start: int, end: int, weekdays: int, words: str) -> None:
    assert describe(start, end, weekdays) == dashed(words)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ([OFFICE_DAY] * 5 + [SHORT_DAY, CLOSED_DAY], "Mon-Fri 09:00-17:00; Sat 10:00-14:00"),
        ([OFFICE_DAY] * 7, "every day 09:00-17:00"),
        ([OPEN_DAY] * 7, "every day, all hours"),
        ([OPEN_DAY] * 5 + [CLOSED_DAY] * 2, "Mon-Fri 00:00-24:00"),
        ([OFFICE_DAY, SHORT_DAY] * 3 + [CLOSED_DAY],
         "Mon, Wed, Fri 09:00-17:00; Tue, Thu, Sat 10:00-14:00"),
        (["0" * 9 + "1110" + "1" * 4 + "0" * 7] * 7, "every day 09:00-12:00, 13:00-17:00"),
        (["0" * 23 + "1"] + [CLOSED_DAY] * 6, "Mon 23:00-24:00"),
        (["11" + "0" * 20 + "11"] + [CLOSED_DAY] * 6, "Mon 00:00-02:00, 22:00-24:00"),
        # Over midnight: on the day it begins, also from Sunday to Monday.
        (["1" * 6 + "0" * 16 + "11"] * 7, "every day 22:00-06:00"),
        (["1" + "0" * 23] + [CLOSED_DAY] * 5 + ["0" * 23 + "1"], "Sun 23:00-01:00"),
        # A whole day long or longer: cut at midnight, or it could be read as nothing at all.
        (["0" * 12 + "1" * 12, "1" * 12 + "0" * 12] + [CLOSED_DAY] * 5,
         "Mon 12:00-24:00; Tue 00:00-12:00"),
        (["1" * 6 + "0" * 18] + [CLOSED_DAY] * 3 + ["0" * 20 + "1" * 4] + [OPEN_DAY] * 2,
         "Mon 00:00-06:00; Fri 20:00-24:00; Sat-Sun 00:00-24:00"),
        (["10" * 12] * 7, "custom, 84 of 168 hours"),
    ],
)  # fmt: skip
def test_a_grid_in_words(days: list[str], words: str) -> None:
    assert describe_grid("\n".join(days)) == dashed(words)


@given(window=windows)
def test_a_window_is_worded_alike_as_a_grid(window: tuple[int, int, int]) -> None:
    hours, days = describe(*window).split(", ", 1)
    assert describe_grid(Schedule.from_window(*window).hours) == f"{days} {hours}"


@given(grid=grids)
def test_a_grid_in_words_is_short_and_true(grid: str) -> None:
    words = describe_grid(grid)
    assert len(words) <= MAX_DESCRIPTION
    if words.startswith("custom"):
        assert words == f"custom, {grid.count('1')} of 168 hours"
    else:
        assert _grid_from_words(words) == grid


def _grid_from_words(words: str) -> str:
    hours = ["0"] * 168
    for part in words.replace(", all hours", dashed(" 00:00-24:00")).split("; "):
        spans = re.findall(dashed(r"(\d\d):00-(\d\d):00"), part)
        weekdays = parse_weekdays(part[: part.index(":") - 3])
        for start, end in spans:
            length = (int(end) - int(start) - 1) % 24 + 1
            for begins in (day * 24 + int(start) for day in range(7) if weekdays >> day & 1):
                for hour in range(begins, begins + length):
                    hours[hour % 168] = "1"
    return "".join(hours)
