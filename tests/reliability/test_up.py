"""`manage.py up`, for real: one command starts everything, nothing survives it."""

import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from django.contrib.auth.models import User

from campaigns.management import embedded, probe
from campaigns.management.commands.up import port_number
from tests.servers import REPOSITORY, Program, free_port, running, wait_until

RUNNING = "Budget management is running"
# A word of its command line by which each program is known.
PROGRAMS = {
    "valkey": "valkey-server",
    "worker": "worker",
    "beat": "beat",
    "consumer": "consume_spend",
    "web": "granian",
}


def variables(data_dir: Path, port: int, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    return {**inherited, "DATA_DIR": str(data_dir), "PORT": str(port), **more}


@contextmanager
def up(log: Path, environment: dict[str, str], *options: str) -> Iterator[Program]:
    command = [sys.executable, "manage.py", "up", *options]
    with running(command, log=log, environment=environment) as started:
        yield started


def family(program: Program) -> list[psutil.Process]:
    return psutil.Process(program.process.pid).children(recursive=True)


def named(program: Program, word: str) -> list[psutil.Process]:
    """The living processes whose command line has `word`, the oldest first."""
    found = []
    for process in family(program):
        try:
            if any(part.rpartition("/")[2] == word for part in re.split(r"[\s\0]", " ".join(process.cmdline()))):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return sorted(found, key=lambda process: process.pid)


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def interrupt(program: Program) -> float:
    """Press Ctrl-C: the whole process group gets it. Return how long the stop took, in seconds."""
    began = time.monotonic()
    os.killpg(program.process.pid, signal.SIGINT)
    assert program.process.wait(30) == 0
    return time.monotonic() - began


@pytest.mark.processes
@pytest.mark.sqlite
def test_one_command_starts_everything_and_every_program_comes_back(tmp_path: Path) -> None:
    port, data = free_port(), tmp_path / "a folder"
    with up(tmp_path / "log", variables(data, port, ENFORCE_INTERVAL_SECONDS="1")) as started:
        started.wait_for(RUNNING, within=60)
        assert probe.answers(port)
        assert f"http://localhost:{port}/admin/" in started.output

        for name, word in PROGRAMS.items():
            before = named(started, word)
            assert before, f"{name} does not run"
            before[0].kill()
            wait_until(lambda: all(map(gone, before)), within=5, what=f"the end of all of {name}")  # noqa: B023
            wait_until(lambda: named(started, word), within=10, what=f"{name} again")  # noqa: B023
            assert f"{name} │ was killed by signal 9 (Killed); starting it again in 0.5 s" in started.output
        wait_until(lambda: probe.answers(port), within=20, what="the site again")

        runs = count_runs(data)
        wait_until(lambda: count_runs(data) >= runs + 2, within=30, what="the periodic pass goes on")

        everything = family(started)
        assert interrupt(started) < 10
    assert len(everything) >= 7
    assert [process for process in everything if not gone(process)] == []
    assert started.output.rstrip().endswith(f"Stopped. The data stay in {data}.")
    assert "Traceback" not in started.output


def count_runs(data_dir: Path) -> int:
    with sqlite3.connect(f"file:{data_dir / 'db.sqlite3'}?mode=ro", uri=True) as connection:
        query = "SELECT count(*) FROM campaigns_periodicrun WHERE finished_at IS NOT NULL"
        count: int = connection.execute(query).fetchone()[0]
        return count


@pytest.mark.processes
@pytest.mark.sqlite
def test_secrets_are_in_no_list_of_processes_and_a_second_start_keeps_the_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    environment = variables(data, free_port())
    with up(tmp_path / "first", environment) as started:
        started.wait_for(RUNNING, within=60)
        secrets = [
            (data / "admin-password").read_text().strip(),
            (data / "secret_key").read_text().strip(),
            re.findall(r"requirepass (\S+)", (data / "valkey" / "valkey.conf").read_text())[0],
        ]
        assert min(map(len, secrets)) >= 16
        commands = [" ".join(process.cmdline()) for process in family(started)]
        assert not [command for command in commands if any(secret in command for secret in secrets)]
        interrupt(started)
    with up(tmp_path / "second", environment) as started:
        started.wait_for(f"admin / {secrets[0]}", within=60)
        interrupt(started)


@pytest.mark.django_db
def test_the_first_password_is_shown_until_it_is_changed(tmp_path: Path, django_user_model: type[User]) -> None:
    file = tmp_path / "admin-password"
    first = embedded.first_password(tmp_path)
    assert first == file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert embedded.first_password(tmp_path) == first

    admin = django_user_model.objects.get()
    assert admin.is_superuser
    admin.set_password("mine now")
    admin.save()
    assert embedded.first_password(tmp_path) is None

    django_user_model.objects.all().delete()  # a new database in the same folder
    second = embedded.first_password(tmp_path)
    assert second not in {None, first}
    assert django_user_model.objects.get().check_password(str(second))


@pytest.mark.django_db
@pytest.mark.parametrize("account", [{"username": "root", "is_superuser": True}, {"username": "admin"}])
def test_no_account_is_made_where_people_have_their_own(
    account: dict[str, Any], tmp_path: Path, django_user_model: type[User]
) -> None:
    django_user_model.objects.create(**account)
    assert embedded.first_password(tmp_path) is None
    assert django_user_model.objects.count() == 1


@pytest.mark.processes
@pytest.mark.sqlite
def test_nothing_is_left_when_it_is_killed(tmp_path: Path) -> None:
    with up(tmp_path / "log", variables(tmp_path / "data", free_port())) as started:
        started.wait_for(RUNNING, within=60)
        everything = family(started)
        assert len(everything) >= 7
        started.process.kill()
        wait_until(lambda: all(map(gone, everything)), within=5, what="the end of all programs")


@pytest.mark.processes
@pytest.mark.sqlite
def test_a_taken_port_is_said_and_a_second_one_on_the_same_data_refused(tmp_path: Path) -> None:
    environment = variables(tmp_path / "data", free_port())
    port = int(environment["PORT"])
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with up(tmp_path / "log", environment) as started:
            started.wait_for("is taken", within=60)
            [actual] = re.findall(r"The port you asked for is taken; this is port (\d+)", started.output)
            assert int(actual) > port
            assert f"http://localhost:{actual}/admin/" in started.output
            assert probe.answers(int(actual))

            with up(tmp_path / "second", environment) as second:
                assert second.process.wait(30) == 1
            [line] = second.output.splitlines()
            assert f"it runs already (process {started.process.pid})" in line
            assert probe.answers(int(actual))
            interrupt(started)


@pytest.mark.processes
@pytest.mark.postgresql
def test_given_servers_are_used_instead_of_own_ones(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"PORT": str(free_port()), "ENFORCE_INTERVAL_SECONDS": "1"}
    with redis.Redis.from_url(environment["REDIS_URL"]) as broker:
        broker.config_resetstat()
        with up(tmp_path / "log", environment) as started:
            started.wait_for(RUNNING, within=60)
            assert named(started, PROGRAMS["valkey"]) == []
            assert not (tmp_path / "db.sqlite3").exists()

            from campaigns.models import PeriodicRun

            wait_until(PeriodicRun.objects.filter(finished_at__isnull=False).exists, within=30, what="a run")
            interrupt(started)


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8000.0", "²", ""])
def test_a_port_that_is_none_is_named(port: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a port: a number from 1 to 65535"):
        port_number(port)


def test_a_wrong_port_is_refused_in_one_line(tmp_path: Path) -> None:
    result = refused(variables(tmp_path, 1, PORT="http"))
    line = "manage.py up: error: argument --port: 'http' is not a port: a number from 1 to 65535"
    assert result.stderr.splitlines()[-1] == line


def test_the_next_free_port_is_looked_for_within_reason() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert not embedded.is_free("127.0.0.1", taken)
        assert taken < (embedded.next_free_port("127.0.0.1", taken) or 0) <= taken + embedded.PORTS_TRIED
    assert embedded.next_free_port("192.0.2.1", 8000) is None  # an address that is not ours


def test_production_is_not_for_up(tmp_path: Path) -> None:
    complete = dict.fromkeys(("SECRET_KEY", "ALLOWED_HOSTS"), "x.example.com")
    servers = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1"}
    result = refused(variables(tmp_path, 1, ENVIRONMENT="production", **complete, **servers))
    [line] = result.stderr.splitlines()
    assert "up is for ENVIRONMENT=embedded" in line


@pytest.mark.sqlite
def test_a_database_that_does_not_work_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "db.sqlite3").mkdir()
    [line] = refused(variables(tmp_path, free_port())).stderr.splitlines()
    assert line == "CommandError: the database does not work: unable to open database file"


def refused(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "manage.py", "up"],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    return result
