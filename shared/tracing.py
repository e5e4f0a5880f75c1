"""Traces, by OpenTelemetry: off, and not even imported, where its own variables name no collector.

Whatever is wrong with them is one line in the log: it keeps nobody from serving.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

MOST_STATE = 512
"""Bytes of a client's `tracestate` that travel with its job; a longer one is left behind, as W3C allows."""
LONGEST_ATTRIBUTE = 1024
"""Characters of a text that a span tells, unless OpenTelemetry's own variables say otherwise."""
_AT_ONCE = 128
"""Spans that are sent at once, unless those say so: some milliseconds of encoding, for which nobody else is served."""
_FAREWELL = 1.0
"""Seconds that the end of a process waits for a collector to take the last spans."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_BATCHES = ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_MAX_QUEUE_SIZE")

Carried = tuple[str, str]
"""Where in which trace something belongs: W3C's `traceparent` and `tracestate`, empty where it is in none."""
NOWHERE: Carried = "", ""

_process: Tracing | None = None


def begin(part: str) -> None:
    """Trace this process from now on, if that is wanted: after it was forked, and patched."""
    global _process
    if _process is not None or not _wanted(os.environ):
        return
    try:
        _process = Tracing(part)
    except ImportError as exc:
        log.warning("no traces, for they need `pip install 'inferq[otel]'`: %s", exc)
    except Exception as exc:  # noqa: BLE001  # whatever OpenTelemetry says of its variables
        log.warning("no traces: OpenTelemetry cannot begin: %s", exc)
    else:
        log.info("traces go to %s", next(filter(None, map(os.environ.get, _ENDPOINTS)), "http://localhost:4318"))


def end() -> None:
    """Send what there is, unless the collector is slow to take it."""
    global _process
    if _process is not None:
        _process.end()
        _process = None


def here() -> Tracing | None:
    """None where this process is not traced."""
    return _process


def trace_id(traceparent: str) -> str:
    """What logs call the trace; empty where there is none."""
    return traceparent[3:35]


def _wanted(environ: Mapping[str, str]) -> bool:
    exporter = environ.get("OTEL_TRACES_EXPORTER", "")
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    if not exporter and not any(map(environ.get, _ENDPOINTS)):
        return False
    protocol = next(filter(None, map(environ.get, _PROTOCOLS)), "http/protobuf")
    if exporter in ("", "otlp") and protocol == "http/protobuf":
        return True
    log.warning("no traces: they go out by otlp in http/protobuf alone, not by %s in %s", exporter or "otlp", protocol)
    return False


class Tracing:
    """The tracer of one process, and all that is asked of OpenTelemetry."""

    def __init__(self, part: str) -> None:
        """Raises ImportError without OpenTelemetry, and whatever that says of its variables."""
        from opentelemetry import propagate, trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk import resources
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        from shared.span_export import Announcing, Ids

        own: dict[str, Any] = {"service.name": f"inferq-{part}", "service.version": VERSION}
        own |= {"host.name": socket.gethostname(), "process.pid": os.getpid()}
        given = resources.OTELResourceDetector().detect().attributes
        length = int(os.environ.get("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT") or LONGEST_ATTRIBUTE)
        most = None if any(map(os.environ.get, _BATCHES)) else _AT_ONCE
        self._ids = Ids()
        self._provider = TracerProvider(
            resource=resources.Resource.create({**own, **given}),
            shutdown_on_exit=False,
            id_generator=self._ids,
            span_limits=SpanLimits(max_attribute_length=length),
        )
        exporter = Announcing(OTLPSpanExporter(), logging.getLogger("opentelemetry"))
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=most))
        self._tracer = self._provider.get_tracer("inferq", VERSION)
        self._trace, self._incoming, self._w3c = trace, propagate, TraceContextTextMapPropagator()

    def serve(self, headers: Mapping[str, str]) -> Span:
        """The span of a request, which goes on with its client's trace."""
        parent = self._incoming.extract(headers)
        return self._tracer.start_span("HTTP", parent, kind=self._trace.SpanKind.SERVER)

    def produce(self, name: str, attributes: Mapping[str, Any], begun_by: str) -> Carried:
        """Tell of a job that no request asks for at the moment; it begins a trace, with a link to what has begun it, by
        its `traceparent`."""
        span = self._tracer.start_span(name, kind=self._trace.SpanKind.PRODUCER, attributes=dict(attributes))
        self.link(span, (begun_by, ""))
        span.end()
        return self.carry(span)

    def start(
        self, name: str, parent: Span | Carried, began: int, attributes: Mapping[str, Any], identity: str = ""
    ) -> Span:
        """A span that began then, by Unix time in nanoseconds; `identity` are the 16 hexadecimal digits of its id."""
        context = self._read(parent) if isinstance(parent, tuple) else self._trace.set_span_in_context(parent)
        self._ids.preset(identity)
        return self._tracer.start_span(name, context, attributes=dict(attributes), start_time=began)

    def fail(self, span: Span, kind: str, *, clients: bool = False) -> None:
        """What the span tells of has not ended well, by a fault of ours or the `clients`. Its message is left out: it
        may repeat what a client has sent."""
        span.set_attribute("error.type", kind)
        if not clients:
            span.set_status(self._trace.StatusCode.ERROR)

    def link(self, span: Span, carried: Carried) -> None:
        """Another trace has to do with it."""
        other = self._trace.get_current_span(self._read(carried)).get_span_context()
        if other.is_valid and other.trace_id != span.get_span_context().trace_id:
            span.add_link(other)

    def carry(self, span: Span) -> Carried:
        """Where what belongs under it belongs."""
        carrier = dict[str, str]()
        self._w3c.inject(carrier, self._trace.set_span_in_context(span))
        state = carrier.get("tracestate", "")
        return carrier.get("traceparent", ""), state if len(state) <= MOST_STATE else ""

    def end(self) -> None:
        """See `tracing.end`."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(_FAREWELL)

    def _read(self, carried: Carried) -> Context:
        return self._w3c.extract(dict(zip(("traceparent", "tracestate"), carried, strict=True)))
