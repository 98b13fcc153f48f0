"""The spend reports that ad platforms export as CSV: which column is which, and which rows are spend.

Nothing here is money yet: rows carry the text of their cells, `cells.py` reads them, and the caller knows the brand.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from campaigns.gateways import cells
from campaigns.gateways.cells import DecimalMark
from campaigns.gateways.csv_records import Record, SheetError, Text

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""What may separate columns, and its name in a sentence."""

HEADER_WITHIN = 50
"""Titles may stand above the header; it is looked for in this many lines that are not empty."""

LINE, REASON, EVENT_ID = "import line", "import reason", "import event id"
IMPORT_COLUMNS = (LINE, REASON, EVENT_ID)
"""The columns that a file of rejects has before those of the file it came from."""


class Column(enum.StrEnum):
    """What a column holds. The values are also the names of the options: `--cost-column`."""

    TIME = "time"
    HOUR = "hour"
    UNTIL = "until"
    CAMPAIGN = "campaign"
    COST = "cost"
    CURRENCY = "currency"
    EVENT_ID = "event-id"


NEEDED = (Column.TIME, Column.CAMPAIGN, Column.COST)

CampaignIs = Literal["id", "external id", "name", "any"]
"""What a campaign column holds, as far as its header tells."""

# Names are compared without case, spaces and punctuation. The first group that fits decides; two fits in one group
# are ambiguous.
_GUESSES: dict[Column, tuple[tuple[str, ...], ...]] = {
    Column.TIME: (
        ("timestamp", "datetime", "dateandtime", "occurredat", "eventtime", "byhour", "stattimehour"),
        ("day", "date", "byday", "reportdate", "reportingdate", "spenddate", "stattimeday", "gregoriandate"),
        ("timeperiod",),
        ("time",),
        ("hour",),
        ("reportingstarts",),
    ),
    Column.HOUR: (("hour", "hourofday", "houroftheday", "timeofday"), ("time",)),
    Column.UNTIL: (("reportingends",),),
    Column.CAMPAIGN: (
        ("campaignexternalid", "externalcampaignid", "externalid"),
        ("campaignid",),
        ("campaign",),
        ("campaignname",),
    ),
    Column.COST: (
        ("cost", "spend", "spent", "amountspent", "adspend", "adcost"),
        ("totalcost", "totalspend", "mediacost", "mediaspend", "totalmediacost"),
        ("amount",),
    ),
    Column.CURRENCY: (
        ("currency",),
        ("currencycode",),
        ("accountcurrency", "accountcurrencycode"),
        ("advertisercurrency",),
    ),
    Column.EVENT_ID: (("eventid",),),
}
_BY_NAME = tuple(reversed(_GUESSES[Column.CAMPAIGN]))
_CAMPAIGN_IS: dict[str, CampaignIs] = {
    **dict.fromkeys(_GUESSES[Column.CAMPAIGN][0], "external id"),
    "campaignid": "id",
    "campaignname": "name",
}
_WITH_CLOCK = {*_GUESSES[Column.TIME][0], "time", "hour"}

_UNIT = re.compile(
    r"(?P<name>.*?)[\s_]*(?:\((?P<inside>[^()]*)\)|\[(?P<square>[^\[\]]*)\]|[\s_](?P<last>[A-Za-z]{3}))\s*"
)
_LONGEST_NAME = 200
"""No column that can be told has a longer name. To look for a currency in one takes the square of its length, and so
does Unicode's normal form of many accents on one letter."""
_OWN_CURRENCY = {"advertisercurrency", "advcurrency", "accountcurrency", "localcurrency"}
_TOTAL = re.compile(
    r"\W*(?:(?:grand|sub|report)[\s-]*)?(?:total|totals|summary|gesamt|insgesamt|summe|totale|totaux|totaal|итого)\b",
    re.IGNORECASE,
)


class Row(NamedTuple):
    """A row of spend: its line in the file and its cells, as many as the header has."""

    line: int
    cells: list[str]


class Broken(NamedTuple):
    """A row that can't be spend as it stands, and why, as one sentence."""

    line: int
    cells: list[str]
    why: str


