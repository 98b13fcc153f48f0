"""The audit of dependencies says what it knows, fails for what is bad, and never passes off nothing for well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import audit

ROOT = Path(__file__).parent.parent
NOBODY = "http://127.0.0.1:9/"
"""Where nobody answers; the discard port."""

pytestmark = pytest.mark.once


class _Advisories(BaseHTTPRequestHandler):
    """Answers as an advisory service does: for one version of one package it knows something."""

    bad = ""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = [{"id": "X-2025-1", "summary": "bad", "affected": []}] if asked["package"]["name"] == self.bad else []
        body = json.dumps({"vulns": known} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def run(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", **variables}
    command = [sys.executable, "-m", "tests.audit", "--vulnerability-service", "osv", *options]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_where_nobody_answers_it_says_so_and_the_build_goes_on() -> None:
    ran = run("--osv-url", NOBODY, AUDIT="")
    assert (ran.returncode, ran.stdout) == (
        0,
        "Dependencies were NOT audited: no advisory service could be reached.\n",
    )


def test_where_an_audit_is_required_and_nobody_answers_it_fails() -> None:
    ran = run("--osv-url", NOBODY, AUDIT="required")
    assert ran.returncode == 1
    assert "NOT audited" in ran.stdout


def test_what_is_known_fails_it(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Advisories, "bad", "django")
    ran = run("--osv-url", service, AUDIT="")
    assert ran.returncode == 1
    assert "  django 5.2" in ran.stdout
    assert "X-2025-1" in ran.stdout


def test_all_is_well_when_all_were_asked_about(service: str) -> None:
    ran = run("--osv-url", service, AUDIT="required")
    assert ran.returncode == 0
    assert "no advisory is known" in ran.stdout
    number = int(ran.stdout.split()[0])
    assert number >= (ROOT / "requirements.txt").read_text().count("==") // 2


@pytest.mark.parametrize(
    ("dependencies", "said", "well"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], "1 dependencies were audited", True),
        ([{"name": "a", "skip_reason": "not found"}], "1 of 1 dependencies were NOT audited", None),
        ([{"name": "a", "skip_reason": "x"}, {"name": "b", "version": "1", "vulns": []}], "1 of 2", None),
        ([{"name": "a", "skip_reason": "x"}, {"name": "b", "version": "1", "vulns": [{"id": "Y"}]}], "b 1: Y", False),
        ([], "0 of 0", None),
    ],
)
def test_what_was_skipped_was_not_audited(dependencies: list[dict[str, object]], said: str, well: bool | None) -> None:
    text, verdict = audit.verdict(dependencies)
    assert said in text
    assert verdict is well


def test_make_test_audits() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [parts] = [line for line in makefile.splitlines() if line.startswith("test: ")]
    assert " audit " in parts
    assert "-m tests.audit" in makefile
