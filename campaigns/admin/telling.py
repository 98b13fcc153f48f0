"""What the pages say after something was done: which campaigns were paused or resumed by it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.contrib import messages
from django.utils.safestring import SafeString

from campaigns.admin import words
from campaigns.admin.writing import MAX_NAMED
from campaigns.models import Campaign
from campaigns.queries import listing
from campaigns.rules import reasons
from campaigns.services.status import Change


def running_label(found: listing.BrandFigures) -> SafeString:
    """Return how many of a brand's campaigns may spend, as a label."""
    if not found.campaigns:
        return words.label("no campaigns", "gray")
    tone = "green" if found.active == found.campaigns else "amber" if found.active else "red"
    return words.label(f"{found.active:,} of {found.campaigns:,} active", tone)


def _running(found: listing.BrandFigures) -> str:
    return f"{found.active:,} of {words.count(found.campaigns, 'campaign')} may spend now"


def brand_sentence(found: listing.BrandFigures) -> str:
    """Return the same as the end of a sentence."""
    if not found.campaigns:
        return "it has no campaigns yet."
    return f"{_running(found)}."


def status_message(campaign: Campaign, now: datetime) -> tuple[str, int]:
    """Return a campaign's status as it is now, and how to show it."""
    standing = listing.campaign_standings([campaign.pk], now=now).get(campaign.pk)
    if standing is None:
        return f"{campaign} is archived.", messages.INFO
    sentence = words.status_sentence(standing.name, standing, campaign.brand.timezone, now)
    return sentence, messages.SUCCESS if standing.is_active else messages.WARNING


def told(changes: Sequence[Change], *, saved: bool = True) -> list[tuple[str, int]]:
    """Return what a change did to campaigns, or (not saved) would do, as messages."""
    paused = [change for change in changes if change.now and not change.was]
    resumed = [change for change in changes if change.was and not change.now]
    told: list[tuple[str, int]] = []
    if resumed:
        told.append((f"{'Resumed' if saved else 'Resumes'} {_counted(resumed)}.", messages.SUCCESS))
    if paused:
        which = f"{'Paused' if saved else 'Pauses'} {_counted(paused)}"
        told.append((f"{which}: {_why(paused)}.", messages.WARNING))
    return told


def _counted(changes: Sequence[Change]) -> str:
    """Campaigns by name, and where there are several their number."""
    which = names([change.campaign_id for change in changes])
    return which if len(changes) == 1 else f"{words.count(len(changes), 'campaign')} ({which})"


def _why(paused: Sequence[Change]) -> str:
    """The reasons that some campaigns were paused for, taken together."""
    why = reasons.NONE
    for change in paused:
        why |= change.now
    return reasons.in_words(why)


def names(campaign_ids: Sequence[int]) -> str:
    """Return some campaigns by name, and how many more there are."""
    shown = Campaign.objects.in_bulk(campaign_ids[:MAX_NAMED])
    known = [str(shown[pk]) for pk in campaign_ids[:MAX_NAMED] if pk in shown]
    more = len(campaign_ids) - len(known)
    return words.named([*known, *[""] * more], MAX_NAMED)
