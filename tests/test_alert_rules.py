"""The alert rules and the dashboard ask for nothing that /metrics does not tell: held against a running product."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from prometheus_client.parser import text_string_to_metric_families

from campaigns.management import probe
from tests import factories
from tests.servers import REPOSITORY, free_port, running, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

RULES = REPOSITORY / "deploy/prometheus/alerts.yml"
DASHBOARD = REPOSITORY / "deploy/grafana/budget_management.json"
NAME = re.compile(r"\bbudget_management_\w+")
MATCHER = re.compile(r"(budget_management_\w+)\{([^}]*)\}")


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> list[str]:
    return [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels() for target in panel["targets"]]


@pytest.fixture
def product(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a running web, and a worker that has run a pass and a ledger check, as two processes."""
    factories.spend(factories.campaign(), 1)
    User.objects.create_user("somebody")
    port = free_port()
    environment |= {"ENFORCE_INTERVAL_SECONDS": "1", "ROLLOVER_INTERVAL_SECONDS": "1"}
    environment |= {"LEDGER_CHECK_INTERVAL_SECONDS": "1"}
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "budget_management"]
    web = [sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws", "--workers", "2", "--port", str(port)]
    web += ["budget_management.wsgi:application"]
    with (
        running([*celery, "worker", "--pool", "threads"], log=tmp_path / "worker", environment=environment),
        running([*celery, "beat", "--pidfile="], log=tmp_path / "beat", environment=environment),
        running(web, log=tmp_path / "web", environment=environment),
    ):
        wait_until(lambda: probe.answers(port), within=60, what="the web answers")
        yield f"http://127.0.0.1:{port}"


def samples(address: str) -> dict[str, list[dict[str, str]]]:
    """The labels of each sample's name."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:  # noqa: S310 - an address of ours
        found: dict[str, list[dict[str, str]]] = {}
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.labels)
        return found


def ran_once(found: dict[str, list[dict[str, str]]]) -> bool:
    """Whether everything that /metrics tells of past runs and requests has happened."""
    return {"budget_management_ledger_differences", "budget_management_http_requests_total"} <= found.keys()


@pytest.mark.processes
def test_every_metric_that_is_asked_for_is_there_with_the_values_of_its_labels(product: str) -> None:
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(asked) > 15
    # The first scrape may come before the first ledger check, and knows of no request before it.
    wait_until(lambda: ran_once(samples(product)), within=30, every=0.5, what="pass and ledger check")
    found = samples(product)
    assert asked <= found.keys(), asked - found.keys()
    for expression in expressions():
        for name, matchers in MATCHER.findall(expression):
            for label, operator, value in re.findall(r'(\w+)(=~|=|!=|!~)"([^"]*)"', matchers):
                told = {labels.get(label) for labels in found[name]}
                assert None not in told, f"{name} has no label {label}"
                if label not in {"status", "route"} and operator.startswith("="):  # which have come by then is chance
                    assert set(value.split("|")) <= told, f"{name}: {label} is never {value}"


def test_the_labels_that_a_legend_names_are_kept_by_its_expression() -> None:
    for panel in panels():
        for target in panel["targets"]:
            kept = re.search(r"by \(([^)]*)\)", target["expr"])
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert kept is None or label in kept[1], f"{panel['title']}: {label}"


def test_the_rules_can_be_loaded() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) >= 8
    for rule in rules():
        assert rule["expr"].count("(") == rule["expr"].count(")"), rule["alert"]
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s")), rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")


def test_the_dashboard_can_be_loaded() -> None:
    assert len(panels()) >= 12
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        assert panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    assert "http" not in DASHBOARD.read_text().replace("budget_management_http", "")
