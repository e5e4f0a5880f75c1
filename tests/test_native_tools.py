"""Tools in a template's own form, through the engine alone, on a model with random weights: what holds there holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shared.cancellation import NEVER
from shared.errors import ContextLengthExceeded, JobCancelled
from shared.protocol import Caching, FineMessage, Message, Progress, Sampling, Tool, ToolCall
from tests.answers import Running, deltas, finish, run
from tests.templates import family
from tests.tiny import roomy
from worker.engines import llama_cpp_server
from worker.engines.llama_cpp import LlamaCppEngine
from worker.engines.llama_cpp_calls import Arguments
from worker.engines.llama_cpp_chat_answer import ChatAnswer
from worker.engines.llama_cpp_server import LlamaServer
from worker.engines.llama_cpp_turns import CallIds, adapt
from worker.engines.messages import make_messages

QWEN, MISTRAL, CODER = "Qwen-Qwen2.5-7B-Instruct", "mistralai-Mistral-Nemo-Instruct-2407", "Qwen3-Coder"
SEEDS = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tmp_path_factory.mktemp("roomy"))


@pytest.fixture(scope="module")
def qwen(model: Path) -> Iterator[LlamaCppEngine]:
    with family.loaded(QWEN, model) as engine:
        yield engine


@pytest.fixture(scope="module")
def given(qwen: LlamaCppEngine) -> tuple[Tool, Tool]:
    return family.tools(family.dialect(qwen))


@pytest.mark.parametrize("name", [QWEN, MISTRAL, CODER])
def test_forced_means_forced_whatever_the_model_would_say(model: Path, name: str) -> None:
    with family.loaded(name, model) as engine:
        dialect = family.dialect(engine)
        given = family.tools(dialect)
        assert dialect
        assert dialect.opener
        assert dialect.exact == (name != CODER)
        for seed in range(SEEDS):
            family.must_call(engine, given, seed)
            family.must_call(engine, given[:1], seed)  # a named one
            family.may_call_more(engine, given, seed)
            family.may_call(engine, given, seed)
        family.comes_back(engine, given)


def test_a_template_without_tools_or_without_a_known_opener_leaves_them_to_inferqs_own_form(model: Path) -> None:
    with family.loaded("google-gemma-2-2b-it", model) as engine:
        assert family.dialect(engine) is None
    with family.loaded("openai-gpt-oss-120b", model) as engine:
        dialect = family.dialect(engine)
        assert dialect
        assert not dialect.opener
        given = family.tools(dialect)
        assert engine.tools.answer(family.task(given, 1), {}, Running(), 0.0) is None
        family.must_call(engine, given, 1)


def test_what_llama_cpps_grammars_cannot_hold_is_left_to_inferqs_own_form(qwen: LlamaCppEngine) -> None:
    def native(parameters: str = "", *, strict: bool = True, **more: object) -> bool:
        task = family.task((Tool("weather", "", parameters, strict=strict),), 1)
        return qwen.tools.answer(replace(task, **more), {}, Running(), 0.0) is not None

    bounded = '{"type": "object", "properties": {"days": {"anyOf": [{"type": "integer", "maximum": 7}]}}}'
    free = '{"type": "object", "properties": {"pattern": {"enum": [{"maximum": 2}]}}}'
    assert native()
    assert native(free)
    assert native(bounded, strict=False)
    assert not native(bounded)
    assert not native(free, token_ids=True)
    costly = (
        '{"type": "string", "pattern": "^((a{0,99}){0,99}){0,99}$"}',  # of which llama.cpp dies
        '{"type": "array", "items": {"type": "boolean"}, "maxItems": 100000}',
        json.dumps({"enum": [f"value {number}" for number in range(501)]}),
    )
    for schema in costly:
        assert not native(f'{{"type": "object", "properties": {{"a": {schema}}}}}', strict=False)
    assert not native(free, sampling=Sampling(1, ignore_eos=True))


def test_a_call_that_is_cut_off_says_so_and_its_beginning_has_come(
    qwen: LlamaCppEngine, given: tuple[Tool, Tool]
) -> None:
    whole = family.calls(run(qwen, family.task(given[:1], 3)))
    events = run(qwen, family.task(given[:1], 3, sampling=replace(family.task(given, 3).sampling, max_tokens=70)))
    assert finish(events)[0] == "length"
    assert finish(events)[1].usage.completion_tokens == 70
    [(name, arguments)] = family.calls(events)
    assert (name, len(arguments) > 1) == ("weather", True)
    assert whole[0][1].startswith(arguments)


def test_a_prompt_without_room_is_refused_and_one_that_nobody_wants_is_left(
    qwen: LlamaCppEngine, given: tuple[Tool, Tool]
) -> None:
    task = family.task(given, 1)
    with pytest.raises(ContextLengthExceeded):
        run(qwen, replace(task, messages=(Message("user", "word " * 9000),)))
    running = Running()
    events = qwen.run(replace(task, messages=(Message("user", "word " * 1500),)), running)
    assert isinstance(next(iter(events)), Progress)
    running.cancel()
    with pytest.raises(JobCancelled):
        next(iter(events))
    family.must_call(qwen, given, 1)


def test_tools_and_instructions_are_not_read_twice_but_by_another_key(
    model: Path, given: tuple[Tool, Tool], tmp_path: Path
) -> None:
    system = Message("system", "You tell the weather of cities. " * 40)

    def ask(engine: LlamaCppEngine, question: str, key: str = "") -> int:
        sampling = replace(family.task(given, 1).sampling, caching=Caching(key=key))
        events = run(engine, family.task(given, 1, messages=(system, Message("user", question)), sampling=sampling))
        assert family.check(events, given) == "tool_calls"
        return finish(events)[1].usage.cached_tokens

    with family.loaded(QWEN, model, str(tmp_path)) as engine:
        assert ask(engine, "And in Rome?") == 0
        whole = ask(engine, "And in Rome?")
    with family.loaded(QWEN, model, str(tmp_path)) as engine:
        assert ask(engine, "What of Oslo?", key="another") == 0
        assert ask(engine, "What of Oslo?") >= 0.9 * whole > 256


def test_texts_of_special_tokens_stay_text_wherever_they_come_from(
    qwen: LlamaCppEngine, given: tuple[Tool, Tool]
) -> None:
    special = next(text for text in ("<|endoftext|>", "<|im_end|>", "</s>") if _broken(qwen, text))
    call = ToolCall("call_1", "weather", json.dumps({"city": special}))
    turns = (
        Message("user", f"u{special}"),
        FineMessage("assistant", f"a{special}", (call,)),
        FineMessage("tool", f"t{special}", tool_call_id="call_1"),
    )
    told = (replace(given[0], description=f"d{special}"), given[1])
    prompt = qwen.tools.render(family.task(told, 1, messages=turns), NEVER)
    plain = qwen.tools.render(family.task(given, 1, messages=(family.ASKED,)), NEVER)
    assert prompt.count(special) <= plain.count(special) + 2  # the template's own, of two more turns
    assert not any(mark + special in prompt for mark in "uatd")


def _broken(engine: LlamaCppEngine, text: str) -> bool:
    return len(engine._specials.break_specials(text)) > len(text)


def test_an_answer_that_makes_room_begins_anew_and_nobody_sees_it(
    qwen: LlamaCppEngine, given: tuple[Tool, Tool], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, attempts = run(qwen, family.task(given, 2)), 0

    def grow(share: object, tokens: int) -> bool:
        return attempts != 1 or tokens < family.prompt_tokens(alone) + 20

    attempt = ChatAnswer._attempt

    def count(*args: object) -> object:
        nonlocal attempts
        attempts += 1
        return attempt(*args)  # type: ignore[arg-type]  # whatever it is called with

    monkeypatch.setattr(qwen.tools._cells, "grow", grow)
    monkeypatch.setattr(ChatAnswer, "_attempt", count)
    events = run(qwen, family.task(given, 2))
    assert attempts == 2
    assert family.calls(events) == family.calls(alone)
    assert finish(events)[1].usage.completion_tokens == finish(alone)[1].usage.completion_tokens
    assert [delta.finish_reason for delta in deltas(events)][-1] == "tool_calls"


def test_ids_of_calls_become_what_the_template_wants_the_same_each_time(model: Path) -> None:
    call = ToolCall("call_Qh0t9Zf3aXb7Ck2Lm5Np8RsV", "wait", '{"days": 1')
    turns = [FineMessage("assistant", "", (call, replace(call, id="call_2", arguments=""))), Message("user", "?")]
    for ids, pattern in ((CallIds.GIVEN, call.id), (CallIds.NAMING, "functions.wait:0")):
        assert adapt(turns, ids)[0].tool_calls[0].id == pattern  # type: ignore[attr-defined]  # it is that one with calls
    [said, _] = adapt(turns, CallIds.SHORT)
    assert isinstance(said, FineMessage)
    first, second = said.tool_calls
    assert len(first.id) == 9
    assert first.id.isalnum()
    assert first.id != second.id
    assert adapt(turns, CallIds.SHORT)[0] == said
    [told] = make_messages([said], lambda text, _: text)
    arguments = [json.loads(each["function"]["arguments"]) for each in told["tool_calls"]]
    assert arguments == [{"input": '{"days": 1'}, {}]
    with family.loaded(MISTRAL, model) as engine:
        dialect = family.dialect(engine)
        assert dialect
        assert dialect.ids is CallIds.SHORT


def test_arguments_are_json_whatever_the_grammar_let_through() -> None:
    arguments = Arguments()
    text = '{"a\n": "}\\"\t", "b": [{}]}'
    assert "".join(map(arguments.add, text)) == '{"a\\n": "}\\"\\t", "b": [{}]}'
    assert arguments.whole
    assert arguments.add("</tool_call>") == ""
    begun = Arguments()
    begun.add('{"a": [1')
    assert begun.close([]) == ""
    begun.add("]")
    assert begun.close(["b"]) == ""
    assert begun.close(["a"]) == "}"
    assert begun.whole


def test_silence_while_a_call_may_begin_is_no_death_and_ends_in_time(
    qwen: LlamaCppEngine, given: tuple[Tool, Tool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parser says nothing of what it cannot read, however long that is."""
    asked = 0
    ask = LlamaServer.ask

    def count(server: LlamaServer, path: str, *args: Any, **more: Any) -> Any:
        nonlocal asked
        asked += path == "/lora-adapters"
        return ask(server, path, *args, **more)

    monkeypatch.setattr(llama_cpp_server, "LISTENING", 0.02)
    monkeypatch.setattr(LlamaServer, "ask", count)
    monkeypatch.setattr(qwen, "_seconds", 1.0)
    task = family.task(given, 1, must_call=False, sampling=Sampling(1, temperature=1.0, logit_bias=_never_end(qwen)))
    events = run(qwen, task)
    assert finish(events)[0] == "length"
    assert 0 < finish(events)[1].usage.completion_tokens < 7000
    assert asked > 1
    family.must_call(qwen, given, 1)


def _never_end(engine: LlamaCppEngine) -> tuple[tuple[int, float], ...]:
    return tuple((token, -100.0) for token in engine._ends)