class Skipped(NamedTuple):
    """A line that is no row of spend: a `total row`, a `repeated header` or a `footer line`."""

    line: int
    kind: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the caller says about a file instead of having it guessed."""

    columns: Mapping[Column, str] = dataclasses.field(default_factory=dict)
    encoding: str | None = None
    decimal: DecimalMark | None = None
    by_name: bool = False
    """Whether campaigns are told by their names, so that a column with these is wanted before one with ids."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a file is laid out. header: its names; line: where the header stands; at: which column holds what."""

    delimiter: str
    line: int
    titles: int
    header: list[str]
    at: Mapping[Column, int]
    campaign_is: CampaignIs
    currencies: frozenset[str]
    """What the header of the cost says the currency is; empty if it does not tell."""
    import_columns: int
    """How many columns an import put before the file's own: some in a file of rejects, none in a report."""

    def name(self, column: Column) -> str:
        """Return the name of a column that there is."""
        return self.header[self.at[column]].strip()

    def cell(self, row: Row, column: Column) -> str | None:
        """Return the text of a row's cell, None where the file has no such column."""
        at = self.at.get(column)
        return None if at is None else row.cells[at].strip()

    def kept(self, row: Row | Broken, column: str) -> str:
        """Return what an earlier import noted of a rejected row: its LINE or its EVENT_ID; empty in a report."""
        at = IMPORT_COLUMNS.index(column)
        return row.cells[at].strip() if self.import_columns and at < len(row.cells) else ""


class Sheet:
    """A report that was found to have a day or time, a campaign and a cost in every row.

    Opening it reads the whole file once: what makes all of it unreadable is found before anything is recorded.
    Raises SheetError, with a sentence that names the option to use.
    """

    def __init__(self, path: Path, wishes: Wishes) -> None:
        self.text = Text(path, wishes.encoding)
        self.layout = _find_layout(self.text, wishes)
        self.rows_in_all = 0
        self.decimal: DecimalMark = wishes.decimal or "."
        self._survey(ask=wishes.decimal is None)

    def rows(self) -> Iterator[Row | Broken | Skipped]:
        """Yield what stands below the header, line by line, as it is read."""
        return _without_totals(_Reader(self.layout).items(self._below_header()), self.layout)

    def _below_header(self) -> Iterator[Record]:
        records = self.text.records(self.layout.delimiter)
        return itertools.dropwhile(lambda record: record.line <= self.layout.line, records)

    def _survey(self, *, ask: bool) -> None:
        """Read all of it once, and see how its amounts are written."""
        found: dict[str, tuple[int, str]] = {}
        at = self.layout.at[Column.COST]
        for item in self.rows():
            self.rows_in_all += 1
            if ask and isinstance(item, Row):
                marks = cells.decimal_marks(item.cells[at])
                if marks and marks not in found:
                    found[marks] = item.line, item.cells[at].strip()
        _settle_decimals(found, self.layout.name(Column.COST))


def _settle_decimals(found: Mapping[str, tuple[int, str]], column: str) -> None:
    """Raise SheetError where amounts would have to be guessed: 1,234 is not 1.234."""
    if "," in found and "." not in found:
        line, text = found[","]
        raise SheetError(
            f"The column {column!r} is written with a decimal comma ({text!r} in line {line}); say --decimal , "
            "(or --decimal . to reject such rows)."
        )
    if "?" in found and ("," in found or "." not in found):
        line, text = found["?"]
        raise SheetError(
            f"The column {column!r} can be read in two ways ({text!r} in line {line}): say which mark is before its "
            "decimals, --decimal . or --decimal ,"
        )


