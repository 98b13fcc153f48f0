"""What the metrics tell of the database: counted when it is asked for, so that no process has to keep it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from django.db.models import Count

from campaigns.models import Campaign, Hold
from campaigns.rules import reasons
from campaigns.rules.reasons import Reason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Campaigns that are not archived: active, paused, and paused by each reason (one may have several). Open holds."""

    active: int
    paused: int
    paused_by: Mapping[Reason, int]
    holds_open: int


def figures(*, now: datetime) -> Figures:
    """Return the figures at `now`, in two statements: one grouped over the campaigns, one over the index of holds."""
    rows = Campaign.objects.filter(archived_at=None).order_by().values_list("reasons").annotate(Count("pk"))
    counts = {reasons.of(int(bits)): number for bits, number in rows}
    by: Counter[Reason] = Counter()
    for found, number in counts.items():
        for reason in found:
            by[reason] += number
    active = counts.get(reasons.NONE, 0)
    return Figures(
        active=active,
        paused=sum(counts.values()) - active,
        paused_by={reason: by[reason] for reason in Reason},
        holds_open=Hold.objects.filter(state=Hold.State.OPEN, expires_at__gt=now).count(),
    )
