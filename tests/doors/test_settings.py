"""What the environment says: one clear line when it is wrong, nothing insecure when it is right."""

import os
import re
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings

from budget_management import environment
from budget_management.environment import REQUIRED_IN_PRODUCTION, Environment, kept_secret
from budget_management.settings import database
from tests.servers import REPOSITORY, free_port

PYTHON = sys.executable
COMMANDS = {
    "manage.py": [PYTHON, "manage.py", "check"],
    "celery worker": [PYTHON, "-m", "celery", "-A", "budget_management", "worker"],
    "celery beat": [PYTHON, "-m", "celery", "-A", "budget_management", "beat"],
    "granian": [PYTHON, "-m", "granian", "--interface", "wsgi", "budget_management.wsgi:application"],
}


def variables(tmp_path: Path, **changes: str | None) -> dict[str, str]:
    """The environment of a complete production, with changes; None leaves a variable out."""
    complete: dict[str, str | None] = {
        "ENVIRONMENT": "production",
        "SECRET_KEY": "k" * 25 + "0123456789" * 3 + "xyz",
        "ALLOWED_HOSTS": "budget.example.com",
        "DATABASE_URL": "postgresql://budget:secret@127.0.0.1:1/budget",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATA_DIR": str(tmp_path),
        "GRANIAN_PORT": str(free_port()),
    }
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {name: value for name, value in {**inherited, **complete, **changes}.items() if value is not None}


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.processes
@pytest.mark.parametrize("door", COMMANDS)
def test_no_program_starts_in_production_without_a_secret_key(door: str, tmp_path: Path) -> None:
    result = run(COMMANDS[door], variables(tmp_path, SECRET_KEY=None))
    assert result.returncode != 0
    output = result.stdout + result.stderr
    assert "budget_management can't start: production needs SECRET_KEY: not set" in output
    assert "Traceback" not in output


