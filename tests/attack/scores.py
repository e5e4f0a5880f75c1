"""Attacks by what is told of tokens: many times as much as their text, and of a prompt it is all computed."""

from __future__ import annotations

import itertools
import random
from typing import Any

from tests.attack.attacker import Attacker, chat
from tests.attack.plan import LATEST, Scene, attack

_CHATS, _COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_CONTEXT = 8_000
"""Tokens, nearly as many as the real model holds."""
_LONG = "w " * 11_000
"""With 20 alternatives its log probabilities are some 20 MB, and by its bytes it has nearly all that may be told."""


def _ids(count: int) -> list[int]:
    return random.choices(range(100, 40_000), k=count)


@attack(least=2, scene=Scene.REAL)
async def scored_contexts(me: Attacker) -> None:
    """Prompts that fill the context are scored, with 20 alternatives of each token, on all slots but one."""
    asked = {"model": me.target.model, "prompt_logprobs": 20, "max_tokens": 1}
    await me.crowd(3, lambda number: me.leave_at(me.post(_COMPLETIONS, {**asked, "prompt": _ids(_CONTEXT)}), 2, number))


@attack(least=2, scene=Scene.REAL)
async def scored_and_left(me: Attacker) -> None:
    """The same from more clients, who leave sooner."""
    asked = {"model": me.target.model, "echo": True, "logprobs": 5, "max_tokens": 0}

    async def once(number: int) -> None:
        await me.leave_at(me.post(_COMPLETIONS, {**asked, "prompt": _ids(_CONTEXT)}), 0.5, number)

    await me.crowd(8, once, pause=0.1)


@attack(least=1, scene=Scene.REAL)
async def lists_of_scores(me: Attacker) -> None:
    """Short prompts by hundreds in a request, each repeated with what is told of it, or with many choices."""
    many = {"prompt": ["one two three four"] * 100, "max_tokens": 0}
    deep = {"prompt": ["one two"] * 4, "n": 20, "max_tokens": 4}
    bodies = [{"model": me.target.model, "echo": True, "logprobs": 5, **each} for each in (deep, many)]
    requests = itertools.cycle([me.post(_COMPLETIONS, body) for body in bodies])
    await me.crowd(1, lambda number: me.leave_at(next(requests), 2, number))


@attack(least=10)
async def more_than_may_be_told(me: Attacker) -> None:
    """Log probabilities of more tokens, choices and prompts than may be asked for: refused before anything is done."""
    text = "on and " * 2_000
    asked: list[tuple[str, dict[str, Any]]] = [
        (_COMPLETIONS, {"prompt": [text] * 2048, "prompt_logprobs": 20, "max_tokens": 1}),
        (_COMPLETIONS, {"prompt": ["a"] * 2048, "n": 128, "logprobs": 5, "max_tokens": 30_000}),
        (_COMPLETIONS, {"prompt": text, "best_of": 128, "n": 128, "echo": True, "logprobs": 5}),
        (_CHATS, {**chat("", text), "n": 128, "logprobs": True, "top_logprobs": 20, "max_tokens": 30_000}),
        (_CHATS, {**chat("", text * 20), "n": 20, "prompt_logprobs": 20}),
        (_COMPLETIONS, {"prompt": ["x" * 400_000] * 8, "n": 128, "echo": True, "max_tokens": 1}),
    ]
    requests = [me.post(path, {**body, "model": me.target.model}) for path, body in asked]

    async def once(number: int) -> None:
        reply = await me.ask(requests[number % len(requests)], number)
        if reply.status not in (400, 413, 503):
            me.hits.holes.append(f"{asked[number % len(asked)][1].keys()}: {reply.status}")

    await me.crowd(12, once)


# A job keeps its slot until the last of its choices, as one with a long answer does.
@attack(least=3, latest=5 * LATEST)
async def the_most_that_may_be_told(me: Attacker) -> None:
    """Answers of a hundred times their text, by as many as get one, who read them."""
    whole = {"prompt": _LONG, "prompt_logprobs": 20, "max_tokens": 1}
    stream = {"prompt": "on and " * 2_000, "n": 20, "logprobs": 5, "max_tokens": 4_000, "stream": True}
    requests = [me.post(_COMPLETIONS, {"model": me.target.model, **each}) for each in (whole, stream)]
    await me.crowd(6, lambda number: me.ask(requests[number % 2], number))


@attack(least=20, latest=3 * LATEST)
async def unread_scores(me: Attacker) -> None:
    """The same from a hundred who do not read them."""
    whole = {"prompt": _LONG, "prompt_logprobs": 20, "max_tokens": 1}
    stream = {"prompt": _LONG, "logprobs": 5, "stream": True}
    echo = {"prompt": _LONG, "echo": True, "logprobs": 5, "max_tokens": 0, "stream": True}
    requests = [me.post(_COMPLETIONS, {"model": me.target.model, **each}) for each in (whole, stream, echo)]
    await me.crowd(100, lambda number: me.stay_mute(requests[number % 3], number % 10))


@attack(least=3, latest=3 * LATEST)
async def polls_of_scores(me: Attacker) -> None:
    """Ten clients poll for a completed job, or follow it, whose log probabilities are 20 MB."""
    job = await me.record(_LONG, prompt_logprobs=20, max_tokens=1)
    paths = (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events")
    await me.crowd(10, lambda number: me.ask(me.head("GET", paths[number % 2]), number))
