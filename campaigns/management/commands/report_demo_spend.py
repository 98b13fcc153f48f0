"""`manage.py report_demo_spend`: the demo's ad server, sending spend until it is stopped."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.db import OperationalError
from django.utils import timezone

from campaigns.management.console import PlainCommand, one_line
from campaigns.models import Campaign
from campaigns.rules import reasons
from campaigns.services import demo
from campaigns.services.status import Change

MOST_LINES = 4
"""Status changes told one by one; more of them at once are summed up."""


class Command(PlainCommand):
    """Sends spend for the demo's brands every two seconds and tells which campaigns pause and resume by it."""

    help = "Keep sending spend for the demo's brands; Ctrl-C stops it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--every", type=float, default=2.0, help="seconds between two reports; default: 2")
        parser.add_argument("--ticks", type=int, default=0, help="stop after so many reports; default: never")

    def handle(self, *args: Any, every: float, ticks: int, **options: Any) -> None:
        """Report until a signal."""
        stop = threading.Event()
        if threading.current_thread() is threading.main_thread():
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, lambda *_: stop.set())
        chance = random.Random()  # noqa: S311 - invented spend
        reported = 0
        while not stop.is_set() and (not ticks or reported < ticks):
            try:
                self._tell(demo.report(now=timezone.now(), chance=chance).changes)
            except OperationalError as error:
                if reported == 0:
                    raise  # it never answered: nothing that waiting would mend
                self.say(f"The database does not answer, trying again: {one_line(str(error))}", style="yellow")
            reported += 1
            stop.wait(every)

    def _tell(self, changes: Sequence[Change]) -> None:
        names = _names([change.campaign_id for change in changes[:MOST_LINES]])
        for change in changes[:MOST_LINES]:
            name, because = names[change.campaign_id], reasons.in_words(change.now)
            if change.now:
                self.say(f"paused   {name}: {because}", style="red")
            else:
                self.say(f"resumed  {name}", style="green")
        rest = Counter("paused" if change.now else "resumed" for change in changes[MOST_LINES:])
        for verb, number in rest.items():
            self.say(f"{verb:8} {number} more campaigns of the same brand")


def _names(campaign_ids: Sequence[int]) -> dict[int, str]:
    campaigns = Campaign.objects.filter(pk__in=campaign_ids).select_related("brand")
    return {campaign.pk: f"{campaign.brand} / {campaign}" for campaign in campaigns}
