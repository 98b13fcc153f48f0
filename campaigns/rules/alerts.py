"""What alerts there are, which budgets they are about, and when a delivery that failed is tried again."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from campaigns.rules.periods import Period
from campaigns.rules.reasons import Reason


class Kind(enum.IntFlag):
    """What an alert tells; also a set of kinds, which is how a channel keeps what it wants.

    The values are stored: never renumber them, only add.
    """

    DAILY_BUDGET = 1
    MONTHLY_BUDGET = 2
    TOTAL_BUDGET = 4
    OVERSPEND = 8
    PAUSED = 16
    RESUMED = 32
    RUNS_LATE = 64
    LEDGER_DIFFERS = 128
    CHANNEL_OFF = 256
    TEST = 512
    FORECAST_ABOVE = 1_024
    UNDER_DELIVERY = 2_048


ALL = Kind(sum(Kind))

BUDGETS = Kind.DAILY_BUDGET | Kind.MONTHLY_BUDGET | Kind.TOTAL_BUDGET
FORECASTS = Kind.FORECAST_ABOVE | Kind.UNDER_DELIVERY
STATUSES = Kind.PAUSED | Kind.RESUMED
PRODUCT = Kind.RUNS_LATE | Kind.LEDGER_DIFFERS
"""What is of the installation as a whole and of no brand."""

LABELS = {
    Kind.DAILY_BUDGET: "share of the daily budget",
    Kind.MONTHLY_BUDGET: "share of the monthly budget",
    Kind.TOTAL_BUDGET: "share of the total budget",
    Kind.OVERSPEND: "overspend",
    Kind.PAUSED: "campaigns paused",
    Kind.RESUMED: "campaigns resumed",
    Kind.RUNS_LATE: "periodic runs late",
    Kind.LEDGER_DIFFERS: "ledger check failed",
    Kind.CHANNEL_OFF: "channel switched off",
    Kind.TEST: "test",
    Kind.FORECAST_ABOVE: "forecast above budget",
    Kind.UNDER_DELIVERY: "under-delivery",
}
"""Each kind in words for people."""

EVENTS = {
    Kind.DAILY_BUDGET: "budget.threshold_reached",
    Kind.MONTHLY_BUDGET: "budget.threshold_reached",
    Kind.TOTAL_BUDGET: "budget.threshold_reached",
    Kind.OVERSPEND: "budget.overspent",
    Kind.PAUSED: "campaign.paused",
    Kind.RESUMED: "campaign.resumed",
    Kind.RUNS_LATE: "runs.late",
    Kind.LEDGER_DIFFERS: "ledger.differs",
    Kind.CHANNEL_OFF: "channel.disabled",
    Kind.TEST: "test",
    Kind.FORECAST_ABOVE: "budget.forecast_above",
    Kind.UNDER_DELIVERY: "budget.under_delivery",
}
"""The `type` of the message that a receiver gets."""

PERIODS = {Kind.DAILY_BUDGET: Period.DAY, Kind.MONTHLY_BUDGET: Period.MONTH, Kind.TOTAL_BUDGET: Period.TOTAL}

BUDGET_NAMES = {Period.DAY: "daily budget", Period.MONTH: "monthly budget", Period.TOTAL: "total budget"}


class Subject(enum.IntEnum):
    """Whom a rule is about. The values are stored: never change one."""

    BRAND = 0
    CAMPAIGN = 1
    PRODUCT = 2


SUBJECTS = {
    Kind.DAILY_BUDGET: (Subject.BRAND, Subject.CAMPAIGN),
    Kind.MONTHLY_BUDGET: (Subject.BRAND, Subject.CAMPAIGN),
    Kind.TOTAL_BUDGET: (Subject.CAMPAIGN,),
    Kind.OVERSPEND: (Subject.BRAND, Subject.CAMPAIGN),
    Kind.PAUSED: (Subject.CAMPAIGN,),
    Kind.RESUMED: (Subject.CAMPAIGN,),
    Kind.RUNS_LATE: (Subject.PRODUCT,),
    Kind.LEDGER_DIFFERS: (Subject.PRODUCT,),
    Kind.FORECAST_ABOVE: (Subject.BRAND, Subject.CAMPAIGN),
    Kind.UNDER_DELIVERY: (Subject.BRAND, Subject.CAMPAIGN),
}
"""Whom a rule of each kind may be about; there are no rules for the kinds that are not here."""

SHARES = (50, 80, 100)
"""The shares of a budget that are told where no rule says otherwise, in percent."""

OVER = 5
"""How far beyond a budget spend has to be to be told as overspend where no rule says otherwise, in percent."""

ABOVE, UNDER = 10, 80
"""Where a rule names no percent: how far above a budget the demand has to be forecast, and below which share of it the
spend, in percent."""

MAX_SHARE, MAX_OVER, MAX_SHARES = 100, 500, 10

BEYOND = Kind.OVERSPEND | Kind.FORECAST_ABOVE
"""The kinds whose percents say how far beyond a budget."""

WITH_PERCENTS = BUDGETS | Kind.OVERSPEND | FORECASTS

PERCENTS = {Kind.OVERSPEND: (OVER,), Kind.FORECAST_ABOVE: (ABOVE,), Kind.UNDER_DELIVERY: (UNDER,)}
"""What a rule that names no percent looks for; of the other kinds the shares."""

TOLD_PAUSES = Reason.MANUAL | Reason(sum(reason for reason in Reason if "BUDGET" in (reason.name or "")))
"""The reasons of a pause that are told where a rule names none: not what a schedule or a flight does every day."""

DEFAULTS: dict[tuple[Subject, Kind], tuple[int, ...]] = {
    (Subject.BRAND, Kind.DAILY_BUDGET): SHARES,
    (Subject.BRAND, Kind.MONTHLY_BUDGET): SHARES,
    (Subject.BRAND, Kind.OVERSPEND): (OVER,),
}
"""What is told of every brand without a rule. Of campaigns nothing is: there may be a million of them."""


def parse_percents(text: str, *, most: int) -> tuple[int, ...]:
    """Return the percents that a text such as `50, 80, 100` names, ascending.

    Raises ValueError with a sentence for people.
    """
    try:
        found = {int(part) for part in text.replace("%", " ").replace(",", " ").split()}
    except ValueError:
        raise ValueError("Give whole percents, separated by commas, such as 50, 80, 100.") from None
    if not found or len(found) > MAX_SHARES:
        raise ValueError(f"Give 1 to {MAX_SHARES} percents, such as 50, 80, 100.")
    if min(found) < 1 or max(found) > most:
        raise ValueError(f"Give percents from 1 to {most}.")
    return tuple(sorted(found))


def percents_in_words(percents: Sequence[int]) -> str:
    """Return percents as a list in a sentence: `50, 80 and 100%`."""
    texts = [str(percent) for percent in percents]
    return f"{texts[0]}%" if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}%"


# --- Trying again ----------------------------------------------------------------------------

GIVE_UP_AFTER = timedelta(hours=24)
"""How long a message is tried."""

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(hours=4)
_FACTOR = 4


def next_try(*, attempt: int, made_at: datetime, now: datetime, draw: Callable[[int], int]) -> datetime | None:
    """Return when to try again after the attempt of this number has failed; None to give up.

    The wait is anything from a second to 5 s × 4^(attempt - 1), at most 4 h: full jitter, so that what failed together
    does not come back together. What remains of the day is used up: the last try is at its end.
    draw(n): a random number from 0 to n - 1.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; Standard Webhooks' specification asks for
    retries over a day or more, the first within seconds.
    """
    last = made_at + GIVE_UP_AFTER
    if now >= last:
        return None
    longest = min(FIRST_WAIT * _FACTOR ** min(attempt - 1, 10), LONGEST_WAIT)
    return min(now + timedelta(seconds=1 + draw(int(longest.total_seconds()))), last)
