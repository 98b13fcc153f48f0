"""Traces: none unless wanted, and then what may be sent, to a real receiver of OTLP, by real processes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.db import connection
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from campaigns.gateways import traces
from tests.servers import REPOSITORY, free_port, running, wait_until

ENDPOINT = traces.ENDPOINTS[0]


@dataclass
class Span:
    """A span as it came."""

    name: str
    service: str
    trace: str
    parent: str
    attributes: dict[str, str]
    events: int


@dataclass
class Collector:
    """A receiver of OTLP over HTTP, and what it was sent."""

    url: str
    status: int = 200
    messages: int = 0
    spans: list[Span] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)

    def named(self, name: str) -> list[Span]:
        return [span for span in list(self.spans) if span.name == name]


class Handler(BaseHTTPRequestHandler):
    """Takes messages in."""

    collector: ClassVar[Collector]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        content = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        assert self.path == "/v1/traces"
        self.collector.messages += 1
        self.collector.raw += content
        for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
            service = read(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.collector.spans += [
                    Span(s.name, service, s.trace_id.hex(), s.parent_span_id.hex(), read(s.attributes), len(s.events))
                    for s in scope.spans
                ]
        self.send_response(self.collector.status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def log_message(self, *_: Any) -> None:
        pass


def read(attributes: Any) -> dict[str, str]:
    return {one.key: str(getattr(one.value, one.value.WhichOneof("value"))) for one in attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    Handler.collector = Collector("")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Handler.collector.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Handler.collector
        server.shutdown()


def environment(folder: Path, **more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "DATABASE_", "REDIS_"))}
    return {**plain, "ENVIRONMENT": "embedded", "DATA_DIR": str(folder), "LOG_FORMAT": "json", **more}


def python(code: str, env: dict[str, str], **more: Any) -> subprocess.CompletedProcess[str]:
    setup = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'budget_management.settings'; import django; django.setup()"
    )
    return subprocess.run(
        [sys.executable, "-c", f"{setup}\n{code}"],
        env=env,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
        **more,
    )


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data with a database in it."""
    folder = tmp_path_factory.mktemp("migrated")
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, env=environment(folder), cwd=REPOSITORY, timeout=240, check=True)
    return folder


SPEND = """
import datetime, logging
from campaigns.services import catalog, spend, enforce_budget
from campaigns.services.enforcement import enforce_all
now = datetime.datetime.now(datetime.UTC)
brand = catalog.create_brand(name="Secret Brand", now=now, daily_budget="77.77")
campaign = catalog.create_campaign(brand_id=brand.pk, name="Secret Campaign", now=now)
events = [spend.SpendEvent(event_id=f"secret-{at}", campaign_id=campaign.pk, amount="12.345678") for at in "aab"]
spend.record_spend(events, now=now)
enforce_all(now=now)
"""

# --- Off ---------------------------------------------------------------------------------------


@pytest.mark.once
def test_nothing_of_it_is_imported_unless_it_is_wanted(tmp_path: Path) -> None:
    code = "import sys, budget_management.wsgi, campaigns.tasks, campaigns.services.spend\n"
    # Where it is installed, the client of the broker imports a part of it on its own.
    parts = "opentelemetry.exporter", "opentelemetry.instrumentation", "opentelemetry.proto"
    code += f"print([name for name in sys.modules if name.startswith({parts})])"
    assert python(code, environment(tmp_path)).stdout == "[]\n"
    assert "opentelemetry.exporter" in python(code, environment(tmp_path, **{ENDPOINT: "http://127.0.0.1:9"})).stdout


@pytest.mark.once
def test_only_the_gateway_names_it() -> None:
    for package in ("campaigns", "budget_management"):
        for path in (REPOSITORY / package).rglob("*.py"):
            assert path.name == "traces.py" or "opentelemetry" not in path.read_text(), path


@pytest.mark.once
def test_where_it_is_not_installed_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry/__init__.py").write_text("raise ImportError('as if it were not there')")
    env = environment(tmp_path, **{ENDPOINT: "http://127.0.0.1:9", "PYTHONPATH": str(tmp_path)})
    (line,) = python("print('up')", env).stderr.splitlines()
    said = json.loads(line)["message"]
    assert said.startswith(f"{ENDPOINT} is set, but OpenTelemetry is not installed")
    assert "requirements-otel.txt" in said
    assert (REPOSITORY / "requirements-otel.txt").exists()


