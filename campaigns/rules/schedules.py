"""Dayparting: the hours of the week in which a campaign may spend.

A schedule is a week of 168 wall-clock hours. An hour that a clock change skips never comes, one
that it repeats counts twice: an instant is judged by what the clock on the brand's wall says.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from campaigns.rules.periods import as_utc, offset_change

ALL_WEEKDAYS = 0b1111111
"""Weekdays are a bit mask: bit 0 is Monday, bit 6 is Sunday."""

DAY_HOURS = 24
WEEK_HOURS = 7 * DAY_HOURS

MAX_DESCRIPTION = 80
"""The most characters ``describe_grid`` returns."""

_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_LABELS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EVERY_DAY = "every day"
_TO = "\N{EN DASH}"
_MAX_WEEKDAYS_TEXT = 200

# A week and its slack would do, if every hour of the week came every week. But the only open hour
# can be one that the spring change skips, and then it is two weeks from one to the next.
_HORIZON = timedelta(days=15)
_HOUR = timedelta(hours=1)


class ScheduleError(ValueError):
    """A schedule that can't be. The message is one sentence for people and says what to do."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A week of local hours, at least one of them open; ``ScheduleError`` for anything else."""

    hours: str
    """168 characters, Monday 00:00 first: ``1`` where the campaign may spend, ``0`` where not."""

    def __post_init__(self) -> None:
        if self.hours.strip("01"):
            raise ScheduleError("A grid is written with the characters 0 (closed) and 1 (open) only.")
        if len(self.hours) != WEEK_HOURS:
            raise ScheduleError(
                f"A grid needs {WEEK_HOURS} hours, 7 days of {DAY_HOURS} from Monday 00:00 on:"
                f" this one has {len(self.hours)}."
            )
        if "1" not in self.hours:
            raise ScheduleError("A grid needs at least one open hour: to stop a campaign, pause it instead.")

    @classmethod
    def from_window(cls, start_hour: int, end_hour: int, weekdays: int = ALL_WEEKDAYS) -> "Schedule":
        """The same hours on each of some weekdays.

        Hours are 0 to 23, start included, end excluded. An end not after the start runs past
        midnight and belongs to the weekday it began on; so 22 to 0 is the last two hours of the
        day. Raises ``ScheduleError`` for equal hours and for anything out of range.
        """
        _check_window(start_hour, end_hour, weekdays)
        hours = ["0"] * WEEK_HOURS
        length = (end_hour - start_hour) % DAY_HOURS
        for weekday in range(7):
            if weekdays >> weekday & 1:
                begins = weekday * DAY_HOURS + start_hour
                for hour in range(begins, begins + length):
                    hours[hour % WEEK_HOURS] = "1"  # Sunday night runs into Monday
        return cls("".join(hours))

    @classmethod
    def from_grid(cls, grid: str) -> "Schedule":
        """A week given hour by hour: 168 of ``0`` and ``1``, Monday 00:00 first.

        White space is ignored. Raises ``ScheduleError``, also if there are seven lines and one of
        them is not 24 hours long.
        """
        if not isinstance(grid, str):
            raise ScheduleError(f"A grid is a text of {WEEK_HOURS} characters, each 0 (closed) or 1 (open).")
        lines = [packed for line in grid.splitlines() if (packed := "".join(line.split()))]
        if len(lines) == 7:
            # One day short and another long would add up, with the hours between them shifted.
            for label, line in zip(_DAY_LABELS, lines, strict=True):
                if len(line) != DAY_HOURS:
                    raise ScheduleError(f"Each line of a grid needs {DAY_HOURS} hours: {label} has {len(line)}.")
        return cls("".join(lines))

    def allows(self, moment: datetime, zone: ZoneInfo) -> bool:
        """Whether the campaign may spend at this instant; ``ValueError`` for a naive datetime."""
        return self.hours[_hour_of_week(as_utc(moment).astimezone(zone))] == "1"

    def next_opening(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first instant (UTC) from ``moment`` on that is allowed: ``moment`` itself if it is.

        None if there is none within 15 days. Raises ``ValueError`` for a naive datetime.
        """
        return self._first(moment, zone, "1")

    def next_closing(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first instant (UTC) from ``moment`` on that is not allowed: ``moment`` if it isn't.

        None if every hour is open. Raises ``ValueError`` for a naive datetime.
        """
        return self._first(moment, zone, "0")

    def _first(self, moment: datetime, zone: ZoneInfo, wanted: str) -> datetime | None:
        """The first instant from ``moment`` on whose local hour is marked ``wanted``.

        Goes in leaps to the next such hour, as if the UTC offset stayed as it is. Where it did
        not, goes only to the change and looks at the clock again. A leap is at most a day, so
        that no two changes can hide in it (see ``periods``): at most about 20 turns.
        """
        instant = as_utc(moment)
        horizon = instant + _HORIZON
        while instant < horizon:
            local = instant.astimezone(zone)
            now = _hour_of_week(local)
            ahead = (self.hours * 2).find(wanted, now) - now
            if ahead == 0:
                return instant
            if ahead < 0:
                return None
            past_hour = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
            landing = instant + min(ahead, DAY_HOURS) * _HOUR - past_hour
            if landing.astimezone(zone).utcoffset() != local.utcoffset():
                landing = offset_change(instant, landing, zone)
            instant = landing
        return None


def parse_weekdays(text: str) -> int:
    """Weekdays as people write them, as a bit mask: ``mon-fri``, ``mon,wed,sun``, ``all``.

    English names, whole or shortened to two letters or more; ranges may run past Sunday. Raises
    ``ScheduleError``, also for numbers: some count from Sunday, some from Monday, some from 1.
    """
    if not isinstance(text, str):
        raise ScheduleError("Write the weekdays as a text, for example mon-fri or sat,sun.")
    if len(text) > _MAX_WEEKDAYS_TEXT:
        raise ScheduleError("Write the weekdays shorter, for example mon-fri or sat,sun.")
    plain = re.sub(r"\s*[-\u2013\u2014]\s*", "-", " ".join(text.lower().split()))
    if plain in ("all", _EVERY_DAY):
        return ALL_WEEKDAYS
    weekdays = 0
    for item in re.split(r"[\s,;]+", plain.strip(" ,;")):
        first, dash, last = item.partition("-")
        begins = _weekday(first)
        span = (_weekday(last) - begins) % 7 if dash else 0
        for weekday in range(begins, begins + span + 1):
            weekdays |= 1 << weekday % 7
    return weekdays


def describe(start_hour: int, end_hour: int, weekdays: int) -> str:
    """A window in words for people: ``22:00-06:00, Mon-Fri``, with en dashes.

    Raises ``ScheduleError`` as ``Schedule.from_window``.
    """
    _check_window(start_hour, end_hour, weekdays)
    return f"{_clock(start_hour, end_hour)}, {_days_text(weekdays)}"


def describe_grid(grid: str) -> str:
    """A week in words for people: ``Mon-Fri 09:00-17:00; Sat 10:00-14:00``, with en dashes.

    Hours that run past midnight are named on the weekday they begin on. What would take more than
    ``MAX_DESCRIPTION`` characters is only counted: ``custom, 61 of 168 hours``. Raises
    ``ScheduleError`` as ``Schedule.from_grid``.
    """
    hours = Schedule.from_grid(grid).hours
    if "0" not in hours:
        return f"{_EVERY_DAY}, all hours"
    weekdays_of: dict[str, int] = {}  # what a day looks like -> the days that look like it
    for weekday, spans in enumerate(_spans_by_day(hours)):
        if spans:
            clocks = ", ".join(_clock(start, end) for start, end in spans)
            weekdays_of[clocks] = weekdays_of.get(clocks, 0) | 1 << weekday
    text = "; ".join(f"{_days_text(weekdays)} {clocks}" for clocks, weekdays in weekdays_of.items())
    if len(text) > MAX_DESCRIPTION:
        return f"custom, {hours.count('1')} of {WEEK_HOURS} hours"
    return text


def _check_window(start_hour: int, end_hour: int, weekdays: int) -> None:
    for name, hour in (("start", start_hour), ("end", end_hour)):
        if not _is_int(hour) or not 0 <= hour < DAY_HOURS:
            advice = " (0 ends it at midnight)" if name == "end" else ""
            raise ScheduleError(f"The {name} hour must be a whole number from 0 to 23{advice}.")
    if start_hour == end_hour:
        raise ScheduleError(
            f"The start and end hour are both {start_hour}, which could mean never or always:"
            " to run all day, remove the schedule."
        )
    if not _is_int(weekdays) or not 1 <= weekdays <= ALL_WEEKDAYS:
        raise ScheduleError(
            f"The weekdays must be a number from 1 to {ALL_WEEKDAYS}: Monday 1, Tuesday 2,"
            " Wednesday 4 and so on to Sunday 64, added up."
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _hour_of_week(local: datetime) -> int:
    return local.weekday() * DAY_HOURS + local.hour


def _weekday(name: str) -> int:
    """Monday=0 from an English name or its first letters, in lower case."""
    for weekday, full in enumerate(_DAY_NAMES):
        if len(name) >= 2 and full.startswith(name):
            return weekday
    shown = repr(name[:20])[1:-1]  # what can't be printed is written out
    raise ScheduleError(f'"{shown}" is not a weekday: write names, for example mon-fri or sat,sun.')


def _days_text(weekdays: int) -> str:
    """``Mon-Fri``, ``Mon, Wed``, ``every day``; neighbouring days become a range."""
    if weekdays == ALL_WEEKDAYS:
        return _EVERY_DAY
    marks = "".join("1" if weekdays >> weekday & 1 else "0" for weekday in range(7))
    runs = [(run.start(), run.end() - 1) for run in re.finditer("1+", marks)]
    return ", ".join(_DAY_LABELS[first] + (f"{_TO}{_DAY_LABELS[last]}" if last > first else "") for first, last in runs)


def _clock(start_hour: int, end_hour: int) -> str:
    return f"{start_hour:02}:00{_TO}{end_hour or DAY_HOURS:02}:00"


def _spans_by_day(hours: str) -> list[list[tuple[int, int]]]:
    """Per weekday, the open spans that begin on it as (start hour, end hour), in order.

    A span that runs past midnight keeps to the day it began on, as a window does, if it is
    shorter than a day; a longer one is cut at each midnight. At least one hour is closed.
    """
    spans: list[list[tuple[int, int]]] = [[] for _ in range(7)]
    # Begin reading after a closed hour, so that no span is torn where the week wraps.
    turn = hours.index("0")
    for run in re.finditer("1+", hours[turn:] + hours[:turn]):
        begins, ends = run.start() + turn, run.end() + turn
        whole = ends - begins < DAY_HOURS
        while begins < ends:
            weekday, start = divmod(begins % WEEK_HOURS, DAY_HOURS)
            stops = ends if whole else min(ends, begins + DAY_HOURS - start)
            spans[weekday].append((start, stops % DAY_HOURS))
            begins = stops
    return [sorted(day) for day in spans]
