"""`manage.py simulate_day`: run a brand's day in simulated time, against the real rules."""

from __future__ import annotations

import csv
import itertools
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from django.core.management.base import CommandError, CommandParser
from django.template.loader import render_to_string
from django.utils import timezone
from rich.table import Table
from rich.text import Text

from campaigns.management.console import PlainCommand, misused, shown
from campaigns.models import Brand
from campaigns.queries.lookup import find_brand
from campaigns.queries.owners import brand_owners
from campaigns.queries.pacing import last_pace
from campaigns.queries.traffic import past_hours
from campaigns.rules import money, pacing, periods, profile, reasons, simulation
from campaigns.rules.money import MoneyError
from campaigns.rules.pacing import Curve, OpenDay
from campaigns.rules.profile import Profile
from campaigns.rules.simulation import Arrival, Step
from campaigns.rules.verdict import Terms

CHANCES = 20_000
"""Chances that a day is drawn with for each time the budget that they cost."""

MAX_CHANCES = 1_000_000
"""The most chances of a trace or of a day that is drawn."""

WIDTH, HEIGHT = 960, 240
"""Of a plot on the page, in units of its own."""


class Plot(NamedTuple):
    """A line of the page as points of an SVG polyline."""

    name: str
    tone: str
    points: str


class Command(PlainCommand):
    """Runs the same chances paced and not paced, and prints both hour by hour."""

    help = "Simulate a day of a brand with its own profile or a trace: spend against target, probability, pauses."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--brand", required=True, metavar="NAME", help="its id, external id or name")
        parser.add_argument("--date", type=_day, metavar="DAY", help="such as 2026-03-29; default: today")
        parser.add_argument(
            "--budget", metavar="AMOUNT", help="the daily budget to try, in its currency; default: its own"
        )
        parser.add_argument(
            "--demand", type=_times, default=3, metavar="TIMES", help="what all chances cost, in budgets; default: 3"
        )
        parser.add_argument("--trace", type=Path, metavar="FILE", help="chances to take instead: CSV with time,price")
        parser.add_argument(
            "--lag", type=_seconds, default=10, metavar="SECONDS", help="how late spend is reported; default: 10"
        )
        parser.add_argument("--seed", type=int, default=1, metavar="NUMBER", help="another number, another luck")
        parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots, too")

    def handle(self, *args: Any, brand: str, **options: Any) -> None:
        """Simulate and print."""
        found = find_brand(brand)
        now = timezone.now()
        day = options["date"] or periods.local_date(now, found.timezone)
        budget = _budget(found, options["budget"], now)
        opened = pacing.open_day(day, found.timezone)
        history = past_hours({found.pk: found.timezone}, now=now)[found.pk]
        learned = profile.learn(history, today=day)
        curve = Curve(opened, learned)
        arrivals = _arrivals(opened, curve, budget, options)
        terms = Terms(zone=found.timezone, brand_daily_budget=budget)
        even = list(simulation.simulate(opened, terms, arrivals, simulation.even(curve, last_pace(brand_id=found.pk))))
        asap = list(simulation.simulate(opened, terms, arrivals, simulation.hard_cap))
        self.out.print(_table(found, opened, even, asap))
        self.out.print()
        summary = _summary(found, day, learned, arrivals, even, asap)
        self.say(summary)
        if options["html"]:
            _write(options["html"], _page(found, day, budget, opened, even, asap, summary))
            self.say(f"The page is in {options['html']}.")


# --- What goes in --------------------------------------------------------------------------------


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{shown(text)} is not a day, such as 2026-03-29") from None


def _number(text: str, least: int, most: int) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if not least <= number <= most:
        raise ArgumentTypeError(f"{shown(text)} is not a whole number from {least} to {most}")
    return number


