"""Budget days and months: which one an instant falls in, and when the next one begins.

A budget day is a calendar day on the wall clock of the brand's time zone. Wall clocks are
changed: midnight can be skipped, come twice, or take a whole day with it. So everything here
goes from a UTC instant to a local date, which is always defined, and inverts that mapping where
the beginning of a day is wanted.

The inversion counts on one property of the time zone database: two changes of a zone's UTC
offset lie at least a day apart (the closest it has are more than three days apart).

Instants whose local date would fall outside the years 1 to 9999 raise ``OverflowError`` or
``ValueError``, as ``datetime`` itself does.
"""

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

TOTAL_START = date(1970, 1, 1)
"""The one key of the period that never turns."""

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Period(enum.IntEnum):
    """What a counter counts over. The values are stored: never change one."""

    DAY = 1
    MONTH = 2
    TOTAL = 3


@dataclass(frozen=True, slots=True)
class LocalNow:
    """One instant, read off the calendar and the wall clock of one time zone."""

    zone: str
    """IANA name, as in ``Europe/Berlin``."""
    day: date
    """The budget day."""
    month: date
    """The first day of the budget month."""
    weekday: int
    """0 is Monday, 6 is Sunday."""
    hour: int
    """0 to 23."""


def as_utc(moment: datetime) -> datetime:
    """The same instant in UTC; raises ``ValueError`` for a naive datetime."""
    if moment.tzinfo is UTC:  # nearly always, and this runs for every spend event
        return moment
    if moment.utcoffset() is None:
        raise ValueError(f"a moment needs a time zone, {moment.isoformat()} has none")
    return moment.astimezone(UTC)


def local_date(moment: datetime, zone: ZoneInfo) -> date:
    """The budget day of an instant; raises ``ValueError`` for a naive datetime."""
    # By way of UTC: astimezone() to the zone a datetime is already in would hand back a wall
    # time that a clock change skipped, date and all.
    return as_utc(moment).astimezone(zone).date()


def local_hour(moment: datetime, zone: ZoneInfo) -> tuple[int, int]:
    """Weekday (0 is Monday) and hour (0 to 23); raises ``ValueError`` for a naive datetime."""
    local = as_utc(moment).astimezone(zone)
    return local.weekday(), local.hour


def local_now(moment: datetime, zone: ZoneInfo) -> LocalNow:
    """Everything the rules ask of the local clock; raises ``ValueError`` for a naive datetime."""
    local = as_utc(moment).astimezone(zone)
    day = local.date()
    return LocalNow(
        zone=zone.key,
        day=day,
        month=day.replace(day=1),
        weekday=local.weekday(),
        hour=local.hour,
    )


def period_start(period: Period, day: date) -> date:
    """The key of the period a budget day is in: the day, the 1st of its month or ``TOTAL_START``.

    Raises ``TypeError`` for a datetime, whose date may not be the brand's.
    """
    _refuse_datetime(day)
    match period:
        case Period.DAY:
            return day
        case Period.MONTH:
            return day.replace(day=1)
        case Period.TOTAL:
            return TOTAL_START


def day_begins(day: date, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) whose local date is ``day``.

    Where a zone left the day out (Pacific/Apia had no 2011-12-30), the first instant of the next
    day there is. Raises ``TypeError`` for a datetime.
    """
    _refuse_datetime(day)
    midnight = datetime.combine(day, time())
    # fold=0, the default, is the first of two midnights.
    first = midnight.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == midnight:
        return first
    # The clock jumped over midnight, so the day begins at the jump. Reading the skipped midnight
    # with the offset after the jump (fold=1) gives an instant before it, and the other way round.
    before_jump = midnight.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return offset_change(before_jump, first, zone)


def next_day_begins(moment: datetime, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) after ``moment`` with a later local date than ``moment`` has.

    Raises ``ValueError`` for a naive datetime.
    """
    return _next_begins(local_date(moment, zone) + _DAY, moment, zone)


def next_month_begins(moment: datetime, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) after ``moment`` in a later local month than ``moment`` is in.

    Raises ``ValueError`` for a naive datetime.
    """
    day = local_date(moment, zone)
    in_next_month = day.replace(day=1) + 31 * _DAY  # no month has more days
    return _next_begins(in_next_month.replace(day=1), moment, zone)


def offset_change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) at which the zone's UTC offset is no longer the one at ``low``.

    Both ends are UTC, at most a day apart, and the offset at ``high`` differs from that at ``low``.
    Found by bisecting whole seconds, which is what the time zone database counts in.
    """
    low = low.replace(microsecond=0)
    offset = low.astimezone(zone).utcoffset()
    unchanged, changed = 0, (high - low) // _SECOND
    while changed - unchanged > 1:
        middle = (unchanged + changed) // 2
        if (low + middle * _SECOND).astimezone(zone).utcoffset() == offset:
            unchanged = middle
        else:
            changed = middle
    return low + changed * _SECOND


def _next_begins(day: date, moment: datetime, zone: ZoneInfo) -> datetime:
    """When ``day`` next begins after ``moment``, whose local date is earlier."""
    begins = day_begins(day, zone)
    if begins > as_utc(moment):
        return begins
    # The day had already begun once when the clock went back into the day before, as St. John's
    # did at 00:01 every autumn: what lies ahead is the second midnight.
    return datetime.combine(day, time(fold=1), tzinfo=zone).astimezone(UTC)


def _refuse_datetime(day: date) -> None:
    # A datetime passes for a date everywhere, also with the type checker, and would be taken at
    # its UTC date, which is the wrong budget day for hours of every day.
    if isinstance(day, datetime):
        raise TypeError("a budget day is a date, not a datetime: take local_date() first")
