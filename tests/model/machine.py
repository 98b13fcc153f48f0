"""The machine: drives the real services and the oracle with the same steps, and compares all there is after each."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import Any, ClassVar, cast

from django.db import connection, transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from campaigns.models.rows import as_date
from campaigns.queries.holds import HoldRow
from campaigns.rules import reasons
from campaigns.rules.errors import BudgetError
from campaigns.services import bulk, catalog, enforce_budget, reset_daily_budgets, reset_monthly_budgets, reviews
from campaigns.services.audit import check_ledger
from campaigns.services.bulk import BudgetChange, How
from campaigns.services.enforcement import enforce_all
from campaigns.services.holds import HoldAsk, Refused, expire_holds, place_holds, release_holds
from campaigns.services.spend import SpendEvent, record_spend
from tests.model.oracle import BUDGETS, Oracle, Owner, Report

# --- What can happen ---------------------------------------------------------------------------

MOMENTS = [
    ("Europe/Berlin", "2025-03-30T01:00"),  # 02:00 -> 03:00
    ("Europe/Berlin", "2025-10-26T01:00"),  # 03:00 -> 02:00
    ("Europe/Berlin", "2025-06-30T22:00"),  # a new month
    ("America/Sao_Paulo", "2018-11-04T03:00"),  # no midnight
    ("America/Sao_Paulo", "2018-02-18T02:00"),  # 24:00 -> 23:00
    ("Australia/Lord_Howe", "2024-10-05T15:30"),  # half an hour
    ("Asia/Kathmandu", "2024-12-31T18:15"),  # a new year, +5:45
    ("Pacific/Apia", "2011-12-30T10:00"),  # a day left out
    ("America/St_Johns", "2009-11-01T02:31"),  # back into the month before
]
ZONES = sorted({zone for zone, _ in MOMENTS} | {"UTC"})
AMOUNTS = ["10", "5", "9.999999", "0.000001", "30", "3.33", "1"]
WRONG = ["amount", "decimals", "ahead", "naive", "id", "note", "campaign"]

who = st.integers(0, 7)
some = st.lists(who, min_size=1, max_size=4)
money = st.sampled_from([None, None, "0", "9.999999", "10", "20", "50", "100.50"])
ago = st.sampled_from([0, 0, 0, 1, 6, 23, 24, 25, 15 * 24, 31 * 24, 61 * 24, 63 * 24])
nights = st.tuples(st.integers(8, 23), st.integers(1, 8), st.sampled_from([1, 2, 4, 8, 16, 32, 64, 31, 96]))
windows = nights | st.tuples(st.integers(0, 23), st.integers(0, 23), st.integers(0, 127))
grids = st.sampled_from(["1" * 168, "0" * 167 + "1"]) | st.integers(1, 2**168 - 1).map(lambda bits: f"{bits:0168b}")
offsets = st.sampled_from([None, None, -400, -40, -1, 0, 0, 1, 40])
reports = st.tuples(
    who,
    st.sampled_from(AMOUNTS),
    st.booleans(),
    st.none() | ago,
    st.sampled_from([None, None, None, None, 0, 1, 2, 3]),
    st.sampled_from([*[""] * 18, *WRONG]),
)
replays = st.tuples(st.integers(0, 40), st.sampled_from(["", "", "", "amount", "campaign", "time", "note", "hold"]))
asks = st.tuples(
    who,
    st.sampled_from(AMOUNTS),
    st.sampled_from([None, None, "1", "0.000001"]),
    st.sampled_from([1, 60, 3_600, 86_400]),
    st.sampled_from([None, None, None, 0, 1, 2]),
)
leaps = st.sampled_from(
    [*["hour", "midnight", "month"] * 2, *[1, 5, 29, 59, 60, 61, 180, 7 * 60, 24 * 60, 27 * 1440, 31 * 1440, 95 * 1440]]
)
INSTANT = timedelta(microseconds=1)
ACTIVE: frozenset[str] = frozenset()

TABLES = {
    "brand": "*",
    "campaign": "*",
    "daypartingschedule": "*",
    "spendlog": "*",
    "hold": "*",
    "statuschange": "*",
    "catalogchange": "*",
    "edit": "*",
    # A counter that says nothing may come with a lock.
    "brandcounter": "brand_id, period, start, spent, held",
    "campaigncounter": "campaign_id, period, start, spent, held",
}
PERIODS = {1: "day", 2: "month", 3: "total"}


def micros(amount: str | Decimal | None) -> int | None:
    return None if amount is None else int(Decimal(amount) * 1_000_000)


def worth(amount: str) -> int:
    return int(Decimal(amount) * 1_000_000)


def units(amount: int) -> Decimal:
    return Decimal(amount).scaleb(-6)


def names(bits: int) -> frozenset[str]:
    return frozenset(reasons.codes(reasons.of(bits)))


Tables = dict[str, list[dict[str, Any]]]
Edited = tuple[int, int | None, str, set[str]]
"""A brand's place, the campaign's id (None: the brand itself), the verb, and the fields."""


class Refusal:
    """Whether a step was refused."""

    sentence = ""


class Machine(RuleBasedStateMachine):
    """Two brands with campaigns, some steps of anybody, and a clock that only goes forward."""

    met: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.oracle = Oracle()
        self.brands: list[int] = []
        self.campaigns: list[int] = []
        self.holds: list[int] = []
        self.sent: list[Report] = []
        self.turned: set[tuple[int, str, date]] = set()
        self.number = 0
        self.verdicts: dict[int, frozenset[str]] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @initialize(
        moment=st.sampled_from(MOMENTS),
        before=st.integers(0, 60),
        zone=st.sampled_from(ZONES),
        scope=st.sampled_from(["brand", "campaign"]),
        figures=st.lists(money, min_size=4, max_size=4),
    )
    def begin(self, moment: tuple[str, str], before: int, zone: str, scope: str, figures: list[str | None]) -> None:
        """Two brands, the first in the zone whose clock is about to be interesting, with two campaigns each."""
        self.now = datetime.fromisoformat(moment[1]).replace(tzinfo=UTC) - timedelta(minutes=20 * before)
        self.tables = self.read()
        for at, (of, its) in enumerate([(moment[0], "brand"), (zone, scope)]):
            budgets = dict(zip(BUDGETS, figures[2 * at : 2 * at + 2], strict=False))
            brand = catalog.create_brand(now=self.now, name=f"B{at}", timezone=of, budget_scope=its, **budgets)  # type: ignore[arg-type]  # fields by name
            self.brands.append(brand.pk)
            self.oracle.owners["brand"].append(
                Owner(zone=of, scope=its, budgets={name: micros(budget) for name, budget in budgets.items()})
            )
        self.tables = self.read()
        for at in (0, 0, 1, 1):
            self.create(brand=at, budgets=[None, None, None], first=None, length=None)

    # --- Spend ---------------------------------------------------------------------------------

    @rule(new=st.lists(reports, max_size=4), again=st.lists(replays, max_size=3), back=st.booleans())
    def spend(self, new: list[tuple[Any, ...]], again: list[tuple[int, str]], back: bool) -> None:
        """A batch: new events, some late or wrong, and old ones again, the same or with other content."""
        batch = [self.report(*one) for one in new] + [self.again(*one) for one in again if self.sent]
        if back:
            batch.reverse()
        self.sent += batch
        self.send(batch)

    @precondition(lambda self: self.holds)
    @rule(at=who, amount=st.sampled_from(AMOUNTS), of=st.integers(0, 40) | st.none())
    def settle(self, at: int, amount: str, of: int | None) -> None:
        """A hold is settled for less or more than it has, by a new event or by one that was sent before."""
        hold = len(self.holds) - 1 - at % len(self.holds)
        if of is not None and self.sent:
            report = dataclasses.replace(self.sent[of % len(self.sent)], hold=hold)
        else:
            self.number += 1
            report = Report(f"e{self.number}", self.oracle.holds[hold].campaign, worth(amount), hold=hold)
        self.sent.append(report)
        self.send([report])

    def report(self, campaign: int, amount: str, less: bool, hours: int | None, hold: int | None, wrong: str) -> Report:
        self.number += 1
        at = None if hours is None else self.now - timedelta(hours=hours, minutes=7 * (self.number % 3))
        sign = -1 if less and self.number % 2 else 1
        of = None if hold is None or not self.holds else hold % len(self.holds)
        which = campaign % len(self.campaigns)
        note = "a correction" if sign < 0 else ""
        return Report(f"e{self.number}", which, sign * worth(amount), at, note, of, wrong)

    def again(self, at: int, other: str) -> Report:
        was = self.sent[-1 - at % len(self.sent)]
        match other:
            case "amount":
                return dataclasses.replace(was, micros=was.micros + (1 if was.micros != -1 else 2))
            case "campaign":
                return dataclasses.replace(was, campaign=(was.campaign + 1 + at) % len(self.campaigns))
            case "time":
                return dataclasses.replace(was, at=self.now - INSTANT if was.at is None else was.at + INSTANT)
            case "note" if was.note:
                return dataclasses.replace(was, note="another correction")
            case "hold" if self.holds:
                return dataclasses.replace(was, hold=at % len(self.holds))
        return was

    def send(self, batch: list[Report]) -> None:
        held = [hold.state for hold in self.oracle.holds]
        answers = self.oracle.record(batch, self.now)
        receipt = record_spend([self.event(report) for report in batch], now=self.now)
        assert [result.outcome.value for result in receipt.results] == answers
        for answer in answers:
            self.met[answer] += 1
        calm = "recorded" not in answers and held == [hold.state for hold in self.oracle.holds]
        self.check("spend", unchanged=calm)

    def event(self, report: Report) -> SpendEvent:
        amount: Decimal | str = units(report.micros)
        values = {
            "event_id": report.event,
            "campaign_id": self.campaigns[report.campaign],
            "amount": {"amount": "0", "decimals": "1.0000001"}.get(report.wrong, amount),
            "timestamp": report.at,
            "kind": "adjustment" if report.note or report.wrong == "note" else "spend",
            "note": report.note,
            "hold_id": None if report.hold is None else self.holds[report.hold],
        }
        match report.wrong:
            case "ahead":
                values["timestamp"] = self.now + timedelta(days=400)
            case "naive":
                values["timestamp"] = self.now.replace(tzinfo=None)
            case "id":
                values["event_id"] = ""
            case "note":
                values["note"] = ""
            case "campaign":
                values["campaign_id"] = 2**62
        return SpendEvent(**values)  # type: ignore[arg-type]  # fields by name

    # --- Holds ---------------------------------------------------------------------------------

    @rule(wanted=st.lists(asks, min_size=1, max_size=4))
    def place(self, wanted: list[tuple[Any, ...]]) -> None:
        """Several asks in one call: what is granted never passes a budget."""
        calls, expected = [], []
        for campaign, amount, minimum, ttl, key in wanted:
            at = campaign % len(self.campaigns)
            self.number += 1
            name = f"k{self.number if key is None else key}"
            least = min(worth(minimum or amount), worth(amount))
            calls.append(HoldAsk(self.campaigns[at], name, amount, units(least), ttl))
            expected.append(self.oracle.place(at, name, (worth(amount), least, ttl), self.now))
        for answer, wants, call in zip(place_holds(calls, now=self.now), expected, calls, strict=True):
            self.compare(answer, wants)
            if wants[0] == "hold" and call.key:
                self.keeps_within(cast("int", wants[1]))
        self.check("place", unchanged=all(one[0] != "hold" for one in expected))

    def compare(self, answer: HoldRow | Refused, wants: tuple[object, ...]) -> None:
        self.met[str(wants[0])] += 1
        if isinstance(answer, Refused):
            extra: tuple[object, ...] = ()
            if answer.why == "campaign-paused":
                extra = (names(int(answer.reasons)),)
            elif answer.why == "budget-exhausted":
                assert answer.limit is not None
                extra = (answer.limit.code, answer.left)
            assert (answer.why.value, *extra) == wants
            return
        assert wants[0] == "hold", (answer, wants)
        at = cast("int", wants[1])
        if at == len(self.holds):
            self.holds.append(answer.id)
        hold = self.oracle.holds[at]
        assert (answer.id, answer.amount, answer.day) == (self.holds[at], hold.amount, hold.day)

    def keeps_within(self, at: int) -> None:
        """The law itself: what is spent and held is within each budget. A hold that came again may be an old one."""
        hold = self.oracle.holds[at]
        if hold.state != "open" or hold.expires - timedelta(seconds=hold.ask[2]) != self.now:
            return
        for name, budget, spent, held in self.oracle.limits(hold.campaign, self.now):
            assert budget is None or spent + held <= budget, name

    @precondition(lambda self: self.holds)
    @rule(which=st.lists(who, min_size=1, max_size=3, unique=True))
    def release(self, which: list[int]) -> None:
        places = {at % len(self.holds) for at in which}
        answers = release_holds([self.holds[at] for at in sorted(places)], now=self.now)
        for at in places:
            hold = self.oracle.holds[at]
            assert isinstance(answers[self.holds[at]], Refused) == (hold.state == "settled")
            if hold.state == "open" and hold.expires > self.now:
                hold.state = "released"
                self.met["released"] += 1
        self.check("release")

    @rule(at=who, ttl=st.sampled_from([1, 60, 3_600]), off=st.sampled_from([-1, 0, 0, 0, 1]), more=st.integers(0, 3))
    def hold_all_again(self, at: int, ttl: int, off: int, more: int) -> None:
        """All that is left is held, and asked for again when that expires: unswept, it binds to that moment only."""
        at %= len(self.campaigns)
        if all(budget is None for _, budget, _, _ in self.oracle.limits(at, self.now)):
            self.update(at, {"daily_budget": "20"}, None, None, False)
        self.place([(at, self.rest(at), None, ttl, None)])
        self.go_to(self.now + timedelta(seconds=ttl) + off * INSTANT)
        self.place([(at, self.rest(at, 0 if more else 1), None, ttl, None)])

    def rest(self, at: int, more: int = 0) -> str:
        """What is left to a campaign, or a micro more; at least a micro."""
        limits = self.oracle.limits(at, self.now)
        left = min(budget - spent - held for _, budget, spent, held in limits if budget is not None)
        return f"{units(max(left + more, 1)):f}"

    @rule()
    def expire(self) -> None:
        over = [hold for hold in self.oracle.holds if hold.state == "open" and hold.expires <= self.now]
        assert expire_holds(now=self.now) == len(over)
        for hold in over:
            hold.state = "expired"
            self.met["expired"] += 1
        self.check("expire", unchanged=not over)

    # --- What people set -----------------------------------------------------------------------

    @precondition(lambda self: len(self.campaigns) < 7)
    @rule(brand=st.integers(0, 1), budgets=st.lists(money, min_size=3, max_size=3), first=offsets, length=offsets)
    def create(self, brand: int, budgets: list[str | None], first: int | None, length: int | None) -> None:
        fields = {**dict(zip(BUDGETS, budgets, strict=True)), **self.flight(brand, first, length)}
        pk = 0
        with self.may_be_refused() as refusal:
            name = f"C{len(self.campaigns)}"
            pk = catalog.create_campaign(brand_id=self.brands[brand], now=self.now, name=name, **fields).pk
        wrong = self.oracle.owners["brand"][brand].archived or _backwards(fields)
        assert bool(refusal.sentence) == wrong, refusal.sentence
        if wrong:
            return self.check("create", unchanged=True)
        self.campaigns.append(pk)
        campaign = Owner(brand=brand)
        self.oracle.owners["campaign"].append(campaign)
        put(campaign, fields)
        set_fields = {"name", *(field for field, value in fields.items() if value is not None)}
        self.check("create", must={len(self.campaigns) - 1}, edits=[(brand, pk, "created", set_fields)])
        return None

    @rule(
        at=who,
        budgets=st.dictionaries(st.sampled_from(BUDGETS), money | st.just("-1"), max_size=2),
        first=offsets,
        length=offsets,
        flight=st.booleans(),
    )
    def update(
        self, at: int, budgets: dict[str, str | None], first: int | None, length: int | None, flight: bool
    ) -> None:
        """Budgets and flight of a campaign."""
        at %= len(self.campaigns)
        brand = self.oracle.brand(at)
        given: dict[str, Any] = {**budgets, **(self.flight(brand, first, length) if flight else {})}
        with self.may_be_refused() as refusal:
            catalog.update_campaign(campaign_id=self.campaigns[at], now=self.now, **given)
        wrong = "-1" in budgets.values() or _backwards({**flight_of(self.oracle.owners["campaign"][at]), **given})
        assert bool(refusal.sentence) == wrong, refusal.sentence
        if wrong:
            return self.check("update", unchanged=True)
        changed = put(self.oracle.owners["campaign"][at], given)
        edits = [(brand, self.campaigns[at], "changed", changed)] if changed else []
        self.check("update", must={at}, edits=edits)
        return None

    @rule(
        at=st.integers(0, 1),
        budgets=st.dictionaries(st.sampled_from(BUDGETS[:2]), money, max_size=2),
        scope=st.sampled_from([None, None, "brand", "campaign"]),
        zone=st.sampled_from([None, None, None, *ZONES, "Nowhere/Here"]),
    )
    def update_brand(self, at: int, budgets: dict[str, str | None], scope: str | None, zone: str | None) -> None:
        """Budgets, scope and time zone of a brand."""
        given: dict[str, Any] = {**budgets, **({"budget_scope": scope} if scope else {})}
        given |= {"timezone": zone} if zone else {}
        with self.may_be_refused() as refusal:
            catalog.update_brand(brand_id=self.brands[at], now=self.now, **given)
        assert bool(refusal.sentence) == (zone == "Nowhere/Here"), refusal.sentence
        if refusal.sentence:
            return self.check("update_brand", unchanged=True)
        changed = put(self.oracle.owners["brand"][at], given)
        edits = [(at, None, "changed", changed)] if changed else []
        self.check("update_brand", must=self.oracle.of_brand(at), edits=edits)
        return None

    @rule(at=some, window=st.none() | windows, grid=st.none() | grids)
    def hours(self, at: list[int], window: tuple[int, int, int] | None, grid: str | None) -> None:
        """A window, a grid or no hours at all: for one campaign, or for several with one verb."""
        which = sorted({one % len(self.campaigns) for one in at})
        with self.may_be_refused() as refusal:
            self.set_hours(which, window, grid)
        wrong = window is not None and (window[0] == window[1] or not window[2])
        assert bool(refusal.sentence) == wrong, refusal.sentence
        if wrong:
            return self.check("hours", unchanged=True)
        edits = []
        for one in which:
            campaign = self.oracle.owners["campaign"][one]
            if (campaign.window, campaign.grid) != (window, None if window else grid):
                edits.append((self.oracle.brand(one), self.campaigns[one], "changed", {"hours"}))
            campaign.window, campaign.grid = window, None if window else grid
        self.check("hours", must=set(which), edits=edits)
        return None

    def set_hours(self, which: list[int], window: tuple[int, int, int] | None, grid: str | None) -> None:
        ids = [self.campaigns[one] for one in which]
        if window is not None and (len(ids) == 1 or window[0] == window[1] or not window[2]):
            start, end, weekdays = window
            catalog.set_window(campaign_id=ids[0], start_hour=start, end_hour=end, weekdays=weekdays, now=self.now)
        elif window is not None:
            form: bulk.Hours = dict(zip(("start_hour", "end_hour", "weekdays"), window, strict=True)) | {"grid": None}
            bulk.set_hours(dict.fromkeys(ids, form), now=self.now)
        elif grid is None:
            bulk.set_hours(dict.fromkeys(ids, None), now=self.now)
        elif len(ids) == 1:
            catalog.set_grid(campaign_id=ids[0], grid=grid, now=self.now)
        else:
            form = {"start_hour": None, "end_hour": None, "weekdays": None, "grid": grid}
            bulk.set_hours(dict.fromkeys(ids, form), now=self.now)

    @rule(at=some, paused=st.booleans())
    def pause(self, at: list[int], paused: bool) -> None:
        """A person pauses or resumes some campaigns; one that is archived spoils it for all."""
        which = {one % len(self.campaigns) for one in at}
        campaigns = [self.oracle.owners["campaign"][one] for one in which]
        verb = bulk.pause_campaigns if paused else bulk.resume_campaigns
        with self.may_be_refused() as refusal:
            verb([self.campaigns[one] for one in which], now=self.now)
        assert bool(refusal.sentence) == any(campaign.archived for campaign in campaigns), refusal.sentence
        if refusal.sentence:
            return self.check("pause", unchanged=True)
        for campaign in campaigns:
            campaign.manual = paused
        self.check("pause" if paused else "resume", must=which)
        return None

    @rule(
        at=some,
        field=st.sampled_from(BUDGETS),
        how=st.sampled_from(list(How)),
        value=st.sampled_from(["0", "10", "33.3", "100", "150"]),
        only_try=st.booleans(),
    )
    def budgets(self, at: list[int], field: str, how: How, value: str, only_try: bool) -> None:
        """One budget of several campaigns: set, raised, lowered or removed; or only tried out."""
        which = {one % len(self.campaigns) for one in at}
        ids = [self.campaigns[one] for one in which]
        change = BudgetChange(field, how, None if how is How.REMOVE else Decimal(value))
        wrong = how in bulk.MOST_PERCENT and not 0 < Decimal(value) <= bulk.MOST_PERCENT[how]
        wrong = wrong or any(self.oracle.owners["campaign"][one].archived for one in which)
        with self.may_be_refused() as refusal:
            if only_try:
                reviews.rehearse(partial(bulk.change_budgets, change=change, now=self.now), ids)
            else:
                bulk.change_budgets(ids, change, now=self.now)
        assert bool(refusal.sentence) == wrong, refusal.sentence
        if only_try or refusal.sentence:
            return self.check("rehearse" if only_try else "budgets", unchanged=True)
        edits, changed = [], set()
        for one in which:
            campaign = self.oracle.owners["campaign"][one]
            became = changed_budget(campaign.budgets.get(field), how, Decimal(value))
            if became != campaign.budgets.get(field):
                edits.append((self.oracle.brand(one), self.campaigns[one], "changed", {field}))
                changed.add(one)
            campaign.budgets[field] = became
        self.check("budgets", must=changed, edits=edits)
        return None

    @rule(at=who, brand=st.sampled_from([None, None, None, None, None, 0, 1]), really=st.integers(0, 4))
    def archive(self, at: int, brand: int | None, really: int) -> None:
        """A campaign, seldom a brand, goes out of use for good."""
        if really:
            return
        which = {at % len(self.campaigns)} if brand is None else self.oracle.of_brand(brand)
        gone = {one for one in which if not self.oracle.owners["campaign"][one].archived}
        edits: list[Edited] = []
        if brand is None:
            catalog.archive_campaign(campaign_id=self.campaigns[min(which)], now=self.now)
            edits = [(self.oracle.brand(one), self.campaigns[one], "archived", set()) for one in gone]
        else:
            catalog.archive_brand(brand_id=self.brands[brand], now=self.now)
            edits = [] if self.oracle.owners["brand"][brand].archived else [(brand, None, "archived", set())]
            self.oracle.owners["brand"][brand].archived = True
        for one in gone:
            self.oracle.owners["campaign"][one].manual = True
        frozen = {one: self.oracle.verdict(one, self.now) for one in gone}
        for one in gone:
            self.oracle.owners["campaign"][one].archived = True
        self.check("archive", frozen=frozen, edits=edits)

    # --- What time does ------------------------------------------------------------------------

    @rule(leap=leaps, brand=st.integers(0, 1), off=st.sampled_from([-1, 0, 0, 1]))
    def tick(self, leap: int | str, brand: int, off: int) -> None:
        """Time goes on: by some minutes or months, or to the brink of the brand's next hour, day or month."""
        self.go_to(
            self.next(leap, brand) + off * INSTANT if isinstance(leap, str) else self.now + timedelta(minutes=leap)
        )

    @rule(at=who, after=st.integers(-2, 20), length=st.integers(1, 23), begins=st.booleans(), all_of_them=st.booleans())
    def change_clocks(self, at: int, after: int, length: int, begins: bool, all_of_them: bool) -> None:
        """Some hours after the clocks of a brand are changed, a campaign's hours begin or end, and it is judged."""
        at %= len(self.campaigns)
        brand = self.oracle.brand(at)
        change = self.next_change(brand)
        if change is None:
            return
        moment = max(change + timedelta(hours=after), self.now)
        hour = self.oracle.local(brand, moment).hour
        other = (hour + (length if begins else -length)) % 24
        self.hours([at], (hour, other, 127) if begins else (other, hour, 127), None)
        self.go_to(moment)
        if all_of_them:
            self.enforce()
        else:
            self.enforce_one(at)

    def next_change(self, brand: int) -> datetime | None:
        """When a brand's clocks are next changed, within a year, to the hour; its zone may never change them."""
        step, was = timedelta(days=1), self.oracle.local(brand, self.now).utcoffset()
        at = self.now.replace(minute=0, second=0, microsecond=0)
        end = at + 366 * step
        while at < end and self.oracle.local(brand, at + step).utcoffset() == was:
            at += step
        while at < end and self.oracle.local(brand, at).utcoffset() == was:
            at += timedelta(hours=1)
        return at if at < end else None

    def go_to(self, moment: datetime) -> None:
        """Let time go on to a moment; it never goes back."""
        self.now = max(moment, self.now)
        self.verdicts = self.judged()
        self.check("tick", unchanged=True)

    def next(self, what: str, brand: int) -> datetime:
        """When the brand's clock next shows another hour, day or month; offsets change on quarters of an hour."""
        reading: Callable[[datetime], object] = {
            "hour": lambda local: (local.date(), local.hour, local.utcoffset()),
            "midnight": lambda local: local.date(),
            "month": lambda local: (local.year, local.month),
        }[what]
        was, second = reading(self.oracle.local(brand, self.now)), timedelta(seconds=1)
        step, at = timedelta(minutes=15), self.now.replace(minute=0, second=0, microsecond=0)
        while at <= self.now or reading(self.oracle.local(brand, at)) == was:
            at += step
        # St. John's changes its clock at one minute past midnight.
        while at - second > self.now and reading(self.oracle.local(brand, at - second)) != was:
            at -= second
        return at

    @rule()
    def enforce(self) -> None:
        """The pass: afterwards every stored status is the verdict."""
        stale = sum(self.stored[at] != verdict for at, verdict in self.verdicts.items())
        outcome = enforce_all(now=self.now)
        assert (outcome.judged, outcome.changed) == (len(self.verdicts), stale)
        self.check("enforce", must=set(self.verdicts))

    @rule(at=who)
    def enforce_one(self, at: int) -> None:
        at %= len(self.campaigns)
        enforce_budget(campaign_id=self.campaigns[at], now=self.now)
        self.check("enforce_one", must={at})

    @rule(monthly=st.booleans())
    def roll_over(self, monthly: bool) -> None:
        """Late, twice or never: it judges the campaigns of brands whose day or month has turned since the last."""
        (reset_monthly_budgets if monthly else reset_daily_budgets)(now=self.now)
        must: set[int] = set()
        for at, brand in enumerate(self.oracle.owners["brand"]):
            today = self.oracle.local(at, self.now).date()
            turn = (at, "month", today.replace(day=1)) if monthly else (at, "day", today)
            if turn not in self.turned and not brand.archived:
                self.turned.add(turn)
                must |= self.oracle.of_brand(at)
                self.met["turned"] += 1
        self.check("roll_over", must=must)

    # --- What must hold ------------------------------------------------------------------------

    @contextlib.contextmanager
    def may_be_refused(self) -> Iterator[Refusal]:
        refusal = Refusal()
        try:
            yield refusal
        except BudgetError as error:
            refusal.sentence = str(error)
            self.met["refused"] += 1

    def flight(self, brand: int, first: int | None, length: int | None) -> dict[str, Any]:
        today = self.oracle.local(brand, self.now).date()
        start = None if first is None else today + timedelta(days=first)
        end = None if length is None else (start or today) + timedelta(days=length)
        return {"flight_start": start, "flight_end": end}

    def judged(self) -> dict[int, frozenset[str]]:
        campaigns = enumerate(self.oracle.owners["campaign"])
        return {at: self.oracle.verdict(at, self.now) for at, campaign in campaigns if not campaign.archived}

    def read(self) -> Tables:
        tables: Tables = {}
        with connection.cursor() as cursor:
            for table, columns in TABLES.items():
                worth_it = "WHERE spent <> 0 OR held <> 0" if table.endswith("counter") else ""
                cursor.execute(f"SELECT {columns} FROM campaigns_{table} {worth_it} ORDER BY id")
                fields = [column[0] for column in cursor.description]
                tables[table] = [dict(zip(fields, row, strict=True)) for row in cursor.fetchall()]
        self.stored = {
            self.campaigns.index(row["id"]): names(row["reasons"])
            for row in tables["campaign"]
            if row["id"] in self.campaigns
        }
        return tables

    def check(
        self,
        step: str,
        *,
        must: set[int] | None = None,
        frozen: dict[int, frozenset[str]] | None = None,
        edits: Sequence[Edited] = (),
        unchanged: bool = False,
    ) -> None:
        """Compare all there is with the oracle.

        must: campaigns that the step judges. frozen: what the archived are left with.
        edits: what was set. unchanged: whether nothing at all may be another than before.
        """
        self.met[f"step {step}"] += 1
        before, was, verdicts = self.tables, self.stored, self.verdicts
        self.tables, self.verdicts = self.read(), self.judged()
        if unchanged:
            assert self.tables == before
        self.check_counters()
        self.check_statuses(was, verdicts, must or set(), frozen or {})
        self.check_journal(before, was)
        self.check_edits(before, edits)
        assert check_ledger() == []

    def check_counters(self) -> None:
        found = {}
        for owner, ids in (("brand", self.brands), ("campaign", self.campaigns)):
            for row in self.tables[f"{owner}counter"]:
                key = owner, ids.index(row[f"{owner}_id"]), PERIODS[row["period"]], as_date(row["start"])
                found[key] = row["spent"], row["held"]
        assert found == self.oracle.counters()

    def check_statuses(
        self,
        was: dict[int, frozenset[str]],
        verdicts: dict[int, frozenset[str]],
        must: set[int],
        frozen: dict[int, frozenset[str]],
    ) -> None:
        """What a step changes a verdict by is written at once; without that a stale status may stay till the pass."""
        for row in self.tables["campaign"]:
            at = self.campaigns.index(row["id"])
            stored, campaign = self.stored[at], self.oracle.owners["campaign"][at]
            assert bool(row["is_active"]) == (not stored)
            assert bool(row["paused_manually"]) == campaign.manual
            assert (row["archived_at"] is not None) == campaign.archived
            if campaign.archived:
                assert stored == frozen.get(at, was[at])
                continue
            verdict = self.verdicts[at]
            if at in must or at not in was or verdicts[at] != verdict or was[at] == verdicts[at]:
                assert stored == verdict, at
            else:
                assert stored in (was[at], verdict), at
            for reason in verdict or {"active"}:
                self.met[f"verdict {reason}"] += 1

    def check_journal(self, before: Tables, was: dict[int, frozenset[str]]) -> None:
        """Every change of a status is a row, each from where the one before has led, on the oracle's figures."""
        chain = dict(was)
        for row in self.tables["statuschange"][len(before["statuschange"]) :]:
            at = self.campaigns.index(row["campaign_id"])
            assert names(row["from_reasons"]) == chain.get(at, ACTIVE) != names(row["to_reasons"])
            chain[at] = names(row["to_reasons"])
        assert {at: chain.get(at, ACTIVE) for at in self.stored} == self.stored
        last: dict[int, dict[str, Any]] = {row["campaign_id"]: row for row in self.tables["statuschange"]}
        for at, stored in self.stored.items():
            row = last.get(self.campaigns[at], {"to_reasons": 0})
            assert names(row["to_reasons"]) == stored

    def check_edits(self, before: Tables, expected: Sequence[Edited]) -> None:
        new = self.tables["edit"][len(before["edit"]) :]
        found: dict[tuple[int, int | None, str], set[str]] = defaultdict(set)
        for row in new:
            found[self.brands.index(row["brand_id"]), row["campaign_id"], row["verb"]] |= set(fields_of(row["changes"]))
        assert dict(found) == {(brand, pk, verb): changed for brand, pk, verb, changed in expected}
        assert len(new) == len(expected)


