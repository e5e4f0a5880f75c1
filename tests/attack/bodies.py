"""Attacks by bodies that are long to look at, and are refused."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.attack.attacker import Attacker, chat
from tests.attack.plan import attack

_CLIENTS = 4


async def _post(me: Attacker, make: Callable[[int], bytes], path: str = "/v1/chat/completions") -> None:
    """Send what `make` makes of as many bytes as may be sent."""
    request = me.post(path, make(await me.largest(make)))
    await me.crowd(_CLIENTS, lambda number: me.ask(request, number))


@attack(least=3)
async def deep_json(me: Attacker) -> None:
    """Two million arrays in each other."""
    await _post(me, lambda size: b'{"model":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}")


@attack(least=3)
async def deep_objects(me: Attacker) -> None:
    """Objects in each other, as deep as a reader goes, a thousand times."""
    one = b'{"a":' * 400 + b"1" + b"}" * 400
    await _post(me, lambda size: b'{"model":"echo","messages":[' + b",".join([one] * (size // len(one))) + b"]}")


@attack(least=3)
async def wide_arrays(me: Attacker) -> None:
    """A million messages, none of which is one."""
    await _post(me, lambda size: b'{"model":"echo","messages":[' + b",".join([b"{}"] * (size // 3)) + b"]}")


@attack(least=3)
async def many_errors(me: Attacker) -> None:
    """As many messages as are allowed, with everything wrong in each of them."""
    wrong = {"role": "x", "content": [{"type": 1, "y": 2}] * 40, "z": 3, "name": 4, "audio": 5}
    most = len(json.dumps(wrong)) + 2
    await _post(me, lambda size: json.dumps({"model": "echo", "messages": [wrong] * min(2048, size // most)}).encode())


@attack(least=3)
async def many_parts(me: Attacker) -> None:
    """One message of a hundred thousand parts, the last of which is wrong."""

    def make(size: int) -> bytes:
        parts = [{"type": "text", "text": ""}] * (size // 32) + [{"type": "image"}]
        return json.dumps({"model": "echo", "messages": [{"role": "user", "content": parts}]}).encode()

    await _post(me, make)


@attack(least=3)
async def long_numbers(me: Attacker) -> None:
    """Numbers of thousands of digits, whose reading grows with their square."""
    number = b"9" * 4200
    await _post(
        me, lambda size: b'{"model":"echo","prompt":[' + b",".join([number] * (size // 4201)) + b"]}", "/v1/completions"
    )


@attack(least=3)
async def a_long_number(me: Attacker) -> None:
    """One number of four million digits."""
    await _post(me, lambda size: b'{"model":"echo","n":' + b"9" * size + b"}")


@attack(least=3)
async def many_keys(me: Attacker) -> None:
    """Three hundred thousand parameters that nobody knows."""
    keys = b",".join(b'"k%x":1' % number for number in range(400_000))
    await _post(me, lambda size: b'{"model":"echo",' + keys[: size - 100].rpartition(b",")[0] + b"}")


@attack(least=3)
async def many_biases(me: Attacker) -> None:
    """Three hundred thousand logit biases."""

    def make(size: int) -> bytes:
        return json.dumps(chat("echo", "Hi", logit_bias={str(number): 1 for number in range(size // 13)})).encode()

    await _post(me, make)


@attack(least=3)
async def many_token_ids(me: Attacker) -> None:
    """A prompt of two million token ids, which no context takes."""
    await _post(me, lambda size: b'{"model":"echo","prompt":[' + b"1," * (size // 2 - 40) + b"1]}", "/v1/completions")


@attack(least=3)
async def broken_strings(me: Attacker) -> None:
    """Escapes and lone surrogates in four million bytes of text, and a quote that is missing."""
    await _post(me, lambda size: b'{"model":"echo","messages":[{"role":"user","content":"' + b"\\ud800" * (size // 6))
