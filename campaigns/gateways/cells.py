"""What a cell of a spend report says: an amount, a day or a time, an hour.

Reports are written for people, so each form is taken only where it can be read in one way; what could be read in two
is refused with the option that settles it. No amount passes through a float.
"""

from __future__ import annotations

import enum
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from campaigns.rules import money, periods

DecimalMark = Literal[".", ","]
DECIMAL_MARKS: tuple[DecimalMark, DecimalMark] = (".", ",")

NO_COST = frozenset({"", "-", "--", "\N{EN DASH}", "\N{EM DASH}"})
"""What reports write where nothing was spent."""

# Time zone rules of other years are guesswork, and datetime can't convert the very first and last ones.
FIRST_YEAR, LAST_YEAR = 1970, 9998

_DOLLARS = frozenset(
    "USD AUD BBD BMD BND BSD BZD CAD FJD GYD HKD JMD KYD LRD NAD NZD SBD SGD SRD TTD TWD XCD".split()  # noqa: SIM905
)
_PESOS = frozenset({"ARS", "CLP", "COP", "CUP", "DOP", "MXN", "UYU"})

# A symbol names every currency that people write with it; the brand's own must be one of them.
SYMBOLS: dict[str, frozenset[str]] = {
    "$": _DOLLARS | _PESOS,
    "us$": frozenset({"USD"}),
    "a$": frozenset({"AUD"}),
    "au$": frozenset({"AUD"}),
    "c$": frozenset({"CAD"}),
    "ca$": frozenset({"CAD"}),
    "hk$": frozenset({"HKD"}),
    "mx$": frozenset({"MXN"}),
    "nt$": frozenset({"TWD"}),
    "nz$": frozenset({"NZD"}),
    "r$": frozenset({"BRL"}),
    "s$": frozenset({"SGD"}),
    "€": frozenset({"EUR"}),
    "£": frozenset({"GBP", "EGP", "FKP", "GIP", "LBP", "SHP", "SSP", "SYP"}),
    "¥": frozenset({"JPY", "CNY"}),
    "\N{FULLWIDTH YEN SIGN}": frozenset({"JPY", "CNY"}),
    "円": frozenset({"JPY"}),
    "元": frozenset({"CNY"}),
    "₹": frozenset({"INR"}),
    "₩": frozenset({"KRW", "KPW"}),
    "₪": frozenset({"ILS"}),
    "₫": frozenset({"VND"}),
    "₱": frozenset({"PHP"}),
    "₺": frozenset({"TRY"}),
    "₴": frozenset({"UAH"}),
    "₽": frozenset({"RUB"}),
    "₦": frozenset({"NGN"}),
    "฿": frozenset({"THB"}),
    "zł": frozenset({"PLN"}),
    "kč": frozenset({"CZK"}),
    "ft": frozenset({"HUF"}),
    "lei": frozenset({"RON", "MDL"}),
    "kr": frozenset({"SEK", "NOK", "DKK", "ISK"}),
    "kr.": frozenset({"DKK", "ISK"}),
    "fr.": frozenset({"CHF"}),
    "sfr.": frozenset({"CHF"}),
    "rp": frozenset({"IDR"}),
    "rm": frozenset({"MYR"}),
    "r": frozenset({"ZAR"}),
}

