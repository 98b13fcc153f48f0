"""/metrics: what Prometheus reads. Counts come from the broker, the rest is asked for at the moment of the scrape."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from http import HTTPStatus

import redis
from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from campaigns.gateways import broker, meters
from campaigns.gateways.broker import BrokerError
from campaigns.queries.alerts import Outbox, outbox
from campaigns.queries.health import Health, LastRun, health
from campaigns.queries.metrics import Figures, figures
from campaigns.queries.readiness import Check, readiness
from campaigns.views import intervals

FORWARDED = ("X-Forwarded-For", "X-Real-Ip", "Forwarded")
"""What a proxy adds: behind it every visitor has the proxy's address, which may well be a private one."""


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics, to whom may read them; what can't be told at the moment is left out."""
    if not _may_read(request):
        sentence = (
            "Metrics are for private addresses, or for a bearer token: see METRICS_TOKEN in the operations guide.\n"
        )
        return HttpResponse(sentence, status=HTTPStatus.FORBIDDEN, content_type="text/plain; charset=utf-8")
    registry = CollectorRegistry()
    registry.register(_Scrape(timezone.now()))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


def _may_read(request: HttpRequest) -> bool:
    """Whether the token is right; where none is set, whether the asker is near."""
    if settings.METRICS_TOKEN:
        wanted = f"Bearer {settings.METRICS_TOKEN}"
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), wanted.encode())
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        near = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return near.is_private or near.is_loopback


class _Scrape(Collector):
    """All that is told at one moment."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: the registry is for this one answer."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, of what answers."""
        url, due = settings.REDIS_URL, intervals()
        checks = readiness(now=self._now, intervals=due, broker_url=url)
        answers = {check.name: check.ok for check in checks}
        yield from _of_checks(checks)
        if answers["broker"] or settings.METRICS_REDIS_URL is None:
            yield from _of_broker(url)
        if answers["database"] and answers["migrations"]:
            try:
                found = figures(now=self._now)
                yield from _of_figures(found)
                yield from _of_outbox(outbox(now=self._now))
                yield from _of_runs(health(now=self._now, intervals=due, broker_url=url), self._now)
            except Error:
                return  # gone since it was asked; the next scrape tells


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"budget_management_{name}", text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float] | Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"budget_management_{name}", text, labels=[label])
    for which, value in dict(values).items():
        family.add_metric([which], value)
    return family


def _of_checks(checks: Iterable[Check]) -> Iterator[Metric]:
    states = {check.name: int(check.ok) for check in checks}
    yield _gauges("check_ok", "Whether a check of /readyz is passed: 1 or 0.", "check", states)
    yield _gauge("ready", "Whether all checks of /readyz are passed: 1 or 0.", int(all(states.values())))


def _of_broker(url: str) -> Iterator[Metric]:
    """What has been counted, and what waits; nothing if the broker does not answer any more."""
    try:
        yield from meters.collect()
        waiting = broker.look(url)
    except (BrokerError, redis.RedisError, OSError):
        return
    yield _gauge("queue_depth", "Periodic tasks that wait for a worker.", waiting.tasks)
    if waiting.unread is not None:
        yield _gauge("stream_lag", "Messages of the stream that no consumer was given yet.", waiting.unread)
    yield _gauge("stream_pending", "Messages given to a consumer and not settled yet.", waiting.pending)
    yield _gauge("stream_refused", "Messages that were refused and are kept aside.", waiting.refused)


def _of_figures(found: Figures) -> Iterator[Metric]:
    by_status = {"active": found.active, "paused": found.paused}
    by_reason = {reason.code: number for reason, number in found.paused_by.items()}
    yield _gauges("campaigns", "Campaigns that are not archived, by status.", "status", by_status)
    text = "Paused campaigns by reason; one may have several."
    yield _gauges("campaigns_paused", text, "reason", by_reason)
    yield _gauge("holds_open", "Holds that reserve money.", found.holds_open)


def _of_outbox(found: Outbox) -> Iterator[Metric]:
    """What waits to be delivered."""
    yield _gauge("outbox_waiting", "Deliveries of alerts that wait for channels that are on.", found.waiting)
    text = "Time for which the oldest of them has waited."
    yield _gauge("outbox_age_seconds", text, found.oldest.total_seconds())


def _of_runs(found: Health, now: datetime) -> Iterator[Metric]:
    """The last run of each task that came to its end; nothing of a task that never ran."""
    runs = {"enforce": found.last_pass, "reset_daily": found.daily, "reset_monthly": found.monthly}
    runs |= {"check_ledger": found.ledger_check, "pace": found.pacing}
    ended = {task: run for task, run in runs.items() if run is not None}
    text = "Time since the last run that came to its end began."
    yield _gauges("last_run_age_seconds", text, "task", {task: _age(run, now) for task, run in ended.items()})
    text = "Time that the last run took."
    yield _gauges("last_run_seconds", text, "task", {task: run.took.total_seconds() for task, run in ended.items()})
    yield _gauge("late_runs", "Passes of the last 24 hours that began late.", found.late_runs)
    if found.ledger_check is not None:
        text = "Counters that differed from the ledger at the last check."
        yield _gauge("ledger_differences", text, found.ledger_check.changed)


def _age(run: LastRun, now: datetime) -> float:
    return max((now - run.started_at).total_seconds(), 0)
