"""inferq's own form of tools: what it writes, what its grammar lets pass, and what is read out of whatever comes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from shared.errors import EngineError, InvalidRequest
from shared.protocol import (
    Call,
    Chat,
    Delta,
    Done,
    Event,
    FineChat,
    FineMessage,
    FinishReason,
    Grammar,
    Message,
    Sampling,
    Tool,
    ToolCall,
    Usage,
)
from worker.engines.llama_cpp_grammar import rules
from worker.engines.stops import Spelling, StopStrings
from worker.tools import OPENER, needs_form, own_form, parse
from worker.tools.form import BETWEEN, END_OF_TEXT, write_call
from worker.tools.grammar import MOST_CALLS
from worker.tools.parser import MOST_BLANKS

WEATHER = Tool(
    "weather",
    "How it will be",
    '{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":7}},'
    '"required":["city"],"additionalProperties":false}',
    strict=True,
)
PING = Tool("ping")
RUN = Tool("run", "Runs Python", custom=True)
NUMBER = Tool("number", custom=True, grammar=Grammar("regex", r"[0-9/]+"))
SUM = Tool("sum", custom=True, grammar=Grammar("lark", 'start: next ("+" next)* // "}\nnext: /[0-9]+/'))
TOOLS = (WEATHER, PING, RUN, NUMBER, SUM)
ASKED = Message("user", "And?")
JSON = Grammar("json", '{"type":"object"}', strict=False)
BYTES = LLTokenizer("byte")


def chat(*tools: Tool, messages: Iterable[Message] = (ASKED,), grammar: Grammar | None = None, **more: Any) -> FineChat:
    return FineChat("m", tuple(messages), Sampling(1, grammar=grammar, stop=more.pop("stop", ())), tools=tools, **more)


def call(tool: Tool, arguments: str) -> ToolCall:
    return ToolCall("id", tool.name, arguments, tool.custom)


def write(*calls: ToolCall, content: str = "") -> str:
    return BETWEEN.join(filter(None, (content, *map(write_call, calls))))


def fits(text: str, task: FineChat) -> bool:
    """Whether it may be an answer."""
    grammar = own_form(task).sampling.grammar
    assert grammar is not None
    matcher = LLMatcher(BYTES, rules(grammar), log_level=0)
    return bool(matcher.consume_tokens(list(text.encode()))) and bool(matcher.is_accepting())


def read(
    pieces: Iterable[str], task: FineChat | None = None, reason: FinishReason = "stop"
) -> tuple[str, list[ToolCall], FinishReason | None]:
    """Content, calls and how it ends, of an answer that comes in pieces of one token each."""
    given = [Delta(piece, (number,)) for number, piece in enumerate(pieces)]
    end: list[Event] = [Delta(finish_reason=reason), Done(Usage(1, len(given)))]
    *events, last, done = parse([*given, *end], task or chat(*TOOLS))
    deltas = [event for event in (*events, last) if isinstance(event, Delta)]
    assert [token for delta in deltas for token in delta.tokens] == list(range(len(given)))
    assert done == end[-1]
    assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    content, calls = "", list[tuple[Call, str]]()
    for delta in deltas:
        if delta.call is None:
            content += delta.text
        elif calls and calls[-1][0] == delta.call:
            calls[-1] = (delta.call, calls[-1][1] + delta.text)
        else:
            calls.append((delta.call, delta.text))
    assert [each.index for each, _ in calls] == list(range(len(calls)))
    assert isinstance(last, Delta)
    return content, [ToolCall("id", each.name, text, each.custom) for each, text in calls], last.finish_reason


CITIES = st.builds(
    lambda city, days: call(WEATHER, json.dumps({"city": city, "days": days}, ensure_ascii=False)),
    st.text(max_size=20),
    st.integers(1, 7),
)
TEXTS = st.text(max_size=20).filter(lambda text: END_OF_TEXT not in f"\n{text}\n").map(lambda text: call(RUN, text))
NUMBERS = st.from_regex(r"[0-9/]+", fullmatch=True).map(lambda text: call(NUMBER, text))
CONTENTS = st.text(st.characters(blacklist_characters="<"), max_size=20).map(str.strip)
"""What the grammar lets pass before a call."""

SCRAPS = st.sampled_from(
    [
        *(OPENER, "<tool_call", ">", "\n", " " * 9, "</tool_call>", '{"name": "', '"}\n', '", "arguments": ', "{", "}"),
        *('"', "\\", '\\"', "[", "]", "weather", "run", "number", "sum", "é", "a", "<", '{"city": "<tool_call>"}'),
        *(write_call(call(tool, "{}" if not tool.custom else "1")) for tool in TOOLS),
    ]
)


@settings(deadline=None, max_examples=40)
@given(CONTENTS, st.lists(CITIES | TEXTS, min_size=1, max_size=MOST_CALLS - 1), st.none() | NUMBERS)
def test_what_is_written_is_read_and_the_grammar_lets_it_pass(
    content: str, calls: list[ToolCall], last: ToolCall | None
) -> None:
    calls += [last] if last else []
    text = write(*calls, content=content)
    assert read(text) == (content, calls, "tool_calls")
    # In JSON as the grammar has it, DEL is escaped, which Python does not.
    if "\x7f" not in text:
        assert fits(text, chat(*TOOLS)), text


@settings(deadline=None)
@given(st.lists(SCRAPS, max_size=30).map("".join), st.lists(st.integers(0, 400), max_size=12), st.booleans())
@example("<" * 20 + OPENER + '\n{"name": "weather", "arguments": {"a": "\\\\"}}\n</tool_call>', [20, 60], False)
def test_whatever_comes_is_the_same_in_any_pieces_and_nothing_is_lost(text: str, cuts: list[int], bound: bool) -> None:
    task = chat(*TOOLS, grammar=JSON if bound else None)
    marks = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    whole = read([text], task)
    assert read(text, task) == read([text[a:b] for a, b in pairwise(marks)], task) == whole
    content, calls, reason = whole
    assert reason == ("tool_calls" if calls else "stop")
    if not calls:
        assert content == text
    # What is not there any more is white space and the words of the form.
    left = "".join(content.split()) + "".join("".join(each.arguments.split()) for each in calls)
    assert len("".join(text.split())) - len(left) <= sum(len(write_call(call(t, "{}"))) for t in TOOLS) * len(calls)


def test_an_answer_may_be_cut_anywhere() -> None:
    calls = [call(WEATHER, '{"city": "Oslo"}'), call(RUN, "print(1)"), call(NUMBER, "1/2")]
    text = write(*calls, content="Let me see.")
    for end in range(len(text)):
        content, found, reason = read([text[:end]], reason="length")
        assert reason == "length"
        assert content.startswith("Let me see."[:end])
        for was, now in zip(calls, found, strict=False):
            assert (now.name, now.custom) == (was.name, was.custom)
            assert was.arguments.startswith(now.arguments) or now.arguments.startswith(was.arguments)
    # The beginning of a call is none of the content, once nobody can take it for something else.
    for cut, content in ((f'Hm\n{OPENER}\n{{"name": "we', "Hm"), ("<tool", "<tool"), (OPENER, "")):
        assert read([cut], reason="length")[0] == content
        assert read([cut], reason="stop")[0] == cut
        assert read([cut], chat(*TOOLS, must_call=True), reason="length")[0] == content.removesuffix("<tool")


def test_a_call_is_told_as_it_comes() -> None:
    text = "Well\n" + write(call(WEATHER, '{"city": "Oslo"}'))
    events = parse([*(Delta(letter, (1,)) for letter in text), Delta(finish_reason="stop")], chat(WEATHER))
    told = [(event.text, event.call) for event in events if isinstance(event, Delta)]
    opened = Call(0, "weather")
    letters = [*"Well", *'{"city": "Oslo"}']
    assert told == [*((letter, None) for letter in "Well"), *((letter, opened) for letter in letters[4:]), ("", None)]


def test_thoughts_and_progress_pass_and_blanks_before_a_call_are_no_content() -> None:
    thought = Delta(f"I write {OPENER}", reasoning=True)
    assert next(iter(parse([thought], chat(RUN)))) is thought
    for blanks in (0, 3, MOST_BLANKS, MOST_BLANKS + 2):
        content, calls, _ = read("Hm" + "\n" * blanks + write_call(call(PING, "{}")))
        assert (content, len(calls)) == ("Hm" + "\n" * max(0, blanks - MOST_BLANKS), 1)
    assert read("Hm" + "\n" * 30)[0] == "Hm" + "\n" * 30


def test_what_must_be_a_call_is_one_or_fails() -> None:
    with pytest.raises(EngineError):
        read("Hello", chat(PING, must_call=True))
    assert read("Hello", chat(PING, must_call=True), "length")[2] == "length"


def test_the_grammar_holds_what_the_request_asks_for() -> None:
    good, bad = call(WEATHER, '{"city": "Oslo", "days": 7}'), call(WEATHER, '{"city": "Oslo", "days": 8}')
    free, forced, single = (
        chat(*TOOLS),
        chat(*TOOLS, must_call=True),
        chat(*TOOLS, must_call=True, parallel_calls=False),
    )
    content = chat(*TOOLS, grammar=JSON)
    assert fits(write(good, content="Hm."), free)
    assert not fits(write(bad), free)
    assert not fits(write(good) + "\nDone.", free)
    assert fits("No call.", free)
    assert not fits("No call.", forced)
    assert not fits(write(good, content="Hm."), forced)
    assert fits(write(good, call(PING, "{}"), call(NUMBER, "1/2")), forced)
    assert not fits(write(call(NUMBER, "1/2"), good), forced)
    assert fits(write(good), single)
    assert not fits(write(good, good), single)
    assert fits(write(*[good] * MOST_CALLS), forced)
    assert not fits(write(*[good] * (MOST_CALLS + 1)), forced)
    assert not fits(write(call(PING, '{"more": 1}')), forced)
    assert fits('{"a": 1}', content)
    assert not fits("text", content)
    assert fits(write(good), content)
    assert not fits(write(good), chat(PING))
    assert fits(write_call(call(SUM, "1+2")).removesuffix(END_OF_TEXT), forced)
    assert not fits(write_call(call(SUM, "1+")).removesuffix(END_OF_TEXT), forced)
    assert not fits(write_call(call(NUMBER, "x")), forced)


def test_content_of_a_grammar_may_have_the_opener() -> None:
    task = chat(PING, grammar=Grammar("regex", "[a-z<>_]+"))
    assert fits(f"a{OPENER}", task)
    assert read(f"a{OPENER}", task) == (f"a{OPENER}", [], "stop")
    assert read(write(call(PING, "{}")), task) == ("", [call(PING, "{}")], "tool_calls")


@pytest.mark.parametrize(
    ("schema", "fitting", "unfit"),
    [
        ('{"type":"object","properties":{"a":{"type":"string"}}}', '{"a": "b"}', '{"b": 1}'),
        ('{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":{}}', '{"b": 1}', '{"a": 1}'),
        ('{"type":"object","properties":{"a":{"properties":{"b":{}}}}}', '{"a": {"b": 1}}', '{"a": {"c": 1}}'),
        ('{"type":"object","properties":{"a":{}},"anyOf":[{"required":["b"]},{"required":["a"]}]}', '{"b": 1}', "{}"),
        ('{"type":"object","properties":{"a":{"uniqueItems":true,"type":"array"}}}', '{"a": [1, 1]}', '{"a": 1}'),
        ('{"type":"object","properties":{"a":{"type":"string","pattern":"(?=b)b"}}}', '{"c": 1}', "[]"),
        ('{"type":"object","allOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}]}', '{"a": 1, "b": 2}', "1"),
    ],
)
def test_a_schema_is_kept_to_as_far_as_can_be_and_a_strict_one_altogether(
    schema: str, fitting: str, unfit: str
) -> None:
    task = chat(Tool("f", "", schema), PING, must_call=True)
    assert fits(write(call(task.tools[0], fitting)), task)
    assert not fits(write(call(task.tools[0], unfit)), task)
    if "pattern" in schema or "uniqueItems" in schema:
        with pytest.raises(InvalidRequest) as refused:
            own_form(chat(Tool("f", "", schema, strict=True), PING))
        assert refused.value.param == "tools"


def test_tools_that_take_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.tools.grammar.LONGEST_PREPARATION", 0.0)
    with pytest.raises(InvalidRequest, match="takes too much"):
        own_form(chat(*TOOLS))


def test_the_conversation_is_told_in_turns_and_begins_the_same() -> None:
    calls = (ToolCall("1", "weather", '{"city": "Oslo"}'), ToolCall("2", "run", "print(1)", True))
    results = (FineMessage("tool", "one", tool_call_id="2"), FineMessage("tool", "sunny", tool_call_id="1"))
    turns = (Message("system", "Be brief."), ASKED, FineMessage("assistant", "Hm.", calls), *results)
    task = own_form(
        chat(*TOOLS, messages=(*turns, Message("user", "So?"), FineMessage("assistant", "A", reasoning="T")))
    )
    system, asked, called, told, answered = task.messages
    assert system.content.endswith("\n\nBe brief.")
    assert all(json.dumps(tool.name) in system.content for tool in TOOLS)
    assert WEATHER.parameters in system.content
    assert asked == ASKED
    assert called == Message("assistant", write(*calls, content="Hm."))
    assert told.content == ("<tool_response>\nsunny\n</tool_response>\n<tool_response>\none\n</tool_response>\nSo?")
    assert [turn.role for turn in task.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert answered == FineMessage("assistant", "A", reasoning="T")
    prefix = system.content.removesuffix("Be brief.")
    assert own_form(chat(*TOOLS, messages=turns)).messages[0].content == prefix + "Be brief."
    alone = own_form(chat(*TOOLS))
    assert alone.messages == (Message("system", prefix.rstrip("\n")), ASKED)
    without = own_form(chat(*TOOLS), system=False)
    assert without.messages == (Message("user", f"{prefix}And?"),)
    plain = Chat("m", turns, Sampling(1))
    assert needs_form(plain)
    assert own_form(plain).messages[0] == turns[0]
    assert own_form(plain).sampling.grammar is None
    assert not needs_form(Chat("m", (ASKED,), Sampling(1)))


def test_stop_strings_are_looked_for_in_content_only() -> None:
    stops = StopStrings(("city", "\n\n"), OPENER)
    text = write(call(WEATHER, '{"city": "\n\n"}'))
    for before, end in (("Oslo ", None), ("A city", 2), ("A\n\n", 1)):
        spelling = Spelling(stops)
        pieces = [spelling.say(letter, 1) for letter in before + text if not spelling.stopped]
        told = "".join(piece.text for piece in (*filter(None, pieces), spelling.rest()))
        assert spelling.stopped == (end is not None)
        assert told == before[:end] + (text if end is None else "")
    assert own_form(chat(PING, must_call=True, stop=("x",))).sampling.stop == ()
    assert own_form(chat(PING, stop=("x",))).sampling.stop == ("x",)


@pytest.mark.parametrize("unfit", [{"min_tokens": 1}, {"ignore_eos": True}, {"stop_token_ids": (1,)}])
def test_what_cannot_be_kept_together_with_tools_is_refused(unfit: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(unfit))):
        own_form(FineChat("m", (ASKED,), Sampling(1, **unfit), tools=(PING,)))
