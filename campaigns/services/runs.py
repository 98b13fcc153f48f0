"""The record of periodic runs: when each began and ended, how much it looked at and what it found or changed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from campaigns.gateways import meters, traces
from campaigns.models import PeriodicRun

MOST_SKEW = timedelta(minutes=5)
"""The longest that a transaction may have waited since it read its clock: longer than any task may run."""

KEPT = timedelta(days=35)
"""How long the records of past runs are kept; they are four rows a minute."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did: how many campaigns it looked at and how many statuses it changed.

    Of a ledger check: how many counters it compared and how many differ.
    """

    judged: int
    changed: int


def _counts(outcome: Outcome) -> dict[str, int]:
    """What is told of a run in a trace."""
    return {"judged": outcome.judged, "changed": outcome.changed}


@traces.around("periodic run", _counts)
def recorded(task: PeriodicRun.Task, work: Callable[[], Outcome], *, now: datetime) -> Outcome:
    """Do a run's work between a record of its start and one of its end.

    A run that died leaves its record without an end. The end is the start plus what a monotonic clock measured, so
    that it never lies before the start.
    """
    run = PeriodicRun.objects.create(task=task, started_at=now)
    began = time.monotonic()
    outcome = work()
    took = time.monotonic() - began
    run.finished_at = now + timedelta(seconds=took)
    run.judged, run.changed = outcome.judged, outcome.changed
    run.save(update_fields=["finished_at", "judged", "changed"])
    meters.observe_run(task.value, took, judged=outcome.judged, changed=outcome.changed)
    return outcome


_NO_VERDICTS = (PeriodicRun.Task.CHECK_LEDGER, PeriodicRun.Task.PACE)
"""What runs without judging any campaign."""


def not_before_the_last_run(now: datetime) -> datetime:
    """Return `now`, or the start of the youngest run that judged campaigns if that is a little later.

    A spend that read its clock before midnight and waited for a lock must not judge the old day after a roll-over
    has judged the new one. A difference past MOST_SKEW is no wait but a wrong clock, and is left alone.
    """
    judging = PeriodicRun.objects.exclude(task__in=_NO_VERDICTS)
    last = judging.order_by("-pk").values_list("started_at", flat=True).first()
    return last if last is not None and now < last <= now + MOST_SKEW else now


def forget_old(*, now: datetime) -> int:
    """Delete the records of runs that began more than 35 days ago; return how many."""
    return forget_before(now - KEPT)


def forget_before(moment: datetime) -> int:
    """Delete the records of runs that began before a moment; return how many."""
    return PeriodicRun.objects.filter(started_at__lt=moment).delete()[0]
