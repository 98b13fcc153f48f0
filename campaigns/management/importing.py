"""An import of a spend report: row by row from the file into the ledger, in batches, with an account of every row.

The event id of a row is made of its campaign, its time and which row of these it is in the file; the cost is no part
of it. So the same file counts once, two equal rows in it count twice, and a row whose cost the platform has restated
meets its old self in the ledger instead of counting beside it.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from campaigns.gateways import cells, meters
from campaigns.gateways.cells import CellError, Cost, DayOrder
from campaigns.gateways.rejects_csv import Rejects
from campaigns.gateways.spend_csv import EVENT_ID, LINE, Broken, Column, Row, Sheet, Skipped
from campaigns.models import Brand, SpendLog
from campaigns.queries import lookup
from campaigns.queries.lookup import By, Home
from campaigns.rules import money, periods
from campaigns.rules.errors import BudgetError
from campaigns.rules.reasons import Reason
from campaigns.services import spend
from campaigns.services.spend import Outcome, SpendEvent, SpendResult
from campaigns.services.status import Change

BATCH = 1_000
"""Rows recorded in one transaction."""

PREFIX = "csv:"
"""What the event ids that an import makes begin with."""

UNKNOWN = f"{PREFIX}?"
"""What stands for campaign and time in the event id of a row that does not tell them."""

MAX_HOMES = 50_000
"""Campaigns kept in memory by their references; past it they are looked up anew."""

MAX_RESTATED = 100
"""How often the cost of one row can be restated by import."""

WAYS = {
    "id": (By.EXTERNAL_ID, By.ID),
    "external id": (By.EXTERNAL_ID,),
    "name": (By.NAME,),
    "any": (By.EXTERNAL_ID, By.ID, By.NAME),
}
"""In which ways the cells of a campaign column are understood, by what its header says they are."""


class Fate(enum.StrEnum):
    """What became of a row."""

    RECORDED = "recorded"
    ADJUSTED = "adjusted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How an import understands its file, and what it may do."""

    by: Sequence[By]
    brand: Brand | None = None
    zone: ZoneInfo | None = None
    order: DayOrder | None = None
    adjust: bool = False
    """Record the difference where a cost was restated."""
    dry_run: bool = False


NO_COST = "zero-cost row"
"""The kind of line that is skipped for it."""

MAX_REASONS = 1_000
"""Different reasons that are counted one by one; the file of rejects has them all."""


@dataclasses.dataclass(slots=True)
class Account:
    """What became of the rows so far. sums: micros by fate and currency; lines: the first row with each reason."""

    rows: int = 0
    fates: Counter[Fate] = dataclasses.field(default_factory=Counter)
    sums: dict[Fate, Counter[str]] = dataclasses.field(default_factory=lambda: defaultdict(Counter))
    skipped: Counter[str] = dataclasses.field(default_factory=Counter)
    reasons: Counter[str] = dataclasses.field(default_factory=Counter)
    lines: dict[str, int] = dataclasses.field(default_factory=dict)
    statuses: dict[int, tuple[Reason, Reason]] = dataclasses.field(default_factory=dict)

    @property
    def refused(self) -> int:
        """How many rows were rejected or in conflict."""
        return self.fates[Fate.REJECTED] + self.fates[Fate.CONFLICT]

    def paused(self) -> dict[int, Reason]:
        """Return the campaigns that were active before and are paused now, with their reasons."""
        return {key: now for key, (was, now) in self.statuses.items() if not was and now}

    def resumed(self) -> dict[int, Reason]:
        """Return the campaigns that were paused before and are active now: an adjustment can do that."""
        return {key: now for key, (was, now) in self.statuses.items() if was and not now}

    def count(self, fate: Fate, currency: str, micros: int) -> None:
        """Count a row with its money; currency is empty where the row does not tell."""
        self.fates[fate] += 1
        if micros:
            self.sums[fate][currency] += micros

    def skip(self, kind: str) -> None:
        """Count a line that is not spend."""
        self.fates[Fate.SKIPPED] += 1
        self.skipped[kind] += 1

    def because(self, why: str, line: int) -> None:
        """Count why a row was not taken."""
        if why not in self.reasons and len(self.reasons) >= MAX_REASONS:
            why = "Other reasons."
        self.reasons[why] += 1
        self.lines.setdefault(why, line)

    def note(self, changes: Iterable[Change]) -> None:
        """Remember what the statuses were before the import and are now."""
        for change in changes:
            was, _ = self.statuses.get(change.campaign_id, (change.was, change.was))
            self.statuses[change.campaign_id] = was, change.now


