"""One trace a request, over gateway and worker, in a collector that listens."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest

from shared import registry
from tests import batches
from tests.calls import CHATS, ENDLESS, LATER, PROGRESS, ask, chat, post_later, raw_post, read
from tests.collector import Collector, Seen, collecting
from tests.logged import Logged
from tests.stack import free_port, stop, wait_for

SERVER, INTERNAL, PRODUCER = 2, 1, 4
SECRET = "the quick brown fox"
QUEUE, BATCH = 40, 20
BOUNDS = {
    "OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUE),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str(BATCH),
    "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
}
"""Of what a process keeps while its collector is away, and for how many seconds it tries to send a batch."""
ROUNDING = 0.003
"""Seconds by which spans of two processes may overlap: Redis tells whole milliseconds."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting(free_port()) as found:
        yield found


@pytest.fixture(scope="module")
def stack(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    folder, settings = tmp_path_factory.mktemp("traces"), {"log_format": "json", "lease": 2, "grace": 0}
    with pytest.MonkeyPatch.context() as patch, closing(Logged(folder, echo_rate=100, **settings)) as stack:
        for name, value in {**collector.environ, **BOUNDS}.items():
            patch.setenv(name, value)
        stack.start_gateway()
        stack.start_worker()
        yield stack
    assert "Traceback" not in stack.log()
    assert not [span for span in collector.spans if SECRET in str(span)]


class Trace:
    """One that a client has begun."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.id, self.parent = secrets.token_hex(16), secrets.token_hex(8)
        self.headers = {"traceparent": f"00-{self.id}-{self.parent}-01", "tracestate": "ours=1"}

    def spans(self, count: int) -> list[Seen]:
        """All of them, once there are so many; those of the server first, then by when they began."""
        wait_for(lambda: len(self.collector.of(self.id)) >= count, f"{count} spans")
        found = self.collector.of(self.id)
        assert len(found) == count, found
        return sorted(found, key=lambda span: (span.kind != SERVER, span.began))


@pytest.fixture
def trace(collector: Collector) -> Trace:
    return Trace(collector)


def named(spans: list[Seen], name: str) -> Seen:
    [found] = [span for span in spans if span.name == name]
    return found


def test_a_request_is_one_trace(stack: Logged, trace: Trace) -> None:
    answer = stack.http().post(CHATS, json=chat(SECRET, temperature=0.5), headers=trace.headers)
    spans = trace.spans(5)
    request, queue, execution = spans[0], named(spans, "queue echo"), named(spans, "chat echo")
    prefill, decode = named(spans, "prefill"), named(spans, "decode")
    assert (request.name, request.kind, request.parent) == (f"POST {CHATS}", SERVER, trace.parent)
    assert [queue.parent, execution.parent, prefill.parent, decode.parent] == [request.id] * 2 + [execution.id] * 2
    assert {span.service for span in spans[1:]} == {"inferq-worker"}
    assert (request.service, execution.kind) == ("inferq-gateway", INTERNAL)
    assert {span.state for span in spans} == {"ours=1"}
    assert not any(span.failed for span in spans)

    assert (
        execution.attributes
        | {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "inferq",
            "gen_ai.request.model": "echo",
            "gen_ai.request.temperature": 0.5,
            "gen_ai.response.model": "echo",
            "gen_ai.response.id": answer.json()["id"],
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 4,
            "gen_ai.usage.output_tokens": 4,
            "gen_ai.usage.cache_read.input_tokens": 0,
            "inferq.tier": "default",
            "inferq.tries": 1,
            "inferq.outcome": "completed",
        }
        == execution.attributes
    )
    assert (
        request.attributes
        | {
            "http.request.method": "POST",
            "http.route": CHATS,
            "http.response.status_code": 200,
            "server.address": "127.0.0.1",
            "server.port": stack.port,
            "gen_ai.request.model": "echo",
            "inferq.job_id": answer.json()["id"],
            "inferq.request_id": answer.headers["x-request-id"],
        }
        == request.attributes
    )


def test_its_times_add_up(stack: Logged, trace: Trace) -> None:
    ask(stack, chat("one two three four five six seven eight"), **trace.headers)
    spans = trace.spans(5)
    parts = [named(spans, name) for name in ("queue echo", "prefill", "decode")]
    for before, after in pairwise(parts):
        assert before.ended == after.began
    assert sum(part.seconds for part in parts) <= spans[0].seconds + ROUNDING
    assert spans[0].began <= parts[0].began + ROUNDING
    assert parts[-1].ended <= spans[0].ended + ROUNDING
    assert parts[-1].seconds > 0.05  # eight tokens, at a hundred a second


def test_logs_name_the_trace(stack: Logged, trace: Trace) -> None:
    ask(stack, chat("a"), **trace.headers)
    for message in ("answered", "job ended"):
        assert stack.line(message=message, trace_id=trace.id)["request_id"].startswith("req_")


def test_a_request_without_a_trace_begins_one(stack: Logged, collector: Collector) -> None:
    answer = stack.http().post(CHATS, json=chat("a"), headers={"traceparent": "00-nonsense"})
    line = stack.line(message="answered", request_id=answer.headers["x-request-id"])
    wait_for(lambda: len(collector.of(line["trace_id"])) == 5, "its spans")
    assert collector.of(line["trace_id"])[0].parent == ""


def test_a_trace_that_its_client_does_not_record_is_not_recorded(stack: Logged, trace: Trace) -> None:
    headers = {"traceparent": f"00-{trace.id}-{trace.parent}-00"}
    ask(stack, chat("a"), **headers)
    stack.line(message="job ended", trace_id=trace.id)
    other = Trace(trace.collector)
    ask(stack, chat("b"), **other.headers)
    other.spans(5)
    assert trace.collector.of(trace.id) == []


def test_a_stream_ends_its_span_when_it_ends(stack: Logged, trace: Trace) -> None:
    read(stack, chat("one two three four five six seven eight"), **trace.headers, **PROGRESS)
    spans = trace.spans(5)
    assert spans[0].ended + ROUNDING >= named(spans, "decode").ended
    assert spans[0].seconds > 0.05


def test_who_leaves_is_seen(stack: Logged, trace: Trace) -> None:
    with raw_post(stack, CHATS, chat(ENDLESS, stream=True), **trace.headers) as connection:
        assert connection.recv(1000)
    spans = trace.spans(5)
    assert (spans[0].failed, spans[0].attributes["error.type"]) == (True, "client_gone")
    execution = named(spans, "chat echo")
    assert (execution.failed, execution.attributes["error.type"]) == (True, "cancelled")


def test_what_is_refused_is_no_fault_of_ours(stack: Logged, trace: Trace) -> None:
    stack.http().post(CHATS, json=chat("a", temperature="hot"), headers=trace.headers)
    [request] = trace.spans(1)
    assert (request.failed, request.attributes["http.response.status_code"]) == (False, 400)
    assert request.attributes["error.type"] == "invalid_type"


def test_probes_are_not_traced(stack: Logged, trace: Trace) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        stack.http().get(path, headers=trace.headers)
    ask(stack, chat("a"), **trace.headers)
    trace.spans(5)


def test_what_is_answered_later_belongs_to_who_asked(stack: Logged, trace: Trace) -> None:
    asked = stack.http().post(CHATS, json=chat("a"), headers={**trace.headers, **LATER})
    spans = trace.spans(5)
    assert named(spans, "chat echo").parent == spans[0].id
    follower = Trace(trace.collector)
    stack.http().get(f"/v1/jobs/{asked.json()['id']}/events", headers=follower.headers)
    [request] = follower.spans(1)
    assert request.links == [trace.id]


def test_a_request_tells_its_place_in_the_queue(stack: Logged, collector: Collector) -> None:
    slots, places = 4, list[int]()
    jobs = [post_later(stack.http(), ENDLESS) for _ in range(slots)]
    wait_for(lambda: {stack.state(job) for job in jobs} == {"in_progress"}, "all slots to be taken")
    for _ in range(2):
        asked = Trace(collector)
        answer = stack.http().post(CHATS, json=chat("a"), headers={**asked.headers, **LATER})
        jobs.append(answer.json()["id"])
        places.append(asked.spans(1)[0].attributes["inferq.position"])
    assert places == [1, 2]
    for job in jobs:
        stack.http().delete(f"/v1/jobs/{job}")


def test_other_tasks_have_their_operations(stack: Logged, trace: Trace) -> None:
    http = stack.http()
    http.post("/v1/completions", json={"model": "echo", "prompt": ["a", "b"]}, headers=trace.headers)
    http.post("/v1/embeddings", json={"model": "echo", "input": "a"}, headers=trace.headers)
    http.post("/tokenize", json={"model": "echo", "content": "a"}, headers=trace.headers)
    spans = trace.spans(5 + 3 + 3)
    assert named(spans, "text_completion echo").attributes["gen_ai.response.finish_reasons"] == ["stop", "stop"]
    assert named(spans, "embeddings echo").attributes["gen_ai.usage.input_tokens"] == 1
    assert named(spans, "tokenize echo").parent == spans[2].id


def test_a_line_of_a_batch_begins_a_trace(stack: Logged, collector: Collector, trace: Trace) -> None:
    before = len(collector.spans)
    with stack.client(default_headers=trace.headers) as client:
        batch = batches.begin(client, [batches.request("a"), batches.request("b")])
    batches.end(stack.client(), batch)

    def lines() -> list[Seen]:
        return [span for span in collector.spans[before:] if span.name == "batch line"]

    wait_for(lambda: len(lines()) == 2 and all(len(collector.of(line.trace)) == 5 for line in lines()), "their traces")
    for line in lines():
        assert (line.kind, line.parent, line.links) == (PRODUCER, "", [trace.id])
        execution = named(collector.of(line.trace), "chat echo")
        assert (execution.parent, execution.attributes["inferq.tier"]) == (line.id, "flex")


@pytest.mark.parametrize("killed", [True, False])
def test_each_execution_of_a_job_is_a_span(stack: Logged, trace: Trace, *, killed: bool) -> None:
    stack.start_worker()
    body = chat("word " * (100 if killed else 300))  # one that stops looks for a second whether more comes
    job_id = stack.http().post(CHATS, json=body, headers={**trace.headers, **LATER}).json()["id"]
    wait_for(lambda: stack.events(job_id) > 3, "its first tokens")
    name: Any = stack.redis.hget(f"iq:job:{job_id}", "worker")
    [pid] = [worker.pid for worker in registry.workers(stack.redis) if worker.name == name.decode()]
    [worker] = [child for child in stack.children if child.pid == pid]
    if killed:
        worker.kill()
        worker.wait()
    else:
        stop(worker)
    wait_for(lambda: stack.state(job_id) == "completed", "the end")
    spans = trace.spans(7 if killed else 9)  # prefill of one that was killed, and what it wrote, are lost with it
    first, second = [span for span in spans if span.name == "chat echo"]
    assert first.parent == second.parent == spans[0].id
    assert second.attributes["inferq.outcome"] == "completed"
    queues = [span for span in spans if span.name == "queue echo"]
    if killed:
        assert (first.failed, first.attributes["error.type"]) == (True, "worker_lost")
        assert second.attributes["inferq.tries"] == 2
    else:
        assert (first.failed, first.attributes["inferq.outcome"]) == (False, "handed_back")
        assert second.attributes["inferq.tries"] == 1
    assert first.ended <= queues[-1].began + ROUNDING
    assert queues[-1].ended == second.began
    assert first.seconds > 0.02


def test_while_the_collector_is_away_requests_go_on_and_nothing_grows(stack: Logged, collector: Collector) -> None:
    def told(words: str) -> set[int]:
        found = [line["pid"] for line in stack.lines() if line["message"].startswith(words)]
        assert len(found) == len(set(found)), "each process says it once"
        return set(found)

    traces = [Trace(collector) for _ in range(50)]
    with collector.away():
        for trace in traces:
            assert ask(stack, chat("a"), **trace.headers) == "a"
        wait_for(lambda: len(told("traces are lost")) == 2, "a line of each")

    def back() -> bool:
        ask(stack, chat("a"))
        return len(told("the collector takes traces again")) == 2

    wait_for(back, "the end of that")
    assert len([span for trace in traces for span in collector.of(trace.id)]) <= 2 * (QUEUE + BATCH) < 5 * len(traces)
    assert not [line for line in stack.lines() if line["logger"].startswith("opentelemetry")]
