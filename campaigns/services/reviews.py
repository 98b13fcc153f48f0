"""Looking first, then doing: what a change of many campaigns would do, and then just that.

A person applies what that person has seen: where somebody has set something else meanwhile, it is to be seen again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import NamedTuple

from django.db import transaction

from campaigns.models import Campaign
from campaigns.rules import money
from campaigns.rules.errors import BudgetError
from campaigns.rules.reasons import Reason
from campaigns.services import bulk, rehearsal

Work = Callable[[Collection[int]], object]
"""A change of campaigns by their ids, each for itself: what it does to one must not depend on the others."""


class State(NamedTuple):
    """How a campaign stands before or after a change. Budgets in micros."""

    paused_manually: bool
    daily_budget: int | None
    monthly_budget: int | None
    total_budget: int | None
    reasons: Reason


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a change did to campaigns, or would do."""

    before: Mapping[int, State]
    after: Mapping[int, State]

    @property
    def seal(self) -> str:
        """A short text that is another one when people have set something else meanwhile.

        What the product itself has done since, such as pausing what was spent, does not break it: on a busy brand a
        person could never get a change through.
        """
        people = {
            pk: [list(state[:4]) for state in (before, self.after[pk])] for pk, before in sorted(self.before.items())
        }
        return seal(people)


class ChangedMeanwhileError(BudgetError):
    """What was looked at is no longer so; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(
            "This is no longer what you were shown: something was changed meanwhile. Nothing was done; look again."
        )


def seal(content: object) -> str:
    """Return a short text for content that JSON can say."""
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:32]


def rehearse(work: Work, campaign_ids: Collection[int]) -> Outcome:
    """Return what a change of campaigns would do now: do it a slice at a time, and take all of it back.

    Raises what it raises, and RehearsalBusyError where others are in its way.
    """
    bulk.check_number(len(campaign_ids))
    before: dict[int, State] = {}
    after: dict[int, State] = {}
    for outcome in rehearsal.rehearse_in_slices(partial(_carry_out, work), sorted(campaign_ids)):
        before |= outcome.before
        after |= outcome.after
    return Outcome(before, after)


def apply(work: Work, campaign_ids: Collection[int], *, seen: str) -> Outcome:
    """Do a change of campaigns, all of it or nothing, that a person has looked at before. seen: the seal of that.

    Raises ChangedMeanwhileError, with nothing changed, where it would now do something else.
    """
    with transaction.atomic():
        outcome = _carry_out(work, campaign_ids)
        if outcome.seal != seen:
            raise ChangedMeanwhileError
    return outcome


def _carry_out(work: Work, campaign_ids: Collection[int]) -> Outcome:
    """Do a change of campaigns within the caller's transaction, and return how they stood before and after it."""
    owners = Campaign.objects.filter(pk__in=campaign_ids).order_by().values_list("brand_id", flat=True).distinct()
    bulk.lock_brands(set(owners))  # first in the order; from here on nobody else sets a budget
    before = _states(campaign_ids)
    work(campaign_ids)
    return Outcome(before, _states(campaign_ids))


def _states(campaign_ids: Collection[int]) -> dict[int, State]:
    rows = Campaign.objects.filter(pk__in=campaign_ids).order_by("pk")
    found = rows.values_list("pk", "paused_manually", "daily_budget", "monthly_budget", "total_budget", "reasons")
    return {
        pk: State(
            paused, money.parse_budget(daily), money.parse_budget(monthly), money.parse_budget(total), Reason(reasons)
        )
        for pk, paused, daily, monthly, total, reasons in found
    }
