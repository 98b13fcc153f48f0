"""What is logged: a line for each request, which can be followed, and never a secret in it."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from budget_management import celery, logs
from budget_management.logs import JsonLines, Lines, without_secrets
from campaigns import tasks
from campaigns.models import Scope
from campaigns.services.keys import create_key
from tests import factories
from tests.servers import REPOSITORY, free_port, running, wait_until

pytestmark = pytest.mark.django_db


class Captured:
    """What the root logger's handler would print as JSON."""

    def __init__(self, stream: StringIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    def lines(self, logger: str = "budget_management.requests") -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.text.splitlines()) if line["logger"] == logger]


@pytest.fixture
def captured() -> Iterator[Captured]:
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)
    try:
        yield Captured(stream)
    finally:
        logging.getLogger().removeHandler(handler)


@pytest.fixture
def key() -> str:
    _, secret = create_key(name="reporter", scopes=[Scope.SPEND, Scope.READ], now=timezone.now())
    return secret


# --- Requests --------------------------------------------------------------------------------


def test_a_request_is_one_line(captured: Captured, key: str) -> None:
    campaign = factories.campaign()
    answer = Client().get(f"/api/v1/campaigns/{campaign.pk}?x=1", headers={"Authorization": f"Bearer {key}"})
    [line] = captured.lines()
    assert line.pop("milliseconds") >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line.pop("message").startswith("GET api/v1/campaigns/<int:campaign_id> 200 in ")
    assert line == {
        "level": "INFO",
        "logger": "budget_management.requests",
        "request_id": answer["X-Request-ID"],
        "method": "GET",
        "route": "api/v1/campaigns/<int:campaign_id>",
        "status": 200,
        "api_key": key.rpartition("_")[0][:15],
    }


@pytest.mark.parametrize("sent", ["abc-123", "A.b_c-9" * 9])
def test_an_id_that_is_one_is_kept(captured: Captured, sent: str) -> None:
    assert Client().get("/nowhere", headers={"X-Request-ID": sent})["X-Request-ID"] == sent
    assert {line["request_id"] for line in map(json.loads, captured.text.splitlines())} == {sent}  # of every logger


@pytest.mark.parametrize("sent", ["", "a b", "a\nb", "x" * 65, "<b>", "é", '"'])
def test_what_is_no_id_is_replaced(sent: str) -> None:
    answered = Client().get("/nowhere", headers={"X-Request-ID": sent})["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", answered)


def test_a_person_is_told_by_id(captured: Captured) -> None:
    client, anna = Client(), User.objects.create_superuser("anna-with-a-name")
    client.force_login(anna)
    client.get("/admin/campaigns/brand/")
    [line] = captured.lines()
    assert (line["user"], line["route"]) == (anna.pk, "admin/campaigns/brand/")
    assert "anna-with-a-name" not in captured.text


def test_nothing_of_one_request_is_told_of_the_next(captured: Captured) -> None:
    first, second = (Client().get("/healthz")["X-Request-ID"] for _ in range(2))
    assert [line["request_id"] for line in captured.lines()] == [first, second]
    assert first != second
    assert logs.context.get() == {}


def test_refused_events_are_named_and_recorded_ones_are_not(captured: Captured, key: str) -> None:
    campaign = factories.campaign()
    good = {"event_id": "good-1", "campaign_id": campaign.pk, "amount": "1"}
    body = {"events": [good, {**good, "event_id": "bad-1", "amount": "-1"}, {**good, "amount": "2"}]}
    Client().post(
        "/api/v1/spend-events",
        json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )
    [line] = captured.lines("campaigns.api.spend")
    assert line["message"] == "2 of 3 spend events were refused."
    assert line["refused"] == [
        {"event_id": "bad-1", "status": "rejected"},
        {"event_id": "good-1", "status": "conflict"},
    ]
    assert line["request_id"] == captured.lines()[0]["request_id"]


# --- Secrets ---------------------------------------------------------------------------------