@dataclasses.dataclass(slots=True, kw_only=True)
class _Draft:
    """A row as far as it could be read. why: what is wrong with it. base: its event id without the last number."""

    row: Row
    home: Home | None = None
    moment: datetime | None = None
    cost: Cost | None = None
    why: str = ""
    base: str = ""
    number: int = 0
    event_id: str = ""

    @property
    def key(self) -> tuple[int, str]:
        assert self.home is not None
        return self.home.brand_id, self.event_id

    @property
    def campaign_id(self) -> int:
        assert self.home is not None
        return self.home.campaign_id

    @property
    def micros(self) -> int:
        return 0 if self.cost is None else self.cost.micros

    def event(self) -> SpendEvent:
        return SpendEvent(
            event_id=self.event_id,
            campaign_id=self.campaign_id,
            amount=money.from_micros(self.micros),
            timestamp=self.moment,
        )


class _Standing(NamedTuple):
    """What the ledger has for a row: as first imported, with its adjustments, and how many of these there are."""

    first: int
    total: int
    adjustments: int


class Import:
    """One import of one file. `run` it once; `account` tells what became of the rows, also after an interruption."""

    def __init__(self, sheet: Sheet, terms: Terms, rejects: Rejects) -> None:
        self.account = Account()
        self._sheet = sheet
        self._terms = terms
        self._rejects = rejects
        self._homes: dict[str, Home | str] = {}
        self._occurrences = _Occurrences()
        # Rows of one campaign and time of which an earlier one has changed: none of these may be taken for new.
        self._changed: set[str] = set()
        self._refused: list[tuple[_Draft | Broken, str]] = []
        self._told_fates: Counter[Fate] = Counter()

    def run(self, progress: Callable[[Account], None]) -> None:
        """Import all rows; progress is called after every batch, which by then is committed."""
        items = self._sheet.rows()
        while batch := list(itertools.islice(items, BATCH)):
            drafts = self._read(batch)
            with self._maybe_rolled_back():
                self._record(drafts, timezone.now())
            self.account.rows += len(batch)
            self._tell_meters()
            self._write_refused()
            progress(self.account)

    def _tell_meters(self) -> None:
        """Count what has become of rows since the last batch; nothing of what was taken back."""
        fates = self.account.fates - self._told_fates
        self._told_fates = self.account.fates.copy()
        if not self._terms.dry_run:
            outcomes = {outcome: fates[Fate(outcome)] for outcome in Outcome}
            outcomes[Outcome.RECORDED] += fates[Fate.ADJUSTED]
            meters.count_events("import", outcomes)

    @contextmanager
    def _maybe_rolled_back(self) -> Iterator[None]:
        if not self._terms.dry_run:
            yield
            return
        with transaction.atomic():
            yield
            transaction.set_rollback(True)

    # --- From cells to drafts --------------------------------------------------------------------

    def _read(self, items: Sequence[Row | Broken | Skipped]) -> list[_Draft]:
        """The rows of a batch that can be recorded; the others are accounted for."""
        rows = []
        for item in items:
            if isinstance(item, Row):
                rows.append(item)
            elif isinstance(item, Skipped):
                self.account.skip(item.kind)
            else:
                self._refuse(item, Fate.REJECTED, item.why)
        self._find_homes(rows)
        drafts = [self._draft(row) for row in rows]
        self._name(drafts)
        return [draft for draft in drafts if self._is_spend(draft)]

    def _find_homes(self, rows: Iterable[Row]) -> None:
        references = {self._reference(row) for row in rows}
        if len(self._homes) + len(references) > MAX_HOMES:
            self._homes.clear()
        unknown = [reference for reference in references if reference not in self._homes]
        if unknown:
            self._homes |= lookup.find_campaigns(unknown, by=self._terms.by, brand=self._terms.brand)

    def _reference(self, row: Row) -> str:
        return self._sheet.layout.cell(row, Column.CAMPAIGN) or ""

    def _draft(self, row: Row) -> _Draft:
        draft = _Draft(row=row)
        try:
            draft.cost = cells.read_cost(self._sheet.layout.cell(row, Column.COST) or "", self._sheet.decimal)
        except CellError as error:
            draft.why = str(error)
        home = self._homes[self._reference(row)]
        if isinstance(home, str):
            draft.why = home
            return draft
        draft.home = home
        try:
            self._read_moment(draft, home)
        except CellError as error:
            draft.why = str(error)
        return draft

    def _read_moment(self, draft: _Draft, home: Home) -> None:
        layout, zone = self._sheet.layout, self._terms.zone or home.zone
        text, hour = layout.cell(draft.row, Column.TIME) or "", layout.cell(draft.row, Column.HOUR)
        moment = cells.read_moment(text, hour, zone, self._terms.order)
        until = layout.cell(draft.row, Column.UNTIL)
        if until and until != text and cells.read_moment(until, None, zone, self._terms.order) != moment:
            raise CellError(f"The row covers {text} to {until}; export the report by day.")
        draft.moment = moment
        draft.base = f"{PREFIX}{home.campaign_id}:{_when(moment, zone)}"

    def _name(self, drafts: Sequence[_Draft]) -> None:
        """Give every row its event id, also to those that are not recorded.

        A row without a cost today may have one in the next export: were it left out here, those behind it would get
        other ids then. A row whose campaign or time can't be told is numbered among those that look like it, so that
        it has the same id from this file and from the file of rejects once it can be told.
        """
        numbered = []
        for draft in drafts:
            own = self._sheet.layout.cell(draft.row, Column.EVENT_ID)
            if own is not None:
                draft.event_id, draft.base = own, ""
                if not own or not own.isprintable():
                    draft.why = draft.why or "The row has no event id of printable characters."
            elif self._sheet.layout.import_columns:
                draft.event_id = self._kept_event_id(draft)
            else:
                numbered.append(draft)
        bases = [draft.base or f"{UNKNOWN}{self._looks(draft.row)}" for draft in numbered]
        for draft, number in zip(numbered, self._occurrences.number(bases), strict=True):
            draft.event_id = f"{draft.base or UNKNOWN}:{number}"

    def _looks(self, row: Row) -> str:
        return json.dumps([self._sheet.layout.cell(row, c) for c in (Column.CAMPAIGN, Column.TIME, Column.HOUR)])

    def _kept_event_id(self, draft: _Draft) -> str:
        """The event id of a row in a file of rejects: the one that the import noted which rejected it.

        One that was too broken then to be numbered is told apart by its line.
        """
        kept = self._sheet.layout.kept(draft.row, EVENT_ID)
        noted, _, number = kept.rpartition(":")
        if not draft.base or noted == draft.base:
            return kept
        if noted == UNKNOWN:
            return f"{draft.base}:{number}"
        return f"{draft.base}:line{self._sheet.layout.kept(draft.row, LINE)}"

    def _is_spend(self, draft: _Draft) -> bool:
        """Whether the row can be held against the ledger; if not, it is accounted for."""
        nothing = draft.cost is not None and draft.micros == 0
        why = draft.why or self._why_not(draft)
        if nothing and why:
            self.account.skip(NO_COST)
            return False
        if why:
            self._refuse(draft, Fate.REJECTED, why)
        return not why

    def _why_not(self, draft: _Draft) -> str:
        assert draft.home is not None and draft.cost is not None
        home = draft.home
        cell = self._sheet.layout.cell(draft.row, Column.CURRENCY)
        if cell and not _currencies(cell):
            return f"The currency {_shown(cell)} is not a code of ISO 4217."
        for currencies in self._told(draft):
            if currencies and home.currency not in currencies:
                named = next(iter(currencies)) if len(currencies) == 1 else "another currency"
                return f"The cost is in {named}, but {home.brand} counts in {home.currency}."
        if draft.cost.micros < 0:
            return "The cost is negative; record a credit with log_spend, as --kind adjustment and with a --note."
        return ""

    def _told(self, draft: _Draft) -> list[frozenset[str]]:
        """The currencies that a row tells: beside its amount, in a column of its own, in the header."""
        layout = self._sheet.layout
        beside = draft.cost.currencies if draft.cost else frozenset()
        return [beside, _currencies(layout.cell(draft.row, Column.CURRENCY) or ""), layout.currencies]

    # --- From drafts to the ledger ---------------------------------------------------------------

    def _record(self, drafts: list[_Draft], now: datetime) -> None:
        if not self._terms.adjust:
            drafts = self._hold_back(drafts)
        nothing = [draft for draft in drafts if not draft.micros]
        drafts = [draft for draft in drafts if draft.micros]
        results = self._record_events([draft.event() for draft in drafts], now)
        met: list[tuple[_Draft, SpendResult | None]] = [(draft, None) for draft in nothing]
        for draft, result in zip(drafts, results, strict=True):
            if result.outcome is Outcome.RECORDED:
                self._count(draft, Fate.RECORDED, draft.micros)
            elif result.outcome is Outcome.REJECTED:
                self._refuse(draft, Fate.REJECTED, result.detail)
            else:
                met.append((draft, result))
        if met:
            self._settle(met, now)

    def _record_events(self, events: Sequence[SpendEvent], now: datetime) -> list[SpendResult]:
        """Record events; where the whole of them can't be, find those that can."""
        if not events:
            return []
        try:
            receipt = spend.record_spend(events, now=now)
        except BudgetError as error:
            if len(events) == 1:
                return [SpendResult(events[0].event_id, Outcome.REJECTED, str(error))]
            half = len(events) // 2
            return self._record_events(events[:half], now) + self._record_events(events[half:], now)
        if not self._terms.dry_run:  # a batch that is taken back can't tell what all of them would change
            self.account.note(receipt.changes)
        return receipt.results

    def _hold_back(self, drafts: list[_Draft]) -> list[_Draft]:
        """Refuse what would look new only because rows were put in before it since the last import.

        Rows of one campaign and time are told apart by their order. If one has changed, any behind it may be an old
        one that has moved on, so that none of them is new for certain.
        """
        sizes = Counter(draft.base for draft in drafts if draft.base)
        several = [d for d in drafts if d.base and (sizes[d.base] > 1 or not d.event_id.endswith(":1"))]
        if not several:
            return drafts
        standing = _standing(several)
        self._changed |= {d.base for d in several if d.key in standing and standing[d.key].total != d.micros}
        doubtful = {d.key for d in several if d.base in self._changed and d.micros} - standing.keys()
        kept = []
        for draft in drafts:
            if draft.key in doubtful:
                why = (
                    "Rows of this campaign and time have changed since they were imported, so this one may be counted "
                    "already; --restated adjust takes over all of them."
                )
                self._refuse(draft, Fate.CONFLICT, why)
            else:
                kept.append(draft)
        return kept

    def _settle(self, met: Sequence[tuple[_Draft, SpendResult | None]], now: datetime) -> None:
        """Account for rows whose event ids the ledger may have: the same, restated, or something else.

        result: what recording the row said; None for a row without cost, which was not tried.
        """
        standing = _standing([draft for draft, _ in met])
        restated = []
        for draft, result in met:
            found = standing.get(draft.key)
            if found is not None and found.total != draft.micros and draft.base:
                restated.append((draft, found))
            elif result is None:
                self.account.skip(NO_COST)
            elif found is None or found.total != draft.micros:
                self._refuse(draft, Fate.CONFLICT, result.detail)
            elif result.outcome is Outcome.CONFLICT and found.first == draft.micros:
                self._refuse(draft, Fate.CONFLICT, "It was recorded before for another time; it was not counted again.")
            else:
                self._count(draft, Fate.DUPLICATE, draft.micros)
        if self._terms.adjust:
            self._adjust(restated, now)
        else:
            self._refuse_restated(restated)

    def _refuse_restated(self, restated: Sequence[tuple[_Draft, _Standing]]) -> None:
        for draft, found in restated:
            self._changed.add(draft.base)
            self._refuse(draft, Fate.CONFLICT, _restated(draft, found))

    def _adjust(self, restated: Sequence[tuple[_Draft, _Standing]], now: datetime) -> None:
        events = [self._adjustment(draft, found) for draft, found in restated]
        for (draft, found), result in zip(restated, self._record_events(events, now), strict=True):
            if result.outcome is Outcome.RECORDED:
                self._count(draft, Fate.ADJUSTED, draft.micros - found.total)
            elif result.outcome is Outcome.DUPLICATE:
                self._count(draft, Fate.DUPLICATE, draft.micros)
            elif result.outcome is Outcome.REJECTED:
                self._refuse(draft, Fate.REJECTED, result.detail)
            else:
                self._refuse(draft, Fate.CONFLICT, _restated(draft, found))

    def _adjustment(self, draft: _Draft, found: _Standing) -> SpendEvent:
        old, new = money.to_text(found.total), money.to_text(draft.micros)
        return SpendEvent(
            event_id=f"{draft.event_id}:r{found.adjustments + 1}",
            campaign_id=draft.campaign_id,
            amount=money.from_micros(draft.micros - found.total),
            timestamp=draft.moment,
            kind="adjustment",
            note=f"Restated from {old} to {new} by an import.",
        )

    # --- The account -----------------------------------------------------------------------------

    def _count(self, draft: _Draft, fate: Fate, micros: int) -> None:
        assert draft.home is not None
        self.account.count(fate, draft.home.currency, micros)

    def _refuse(self, item: _Draft | Broken, fate: Fate, why: str) -> None:
        if isinstance(item, Broken):
            self.account.count(fate, "", 0)
        else:
            self.account.count(fate, self._currency(item), item.micros)
        self._refused.append((item, why))

    def _currency(self, draft: _Draft) -> str:
        """The currency that a refused row is in, as far as that can be told; else nothing."""
        for told in self._told(draft):
            if len(told) == 1:
                return next(iter(told))
        if draft.home is not None:
            return draft.home.currency
        return self._terms.brand.currency if self._terms.brand else ""

    def _write_refused(self) -> None:
        """Write what this batch refused in the order of the file."""
        lines = [(item.row if isinstance(item, _Draft) else item, item, why) for item, why in self._refused]
        for row, item, why in sorted(lines, key=lambda entry: entry[0].line):
            self.account.because(why, row.line)
            event_id = item.event_id if isinstance(item, _Draft) and item.event_id.startswith(PREFIX) else ""
            self._rejects.add(
                line=self._sheet.layout.kept(row, LINE) or row.line, found=row.cells, why=why, event_id=event_id
            )
        self._refused.clear()
        self._rejects.flush()