class _Reader:
    """Tells rows of spend from what else stands below the header."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._campaign, self._time = layout.at[Column.CAMPAIGN], layout.at[Column.TIME]
        self._width = len(layout.header)
        self._after_gap = False

    def items(self, records: Iterable[Record]) -> Iterator[Row | Broken | Skipped]:
        for record in records:
            if record.problem:
                yield Broken(record.line, record.cells, record.problem)
            elif not any(map(str.strip, record.cells)):
                self._after_gap = True
            elif len(record.cells) == self._width and not self._is_extra(record.cells):
                self._after_gap = False
                yield Row(record.line, record.cells)
            else:
                yield self._other(record)

    def _other(self, record: Record) -> Row | Broken | Skipped:
        line, found = record.line, record.cells
        padded = found + [""] * (self._width - len(found))
        if found == self._layout.header:
            return Skipped(line, "repeated header")
        if self._is_total(padded):
            return Skipped(line, "total row")
        if len(found) > self._width and not any(map(str.strip, found[self._width :])):
            return Row(line, found[: self._width])
        if len(found) < self._width and self._is_footer(padded):
            return Skipped(line, "footer line")
        why = f"The row has {len(found)} columns and the header {self._width}"
        hint = "; a cell with the separator in it needs quotes." if len(found) > self._width else "."
        return Broken(line, found, why + hint)

    def _is_extra(self, found: Sequence[str]) -> bool:
        """Whether a row as wide as the header is none of spend."""
        return found == self._layout.header or self._is_total(found)

    def _is_total(self, found: Sequence[str]) -> bool:
        campaign, day = found[self._campaign].strip(), found[self._time].strip()
        if campaign not in cells.NO_COST and any(map(str.isdigit, day)):
            return False
        if campaign in cells.NO_COST and day in cells.NO_COST:
            return True
        first = next((cell for cell in found if cell.strip()), "")
        return any(map(_TOTAL.match, (first, campaign, day)))

    def _is_footer(self, found: Sequence[str]) -> bool:
        """Whether a short row is one of the notes that stand below a gap, such as when the report was made."""
        copyright_line = found[0].lstrip().startswith("©")
        return copyright_line or (self._after_gap and not found[self._layout.at[Column.COST]].strip())


def _without_totals(items: Iterable[Row | Broken | Skipped], layout: Layout) -> Iterator[Row | Broken | Skipped]:
    """Skip a total that only its missing campaign gives away: it is the first or the last row. Others are broken."""
    at, first = layout.at[Column.CAMPAIGN], True
    held: Row | None = None
    for item in items:
        if held is not None and not isinstance(item, Skipped):
            yield Broken(held.line, held.cells, "The row names no campaign.")
            held = None
        if not isinstance(item, Row) or item.cells[at].strip() not in cells.NO_COST:
            yield item
        elif first:
            yield Skipped(item.line, "total row")
        else:
            held = item
        first = first and isinstance(item, Skipped)
    if held is not None:
        yield Skipped(held.line, "total row")


def _find_layout(text: Text, wishes: Wishes) -> Layout:
    """Find the delimiter and the header: the first line in which every column that is needed can be told."""
    best: _Fit | None = None
    for delimiter in DELIMITERS:
        for fit in _fits(text, delimiter, wishes):
            if fit.complete:
                return _layout(fit, delimiter)
            if best is None or fit.score > best.score:
                best = fit
    if best is None:
        raise SheetError(f"{text.path} has nothing but empty lines.")
    raise SheetError(_what_is_missing(text.path, best, wishes.columns))


class _Fit(NamedTuple):
    """How well a line does as the header: what was found in it, and where more than one column could be meant."""

    line: int
    titles: int
    header: list[str]
    at: dict[Column, int]
    choices: dict[Column, list[str]]

    @property
    def complete(self) -> bool:
        return not self.choices and all(column in self.at for column in NEEDED)

    @property
    def score(self) -> tuple[int, int, int]:
        return len(self.at) + len(self.choices), len(self.header) > 1, sum(map(str.isalpha, map(_plain, self.header)))


def _fits(text: Text, delimiter: str, wishes: Wishes) -> Iterator[_Fit]:
    records = (record for record in text.records(delimiter) if any(map(str.strip, record.cells)))
    for titles, record in enumerate(itertools.islice(records, HEADER_WITHIN)):
        yield _fit(record, titles, wishes)


def _fit(record: Record, titles: int, wishes: Wishes) -> _Fit:
    named = wishes.columns
    fit = _Fit(record.line, titles, record.cells, {}, {})
    plain = [_plain(name) for name in record.cells]
    for column in Column:
        if column in named:
            found = _called(record.cells, plain, named[column])
        elif column in (Column.HOUR, Column.UNTIL):
            continue  # they depend on the column of the time
        else:
            guesses = _BY_NAME if column is Column.CAMPAIGN and wishes.by_name else _GUESSES[column]
            found = _guessed(_costs(record.cells) if column is Column.COST else plain, guesses)
        _take(fit, column, found)
    if Column.TIME in fit.at:
        _complete_time(fit, plain, named)
    return fit


def _take(fit: _Fit, column: Column, found: Sequence[int]) -> None:
    if len(found) == 1:
        fit.at[column] = found[0]
    elif found:
        fit.choices[column] = [fit.header[at].strip() for at in found]


def _complete_time(fit: _Fit, plain: Sequence[str], named: Mapping[Column, str]) -> None:
    """Find the column with the hour where the time is only a day, and the last day where it is the first of some."""
    day = plain[fit.at[Column.TIME]]
    for column in (Column.HOUR, Column.UNTIL):
        if column in named:
            _take(fit, column, _called(fit.header, plain, named[column]))
    if Column.HOUR not in named and day not in _WITH_CLOCK:
        _take(fit, Column.HOUR, _guessed([_hour_name(name) for name in plain], _GUESSES[Column.HOUR]))
    if Column.UNTIL not in named and day == "reportingstarts":
        _take(fit, Column.UNTIL, _guessed(plain, _GUESSES[Column.UNTIL]))


def _hour_name(plain: str) -> str:
    # One platform's full name is: Time of day (ad account time zone).
    return "timeofday" if plain.startswith("timeofday") else plain


def _called(header: Sequence[str], plain: Sequence[str], name: str) -> list[int]:
    exact = [at for at, cell in enumerate(header) if cell.strip() == name.strip()]
    return exact or [at for at, cell in enumerate(plain) if cell and cell == _plain(name)]


def _guessed(plain: Sequence[str], guesses: Iterable[Iterable[str]]) -> list[int]:
    for group in guesses:
        found = [at for at, name in enumerate(plain) if name in group]
        if found:
            return found
    return []


def _costs(header: Sequence[str]) -> list[str]:
    return [_split_unit(name)[0] for name in header]


def _split_unit(name: str) -> tuple[str, frozenset[str]]:
    """The plain name of a cost column and the currencies it tells, as in `Cost (EUR)`, `cost_usd`, `Spend [€]`."""
    found = _UNIT.fullmatch(name) if len(name) <= _LONGEST_NAME else None
    if found is None:
        return _plain(name), frozenset()
    unit = next(part for part in found.groups()[1:] if part is not None).strip()
    code = cells.currency_of(unit)
    if code is not None:
        return _plain(found["name"]), frozenset({code})
    if symbol := cells.SYMBOLS.get(unit.casefold()):
        return _plain(found["name"]), symbol
    return _plain(found["name"] if _plain(unit) in _OWN_CURRENCY else name), frozenset()


def _plain(name: str) -> str:
    """The beginning of a column's name without case, spaces and punctuation."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name[:_LONGEST_NAME]).casefold()))


