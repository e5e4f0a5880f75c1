"""inferq's own form of tools in llama.cpp, with a model that knows nothing: what is forced does not need it to."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # there are no types of it
import pytest
from msgspec.structs import replace

from shared.cancellation import NEVER
from shared.config import Config
from shared.protocol import Delta, Done, FineChat, FineMessage, Grammar, Message, Sampling, Tool, ToolCall
from tests.tiny import roomy, tiny
from worker.engines.llama_cpp import LlamaCppEngine

TEMPLATE = """
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('no system messages') }}{% endif -%}
{%- for message in messages -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('take turns') }}{% endif -%}
{{ message['role'] }}: {{ message['content'] | trim }}
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}
"""
"""As strict as Gemma's."""
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 10, "maximum": 99}}, "required": ["n"]}
COUNT = Tool("count", "", json.dumps({**SCHEMA, "additionalProperties": False}), strict=True)
NUMBER = Tool("number", custom=True, grammar=Grammar("regex", "[0-9]{2}"))
TURNS = (
    Message("user", "Count."),
    FineMessage("assistant", "", (ToolCall("1", "count", '{"n": 10}'), ToolCall("2", "number", "11", True))),
    FineMessage("tool", "eleven", tool_call_id="2"),
    FineMessage("tool", "ten", tool_call_id="1"),
    Message("user", "And again."),
)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("templates") / "strict.jinja"
    path.write_text(TEMPLATE)
    return path


def test_what_is_forced_is_right_whatever_the_model_and_its_template(tmp_path: Path, strict: Path) -> None:
    model = tiny(roomy(tmp_path), chat_format=str(strict))
    task = FineChat("tiny", TURNS, Sampling(1, max_tokens=200, temperature=1.0), must_call=True, parallel_calls=False)
    names = set[str]()
    with closing(LlamaCppEngine(model, Config(slots=1, threads=1))) as engine:
        for seed, tools in enumerate([(COUNT, NUMBER), (NUMBER, COUNT), (NUMBER,)] * 2):
            asked = replace(task, sampling=replace(task.sampling, seed=seed), tools=tools)
            *deltas, last, done = list(engine.run(asked, NEVER))
            assert isinstance(last, Delta)
            assert isinstance(done, Done)
            pieces = [delta for delta in deltas if isinstance(delta, Delta)]
            text = "".join(piece.text for piece in pieces)
            (call,) = {piece.call for piece in pieces}
            assert call is not None
            names.add(call.name)
            assert last.finish_reason == "tool_calls"
            assert sum(len(delta.tokens) for delta in (*pieces, last)) == done.usage.completion_tokens
            if call.custom:
                assert 0 <= int(text) <= 99
            else:
                jsonschema.validate(json.loads(text), SCHEMA)
        # Without tools the conversation has still to be told.
        plain = replace(task, must_call=False, sampling=Sampling(1, max_tokens=1))
        assert isinstance(list(engine.run(plain, NEVER))[-1], Done)
    assert names == {"count", "number"}
