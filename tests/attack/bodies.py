"""Attacks by bodies that are long to look at, and are refused."""

from __future__ import annotations

import json

from tests.attack.attacker import Attacker, chat
from tests.attack.plan import attack

_SIZE = 4_100_000
"""Bytes, just below the bound."""
_CLIENTS = 4


async def _post(me: Attacker, body: bytes, path: str = "/v1/chat/completions") -> None:
    request = me.post(path, body)
    await me.crowd(_CLIENTS, lambda number: me.ask(request, number))


@attack(least=3)
async def deep_json(me: Attacker) -> None:
    """Two million arrays in each other."""
    await _post(me, b'{"model":' + b"[" * (_SIZE // 2) + b"]" * (_SIZE // 2) + b"}")


@attack(least=3)
async def deep_objects(me: Attacker) -> None:
    """Objects in each other, as deep as a reader goes, a thousand times."""
    one = b'{"a":' * 400 + b"1" + b"}" * 400
    await _post(me, b'{"model":"echo","messages":[' + b",".join([one] * (_SIZE // len(one))) + b"]}")


@attack(least=3)
async def wide_arrays(me: Attacker) -> None:
    """A million messages, none of which is one."""
    await _post(me, b'{"model":"echo","messages":[' + b",".join([b"{}"] * (_SIZE // 3)) + b"]}")


@attack(least=3)
async def many_errors(me: Attacker) -> None:
    """As many messages as are allowed, with everything wrong in each of them."""
    wrong = {"role": "x", "content": [{"type": 1, "y": 2}] * 40, "z": 3, "name": 4, "audio": 5}
    await _post(me, json.dumps({"model": "echo", "messages": [wrong] * 2048}).encode()[:_SIZE])


@attack(least=3)
async def many_parts(me: Attacker) -> None:
    """One message of a hundred thousand parts, the last of which is wrong."""
    parts = [{"type": "text", "text": ""}] * (_SIZE // 32) + [{"type": "image"}]
    await _post(me, json.dumps({"model": "echo", "messages": [{"role": "user", "content": parts}]}).encode())


@attack(least=3)
async def long_numbers(me: Attacker) -> None:
    """Numbers of thousands of digits, whose reading grows with their square."""
    number = b"9" * 4200
    await _post(me, b'{"model":"echo","prompt":[' + b",".join([number] * (_SIZE // 4201)) + b"]}", "/v1/completions")


@attack(least=3)
async def a_long_number(me: Attacker) -> None:
    """One number of four million digits."""
    await _post(me, b'{"model":"echo","n":' + b"9" * _SIZE + b"}")


@attack(least=3)
async def many_keys(me: Attacker) -> None:
    """Three hundred thousand parameters that nobody knows."""
    keys = b",".join(b'"k%x":1' % number for number in range(_SIZE // 10))
    await _post(me, b'{"model":"echo",' + keys[: _SIZE - 100].rpartition(b",")[0] + b"}")


@attack(least=3)
async def many_biases(me: Attacker) -> None:
    """Three hundred thousand logit biases."""
    biases = {str(number): 1 for number in range(_SIZE // 13)}
    await _post(me, json.dumps(chat("echo", "Hi", logit_bias=biases)).encode())


@attack(least=3)
async def many_token_ids(me: Attacker) -> None:
    """A prompt of two million token ids, which no context takes."""
    await _post(me, b'{"model":"echo","prompt":[' + b"1," * (_SIZE // 2 - 40) + b"1]}", "/v1/completions")


@attack(least=3)
async def broken_strings(me: Attacker) -> None:
    """Escapes and lone surrogates in four million bytes of text, and a quote that is missing."""
    await _post(me, b'{"model":"echo","messages":[{"role":"user","content":"' + b"\\ud800" * (_SIZE // 6))
