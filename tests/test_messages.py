"""/v1/messages and what else Anthropic's unmodified client and the agents that speak its API ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2 as httpx
import pydantic
import pytest
from anthropic import AsyncAnthropic, beta_tool
from anthropic.types import MessageParam, ToolParam
from anthropic.types.beta import BetaUserMessageParam

from tests.calls import ENDLESS, LATER, PROGRESS, anthropics_problem, job
from tests.stack import Stack, running, wait_for

MESSAGES = "/v1/messages"
KEY = "0123456789abcdef01234567"
PAGE = "https://chat.example"
LOOK: ToolParam = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
CALL = '{"name": "look", "arguments": {"at": "the sky"}}'
VERSION = {"anthropic-version": "2023-06-01"}


def said(text: str) -> list[MessageParam]:
    return [{"role": "user", "content": text}]


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "max_tokens": 1000, "messages": said(text), **more}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway with a key, pages of one origin, and a slow worker of one slot that is known by two names."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "models.toml").write_text('[[model]]\nid = "echo"\nengine = "echo"\naliases = ["claude-echo"]\n')
    settings = {"api_keys": f"me:{KEY}", "cors_origins": PAGE, "max_queue": 4, "lease": 2}
    with running(folder, models=folder / "models.toml", **settings) as stack:
        stack.start_gateway()
        stack.start_worker(echo_rate=100, echo_prefill_ms=300, slots=1)
        yield stack


class TestTheClient:
    def test_a_tool_loop(self, echo: Stack) -> None:
        seen = []

        @beta_tool
        def look(at: str) -> str:
            """Look somewhere."""
            seen.append(at)
            return "It is blue."

        client, history = echo.anthropic(), [BetaUserMessageParam(role="user", content=CALL)]
        runner = client.beta.messages.tool_runner(model="echo", max_tokens=100, tools=[look], messages=history)
        assert [message.stop_reason for message in runner] == ["tool_use", "end_turn"]
        assert seen == ["the sky"]

    def test_what_was_thought_is_taken_back(self, echo: Stack) -> None:
        client = echo.anthropic(_strict_response_validation=True)
        history = said(f"<think>hm</think>{CALL}")
        more: dict[str, Any] = {"model": "echo", "max_tokens": 2000, "tools": [LOOK]}
        more["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        first = client.messages.create(messages=history, **more)
        assert [block.type for block in first.content] == ["thinking", "tool_use"]
        call = first.content[1]
        assert call.type == "tool_use"
        result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "It is blue."}
        history += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        second = client.messages.create(messages=history, **more)
        assert [block.text for block in second.content if block.type == "text"] == ["It is blue."]

    def test_the_events_of_a_stream(self, echo: Stack) -> None:
        with echo.anthropic().messages.stream(**asked(CALL, tools=[LOOK])) as stream:
            events = list(stream)
        kinds = [event.type for event in events if event.type not in ("input_json", "content_block_delta")]
        assert kinds == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
        inputs = [event.partial_json for event in events if event.type == "input_json"]
        assert len(inputs) > 1
        assert json.loads("".join(inputs)) == {"at": "the sky"}

    def test_what_it_parses(self, echo: Stack) -> None:
        class City(pydantic.BaseModel):
            name: str

        client, text = echo.anthropic(_strict_response_validation=True), '{"name": "Paris"}'
        answer = client.messages.parse(model="echo", max_tokens=100, messages=said(text), output_format=City)
        assert answer.parsed_output == City(name="Paris")
        history = [BetaUserMessageParam(role="user", content=text)]
        beta = client.beta.messages.create(model="echo", max_tokens=100, messages=history, betas=["some-2026-01-01"])
        assert [block.type for block in beta.content] == ["text"]

    def test_asynchronously(self, echo: Stack) -> None:
        async def ask() -> tuple[str, str]:
            async with AsyncAnthropic(base_url=echo.url, api_key="test", max_retries=0) as client:
                answer = await client.messages.create(**asked("Hello there"))
                async with client.messages.stream(**asked("Hello there")) as stream:
                    text = await stream.get_final_text()
                return text, "".join(block.text for block in answer.content if block.type == "text")

        assert asyncio.run(ask()) == ("Hello there", "Hello there")

    def test_its_retries_join_their_job(self, locked: Stack) -> None:
        client = locked.anthropic(api_key=KEY, timeout=0.3, max_retries=9)  # which the first word takes
        known = locked.jobs().keys()
        answer = client.messages.create(**asked("once " * 30))
        [block] = answer.content
        assert block.type == "text"
        assert block.text == "once " * 30
        assert locked.jobs().keys() - known == {answer.id}

    def test_it_is_told_when_to_come_again(self, locked: Stack) -> None:
        http = locked.http()
        http.headers["x-api-key"] = KEY
        held = [http.post(MESSAGES, json=asked(ENDLESS), headers=LATER).json()["id"] for _ in range(2)]
        with pytest.raises(anthropic.RateLimitError) as refused:
            locked.anthropic(api_key=KEY).messages.create(**asked("Hello"))
        for each in held:
            assert http.delete(f"/v1/jobs/{each}").json()["status"] == "cancelled"
        assert refused.value.type == "rate_limit_error"
        assert int(refused.value.response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ({"max_tokens": None}, anthropic.BadRequestError, "'max_tokens'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, anthropic.BadRequestError, "role.*robot"),
        ({"messages": said("on " * 40_000)}, anthropic.BadRequestError, "prompt is too long: .* 40001 tokens"),
        ({"model": "claude"}, anthropic.NotFoundError, "'claude' does not exist. Models that exist: echo."),
        ({"thread": {"type": "create"}}, anthropic.BadRequestError, "'thread'"),
    ],
)
def test_what_is_refused(
    echo: Stack, more: dict[str, Any], kind: type[anthropic.APIStatusError], words: str, stream: bool
) -> None:
    with pytest.raises(kind, match=words) as refused:
        echo.anthropic().post(MESSAGES, body=asked("Hi", stream=stream, **more), cast_to=object)
    assert refused.value.request_id
    assert refused.value.error_code


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "kind"),
    [
        ("POST", MESSAGES, {"content": b"{"}, 400, "invalid_request_error"),
        ("POST", MESSAGES, {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "invalid_request_error"),
        ("POST", MESSAGES, {"content": b" " * 3_000_000}, 413, "request_too_large"),
        ("GET", MESSAGES, {}, 405, "invalid_request_error"),
        ("POST", f"{MESSAGES}/batches", {"json": {}}, 501, "api_error"),
        ("POST", "//v1/v1/messages/nowhere/", {"json": {}}, 404, "not_found_error"),
        ("GET", "/v1/models/claude", {"headers": VERSION}, 404, "not_found_error"),
        ("GET", "/v1/models?limit=0", {"headers": VERSION}, 400, "invalid_request_error"),
        ("GET", "/v1/models?after_id=claude", {"headers": VERSION}, 400, "invalid_request_error"),
        ("GET", "/v1/models?after_id=echo&before_id=echo", {"headers": VERSION}, 400, "invalid_request_error"),
        ("POST", "/v1/files", {"json": {}, "headers": VERSION}, 400, "invalid_request_error"),
    ],
)
def test_what_is_refused_before_it_is_read(
    http: httpx.Client, method: str, path: str, more: dict[str, Any], status: int, kind: str
) -> None:
    more["headers"] = {"content-type": "application/json", **more.get("headers", {})}
    answer = http.request(method, path, **more)
    anthropics_problem(answer, status, kind)
    assert answer.headers["x-should-retry"] == "false"


def test_a_key_in_either_header(locked: Stack) -> None:
    http = locked.http()
    anthropics_problem(http.post(MESSAGES, json=asked("Hi")), 401, "authentication_error")
    anthropics_problem(http.get("/v1/models", headers=VERSION), 401, "authentication_error")
    for headers in ({"x-api-key": KEY}, {"Authorization": f"Bearer {KEY}", "anthropic-beta": "a-2026-01-01,b"}):
        answer = http.post(f"{MESSAGES}?beta=true", json=asked("Hi"), headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["content"][0]["text"] == "Hi"
    with pytest.raises(anthropic.AuthenticationError):
        locked.anthropic(api_key="wrong").messages.create(**asked("Hi"))


def test_a_page_that_is_let_in(locked: Stack) -> None:
    http = locked.http()
    wanted = "x-api-key,anthropic-version,anthropic-dangerous-direct-browser-access,content-type,x-stainless-lang"
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
    allowed = http.options(MESSAGES, headers={"Origin": PAGE, **asks})
    assert (allowed.status_code, allowed.headers["access-control-allow-headers"]) == (204, wanted)
    more = {"Origin": PAGE, "x-api-key": KEY, "anthropic-dangerous-direct-browser-access": "true"}
    answer = http.post(MESSAGES, json=asked("Hi"), headers=more)
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "request-id" in answer.headers["access-control-expose-headers"].split(", ")


def test_models_in_pages(locked: Stack) -> None:
    client = locked.anthropic(api_key=KEY, _strict_response_validation=True)
    for limit in (1, 2, 20):
        assert [model.id for model in client.models.list(limit=limit)] == ["echo", "claude-echo"]
    assert [model.id for model in client.models.list(before_id="claude-echo", limit=1)] == ["echo"]
    assert [model.id for model in client.models.list(lifecycle=["retired", "active"])] == ["echo", "claude-echo"]
    assert list(client.models.list(lifecycle=["retired"])) == []
    model = client.models.retrieve("claude-echo")
    assert (model.id, model.type, model.max_input_tokens, model.max_tokens) == ("claude-echo", "model", 32_768, 32_768)
    assert model.created_at.timestamp() > 1_700_000_000
    assert client.messages.create(**{**asked("Hi"), "model": "claude-echo"}).model == "echo"


def test_a_failure_in_the_middle(locked: Stack) -> None:
    http, heard = locked.http(), locked.anthropic(api_key=KEY).messages.create(**asked(ENDLESS), stream=True)
    first = next(heard)
    assert first.type == "message_start"
    http.delete(f"/v1/jobs/{first.message.id}", headers={"x-api-key": KEY})
    with pytest.raises(anthropic.APIStatusError) as failed:
        list(heard)
    assert (failed.value.type, failed.value.error_code) == ("conflict_error", "cancelled")


def test_an_answer_goes_on_when_its_worker_dies(served: Stack) -> None:
    victim = served.start_worker(echo_rate=10)
    text = f'<think>hm hm</think>[{{"content": "Well, "}}, {CALL}, {{"content": "and so on"}}, {CALL}]'
    more = {"tools": [LOOK], "thinking": {"type": "enabled", "budget_tokens": 999}}
    with served.anthropic().messages.stream(**asked(text, **more)) as stream:
        next(event for event in stream if event.type == "input_json")
        victim.kill()
        served.start_worker(echo_rate=50)
        last = stream.get_final_message()
    told = [block.to_dict() for block in last.content]
    kinds = ["thinking", "text", "tool_use", "text", "tool_use"]
    assert [block["type"] for block in told] == kinds
    assert [told[0]["thinking"], told[1]["text"], told[3]["text"]] == ["hm hm", "Well, ", "and so on"]
    assert told[2]["input"] == told[4]["input"] == {"at": "the sky"}
    assert served.redis.hget(f"iq:job:{last.id}", "tries") == b"2"


def test_comments_for_those_who_ask(locked: Stack) -> None:
    more = {"x-api-key": KEY, **PROGRESS}
    told = locked.http().post(MESSAGES, json=asked("Hello there", stream=True), headers=more).text
    assert ": prompt 0/2\n\n" in told
    with locked.anthropic(api_key=KEY).messages.stream(**asked("Hello there"), extra_headers=PROGRESS) as stream:
        assert stream.get_final_text() == "Hello there"


def test_a_job_is_polled_and_followed(http: httpx.Client) -> None:
    body = asked("Hello there, you")
    job_id = http.post(MESSAGES, json=body, headers=LATER).json()["id"]
    wait_for(lambda: job(http, job_id)["status"] == "completed", "the end")
    result = job(http, job_id)["result"]
    assert result.keys() == http.post(MESSAGES, json=body).json().keys()
    assert (result["type"], result["content"][0]["text"]) == ("message", "Hello there, you")
    events = followed(http, job_id)
    assert [name for _, name, _ in events][-3:] == ["content_block_stop", "message_delta", "message_stop"]
    for place, (mark, _, _) in enumerate(events):
        assert followed(http, job_id, **{"Last-Event-ID": mark}) == events[place + 1 :]


def followed(http: httpx.Client, job_id: str, **headers: str) -> list[tuple[str, str, str]]:
    """The id, the name and the data of each event."""
    answer = http.get(f"/v1/jobs/{job_id}/events", headers=headers)
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in answer.text.split("\n\n") if block]
    return [(block["id"], block["event"], block["data"]) for block in blocks]


def test_what_an_agent_asks_for_first(http: httpx.Client) -> None:
    assert http.head("/").status_code == 200
    for path in (MESSAGES, "/messages", "/v1/v1/messages", "/v1/messages/"):
        assert http.post(path, json=asked("Hi")).json()["content"][0]["text"] == "Hi"
    more = {"anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14", **VERSION}
    with http.stream("POST", f"{MESSAGES}?beta=true", json=asked("Hi", stream=True), headers=more) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.read().endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    anthropics_problem(http.post("/api/event_logging/batch", json={}, headers=VERSION), 404, "not_found_error")
