"""One family's template on some model: what is asked of it, and what is expected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # jsonschema has no types
from msgspec.structs import replace

from shared.cancellation import NEVER
from shared.catalogue import Model
from shared.config import Config
from shared.errors import EngineError
from shared.protocol import Delta, Done, Event, FineChat, FineMessage, Message, Sampling, Tool, ToolCall
from tests.answers import deltas, finish, run
from worker.engines.llama_cpp import LlamaCppEngine
from worker.engines.llama_cpp_dialect import Dialect

TEMPLATES = Path(__file__).parents[1] / "fixtures" / "templates"
NATIVE = (
    "Apertus-8B-Instruct",
    "ByteDance-Seed-OSS",
    "deepseek-ai-DeepSeek-V3.2",
    "GigaChat3-10B-A1.8B",
    "GLM-4.6",
    "ibm-granite-granite-4.0",
    "inclusionai-ling-3.0-flash",
    "Kimi-K2-Instruct",
    "llama-cpp-deepseek-r1",
    "meetkai-functionary-medium-v3.1",
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
    "MiniMax-M1",
    "MiniMax-M3",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "mistralai-Mistral-Nemo-Instruct-2407",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "Qwen-Qwen2.5-7B-Instruct",
    "Qwen-Qwen3-0.6B",
    "Qwen-QwQ-32B",
    "Qwen3-Coder",
    "Qwen3.5-4B",
    "StepFun3.5-Flash",
)
"""These have a form of tools that llama.cpp reads."""
FOREIGN = ("deepseek-ai-DeepSeek-V3.1", "google-gemma-2-2b-it", "HuggingFaceTB-SmolLM3-3B")
"""These have none: inferq's own takes over."""
HALF = ("openai-gpt-oss-120b",)
"""Of these nobody knows how a call begins: they may call in their own form, and must in inferq's."""

RICH: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Paris", "Rome", "Bærum\n"]},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
        "hourly": {"type": "boolean"},
    },
    "required": ["city", "unit", "days", "hourly"],
    "additionalProperties": False,
}
PLAIN: dict[str, Any] = {
    "type": "object",
    "properties": {"hourly": {"type": "boolean"}, "days": {"type": "integer", "enum": [1, 20]}},
    "required": ["hourly", "days"],
    "additionalProperties": False,
}
"""Where texts are free: a random model does not end one."""
ASKED = Message("user", "What will the weather be in Paris?")


@contextmanager
def loaded(family: str, model: Path, prefixes: str = "") -> Iterator[LlamaCppEngine]:
    template = str(TEMPLATES / f"{family}.jinja")
    engine = LlamaCppEngine(
        Model("tiny", "", model, "llama.cpp", None, chat_format=template),
        Config(slots=1, threads=1, context=8192, prefixes=prefixes),
    )
    try:
        yield engine
    finally:
        engine.close()


def tools(dialect: Dialect | None) -> tuple[Tool, Tool]:
    """Two, with arguments that even a random model ends."""
    exact = dialect is not None and dialect.exact
    weather = Tool("weather", "Forecast.", json.dumps(RICH if exact else PLAIN), strict=exact)
    return weather, Tool("wait", "Waits.", json.dumps(PLAIN))


def dialect(engine: LlamaCppEngine) -> Dialect | None:
    return engine.tools.dialect(NEVER)


def task(given: tuple[Tool, ...], seed: int, **more: Any) -> FineChat:
    """One that has to call, once."""
    sampling = Sampling(seed, max_tokens=400, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
    asked = FineChat("tiny", (ASKED,), sampling, tools=given, must_call=True, parallel_calls=False)
    return replace(asked, **more)


def calls(events: list[Event]) -> list[tuple[str, str]]:
    """Name and arguments of each, in order."""
    found: dict[int, tuple[str, str]] = {}
    for delta in deltas(events):
        if delta.call:
            name, arguments = found.get(delta.call.index, (delta.call.name, ""))
            assert name == delta.call.name
            found[delta.call.index] = name, arguments + delta.text
    assert list(found) == list(range(len(found)))
    return [found[index] for index in sorted(found)]


def check(events: list[Event], given: tuple[Tool, ...]) -> str:
    """That all its calls are whole calls of these tools, but for one that was cut off. Returns how it has ended."""
    reason, done = finish(events)
    told = sum(len(delta.tokens) for delta in deltas(events))
    assert told == done.usage.completion_tokens, (told, done)
    found = calls(events)
    schemas = {tool.name: json.loads(tool.parameters) for tool in given}
    for name, arguments in found[:-1] if reason == "length" else found:
        jsonschema.validate(json.loads(arguments), schemas[name])
    assert (reason == "tool_calls") == (bool(found) and reason != "length")
    return str(reason)


def must_call(engine: LlamaCppEngine, given: tuple[Tool, ...], seed: int) -> None:
    """It calls one of them, once, whatever the model would say."""
    events = run(engine, task(given, seed))
    assert check(events, given) == "tool_calls"
    assert len(calls(events)) == 1
    assert all(delta.call for delta in deltas(events)[:-1])


def may_call(engine: LlamaCppEngine, given: tuple[Tool, ...], seed: int) -> None:
    """Whatever it says, no call of it is broken."""
    answer(engine, task(given, seed, must_call=False, parallel_calls=True), given)


def answer(engine: LlamaCppEngine, asked: FineChat, given: tuple[Tool, ...]) -> None:
    """It is, or it is told that what a random model made of random bytes came out another way the second time."""
    try:
        check(run(engine, asked), given)
    except EngineError as exc:
        if "came out another way" not in exc.message:
            raise


def may_call_more(engine: LlamaCppEngine, given: tuple[Tool, ...], seed: int) -> None:
    events = run(engine, task(given, seed, parallel_calls=True))
    check(events, given)
    assert calls(events)


def comes_back(engine: LlamaCppEngine, given: tuple[Tool, ...], *, must_call: bool = False) -> None:
    """A call and its result stand in the prompt of the next turn, and that is answered."""
    call = ToolCall("call_Qh0t9Zf3aXb7Ck2Lm5Np8RsV", given[0].name, '{"hourly": true, "days": 20}')
    said = FineMessage("assistant", "", (call,))
    result = FineMessage("tool", '{"sky": "bluish"}', tool_call_id=call.id, name=call.name)
    asked = task(given, 1, messages=(ASKED, said, result), must_call=must_call)
    prompt = engine.tools.render(asked, NEVER)
    after = prompt[prompt.rindex(ASKED.content) :]
    assert "bluish" in after
    assert call.name in after
    assert "hourly" in after
    answer(engine, asked, given)


def prompt_tokens(events: list[Event]) -> int:
    done = events[-1]
    assert isinstance(done, Done)
    return done.usage.prompt_tokens


def pieces(events: list[Event]) -> list[Delta]:
    return [delta for delta in deltas(events) if delta.call]
