"""The engine behind `manage.py up`, with toy programs: deaths, backoff, order, grace and leftovers."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from campaigns.management import voices
from campaigns.management.voices import Shows, Voice
from tests.servers import Program, running, wait_until

pytestmark = pytest.mark.once

SLEEPS = "note('up'); time.sleep(600)"
DEAF = "on_stop(signal.SIG_IGN); note('up'); time.sleep(600)"
SLOW = "on_stop(lambda *_: (time.sleep(2), note('slow end'), os._exit(0))); note('up'); time.sleep(600)"
PARENT = f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); {SLEEPS}"


@contextmanager
def supervised(tmp_path: Path, **programs: str) -> Iterator[Program]:
    arguments = [f"{name.replace('_never', '!')}={code}" for name, code in programs.items()]
    command = [sys.executable, "-m", "tests.reliability.toys", tmp_path, *arguments]
    with running(command, log=tmp_path / "output") as started:
        family: list[psutil.Process] = []
        try:
            yield started
            family = relatives(started)
        finally:
            started.stop()
            for process in family:
                assert gone(process)


def relatives(program: Program) -> list[psutil.Process]:
    try:
        return psutil.Process(program.process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def gone(process: psutil.Process) -> bool:
    """Whether it ended; what nobody has reaped yet did."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def notes(tmp_path: Path) -> list[str]:
    path = tmp_path / "notes"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def up(tmp_path: Path, count: int) -> None:
    wait_until(lambda: notes(tmp_path).count("up") >= count, within=20, what=f"{count} programs up")


@pytest.mark.processes
def test_programs_stop_in_the_reverse_order_of_their_start(tmp_path: Path) -> None:
    code = "on_stop(lambda *_: (note('end of {0}'), os._exit(0))); note('up'); time.sleep(600)"
    with supervised(tmp_path, a=code.format("a"), b=code.format("b"), c=code.format("c")) as started:
        up(tmp_path, 3)
        assert started.stop(signal.SIGINT) == 0
    assert notes(tmp_path)[3:] == ["end of c", "end of b", "end of a"]


@pytest.mark.processes
def test_a_program_that_dies_comes_back_ever_more_slowly(tmp_path: Path) -> None:
    with supervised(tmp_path, crash="note('up'); sys.exit(3)", calm=SLEEPS) as started:
        started.wait_for("starting it again in 2 s")
    delays = [line for line in started.output.splitlines() if "starting it again" in line]
    assert [line.split(" again in ")[1].split(" (")[0] for line in delays][:3] == ["0.5 s", "1 s", "2 s"]
    assert all("crash │ ended with status 3" in line for line in delays)


@pytest.mark.processes
def test_what_a_dead_program_leaves_behind_is_killed_before_it_comes_back(tmp_path: Path) -> None:
    with supervised(tmp_path, parent=PARENT) as started:
        up(tmp_path, 1)
        [parent] = [p for p in relatives(started) if p.children()]
        [orphan] = parent.children()
        parent.kill()
        up(tmp_path, 2)
        assert gone(orphan)
        assert "was killed by signal 9" in started.output


@pytest.mark.processes
def test_programs_that_will_not_stop_are_killed_in_time(tmp_path: Path) -> None:
    with supervised(tmp_path, **{f"deaf{number}": DEAF for number in range(5)}) as started:
        up(tmp_path, 5)
        family = relatives(started)
        began = time.monotonic()
        assert started.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 10
    assert len(family) == 6  # five programs and the watcher
    assert all(map(gone, family))


@pytest.mark.processes
def test_a_second_ctrl_c_stops_waiting(tmp_path: Path) -> None:
    with supervised(tmp_path, **{f"deaf{number}": DEAF for number in range(5)}) as started:
        up(tmp_path, 5)
        started.process.send_signal(signal.SIGINT)
        time.sleep(1.3)
        began = time.monotonic()
        assert started.stop(signal.SIGINT) == 0
        assert time.monotonic() - began < 3  # and not after five seconds less 1.3


@pytest.mark.processes
def test_one_ctrl_c_that_arrives_twice_is_one(tmp_path: Path) -> None:
    with supervised(tmp_path, slow=SLOW) as started:
        up(tmp_path, 1)
        started.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert started.stop(signal.SIGINT) == 0
    assert notes(tmp_path) == ["up", "slow end"]


@pytest.mark.processes
def test_a_program_that_never_gets_ready_ends_it_all_with_one_line(tmp_path: Path) -> None:
    with supervised(tmp_path, calm=SLEEPS, broken_never=SLEEPS, later=SLEEPS) as started:
        assert started.process.wait(20) == 1
    assert f"not ready: broken is not ready after 1 s; its log is {tmp_path}/logs/broken.log" in started.output
    assert notes(tmp_path) == ["up", "up"]  # the one after it was never started


