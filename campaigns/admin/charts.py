"""Charts as geometry: what a template needs to draw one as SVG, in percent of the drawing's width and height.

They are drawn on the server, so that a page shows them without a script, a refresh is a piece of HTML, and every mark
has its words: a title for the pointer and a table for those who can't see it. All arithmetic is in integers.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from campaigns.admin import words
from campaigns.queries.activity import ActiveStep, ActiveSteps, DaySpent, HourPoint, Stretch
from campaigns.rules import periods, reasons
from campaigns.rules.reasons import Reason

HEADROOM = 108
"""The height of a chart in percent of its highest value, so that nothing touches the upper edge."""


PARTS = 288
"""The parts of a day that are told apart when many things happened: five minutes each."""


NARROWEST = 60
"""The width of the last step of a day, in ten thousandths of it, however short it is: it is what has just come in."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One column of a chart. x, width: its place. y, height: its bar from the top; ghost_*: a paler one behind it.

    rises_from: the upper edge of the column before, where steps are drawn.
    """

    label: str
    text: str
    x: str
    width: str
    y: str = "100%"
    height: str = "0%"
    ghost_y: str = "100%"
    ghost_height: str = "0%"
    tone: str = "blue"
    end: str = ""
    rises_from: str = "100%"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A word below a chart, at its place; `anchor` is where the word's own middle is."""

    text: str
    x: str
    anchor: str = "middle"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A horizontal line across a chart with its word."""

    text: str
    y: str
    tone: str = "gray"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A line that is no step: `points` as SVG takes them, in ten thousandths of the drawing's width and height.

    kind: target or forecast. key: what the line is, in the legend. text: what it says, for who can't see it; area: what
    lies around it, as another shape.
    """

    kind: str
    key: str
    text: str
    points: str
    area: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A point of a chart with its word, which stands left of it where there is no room on its right."""

    text: str
    x: str
    y: str
    anchor: str = "start"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What is expected of the rest of a day. course: what will have been spent by some moments, from now to the end.

    low, high: between what the day will probably end. runs_out_at: when the budget will have been spent.
    """

    course: Sequence[HourPoint]
    low: int | None = None
    high: int | None = None
    runs_out_at: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What there is to draw. summary: the chart in a sentence. now: the place of the present moment, if it is shown."""

    summary: str
    marks: Sequence[Mark]
    ticks: Sequence[Tick]
    lines: Sequence[Line] = ()
    traces: Sequence[Trace] = ()
    pins: Sequence[Pin] = ()
    now: str = ""
    peak: str = ""


def percent(part: int, whole: int) -> str:
    """Return a share as SVG takes it, to a hundredth of a percent; nothing lies outside of the drawing."""
    hundredths = min(max(part, 0) * 10_000 // whole, 10_000) if whole > 0 else 0
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def hours(
    spent: Sequence[int | None], usual: Sequence[int], currency: str, *, usual_days: int, hour: int | None, summary: str
) -> Chart:
    """Return today's spend by hour as bars before paler ones of what is usual. None: an hour to come.

    usual_days: how many days before today the usual spend is the average of. hour: the present one.
    """
    top = _top([amount or 0 for amount in spent], usual)
    marks = [
        _bar(
            at,
            24,
            amount or 0,
            top,
            label=f"{at:02}:00",
            text=_hour_text(at, amount, usual[at], currency, usual_days),
            ghost=usual[at],
            tone="now" if at == hour else "blue",
        )
        for at, amount in enumerate(spent)
    ]
    ticks = [Tick(text=f"{at:02}:00", x=percent(at, 24), anchor="start") for at in range(0, 24, 4)]
    return Chart(summary=summary, marks=marks, ticks=ticks, peak=words.amount(_peak(top), currency))


def days(spent: Sequence[DaySpent], budget: int | None, currency: str) -> Chart:
    """Return the spend of some days as bars, the last one today, with the present daily budget as a line."""
    top = _top([amount for _, amount in spent], [budget or 0])
    marks = [
        _bar(
            at,
            len(spent),
            amount,
            top,
            label=words.date(day),
            text=f"{day:%a} {words.date(day)}: {words.amount(amount, currency)}",
            tone="now" if at == len(spent) - 1 else "blue",
        )
        for at, (day, amount) in enumerate(spent)
    ]
    ticks = [
        Tick(text=_short(spent[at][0]), x=_middle(at, len(spent)), anchor=anchor) for at, anchor in _spread(len(spent))
    ]
    total = words.amount(sum(amount for _, amount in spent), currency)
    summary = f"Spend of the last {len(spent)} days: {total} in all."
    lines = _budget_line(budget, top, currency)
    return Chart(summary=summary, marks=marks, ticks=ticks, lines=lines, peak=words.amount(_peak(top), currency))


def cumulative(
    points: Sequence[HourPoint],
    budget: int | None,
    currency: str,
    *,
    zone: ZoneInfo,
    now: datetime,
    target: Sequence[HourPoint] = (),
    ahead: Ahead | None = None,
) -> Chart:
    """Return how today's spend grew, as steps from midnight to midnight, with the daily budget as a line.

    target: what should have been spent by some moments, where it is paced. ahead: what is expected of the rest.
    """
    course = ahead.course if ahead else ()
    high = (ahead.high or 0) if ahead else 0
    top = _top([point.spent for point in (*points, *target, *course)], [budget or 0, high])
    starts, ends = _day(zone, now)
    frame = _Frame(starts, ends, top, zone, currency)
    marks: list[Mark] = []
    for before, point in itertools.pairwise(points):
        end = _place(point.moment, starts, ends)
        x = min(_place(before.moment, starts, ends), max(end - NARROWEST, 0))
        y, height = _column(point.spent, top)
        clock = f"{point.moment.astimezone(zone):%H:%M}"
        marks.append(
            Mark(
                label=clock,
                text=f"{clock}: {words.amount(point.spent, currency)}",
                x=percent(x, _WHOLE),
                width=percent(end - x, _WHOLE),
                y=y,
                height=height,
                tone="red" if budget is not None and point.spent >= budget else "blue",
                end=percent(end, _WHOLE),
                rises_from=marks[-1].y if marks else y,
            )
        )
    spent = words.amount(points[-1].spent if points else 0, currency)
    of = "" if budget is None else f" of {words.amount(budget, currency)}"
    return Chart(
        summary=f"Spent today: {spent}{of}.",
        marks=marks,
        ticks=_clock(zone, now),
        lines=_budget_line(budget, top, currency),
        traces=[*_target(target, now, frame), *_forecast(ahead, frame)],
        pins=_running_out(ahead, frame),
        now=_present(now, starts, ends),
        peak=words.amount(_peak(top), currency),
    )


def band(stretches: Sequence[Stretch], *, zone: ZoneInfo, now: datetime) -> Chart:
    """Return when a campaign was active or paused today, and why, from midnight to midnight."""
    starts, ends = _day(zone, now)
    marks = []
    for stretch in _longest(stretches, starts, ends):
        x, end = _place(stretch.start, starts, ends), _place(stretch.end, starts, ends)
        why = reasons.in_words(stretch.reasons)
        label = f"{stretch.start.astimezone(zone):%H:%M}–{_until(stretch.end, zone, now)}"
        marks.append(
            Mark(
                label=label,
                text=f"{label} {why}",
                x=percent(x, _WHOLE),
                width=percent(max(end - x, 2), _WHOLE),
                tone=words.tone(stretch.reasons),
            )
        )
    summary = "; ".join(mark.text for mark in marks) or "Nothing is known of today yet."
    return Chart(
        summary=f"{summary}.",
        marks=marks,
        ticks=_clock(zone, now),
        now=_present(now, starts, ends),
    )


def active(steps: ActiveSteps, *, zone: ZoneInfo, now: datetime) -> Chart:
    """Return how many of a brand's campaigns were active through the day."""
    starts, ends = _day(zone, now)
    top = max([step.campaigns for step in steps.steps], default=0)
    shown = _thinned(steps.steps, starts, ends)
    marks: list[Mark] = []
    following = [*(step.moment for step in shown[1:]), now]
    for step, until in zip(shown, following, strict=True):
        x, end = _place(step.moment, starts, ends), _place(until, starts, ends)
        y, height = _column(step.active, max(top * HEADROOM // 100, top))
        label = f"{step.moment.astimezone(zone):%H:%M}–{_until(until, zone, now)}"
        marks.append(
            Mark(
                label=label,
                text=f"{label} {step.active:,} of {step.campaigns:,} active",
                x=percent(x, _WHOLE),
                width=percent(max(end - x, 2), _WHOLE),
                y=y,
                height=height,
                tone="green",
                rises_from=marks[-1].y if marks else y,
            )
        )
    last = steps.steps[-1] if steps.steps else None
    summary = f"{last.active:,} of {last.campaigns:,} campaigns active now." if last else "No campaigns yet."
    return Chart(
        summary=summary,
        marks=marks,
        ticks=_clock(zone, now),
        now=_present(now, starts, ends),
        peak=f"{top:,}",
    )


# --- What is ahead -------------------------------------------------------------------------------


class _Frame(NamedTuple):
    """A day's drawing: what lies at its edges."""

    starts: datetime
    ends: datetime
    top: int
    zone: ZoneInfo
    currency: str

    def point(self, moment: datetime, spent: int) -> str:
        """A point as SVG takes it."""
        height = min(max(spent, 0) * _WHOLE // self.top, _WHOLE)
        return f"{_place(moment, self.starts, self.ends)},{_WHOLE - height}"

    def line(self, points: Iterable[HourPoint]) -> str:
        """Points as SVG takes them."""
        return " ".join(self.point(*point) for point in points)

    def said(self, point: HourPoint) -> str:
        """A point in words."""
        return f"{_end_of(point.moment, self.zone, self.ends)}: {words.about(point.spent, self.currency)}"


def _target(target: Sequence[HourPoint], now: datetime, frame: _Frame) -> list[Trace]:
    """What should be spent by when; in words, only what is to come of it."""
    if not target:
        return []
    coming = "; ".join(frame.said(point) for point in _every_fourth(target, now, frame.zone))
    text = f"Target of pacing, {coming}"
    return [Trace(kind="target", key="Target", text=text, points=frame.line(target))]


def _every_fourth(points: Sequence[HourPoint], now: datetime, zone: ZoneInfo) -> list[HourPoint]:
    """Points to come at the hours that stand below the chart, and the last one."""
    hourly = [point for point in points[:-1] if point.moment > now and _is_told(point.moment.astimezone(zone))]
    return [*hourly, points[-1]]


def _is_told(local: datetime) -> bool:
    return local.hour % 4 == 0 and local.minute == 0 and local.second == 0


def _forecast(ahead: Ahead | None, frame: _Frame) -> list[Trace]:
    """The way to the end of the day as it is expected, and how far beside it the end may lie."""
    if ahead is None or not ahead.course:
        return []
    last = ahead.course[-1]
    text = f"Forecast, {frame.said(last)}"
    area = ""
    if ahead.low is not None and ahead.high is not None:
        low, high = words.about(ahead.low, frame.currency), words.about(ahead.high, frame.currency)
        text = f"{text}, between {low} and {high} eight times of ten"
        above, below = _edge(ahead.course, ahead.high, max), _edge(ahead.course, ahead.low, min)
        area = frame.line([*above, *reversed(below)])
    points = frame.line(ahead.course)
    return [Trace(kind="forecast", key="Forecast", text=text, points=points, area=area)]


def _edge(course: Sequence[HourPoint], end: int, which: Callable[[int, int], int]) -> list[HourPoint]:
    """An edge of the range: as far from the course, at each point of it, as it has come towards its own end."""
    (_, first), (_, last) = course[0], course[-1]
    grown = last - first
    if grown <= 0:
        return [*course[:-1], HourPoint(course[-1].moment, which(last, end))]
    return [
        HourPoint(moment, which(spent, first + (spent - first) * (end - first) // grown)) for moment, spent in course
    ]


def _running_out(ahead: Ahead | None, frame: _Frame) -> list[Pin]:
    """Where the forecast reaches the budget."""
    if ahead is None or ahead.runs_out_at is None:
        return []
    place = _place(ahead.runs_out_at, frame.starts, frame.ends)
    y, _ = _column(ahead.course[-1].spent, frame.top)
    clock = _end_of(ahead.runs_out_at, frame.zone, frame.ends)
    anchor = "end" if place > _WHOLE * 17 // 20 else "start"
    return [Pin(text=clock, x=percent(place, _WHOLE), y=y, anchor=anchor)]


def _end_of(moment: datetime, zone: ZoneInfo, ends: datetime) -> str:
    """A time of the day; the end of the day is not the beginning of one."""
    return "24:00" if moment >= ends else f"{moment.astimezone(zone):%H:%M}"


# --- Places --------------------------------------------------------------------------------------

_WHOLE = 10_000


def _top(*series: Sequence[int]) -> int:
    """The value at a chart's upper edge."""
    return max([1, *(value for values in series for value in values)]) * HEADROOM // 100


def _peak(top: int) -> int:
    return top * 100 // HEADROOM


def _column(value: int, top: int) -> tuple[str, str]:
    """The upper edge and the height of a bar."""
    height = min(max(value, 0) * _WHOLE // top, _WHOLE) if top > 0 else 0
    return percent(_WHOLE - height, _WHOLE), percent(height, _WHOLE)


def _bar(at: int, of: int, value: int, top: int, *, label: str, text: str, tone: str, ghost: int = 0) -> Mark:
    y, height = _column(value, top)
    ghost_y, ghost_height = _column(ghost, top)
    return Mark(
        label=label,
        text=text,
        x=percent(at, of),
        width=percent(1, of),
        y=y,
        height=height,
        ghost_y=ghost_y,
        ghost_height=ghost_height,
        tone=tone,
    )


def _budget_line(budget: int | None, top: int, currency: str) -> list[Line]:
    if not budget:
        return []
    y, _ = _column(budget, top)
    return [Line(text=f"Daily budget {words.amount(budget, currency)}", y=y, tone="red")]


def _day(zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """The first instants of the local day and of the next."""
    return periods.day_begins(periods.local_date(now, zone), zone), periods.next_day_begins(now, zone)


def _place(moment: datetime, starts: datetime, ends: datetime) -> int:
    """The place of a moment within a day, in ten thousandths of it."""
    micro = timedelta(microseconds=1)
    return min(max((moment - starts) // micro, 0) * _WHOLE // ((ends - starts) // micro), _WHOLE)


def _thinned(steps: Sequence[ActiveStep], starts: datetime, ends: datetime) -> list[ActiveStep]:
    """The last step of each part of the day that can be told from the next when it is drawn."""
    return list({_part(step.moment, starts, ends): step for step in steps}.values())


def _longest(stretches: Sequence[Stretch], starts: datetime, ends: datetime) -> list[Stretch]:
    """The stretches of a day; of a day with too many to draw, the longest that begins in each part of it."""
    if len(stretches) <= PARTS:
        return list(stretches)
    longest: dict[int, Stretch] = {}
    for stretch in stretches:
        at = _part(stretch.start, starts, ends)
        other = longest.get(at)
        if other is None or stretch.end - stretch.start > other.end - other.start:
            longest[at] = stretch
    return list(longest.values())


def _part(moment: datetime, starts: datetime, ends: datetime) -> int:
    return _place(moment, starts, ends) * PARTS // _WHOLE


def _present(now: datetime, starts: datetime, ends: datetime) -> str:
    """The place of now, to about a minute and a half: a page in which nothing else changed is not drawn anew."""
    return percent(_place(now, starts, ends) // 10, _WHOLE // 10)


def _clock(zone: ZoneInfo, now: datetime) -> list[Tick]:
    """The hours below a day: every fourth, where it really is when the clock is changed."""
    starts, ends = _day(zone, now)
    today = periods.local_date(now, zone)
    ticks = [Tick(text="00:00", x="0.00%", anchor="start")]
    for hour in range(4, 24, 4):
        moment = datetime(today.year, today.month, today.day, hour, tzinfo=zone)
        ticks.append(Tick(text=f"{hour:02}:00", x=percent(_place(moment, starts, ends), _WHOLE)))
    return [*ticks, Tick(text="24:00", x="100.00%", anchor="end")]


def _middle(at: int, of: int) -> str:
    if at == 0:
        return "0.00%"
    return "100.00%" if at == of - 1 else percent(2 * at + 1, 2 * of)


def _spread(number: int) -> list[tuple[int, str]]:
    """The columns that get a word below them: the first, the last and some in between."""
    if number < 4:
        return [(at, "middle") for at in range(number)]
    inner = [(number - 1) * part // 4 for part in (1, 2, 3)]
    return [(0, "start"), *((at, "middle") for at in inner), (number - 1, "end")]


# --- Words ---------------------------------------------------------------------------------------


def usual_words(days: int) -> str:
    """Return what the paler bars are; nothing where there is no day before."""
    if days == 1:
        return "the day before"
    return f"average of the {days} days before" if days else ""


def _hour_text(hour: int, amount: int | None, usual: int, currency: str, days: int) -> str:
    spent = "to come" if amount is None else words.amount(amount, currency)
    return f"{hour:02}:00 {spent}" + (f"; {usual_words(days)}: {words.amount(usual, currency)}" if days else "")


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"


def _until(moment: datetime, zone: ZoneInfo, now: datetime) -> str:
    return "now" if moment >= now else f"{moment.astimezone(zone):%H:%M}"


def tones(why: Sequence[Reason]) -> list[tuple[str, str]]:
    """Return the legend of a band: the tones of what was seen, each with its words, active first."""
    seen: dict[str, str] = {}
    for one in sorted(why, key=int):
        seen.setdefault(words.tone(one), words.TONE_NAMES[words.tone(one)])
    return list(seen.items())
