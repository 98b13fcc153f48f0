"""Health: whether the periodic tasks run in time, who is missing if they do not, and what the last ledger check found.

The record of past runs answers nearly everything. Only when nothing has run for too long is the broker asked, whose
queue tells a missing worker from a missing beat.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import DurationField, ExpressionWrapper, F, QuerySet, Subquery, Window
from django.db.models.functions import Lag

from campaigns.gateways import broker
from campaigns.gateways.broker import BrokerError
from campaigns.models import PeriodicRun

Task = PeriodicRun.Task

GRACE = timedelta(seconds=30)
"""What a run may be late beyond two intervals before anybody is told."""

LATE_RUNS_WITHIN = timedelta(hours=24)


class State(enum.StrEnum):
    """How something is."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARN = "warn"
    BAD = "bad"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """How often the periodic tasks are due, as the settings say."""

    enforce: timedelta
    roll_over: timedelta
    ledger_check: timedelta
    pacing: timedelta = timedelta(minutes=1)

    def of(self, task: Task) -> timedelta:
        """Return how often a task is due."""
        if task is Task.ENFORCE:
            return self.enforce
        if task is Task.PACE:
            return self.pacing
        return self.ledger_check if task is Task.CHECK_LEDGER else self.roll_over


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The last run of a task that came to its end.

    judged, changed: campaigns looked at and changed; of a ledger check, counters compared and different.
    """

    started_at: datetime
    took: timedelta
    judged: int
    changed: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing of the health strip, with a sentence for people."""

    key: str
    name: str
    state: State
    sentence: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the periodic tasks are. The last runs are those that came to their end, None where none has.

    late: whether the last pass is too long ago; not where none has ever begun. late_runs: passes of the last 24 hours
    that began more than two intervals after the one before.
    """

    last_pass: LastRun | None
    late: bool
    late_runs: int
    daily: LastRun | None
    monthly: LastRun | None
    ledger_check: LastRun | None
    pacing: LastRun | None
    items: Sequence[Item]

    @property
    def state(self) -> State:
        """The worst of all items."""
        order = list(State)
        return max((item.state for item in self.items), key=order.index)


def health(*, now: datetime, intervals: Intervals, broker_url: str) -> Health:
    """Return how the periodic tasks are at `now`, in two statements.

    broker_url: asked, within a second, only if neither the pass nor a roll-over has begun for too long.
    """
    runs = _Runs(now, intervals)
    late_runs = _late_runs(now, intervals.enforce)
    return Health(
        last_pass=runs.finished.get(Task.ENFORCE),
        late=runs.is_late(Task.ENFORCE),
        late_runs=late_runs,
        daily=runs.finished.get(Task.RESET_DAILY),
        monthly=runs.finished.get(Task.RESET_MONTHLY),
        ledger_check=runs.finished.get(Task.CHECK_LEDGER),
        pacing=runs.finished.get(Task.PACE),
        items=[
            _pass(runs),
            _punctuality(late_runs),
            _roll_overs(runs),
            *_pacing(runs),
            *_processes(runs, broker_url),
            _ledger(runs),
        ],
    )


# --- What has run ----------------------------------------------------------------------------


class _Runs:
    """The last run of each task: that which began last, and that which came to its end last."""

    def __init__(self, now: datetime, intervals: Intervals) -> None:
        self.now, self.intervals = now, intervals
        rows = sorted(_last_runs(), key=lambda run: run.started_at)
        self.begun: dict[Task, PeriodicRun] = {Task(run.task): run for run in rows}
        self.finished: dict[Task, LastRun] = {
            Task(run.task): LastRun(
                started_at=run.started_at,
                took=run.finished_at - run.started_at,
                judged=run.judged,
                changed=run.changed,
            )
            for run in rows
            if run.finished_at is not None
        }

    def is_late(self, task: Task) -> bool:
        """Whether the last run that came to its end began too long ago; if none ever has, the last that began."""
        last = self.finished.get(task) or self.begun.get(task)
        return last is not None and self.is_overdue(task, last.started_at)

    def is_overdue(self, task: Task, started_at: datetime) -> bool:
        """Whether a run that began then should have been followed by another, or be over."""
        return self.now - started_at > 2 * self.intervals.of(task) + GRACE

    def ago(self, task: Task) -> str:
        """How long ago the last run of a task that came to its end began."""
        return _ago(self.now - self.finished[task].started_at)

    def stuck(self, task: Task) -> str:
        """A sentence about the last run of a task if it should long have come to its end; otherwise nothing."""
        run = self.begun.get(task)
        if run is None or run.finished_at is not None or not self.is_overdue(task, run.started_at):
            return ""
        return f"The last one began {_ago(self.now - run.started_at)} and has not come to its end."


def _last_runs() -> QuerySet[PeriodicRun]:
    """The last runs of all tasks in one statement: a short look into the index for each."""
    of_tasks = [PeriodicRun.objects.filter(task=task).order_by("-started_at") for task in Task]
    ended = [runs.filter(finished_at__isnull=False) for runs in of_tasks]
    return PeriodicRun.objects.filter(pk__in=[_first(runs) for runs in (*of_tasks, *ended)]).order_by()


def _first(runs: QuerySet[PeriodicRun]) -> Subquery:
    return Subquery(runs.values("pk")[:1])


def _late_runs(now: datetime, interval: timedelta) -> int:
    """How many passes of the last day began more than two intervals after the one before."""
    before = Window(Lag("started_at"), order_by="started_at")
    gap = ExpressionWrapper(F("started_at") - F("before"), output_field=DurationField())
    passes = PeriodicRun.objects.filter(task=Task.ENFORCE, started_at__gt=now - LATE_RUNS_WITHIN).order_by()
    return passes.annotate(before=before).annotate(gap=gap).filter(gap__gt=2 * interval).count()


# --- What is told ----------------------------------------------------------------------------


def _pass(runs: _Runs) -> Item:
    task = Task.ENFORCE
    every = _long(runs.intervals.enforce)
    if task not in runs.finished:
        state = State.BAD if runs.stuck(task) else State.UNKNOWN
        sentence = runs.stuck(task) or f"No pass has come to its end yet; one is due every {every}."
    elif runs.is_late(task):
        state = State.BAD
        sentence = runs.stuck(task) or f"The last pass was {runs.ago(task)}; one is due every {every}."
    else:
        last = runs.finished[task]
        state = State.OK
        sentence = (
            f"{runs.ago(task).capitalize()}, took {_long(last.took)}: {_count(last.judged, 'campaign')} judged, "
            f"{last.changed:,} changed."
        )
    return Item(key="pass", name="Last pass", state=state, sentence=sentence)


def _punctuality(late_runs: int) -> Item:
    if not late_runs:
        return Item(key="late", name="Late passes", state=State.OK, sentence="None in the last 24 hours.")
    return Item(
        key="late",
        name="Late passes",
        state=State.WARN,
        sentence=f"{_count(late_runs, 'pass', 'passes')} began late in the last 24 hours.",
    )


def _roll_overs(runs: _Runs) -> Item:
    tasks = (Task.RESET_DAILY, Task.RESET_MONTHLY)
    never = any(task not in runs.finished for task in tasks)
    state = State.BAD if any(map(runs.stuck, tasks)) else State.OK
    if never:
        sentence = "Nobody has looked for new days and months yet."
        state = max(state, State.UNKNOWN, key=list(State).index)
    else:
        sentence = f"Looked for new days {runs.ago(tasks[0])}, for new months {runs.ago(tasks[1])}."
        if any(map(runs.is_late, tasks)):
            state = State.BAD
            sentence += f" Both are due every {_long(runs.intervals.roll_over)}."
    return Item(key="roll_overs", name="Roll-overs", state=state, sentence=sentence)


def _pacing(runs: _Runs) -> list[Item]:
    """The steps of pacing, once there has been one."""
    task = Task.PACE
    if task not in runs.begun:
        return []
    every = _long(runs.intervals.pacing)
    if task not in runs.finished or runs.is_late(task):
        state, last = State.BAD if runs.stuck(task) or task in runs.finished else State.UNKNOWN, ""
        if task in runs.finished:
            last = f"The last step was {runs.ago(task)}; one is due every {every}. "
        sentence = f"{last}{runs.stuck(task) or 'Probabilities stay as they are meanwhile.'}"
    else:
        run = runs.finished[task]
        state = State.OK
        sentence = f"{runs.ago(task).capitalize()}, took {_long(run.took)}: {run.judged:,} paced, {run.changed:,} told."
    return [Item(key="pacing", name="Pacing", state=state, sentence=sentence)]


def _processes(runs: _Runs, broker_url: str) -> tuple[Item, Item]:
    """Worker and beat: whatever has begun lately was sent by the one and taken by the other."""
    regular = [run for task, run in runs.begun.items() if task is not Task.CHECK_LEDGER]
    if not all(runs.is_overdue(Task(run.task), run.started_at) for run in regular):
        return _worker(State.OK, "Takes what is due."), _beat(State.OK, "Sends what is due.")
    try:
        waiting = broker.count_waiting(broker_url)
    except BrokerError:
        return (
            _worker(State.BAD, "The broker does not answer, so nothing can be started; look at Redis or Valkey."),
            _beat(State.UNKNOWN, "Can't be told while the broker does not answer."),
        )
    last = max(regular, key=lambda run: run.started_at, default=None)
    return _without_beat(runs, last) if not waiting else _without_worker(runs, last, waiting)


def _without_beat(runs: _Runs, last: PeriodicRun | None) -> tuple[Item, Item]:
    """Nothing is waiting: it was not sent."""
    if last is None:  # perhaps it has just been started for the first time
        beat = _beat(State.WARN, "Nothing has ever run and nothing is waiting; if this stays so, start beat.")
    else:
        ago = _long(runs.now - last.started_at)
        beat = _beat(State.BAD, f"Nothing has run for {ago} and nothing is waiting; start beat.")
    return _worker(State.UNKNOWN, "Can't be told while nothing waits for it."), beat


def _without_worker(runs: _Runs, last: PeriodicRun | None, waiting: int) -> tuple[Item, Item]:
    """Something is waiting: nobody takes it."""
    wait = f"{_count(waiting, 'task')} {'is' if waiting == 1 else 'are'} waiting"
    if last is not None and last.finished_at is None:
        ago = _ago(runs.now - last.started_at)
        worker = _worker(State.BAD, f"{wait}; it is busy with what it began {ago}, or was killed. Start a worker.")
    else:
        worker = _worker(State.BAD, f"{wait} and none is taken; start a worker.")
    return worker, _beat(State.UNKNOWN, "Can't be told while no worker takes what it sends.")


def _worker(state: State, sentence: str) -> Item:
    return Item(key="worker", name="Worker", state=state, sentence=sentence)


def _beat(state: State, sentence: str) -> Item:
    return Item(key="beat", name="Beat", state=state, sentence=sentence)


def _ledger(runs: _Runs) -> Item:
    task, last = Task.CHECK_LEDGER, runs.finished.get(Task.CHECK_LEDGER)
    every = _long(runs.intervals.ledger_check)
    if last is None:
        state, sentence = State.UNKNOWN, f"Not checked yet; a check is due every {every}."
    elif last.changed:
        differ = f"{_count(last.changed, 'counter')} {'differs' if last.changed == 1 else 'differ'}"
        state, sentence = State.BAD, f"{differ} from the ledger, found {runs.ago(task)}; run check_ledger."
    else:
        state, sentence = State.OK, f"Checked {runs.ago(task)}: {_count(last.judged, 'counter')}, no difference."
        if runs.is_late(task):
            state, sentence = State.WARN, f"{sentence} A check is due every {every}."
    return Item(key="ledger", name="Ledger check", state=state, sentence=sentence)


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _ago(span: timedelta) -> str:
    """How long ago, from now on being nothing: clocks of several machines differ by a little."""
    return "just now" if span < timedelta(seconds=1) else f"{_long(span)} ago"


def _long(span: timedelta) -> str:
    """A length of time as people say it: `0.4 s`, `12 s`, `5 min`, `3 h`, `4 days`."""
    seconds = max(span // timedelta(seconds=1), 0)
    if seconds < 10:
        tenths = max(span // timedelta(milliseconds=100), 0)
        return f"{tenths // 10}.{tenths % 10} s" if tenths % 10 else f"{seconds} s"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:,} {unit}"
    return f"{seconds} s"