_PLAIN_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_CERTAIN = re.compile(r"[0-9]+\.[0-9]{1,2}")
_EXPONENT = re.compile(r"(?P<whole>[+-]?[0-9]+)(?:(?P<mark>[.,])(?P<fraction>[0-9]+))?[eE](?P<power>[+-]?[0-9]{1,3})")
# A full stop before the number belongs to it, unless it ends an abbreviation such as kr.
_MONEY = re.compile(
    r"(?P<head>(?:[^0-9.]|(?<=[^\W\d_])\.)*)"
    r"(?P<number>(?:\.[0-9]|[0-9])(?:[0-9.,'\u2019 ]*[0-9])?[.,]?)"
    r"(?P<tail>[^0-9]*)"
)
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?P<mark>[.,'\u2019 ])[0-9]{3}(?:(?P=mark)[0-9]{3})*")
_INDIAN = re.compile(r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}")
_MAX_TEXT = 64

_SPACES = str.maketrans(
    {
        "\N{NO-BREAK SPACE}": " ",
        "\N{NARROW NO-BREAK SPACE}": " ",
        "\N{THIN SPACE}": " ",
        "\N{FIGURE SPACE}": " ",
        "\N{MINUS SIGN}": "-",
        "\t": " ",
    }
)


class CellError(ValueError):
    """A cell that can't be read in exactly one way; the message is one sentence for people."""


class DayOrder(enum.Enum):
    """How a day such as 01/03/2026 is written."""

    DAY_FIRST = "day first"
    MONTH_FIRST = "month first"


class Cost(NamedTuple):
    """An amount in micros, and the currencies that what stands beside it can mean; none told when empty."""

    micros: int
    currencies: frozenset[str] = frozenset()


def read_cost(text: str, mark: DecimalMark) -> Cost:
    """Return the amount that a cell says; 0 for a cell that says nothing.

    mark: what separates the decimals. The other of the two, spaces and apostrophes may separate thousands, and only
    in groups of three (or the Indian way). Signs, brackets for below zero, symbols and ISO codes are read.
    Raises CellError for everything else.
    """
    if mark == "." and _PLAIN_NUMBER.fullmatch(text):  # most are written like this
        return Cost(_micros(text))
    text = text.translate(_SPACES).strip()
    if text in NO_COST:
        return Cost(0)
    if len(text) > _MAX_TEXT:
        raise _not_an_amount(text)
    if (exponent := _EXPONENT.fullmatch(text)) and exponent["mark"] in (None, mark):
        return Cost(_micros(f"{exponent['whole']}.{exponent['fraction'] or 0}e{exponent['power']}"))
    parts = _MONEY.fullmatch(text)
    if parts is None:
        raise _not_an_amount(text)
    negative, currencies = _surroundings(text, parts["head"], parts["tail"])
    number = _number(parts["number"], mark)
    if number is None:
        raise CellError(_misread(text, parts["number"], mark))
    return Cost(_micros(f"-{number}" if negative else number), currencies)


def decimal_marks(text: str) -> str:
    """Return which decimal marks a cell allows: "." or ",", "?" for either with other amounts, "" for no evidence."""
    text = text.strip()
    if text.isdigit():
        return ""
    if _CERTAIN.fullmatch(text):  # most are written like this
        return "."
    text = text.translate(_SPACES).strip()
    parts = _MONEY.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if parts is None:
        return ""
    with_point, with_comma = (_number(parts["number"], mark) for mark in DECIMAL_MARKS)
    if with_point == with_comma:
        return ""
    if with_point is None or with_comma is None:
        return "," if with_point is None else "."
    return "?"


def currency_of(text: str) -> str | None:
    """Return the currency code that a text is, if it is one."""
    code = text.strip().upper()
    return code if len(code) == 3 and code.isascii() and money.is_currency(code) else None


def read_moment(text: str, hour: str | None, zone: ZoneInfo, order: DayOrder | None) -> datetime:
    """Return the instant (UTC) that a day or a time names; a day is its own beginning.

    hour: the cell of a column that holds the hour of the day, if there is one. zone: where times without an offset
    are read; one that a clock change skipped is taken as if the clock had not been changed yet, of one that comes
    twice it is the first. order: how days written in figures and slashes are meant. Raises CellError.
    """
    if len(text) > _MAX_TEXT or len(hour or "") > _MAX_TEXT:
        raise CellError(f"{_shown(text)} is not a day or a time.")
    return _read_moment(text.translate(_SPACES).strip(), hour, zone, order)


@lru_cache(maxsize=20_000)  # a report names few days, each many times
def _read_moment(text: str, hour: str | None, zone: ZoneInfo, order: DayOrder | None) -> datetime:
    if not text:
        raise CellError("The row has no day or time.")
    day, clock = _day_and_clock(text, order)
    if hour is not None and hour.strip():
        if clock is not None and clock != time():
            raise CellError(f"The time {_shown(text)} has an hour already, and the hour column says {_shown(hour)}.")
        clock = read_hour(hour)
    if clock is None:
        return periods.day_begins(day, zone)
    moment = datetime.combine(day, clock)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def read_hour(text: str) -> time:
    """Return the time of day at which an hour such as `5`, `05:00`, `5 PM` or `05:00:00 - 05:59:59` begins."""
    begins = re.split(r"\s+-\s+|\s*\N{EN DASH}\s*|\s+to\s+", text.translate(_SPACES).strip())[0]
    clock = _clock(begins)
    if clock is None or clock.tzinfo is not None:
        raise CellError(f"{_shown(text)} is not an hour of the day, such as 5, 05:00 or 5 PM.")
    return clock


def _micros(number: str) -> int:
    try:
        return money.to_micros(number)
    except money.MoneyError as error:
        raise CellError(str(error)) from error


def _surroundings(text: str, head: str, tail: str) -> tuple[bool, frozenset[str]]:
    """Whether what stands around a number makes it negative, and the currencies it names."""
    bracketed = "(" in head
    if bracketed != (")" in tail) or (head + tail).count("-") + bracketed > 1:
        raise _not_an_amount(text)
    names = [name for name in (head.strip("+-( "), tail.strip("-) ")) if name]
    currencies = [SYMBOLS.get(name.casefold()) or _coded(name) for name in names]
    if len(names) > 1 and len(set.intersection(*map(set, currencies))) == 0:
        raise _not_an_amount(text)
    if not all(currencies):
        raise _not_an_amount(text)
    return bracketed or "-" in head + tail, frozenset.intersection(*currencies) if currencies else frozenset()


def _coded(name: str) -> frozenset[str]:
    code = currency_of(name)
    return frozenset() if code is None else frozenset({code})


def _number(text: str, mark: DecimalMark) -> str | None:
    """The number as Python writes it, None if it can't be one with this decimal mark."""
    whole, _, fraction = text.partition(mark)
    if fraction and not fraction.isdigit():
        return None
    if whole and not whole.isdigit():
        grouped = _GROUPED.fullmatch(whole)
        if not (grouped and grouped["mark"] != mark) and not (mark == "." and _INDIAN.fullmatch(whole)):
            return None
        whole = re.sub(r"[^0-9]", "", whole)
    return f"{whole or 0}.{fraction or 0}"


def _misread(text: str, number: str, mark: DecimalMark) -> str:
    other: DecimalMark = "," if mark == "." else "."
    if _number(number, other) is not None:
        return (
            f"The amount {_shown(text)} does not fit the decimal mark {mark!r}; if decimals follow a {other!r} here, "
            f"say --decimal {other}"
        )
    return f"The amount {_shown(text)} groups its digits in no known way."


def _not_an_amount(text: str) -> CellError:
    return CellError(f"The cost {_shown(text)} is not an amount.")


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january",
            "feb february",
            "mar march",
            "apr april",
            "may",
            "jun june",
            "jul july",
            "aug august",
            "sep sept september",
            "oct october",
            "nov november",
            "dec december",
        ),
        start=1,
    )
    for name in names.split()
}

