"""When the periodic tasks run. What they do is in `campaigns.tasks`; nothing else knows a schedule.

The schedule is plain intervals on purpose: no task depends on being run at a particular moment
(a period is a key, nothing is reset), so there is no crontab to trip over daylight saving.
"""

import os
import time
from datetime import UTC, datetime, timedelta

from celery import Celery, Task, signals
from celery.schedules import schedstate, schedule
from django.conf import settings
from kombu import Queue

from budget_management import logs
from campaigns.gateways import broker, nudges, traces

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "budget_management.settings")

EXPIRE_HOLDS_SECONDS = 15
"""Nothing waits for it: it keeps few the expired holds that every new hold of their brand has to leave out."""

SUM_HOURS_SECONDS = 30
"""How old the stored hours of a chart may be; what was spent since is shown in the current hour."""

DELIVER_ALERTS_SECONDS = 5
"""How late a delivery may be that is tried again; a new one is hurried."""

# A task that takes longer is stuck: the pass over a million campaigns takes seconds.
SOFT_TIME_LIMIT_SECONDS = 5 * 60
TIME_LIMIT_SECONDS = SOFT_TIME_LIMIT_SECONDS + 30


_BEGAN_AT, _BEGAN = datetime.now(UTC), time.monotonic()


def _steady_now() -> datetime:
    """Return the time by a clock that nobody sets: when this process began, and how long that was ago."""
    return _BEGAN_AT + timedelta(seconds=time.monotonic() - _BEGAN)


class Interval(schedule):
    """An interval that goes on when the machine's clock is set back.

    By the wall clock beat would send nothing until that has come to where it was: five minutes for five minutes, and
    after a year that was a mistake, a year. While it runs, it goes by a steady clock; a last run that its notes
    have in the future was noted by a wrong one.
    """

    def __init__(self, run_every: float | timedelta, *_: object) -> None:
        super().__init__(run_every, nowfun=_steady_now)

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Return whether a run is due, and in how many seconds to look again."""
        if last_run_at > _steady_now():
            return schedstate(is_due=True, next=self.seconds)
        due: schedstate = super().is_due(last_run_at)
        return due


def _every(seconds: int, task: str) -> dict[str, object]:
    # A tick that nobody took until the next one is due is dropped: a backlog would only run the
    # same pass several times in a row.
    return {"task": task, "schedule": Interval(float(seconds)), "options": {"expires": seconds}}


def _configuration() -> dict[str, object]:
    return {
        "broker_url": settings.REDIS_URL,
        # A run that a killed worker leaves behind is delivered again, once it can't be running.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "broker_transport_options": {
            "visibility_timeout": TIME_LIMIT_SECONDS + 30,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        "worker_prefetch_multiplier": 1,
        "task_soft_time_limit": SOFT_TIME_LIMIT_SECONDS,
        "task_time_limit": TIME_LIMIT_SECONDS,
        "task_ignore_result": True,
        "broker_connection_retry_on_startup": True,
        # A pass goes on without the broker; delivered again, it finds nothing left to do.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_default_queue": broker.QUEUE,
        "timezone": "UTC",
        "enable_utc": True,
        "beat_schedule_filename": str(settings.DATA_DIR / "celerybeat-schedule"),
        "beat_schedule": {
            "enforce": _every(settings.ENFORCE_INTERVAL_SECONDS, "campaigns.tasks.enforce_campaign_status"),
            "reset-daily": _every(settings.ROLLOVER_INTERVAL_SECONDS, "campaigns.tasks.reset_daily"),
            "reset-monthly": _every(settings.ROLLOVER_INTERVAL_SECONDS, "campaigns.tasks.reset_monthly"),
            "expire-holds": _every(EXPIRE_HOLDS_SECONDS, "campaigns.tasks.expire_holds"),
            "sum-hours": _every(SUM_HOURS_SECONDS, "campaigns.tasks.sum_hours"),
            "pace": _every(settings.PACING_INTERVAL_SECONDS, "campaigns.tasks.pace_campaigns"),
            "check-ledger": _every(settings.LEDGER_CHECK_INTERVAL_SECONDS, "campaigns.tasks.check_ledger"),
            "look-for-alerts": _every(settings.ALERTS_INTERVAL_SECONDS, nudges.LOOK),
            "deliver-alerts": _every(DELIVER_ALERTS_SECONDS, nudges.DELIVER),
        },
        # Deliveries wait for receivers, and so in a queue of their own: no pass has to wait for them. A worker that is
        # told no queue takes both.
        "task_queues": [Queue(broker.QUEUE), Queue(broker.DELIVERIES)],
        "task_routes": {nudges.DELIVER: {"queue": broker.DELIVERIES}},
    }


@signals.setup_logging.connect
def _leave_logging_to_django(**_: object) -> None:
    """Be there: with a receiver of this signal Celery keeps its hands off the loggers."""


@signals.task_prerun.connect
def _name_the_task(task_id: str, task: Task[..., object], **_: object) -> None:
    """Let every log line of a task carry which it is."""
    logs.context.set({"task": task.name, "task_id": task_id})


@signals.task_postrun.connect
def _forget_the_task(**_: object) -> None:
    logs.context.set({})


@signals.worker_process_shutdown.connect
def _send_the_last_spans(**_: object) -> None:
    """Where the pool is of processes, one of these ends without a word of its own."""
    traces.flush()


def _hurry(task: str) -> None:
    """Send a task to be run soon; if nobody takes it until it would run anyway, it is dropped."""
    app.send_task(task, expires=DELIVER_ALERTS_SECONDS, retry=False)


app = Celery("budget_management")
app.add_defaults(_configuration)  # evaluated when it is first needed, after Django's settings
app.autodiscover_tasks()
nudges.send_by(_hurry)
