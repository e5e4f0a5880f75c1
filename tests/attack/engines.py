"""Attacks on what computes: a real model, whose slots a victim shares."""

from __future__ import annotations

import asyncio
import json
import random

from tests.attack.attacker import Attacker, chat
from tests.attack.plan import Scene, attack

_CHATS, _COMPLETIONS = "/v1/chat/completions", "/v1/completions"


@attack(least=1, scene=Scene.REAL)
async def stop_strings(me: Attacker) -> None:
    """Sixteen stop strings of 250 kB that look like what will come: each token is compared with each of their parts."""
    size = await me.largest(lambda size: b"." * size) // 16 - 100
    stops = ["a" * size + chr(0x4E00 + number) for number in range(16)]
    body = {"model": me.target.model, "prompt": "a a a", "max_tokens": 200, "stop": stops, "stream": True}
    await me.crowd(2, lambda number: me.ask(me.post(_COMPLETIONS, body), number))


@attack(least=1, scene=Scene.REAL)
async def stop_strings_that_nearly_match(me: Attacker) -> None:
    """What the model is made to say is the beginning of a stop string, so that all of it is held back and compared."""
    body = {
        "model": me.target.model,
        "prompt": "aaaa",
        "max_tokens": 4000,
        "stop": [" the" * 60 + "!" * number for number in range(1, 16)],
        "logit_bias": {"260": 100},  # " the"
        "stream": True,
    }
    await me.crowd(3, lambda number: me.ask(me.post(_COMPLETIONS, body), number))


@attack(least=1)
async def stop_strings_of_many_choices(me: Attacker) -> None:
    """As many stop strings as are allowed, for answers of one token, of which there are as many as are allowed too."""
    draw = random.Random(1)
    length = 4096
    while True:
        stops = ["".join(draw.choices("abcdefgh", k=length)) for _ in range(16)]
        body = {"model": me.target.model, "prompt": ["a"] * 16, "n": 128, "max_tokens": 1, "stop": stops}
        if (await me.ask(me.post(_COMPLETIONS, {**body, "n": 1}))).status == 200:
            break
        length //= 2
    await me.crowd(2, lambda number: me.ask(me.post(_COMPLETIONS, {**body, "stream": True}), number))


@attack(least=2, scene=Scene.REAL)
async def slow_prompts(me: Attacker) -> None:
    """Prompts of 4 MB that are slow to cut into tokens, from clients that leave at once."""
    await _slow_prompts(me, "".join(random.Random(1).choices("abcdefghij", k=4_100_000)))


@attack(least=2, scene=Scene.REAL)
async def slow_prompts_of_spaces(me: Attacker) -> None:
    """The same with nothing but spaces, which may all be one word."""
    await _slow_prompts(me, " " * 4_100_000)


@attack(least=2, scene=Scene.REAL)
async def slow_prompts_of_emoji(me: Attacker) -> None:
    """The same with characters of four bytes each, none of which has a token of its own."""
    await _slow_prompts(me, "\U0001f9ff" * 1_025_000)


async def _slow_prompts(me: Attacker, text: str) -> None:
    """With as much of the text as may be sent."""

    def make(size: int) -> bytes:
        body = chat(me.target.model, text[: len(text) * (size - 1000) // 4_100_000], stream=True)
        return json.dumps(body, ensure_ascii=False).encode()

    request = me.post(_CHATS, make(await me.largest(lambda size: b"." * size)))
    await me.crowd(4, lambda number: me.leave_at(request, 0.3, number), pause=0.2)


# llama.cpp reads prompts slot by slot: a short one waits while those of slots before its own are read.
@attack(least=2, scene=Scene.REAL, latest=20.0)
async def long_prompts(me: Attacker) -> None:
    """Prompts that fill the context, from clients that leave once these are being read."""

    async def once(number: int) -> None:
        text = " ".join(random.choices(("one", "two", "three", "four"), k=7000))
        await me.leave_at(me.post(_COMPLETIONS, {"model": me.target.model, "prompt": text, "stream": True}), 1, number)

    await me.crowd(3, once)


@attack(least=1, scene=Scene.REAL)
async def logit_biases(me: Attacker) -> None:
    """As many logit biases as are allowed for each token of long answers."""
    biases = {str(number): -100 + number % 200 for number in range(1024)}
    body = {
        "model": me.target.model,
        "prompt": "Once",
        "max_tokens": 64,
        "logit_bias": biases,
        "n": 2,
        "ignore_eos": True,
        "stream": True,
    }
    await me.crowd(2, lambda number: me.ask(me.post(_COMPLETIONS, body), number))


@attack(least=1, scene=Scene.REAL)
async def endless_answers(me: Attacker) -> None:
    """Chats without a bound that never end by themselves, from clients that leave and ask again."""
    body = chat(me.target.model, "Count.", stream=True, ignore_eos=True, n=2)

    async def once(number: int) -> None:
        await me.leave_at(me.post(_CHATS, body), 1.0, number)
        await asyncio.sleep(0.1)

    await me.crowd(8, once)
