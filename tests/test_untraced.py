"""Where nobody wants traces, or they cannot be: nothing is paid for them, and requests are served."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str, **environ: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


BEGIN = "from shared import tracing; tracing.begin('part'); print(tracing.here());"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


def test_where_nobody_asks_for_traces_nothing_is_imported() -> None:
    code = "import os, sys, gateway.app, worker.process;" + BEGIN
    for name, value in {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none", "OTEL_SDK_DISABLED": "true"}.items():
        code += f"os.environ['{name}'] = '{value}';" + (BEGIN if name not in ENDPOINT else "")
    code += "del os.environ['OTEL_TRACES_EXPORTER'];" + BEGIN
    # redis-py imports what it finds of OpenTelemetry, for numbers of its own.
    code += "print([name for name in ('shared.span_export', 'opentelemetry.sdk.trace') if name in sys.modules])"
    assert run(code) == "None\n" * 4 + "[]\n"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf alone, not by otlp in grpc"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "not by zipkin"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "OpenTelemetry cannot begin: max_queue_size must be a positive integer"),
    ],
)
def test_what_cannot_be_is_told_and_keeps_nobody_from_serving(environ: dict[str, str], words: str) -> None:
    found = run(BEGIN, **ENDPOINT, **environ)
    assert "no traces: " in found
    assert words in found
    assert "None\n" in found


def test_without_the_extra_it_is_named() -> None:
    found = run("import sys; sys.modules['opentelemetry'] = None;" + BEGIN, **ENDPOINT)
    assert "pip install 'inferq[otel]'" in found
    assert "None\n" in found
