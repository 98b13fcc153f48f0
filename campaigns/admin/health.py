"""The health strip: what `queries/health.py` finds, in colours."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings

from campaigns.queries.health import State, health
from campaigns.views import intervals

_TONES = {State.OK: "green", State.UNKNOWN: "gray", State.WARN: "amber", State.BAD: "red"}


def health_items(now: datetime) -> list[dict[str, Any]]:
    """Return the items of the strip, each with a tone and a sentence."""
    found = health(now=now, intervals=intervals(), broker_url=settings.REDIS_URL)
    return [
        {"name": item.name, "tone": _TONES[item.state], "state": item.state.value, "sentence": item.sentence}
        for item in found.items
    ]