def refusal(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> str:
    """What the process would end with; every line of it but the last line break."""
    monkeypatch.setattr(os, "environ", settings)
    with pytest.raises(SystemExit) as end:
        environment.read()
    return str(end.value)


@pytest.mark.parametrize("name", REQUIRED_IN_PRODUCTION)
@pytest.mark.parametrize("value", [None, "", " "], ids=["unset", "empty", "blank"])
def test_production_names_the_variable_that_is_missing(
    name: str, value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = refusal(monkeypatch, variables(tmp_path, **{name: value}))
    assert line == f"budget_management can't start: production needs {name}: not set"


def test_all_missing_variables_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, variables(tmp_path, **dict.fromkeys(REQUIRED_IN_PRODUCTION)))
    assert "needs SECRET_KEY, ALLOWED_HOSTS, DATABASE_URL, REDIS_URL: not set" in line


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ENFORCE_INTERVAL_SECONDS", "often", "ENFORCE_INTERVAL_SECONDS: Input should be a valid integer"),
        ("ENFORCE_INTERVAL_SECONDS", "0", "ENFORCE_INTERVAL_SECONDS: Input should be greater than 0"),
        ("ENVIRONMENT", "prod", "ENVIRONMENT: Input should be 'embedded' or 'production'"),
        ("TIME_ZONE", "Europe/Berlinn", "TIME_ZONE: 'Europe/Berlinn' is not an IANA time zone"),
        ("TIME_ZONE", "../etc/passwd", "is not an IANA time zone"),
        ("DATABASE_URL", "mysql://u:topsecret@h/d", "DATABASE_URL: must begin with one of postgresql:"),
        ("DATABASE_URL", "postgresql://u:topsecret@h:abc/db", "DATABASE_URL: host or port can't be read"),
        ("DATABASE_URL", "postgresql://u:topsecret@h:70000/db", "DATABASE_URL: host or port can't be read"),
        ("DATABASE_URL", "postgresql://u:1#topsecret@h/db", "DATABASE_URL: has no name"),
        ("DATABASE_URL", "postgresql://u:topsecret#1@h/db", "DATABASE_URL: host or port can't be read"),
        ("DATABASE_URL", "postgresql://[::1/db", "DATABASE_URL: host or port can't be read"),
        ("DATABASE_URL", "postgresql:", "DATABASE_URL: has no host"),
        ("DATABASE_URL", "postgresql:///db", "DATABASE_URL: has no host"),
        ("DATABASE_URL", "postgresql://u:topsecret@h", "DATABASE_URL: has no name of a database"),
        ("DATABASE_URL", "postgresql://u:topsecret@h/", "DATABASE_URL: has no name of a database"),
        ("DATABASE_URL", "sqlite:", "DATABASE_URL: must name a file"),
        ("DATABASE_URL", "sqlite://var/db.sqlite3", "DATABASE_URL: must name a file"),
        ("REDIS_URL", "amqp://u:topsecret@h", "REDIS_URL: must begin with one of redis:"),
        ("REDIS_URL", "redis://:topsecret@h:abc/0", "REDIS_URL: host or port can't be read"),
        ("REDIS_URL", "redis:", "REDIS_URL: has no host"),
        ("REDIS_URL", "redis://", "REDIS_URL: has no host"),
        ("REDIS_URL", "redis:///0", "REDIS_URL: has no host"),
        ("REDIS_URL", "redis://h/zero", "REDIS_URL: must end with the number of a database"),
        ("DATABASE_POOL_SIZE", "1001", "DATABASE_POOL_SIZE: Input should be less than or equal to 1000"),
        ("ENFORCE_INTERVAL_SECONDS", "86401", "ENFORCE_INTERVAL_SECONDS: Input should be less than or equal to 86400"),
        ("ROLLOVER_INTERVAL_SECONDS", "86401", "ROLLOVER_INTERVAL_SECONDS: Input should be less than or equal to"),
        ("LEDGER_CHECK_INTERVAL_SECONDS", "86401", "LEDGER_CHECK_INTERVAL_SECONDS: Input should be less than or equal"),
        ("SPEND_MAX_AGE_DAYS", "800000", "SPEND_MAX_AGE_DAYS: Input should be less than or equal to 3660"),
        ("LEDGER_KEEP_MONTHS", "3", "LEDGER_KEEP_MONTHS must be at least 4: longer than SPEND_MAX_AGE_DAYS by a month"),
        ("SPEND_MAX_AHEAD_SECONDS", "9" * 30, "SPEND_MAX_AHEAD_SECONDS: Input should be less than or equal to 86400"),
        ("DATA_DIR", "/dev/null/var", "DATA_DIR /dev/null/var: Not a directory"),
    ],
)
def test_a_malformed_variable_is_one_line(
    name: str, value: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = dict.fromkeys(REQUIRED_IN_PRODUCTION)
    line = refusal(monkeypatch, variables(tmp_path, **{**unset, "ENVIRONMENT": "embedded", name: value}))
    assert says in line
    assert "\n" not in line
    assert "topsecret" not in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://u:p%40ss@[::1]:6432/db?sslmode=require"),
        ("DATABASE_URL", "postgres://h/db"),
        ("DATABASE_URL", "postgresql:///db?host=/run/postgresql"),
        ("DATABASE_URL", "postgresql://u@%2Frun%2Fpostgresql/db"),
        ("DATABASE_URL", "sqlite:////tmp/db.sqlite3"),
        ("DATABASE_URL", "sqlite:///db.sqlite3"),
        ("REDIS_URL", "redis://h"),
        ("REDIS_URL", "redis://:p%40ss@h:6379/15"),
        ("REDIS_URL", "rediss://h:6379/"),
        ("SPEND_MAX_AGE_DAYS", "3660"),
        ("LEDGER_KEEP_MONTHS", "4"),
    ],
)
def test_what_makes_sense_is_taken(name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", variables(tmp_path, **{name: value}))
    assert str(getattr(environment.read(), name.lower())) == value


@pytest.mark.parametrize("url", [None, "sqlite:////tmp/db.sqlite3"])
def test_an_old_sqlite_is_one_line(url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    line = refusal(monkeypatch, variables(tmp_path, ENVIRONMENT="embedded", DATABASE_URL=url))
    assert line == (
        "budget_management can't start: SQLite 3.34.1 is too old: 3.35 or newer is needed, or a DATABASE_URL of a "
        "PostgreSQL"
    )


def test_an_old_sqlite_does_not_matter_to_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(os, "environ", variables(tmp_path))
    assert environment.read().production


@pytest.mark.processes
def test_production_is_clean_by_django_s_own_list(tmp_path: Path) -> None:
    result = run([PYTHON, "manage.py", "check", "--deploy", "--fail-level", "WARNING"], variables(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


def test_embedded_mode_makes_its_own_key_and_answers_to_this_machine_only() -> None:
    key = Path(settings.DATA_DIR) / "secret_key"
    assert key.read_text().strip() == settings.SECRET_KEY
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "*" not in settings.ALLOWED_HOSTS


def test_one_secret_wins_when_many_processes_make_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(lambda number: kept_secret(path, f"candidate {number}"), range(64)))
    assert secrets == {path.read_text().strip()}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_sqlite_takes_the_write_lock_at_the_beginning() -> None:
    options = database("sqlite:////tmp/x.sqlite3")["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert options["timeout"] >= 30
    assert "journal_mode=WAL" in options["init_command"]


@pytest.mark.sqlite
@pytest.mark.django_db
def test_the_sqlite_that_runs_is_set_up_so() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert cursor.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert cursor.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert cursor.execute("PRAGMA recursive_triggers").fetchone() == (1,)


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_postgresql_that_runs_is_set_up_so() -> None:
    from django.db import connection

    assert connection.pool is not None  # type: ignore[attr-defined]
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        assert cursor.fetchone() == ("read committed",)


def test_the_url_carries_options_and_credentials() -> None:
    config = database("postgresql://me:p%40ss@db.example.com:6432/budget?sslmode=require")
    assert (config["USER"], config["PASSWORD"], config["HOST"], config["PORT"], config["NAME"]) == (
        *("me", "p@ss", "db.example.com", 6432, "budget"),
    )
    assert config["OPTIONS"]["sslmode"] == "require"
    assert config["CONN_MAX_AGE"] == 0  # or the pool would never get a connection back


def test_every_variable_says_what_it_is_for() -> None:
    assert [name for name, field in Environment.model_fields.items() if not field.description] == []


def test_the_example_names_every_variable_of_the_compose_file() -> None:
    compose = (REPOSITORY / "docker-compose.yml").read_text()
    example = (REPOSITORY / ".env.example").read_text()
    wanted = set(re.findall(r"(?<!\$)\$\{(\w+)", compose))
    offered = set(re.findall(r"^#?([A-Z_]+)=", example, flags=re.MULTILINE))
    assert wanted == offered
