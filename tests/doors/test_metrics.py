"""/metrics: what is counted, that the counts of all processes come together, and who may read them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from campaigns.gateways import meters
from campaigns.models import PeriodicRun, Scope
from campaigns.queries.metrics import figures
from campaigns.services import holds
from campaigns.services.enforcement import enforce_all
from campaigns.services.holds import HoldAsk
from campaigns.services.keys import create_key
from campaigns.services.spend import record_spend
from tests import factories, servers
from tests.servers import REPOSITORY

pytestmark = pytest.mark.django_db(transaction=True)

Labels = frozenset[tuple[str, str]]
EVENTS = "budget_management_spend_events_total"


@pytest.fixture(autouse=True)
def broker(settings: Any, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let this process send to a real broker, which is empty and has not been told of what was counted before."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    settings.REDIS_URL = settings.METRICS_REDIS_URL = valkey_url
    monkeypatch.setattr(meters._sender, "_running", True)  # no thread: a test says when something is sent
    monkeypatch.setattr(meters._sender, "_sent", meters._samples())
    return valkey_url


def scrape(**extra: Any) -> dict[tuple[str, Labels], float]:
    """Every sample of a scrape, by its name and labels."""
    answer = Client().get("/metrics", **extra)
    assert answer.status_code == 200, answer.content
    assert "no-store" in answer["Cache-Control"]
    families = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in families}) == len(families), "a metric came twice"
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def sample(name: str, **labels: str) -> float | None:
    return scrape().get((name, frozenset(labels.items())))


def events(door: str) -> dict[str, float]:
    """How many events came through a door, by outcome."""
    found = scrape()
    return {outcome: found[EVENTS, frozenset({("door", door), ("outcome", outcome)})] for outcome in meters.OUTCOMES}


# --- What is counted -------------------------------------------------------------------------


def test_events_of_the_api_are_counted_by_outcome() -> None:
    campaign = factories.campaign()
    _, key = create_key(name="reporter", scopes=[Scope.SPEND], now=timezone.now())
    first = {"event_id": "a", "campaign_id": campaign.pk, "amount": "1.00"}
    sent = [first, first, {**first, "amount": "2.00"}, {**first, "event_id": "b", "amount": "-1"}, {"event_id": 7}]
    answer = Client().post(
        "/api/v1/spend-events",
        json.dumps({"events": sent}),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 200, answer.content
    assert events("api") == {"recorded": 1, "duplicate": 1, "conflict": 1, "rejected": 2}
    assert sample("budget_management_spend_batch_seconds_count") == 1
    assert sample("budget_management_spend_lag_seconds_count") == 1


def test_a_verdict_is_timed_when_spend_changes_a_status() -> None:
    campaign = factories.campaign(daily_budget=5, now=timezone.now())
    factories.spend(campaign, 4, now=timezone.now())
    assert sample("budget_management_verdict_seconds_count") == 0
    factories.spend(campaign, 1, now=timezone.now())
    assert sample("budget_management_verdict_seconds_count") == 1
    assert sample("budget_management_spend_batch_seconds_count") == 2


def test_the_lag_is_that_of_the_event_and_of_few_of_a_batch() -> None:
    campaign, now = factories.campaign(), timezone.now()
    factories.spend(campaign, 1, now=now, at=now - timedelta(minutes=10))
    found = scrape()
    assert found["budget_management_spend_lag_seconds_sum", frozenset()] == 600
    assert found["budget_management_spend_lag_seconds_bucket", frozenset({("le", "300.0")})] == 0
    assert found["budget_management_spend_lag_seconds_bucket", frozenset({("le", "900.0")})] == 1
    record_spend([factories.event(campaign, at=now) for _ in range(1_000)], now=now)
    assert sample("budget_management_spend_lag_seconds_count") == 1 + meters.MOST_LAGS


def test_events_of_the_stream_are_counted(broker: str) -> None:
    campaign = factories.campaign()
    with redis.Redis.from_url(broker) as client:
        for amount in ("1", "x"):
            client.xadd("spend-events", {"event_id": f"s{amount}", "campaign_id": str(campaign.pk), "amount": amount})
        client.xadd("spend-events", {"event_id": "no campaign", "amount": "1"})
    call_command("consume_spend", "--drain", "--url", broker, verbosity=0)
    assert events("stream") == {"recorded": 1, "duplicate": 0, "conflict": 0, "rejected": 2}
    assert sample("budget_management_stream_refused") == 2
    assert sample("budget_management_stream_pending") == 0
    with redis.Redis.from_url(broker) as client:
        client.xadd("spend-events", {"event_id": "waits"})
    assert sample("budget_management_stream_lag") == 1


@pytest.mark.parametrize(("options", "recorded"), [((), 2), (("--dry-run",), 0)], ids=["for good", "dry run"])
def test_rows_of_an_import_are_counted_unless_it_is_a_dry_run(
    options: tuple[str, ...], recorded: int, tmp_path: Path
) -> None:
    campaign = factories.campaign()
    today = timezone.now().date()
    report = tmp_path / "report.csv"
    lines = [f"{campaign.pk},{today - timedelta(days=days)},{cost}" for days, cost in ((1, 5), (2, 6), (3, "x"))]
    report.write_text("\n".join(["campaign_id,date,cost", *lines]) + "\n")
    with pytest.raises(CommandError, match="1 of 3 rows"):
        call_command("import_spend", str(report), *options, verbosity=0)
    assert events("import") == {"recorded": recorded, "duplicate": 0, "conflict": 0, "rejected": recorded // 2}


def test_runs_are_counted_and_the_last_one_is_told() -> None:
    factories.campaign()
    enforce_all(now=timezone.now() - timedelta(seconds=7))
    found = scrape()
    of = frozenset({("task", "enforce")})
    assert found["budget_management_run_seconds_count", of] == 1
    assert found["budget_management_run_judged_total", of] == 1
    assert 7 <= found["budget_management_last_run_age_seconds", of] < 17
    assert ("budget_management_last_run_age_seconds", frozenset({("task", "check_ledger")})) not in found


def test_every_task_has_its_series() -> None:
    assert set(meters.TASKS) == set(PeriodicRun.Task.values)


def test_requests_are_counted_by_route_and_not_by_address() -> None:
    for address in ("/api/v1/campaigns/1", "/api/v1/campaigns/2", "/made/up/1", "/made/up/2"):
        Client().get(address)
    Client().generic("BREW", "/made/up/3")
    requests = {labels for name, labels in scrape() if name == "budget_management_http_requests_total"}
    assert frozenset({("method", "GET"), ("route", "none"), ("status", "4xx")}) in requests
    assert frozenset({("method", "other"), ("route", "none"), ("status", "4xx")}) in requests
    of = {"method": "GET", "route": "api/v1/campaigns/<int:campaign_id>", "status": "4xx"}
    assert sample("budget_management_http_requests_total", **of) == 2
    assert "made/up" not in str(requests)


def test_campaigns_and_holds_are_told() -> None:
    now = timezone.now()
    running = factories.campaign(now=now)
    spent = factories.campaign(daily_budget=1, now=now)
    factories.spend(spent, 1, now=now)
    ask = HoldAsk(key="k", campaign_id=running.pk, amount=3, ttl_seconds=60)
    holds.place_holds([ask], now=now)
    assert sample("budget_management_campaigns", status="active") == 1
    assert sample("budget_management_campaigns", status="paused") == 1
    assert sample("budget_management_campaigns_paused", reason="campaign_daily_budget") == 1
    assert sample("budget_management_campaigns_paused", reason="manual") == 0
    assert sample("budget_management_holds_open") == 1
    assert figures(now=now + timedelta(minutes=2)).holds_open == 0  # expired, swept or not


def test_the_figures_take_two_statements() -> None:
    for _ in range(3):
        factories.campaign()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        figures(now=timezone.now())
    assert len(queries) == 2


# --- Of all processes ------------------------------------------------------------------------


def test_counts_of_other_processes_are_told_too(environment: dict[str, str]) -> None:
    campaign = factories.campaign(now=timezone.now())
    for event in ("one", "two", "two"):
        command = [sys.executable, "manage.py", "log_spend", str(campaign.pk), "1", "--event-id", event]
        subprocess.run(command, env=environment, cwd=REPOSITORY, check=True, capture_output=True, timeout=60)
    assert events("command") == {"recorded": 2, "duplicate": 1, "conflict": 0, "rejected": 0}
    assert sample("budget_management_spend_batch_seconds_count") == 3


def test_a_child_does_not_send_what_its_parent_has_counted(broker: str) -> None:
    meters.count_events("command", {"recorded": 5})
    child = meters.Sender()
    child.forked()
    meters.count_events("command", {"recorded": 2})
    child.send(broker)
    with redis.Redis.from_url(broker) as client:
        field = meters._field(EVENTS, {"door": "command", "outcome": "recorded"})
        assert client.hget(meters.KEY, field) == b"2"


def test_what_could_not_be_sent_is_sent_later(settings: Any, broker: str) -> None:
    settings.REDIS_URL = settings.METRICS_REDIS_URL = f"redis://127.0.0.1:{servers.free_port()}/0"
    meters.count_events("command", {"recorded": 3})
    found = scrape()
    assert found["budget_management_check_ok", frozenset({("check", "broker")})] == 0
    assert found["budget_management_ready", frozenset()] == 0
    assert not [name for name, _ in found if name.startswith("budget_management_spend")]  # no sum is better than a part
    assert ("budget_management_holds_open", frozenset()) in found
    settings.REDIS_URL = settings.METRICS_REDIS_URL = broker
    assert events("command")["recorded"] == 3


def test_without_a_broker_of_its_own_a_process_tells_its_own_counts(settings: Any) -> None:
    settings.METRICS_REDIS_URL = None
    settings.REDIS_URL = f"redis://127.0.0.1:{servers.free_port()}/0"
    before = events("command")["recorded"]
    meters.count_events("command", {"recorded": 2})
    assert events("command")["recorded"] == before + 2


# --- Who may read it, and what it never tells ------------------------------------------------

FAR, NEAR = "198.51.100.7", "10.1.2.3"
PUBLIC = "8.8.8.8"


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        (NEAR, {}, 200),
        (PUBLIC, {}, 403),
        ("2a00:1450:4001::1", {}, 403),
        ("", {}, 403),
        (NEAR, {"X-Forwarded-For": NEAR}, 403),  # a proxy's address is nobody's
        (NEAR, {"Forwarded": "for=8.8.8.8"}, 403),
        (PUBLIC, {"X-Forwarded-For": NEAR}, 403),
        (PUBLIC, {"Authorization": "Bearer "}, 403),
    ],
)
def test_without_a_token_only_who_is_near_may_read(address: str, headers: dict[str, str], status: int) -> None:
    assert Client().get("/metrics", REMOTE_ADDR=address, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("sent", "status"),
    [("", 403), ("Bearer wrong", 403), ("Bearer a-long-token", 200), ("a-long-token", 403), ("Bearer é", 403)],
)
@pytest.mark.parametrize("address", ["127.0.0.1", PUBLIC])
def test_with_a_token_only_who_has_it(settings: Any, address: str, sent: str, status: int) -> None:
    settings.METRICS_TOKEN = "a-long-token"
    answer = Client().get("/metrics", REMOTE_ADDR=address, headers={"Authorization": sent})
    assert answer.status_code == status
    assert b"a-long-token" not in answer.content


def test_it_names_no_brand_and_no_campaign() -> None:
    brand = factories.brand(name="Telltale Brand")
    campaign = factories.campaign(brand, name="Telltale Campaign", daily_budget=1)
    factories.spend(campaign, 2)
    text = Client().get("/metrics").text
    assert "elltale" not in text
    assert "redis://" not in text


def test_counting_costs_next_to_nothing() -> None:
    """What one POST of one event pays: under a tenth of a millisecond, with a broad margin for a busy machine."""
    import timeit

    def one() -> None:
        meters.count_events("api", {"recorded": 1})
        meters.observe_batch(0.001, changed=False)
        meters.observe_lags([0.5])
        meters.observe_request("POST", "api/v1/spend-events", "2xx", area="api", seconds=0.001)

    best: Callable[[], float] = lambda: min(timeit.repeat(one, number=1_000, repeat=5)) / 1_000  # noqa: E731 - once
    assert best() < 0.000_1
