"""The oracle: it keeps what was reported and set, and adds everything up anew for every question.

It shares no line with the product. Amounts are micros; brands, campaigns and holds are their places in its lists.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

BUDGETS = ("daily_budget", "monthly_budget", "total_budget")
OLDEST, AHEAD = timedelta(days=62), timedelta(minutes=5)


@dataclasses.dataclass
class Owner:
    """A brand (brand is None) or a campaign, with what people have set on it."""

    brand: int | None = None
    zone: str = "UTC"
    scope: str = "brand"
    budgets: dict[str, int | None] = dataclasses.field(default_factory=dict)
    first: date | None = None
    last: date | None = None
    window: tuple[int, int, int] | None = None
    grid: str | None = None
    manual: bool = False
    archived: bool = False


@dataclasses.dataclass(frozen=True)
class Report:
    """A spend event as it is sent. at: None is now; hold: what it settles; wrong: that it is no event at all."""

    event: str
    campaign: int
    micros: int
    at: datetime | None = None
    note: str = ""
    hold: int | None = None
    wrong: str = ""


@dataclasses.dataclass
class Hold:
    """A hold that was granted."""

    campaign: int
    key: str
    ask: tuple[int, int, int]
    amount: int
    day: date
    expires: datetime
    state: str = "open"
    event: str = ""


@dataclasses.dataclass
class Oracle:
    """The ledger is a list of (brand, report, its moment, its budget day)."""

    owners: dict[str, list[Owner]] = dataclasses.field(default_factory=lambda: {"brand": [], "campaign": []})
    ledger: list[tuple[int, Report, datetime, date]] = dataclasses.field(default_factory=list)
    holds: list[Hold] = dataclasses.field(default_factory=list)

    def brand(self, campaign: int) -> int:
        number = self.owners["campaign"][campaign].brand
        assert number is not None
        return number

    def local(self, brand: int, moment: datetime) -> datetime:
        return moment.astimezone(UTC).astimezone(ZoneInfo(self.owners["brand"][brand].zone))

    def of_brand(self, brand: int) -> set[int]:
        return {at for at, campaign in enumerate(self.owners["campaign"]) if campaign.brand == brand}

    def counters(self) -> dict[tuple[str, int, str, date], tuple[int, int]]:
        """What every counter that says something must say: spent and held."""
        sums: dict[str, Counter[tuple[str, int, str, date]]] = {"spent": Counter(), "held": Counter()}
        rows = [("spent", report.campaign, day, report.micros) for _, report, _, day in self.ledger]
        rows += [("held", hold.campaign, hold.day, hold.amount) for hold in self.holds if hold.state == "open"]
        for figure, campaign, day, micros in rows:
            for owner, number in (("brand", self.brand(campaign)), ("campaign", campaign)):
                for period, start in (("day", day), ("month", day.replace(day=1)), ("total", date(1970, 1, 1))):
                    sums[figure][owner, number, period, start] += 0 if (owner, period) == ("brand", "total") else micros
        keys = sums["spent"].keys() | sums["held"].keys()
        return {key: both for key in keys if any(both := (sums["spent"][key], sums["held"][key]))}

    def limits(self, campaign: int, now: datetime) -> Iterator[tuple[str, int | None, int, int]]:
        """Each limit of a campaign in the order of the reasons: its name, budget, what is spent and what is held."""
        brand = self.brand(campaign)
        today = self.local(brand, now).date()
        together = self.of_brand(brand) if self.owners["brand"][brand].scope == "brand" else {campaign}
        held = [hold for hold in self.holds if hold.state == "open" and hold.expires > now]
        for owner, number, whose in (("brand", brand, together), ("campaign", campaign, {campaign})):
            for period in BUDGETS if owner == "campaign" else BUDGETS[:2]:
                letters = {"daily_budget": 10, "monthly_budget": 7, "total_budget": 0}[period]  # of 2025-01-31
                spends = [(report.campaign, day, report.micros) for _, report, _, day in self.ledger]
                spent, reserved = (
                    sum(m for of, day, m in all_of if of in whose and f"{day}"[:letters] == f"{today}"[:letters])
                    for all_of in (spends, [(hold.campaign, hold.day, hold.amount) for hold in held])
                )
                yield f"{owner}_{period}", self.owners[owner][number].budgets.get(period), spent, reserved

    def verdict(self, campaign: int, now: datetime) -> frozenset[str]:
        """Why a campaign may not spend."""
        terms, local = self.owners["campaign"][campaign], self.local(self.brand(campaign), now)
        why = {
            name
            for name, budget, spent, _ in self.limits(campaign, now)
            if budget is not None and (spent >= budget or budget == 0)
        }
        why |= {"manual"} if terms.manual else set()
        why |= {"schedule"} if not self.is_open(terms, local) else set()
        why |= {"not_started"} if terms.first and local.date() < terms.first else set()
        return frozenset(why | ({"ended"} if terms.last and local.date() > terms.last else set()))

    def is_open(self, terms: Owner, local: datetime) -> bool:
        hour, weekday = local.hour, local.weekday()
        if terms.window is None:
            return terms.grid is None or terms.grid[24 * weekday + hour] == "1"
        start, end, weekdays = terms.window
        begun_on = weekday if hour >= start else (weekday - 1) % 7  # before the start only a night is still open
        inside = start <= hour < end if start < end else hour >= start or hour < end
        return inside and bool(weekdays >> begun_on & 1)

    def record(self, reports: Sequence[Report], now: datetime) -> list[str]:
        """Return what becomes of each report, and keep those that count."""
        there_before = len(self.ledger)
        return [self.take(report, now, there_before) for report in reports]

    def take(self, report: Report, now: datetime, there_before: int) -> str:
        if report.wrong or (report.at is not None and report.at > now + AHEAD):
            return "rejected"
        brand, moment = self.brand(report.campaign), report.at or now
        strange = report.hold is not None and self.holds[report.hold].campaign != report.campaign
        refused = strange or moment < now - OLDEST
        known = self.ledger[:there_before] if refused else self.ledger
        same_id = [row for row in known if (row[0], row[1].event) == (brand, report.event)]
        if refused and not same_id:
            return "rejected"
        for _, was, at, _ in same_id:
            same = (was.campaign, was.micros, was.note) == (report.campaign, report.micros, report.note)
            return self.settle(report, brand, "duplicate", refused) if same and report.at in (None, at) else "conflict"
        self.ledger.append((brand, report, moment, self.local(brand, moment).date()))
        return self.settle(report, brand, "recorded", refused)

    def settle(self, report: Report, brand: int, answer: str, refused: bool) -> str:
        if refused or report.hold is None or self.holds[report.hold].state == "settled":
            return answer
        if any(hold.event == report.event and self.brand(hold.campaign) == brand for hold in self.holds):
            return "conflict"
        self.holds[report.hold].state, self.holds[report.hold].event = "settled", report.event
        return answer

    def place(self, campaign: int, key: str, ask: tuple[int, int, int], now: datetime) -> tuple[object, ...]:
        """Return what an ask (amount, minimum, seconds) is answered, and keep the hold that it gets."""
        brand = self.brand(campaign)
        for at, hold in enumerate(self.holds):
            if (self.brand(hold.campaign), hold.key) == (brand, key):
                return ("hold", at) if (hold.campaign, hold.ask) == (campaign, ask) else ("key-used",)
        archived = self.owners["campaign"][campaign].archived
        why = frozenset({"manual"}) if archived else self.verdict(campaign, now)
        if why:
            return "campaign-paused", why
        limits = self.limits(campaign, now)
        lefts = [(budget - spent - held, name) for name, budget, spent, held in limits if budget is not None]
        left, name = min(lefts, key=lambda one: one[0], default=(ask[0], ""))
        if min(left, ask[0]) < ask[1]:
            return "budget-exhausted", name, max(left, 0)
        day, expires = self.local(brand, now).date(), now + timedelta(seconds=ask[2])
        self.holds.append(Hold(campaign, key, ask, min(left, ask[0]), day, expires))
        return "hold", len(self.holds) - 1