def fields_of(changes: Any) -> set[str]:
    """The fields of an edit; a cursor gives JSON as text."""
    return set(json.loads(changes) if isinstance(changes, str) else changes)


def put(owner: Owner, given: dict[str, Any]) -> set[str]:
    """Set what a person sets; return which fields are another value by that."""
    changed = set()
    attributes = {"budget_scope": "scope", "timezone": "zone", "flight_start": "first", "flight_end": "last"}
    for field, value in given.items():
        if field in BUDGETS:
            was, owner.budgets[field] = owner.budgets.get(field), micros(value)
            changed |= {field} if was != owner.budgets[field] else set()
        else:
            changed |= {field} if getattr(owner, attributes[field]) != value else set()
            setattr(owner, attributes[field], value)
    return changed


def flight_of(campaign: Owner) -> dict[str, Any]:
    return {"flight_start": campaign.first, "flight_end": campaign.last}


def _backwards(fields: dict[str, Any]) -> bool:
    start, end = fields.get("flight_start"), fields.get("flight_end")
    return bool(start and end and end < start)


def changed_budget(was: int | None, how: How, value: Decimal) -> int | None:
    if how is How.SET:
        return micros(value)
    if how is How.REMOVE or was is None:
        return None
    percent = 100 + value if how is How.RAISE else max(100 - value, Decimal(0))
    return int((Decimal(was) * percent / 100 / 10_000).quantize(Decimal(1), ROUND_HALF_UP)) * 10_000
