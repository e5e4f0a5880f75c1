"""What of OpenTelemetry is done in our own way. Imported only where traces are wanted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

log = logging.getLogger(__name__)


class Ids(RandomIdGenerator):
    """Ids of spans, some of which are known before: whoever tells of a lost execution gives it the id that it had."""

    def __init__(self) -> None:
        self._next = threading.local()

    def preset(self, identity: str) -> None:
        """The id of this thread's next span, in hexadecimal; empty: any."""
        self._next.identity = identity

    def generate_span_id(self) -> int:
        identity, self._next.identity = getattr(self._next, "identity", ""), ""
        return int(identity, 16) if identity else super().generate_span_id()


class Announcing(SpanExporter):
    """An exporter that says once that a collector is away, and once that it is back.

    OpenTelemetry's own loggers, which repeat themselves, say no more than that.
    """

    def __init__(self, inner: SpanExporter, library: logging.Logger) -> None:
        self._inner = inner
        self._complaint = Complaint()
        library.handlers[:] = [self._complaint]
        library.propagate = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS and self._complaint.told:
            self._complaint.told = False
            log.info("the collector takes traces again")
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class Complaint(logging.Handler):
    """The first thing that OpenTelemetry complains of, until all is well again."""

    told = False

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        if not self.told:
            self.told = True
            log.warning("traces are lost until the collector takes them: %s", record.getMessage())
