"""Hurrying a periodic task: it would run anyway, a nudge only makes it run sooner.

Whoever nudges must not wait for the broker, which may be slow or gone: it wakes a thread, which sends. Many nudges in a
second are one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from django.conf import settings

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""The least time between two messages of this process to the broker."""

LOOK = "campaigns.tasks.look_for_alerts"
DELIVER = "campaigns.tasks.deliver_alerts"


class Nudger:
    """Sends the names of tasks to the broker, from a thread of its own."""

    def __init__(self) -> None:
        self._send: Callable[[str], object] | None = None
        self._wanted: set[str] = set()
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._runs = False

    def send_by(self, send: Callable[[str], object]) -> None:
        """Say how a task is sent; until then nothing is."""
        self._send = send

    def nudge(self, task: str) -> None:
        """Have a task run soon. Returns at once and never fails."""
        if self._send is None or not settings.TASKS_ARE_NUDGED:
            return
        with self._lock:
            self._wanted.add(task)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, daemon=True, name="nudges").start()
        self._awake.set()

    def forked(self) -> None:
        """Begin anew in a child, in which no thread of its parent runs."""
        send = self._send
        self.__init__()  # type: ignore[misc]  # locks and threads of the parent are of no use here
        self._send = send

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._awake.wait()
            self._awake.clear()
            with self._lock:
                wanted, self._wanted = self._wanted, set()
            for task in sorted(wanted):
                self._try(task)
            pause.wait(PAUSE_SECONDS)

    def _try(self, task: str) -> None:
        try:
            if self._send is not None:
                self._send(task)
        except Exception:  # whatever the broker's client raises: the task runs at its next tick
            logger.debug("A task could not be hurried; it runs when it is due.", exc_info=True)


_nudger = Nudger()
nudge = _nudger.nudge
send_by = _nudger.send_by
os.register_at_fork(after_in_child=_nudger.forked)
