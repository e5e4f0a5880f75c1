"""What clients really send, and how they read what they get: the requests of `tests/wire/`, byte by byte."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, convert
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.calls import CHATS, spoken
from tests.raw_http import Answer, exchange
from tests.readers import READERS, by_the_standard
from tests.stack import Stack, running

FOLDER = Path(__file__).parent / "wire"
JSON = {"content-type": "application/json"}
TOKEN = re.compile(r"\s*\S+|\s+")
"""What the echo engine counts as one."""
SLOW = 700
"""Milliseconds that a prompt takes: three times as long as the gateway waits before it sends the headers."""

Case = dict[str, Any]


def cases() -> Iterator[Any]:
    for path in sorted(FOLDER.glob("*.toml")):
        for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]:
            yield pytest.param(case, id=f"{path.stem}: {case['client']}: {case['what']}")


CASES = list(cases())


class Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]


class UsageSoFar(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Whole(Struct):
    """What readers need that refuse a field which is missing, null or of another type."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[dict[str, Any]]
    usage: Usage


class Chunk(Struct):
    id: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[dict[str, Any]]
    usage: UsageSoFar | None = None


def send(stack: Stack, case: Case) -> Answer:
    body = case.get("body", "").encode()
    headers = {**(JSON if body else {}), **case.get("headers", {})}
    request, chunked = case.get("request", f"POST {CHATS}"), case.get("framing") == "chunked"
    raw = b"\xef\xbb\xbf" + body if case.get("bom") else body
    return exchange((stack.host, stack.port), request, headers, raw, chunked=chunked)


def check_refusal(answer: Answer, param: str | list[str] | None, tells: str) -> None:
    error = answer.json["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert isinstance(error["code"], str)
    assert tells in error["message"]
    if param is not None:
        assert error["param"] in (param if isinstance(param, list) else [param])


def called(messages: list[dict[str, Any]]) -> list[str]:
    """The calls of a message, or of the pieces of one: the name of each, and its arguments or input."""
    found: dict[int, list[str]] = {}
    for message in messages:
        for place, call in enumerate(message.get("tool_calls") or [message.get("function_call") or {}]):
            for part in ("name", "arguments", "input"):
                said = call.get("function", call.get("custom", call)).get(part)
                found.setdefault(call.get("index", place), []).extend([said] if said else [])
    return [f"{name} {''.join(rest)}" for name, *rest in filter(None, found.values())]


def check_texts(case: Case, texts: list[str]) -> None:
    if calls := case.get("calls"):
        assert texts == calls
    elif says := case.get("says"):
        assert len(texts) == 1
        assert re.fullmatch(".*".join(["", *map(re.escape, says), ""]), texts[0], re.DOTALL)
    else:
        assert texts == case.get("texts", [case["text"]] if "text" in case else None)


def check_usage(usage: Usage | UsageSoFar, texts: list[str]) -> None:
    assert usage.completion_tokens == sum(len(TOKEN.findall(text)) for text in texts)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens > 0


def check_whole(case: Case, answer: Answer) -> None:
    assert answer.headers["content-type"] == "application/json"
    whole = answer.json
    choices = whole["choices"]
    texts = [choice["text"] if "text" in choice else choice["message"]["content"] for choice in choices]
    if "calls" in case:
        assert texts == [None]
        assert [choice["finish_reason"] for choice in choices] == [case.get("ends", "tool_calls")]
        texts = called([choices[0]["message"]])
    check_texts(case, texts)
    check_usage(convert(whole, Whole).usage, [text.removeprefix(case.get("echoed", "")) for text in texts])
    kind = Completion if "text" in choices[0] else ChatCompletion
    for likely in (choice["logprobs"] for choice in choices if "echoed" in case):  # OpenAI's own are refused too
        likely["token_logprobs"][0], likely["top_logprobs"][0] = 0.0, {}
    kind.model_validate(whole, strict=True)


def check_stream(case: Case, answer: Answer, *, usage_wanted: bool, usage_always: bool) -> None:
    """Each reader hears the same, all of it."""
    assert answer.headers.get_content_type() == "text/event-stream"
    heard = {reader.__name__: reader(answer.pieces) for reader in READERS}
    first = heard[by_the_standard.__name__]
    assert all(events == first for events in heard.values())
    *chunks, end = first
    assert end == "[DONE]"
    texts = [spoken(chunks)]
    if "calls" in case:
        assert texts == [""]
        texts = called([choice["delta"] for chunk in chunks for choice in chunk["choices"]])
    check_texts(case, texts)
    told = [convert(chunk, Chunk) for chunk in chunks]
    if usage_wanted:
        assert told[-1].choices == []
        check_usage(convert(chunks[-1]["usage"], Usage), texts)
    for chunk in told[:-1] if usage_wanted else told:
        assert len(chunk.choices) == 1  # readers look at the first without asking whether there is one
        assert (chunk.usage is not None) == usage_always
    for chunk in chunks:
        if chunk["object"] == "chat.completion.chunk":  # OpenAI's own completions break its type of them
            ChatCompletionChunk.model_validate(chunk, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_each_gets_what_it_asks_for(echo: Stack, case: Case) -> None:
    answer = send(echo, case)
    if case.get("or_told") and answer.status == 404:
        return check_refusal(answer, None, "/v1")
    assert answer.status == case.get("status", 200), answer.body
    assert "content-encoding" not in answer.headers
    if "status" in case:
        return check_refusal(answer, case.get("param"), case.get("tells", ""))
    told = {name for name in re.split(r"\s*,\s*", answer.headers.get("x-inferq-ignored", "")) if name}
    assert told == set(case.get("ignored", ()))
    if model := case.get("model"):
        assert model in [one["id"] for one in answer.json.get("data", [answer.json])]
    if "body" not in case:
        return None
    wanted = json.loads(case["body"])
    if not wanted.get("stream"):
        return check_whole(case, answer)
    options = wanted.get("stream_options") or {}
    usage_wanted, usage_always = options.get("include_usage", False), options.get("continuous_usage_stats", False)
    return check_stream(case, answer, usage_wanted=usage_wanted, usage_always=usage_always)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("slow"), headers_after=SLOW / 3000) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker(echo_prefill_ms=SLOW)
        yield stack


def test_a_wait_hides_nothing_from_any_reader(slow: Stack) -> None:
    """Headers are out, and the prompt is being read, and that is told to nobody who has not asked."""
    body = b'{"model":"echo","messages":[{"role":"user","content":"slow to begin"}],"stream":true}'
    answer = exchange((slow.host, slow.port), f"POST {CHATS}", JSON, body)
    assert b"\n:" not in b"\n" + answer.body
    check_stream({"text": "slow to begin"}, answer, usage_wanted=False, usage_always=False)


def test_who_asks_for_progress_hears_it_at_once(slow: Stack) -> None:
    body = b'{"model":"echo","messages":[{"role":"user","content":"slow to begin"}],"stream":true}'
    answer = exchange((slow.host, slow.port), f"POST {CHATS}", {**JSON, "x-inferq-progress": "1"}, body)
    assert b"\n: prompt 0/3\n\n" in b"\n" + answer.body
    assert spoken(by_the_standard(answer.pieces)) == "slow to begin"


def test_the_corpus_is_as_wide_as_it_says() -> None:
    each = [case.values[0] for case in CASES]
    assert len(each) >= 100
    assert len({case["client"] for case in each}) >= 70
    for case in each:
        assert {"client", "version", "source", "what"} <= case.keys()
        assert re.fullmatch(r"[\w.-]+/[\w.-]+( .*)?", case["source"]), case["source"]
    assert len({case.id for case in CASES}) == len(CASES)
