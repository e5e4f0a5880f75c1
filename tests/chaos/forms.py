"""What answers consist of beside a text, how an echo engine is told to give it, and what a client then reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

from tests.calls import CHATS, COMPLETIONS, said
from tests.chaos.vectors import EMBEDDINGS, embed
from worker.engines.echo_answer import TOKEN
from worker.engines.echo_logprobs import judge
from worker.engines.echo_tokenizer import number

MESSAGES, INFILL, RESPONSES, FILES = "/v1/messages", "/v1/infill", "/v1/responses", "/v1/files"
CONTEXT = 32_768


class Form(StrEnum):
    """What an answer is to be."""

    TEXT = "text"
    THOUGHTS = "thoughts"
    """Thoughts, then a text."""
    CALLS = "calls"
    """Thoughts, a text, then two calls."""
    JSON = "JSON"
    """Of a schema."""
    LIKELY = "likely text"
    """Thoughts, then a text, with their log probabilities."""
    ECHO = "echo"
    """A prompt, and after it as much as was asked for, with the log probabilities of both."""
    SCORES = "scores"
    """A text, and the log probabilities of its prompt."""
    MESSAGE = "message"
    """Thoughts, a text, then two calls, in Anthropic's blocks."""
    GAP = "gap"
    """What fills one."""
    RESPONSE = "response"
    """The same in the items of a response, which is stored."""
    STORED = "stored chat"
    """A text that is stored. It has nothing that an earlier release would not know: its workers answer it, too."""
    TALK = "conversation"
    """Responses, one after the other, in one conversation."""
    CHAIN = "chain"
    """The same, each of which names the one before."""
    FILE = "file"
    PARTS = "file in parts"
    COUNT = "count"
    """What a tokenizer says of a text or a conversation."""
    EMBEDDING = "embedding"
    BATCH = "batch"
    """Of many requests in a file, see `plan`."""


INSTANT = (Form.COUNT, Form.FILE, Form.PARTS, Form.EMBEDDING)
"""Those for which no worker computes for long."""
LASTING = tuple(form for form in Form if form not in INSTANT)
"""Those that take long enough to be hurt."""
FORMS = (*[Form.TEXT] * 4, *[form for form in LASTING if form is not Form.TEXT] * 2, *INSTANT)
"""As often as they are asked for."""
WHOLE = (Form.SCORES, Form.BATCH, *INSTANT)
"""Those that are not streamed, but followed."""
EXACT = (Form.LIKELY, Form.ECHO, Form.SCORES)
"""Those that cannot be taken up in the middle of a token: where Redis has lost a part that was read, they end."""
SCORED = (Form.ECHO, Form.SCORES)
"""Those whose prompt is scored."""
TOOLS = ("find", "keep")

Likelihood = tuple[str, float | None, int]
"""A token, its log probability, and where it begins, or how many others might have come."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is known before."""

    text: str
    """The transcript, see `mark`."""
    tokens: int
    thoughts: int = 0
    """Tokens of them."""
    finish: str = "stop"
    likely: tuple[Likelihood, ...] = ()
    """What is told of its tokens."""
    scores: tuple[Likelihood, ...] = ()
    """The same of its prompt's, where that is told apart."""
    exact: bool = True
    """Of an engine that computes to the last bit what it has computed before."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of an echo engine, and its answer."""

    path: str
    body: Mapping[str, Any]
    """Without the model, and how it is to come."""
    answer: Answer
    before: tuple[Task, ...] = ()
    """What has to be answered first."""


def mark(channel: str) -> str:
    """What a transcript has between texts that clients are told apart: the name of the next."""
    return f"\n[{channel}]\n"