def _layout(fit: _Fit, delimiter: str) -> Layout:
    campaign, cost = (fit.header[fit.at[column]] for column in (Column.CAMPAIGN, Column.COST))
    if "micro" in _plain(cost):
        raise SheetError(f"The column {cost.strip()!r} counts in micros; export the cost in units of the currency.")
    return Layout(
        delimiter=delimiter,
        line=fit.line,
        titles=fit.titles,
        header=fit.header,
        at=fit.at,
        campaign_is=_CAMPAIGN_IS.get(_plain(campaign), "any"),
        currencies=_split_unit(cost)[1],
        import_columns=len(IMPORT_COLUMNS) if tuple(fit.header[: len(IMPORT_COLUMNS)]) == IMPORT_COLUMNS else 0,
    )


def _what_is_missing(path: Path, fit: _Fit, named: Mapping[Column, str]) -> str:
    if len(fit.header) == 1 and not fit.at:
        return f"{path} does not look like CSV: no line has a day or time, a campaign and a cost in columns."
    columns = f"The columns in line {fit.line}: {_listed(fit.header)}."
    for column, names in fit.choices.items():
        return f"{path}: the {_what(column)} may be {_listed(names)}; say which with --{column}-column. {columns}"
    missing = [column for column in (*NEEDED, *named) if column not in fit.at]
    if missing[0] in named:
        return f"{path} has no column {named[missing[0]]!r} for the {_what(missing[0])}. {columns}"
    options = ", ".join(f"--{column}-column" for column in dict.fromkeys(missing))
    wanted = ", ".join(f"the {_what(column)}" for column in dict.fromkeys(missing))
    return f"{path}: no column was found for {wanted}; name it with {options}. {columns}"


def _what(column: Column) -> str:
    return {Column.TIME: "day or time", Column.UNTIL: "last day", Column.EVENT_ID: "event id"}.get(column, column.value)


def _listed(names: Sequence[str], most: int = 20) -> str:
    shown = [repr(name if len(name) <= 40 else f"{name[:37]}...") for name in map(str.strip, names[:most])]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
