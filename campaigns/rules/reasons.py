"""Why a campaign may not spend. A campaign can have several reasons at once; active means it has none."""

from __future__ import annotations

import enum


class Reason(enum.IntFlag):
    """The set of pause reasons as bits, which is also how the database keeps it; 0 means active.

    The values are stored: never renumber them, only add.
    """

    MANUAL = 1
    BRAND_DAILY_BUDGET = 2
    BRAND_MONTHLY_BUDGET = 4
    CAMPAIGN_DAILY_BUDGET = 8
    CAMPAIGN_MONTHLY_BUDGET = 16
    CAMPAIGN_TOTAL_BUDGET = 32
    SCHEDULE = 64
    NOT_STARTED = 128
    ENDED = 256

    @property
    def code(self) -> str:
        """The reason's name on the wire, such as `brand_daily_budget`. One reason only."""
        assert self.name is not None
        return self.name.lower()


NONE = Reason(0)
"""No reason to pause: the campaign is active."""

ALL = Reason(sum(Reason))

_BY_BITS = tuple(Reason(bits) for bits in range(int(ALL) + 1))

DAILY = Reason.BRAND_DAILY_BUDGET | Reason.CAMPAIGN_DAILY_BUDGET
MONTHLY = Reason.BRAND_MONTHLY_BUDGET | Reason.CAMPAIGN_MONTHLY_BUDGET

LABELS = {
    Reason.MANUAL: "paused by a person",
    Reason.BRAND_DAILY_BUDGET: "daily budget of the brand spent",
    Reason.BRAND_MONTHLY_BUDGET: "monthly budget of the brand spent",
    Reason.CAMPAIGN_DAILY_BUDGET: "daily budget of the campaign spent",
    Reason.CAMPAIGN_MONTHLY_BUDGET: "monthly budget of the campaign spent",
    Reason.CAMPAIGN_TOTAL_BUDGET: "total budget of the campaign spent",
    Reason.SCHEDULE: "outside its hours",
    Reason.NOT_STARTED: "flight not started",
    Reason.ENDED: "flight ended",
}
"""Each reason in words for people."""


def of(bits: int) -> Reason:
    """Return the set of reasons that the database keeps as `bits`; a look-up, a pass makes a million of them."""
    return _BY_BITS[bits]


def codes(reasons: Reason) -> list[str]:
    """Return the codes of a set of reasons, in their fixed order."""
    return [reason.code for reason in reasons]


def in_words(reasons: Reason) -> str:
    """Return a set of reasons in words, such as `outside its hours, flight ended`; `active` when there is none."""
    return ", ".join(LABELS[reason] for reason in reasons) or "active"
