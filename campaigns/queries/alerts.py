"""Alerts as pages and metrics tell them: where they went, and what waits."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db.models import Count, F, Max, Min, Q, Window
from django.db.models.functions import RowNumber

from campaigns.models import Attempt, Channel, Delivery

MOST = 10
"""Deliveries of an alert that a list names."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One delivery of an alert: to which channel, and what has become of it."""

    delivery_id: int
    channel: str
    state: Delivery.State
    attempts: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFigures:
    """What a channel did lately: its last delivery that came to an end, and how many wait."""

    last_at: datetime | None
    waiting: int


def sent(alert_ids: Collection[int], *, brand_ids: Collection[int] | None) -> dict[int, list[Sent]]:
    """Return where alerts went, by alert, at most ten each, in one query. brand_ids: only channels of these brands."""
    rows = Delivery.objects.filter(alert__in=alert_ids)
    if brand_ids is not None:
        rows = rows.filter(channel__brand__in=brand_ids)
    place = Window(RowNumber(), partition_by="alert", order_by="id")
    named = rows.annotate(place=place, name=F("channel__name")).filter(place__lte=MOST).order_by("id")
    found: dict[int, list[Sent]] = defaultdict(list)
    for alert_id, pk, name, state, attempts in named.values_list("alert_id", "pk", "name", "state", "attempts"):
        found[alert_id].append(Sent(delivery_id=pk, channel=name, state=Delivery.State(state), attempts=attempts))
    return found


def last_errors(delivery_ids: Collection[int]) -> dict[int, Attempt]:
    """Return the last attempt of each delivery, in one query."""
    last = Attempt.objects.filter(delivery__in=delivery_ids).values("delivery").annotate(last=Max("pk")).values("last")
    return {one.delivery_id: one for one in Attempt.objects.filter(pk__in=last)}


def attempts_of(delivery_id: int, *, limit: int = 50) -> Sequence[Attempt]:
    """Return the attempts of a delivery, the newest first."""
    return list(Attempt.objects.filter(delivery=delivery_id).order_by("-pk")[:limit])


def channel_figures(channel_ids: Collection[int]) -> dict[int, ChannelFigures]:
    """Return what channels did lately, in one query."""
    rows = Delivery.objects.filter(channel__in=channel_ids).order_by().values("channel")
    waiting = Count("pk", filter=Q(state=Delivery.State.WAITING))
    last = Max("settled_at", filter=Q(state=Delivery.State.DELIVERED))
    return {
        row["channel"]: ChannelFigures(last_at=row["last"], waiting=row["waiting"])
        for row in rows.annotate(waiting=waiting, last=last)
    }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """What waits for channels that are on: how many deliveries, and for how long the oldest."""

    waiting: int
    oldest: timedelta


def outbox(*, now: datetime) -> Outbox:
    """Return what waits at `now`: one look into an index of what waits, which is little."""
    rows = Delivery.objects.filter(state=Delivery.State.WAITING, channel__state=Channel.State.ON)
    found = rows.aggregate(waiting=Count("pk"), oldest=Min("made_at"))
    oldest = now - found["oldest"] if found["oldest"] is not None else timedelta()
    return Outbox(waiting=found["waiting"], oldest=max(oldest, timedelta()))