def test_a_key_is_in_no_line_wherever_it_was_sent(captured: Captured, key: str, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    client = Client(raise_request_exception=False)
    secret = key.removeprefix(key[:16])
    sender = {"Authorization": f"Bearer {key}", "X-Request-ID": key, "X-Api-Key": key}
    for headers in (sender, {**sender, "Authorization": f"bearer  {key}x"}, {"Cookie": f"sessionid={key}"}):
        for address in (f"/api/v1/campaigns?key={key}", f"/api/v1/{key}", f"/{key}", f"/admin/{key}/?q={key}"):
            client.get(address, headers=headers)
        for body in (json.dumps({"events": [{"event_id": key, "campaign_id": 1, "amount": key}]}), key, f"[{key}"):
            client.post("/api/v1/spend-events", body, content_type="application/json", headers=headers)
            client.post(f"/api/v1/holds/{key}", body, content_type=key, headers=headers)
    try:
        raise RuntimeError(f'"Bearer {key}"\n{key}\t{key}')
    except RuntimeError:
        logging.getLogger("campaigns").exception("It failed with %s", key)
    assert len(captured.lines()) >= 30
    assert "exception" in captured.text
    assert secret not in captured.text
    people = "\n".join(Lines("{levelname} {message}", style="{").format(record) for record in caplog.records)
    assert "It failed with" in people
    assert secret not in people


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("Bearer abc.def-1 and on", "Bearer … and on"),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': 'Bearer …'}"),
        ("bk_0123456789ab_" + "s" * 43, "bk_0123456789ab_…"),
        ("Bearer bk_0123456789ab_" + "s" * 43, "Bearer bk_0123456789ab_…"),
        ("the key bk_0123456789ab", "the key bk_0123456789ab"),
        (
            '{"error":"\\nbk_0123456789ab_secret\\nbk_0123456789ab_more"}',
            '{"error":"\\nbk_0123456789ab_…\\nbk_0123456789ab_…"}',
        ),
        ('{"error":"\\"Bearer abc\\""}', '{"error":"\\"Bearer …\\""}'),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_what_is_taken_out_of_a_line(text: str, without: str) -> None:
    assert without_secrets(text) == without


# --- Tasks -----------------------------------------------------------------------------------


def test_the_lines_of_a_task_name_it(captured: Captured) -> None:
    seen = []

    def work() -> None:
        seen.append(dict(logs.context.get()))

    task = celery.app.task(name="tests.work")(work)
    task.apply(task_id="id-1")
    assert seen == [{"task": "tests.work", "task_id": "id-1"}]
    assert logs.context.get() == {}


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_a_real_worker_writes_lines_of_json(environment: dict[str, str], tmp_path: Any) -> None:
    environment |= {"LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "budget_management", "worker", "--pool", "threads"]
    send = "from campaigns.tasks import enforce_campaign_status as t; print(t.delay().id)"
    with running(command, log=tmp_path / "worker", environment=environment) as worker:
        worker.wait_for("ready.")
        sent = subprocess.run(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", send],
            env=environment,
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            text=True,
        )
        worker.wait_for("succeeded")
    lines = [json.loads(line) for line in worker.output.splitlines() if line.startswith("{")]
    done = next(line for line in lines if "succeeded" in line["message"])
    assert done["task"] == tasks.enforce_campaign_status.name
    assert done["task_id"] == sent.stdout.strip()


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("format_", "begins"), [("json", '{"time":'), ("console", "INFO")])
def test_a_real_web_writes_as_the_setting_says(
    environment: dict[str, str], tmp_path: Any, format_: str, begins: str
) -> None:
    from campaigns.management import probe

    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws", "--port", str(port)]
    command += ["budget_management.wsgi:application"]
    environment |= {"LOG_FORMAT": format_}
    with running(command, log=tmp_path / "web", environment=environment) as web:
        wait_until(lambda: probe.answers(port), within=30, what="the web answers")
        web.wait_for("GET healthz 200")
    line = next(line for line in web.output.splitlines() if "GET healthz 200" in line)
    assert begins in line
    assert (format_ == "json") == line.startswith("{")