def _standing(drafts: Sequence[_Draft]) -> dict[tuple[int, str], _Standing]:
    """What the ledger has for these rows, by brand and event id; only where it is spend of the row's campaign."""
    wanted = {draft.key: draft for draft in drafts}
    first = {
        key: row.micros
        for key, row in lookup.find_recorded(wanted).items()
        if row.kind is SpendLog.Kind.SPEND and wanted[key].campaign_id == row.campaign_id
    }
    standing = {key: _Standing(micros, micros, 0) for key, micros in first.items()}
    open_keys = list(standing)
    for number in range(1, MAX_RESTATED + 1):
        adjustments = lookup.find_recorded([(brand_id, f"{event_id}:r{number}") for brand_id, event_id in open_keys])
        open_keys = [key for key in open_keys if (key[0], f"{key[1]}:r{number}") in adjustments]
        for key in open_keys:
            was = standing[key]
            total = was.total + adjustments[key[0], f"{key[1]}:r{number}"].micros
            standing[key] = _Standing(was.first, total, number)
        if not open_keys:
            break
    return standing


def _restated(draft: _Draft, found: _Standing) -> str:
    assert draft.home is not None
    currency, difference = draft.home.currency, draft.micros - found.total
    return (
        f"This row was imported with {money.to_text(found.total)} {currency} and says {money.to_text(draft.micros)} "
        f"{currency} now; it was not counted again. --restated adjust records the difference, "
        f"{money.to_text(difference)} {currency}."
    )


