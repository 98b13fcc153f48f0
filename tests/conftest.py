"""Which database the tests run on, and the servers they may ask for."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from tests import servers

SETTINGS = "budget_management.settings"
DATABASES = ("sqlite", "postgresql")

_session = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--database`."""
    parser.addoption(
        "--database",
        choices=DATABASES,
        default=os.environ.get("TEST_DATABASE"),
        help="which database to test on; default: TEST_DATABASE, what DATABASE_URL leads to, or sqlite. "
        "postgresql starts one, unless DATABASE_URL leads to one",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose data folder and database before Django reads its settings.

    Every xdist worker is a session of its own and gets its own folder and servers.
    """
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # this process only directs xdist's workers, which inherit its environment
    from django.conf import settings

    if settings.configured:
        raise pytest.UsageError("unset DJANGO_SETTINGS_MODULE: the tests choose their settings themselves")
    folder = _session.enter_context(tempfile.TemporaryDirectory(prefix="budget."))
    os.environ["DATA_DIR"] = folder
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
    os.environ["ENVIRONMENT"] = "embedded"
    os.environ.pop("REDIS_URL", None)  # tests that need a broker ask for the fixture
    wanted = config.getoption("database")
    if wanted == "sqlite":
        os.environ.pop("DATABASE_URL", None)
    if wanted == "postgresql" and "DATABASE_URL" not in os.environ:
        os.environ["DATABASE_URL"] = _session.enter_context(servers.postgresql())
    import django

    django.setup()
    _insist_on(wanted)


def _insist_on(wanted: str | None) -> None:
    """End here when the tests would run on another database than was asked for: they would prove nothing."""
    from django.db import connection

    if wanted not in {None, connection.vendor}:
        raise pytest.UsageError(f"--database={wanted}, but DATABASE_URL leads to {connection.vendor}")


def pytest_unconfigure() -> None:
    """Stop the servers and remove the data folder."""
    _session.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what belongs to the pass on the other database."""
    from django.db import connection

    others = {*DATABASES, "once"} - {connection.vendor, "once" if connection.vendor == "sqlite" else ""}
    away = [item for item in items if any(item.get_closest_marker(name) for name in others)]
    if away:
        config.hook.pytest_deselected(items=away)
        items[:] = [item for item in items if item not in away]


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their number: what is in them may differ from process to process (a gzip has a date)."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def _flush_past_the_triggers() -> Iterator[None]:
    """Let the flush after a transactional test empty the append-only tables.

    On PostgreSQL it truncates, which their triggers allow; on SQLite it deletes.
    """
    from django.core.management.commands import flush
    from django.db import connection

    plain = flush.Command.handle

    def handle(self: flush.Command, **options: object) -> None:
        from campaigns.models import append_only

        with append_only.suspended(connection):
            plain(self, **options)

    with pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "sqlite":
            patch.setattr(flush.Command, "handle", handle)
        yield


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """Yield the URL of a real Valkey that lives as long as the session."""
    with servers.valkey() as url:
        yield url


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """Return the URL of the database that this test uses, for programs that it starts."""
    from django.db import connection

    config = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{config['NAME']}"
    account = ":".join(quote(part, safe="") for part in (config["USER"], config["PASSWORD"]) if part)
    return f"postgresql://{account}@{config['HOST']}:{config['PORT']}/{config['NAME']}"


@pytest.fixture
def environment(database_url: str, valkey_url: str, tmp_path: Path) -> dict[str, str]:
    """Return environment variables for a program on this test's database and an empty broker."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": valkey_url, "DATA_DIR": str(tmp_path)}


@pytest.fixture(autouse=True)
def _as_wide_as_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the width that the runner of the tests tells its workers: tables must not depend on it."""
    monkeypatch.delenv("COLUMNS", raising=False)
