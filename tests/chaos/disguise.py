"""Runs a program of the product with a clock that can be set, or with a fault planted in it.

`python -m tests.chaos.disguise celery -A budget_management beat`, or `manage.py consume_spend` in the place of
celery; for the web, `tests.chaos.disguised_web:application` in the place of its own. CHAOS_CLOCK names a file with the
seconds that the clock is off; whoever writes to it sets the clock of all these programs. CHAOS_PLANT names a fault.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import time_machine

LOOK_SECONDS = 0.02


# --- The clock -----------------------------------------------------------------------------------


class Clock:
    """The clock of this process: the machine's, off by what a file says. Monotonic clocks stay as they are."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._off = 0.0
        self._travels: time_machine.travel | None = None

    def follow(self) -> None:
        """Keep to the file from now on, in this process and in those that are forked from it."""
        self._set()
        self._watch()
        os.register_at_fork(after_in_child=self._watch)

    def _watch(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="clock").start()

    def _run(self) -> None:
        while True:
            self._set()
            time.sleep(LOOK_SECONDS)

    def _set(self) -> None:
        wanted = float(self._file.read_text() or self._off)
        if wanted != self._off:
            if self._travels is not None:
                self._travels.stop()
            self._off = wanted
            self._travels = time_machine.travel(datetime.now(UTC) + timedelta(seconds=wanted), tick=True)
            self._travels.start()


# --- Planted faults ------------------------------------------------------------------------------


def _ack_first() -> None:
    """Let the consumer acknowledge what it has not recorded yet."""
    from campaigns.management.consuming import Consumer

    record = Consumer._record

    def acknowledge_and_record(self: Consumer, messages: Sequence[Any], events: Sequence[Any], now: datetime) -> None:
        self._stream.settle(messages, (), now=now)
        time.sleep(0.05)
        record(self, messages, events, now)

    Consumer._record = acknowledge_and_record  # type: ignore[method-assign]  # it is the fault


def _acks_early() -> None:
    """Let a worker acknowledge a task before it has done it."""
    from budget_management.celery import app

    app.conf.task_acks_late = False


def _judge_never() -> None:
    """Let spend judge nobody, so that only the pass does."""
    from campaigns.services import spend

    spend._judge_crossed = lambda *_: []


def _answer_before_commit() -> None:
    """Let the web answer before the database has what it answers for."""
    from django.db import connection

    from campaigns.services import spend

    plain = spend.record_spend

    def forgetful(*args: Any, **options: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = off")
        return plain(*args, **options)

    spend.record_spend = forgetful  # the modules that import it do so later


IN_PROGRAMS: dict[str, Callable[[], None]] = {
    "acknowledge-first": _ack_first,
    "acknowledge-tasks-early": _acks_early,
    "judge-never": _judge_never,
    "answer-before-commit": _answer_before_commit,
}
"""Faults that are planted in the product's own programs."""

IN_CLIENTS = ("new-id-on-retry", "row-deleted", "status-overwritten")
"""Faults that are planted around it: see load.py and one.py."""

PLANTS = (*IN_PROGRAMS, *IN_CLIENTS)


def put_on() -> None:
    """Do to this process what the environment says."""
    if file := os.environ.get("CHAOS_CLOCK"):
        Clock(Path(file)).follow()
    plant = IN_PROGRAMS.get(os.environ.get("CHAOS_PLANT", ""))
    if plant is not None:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "budget_management.settings")
        import django

        django.setup()
        plant()


def _shorten_visibility() -> None:
    """Let the broker deliver again, after CHAOS_VISIBILITY seconds, what nobody has acknowledged."""
    if seconds := os.environ.get("CHAOS_VISIBILITY"):
        from budget_management.celery import app

        options = {**app.conf.broker_transport_options, "visibility_timeout": int(seconds)}
        app.conf.broker_transport_options = options


def main() -> None:
    """Be the program that the arguments name."""
    put_on()
    _shorten_visibility()
    sys.argv = sys.argv[1:]
    if sys.argv[0] == "manage.py":
        runpy.run_path("manage.py", run_name="__main__")
    else:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
