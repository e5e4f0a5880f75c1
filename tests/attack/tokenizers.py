"""Attacks on tokenizers, which cannot be interrupted, and by bodies of those who ask in other words than OpenAI's."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

from gateway.schemas.ollama.context import pack
from tests.attack.attacker import Attacker
from tests.attack.plan import LATEST, Scene, attack

_TURNS = itertools.count()
_TEXTS: tuple[Callable[[int], str], ...] = (
    lambda size: "a" * size,
    lambda size: " " * size,
    lambda size: "\U0001f9ff" * (size // 4),
    lambda size: "\n" * (size // 2),
    lambda size: "<|im_end|>" * (size // 10),
    lambda size: "<|im_start|>system\n" * (size // 20),
    lambda size: "<|im_" * (size // 5),
    lambda size: "".join(random.choices("abcdefghij", k=size)),
    lambda size: "é\u0301" * (size // 4),
    lambda size: "1" * size,
)
Asked = tuple[str, dict[str, Any]]


async def _go_through(me: Attacker, makes: tuple[Callable[[], Asked], ...], clients: int) -> None:
    """Ask for one after the other, which is answered, or refused in words."""

    async def once(number: int) -> None:
        turn = next(_TURNS) % len(makes)
        path, body = makes[turn]()
        blob = json.dumps({"model": me.target.model, **body}, ensure_ascii=False, separators=(",", ":")).encode()
        reply = await me.ask(me.post(path, blob), number)
        if reply.status not in (200, 400, 413, 429, 503):
            me.hits.holes.append(f"{path} {turn}: {reply.status} {reply.body[:200]!r}")

    await me.crowd(clients, once)


async def _texts(me: Attacker) -> list[str]:
    size = await me.largest(lambda size: b"." * size) - 1000
    return [make(size) for make in _TEXTS]


def _each(texts: list[str], make: Callable[[str], Asked]) -> tuple[Callable[[], Asked], ...]:
    return tuple((lambda text=text: make(text)) for text in texts)


@attack(least=4, scene=Scene.REAL)
async def hostile_texts(me: Attacker) -> None:
    """Megabytes of one letter, spaces, emoji or names of special tokens, to be cut into tokens."""
    makes = _each(await _texts(me), lambda text: ("/v1/tokenize", {"prompt": text}))
    await _go_through(me, makes, 8)


@attack(least=4, scene=Scene.REAL)
async def hostile_conversations(me: Attacker) -> None:
    """The same as messages, to be counted, and put into the template."""
    texts = [text[:1_000_000] for text in await _texts(me)]
    messages = [[{"role": "user", "content": text}] for text in texts]
    many = [{"role": ("user", "assistant")[n % 2], "content": "<|im_end|>" * 20} for n in range(2_048)]
    blocks = [{"role": "user", "content": [{"type": "text", "text": "<|im_start|>"}] * 1_000}] * 100
    paths = ("/v1/messages/count_tokens", "/v1/apply-template", "/v1/chat/completions/input_tokens", "/v1/tokenize")
    asked = [(path, {"messages": each}) for each in (*messages, many, blocks) for path in paths]
    random.shuffle(asked)
    await _go_through(me, tuple((lambda each=each: each) for each in asked), 8)  # type: ignore[misc]  # its default


@attack(least=4, scene=Scene.REAL)
async def detokenize(me: Attacker) -> None:
    """As many ids as may be, and the texts of as many tokens."""
    ids = random.choices(range(49_000), k=170_000)
    text = "a b " * 16_000
    makes: tuple[Callable[[], Asked], ...] = (
        lambda: ("/v1/detokenize", {"tokens": ids}),
        lambda: ("/v1/detokenize", {"tokens": [7] * 500_000}),
        lambda: ("/v1/detokenize", {"tokens": [2**31 - 1] * 95_000}),
        lambda: ("/v1/tokenize", {"prompt": text, "return_token_strs": True}),
        lambda: ("/v1/tokenize", {"content": text, "with_pieces": True}),
    )
    await _go_through(me, makes, 8)


# A job keeps its slot until the last of its choices, as one with a long answer does.
@attack(least=4, latest=5 * LATEST)
async def gaps(me: Attacker) -> None:
    """Gaps beside as many parts of files as may be, which are as long as may be."""
    beside = [{"filename": f"{number}" * 300, "text": "w " * 1_400} for number in range(256)]
    wide = "w" * 300_000 + " "
    makes: tuple[Callable[[], Asked], ...] = (
        lambda: ("/v1/infill", {"input_prefix": "a ", "input_suffix": "b", "input_extra": beside}),
        lambda: ("/v1/infill", {"input_prefix": wide, "input_suffix": wide, "prompt": wide}),
        lambda: ("/v1/infill", {"input_prefix": "a\n " * 9_000, "input_suffix": "b", "n": 128, "stream": True}),
        lambda: (
            "/v1/infill",
            {"input_prefix": "a " * 9_000, "input_suffix": "b", "response_fields": ["a/" * 500] * 64},
        ),
    )
    await _go_through(me, makes, 6)


@attack(least=4)
async def messages(me: Attacker) -> None:
    """Anthropic's, of as many turns and blocks as may be, tools of deep schemas, and thousands of calls and results."""
    deep: dict[str, Any] = {"const": 1}
    for _ in range(60):
        deep = {"type": "object", "properties": {"a": deep}}
    turns = [
        {"role": ("user", "assistant")[n % 2], "content": [{"type": "text", "text": "w"}] * 8} for n in range(2_047)
    ]
    calls = [
        turn
        for n in range(1_000)
        for turn in (
            {"role": "assistant", "content": [{"type": "tool_use", "id": f"i{n}", "name": "t", "input": {"a": n}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"i{n}", "content": "x" * 500}]},
        )
    ]
    tools = [{"name": f"t{n}", "description": "d" * 2_000, "input_schema": deep} for n in range(128)]
    begun = [{"role": "user", "content": "Go."}]
    makes: tuple[Callable[[], Asked], ...] = (
        lambda: ("/v1/messages", {"messages": turns, "max_tokens": 9}),
        lambda: ("/v1/messages", {"messages": [*begun, *calls], "max_tokens": 9, "stream": True}),
        lambda: ("/v1/messages", {"messages": begun, "tools": tools, "max_tokens": 9, "stream": True}),
        lambda: (
            "/v1/messages",
            {"messages": begun, "system": [{"type": "text", "text": "s"}] * 9_000, "max_tokens": 9},
        ),
        lambda: ("/v1/messages/count_tokens", {"messages": [*begun, *calls], "tools": tools[:20]}),
    )
    await _go_through(me, makes, 6)


@attack(least=4)
async def ollamas(me: Attacker) -> None:
    """Ollama's, of as many turns and as large a context as may be, and of unknown keys."""
    turns = [{"role": ("user", "assistant")[n % 2], "content": "w " * 300} for n in range(2_047)]
    context = pack([["user", "w" * 60_000]])
    keys = {f"{n}\r\n" * 30: n for n in range(60)}
    makes: tuple[Callable[[], Asked], ...] = (
        lambda: ("/api/chat", {"messages": turns, "options": {"num_predict": 9, **keys}}),
        lambda: ("/api/generate", {"prompt": "w", "context": context, "options": {"num_predict": 9}}),
        lambda: ("/api/generate", {"prompt": "w", "context": [2**23] * 21_000}),
        lambda: ("/api/generate", {"prompt": "", "keep_alive": "0", **keys}),
        lambda: ("/api/embed", {"input": ["w " * 200] * 2_048}),
        lambda: ("/api/show", {"name": "n" * 1_000 + ":latest" * 3}),
    )
    await _go_through(me, makes, 6)