def draw(form: Form, words: Sequence[str], random: Random) -> Task:
    """A task of that form, whose answer has these words."""
    text = " ".join(words)
    match form:
        case Form.TEXT:
            return _chat(text, Answer(text, len(words)))
        case Form.STORED:
            return _chat(text, Answer(text, len(words)), store=True)
        case Form.JSON:
            text = json.dumps({"words": text})
            return _chat(text, Answer(text, len(text.split())), response_format=_FORMAT)
        case Form.ECHO:
            most, alternatives = random.choice((0, 1, CONTEXT // 2, CONTEXT // 2)), random.randint(0, 5)
            prompt, answer = _judged(text), _judged(text, len(words))[:most]
            told = tuple((word, logprob, place) for word, logprob, place in _placed((*prompt, *answer)))
            known = Answer("".join(word for word, *_ in told), len(answer), finish=_finish(most, words), likely=told)
            body = {"prompt": text, "max_tokens": most, "echo": True, "logprobs": alternatives}
            return Task(COMPLETIONS, body, known)
        case Form.SCORES:
            scores = (("", None, 0), *((word, logprob, 0) for word, logprob in _judged(text)[1:]))
            known = Answer(text, len(words), scores=scores)
            scored = {"prompt_logprobs": random.choice((0, 1, 20)), "max_tokens": CONTEXT // 2}
            if random.random() < 0.5:
                return _chat(text, known, **scored)
            return Task(COMPLETIONS, {"prompt": text, **scored}, known)
        case Form.GAP:
            at = random.randint(0, len(words))
            before, after = (" ".join(part) for part in (words[:at], words[at:]))
            beside = [{"filename": f"{each}.py", "text": "beside"} for each in range(random.randint(0, 3))]
            gap = {"input_prefix": f"{before} ", "input_suffix": after, "input_extra": beside}
            text = f"{before} {after}"
            return Task(INFILL, {**gap, "n_predict": CONTEXT // 2}, Answer(text, len(TOKEN.findall(text))))
        case Form.TALK | Form.CHAIN:
            third = -(-len(words) // 3)
            turns = (words[at : at + third] for at in range(0, len(words), third))
            *previous, last = (_response(" ".join(each), Answer(" ".join(each), len(each)), random) for each in turns)
            return Task(last.path, last.body, last.answer, tuple(previous))
        case Form.FILE | Form.PARTS:
            text *= random.choice((1, 100))
            return Task(FILES, {}, Answer(text, 0, finish=""))
        case Form.COUNT:
            return _count(text, random)
        case Form.EMBEDDING:
            asked, vectors = embed(words, random)
            return Task(EMBEDDINGS, asked, Answer(vectors, 0, finish=""))
        case _:
            return _thoughtful(form, words, random)


def _thoughtful(form: Form, words: Sequence[str], random: Random) -> Task:
    count = random.randint(len(words) // 4, len(words) // 2)
    thoughts, rest = " ".join(words[:count]), words[count:]
    told = mark("thoughts") + thoughts + mark("content")
    if form in (Form.THOUGHTS, Form.LIKELY):
        text = " ".join(rest)
        prompt = f"<think>{thoughts}</think>{text}"
        known = Answer(told + text, len(words), count)
        if form is Form.THOUGHTS:
            return _chat(prompt, known, reasoning_effort="low")
        most, before = random.choice((0, 2, 20)), len(TOKEN.findall(prompt))
        judged = (*_judged(thoughts, before), *_judged(text, before + count))
        likely = tuple((word, logprob, most) for word, logprob in judged)
        known = Answer(told + text, len(words), count, likely=likely)
        return _chat(prompt, known, reasoning_effort="low", logprobs=True, top_logprobs=most)
    third = -(-len(rest) // 3)
    first, *parts = (" ".join(rest[at : at + third]) for at in range(0, len(rest), third))
    arguments = [json.dumps({"words": part}) for part in parts]
    calls = [{"name": name, "arguments": each} for name, each in zip(TOOLS, arguments, strict=True)]
    prompt = f"<think>{thoughts}</think>{json.dumps([{'content': first}, *calls])}"
    text = told + first + "".join(mark(f"call {n} {TOOLS[n]}") + each for n, each in enumerate(arguments))
    tokens = len(f"{thoughts} {first}".split()) + sum(1 + len(each.split()) for each in arguments)
    known = Answer(text, tokens, count, "tool_calls")
    if form is Form.CALLS:
        return _chat(prompt, known, reasoning_effort="low", tools=_OFFER)
    if form is Form.RESPONSE:
        reasoning = {"effort": "low", **random.choice(({}, {"summary": "auto"}))}
        return _response(prompt, known, random, reasoning=reasoning, tools=_RESPONSES_OFFER)
    thinking = {"type": "enabled", "budget_tokens": CONTEXT // 4}
    body = {"messages": said(prompt), "thinking": thinking, "max_tokens": CONTEXT // 2, "tools": _ANTHROPICS_OFFER}
    return Task(MESSAGES, body, known)


def _count(text: str, random: Random) -> Task:
    """Something of a tokenizer's. What it answers is the whole transcript."""
    words = TOKEN.findall(text)
    tokens = list(map(number, words))
    listed = {"count": len(words), "max_model_len": CONTEXT, "tokens": tokens, "token_strs": words}
    path, body, told = random.choice(
        (
            ("/v1/tokenize", {"prompt": text, "return_token_strs": True}, listed),
            ("/v1/tokenize", {"messages": said(text), "return_token_strs": True}, listed),
            ("/v1/tokenize", {"content": text}, {"tokens": tokens}),
            ("/v1/detokenize", {"tokens": tokens}, dict.fromkeys(("prompt", "content"), " ".join(map(str, tokens)))),
            ("/v1/apply-template", {"messages": said(text)}, {"prompt": text}),
            (f"{MESSAGES}/count_tokens", {"messages": said(text)}, {"input_tokens": len(words)}),
        )
    )
    return Task(path, body, Answer(json.dumps(told), 0, finish=""))


def _chat(prompt: str, answer: Answer, **more: Any) -> Task:
    return Task(CHATS, {"messages": said(prompt), **more}, answer)


def _response(prompt: str, answer: Answer, random: Random, **more: Any) -> Task:
    content = [{"type": "input_text", "text": prompt}]
    given = random.choice((prompt, [{"type": "message", "role": "user", "content": content}]))
    return Task(RESPONSES, {"input": given, **more}, answer)


def _judged(text: str, before: int = 0) -> list[tuple[str, float | None]]:
    """How likely the tokens of a text are to an echo engine, before which there are so many."""
    found = (judge(number(word), word, place, 0) for place, word in enumerate(TOKEN.findall(text), before))
    return [(each.text.decode(), each.logprob) for each in found]


def _placed(judged: Sequence[tuple[str, float | None]]) -> list[Likelihood]:
    """Each with where it begins."""
    told, at = list[Likelihood](), 0
    for word, logprob in judged:
        told.append((word, logprob, at))
        at += len(word)
    return told


def _finish(most: int, words: Sequence[str]) -> str:
    return "length" if most < len(words) else "stop"


_SCHEMA = {"type": "object", "properties": {"words": {"type": "string"}}, "required": ["words"]}
_FORMAT = {"type": "json_schema", "json_schema": {"name": "words", "schema": _SCHEMA}}
_OFFER = [{"type": "function", "function": {"name": name, "parameters": _SCHEMA}} for name in TOOLS]
_RESPONSES_OFFER = [{"type": "function", "name": name, "parameters": _SCHEMA} for name in TOOLS]
_ANTHROPICS_OFFER = [{"name": name, "input_schema": _SCHEMA} for name in TOOLS]
