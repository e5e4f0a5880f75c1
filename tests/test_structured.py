"""The form of an answer: what requests say of it, what of that can be kept, and that the engine keeps it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway import grammar_host
from gateway.grammar_host import judge
from gateway.grammars import MOST_KNOWN, Grammars
from shared.card import Card
from shared.errors import InvalidRequest
from shared.parameters import check_parameters
from shared.protocol import Completion, Delta, Done, FineChat, FineSampling, Grammar, Sampling, Tool, Usage
from tests.parsing import chat, completion, refused_chat
from worker.engines.llama_cpp_grammar import keep

S: dict[str, Any] = {
    "type": "object",
    "properties": {"b": {"type": "integer"}, "a": {"type": "string"}},
    "required": ["b"],
}
TEXT = '{"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"string"}},"required":["b"]}'
ANY = '{"type":"object"}'
GBNF = 'root ::= "\\u00e9" [\\x41-\\u00e9]{2} more\nmore ::= ("x" | "/" more)'
LARK = 'start: "\\u00e9"i'


def of(**given: Any) -> Grammar | None:
    sampling = chat(**given)[0].sampling
    assert sampling == replace(completion(**given)[0].sampling, max_tokens=sampling.max_tokens)
    assert (type(sampling) is FineSampling) == (sampling.grammar is not None)
    found: Grammar | None = sampling.grammar
    return found


@pytest.mark.parametrize(
    ("given", "kind", "source", "strict"),
    [
        ({"response_format": {"type": "json_object"}}, "json", ANY, True),
        ({"response_format": {"type": "json_object", "schema": S}}, "json", TEXT, False),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": S}}}, "json", TEXT, False),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": S, "strict": True}}},
            "json",
            TEXT,
            True,
        ),
        ({"response_format": {"type": "json_schema", "schema": S, "name": "n", "strict": True}}, "json", TEXT, True),
        ({"json_schema": S}, "json", TEXT, False),
        ({"json_schema": {}}, "json", "{}", False),
        ({"guided_json": S}, "json", TEXT, True),
        ({"guided_json": json.dumps(S)}, "json", TEXT, True),
        ({"guided_regex": "a|b"}, "regex", "a|b", True),
        ({"guided_choice": ["é", '"']}, "choice", '["é","\\""]', True),
        ({"guided_grammar": LARK}, "lark", LARK, True),
        ({"grammar": LARK}, "lark", LARK, True),
        ({"structured_outputs": {"json": S}}, "json", TEXT, True),
        ({"structured_outputs": {"regex": "a"}}, "regex", "a", True),
        ({"structured_outputs": {"choice": ["a"]}}, "choice", '["a"]', True),
        ({"structured_outputs": {"grammar": LARK}}, "lark", LARK, True),
        ({"structured_outputs": {"json_object": True, "json": None}}, "json", ANY, True),
    ],
)
def test_every_way_to_say_it(given: dict[str, Any], kind: Any, source: str, strict: bool) -> None:
    (name, value) = next(iter(given.items()))
    within = next((f".{key}" for key, part in value.items() if part), "") if name == "structured_outputs" else ""
    assert of(**given) == Grammar(kind, source, strict, name + within)


@pytest.mark.parametrize("name", ["grammar", "grammar_string", "guided_grammar"])
def test_gbnf_becomes_lark(name: str) -> None:
    grammar = of(**{name: GBNF})
    assert grammar is not None
    assert judge(grammar).reason == ""
    assert (grammar.kind, grammar.param) == ("lark", name)
    texts = {"éAax": True, "éA\n//x": False, "éAA//x": True, "ex": False}
    assert {text: kept(grammar, text) for text in texts} == texts


@pytest.mark.parametrize(
    "given",
    [
        {"response_format": {"type": "text"}},
        {"grammar": "", "grammar_string": "\n", "guided_regex": ""},
        {"structured_outputs": {}, "json_schema": None},
        {"guided_decoding_backend": "xgrammar"},
        {"structured_outputs": {"disable_any_whitespace": True, "json_object": False}},
    ],
)
def test_what_asks_for_nothing(given: dict[str, Any]) -> None:
    assert of(**given) is None


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"response_format": {}}, "response_format.type", "missing_required_parameter"),
        ({"response_format": "json"}, "response_format", "invalid_type"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "unsupported_value"),
        ({"response_format": {"type": "structural_tag"}}, "response_format.type", "unsupported_value"),
        ({"response_format": {"type": "text", "x": 1}}, "response_format.x", "unknown_parameter"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing_required_parameter"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            "response_format.json_schema.schema",
            "missing_required_parameter",
        ),
        ({"json_schema": []}, "json_schema", "invalid_type"),
        ({"json_schema": {"a": "x" * 65_536}}, "json_schema", "string_above_max_length"),
        ({"guided_json": "{"}, "guided_json", "invalid_value"),
        ({"guided_json": "[" * 60_000}, "guided_json", "invalid_value"),
        ({"guided_json": "1"}, "guided_json", "invalid_type"),
        ({"guided_regex": "é" * 32_769}, "guided_regex", "string_above_max_length"),
        ({"guided_choice": []}, "guided_choice", "empty_array"),
        ({"guided_choice": ["a", ""]}, "guided_choice[1]", "invalid_value"),
        ({"guided_choice": ["a"] * 1001}, "guided_choice", "array_above_max_length"),
        ({"grammar": "root = 1"}, "grammar", "invalid_value"),
        ({"grammar": 'root ::= "a" nope'}, "grammar", "invalid_value"),
        ({"grammar": "root ::= " + "(" * 60_000}, "grammar", "invalid_value"),
        ({"grammar": "".join(f'r{i} ::= "a"\n' for i in range(257))}, "grammar", "invalid_value"),
        ({"structured_outputs": {"structural_tag": {}}}, "structured_outputs.structural_tag", "unsupported_parameter"),
        ({"structured_outputs": {"regex": "a", "json_object": True}}, "structured_outputs", "invalid_value"),
        ({"guided_regex": "a", "response_format": {"type": "json_object"}}, "guided_regex", "invalid_value"),
        ({"guided_regex": "a", "min_tokens": 2}, "min_tokens", "invalid_value"),
        ({"guided_regex": "a", "ignore_eos": True}, "ignore_eos", "invalid_value"),
        ({"guided_regex": "a", "stop_token_ids": [2]}, "stop_token_ids", "invalid_value"),
        ({"guided_regex": "a", "return_token_ids": True}, "return_token_ids", "invalid_value"),
    ],
)
def test_what_is_refused(given: dict[str, Any], param: str, code: str) -> None:
    assert refused_chat(**given) == (param, code)


def schema(strict: Any = True, **keywords: Any) -> Grammar:
    return Grammar("json", json.dumps(keywords), strict, "response_format")


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        (schema(**S), ""),
        (schema(**{"$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}), ""),
        (schema(type="string", maxLength=10**8, pattern=r"^[a-z]{2,40}-\d{4}$"), ""),
        (schema(uniqueItems=True), '"uniqueItems"'),
        (schema(strict=False, uniqueItems=True), ""),
        (schema(type="string", format="unheard-of"), "unheard-of"),
        (schema(strict=False, type="string", pattern="(?=a)b"), "look-ahead"),
        (schema(enum=[]), "Unsatisfiable"),
        (schema(**{"$ref": "https://example.org/s"}), "example.org"),
        (schema(**{"x-guidance": {"whitespace_flexible": True}}), "x-guidance"),
        (Grammar("regex", "(a"), "unclosed"),
        (Grammar("lark", "start: nope"), "nope"),
        (Grammar("lark", 'start: "<b>" /<c>/ // <d>'), ""),
        (Grammar("lark", "start: <|im_start|>"), "tokens"),
        (Grammar("lark", '%llguidance {"allow_invalid_utf8": true}\nstart: /a/'), "options"),
    ],
)
def test_what_can_be_kept_and_what_not(grammar: Grammar, reason: str) -> None:
    found = judge(grammar)
    assert bool(found.reason) == bool(reason)
    assert reason in found.reason
    assert found.reason.isprintable()
    assert not found.costly


@pytest.mark.parametrize(
    ("expression", "costly"),
    [
        ("a{1000}", False),
        ("(a{31}b){32}", False),
        ("(a{100}|b){100}", True),
        ("((a?){40}){30}", True),
        (r"[{]{3}\{1001}x{2}(y{20}|z{30}){10}", False),
        ("a{1001,}", True),
    ],
)
def test_repetitions_are_counted_within_each_other(expression: str, costly: bool) -> None:
    assert judge(Grammar("regex", expression)).costly == costly
    assert judge(schema(items={"pattern": expression, "type": "string"})).costly == costly
    assert judge(Grammar("lark", f'start: "(a{{999}}){{999}}" /{expression}/')).costly == costly


def test_what_takes_too_much_ends_the_child_alone() -> None:
    """Each of these would take llama.cpp seconds, gigabytes or its life."""
    grammars, quick = Grammars(), Completion("m", ("a",), FineSampling(1, grammar=schema(**S)))
    hostile = [
        schema(type="array", maxItems=10**8),
        schema(type="integer", multipleOf=1_000_003),
        schema(allOf=[{"type": "string", "pattern": f"w{i}"} for i in range(30)]),
        Grammar("lark", "start: A\nA: " + " & ".join(f"/(.|\\n)*w{i}(.|\\n)*/" for i in range(30))),
    ]
    try:
        for grammar in hostile:
            for _ in range(2):  # the second time it is known
                with pytest.raises(InvalidRequest, match="takes too much") as caught:
                    grammars.check(replace(quick, sampling=FineSampling(1, grammar=grammar)), "me")
                assert caught.value.param == grammar.param
            grammars.check(quick, "me")
        costly = Tool("t", parameters=hostile[1].source)
        with pytest.raises(InvalidRequest, match="'t': it takes too much"):
            grammars.check(FineChat("m", (), Sampling(1), tools=(costly,)), "me")
        many = tuple(Tool(f"t{i}", parameters=schema(type="array", maxItems=9_000).source) for i in range(60))
        grammars.check(FineChat("m", (), Sampling(1), tools=many[:2]), "me")
        with pytest.raises(InvalidRequest, match="together: it takes too much"):
            grammars.check(FineChat("m", (), Sampling(1), tools=many), "me")
        lenient = Tool("t", parameters=schema(pattern="(?=a)").source)
        grammars.check(FineChat("m", (), Sampling(1), tools=(lenient,)), "me")
        with pytest.raises(InvalidRequest, match="look-ahead"):
            grammars.check(FineChat("m", (), Sampling(1), tools=(replace(lenient, strict=True),)), "me")
        assert len(grammars._known) < MOST_KNOWN
    finally:
        grammars._end()


def test_an_engine_without_grammars_names_what_was_sent() -> None:
    task = Completion("m", ("a",), FineSampling(7, grammar=schema(**S)))
    with pytest.raises(InvalidRequest, match="'response_format'") as caught:
        check_parameters(task, Card("m", "ctransformers", "gptj", 10, 1, 1))
    assert (caught.value.param, caught.value.code) == ("response_format", "unsupported_parameter")


def kept(grammar: Grammar, *texts: str, finish_reason: Any = "stop", stop: tuple[str, ...] = ()) -> bool:
    deltas = [Delta("Hm", reasoning=True), *map(Delta, texts), Delta(finish_reason=finish_reason)]
    events, passed = keep([*deltas, Done(Usage(1, 1))], FineSampling(1, grammar=grammar, stop=stop)), list[Any]()
    with suppress(InvalidRequest):
        passed.extend(events)
    assert passed == [*deltas, Done(Usage(1, 1))][: len(passed)]
    return len(passed) > len(deltas)


def test_an_answer_that_is_let_go_of_its_grammar_fails() -> None:
    """llama.cpp goes on with free text where its llguidance gives up."""
    assert kept(schema(**S), '{"b": 1', ', "a": "é', '"}')
    assert not kept(schema(**S), "Sure! ", '{"b": 1}')
    assert not kept(schema(**S), '{"b": 1}', " That is all.")
    assert not kept(schema(**S), '{"b": ')
    assert kept(schema(**S), '{"b": ', finish_reason="length")
    assert kept(schema(**S), '{"b": ', stop=("1",))
    assert not kept(schema(**S), '{\n "b"', finish_reason="length")


def test_the_trial_has_a_vocabulary_like_a_models() -> None:
    words = grammar_host._Vocabulary()
    assert len(words.tokens) == len(set(words.tokens)) > 25_000
    assert b"".join(words.tokens[number] for number in words("a thé\n")) == "a thé\n".encode()


def test_every_format_that_is_promised_is_kept() -> None:
    [told] = re.findall(r"and the formats (.*?)\. ", Path("docs/structured-output.md").read_text(), re.DOTALL)
    named = re.findall("`(.*?)`", told)
    refused = [name for name in named if judge(Grammar("json", json.dumps({"type": "string", "format": name}))).reason]
    assert len(named) > 5
    assert not refused
