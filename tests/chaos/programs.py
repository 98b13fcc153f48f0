"""Programs that are killed, frozen and started again."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import psutil

from tests.servers import Cluster, Program, running

PATIENCE_SECONDS = 60.0
"""How long anything may take to start: machines that run tests are slow."""


class Mortal:
    """A program that ends without warning and is started anew. Each of its runs has a log of its own."""

    def __init__(self, name: str, start: Callable[[Path], AbstractContextManager[Program]], logs: Path) -> None:
        self.name = name
        self.deaths = 0
        self._start, self._logs = start, logs
        self._stack = ExitStack()
        self.runs: list[Program] = []
        self._down = True

    @classmethod
    def command(cls, name: str, command: Sequence[object], environment: Mapping[str, str], logs: Path) -> Mortal:
        """Return one that is a command."""
        return cls(name, lambda log: running(command, environment=environment, log=log), logs)

    @classmethod
    def database(cls, cluster: Cluster, logs: Path) -> Mortal:
        """Return one that is a PostgreSQL with its data."""
        return cls("database", cluster.running, logs)

    @property
    def program(self) -> Program:
        """The run that is on, or was the last."""
        return self.runs[-1]

    @property
    def output(self) -> str:
        """All that its runs have printed."""
        return "".join(run.output for run in self.runs)

    def start(self) -> None:
        """Start it."""
        log = self._logs / f"{self.name}.{len(self.runs) + 1}.log"
        self.runs.append(self._stack.enter_context(self._start(log)))
        self._down = False

    def restart_if_dead(self) -> None:
        """Start it again if it has ended by itself, as what supervises it in production does."""
        if not self._down and self.program.process.poll() is not None:
            self.deaths += 1
            self.start()

    def kill(self) -> None:
        """Kill it with everything that it has started, at once and without a word, and leave it dead."""
        self._down = True
        for process in self._stopped():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.program.process.wait(10)

    def freeze(self) -> None:
        """Stop the clock of it and of everything that it has started."""
        self._stopped()

    def wake(self) -> None:
        """Let it go on as if nothing had been."""
        for process in reversed(self._family()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def end(self) -> None:
        """Stop it in peace."""
        self._down = True
        with contextlib.suppress(psutil.NoSuchProcess):
            self.wake()
        self._stack.close()

    def _stopped(self) -> list[psutil.Process]:
        """Its processes, all of them frozen: the parent first, so that it starts no other meanwhile."""
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(self.program.process.pid).suspend()
        family = self._family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        return family

    def _family(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self.program.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


class Supervisor:
    """Looks after programs as long as somebody waits with it: what has ended by itself is started again."""

    def __init__(self) -> None:
        self.programs: list[Mortal] = []

    def wait(self, seconds: float) -> None:
        """Let so many seconds go by."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._look()

    def until(self, holds: Callable[[], object], *, what: str, within: float = PATIENCE_SECONDS) -> float:
        """Wait until `holds()` is true; return how many seconds that took. Raises AssertionError with `what`."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > within:
                raise AssertionError(f"not within {within:g} s: {what}")
            self._look()
        return time.monotonic() - began

    def _look(self) -> None:
        for program in self.programs:
            program.restart_if_dead()
        time.sleep(0.03)


def stop_all(programs: Sequence[Mortal]) -> None:
    """Stop programs in peace, all at the same time, with one signal each: a second one means something else to some."""
    for program in programs:
        program.wake()
        if program.program.process.poll() is None:
            program.program.process.send_signal(signal.SIGTERM)
    for program in programs:
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.program.process.wait(PATIENCE_SECONDS)
        program.end()
