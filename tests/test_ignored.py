"""What asks for nothing here is taken, and told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI

from gateway.schemas import FORMATS
from gateway.schemas.parameters import Ignored
from tests.calls import CHATS, COMPLETIONS, LATER, busy, chat, completion, data, problem, said, spoken
from tests.parsing import CHAT, COMPLETION, DEFAULTS, refused, refused_chat
from tests.parsing import chat as parse_chat
from tests.parsing import completion as parse_completion
from tests.stack import Stack, running

BOTH: dict[str, list[Any]] = {
    "user": ["somebody"],
    "metadata": [{"key": "value"}, {}, []],
    "safety_identifier": ["hash"],
    "prompt_cache_options": [{"mode": "explicit"}, []],
    "verbosity": ["low"],
    "num_ctx": [8192, 8192.0],
    "num_batch": [512],
    "num_keep": [-1],
    "num_gpu": [99],
    "num_thread": [8],
    "use_mmap": [True],
    "use_mlock": [False],
    "keep_alive": ["5m", -1, 0.5],
    "options": [{}, []],
    "provider": [{"order": ["x"], "allow_fallbacks": False}],
    "models": [[]],
    "route": ["fallback"],
    "transforms": [[], ["middle-out"]],
    "plugins": [[]],
    "usage": [{"include": True}],
    "session_id": ["x"],
    "timings_per_token": [True],
    "return_progress": [False],
    "stream_options": [{"include_usage": True}, {}, []],
    "guided_decoding_backend": ["outlines"],
}
CHATS_ALONE: dict[str, list[Any]] = {
    "tool_choice": ["none", "auto", "required", {"type": "function", "function": {"name": "f"}}],
    "parallel_tool_calls": [True, False],
    "function_call": ["auto", {"name": "f"}],
}
INFILL_ALONE: dict[str, list[Any]] = {
    "id_slot": [0, -1],
    "n_cache_reuse": [256],
    "t_max_prompt_ms": [500, 0.5],
    "sse_ping_interval": [30],
}
OF_TOOLS = {"tool_choice", "parallel_tool_calls", "function_call"}
"""Those that ask for nothing without tools."""
EVERY = {name: values[-1] for name, values in {**BOTH, **CHATS_ALONE}.items()}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One slot, which can be kept busy."""
    with running(tmp_path_factory.mktemp("ignored"), slots=1, echo_rate=100) as stack:
        stack.start_gateway()
        stack.start_worker()
        yield stack


def test_each_is_tried_here() -> None:
    wires = (CHAT, COMPLETION, FORMATS["llama.cpp.infill"])
    fields = {name for wire in wires for name, field in wire.schema.fields.items() if isinstance(field, Ignored)}
    assert (fields - {"stream"}) | {"stream_options", *OF_TOOLS} == EVERY.keys() | INFILL_ALONE.keys(), (
        "of those who stream nothing see test_tokenizer_endpoints"
    )


@pytest.mark.parametrize("name", EVERY)
def test_each_changes_nothing_and_is_named(name: str) -> None:
    for value in [*BOTH.get(name, ()), *CHATS_ALONE.get(name, ())]:
        assert parse_chat(**{name: value}) == parse_chat()
        assert CHAT.schema.ignored({"messages": [], name: value}) == [name]
        if name in BOTH:
            assert parse_completion(**{name: value}) == parse_completion()
            assert COMPLETION.schema.ignored({name: value}) == [name]
        else:
            assert refused({"model": "m", "prompt": "", name: value}, COMPLETION) == (name, "unknown_parameter")
    assert CHAT.schema.ignored({name: None}) == []


@pytest.mark.parametrize("name", INFILL_ALONE)
def test_each_of_infill_changes_nothing(name: str) -> None:
    wire, body = FORMATS["llama.cpp.infill"], {"input_prefix": "a", "input_suffix": "b"}
    for value in INFILL_ALONE[name]:
        assert wire.parse({**body, name: value}, 7, DEFAULTS) == wire.parse(body, 7, DEFAULTS)
        assert wire.schema.ignored({**body, name: value}) == [name]


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"models": ["other"]}, "models", "unsupported_value"),
        ({"plugins": [{"id": "web"}]}, "plugins", "unsupported_value"),
        ({"options": {"temperature": 0}}, "options", "unsupported_value"),
        ({"prompt_logprobs": -1}, "prompt_logprobs", "integer_below_min_value"),
        ({"num_ctx": "8192"}, "num_ctx", "invalid_type"),
        ({"keep_alive": {}}, "keep_alive", "invalid_type"),
        ({"keep_alive": "m" * 1025}, "keep_alive", "invalid_type"),
        ({"transforms": ["x"] * 65}, "transforms", "array_above_max_length"),
        ({"provider": dict.fromkeys(map(str, range(65)))}, "provider", "invalid_value"),
        ({"tool_choice": 1}, "tool_choice", "invalid_type"),
        ({"tool_choice": "sometimes"}, "tool_choice", "unsupported_value"),
        ({"tool_choice": "auto", "tools": [{}]}, "tools[0].function", "missing_required_parameter"),
        ({"stream_options": {"other": 1}}, "stream_options.other", "unknown_parameter"),
    ],
)
def test_what_asks_for_something_is_refused(given: dict[str, Any], param: str, code: str) -> None:
    assert refused_chat(**given) == (param, code)


