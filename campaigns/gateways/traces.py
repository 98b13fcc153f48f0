"""Traces by OpenTelemetry for who has a collector: requests, tasks, statements, and what we do within them.

Off unless the environment names a collector; then nothing of OpenTelemetry is imported and a span costs a look at a
variable. What is sent is a list of what may be, not of what may not: routes, statements without their values, counts
and outcomes. No address, header, body, key, amount or name of a person leaves, whatever a library notes of its own.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.trace import Tracer

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

NAME = "budget-management"
"""What the product is called in a collector, unless OTEL_SERVICE_NAME says otherwise."""

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
MISSING = (
    "{} is set, but OpenTelemetry is not installed, so there are no traces; install it with "
    "pip install --require-hashes -r requirements-otel.txt, or unset the variable."
)
PATIENCE_SECONDS = 3.0
"""How long one message to the collector may take, and so a process at its end where the collector is dead."""

ALLOWED = frozenset(
    {
        *("http.method", "http.request.method", "http.route", "http.status_code", "http.response.status_code"),
        *("db.system", "db.system.name", "db.statement", "db.query.text", "db.operation.name"),
        *("celery.action", "celery.state", "celery.task_name", "messaging.destination", "messaging.destination.name"),
        *("error.type", "exception.type"),
    }
)
"""Attributes of the libraries' spans that are sent; of ours all are."""

OURS = f"{NAME.replace('-', '_')}."
LONGEST = 2_000
"""The most characters of a statement."""


class _Tracing:
    """What this process traces with, if it does."""

    tracer: Tracer | None = None
    provider: TracerProvider | None = None


def begin() -> None:
    """Send traces of this process from here on, if the environment names a collector.

    Once a process: a fork takes the settings along, and gets a thread of its own that sends.
    """
    wanted = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if wanted is None or _Tracing.tracer is not None or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.instrumentation.celery
        import opentelemetry.instrumentation.django
        import opentelemetry.instrumentation.psycopg
        import opentelemetry.instrumentation.redis
        import opentelemetry.sdk.trace  # noqa: F401 - all of them, or none is used
    except ImportError:
        logger.warning(MISSING.format(wanted))
        return
    _begin()


def around(name: str, counts: Callable[[R], Mapping[str, int]]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that makes a span of each call, with the counts that its result gives."""

    def decorate(work: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(work)
        def traced(*args: P.args, **kwargs: P.kwargs) -> R:
            if _Tracing.tracer is None:
                return work(*args, **kwargs)
            with _Tracing.tracer.start_as_current_span(name) as span:
                result = work(*args, **kwargs)
                span.set_attributes({OURS + key: value for key, value in counts(result).items()})
                return result

        return traced

    return decorate


def ids() -> dict[str, str]:
    """Return the ids of the trace and the span that are at work here, as a line of the log has them."""
    if _Tracing.tracer is None:
        return {}
    from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}


def flush() -> None:
    """Send what waits to be sent, for a process that ends without the interpreter's farewell, in which it is sent."""
    if _Tracing.provider is not None:
        _Tracing.provider.force_flush(int(PATIENCE_SECONDS * 1_000))


def _begin() -> None:
    from opentelemetry import trace
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    provider = _provider()
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument()
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]  # it says nothing of its constructor
    PsycopgInstrumentor().instrument(skip_dep_check=True)  # psycopg comes as psycopg[binary], which it does not know
    RedisInstrumentor().instrument()
    _Tracing.provider = provider
    _Tracing.tracer = trace.get_tracer(NAME)


def _provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
    from opentelemetry.trace import SpanKind, get_current_span

    class Exporter(OTLPSpanExporter):
        """Sends what may be sent.

        What comes soon after a message that nobody took is lost untried: a process at its end has several of them
        left, and would wait for each.
        """

        _again_at = 0.0

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            if time.monotonic() < self._again_at:
                return SpanExportResult.FAILURE
            result = super().export([_allowed(span) for span in spans])
            if result is not SpanExportResult.SUCCESS:
                self._again_at = time.monotonic() + PATIENCE_SECONDS
            return result

    class WithoutLonelyCalls(Sampler):
        """Leaves out calls to the broker and the database that nothing of ours makes: waiting for tasks, counting."""

        def __init__(self, usual: Sampler) -> None:
            self._usual = usual

        def should_sample(self, parent_context: Any, *args: Any, **kwargs: Any) -> SamplingResult:
            kind = kwargs.get("kind") or (args[2] if len(args) > 2 else None)
            if kind is SpanKind.CLIENT and not get_current_span(parent_context).get_span_context().is_valid:
                return SamplingResult(Decision.DROP)
            return self._usual.should_sample(parent_context, *args, **kwargs)

        def get_description(self) -> str:
            return f"WithoutLonelyCalls({self._usual.get_description()})"

    name = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: NAME}
    provider = TracerProvider(resource=Resource.create(name))
    provider.sampler = WithoutLonelyCalls(provider.sampler)
    told = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{of}TIMEOUT") for of in ("", "TRACES_"))
    provider.add_span_processor(BatchSpanProcessor(Exporter(timeout=None if told else PATIENCE_SECONDS)))
    return provider


def _allowed(span: ReadableSpan) -> ReadableSpan:
    """A span without what may not be sent; of an error only its type is told."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Status

    kept: dict[str, Any] = {
        key: value[:LONGEST] if isinstance(value, str) else value
        for key, value in (span.attributes or {}).items()
        if key in ALLOWED or key.startswith(OURS)
    }
    errors = [(event.attributes or {}).get("exception.type") for event in span.events]
    if error := next((str(error) for error in errors if error), ""):
        kept.setdefault("error.type", error)
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=kept,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
