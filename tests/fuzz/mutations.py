"""Spoiling valid input: the ways in which bytes go wrong on their way, and those that somebody would try."""

from __future__ import annotations

import random
from collections.abc import Callable

LONGEST = 65_536
"""No input gets longer than this, so that a bound on time means something."""

# Digits of other scripts, marks that turn text around, other signs and dashes, letters whose other case is another one.
ODD_TEXT = "\u0663 \u00bd \u00b2 \U0001d7d9 \uff11 \u2028 \u202e \ufeff \u2212 \u2013 € ß \u0130 \u0131 \u017f"

TOKENS = [
    *(
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\u0000",
        b"\r",
        b"\n",
        b"\t",
    ),
    *(
        b'"',
        b'""',
        b"'",
        b",",
        b";",
        b"|",
        b":",
        b"/",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b"=cmd|1",
        b"%00",
        b"--",
        b"\x1b[0m",
    ),
    *(b"-", b"+", b".", b"e", b"E9", b"1e999", b"1E-7", b"NaN", b"sNaN", b"-Infinity", b"0x1", b"1_0", b"-0", b"null"),
    *(
        b"9" * 40,
        b"9" * 5_000,
        b"0" * 400,
        str(2**63).encode(),
        str(-(2**63) - 1).encode(),
        b"true",
        b"1,234.5",
        b"(1)",
    ),
    *ODD_TEXT.encode().split(),
    *(
        b"2026-02-30",
        b"0001-01-01",
        b"9999-12-31T23:59:59-23:59",
        b"24:00",
        b"+99:99",
        b"mon-",
        b"-sun",
        b"Feb 29 2027",
    ),
]


def mutate(sample: bytes, chance: random.Random) -> bytes:
    """Return a sample with one to four things wrong with it."""
    for _ in range(chance.randint(1, 4)):
        sample = chance.choice(_WAYS)(sample, chance)[:LONGEST]
    return sample


def mutate_text(sample: str, chance: random.Random) -> str:
    """Return a text with something wrong with it. What is no UTF-8 any more becomes halves of pairs."""
    spoiled = mutate(sample.encode(errors="surrogatepass"), chance)
    return spoiled.decode(errors=chance.choice(["surrogateescape", "replace", "ignore"]))


def _span(sample: bytes, chance: random.Random) -> tuple[int, int]:
    begin = chance.randint(0, len(sample))
    return begin, min(len(sample), begin + chance.choice([1, 1, 1, 2, 4, 8, 32, 200]))


def _flip(sample: bytes, chance: random.Random) -> bytes:
    begin, _ = _span(sample, chance)
    return sample[:begin] + bytes([chance.randrange(256)]) + sample[begin + 1 :]


def _cut(sample: bytes, chance: random.Random) -> bytes:
    begin, end = _span(sample, chance)
    return sample[:begin] + sample[end:]


def _repeat(sample: bytes, chance: random.Random) -> bytes:
    begin, end = _span(sample, chance)
    return sample[:begin] + sample[begin:end] * chance.choice([2, 2, 3, 10, 300]) + sample[end:]


def _insert(sample: bytes, chance: random.Random) -> bytes:
    begin, _ = _span(sample, chance)
    return sample[:begin] + chance.choice(TOKENS) + sample[begin:]


def _replace(sample: bytes, chance: random.Random) -> bytes:
    begin, end = _span(sample, chance)
    return sample[:begin] + chance.choice(TOKENS) + sample[end:]


def _move(sample: bytes, chance: random.Random) -> bytes:
    begin, end = _span(sample, chance)
    rest = sample[:begin] + sample[end:]
    to = chance.randint(0, len(rest))
    return rest[:to] + sample[begin:end] + rest[to:]


def _end(sample: bytes, chance: random.Random) -> bytes:
    return sample[: chance.randint(0, len(sample))]


_WAYS: list[Callable[[bytes, random.Random], bytes]] = [
    _flip,
    _flip,
    _cut,
    _repeat,
    _insert,
    _insert,
    _replace,
    _move,
    _end,
]