@pytest.mark.processes
def test_nothing_is_left_when_the_supervisor_itself_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, parent=PARENT, deaf=DEAF) as started:
        up(tmp_path, 2)
        family = relatives(started)
        assert len(family) == 4
        started.process.kill()
        wait_until(lambda: all(map(gone, family)), within=3, what="the end of all programs")


@pytest.mark.processes
def test_a_killed_watcher_is_replaced_by_one_that_knows_everything(tmp_path: Path) -> None:
    with supervised(tmp_path, parent=PARENT) as started:
        up(tmp_path, 1)
        [watcher] = watchers(started)
        watcher.kill()
        wait_until(lambda: watchers(started) not in ([], [watcher]), within=5, what="another watcher")
        time.sleep(0.3)
        family = relatives(started)
        started.process.kill()
        wait_until(lambda: all(map(gone, family)), within=3, what="the end of all programs")


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_programs_end_even_when_supervisor_and_watcher_are_killed_together(tmp_path: Path) -> None:
    with supervised(tmp_path, calm=SLEEPS, deaf=DEAF) as started:
        up(tmp_path, 2)
        family = relatives(started)
        os.kill(started.process.pid, signal.SIGSTOP)  # it must not get to replace the watcher
        watchers(started)[0].kill()
        started.process.kill()
        wait_until(lambda: all(map(gone, family)), within=3, what="the end of all programs")


def watchers(program: Program) -> list[psutil.Process]:
    return [p for p in relatives(program) if not gone(p) and p.cmdline()[-1:] == ["watch"]]


# --- What is shown -------------------------------------------------------------------------------


def voice(tmp_path: Path, shows: Shows) -> tuple[Voice, Console]:
    console = Console(record=True, width=200, file=(tmp_path / "screen").open("w"))
    return Voice("web", colour="blue", width=6, shows=shows, logs=tmp_path, console=console), console


SAID = b"""\
[INFO] Started worker-1
12:00:00 INFO    celery.worker: ready
12:00:01 INFO    campaigns.services.status: paused Campaign 7: brand_daily_budget
12:00:02 WARNING django.request: Not Found: /x
12:00:03 INFO    celery.app: task said ERROR somewhere far to the right of where a level would be found in a line
12:00:04 ERROR   django.request: Internal Server Error
Traceback (most recent call last):
  File "x.py", line 1, in <module>
12:00:05 INFO    celery.worker: all is well
"""


def test_the_screen_shows_what_matters_and_the_log_everything(tmp_path: Path) -> None:
    speaker, console = voice(tmp_path, Shows.WARNINGS)
    for start in range(0, len(SAID), 7):  # output arrives in pieces of any size
        speaker.hear(SAID[start : start + 7])
    assert [line.strip() for line in console.export_text().splitlines()] == [
        "web │ 12:00:01 INFO    campaigns.services.status: paused Campaign 7: brand_daily_budget",
        "web │ 12:00:02 WARNING django.request: Not Found: /x",
        "web │ 12:00:04 ERROR   django.request: Internal Server Error",
        "web │ Traceback (most recent call last):",
        'web │   File "x.py", line 1, in <module>',
    ]
    assert speaker.path.read_bytes() == SAID


@pytest.mark.parametrize(("shows", "lines"), [(Shows.NOTHING, 0), (Shows.EVERYTHING, 9)])
def test_a_program_can_be_silent_or_talkative(shows: Shows, lines: int, tmp_path: Path) -> None:
    speaker, console = voice(tmp_path, shows)
    speaker.hear(SAID)
    assert len(console.export_text().splitlines()) == lines


def test_markup_and_broken_bytes_are_shown_as_they_are(tmp_path: Path) -> None:
    speaker, console = voice(tmp_path, Shows.EVERYTHING)
    speaker.hear(b"[bold]not markup[/bold] \xff\n")
    assert "[bold]not markup[/bold] \ufffd" in console.export_text()


def test_a_log_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "LOG_BYTES", 10_000)
    speaker, _ = voice(tmp_path, Shows.NOTHING)
    for number in range(2_000):
        speaker.hear(f"line {number} of many\n".encode())
    speaker.hear(b"x" * 1_000_000)  # without a line break
    logs = list(tmp_path.glob("web.log*"))
    assert len(logs) == 2
    assert sum(log.stat().st_size for log in logs) < 10_000 + voices.LINE_BYTES * 20
