"""Money as whole micros (1/1,000,000 of the currency unit): the one place where text and decimals become integers.

Nothing here, and nothing anywhere else in the product, passes money through a float.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, InvalidOperation

from babel.numbers import get_currency_precision
from babel.numbers import is_currency as is_known_currency

MICROS = 1_000_000
"""Micros in one currency unit."""

DECIMALS = 6
"""Decimal places an amount may have; one micro is the smallest amount."""

MAX_AMOUNT = 1_000_000_000 * MICROS
"""The largest amount of one event, in micros."""

MAX_BUDGET = 1_000_000_000_000 * MICROS
"""The largest budget, in micros: 1,000 times the largest event, and far inside a signed 64-bit counter."""

MAX_COUNTER = 9_000_000_000_000 * MICROS
"""The most a counter may reach, in micros: below 2**63 with room for one more batch."""

# An amount that matters has at most 10 + 6 digits; wider input is refused before it can cost time.
_MAX_TEXT = 64
_CONTEXT = Context(prec=40)


class MoneyError(ValueError):
    """An amount that can't be accepted; the message is one sentence for people."""


def parse_amount(value: object, *, negative: bool = False) -> int:
    """Return the amount of an event in micros.

    value: a decimal string, a Decimal or an int, in currency units. negative: whether below zero is allowed
    (adjustments); zero never is.
    Raises MoneyError for anything else: floats, booleans, NaN, infinities, more than 6 decimals, out of range.
    """
    micros = to_micros(value)
    if micros == 0:
        raise MoneyError("The amount is zero; send an amount greater than 0.")
    if micros < 0 and not negative:
        raise MoneyError("The amount is negative; send a correction as kind 'adjustment' with a note.")
    if abs(micros) > MAX_AMOUNT:
        raise MoneyError("The amount is above 1,000,000,000; split it or check its unit.")
    return micros


def parse_budget(value: object) -> int | None:
    """Return a budget in micros, or None for no limit.

    Raises MoneyError for what is not a decimal of at most 6 places from 0 to 1,000,000,000,000.
    """
    if value is None:
        return None
    micros = to_micros(value)
    if micros < 0:
        raise MoneyError("A budget can't be negative; give 0 or more, or leave it empty for no limit.")
    if micros > MAX_BUDGET:
        raise MoneyError("A budget can't be above 1,000,000,000,000; leave it empty for no limit.")
    return micros


def is_currency(code: str) -> bool:
    """Return whether the text is a currency code of ISO 4217, in capitals."""
    return is_known_currency(code)


def from_micros(micros: int) -> Decimal:
    """Return micros as an exact Decimal in currency units."""
    return Decimal(micros).scaleb(-DECIMALS, _CONTEXT)


def to_text(micros: int) -> str:
    """Return the decimal string that goes over the wire: exact, at least two decimals, no exponent."""
    sign = "-" if micros < 0 else ""
    units, rest = divmod(abs(micros), MICROS)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{units}.{decimals}"


def format_money(micros: int, currency: str = "") -> str:
    """Return an amount for people: thousands separated, the currency's own decimals, cut and never rounded up.

    Cutting keeps a spend just below its budget from being shown as equal to it.
    """
    digits = get_currency_precision(currency) if currency else 2
    shown = from_micros(micros).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_DOWN, context=_CONTEXT)
    return f"{shown or abs(shown):,f} {currency}".rstrip()  # no minus before a zero


def by_percent(micros: int, percent: Decimal, currency: str) -> int:
    """Return an amount changed by some percent (above or below zero), rounded half up to the currency's own decimals.

    micros: not negative. The result is not either: to lower by 100 percent or more is to lower to 0.
    """
    digits = get_currency_precision(currency)
    exact = from_micros(micros) * (100 + percent) / 100 if percent > -100 else Decimal(0)
    return int(exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _CONTEXT).scaleb(DECIMALS, _CONTEXT))


def to_micros(value: object) -> int:
    """Return any exact amount in micros; raises MoneyError for what is not one, or has more than 6 decimals."""
    if type(value) is str and (micros := _plain_micros(value)) is not None:
        return micros
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise MoneyError(f'The amount is {_kind(value)}; send a decimal number as text, such as "12.50".')
    if isinstance(value, int):
        if abs(value) > MAX_COUNTER:
            raise MoneyError("The amount is out of range.")
        return value * MICROS
    return _decimal_to_micros(_parse_text(value) if isinstance(value, str) else value)


def _plain_micros(text: str) -> int | None:
    """The micros of text such as `12.5`: what nearly every event carries, four times as fast as through a Decimal."""
    units, point, decimals = text.partition(".")
    if not (len(text) < 17 and text.isascii() and units.isdigit()):
        return None
    if not point:
        return int(units) * MICROS
    if not (decimals.isdigit() and len(decimals) <= DECIMALS):
        return None
    return int(units) * MICROS + int(decimals.ljust(DECIMALS, "0"))


def _parse_text(text: str) -> Decimal:
    plain = text.strip()
    # Decimal() also takes digits of other scripts and underscores; a reporter that sends those has a bug.
    if not plain or len(plain) > _MAX_TEXT or not plain.isascii() or "_" in plain:
        raise MoneyError(f'{_shown(text)} is not an amount; send a decimal number such as "12.50".')
    try:
        return Decimal(plain)
    except InvalidOperation:
        raise MoneyError(f'{_shown(text)} is not an amount; send a decimal number such as "12.50".') from None


def _decimal_to_micros(value: Decimal) -> int:
    if not value.is_finite():
        raise MoneyError("The amount is not a finite number.")
    if value and value.adjusted() > 15:
        raise MoneyError("The amount is out of range.")
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # finite, so not one of the special exponents
    if value and exponent < -DECIMALS and any(digits[exponent + DECIMALS :]):
        raise MoneyError("The amount has more than 6 decimals; round it to 6.")
    return int(value.scaleb(DECIMALS, _CONTEXT)) if value else 0


def _kind(value: object) -> str:
    names = {bool: "a boolean", float: "a binary floating-point number", type(None): "missing"}
    return names.get(type(value), f"of type {type(value).__name__}")


def _shown(text: str) -> str:
    """The text as a person may safely see it in a message: quoted, without control characters, short."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
