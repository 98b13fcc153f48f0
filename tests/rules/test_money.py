"""Money: what may become an amount, and that nothing is lost on the way in or out."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.rules import money
from campaigns.rules.money import MAX_AMOUNT, MAX_BUDGET, MICROS, MoneyError, format_money, parse_amount, parse_budget

amounts = st.integers(1, MAX_AMOUNT)
any_micros = st.integers(-(2**63), 2**63 - 1)

NOT_AN_AMOUNT = "is not an amount; send a decimal number"
NOT_FINITE = "not a finite number"
TOO_FINE = "more than 6 decimals"
OUT_OF_RANGE = "out of range"
TOO_MUCH = "above 1,000,000,000;"
ZERO = "is zero"


# --- In: the amount of an event --------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_as", "micros"),
    [
        ("12.50", 12_500_000),
        ("0.1", 100_000),
        ("0.000001", 1),
        (".5", 500_000),
        ("5.", 5_000_000),
        ("+5", 5_000_000),
        ("007", 7_000_000),
        ("  7\n", 7_000_000),
        ("1e5", 100_000_000_000),  # a plain exponent is exact, and some exports write it
        ("1E-6", 1),
        ("1.0000000", 1_000_000),  # zeros past the sixth decimal say nothing
        ("0." + "0" * 5 + "1" + "0" * 50, 1),
        ("1000000000", MAX_AMOUNT),
        ("999999999.999999", MAX_AMOUNT - 1),
        (1, 1_000_000),
        (1_000_000_000, MAX_AMOUNT),
        (Decimal("0.1"), 100_000),
        (Decimal("1E+3"), 1_000_000_000),
        (Decimal("1." + "0" * 60), 1_000_000),
        (Decimal("9007199.254740993"), None),
        (Decimal("9007199.254741"), 9_007_199_254_741),
        ("9007.199254", 9_007_199_254),
    ],
)
def test_an_exact_amount_becomes_micros(given_as: object, micros: int | None) -> None:
    if micros is None:
        with pytest.raises(MoneyError, match=TOO_FINE):
            parse_amount(given_as)
    else:
        assert parse_amount(given_as) == micros


@pytest.mark.parametrize(
    ("given_as", "says"),
    [
        (0.1, "a binary floating-point number; send a decimal number as text"),
        (1.0, "a binary floating-point number"),
        (float("nan"), "a binary floating-point number"),
        (True, "a boolean"),
        (False, "a boolean"),
        (None, "missing"),
        (b"1", "of type bytes"),
        ([1], "of type list"),
        ("", NOT_AN_AMOUNT),
        ("   ", NOT_AN_AMOUNT),
        ("abc", NOT_AN_AMOUNT),
        ("1,50", NOT_AN_AMOUNT),
        ("1 000", NOT_AN_AMOUNT),
        ("1_000", NOT_AN_AMOUNT),
        ("0x10", NOT_AN_AMOUNT),
        ("$5", NOT_AN_AMOUNT),
        ("1.2.3", NOT_AN_AMOUNT),
        ("--5", NOT_AN_AMOUNT),
        ("5\x00", NOT_AN_AMOUNT),
        ("\ud800", NOT_AN_AMOUNT),
        ("\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}", NOT_AN_AMOUNT),
        ("\N{FULLWIDTH DIGIT ONE}.\N{FULLWIDTH DIGIT FIVE}", NOT_AN_AMOUNT),
        ("\N{MINUS SIGN}5", NOT_AN_AMOUNT),
        ("1" + "0" * 64, NOT_AN_AMOUNT),
        ("1e999999999999999999999", NOT_AN_AMOUNT),
        ("NaN", NOT_FINITE),
        ("sNaN", NOT_FINITE),
        ("Infinity", NOT_FINITE),
        ("-inf", NOT_FINITE),
        (Decimal("NaN"), NOT_FINITE),
        (Decimal("-Infinity"), NOT_FINITE),
        ("1e400", OUT_OF_RANGE),
        (Decimal("1e400"), OUT_OF_RANGE),
        (Decimal("1e16"), OUT_OF_RANGE),
        ("9" * 30, OUT_OF_RANGE),
        (10**30, OUT_OF_RANGE),
        pytest.param(10**5000, OUT_OF_RANGE, id="5001 digits"),  # too long for Python itself to print
        ("0.0000001", TOO_FINE),
        ("1e-7", TOO_FINE),
        ("1e-400", TOO_FINE),
        (Decimal("1e-999999999"), TOO_FINE),
        ("0.1234567", TOO_FINE),
        ("1000000000.000001", TOO_MUCH),
        (1_000_000_001, TOO_MUCH),
        (Decimal("1e15"), TOO_MUCH),
        (0, ZERO),
        ("0", ZERO),
        ("-0.00", ZERO),
        ("0e400", ZERO),
        (Decimal("0e-400"), ZERO),
        (-1, "send a correction as kind 'adjustment'"),
        ("-0.000001", "send a correction as kind 'adjustment'"),
    ],
)
def test_what_is_not_an_exact_amount_is_refused_in_one_sentence(given_as: object, says: str) -> None:
    with pytest.raises(MoneyError, match=says) as caught:
        parse_amount(given_as)
    message = str(caught.value)
    assert message.endswith(".")
    assert len(message) < 200
    assert message.isprintable()


@pytest.mark.parametrize(
    ("given_as", "micros"),
    [("-5", -5_000_000), (-1_000_000_000, -MAX_AMOUNT), (Decimal("-0.000001"), -1), ("5", 5_000_000)],
)
def test_an_adjustment_may_be_negative(given_as: object, micros: int) -> None:
    assert parse_amount(given_as, negative=True) == micros


@pytest.mark.parametrize(("given_as", "says"), [("0", ZERO), ("-0.0", ZERO), ("-1000000000.01", TOO_MUCH)])
def test_an_adjustment_is_not_everything(given_as: object, says: str) -> None:
    with pytest.raises(MoneyError, match=says):
        parse_amount(given_as, negative=True)


def test_a_long_text_is_quoted_short_in_the_message() -> None:
    with pytest.raises(MoneyError) as caught:
        parse_amount("x" * 10_000_000)
    assert len(str(caught.value)) < 120


# --- In: a budget ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_as", "micros"),
    [
        (None, None),
        (0, 0),
        ("0", 0),
        ("-0", 0),
        ("0.000001", 1),
        ("100.25", 100_250_000),
        (1_000_000_000_000, MAX_BUDGET),
        ("1e12", MAX_BUDGET),
    ],
)
def test_a_budget_may_be_nothing_or_zero(given_as: object, micros: int | None) -> None:
    assert parse_budget(given_as) == micros


@pytest.mark.parametrize(
    ("given_as", "says"),
    [
        ("-0.000001", "A budget can't be negative; give 0 or more, or leave it empty"),
        (-1, "A budget can't be negative"),
        ("1000000000000.000001", "A budget can't be above 1,000,000,000,000"),
        (1_000_000_000_001, "A budget can't be above"),
        ("1e400", OUT_OF_RANGE),
        pytest.param(10**5000, OUT_OF_RANGE, id="5001 digits"),
        ("Infinity", NOT_FINITE),
        ("NaN", NOT_FINITE),
        ("0.0000001", TOO_FINE),
        ("", NOT_AN_AMOUNT),
        (100.0, "a binary floating-point number"),
        (True, "a boolean"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(given_as: object, says: str) -> None:
    with pytest.raises(MoneyError, match=says):
        parse_budget(given_as)


# --- Out -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (10, "0.00001"),
        (100_000, "0.10"),
        (120_000, "0.12"),
        (123_000, "0.123"),
        (1_000_000, "1.00"),
        (-1, "-0.000001"),
        (-1_500_000, "-1.50"),
        (9_007_199_254_740_993, "9007199254.740993"),  # 2**53 + 1: no float holds it
        (-(2**63), "-9223372036854.775808"),
    ],
)
def test_the_wire_gets_exact_text(micros: int, text: str) -> None:
    assert money.to_text(micros) == text


@pytest.mark.parametrize(
    ("micros", "currency", "shown"),
    [
        (0, "USD", "0.00 USD"),
        (12_345_678_901, "EUR", "12,345.67 EUR"),
        (99_999_999, "USD", "99.99 USD"),  # just below a budget of 100 is not 100
        (1_234_567_999_999, "JPY", "1,234,567 JPY"),
        (1_234_567, "KWD", "1.234 KWD"),
        (-5_000_000_000, "USD", "-5,000.00 USD"),
        (5_250_000, "", "5.25"),
        (9_007_199_254_740_993, "USD", "9,007,199,254.74 USD"),
        (2**63 - 1, "JPY", "9,223,372,036,854 JPY"),
    ],
)
def test_people_get_it_cut_to_the_decimals_of_the_currency(micros: int, currency: str, shown: str) -> None:
    assert format_money(micros, currency) == shown


@given(micros=any_micros, currency=st.sampled_from(["USD", "JPY", "KWD", ""]))
def test_what_people_see_is_never_more_than_there_is(micros: int, currency: str) -> None:
    shown = Decimal(format_money(micros, currency).removesuffix(f" {currency}").replace(",", ""))
    exact = money.from_micros(micros)
    assert abs(shown) <= abs(exact)
    assert abs(exact - shown) < 1


# --- There and back --------------------------------------------------------------------------


@given(micros=amounts)
def test_text_comes_back_as_it_went(micros: int) -> None:
    assert parse_amount(money.to_text(micros)) == micros


@given(micros=amounts)
def test_a_decimal_comes_back_as_it_went(micros: int) -> None:
    assert parse_amount(money.from_micros(micros)) == micros
    assert parse_amount(-money.from_micros(micros), negative=True) == -micros


@given(micros=st.integers(0, MAX_BUDGET))
def test_a_budget_comes_back_as_it_went(micros: int) -> None:
    assert parse_budget(money.to_text(micros)) == parse_budget(money.from_micros(micros)) == micros


@given(micros=any_micros)
def test_a_decimal_is_the_micros_exactly(micros: int) -> None:
    assert money.from_micros(micros) * MICROS == micros
    assert Decimal(money.to_text(micros)) == money.from_micros(micros)


@given(value=st.decimals(allow_nan=True, allow_infinity=True) | st.text(max_size=80) | st.integers() | st.floats())
def test_whatever_comes_in_is_an_exact_amount_or_a_sentence(value: object) -> None:
    try:
        micros = parse_amount(value, negative=True)
    except MoneyError:
        return
    assert isinstance(value, Decimal | str | int)
    assert Decimal(micros) == Decimal(value.strip() if isinstance(value, str) else value) * MICROS
    assert 0 < abs(micros) <= MAX_AMOUNT


@pytest.mark.parametrize(
    ("code", "known"),
    [("USD", True), ("JPY", True), ("usd", False), ("US", False), ("ZZZ", False), ("", False), ("EURO", False)],
)
def test_currencies_are_those_of_the_standard(code: str, known: bool) -> None:
    assert money.is_currency(code) is known


@pytest.mark.parametrize(
    ("amount", "percent", "currency", "expected"),
    [
        ("10.05", "10", "USD", "11.06"),  # 11.055, half up
        ("33.34", "12.5", "EUR", "37.51"),  # 37.5075
        ("33.34", "-70", "EUR", "10.00"),
        ("0.01", "-60", "EUR", "0.00"),
        ("10", "-100", "EUR", "0.00"),
        ("10", "-250", "EUR", "0.00"),
        ("101", "0.5", "JPY", "102.00"),  # 101.505
        ("1.005", "10", "KWD", "1.106"),  # 1.1055
        ("999999999999.99", "0.000001", "USD", "1000000009999.99"),
    ],
)
def test_a_budget_is_changed_by_percent_to_the_decimals_of_its_currency(
    amount: str, percent: str, currency: str, expected: str
) -> None:
    assert money.to_text(money.by_percent(money.to_micros(amount), Decimal(percent), currency)) == expected