@lru_cache(maxsize=20_000)
def _when(moment: datetime, zone: ZoneInfo) -> str:
    """The moment as it stands in an event id: a day if it is the beginning of one, so that 2026-03-01 and
    2026-03-01 00:00 are the same."""
    day = periods.local_date(moment, zone)
    if periods.day_begins(day, zone) == moment:
        return day.isoformat()
    return moment.isoformat().replace("+00:00", "Z")


def _currencies(text: str) -> frozenset[str]:
    code = cells.currency_of(text)
    return cells.SYMBOLS.get(text.casefold(), frozenset()) if code is None else frozenset({code})


class _Occurrences:
    """Counts how often each key has come, in a database of its own on disk: any number of keys in little memory."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # without a name it is gone when it is closed
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")

    def number(self, keys: Sequence[str]) -> list[int]:
        """Return for each key which one of its kind it is, from 1."""
        added = Counter(keys)
        try:
            rows = self._database.execute(
                "INSERT INTO seen SELECT key, value FROM json_each(?) WHERE true"
                " ON CONFLICT (key) DO UPDATE SET times = times + excluded.times RETURNING key, times",
                [json.dumps(added)],
            ).fetchall()
        except sqlite3.Error as error:
            raise BudgetError(f"There is no room for temporary data: {error}.") from error
        last = {key: times - added[key] for key, times in rows}
        numbers = []
        for key in keys:
            last[key] += 1
            numbers.append(last[key])
        return numbers


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
