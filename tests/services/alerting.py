"""Builders for tests of alerts: channels, alerts that wait, a look with its usual intervals."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

from campaigns.gateways import sealing
from campaigns.models import Alert, AlertRule, Brand, Channel
from campaigns.queries.health import Intervals
from campaigns.rules import alerts as rules
from campaigns.rules.alerts import Kind, Subject
from campaigns.services import alert_rules, alerts, channels, outbox
from campaigns.services.channels import Target
from campaigns.services.outbox import Draft
from tests.factories import NOW

_numbers = itertools.count(1)

INTERVALS = Intervals(
    enforce=timedelta(seconds=60), roll_over=timedelta(seconds=60), ledger_check=timedelta(seconds=3_600)
)


def channel(
    address: str = "https://hooks.example/budget",
    *,
    type_: Channel.Type = Channel.Type.WEBHOOK,
    brand: Brand | None = None,
    kinds: Kind = rules.ALL,
    now: datetime = NOW,
) -> Channel:
    """Make a channel, its address not looked at."""
    target = Target(type_, address, address[:200])
    name = f"Channel {next(_numbers)}"
    made, _ = channels.create_channel(
        name=name, target=target, brand_id=None if brand is None else brand.pk, kinds=kinds, now=now
    )
    return made


def alert(*, key: str | None = None, now: datetime = NOW, **fields: Any) -> Alert:
    """Tell something, with a key of its own unless one is given."""
    made = outbox.write([draft(key=key, **fields)], now=now)
    return Alert.objects.get(pk=made[0])


def draft(*, key: str | None = None, **fields: Any) -> Draft:
    """Something to be told."""
    given = {"kind": Kind.LEDGER_DIFFERS, "message": "Something happened.", "data": {"figure": 1}, **fields}
    return Draft(key=key or f"key-{next(_numbers)}", **given)


def rule(kind: Kind, subject: Subject = Subject.BRAND, **fields: Any) -> AlertRule:
    """Make a rule."""
    return alert_rules.create_rule(kind=kind, subject=subject, now=NOW, **fields)


def look(now: datetime = NOW) -> list[str]:
    """Look once; return the messages of what is new."""
    last = Alert.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    told = alerts.look(now=now, intervals=INTERVALS, broker_url="redis://127.0.0.1:1/0")
    new = list(Alert.objects.filter(pk__gt=last).order_by("pk").values_list("message", flat=True))
    assert told == len(new)
    return new


def secret_of(channel: Channel) -> str:
    """What a channel's messages are signed with."""
    channel.refresh_from_db()
    return sealing.unseal(channel.secret)