_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_REST = r"(?:(?:\s*,\s*|\s+|T)(?P<clock>.+))?"
_ISO = re.compile(r"\d{4}(-?)\d{2}\1\d{2}(?:[Tt ].+)?", re.ASCII)
_YEAR_FIRST = re.compile(rf"(?P<y>\d{{4}})(?P<sep>[-/.])(?P<m>\d{{1,2}})(?P=sep)(?P<d>\d{{1,2}}){_REST}", re.ASCII)
_YEAR_LAST = re.compile(rf"(?P<a>\d{{1,2}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<y>\d{{4}}){_REST}", re.ASCII)
_MONTH_NAME = re.compile(
    rf"{_WEEKDAY}(?P<m>[a-z]+)\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s*,?\s+(?P<y>\d{{4}}){_REST}",
    re.ASCII | re.IGNORECASE,
)
_DAY_NAME = re.compile(
    rf"{_WEEKDAY}(?P<d>\d{{1,2}})(?:st|nd|rd|th)?[\s.-]+(?P<m>[a-z]+)[\s.,-]+(?P<y>\d{{4}}){_REST}",
    re.ASCII | re.IGNORECASE,
)
_CLOCK = re.compile(
    r"(?P<h>\d{1,2})(?::(?P<min>\d{2})(?::(?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?\s*(?P<offset>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)


def _day_and_clock(text: str, order: DayOrder | None) -> tuple[date, time | None]:
    """The day that a text names, and the time of that day if it tells one."""
    try:
        found = _iso(text) or _written_out(text, order)
    except ValueError as error:
        if isinstance(error, CellError):
            raise
        raise CellError(f"There is no such day or time as {_shown(text)}.") from error
    if found is None:
        raise CellError(f"{_shown(text)} is not a day or a time; write it such as 2026-03-01 or 2026-03-01 17:30.")
    if not FIRST_YEAR <= found[0].year <= LAST_YEAR:
        raise CellError(f"The year of {_shown(text)} can't be.")
    return found


def _iso(text: str) -> tuple[date, time | None] | None:
    if not _ISO.fullmatch(text):  # fromisoformat() alone takes anything between a day and a time
        return None
    try:
        return date.fromisoformat(text), None
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return moment.date(), moment.timetz()


def _written_out(text: str, order: DayOrder | None) -> tuple[date, time | None] | None:
    for form in (_YEAR_FIRST, _YEAR_LAST, _MONTH_NAME, _DAY_NAME):
        if found := form.fullmatch(text):
            break
    else:
        return None
    if form is _YEAR_LAST:
        month, day = _ordered(text, int(found["a"]), int(found["b"]), order)
    else:
        named = found["m"].casefold()
        month, day = int(named) if named.isdigit() else _MONTHS.get(named, 0), int(found["d"])
    clock = None
    if found["clock"] is not None:
        clock = _clock(found["clock"].strip())
        if clock is None:
            return None
    return date(int(found["y"]), month, day), clock


def _ordered(text: str, first: int, second: int, order: DayOrder | None) -> tuple[int, int]:
    if order is None:
        raise CellError(
            f"The day {_shown(text)} can be read in two ways; write it as 2026-03-01, or for a file say --day-first "
            "or --month-first."
        )
    return (second, first) if order is DayOrder.DAY_FIRST else (first, second)


def _clock(text: str) -> time | None:
    """A time of day, aware if it tells its offset; raises ValueError for one that can't be, such as 25:00."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    hour = int(found["h"])
    if half := found["half"]:
        if not 1 <= hour <= 12:
            raise CellError(f"There is no such time as {_shown(text)}.")
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    elif found["min"] is None and found["offset"] is not None:
        return None  # 05+01 is nothing that anybody writes
    micros = int((found["f"] or "0")[:6].ljust(6, "0"))
    try:
        return time(hour, int(found["min"] or 0), int(found["s"] or 0), micros, tzinfo=_offset(found["offset"]))
    except ValueError as error:
        raise CellError(f"There is no such time as {_shown(text)}.") from error


def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(size if text[0] == "+" else -size)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