@pytest.mark.once
@pytest.mark.parametrize("off", [{}, {ENDPOINT: ""}, {ENDPOINT: "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}])
def test_it_is_off(off: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in off.items():
        monkeypatch.setenv(name, value)
    traces.begin()
    assert traces._Tracing.tracer is None
    assert traces.ids() == {}


# --- On ----------------------------------------------------------------------------------------


@pytest.mark.once
def test_a_batch_and_a_pass_are_spans_with_counts_and_nothing_else(migrated: Path, collector: Collector) -> None:
    python(SPEND, environment(migrated, **{ENDPOINT: collector.url}))  # a process that ends sends what it has
    (batch,) = collector.named("record spend")
    ours = {key: value for key, value in batch.attributes.items() if key.startswith(traces.OURS)}
    assert ours == {
        "budget_management.changes": "0",
        "budget_management.recorded": "2",
        "budget_management.duplicate": "1",
    }
    (run,) = collector.named("periodic run")
    assert (run.attributes["budget_management.judged"], run.attributes["budget_management.changed"]) == ("1", "0")
    assert {span.service for span in collector.spans} == {"budget-management"}
    for secret in (b"Secret", b"secret-", b"12.345678", b"12345678", b"77.77", b"77770000"):
        assert secret not in collector.raw


@pytest.mark.once
@pytest.mark.processes
def test_a_served_request_is_a_span_and_its_line_in_the_log_has_its_ids(
    tmp_path: Path, migrated: Path, collector: Collector
) -> None:
    env = environment(
        migrated, **{ENDPOINT: collector.url, "OTEL_SERVICE_NAME": "web", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    )
    port = free_port()
    server = [sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws", "--port", port]
    with running([*server, "budget_management.wsgi:application"], log=tmp_path / "log", environment=env) as web:
        code = f"import urllib.request; urllib.request.urlopen({f'http://127.0.0.1:{port}/healthz?q=secret'!r})"
        web.wait_for("Started worker")
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
        wait_until(lambda: collector.named("GET healthz"), within=30, what="the span of a request")
        (span,) = collector.named("GET healthz")
        (line,) = [json.loads(row) for row in web.output.splitlines() if '"route":"healthz"' in row]
    assert line["trace_id"] == span.trace
    assert len(line["span_id"]) == 16
    assert span.service == "web"
    assert span.attributes["http.route"] == "healthz"
    assert span.attributes.keys() <= traces.ALLOWED
    assert b"secret" not in collector.raw
    assert b"127.0.0.1" not in collector.raw


@pytest.mark.once
@pytest.mark.processes
def test_a_forked_process_sends_its_own(tmp_path: Path, collector: Collector) -> None:
    """As Celery's pool forks, after all is set up."""
    env = environment(tmp_path, **{ENDPOINT: collector.url})
    code = """
import os
from campaigns.gateways import traces
@traces.around("in a fork", lambda result: {"number": result})
def work(): return 7
def child():
    work()
    from celery.signals import worker_process_shutdown
    worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
    os._exit(0)
pid = os.fork()
if not pid: child()
os.waitpid(pid, 0)
"""
    python(code, env)
    (span,) = collector.named("in a fork")
    assert span.attributes == {"budget_management.number": "7"}


@pytest.mark.once
def test_of_an_error_only_the_type_is_told(tmp_path: Path, collector: Collector) -> None:
    code = """
import contextlib
from campaigns.gateways import traces
@traces.around("broken", lambda result: {})
def work(): raise ValueError("secret bk_0123456789ab_")
with contextlib.suppress(ValueError): work()
"""
    python(code, environment(tmp_path, **{ENDPOINT: collector.url}))
    (span,) = collector.named("broken")
    assert (span.attributes, span.events) == ({"error.type": "ValueError"}, 0)
    assert b"secret" not in collector.raw


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_statements_are_spans_within_a_batch_without_their_values(collector: Collector, tmp_path: Path) -> None:
    of = connection.get_connection_params()
    url = f"postgresql://{of['user']}:{of.get('password') or ''}@{of['host']}:{of['port']}/{of['dbname']}"
    python(SPEND, environment(tmp_path, **{ENDPOINT: collector.url, "DATABASE_URL": url}))
    (batch,) = collector.named("record spend")
    within = [span for span in collector.spans if span.trace == batch.trace and span is not batch]
    assert any("campaigns_spendlog" in span.attributes.get("db.statement", "") for span in within)
    assert all(span.attributes.keys() <= traces.ALLOWED for span in within)
    for secret in (b"Secret", b"secret-", b"12.345678", b"12345678", b"77770000"):
        assert secret not in collector.raw


# --- A dead collector --------------------------------------------------------------------------

TIMED = """
import time
from campaigns.gateways import traces
@traces.around("work", lambda result: {})
def work(): pass
began = time.monotonic()
for _ in range(20_000): work()
print(time.monotonic() - began)
"""


@pytest.mark.once
def test_a_dead_collector_holds_up_nobody(tmp_path: Path, collector: Collector) -> None:
    """Beside one that is alive: what is in the way of the work is the same. The queue is bounded, the rest is lost."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as silent:  # takes connections and answers nobody
        urls = collector.url, f"http://127.0.0.1:{silent.server_port}", f"http://127.0.0.1:{free_port()}"
        alive, *dead = (
            float(python(TIMED, environment(tmp_path, **{ENDPOINT: url, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"})).stdout)
            for url in urls
        )
    assert max(dead) < 10 * alive


@pytest.mark.once
def test_the_end_of_a_process_does_not_wait_for_each_message(tmp_path: Path, collector: Collector) -> None:
    """A hundred of them would be left, each with the whole of its time."""
    collector.status = 400
    code = TIMED.replace("20_000", "2_000")
    python(code, environment(tmp_path, **{ENDPOINT: collector.url, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20"}))
    assert 1 <= collector.messages < 20
