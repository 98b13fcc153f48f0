"""What the processes count for /metrics: each in its own memory, and all of them together at the broker.

A count is an addition in memory, so whoever counts waits for nobody. Once a second a thread of each process adds what
is new to one hash at the broker; whoever is asked for the metrics reads that hash, and so tells of all web processes,
workers and consumers on whatever machine. A process that is killed takes at most a second of its counts along: these
are for watching, the ledger is for counting.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec
import prometheus_client
import redis
from django.conf import settings
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric

from campaigns.gateways import broker

logger = logging.getLogger(__name__)

Outcome = TypeVar("Outcome", bound=str)

KEY = "budget_management:metrics:1"
"""The hash at the broker. Where a metric changes its buckets it needs another number: sums of both would make none."""

SEND_SECONDS = 1.0

MOST_LAGS = 16
"""Events of a batch whose lag is observed, evenly chosen: the cost of a batch must not grow by watching it."""

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAGS = (1, 5, 15, 60, 300, 900, 3_600, 6 * 3_600, 24 * 3_600, 7 * 24 * 3_600)
_RUNS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

DOORS = ("api", "stream", "import", "command")
OUTCOMES = ("recorded", "duplicate", "conflict", "rejected")
CHANNELS = ("webhook", "email", "apprise")
ATTEMPTS = ("delivered", "failed", "given_up")
TASKS = ("enforce", "reset_daily", "reset_monthly", "check_ledger", "pace")

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the moment a process started says nothing about all of them
REGISTRY = CollectorRegistry()

_EVENTS = Counter(
    "budget_management_spend_events",
    "Spend events by what became of them and the door they came through.",
    ["door", "outcome"],
    registry=REGISTRY,
)
_BATCHES = Histogram(
    "budget_management_spend_batch_seconds",
    "Time to record a batch of spend events, commit and verdicts included.",
    buckets=FAST,
    registry=REGISTRY,
)
_LAG = Histogram(
    "budget_management_spend_lag_seconds",
    f"Time from a spend event's occurrence to its recording, of at most {MOST_LAGS} events of each batch.",
    buckets=_LAGS,
    registry=REGISTRY,
)
_VERDICTS = Histogram(
    "budget_management_verdict_seconds",
    "Time from the arrival of spend that changed a status until the change was committed with it.",
    buckets=FAST,
    registry=REGISTRY,
)
_RUN = Histogram(
    "budget_management_run_seconds", "Time a periodic run took.", ["task"], buckets=_RUNS, registry=REGISTRY
)
_JUDGED = Counter(
    "budget_management_run_judged",
    "What periodic runs looked at: campaigns, or the counters of a ledger check.",
    ["task"],
    registry=REGISTRY,
)
_CHANGED = Counter(
    "budget_management_run_changed",
    "Statuses that periodic runs changed, or differences that a ledger check found.",
    ["task"],
    registry=REGISTRY,
)
_REQUESTS = Counter(
    "budget_management_http_requests",
    "Requests by method, route and class of the answer's status.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
_ANSWERS = Histogram(
    "budget_management_http_request_seconds",
    "Time to answer a request, by part of the site.",
    ["area"],
    buckets=FAST,
    registry=REGISTRY,
)

_DELIVERIES = Counter(
    "budget_management_alert_attempts",
    "Attempts to deliver an alert by the type of channel and what became of them.",
    ["channel", "outcome"],
    registry=REGISTRY,
)

# Looked up once: to find a metric by its labels costs four times what it takes to add to it.
_events = {(door, outcome): _EVENTS.labels(door, outcome) for door in DOORS for outcome in OUTCOMES}
_runs = {task: (_RUN.labels(task), _JUDGED.labels(task), _CHANGED.labels(task)) for task in TASKS}
_answers = {area: _ANSWERS.labels(area) for area in ("api", "admin", "other")}
_deliveries = {(type_, outcome): _DELIVERIES.labels(type_, outcome) for type_ in CHANNELS for outcome in ATTEMPTS}
_requests: dict[tuple[str, str, str], Counter] = {}


# --- Counting --------------------------------------------------------------------------------


def count_events(door: str, outcomes: Mapping[Outcome, int]) -> None:
    """Count spend events by outcome, which came through a door: api, stream, import or command."""
    for outcome, number in outcomes.items():
        if number:
            _events[door, outcome].inc(number)
    _sender.awake()


def observe_batch(seconds: float, *, changed: bool) -> None:
    """Note the time that a batch of spend took until its commit. changed: whether it changed a status."""
    _BATCHES.observe(seconds)
    if changed:
        _VERDICTS.observe(seconds)
    _sender.awake()


def observe_lags(seconds: Sequence[float]) -> None:
    """Note how long ago spend events occurred when they were recorded."""
    for lag in seconds:
        _LAG.observe(max(lag, 0))  # a reporter's clock may be ahead of ours


def observe_run(task: str, seconds: float, *, judged: int, changed: int) -> None:
    """Note a periodic run that came to its end."""
    times, counted, differing = _runs[task]
    times.observe(seconds)
    counted.inc(judged)
    differing.inc(changed)
    _sender.awake()


def count_delivery(channel: str, outcome: str) -> None:
    """Count an attempt to deliver an alert: delivered, failed (it is tried again) or given up."""
    _deliveries[channel, outcome].inc()
    _sender.awake()


def observe_request(method: str, route: str, status: str, *, area: str, seconds: float) -> None:
    """Note an answered request. method, route and status have to be among few: each combination is a series."""
    key = (method, route, status)
    counter = _requests.get(key)
    if counter is None:
        counter = _requests[key] = _REQUESTS.labels(method, route, status)
    counter.inc()
    _answers[area].observe(seconds)
    _sender.awake()


# --- Sending ---------------------------------------------------------------------------------


class Sender:
    """Adds to the hash at the broker what this process has counted since it last did."""

    def __init__(self) -> None:
        self._running = False
        self._lock = threading.Lock()
        self._sent: dict[str, float] = {}
        self._stop = threading.Event()

    def awake(self) -> None:
        """Begin to send, unless it has begun or no broker is set. Costs next to nothing afterwards."""
        if not self._running:
            self._begin()

    def _begin(self) -> None:
        with self._lock:
            if self._running:
                return  # another thread was first
            if settings.METRICS_REDIS_URL is not None:
                threading.Thread(
                    target=self._run, args=[settings.METRICS_REDIS_URL], daemon=True, name="meters"
                ).start()
                atexit.register(self.finish, settings.METRICS_REDIS_URL)  # a short command would tell nothing
            self._running = True

    def send(self, url: str) -> None:
        """Send what is new. Raises redis.RedisError; then it is sent the next time."""
        with self._lock, broker.connect(url) as client:
            self._send(client)

    def finish(self, url: str) -> None:
        """Send what is new, or nothing if the broker does not answer."""
        self._stop.set()
        try:
            self.send(url)
        except (redis.RedisError, OSError):
            logger.debug("The last counts could not be sent.", exc_info=True)

    def forked(self) -> None:
        """Begin anew in a child, in which no thread of its parent runs; the parent sends what it has counted."""
        self.__init__()  # type: ignore[misc]  # locks and threads of the parent are of no use here
        self._sent = _samples()

    def _run(self, url: str) -> None:
        client = broker.connect(url)
        while not self._stop.wait(SEND_SECONDS):
            try:
                with self._lock:
                    self._send(client)
            except (redis.RedisError, OSError):  # the scrape tells that the broker is gone
                logger.debug("Counts could not be sent; they are sent later.", exc_info=True)

    def _send(self, client: redis.Redis) -> None:
        samples = _samples()
        news = {field: value - self._sent.get(field, 0) for field, value in samples.items()}
        with client.pipeline(transaction=True) as pipeline:
            for field, amount in news.items():
                if amount:
                    pipeline.hincrbyfloat(KEY, field, amount)
            if len(pipeline):
                pipeline.execute()
        self._sent = samples


def _samples() -> dict[str, float]:
    """What this process has counted, by the fields of the hash."""
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return {_field(sample.name, sample.labels): sample.value for sample in samples}


def _field(name: str, labels: Mapping[str, str]) -> str:
    return msgspec.json.encode([name, labels], order="sorted").decode()


_sender = Sender()
os.register_at_fork(after_in_child=_sender.forked)


# --- Reading ---------------------------------------------------------------------------------


def collect() -> list[Metric]:
    """Return what all processes have counted; without a broker, what this one has.

    Raises redis.RedisError when the broker does not answer: the counts of one process in place of all would look like
    a restart.
    """
    url = settings.METRICS_REDIS_URL
    if url is None:
        return list(REGISTRY.collect())
    _sender.send(url)
    with broker.connect(url) as client:
        fields: dict[bytes, bytes] = client.hgetall(KEY)
    totals = {field: Decimal(value.decode()) for field, value in fields.items()}
    return [_added_up(metric, totals) for metric in REGISTRY.collect()]


def _added_up(metric: Metric, totals: Mapping[bytes, Decimal]) -> Metric:
    """A metric with the sums of all processes, nought where nobody has counted anything."""
    own = {_field(sample.name, sample.labels).encode(): Decimal(0) for sample in metric.samples}
    found = Metric(metric.name, metric.documentation, metric.type)
    names = {f"{metric.name}{suffix}" for suffix in ("_total", "_bucket", "_count", "_sum")}
    rows = []
    for field, value in {**own, **totals}.items():
        name, labels = msgspec.json.decode(field, type=tuple[str, dict[str, str]])
        if name in names:
            rows.append((name, labels, value))
    for name, labels, value in sorted(rows, key=_order):
        found.add_sample(name, labels, value)  # type: ignore[arg-type]  # it is written as a float
    return found


def _order(row: tuple[str, dict[str, str], Decimal]) -> tuple[list[tuple[str, str]], str, Decimal]:
    """Buckets in the order of their bounds, those of one histogram beside each other."""
    name, labels, _ = row
    others = sorted((key, value) for key, value in labels.items() if key != "le")
    return others, name, Decimal(labels.get("le", "0"))
