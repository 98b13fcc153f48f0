"""What happened, in sentences: a change of status as it is told to the people who own the budgets."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta

from campaigns.admin import words
from campaigns.models import StatusChange
from campaigns.queries.changes import ToldChange
from campaigns.rules import periods, reasons
from campaigns.rules.reasons import Reason

Cause = StatusChange.Cause

_BUDGETS = {
    Reason.BRAND_DAILY_BUDGET: "daily budget of {brand}",
    Reason.BRAND_MONTHLY_BUDGET: "monthly budget of {brand}",
    Reason.CAMPAIGN_DAILY_BUDGET: "daily budget of the campaign",
    Reason.CAMPAIGN_MONTHLY_BUDGET: "monthly budget of the campaign",
    Reason.CAMPAIGN_TOTAL_BUDGET: "total budget of the campaign",
}

_ALL_BUDGETS = Reason(sum(_BUDGETS))

# What somebody did; the other causes are time, spend, and a person's own pause or resumption.
_DEEDS = {
    Cause.BUDGET: "a budget was changed",
    Cause.SCHEDULE: "its hours were changed",
    Cause.FLIGHT: "its flight was changed",
    Cause.SETTINGS: "settings were changed",
    Cause.CREATED: "the campaign was created",
    Cause.ARCHIVED: "it was archived",
    Cause.REPAIR: "counters were repaired",
}

_BY_TIME = (Cause.PASS, Cause.ROLL_OVER)


def change_sentence(change: ToldChange, now: datetime) -> str:
    """Return a change of a campaign's status as a sentence, which names the campaign's brand but not the campaign.

    Times are on the brand's clock, whose zone is named once; with the date where it is not the brand's today. Such as
    `Paused 14:02: daily budget of Acme spent, 1,000.00 of 1,000.00 USD; resumes at midnight Europe/Paris`.
    """
    resumption = _resumption(change, now)
    zone = "" if resumption.endswith(change.zone.key) else f" {change.zone.key}"
    head = f"{_verb(change)} {words.near(change.at, change.zone, now)}{zone}{_by_hand(change)}"
    told = "; ".join(part for part in (*_because(change), resumption) if part)
    if not told:
        return head
    return f"{head}; {told}" if _is_lifted(change) and not change.note else f"{head}: {told}"


def _verb(change: ToldChange) -> str:
    if not change.to_reasons:
        return "Resumed"
    if _is_lifted(change):
        return "Pause lifted"
    return "Still paused" if change.from_reasons else "Paused"


def _is_lifted(change: ToldChange) -> bool:
    """Whether a person lifted a pause, and other reasons keep the campaign paused."""
    return change.cause is Cause.PERSON and Reason.MANUAL in change.from_reasons & ~change.to_reasons


def _because(change: ToldChange) -> Iterable[str]:
    """The parts of the sentence that say why."""
    ended = change.from_reasons & ~change.to_reasons
    if change.cause is Cause.PERSON:
        yield change.note
    if change.to_reasons:
        yield f"still paused: {_paused(change)}" if _is_lifted(change) else _paused(change)
        if change.from_reasons and ended & ~_told_by_hand(change):
            yield f"no longer: {_list(_plain(reason, change) for reason in ended & ~_told_by_hand(change))}"
    elif change.cause in _BY_TIME:
        yield _begun(ended) or _no_longer(ended, change)
    if change.cause in _DEEDS:
        yield f"{_DEEDS[change.cause]}{_by(change)}"
        yield change.note
    if not change.to_reasons and change.cause not in _BY_TIME:
        if change.cause is Cause.SPEND:
            yield _begun(ended & ~_ALL_BUDGETS)
        yield _no_longer(ended, change)


def _told_by_hand(change: ToldChange) -> Reason:
    """The reason that the beginning of the sentence has told already: who paused or resumed it."""
    return Reason.MANUAL if change.cause is Cause.PERSON else reasons.NONE


def _paused(change: ToldChange) -> str:
    """Why it is paused: with figures what is new, and what it was paused for before."""
    kept = change.to_reasons & change.from_reasons
    added = change.to_reasons & ~change.from_reasons & ~_told_by_hand(change)
    why = _list(_spent(reason, change) for reason in added)
    if not kept:
        return why
    before = _list(_plain(reason, change) for reason in kept)
    return f"{before}; now also {why}" if why else before


def _no_longer(ended: Reason, change: ToldChange) -> str:
    """Which budgets are no longer spent, with their figures: they were raised, or an adjustment gave some back."""
    return _list(
        f"{_budget(reason, change)} no longer spent{_figures(reason, change)}" for reason in ended if reason in _BUDGETS
    )


def _begun(ended: Reason) -> str:
    """What has begun, by time alone, for these reasons to have ended."""
    began = []
    if ended & reasons.MONTHLY:
        began.append("a new budget month began")
    elif ended & reasons.DAILY:
        began.append("a new budget day began")
    if Reason.NOT_STARTED in ended:
        began.append("its flight started")
    if Reason.SCHEDULE in ended:
        began.append("its hours began")
    return ", ".join(began)


def _plain(reason: Reason, change: ToldChange) -> str:
    return f"{_budget(reason, change)} spent" if reason in _BUDGETS else reasons.LABELS[reason]


def _spent(reason: Reason, change: ToldChange) -> str:
    return f"{_plain(reason, change)}{_figures(reason, change)}"


def _budget(reason: Reason, change: ToldChange) -> str:
    return _BUDGETS[reason].format(brand=change.brand)


def _figures(reason: Reason, change: ToldChange) -> str:
    """What was spent of a budget at that moment."""
    limit = change.limits.get(reason)
    if limit is None:
        return ""
    spent = words.amount(limit.spent, change.currency)
    if limit.budget is None:
        return f", {spent} without a limit now"
    return f", {spent.removesuffix(f' {change.currency}')} of {words.amount(limit.budget, change.currency)}"


def _by(change: ToldChange) -> str:
    """Who did it, as far as is known."""
    if change.actor is not None:
        return f" by {change.actor}"
    return "" if change.api_key is None else f" by key {change.api_key}"


def _by_hand(change: ToldChange) -> str:
    return (_by(change) or " by a person") if change.cause is Cause.PERSON else ""


def _resumption(change: ToldChange, now: datetime) -> str:
    """When it resumes, as things stand now; nothing where it does not by itself."""
    if change.resumes_at is None:
        return ""
    if change.resumes_at <= now:
        return "resumes with the next pass"
    local = change.resumes_at.astimezone(change.zone)
    days = (local.date() - periods.local_date(now, change.zone)) // timedelta(days=1)
    if days == 1:
        when = "at midnight" if local.time() == time() else f"{local:%H:%M} tomorrow"
        return f"resumes {when} {change.zone.key}"
    return f"resumes {words.near(change.resumes_at, change.zone, now)} {change.zone.key}"


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)
