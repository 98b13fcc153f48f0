"""The databases that the benchmarks run on, set up as production sets them up."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import django
from django.core.management import call_command

from tests import servers

NAMES = ("postgresql", "sqlite")

# As durable as a production server: nothing is answered that a power cut could take back.
DURABLE = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "work_mem": "64MB",
}


@contextmanager
def fresh(name: str) -> Iterator[None]:
    """Set Django up on an empty, migrated database of that kind. Once per process: Django reads its settings once.

    `postgresql`: the one that BENCHMARK_DATABASE_URL names, or one of our own. `sqlite`: a file in a temporary folder.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark.") as folder:
        os.environ["DATA_DIR"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "budget_management.settings")
        os.environ.pop("DATABASE_URL", None)
        url = os.environ.get("BENCHMARK_DATABASE_URL")
        if name == "sqlite":
            yield from _set_up()
        elif url:
            os.environ["DATABASE_URL"] = url
            yield from _set_up()
        else:
            with servers.postgresql(**DURABLE) as own:
                os.environ["DATABASE_URL"] = own
                yield from _set_up()


def _set_up() -> Iterator[None]:
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    try:
        yield
    finally:
        connections.close_all()
        for connection in connections.all():
            if hasattr(connection, "close_pool"):
                connection.close_pool()


def each(module: str, arguments: list[str]) -> int:
    """Run a benchmark once per database, each in a process of its own; return the worst exit code."""
    import subprocess

    codes = [
        subprocess.run([sys.executable, "-m", module, "--database", name, *arguments], check=False).returncode
        for name in NAMES
    ]
    return max(codes)
