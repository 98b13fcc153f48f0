"""`manage.py report_demo_spend`: the demo's ad server, sending spend until it is stopped."""

from __future__ import annotations

import random
import signal
import threading
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.db import OperationalError
from django.utils import timezone

from campaigns.management.commands.standing import short_words
from campaigns.management.console import PlainCommand, one_line, shown
from campaigns.models import Campaign
from campaigns.services import demo
from campaigns.services.status import Change

MOST_LINES = 4
"""Status changes told one by one; more of them at once are summed up."""

LONGEST_PAUSE = 3_600
"""Seconds between two reports at most."""


class Command(PlainCommand):
    """Sends spend for the demo's brands every two seconds and tells which campaigns pause and resume by it."""

    help = "Keep sending spend for the demo's brands; Ctrl-C stops it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--every", type=_seconds, default=2.0, help="seconds between two reports, 0.1 to 3600; default: 2"
        )
        parser.add_argument("--ticks", type=_number, default=0, help="stop after so many reports; default: 0, never")

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
            name, because = names[change.campaign_id], short_words(change.now)
            if change.now:
                self.say(f"paused   {name}: {because}", style="red")
            else:
                self.say(f"resumed  {name}", style="green")
        rest = Counter("paused" if change.now else "resumed" for change in changes[MOST_LINES:])
        for verb, number in rest.items():
            self.say(f"{verb:8} {number} more campaigns")


def _seconds(text: str) -> float:
    """Argument type: a pause between two reports. What is no number compares with none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= LONGEST_PAUSE:
        raise ArgumentTypeError(f"{shown(text)} is not a pause: a number of seconds from 0.1 to {LONGEST_PAUSE}")
    return seconds


def _number(text: str) -> int:
    """Argument type: how often."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ArgumentTypeError(f"{shown(text)} is not a number of reports: a whole number from 0 on")
    return int(text)


def _names(campaign_ids: Sequence[int]) -> dict[int, str]:
    campaigns = Campaign.objects.filter(pk__in=campaign_ids).select_related("brand")
    return {campaign.pk: f"{campaign.brand} / {campaign}" for campaign in campaigns}
