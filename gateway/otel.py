"""Spans by the OpenTelemetry SDK, sent to a collector (OTLP over HTTP). The only module that knows that library; it is
imported where spans are wanted and not before.

Nothing here waits for the collector: spans go into a queue that drops what is too much, and a thread of its own sends
them. At the end what is left gets `LAST_SECONDS`.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import gateway
from gateway import logs
from gateway.cards import scrub
from gateway.tracing import OUTGOING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from multidict import CIMultiDictProxy
    from opentelemetry.trace import Span

    from gateway.settings import Tracing
    from gateway.tracing import Said

_log = logs.get("gateway.traces")

SEND_SECONDS = 5.0  # how long one batch is tried, all attempts together
LAST_SECONDS = 2.0
MOST_SPANS = 2048  # waiting: about 2 MB
BATCH_SPANS = 512
EVERY_MS = 1_000
METHODS = frozenset({"PUT", "DELETE", "GET", "POST", "HEAD", "OPTIONS"})
OK = frozenset({"ok", "pending"})
SERVER_ERRORS = 500

TRACEPARENT = "traceparent"
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
_PROPAGATOR = TraceContextTextMapPropagator()


@asynccontextmanager
async def collected(settings: Tracing, *, node: str) -> AsyncIterator[OtelTracer]:
    """Spans are made and sent while the block runs."""
    with _unsaid():
        exporter = _exporter(settings)
        provider = _provider(settings, exporter, node)
        tracer = provider.get_tracer("redaction-gateway", gateway.__version__)
    try:
        yield OtelTracer(tracer)
    finally:
        await _ended(provider, exporter)


@contextmanager
def _unsaid() -> Iterator[None]:
    """What the library would read from the environment is not part of this configuration: headers and certificates for
    the collector, limits, an order to do nothing. It reads them when its parts are made."""
    said = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("OTEL_")}
    try:
        yield
    finally:
        os.environ.update(said)


def _provider(settings: Tracing, exporter: OTLPSpanExporter, node: str) -> TracerProvider:
    resource = {
        "service.name": "redaction-gateway",
        "service.version": gateway.__version__,
        "service.instance.id": node,
    }
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
        resource=Resource(resource),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            Told(exporter),
            max_queue_size=MOST_SPANS,
            schedule_delay_millis=EVERY_MS,
            max_export_batch_size=BATCH_SPANS,
        )
    )
    return provider


def _exporter(settings: Tracing) -> OTLPSpanExporter:
    session = requests.Session()
    session.trust_env = False  # neither proxies nor passwords that lie about
    authorization = settings.authorization
    return OTLPSpanExporter(
        endpoint=settings.endpoint,
        certificate_file=str(settings.ca_file) if settings.ca_file else None,
        headers={"authorization": authorization.get_secret_value()} if authorization else None,
        timeout=SEND_SECONDS,
        compression=Compression.Gzip,
        session=session,
    )


class Told(SpanExporter):
    """Says once when the collector is lost, and when it is back; the library would say it of every batch."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._up = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        before, self._up = self._up, result is SpanExportResult.SUCCESS
        if before and not self._up:
            _log.warning("collector.lost", spans=len(spans))
        if self._up and not before:
            _log.info("collector.reached")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


async def _ended(provider: TracerProvider, exporter: OTLPSpanExporter) -> None:
    """What is left is sent, for a while. A thread that nobody waits for does it: the library would wait half a minute
    for a collector that hangs."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        provider.shutdown()
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=end, name="spans-end", daemon=True).start()
    try:
        async with asyncio.timeout(LAST_SECONDS):
            await done.wait()
    except TimeoutError:
        exporter.shutdown()  # type: ignore[no-untyped-call]  # as the library has it; or it would go on trying


class OtelTracer:
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def request(self, method: str, headers: CIMultiDictProxy[str]) -> Iterator[RequestSpan]:
        known = method if method in METHODS else "_OTHER"
        with self._tracer.start_as_current_span(
            known,
            context=_parent(headers.getall(TRACEPARENT, [])),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": known},
            record_exception=False,  # its text may hold anything
            set_status_on_exception=False,
        ) as span:
            yield RequestSpan(span, known)

    @contextmanager
    def operation(self, backend: str, vendor: str, action: str, said: Said) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            f"{action} {vendor}",
            kind=SpanKind.CLIENT,
            attributes={"gateway.backend": backend, "gateway.vendor": vendor, "gateway.action": action},
            record_exception=False,  # as above
            set_status_on_exception=False,
        ) as span:
            before = OUTGOING.set(_outgoing(span))
            try:
                yield
            finally:
                OUTGOING.reset(before)
                _end(span, said.word, failed=said.word not in OK)

    def exemplar(self) -> dict[str, str] | None:
        context = trace.get_current_span().get_span_context()
        if not context.trace_flags.sampled:
            return None
        return {
            "trace_id": trace.format_trace_id(context.trace_id),
            "span_id": trace.format_span_id(context.span_id),
        }


class RequestSpan:
    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    def answered(self, *, route: str | None, status: int, outcome: str) -> None:
        if route is not None:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        _end(self._span, outcome, failed=status >= SERVER_ERRORS)


def _end(span: Span, outcome: str, *, failed: bool) -> None:
    span.set_attribute("gateway.outcome", outcome)
    if failed:
        span.set_status(Status(StatusCode.ERROR))


def _parent(said: list[str]) -> Context:
    """The caller's span; none for anything but one header of exactly the form, whose ids hold no card number. What
    else callers like to send along (`tracestate`, `baggage`) is free text: it is not read."""
    if len(said) != 1 or not _TRACEPARENT.fullmatch(said[0]) or scrub(said[0]) != said[0]:
        return Context()
    return _PROPAGATOR.extract({TRACEPARENT: said[0]}, context=Context())


def _outgoing(span: Span) -> tuple[tuple[str, str], ...]:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span, Context()))
    return tuple((name, value) for name, value in carrier.items() if name == TRACEPARENT)
