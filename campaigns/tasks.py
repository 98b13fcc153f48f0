"""Celery's doors: each reads the clock and calls one service. When they run is in
`budget_management.celery`.

All of them may run late, twice or side by side: the services judge the state as it is, nothing is
counted in steps. So a run that fails is not retried; the next tick is the retry.
"""

import threading

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from campaigns.services import alerts, audit, deliveries, enforcement, holds, hours, pacing, rollover
from campaigns.views import intervals


@shared_task(name="campaigns.tasks.enforce_campaign_status")
def enforce_campaign_status() -> None:
    """Judge every campaign: budgets and hours."""
    enforcement.enforce_all(now=timezone.now())


@shared_task(name="campaigns.tasks.reset_daily")
def reset_daily() -> None:
    """Judge the campaigns of brands in which a new budget day has begun."""
    rollover.reset_daily_budgets(now=timezone.now())


@shared_task(name="campaigns.tasks.reset_monthly")
def reset_monthly() -> None:
    """Judge the campaigns of brands in which a new budget month has begun."""
    rollover.reset_monthly_budgets(now=timezone.now())


@shared_task(name="campaigns.tasks.expire_holds")
def expire_holds() -> None:
    """Close the holds whose time is over. Housekeeping: they count for nothing from their expiry on."""
    holds.expire_holds(now=timezone.now())


@shared_task(name="campaigns.tasks.sum_hours")
def sum_hours() -> None:
    """Add up what brands have spent by hour, where that has changed. The charts read it, no verdict does."""
    hours.sum_hours(now=timezone.now())


@shared_task(name="campaigns.tasks.pace_campaigns")
def pace_campaigns() -> None:
    """Set how likely each evenly paced campaign and brand should serve from now on."""
    pacing.pace_all(now=timezone.now())


@shared_task(name="campaigns.tasks.check_ledger")
def check_ledger() -> None:
    """Compare every counter with the ledger and record how many differ. Repairs nothing: that is for a person."""
    audit.run_check(now=timezone.now())


@shared_task(name="campaigns.tasks.look_for_alerts")
def look_for_alerts() -> None:
    """Look for what is to be told, put it on its way, and forget what was told long ago."""
    now = timezone.now()
    alerts.look(now=now, intervals=intervals(), broker_url=settings.REDIS_URL)
    deliveries.forget_old(now=now)


@shared_task(name="campaigns.tasks.deliver_alerts")
def deliver_alerts() -> None:
    """Try every delivery of an alert that is due. One run of a process at a time: it takes on what comes meanwhile."""
    if _delivering.acquire(blocking=False):
        try:
            deliveries.deliver_due(now=timezone.now())
        finally:
            _delivering.release()


_delivering = threading.Lock()
"""Keeps slow receivers from taking all threads of a worker: the passes need the others."""