def test_parts_of_an_object_are_named() -> None:
    padded, vain = {"include_obfuscation": True}, {"continuous_usage_stats": True}
    assert CHAT.schema.ignored({"stream": True, "stream_options": {"include_usage": True}}) == []
    assert CHAT.schema.ignored({"stream": True, "stream_options": padded}) == ["stream_options"]
    assert CHAT.schema.ignored({"stream": True, "stream_options": {"include_usage": True, **padded}}) == [
        "stream_options.include_obfuscation"
    ]
    assert CHAT.schema.ignored({"stream": True, "stream_options": vain}) == ["stream_options"]
    assert CHAT.schema.ignored({"stream": True, "stream_options": {"include_usage": False, **vain}}) == [
        "stream_options.continuous_usage_stats"
    ]
    assert CHAT.schema.ignored({"stream": True, "stream_options": {"include_usage": True, **vain}}) == []


def told(answer: Any) -> list[str]:
    assert answer.headers["x-request-id"]
    return [name.strip() for name in answer.headers.get("x-inferq-ignored", "").split(",") if name.strip()]


def test_whole_answers_and_streams(http: httpx.Client) -> None:
    more = {"num_ctx": 8192, "tool_choice": "required", "use_mmap": True}
    whole = http.post(CHATS, json=chat("Hello there", **more))
    assert whole.json()["choices"][0]["message"]["content"] == "Hello there"
    assert sorted(told(whole)) == sorted(more)
    with http.stream(
        "POST", COMPLETIONS, json={**completion("Hello there"), "keep_alive": -1, "stream": True}
    ) as answer:
        assert told(answer) == ["keep_alive"]
        assert spoken(data(answer.iter_lines())) == "Hello there"
    assert told(http.post(CHATS, json=chat("Hello"))) == []
    for path, body, names in ((CHATS, chat("a"), EVERY), (COMPLETIONS, completion("a"), BOTH)):
        answer = http.post(path, json={**body, **{name: EVERY[name] for name in names}})
        assert answer.status_code == 200, answer.text
        assert sorted(told(answer)) == sorted(names)
        assert len(answer.headers["x-inferq-ignored"]) < 1024


def test_promised_answers_joined_ones_and_errors(stack: Stack, http: httpx.Client) -> None:
    promised = http.post(CHATS, json=chat("Hello", keep_alive="5m"), headers=LATER)
    assert (promised.status_code, told(promised)) == (202, ["keep_alive"])
    again = [http.post(CHATS, json=chat("Hello", num_ctx=1), headers={"Idempotency-Key": "told"}) for _ in range(2)]
    assert [told(answer) for answer in again] == [["num_ctx"]] * 2
    assert again[0].headers["location"] == again[1].headers["location"]
    missing = http.post(CHATS, json={**chat("Hello", num_ctx=1), "model": "none"})
    assert problem(missing, 404)["code"] == "model_not_found"
    assert told(missing) == ["num_ctx"]
    with busy(stack):
        late = http.post(CHATS, json=chat("Hello", num_ctx=1), headers={"x-request-timeout": "0.2"})
    assert problem(late, 504)["code"] == "deadline_exceeded"
    assert told(late) == ["num_ctx"]
    assert told(http.post(CHATS, json=chat("Hello", num_ctx=1, temperature="hot"))) == []


def test_from_the_openai_client(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="echo",
        messages=said("Hello"),
        verbosity="low",
        parallel_tool_calls=False,
        stream_options={"include_usage": True},
        extra_body={"num_ctx": 4096.0, "provider": {"order": ["x"]}, "metadata": []},
    )
    names = ["metadata", "num_ctx", "parallel_tool_calls", "provider", "stream_options", "verbosity"]
    assert sorted(told(raw)) == names
    assert raw.parse().choices[0].message.content == "Hello"
