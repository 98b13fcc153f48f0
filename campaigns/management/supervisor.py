"""Runs several programs as one: starts them in order, starts them again when they die, and stops all
of them together.

One thread and one loop on purpose: the kernel ties a child's life to the thread that started it
(see `guard`), and a loop that looks at everything ten times a second has no races to reason about.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from campaigns.management import guard
from campaigns.management.voices import Shows, Voice

TICK_SECONDS = 0.1
READY_SECONDS = 90.0
STOP_SECONDS = 5.0  # for all children together; after that they are killed
PATIENCE_SECONDS = 0.8  # what each gets to stop by itself, however late its turn comes
SAME_REQUEST_SECONDS = 1.0  # the terminal and `make` may both pass one Ctrl-C on
SETTLED_SECONDS = 30.0  # a child that lived this long starts again without a long delay
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
CHUNK_BYTES = 65_536
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: the terminal was closed


@dataclass(frozen=True, kw_only=True)
class Child:
    """A program to keep running."""

    name: str
    colour: str
    command: Sequence[str]
    environment: Mapping[str, str]
    shows: Shows = Shows.WARNINGS
    ready: Callable[[], bool] | None = None
    """Whether it serves already; the children after it wait for that."""


class StartError(Exception):
    """A child did not become ready; the message is for people."""


@dataclass
class _Running:
    """A child's process."""

    process: subprocess.Popen[bytes]
    output: int
    since: float


@dataclass
class _State:
    """What is known of a child right now: it runs, or is due to be started at some moment."""

    child: Child
    voice: Voice
    running: _Running | None = None
    due: float = 0.0
    deaths: int = 0  # in a row, without having settled


class Supervisor:
    """Keeps `children` running until a signal says stop."""

    def __init__(self, children: Sequence[Child], *, logs: Path, console: Console, verbose: bool = False) -> None:
        """Prepare; nothing is started yet. `logs` is the folder for one log file a child."""
        logs.mkdir(parents=True, exist_ok=True)
        width = max(len(child.name) for child in children)
        self._states = [
            _State(
                child,
                Voice(
                    child.name,
                    colour=child.colour,
                    width=width,
                    shows=Shows.EVERYTHING if verbose else child.shows,
                    logs=logs,
                    console=console,
                ),
            )
            for child in children
        ]
        self._selector = selectors.DefaultSelector()
        self._watcher: subprocess.Popen[bytes] | None = None
        self._list = -1  # the pipe in which the watcher is told of groups
        self._asked = 0.0  # when the first signal came
        self._hurried = False  # whether another one did

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start all children, call `on_ready`, and stay until a signal says stop; then stop them.

        Raises `StartError`, with everything stopped, when a child does not become ready.
        """
        with _signals(self._ask_to_stop):
            try:
                self._watch()
                for state in self._states:
                    self._start(state)
                    self._await(state)
                if not self._asked:
                    on_ready()
                while not self._asked:
                    self._tick()
            finally:
                self._stop()

    # --- Starting --------------------------------------------------------------------------------

    def _start(self, state: _State) -> None:
        if self._asked:
            return
        reader, writer = os.pipe()
        try:
            process = subprocess.Popen(
                [*_guard("run"), str(self._list), *state.child.command],
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                env=dict(state.child.environment),
                pass_fds=(self._list,),
                start_new_session=True,
            )
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        self._selector.register(reader, selectors.EVENT_READ, state)
        state.running = _Running(process, reader, since=time.monotonic())

    def _await(self, state: _State) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._asked and state.child.ready is not None and not state.child.ready():
            self._tick()
            if time.monotonic() > deadline:
                raise StartError(
                    f"{state.child.name} is not ready after {READY_SECONDS:.0f} s; its log is {state.voice.path}"
                )

    def _watch(self) -> None:
        """Start the watcher, or another one when it was killed, and list what runs."""
        reader, writer = os.pipe()
        self._watcher = subprocess.Popen(_guard("watch"), stdin=reader, start_new_session=True)
        os.close(reader)
        if self._list >= 0:
            os.close(self._list)
        self._list = writer
        for state in self._states:
            if state.running:
                self._tell("+", state.running.process.pid)

    def _tell(self, change: str, group: int) -> None:
        with contextlib.suppress(BrokenPipeError):  # a killed watcher is replaced at the next tick
            os.write(self._list, f"{change}{group}\n".encode())

    # --- Running ---------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._forward(TICK_SECONDS)
        if self._watcher and self._watcher.poll() is not None:
            self._watch()
        for state in self._states:
            if state.running and state.running.process.poll() is not None:
                self._mourn(state, state.running)
            elif not state.running and state.due and time.monotonic() >= state.due:
                self._start(state)

    def _mourn(self, state: _State, running: _Running) -> None:
        """Clear away a child that died by itself, and set when it is started again."""
        status = self._clear(state, running)
        settled = time.monotonic() - running.since >= SETTLED_SECONDS
        state.deaths = 1 if settled else state.deaths + 1
        delay = min(FIRST_DELAY_SECONDS * 2 ** min(state.deaths - 1, 10), LONGEST_DELAY_SECONDS)
        state.due = time.monotonic() + delay
        state.voice.announce(f"{_ending(status)}; starting it again in {delay:g} s (log: {state.voice.path})")

    def _clear(self, state: _State, running: _Running) -> int:
        """Kill what is left of a child's process group, and return how the child ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.process.pid, signal.SIGKILL)
        status = running.process.wait()
        self._tell("-", running.process.pid)
        while self._read(state, running):
            pass
        state.voice.finish()
        with contextlib.suppress(KeyError):
            self._selector.unregister(running.output)
        os.close(running.output)
        state.running = None
        return status

    def _forward(self, timeout: float) -> None:
        """Pass on what the children say, for at most `timeout` seconds."""
        for key, _ in self._selector.select(timeout):
            state: _State = key.data
            if state.running and not self._read(state, state.running):
                self._selector.unregister(key.fd)  # it closed its output: nothing more will come

    @staticmethod
    def _read(state: _State, running: _Running) -> bool:
        try:
            chunk = os.read(running.output, CHUNK_BYTES)
        except BlockingIOError:
            return False
        state.voice.hear(chunk)
        return bool(chunk)

    # --- Stopping --------------------------------------------------------------------------------

    def _ask_to_stop(self, *_: object) -> None:
        if not self._asked:
            self._asked = time.monotonic()
        elif time.monotonic() - self._asked > SAME_REQUEST_SECONDS:
            self._hurried = True

    def _stop(self) -> None:
        """Stop the children, the last started first, so that none misses what it stands on."""
        deadline = time.monotonic() + STOP_SECONDS
        for state in reversed(self._states):
            if state.running:
                with contextlib.suppress(ProcessLookupError):
                    state.running.process.terminate()
                self._wait(state.running.process, max(deadline, time.monotonic() + PATIENCE_SECONDS))
                self._clear(state, state.running)
        if self._watcher:
            os.close(self._list)  # the end of its input, and so of the watcher
            self._watcher.wait()

    def _wait(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        while process.poll() is None and time.monotonic() < deadline and not self._hurried:
            self._forward(TICK_SECONDS / 4)


def _guard(form: str) -> list[str]:
    return [sys.executable, "-I", "-S", guard.__file__, form]


def _ending(status: int) -> str:
    if status < 0:
        return f"was killed by signal {-status} ({signal.strsignal(-status)})"
    return f"ended with status {status}"


@contextlib.contextmanager
def _signals(handler: Callable[..., None]) -> Iterator[None]:
    former = {number: signal.signal(number, handler) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, action in former.items():
            signal.signal(number, action)