def _times(text: str) -> int:
    return _number(text, 1, MAX_CHANCES // CHANCES)


def _seconds(text: str) -> int:
    return _number(text, 0, 3_600)


def _budget(brand: Brand, wanted: str | None, now: datetime) -> int:
    """The budget of the day to simulate, in micros: the one to try, or the most that its own leave for today."""
    try:
        budget = _own_budget(brand, now) if wanted is None else money.parse_budget(wanted)
    except MoneyError as error:
        raise misused(str(error)) from None
    if not budget or budget < 0:
        raise CommandError(f"{brand.name} has no budget left to pace; give one with --budget.")
    return budget


def _own_budget(brand: Brand, now: datetime) -> int | None:
    """What its budgets leave for all of today, whatever is spent of that already."""
    owner = next(brand_owners([brand.pk], now=now), None)
    if owner is None or owner.allowance is None:
        # Its budgets bind each campaign alone: as if there were one.
        return money.parse_budget(brand.daily_budget)
    return owner.allowance


def _arrivals(opened: OpenDay, curve: Curve, budget: int, options: dict[str, Any]) -> list[Arrival]:
    if options["trace"] is not None:
        return _trace(options["trace"], opened, options["seed"], options["lag"])
    price = max(budget // CHANCES, 1)
    demand = min(budget * options["demand"], price * MAX_CHANCES)
    return simulation.draw(curve, demand=demand, price=price, seed=options["seed"], lag=options["lag"])


def _trace(path: Path, opened: OpenDay, seed: int, lag: int) -> list[Arrival]:
    """The chances of a file, in the order of their time."""
    luck = Random(seed)  # noqa: S311 - a simulated day has no secrets
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(itertools.islice(csv.reader(file), MAX_CHANCES + 2))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{path} can't be read: {error}.") from None
    if not rows or [cell.strip().lower() for cell in rows[0]] != ["time", "price"]:
        raise CommandError(
            f"{path} needs the heading time,price and below it a line for each chance, as 09:30:15,0.25."
        )
    if len(rows) > MAX_CHANCES + 1:
        raise CommandError(f"{path} has more than {MAX_CHANCES:,} chances; give fewer.")
    chances = (_chance(path, at, row, opened) for at, row in enumerate(rows[1:], 2) if row)
    return sorted(Arrival(second, price, luck.randrange(pacing.ONE), lag) for second, price in chances)


def _chance(path: Path, line: int, row: Sequence[str], opened: OpenDay) -> tuple[int, int]:
    """The second of the day and the price of a line. An hour that comes twice is taken as its first."""
    try:
        clock, price = row
        at = time.fromisoformat(clock.strip())
        within = next((one for one in opened.stretches if one.hour == at.hour), None)
        if within is None:
            raise ValueError("this hour never comes on that day")
        return within.begins + at.minute * 60 + at.second, money.parse_amount(price)
    except ValueError as error:
        raise CommandError(f"Line {line} of {path} is not a chance as 09:30:15,0.25: {error}.") from None


# --- What comes out ------------------------------------------------------------------------------


def _hourly(opened: OpenDay, even: Sequence[Step], asap: Sequence[Step]) -> Iterator[tuple[int, Step, Step]]:
    """The last step of each hour, of both."""
    by_second = {step.second: (step, other) for step, other in zip(even, asap, strict=True)}
    for stretch in opened.stretches:
        if stretch.ends in by_second:
            yield stretch.ends, *by_second[stretch.ends]


def _table(brand: Brand, opened: OpenDay, even: Sequence[Step], asap: Sequence[Step]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for name in ("Until", "Target", "Spent, even", "Probability", "Spent, asap", "Status, asap"):
        table.add_column(name, justify="right" if name not in {"Until", "Status, asap"} else "left")
    for second, step, other in _hourly(opened, even, asap):
        table.add_row(
            f"{opened.moment(second).astimezone(brand.timezone):%H:%M}",
            _amount(step.target, brand),
            _amount(step.spent, brand),
            _probability(step.probability),
            _amount(other.spent, brand),
            Text(reasons.in_words(other.reasons), style="yellow" if other.reasons else "green"),
        )
    return table


def _amount(micros: int, brand: Brand) -> str:
    return money.format_money(micros, brand.currency)


def _probability(millionths: int) -> str:
    return f"{millionths // 10_000}.{millionths // 100 % 100:02} %"


def _summary(
    brand: Brand, day: date, learned: Profile, arrivals: Sequence[Arrival], even: Sequence[Step], asap: Sequence[Step]
) -> str:
    learned_from = f"a profile of {learned.days} days" if learned.days else "a flat profile, for want of history"
    return (
        f"{brand.name} on {day:%d %b %Y} ({brand.timezone.key}), {len(arrivals):,} chances, {learned_from}: "
        f"even spends {_amount(even[-1].spent, brand)}, asap {_amount(asap[-1].spent, brand)}."
    )


def _page(
    brand: Brand,
    day: date,
    budget: int,
    opened: OpenDay,
    even: Sequence[Step],
    asap: Sequence[Step],
    summary: str,
) -> str:
    ends = max(even[-1].second, 1)
    top = max(budget, even[-1].spent, asap[-1].spent) * 105 // 100
    spend = [
        Plot("Target", "target", _points([(step.second, step.target) for step in even], ends, top)),
        Plot("Spent, asap", "asap", _points([(step.second, step.spent) for step in asap], ends, top)),
        Plot("Spent, even", "even", _points([(step.second, step.spent) for step in even], ends, top)),
    ]
    chance = Plot("Probability", "even", _points([(step.second, step.probability) for step in even], ends, pacing.ONE))
    ticks = [f"{stretch.hour:02}:00" for stretch in opened.stretches if stretch.hour % 4 == 0]
    stretches = (list(steps) for paused, steps in itertools.groupby(asap, lambda step: bool(step.reasons)) if paused)
    pauses = [
        (steps[0].second * WIDTH // ends, max((steps[-1].second - steps[0].second) * WIDTH // ends, 1))
        for steps in stretches
    ]
    hours = [
        (f"{opened.moment(second).astimezone(brand.timezone):%H:%M}", _amount(step.target, brand),
         _amount(step.spent, brand), _probability(step.probability), _amount(other.spent, brand),
         reasons.in_words(other.reasons))
        for second, step, other in _hourly(opened, even, asap)
    ]  # fmt: skip
    context = {
        "brand": brand, "day": day, "summary": summary, "spend": spend, "chance": chance, "ticks": ticks,
        "pauses": pauses, "hours": hours, "width": WIDTH, "height": HEIGHT, "top": _amount(top, brand),
        "budget": _amount(budget, brand), "budget_y": HEIGHT - budget * HEIGHT // top,
    }  # fmt: skip
    return render_to_string("campaigns/simulated_day.html", context)


def _points(values: Sequence[tuple[int, int]], ends: int, top: int) -> str:
    """Every fifth minute as points of a polyline."""
    chosen = [value for at, value in enumerate(values) if at % 5 == 0 or at == len(values) - 1]
    return " ".join(f"{second * WIDTH // ends},{HEIGHT - amount * HEIGHT // top}" for second, amount in chosen)


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"The page can't be written to {path}: {error.strerror}.") from None
