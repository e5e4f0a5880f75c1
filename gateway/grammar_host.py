"""The child in which grammars are tried, for one may take a second, gigabytes, or the life of its process.

It says a verdict when it is ready, and then one for each grammar that comes in, each as JSON in a line. Each is tried
in a child again, which ends when it takes longer than it may: the kernel counts.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import string
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import product
from typing import Any, NamedTuple, NoReturn

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from msgspec.json import Decoder
from setproctitle import setproctitle

from shared.grammars import lark
from shared.lifeline import die_with_parent
from shared.protocol import Grammar

LONGEST_TRIAL = 0.3
"""Seconds of computing that a grammar may take to be made ready; it takes the engine about as long."""
LARGEST_TRIAL = 1_073_741_824
"""Bytes of memory that the process may have."""
MOST_REPETITIONS = 1_000
"""How often a part of a regular expression may be repeated, `{m,n}`, also where it takes several within each other."""

_STEPS = 4
"""Tokens of an answer that are tried."""
_ALLOWED = b"\xc8"
_LONGEST_REASON = 300
_UNKNOWN = "Unimplemented keys: "
_COUNT = re.compile(r"\{(\d*)(?:,(\d*))?\}|~(\d+)(?:\.\.(\d+))?")
_LITERAL = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/((?:\\.|\[(?:\\.|[^]\\])*\]|[^/\\\n])+)/')
"""Of a grammar in Lark: a string, a comment, or an expression."""
_OPTIONS = re.compile(r"%llguidance\s*\{\s*[^\s}]")


class Verdict(NamedTuple):
    """What was found of a grammar."""

    reason: str = ""
    """Why it cannot be kept; empty where it can."""
    costly: bool = False
    """Nobody is to try it again."""


class Costly(Exception):
    """A grammar would take too much."""


def judge(grammar: Grammar) -> Verdict:
    """Whether llama.cpp can keep to a grammar."""
    try:
        _bound(grammar)
        matcher = LLMatcher(_vocabulary(), LLMatcher.grammar_from_lark(lark(grammar)), log_level=0)
        if matcher.is_error():
            return Verdict(_words(matcher.get_error()))
        for _ in range(_STEPS):
            mask = matcher.compute_logit_bias()
            allowed = max(mask.find(_ALLOWED, len(mask) // 2), mask.find(_ALLOWED))
            if allowed < 0 or matcher.is_stopped() or not matcher.consume_token(allowed):
                break
        if matcher.is_error():
            raise Costly("it takes too much at each token: make it simpler")
    except Costly as exc:
        return Verdict(str(exc), costly=True)
    except (ValueError, RecursionError) as exc:
        return Verdict(f"it cannot be read: {exc}")
    return Verdict()


def _bound(grammar: Grammar) -> None:
    """Raises Costly for what would take too much, as far as the source tells, ValueError for what no client may say."""
    expressions, counts = [grammar.source] if grammar.kind == "regex" else [], [1, 1]
    if grammar.kind == "json":
        schema = json.loads(grammar.source)
        if "x-guidance" in schema:
            raise ValueError("'x-guidance' cannot be set")
        expressions = list(_patterns(schema))
    elif grammar.kind == "lark":
        expressions = [found[1] for found in _LITERAL.finditer(grammar.source) if found[1]]
        text = _LITERAL.sub(" ", grammar.source)
        if _OPTIONS.search(text) or re.search(r"<[^>\s]+>", text):
            raise ValueError("neither options can be set, nor tokens be named")
        counts = sorted([*counts, *map(_count, _COUNT.finditer(text))], reverse=True)
    # Any part may stand within any other.
    if max([*map(_repetitions, expressions), counts[0]]) * counts[1] > MOST_REPETITIONS:
        raise Costly(f"something is to be repeated more than {MOST_REPETITIONS} times")


def _patterns(schema: Any) -> Iterator[str]:
    """All expressions that a schema may have."""
    left = [schema]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if isinstance(pattern := value.get("pattern"), str):
                yield pattern
            if isinstance(patterns := value.get("patternProperties"), dict):
                yield from patterns
            left += value.values()
        elif isinstance(value, list):
            left += value


def _repetitions(expression: str) -> int:
    """How often its innermost part may be repeated by counts."""
    outer, most, last, at = list[int](), 1, 1, 0  # the most in what is around, in this group, and in the last atom
    while at < len(expression):
        step = 1
        match expression[at]:
            case "\\":
                step, last = 2, 1
            case "[":
                end = re.compile(r"\[\^?\]?(?:\\.|[^]\\])*\]").match(expression, at)
                step, last = (end.end() - at if end else 1), 1
            case "(":
                outer.append(most)
                most = last = 1
            case ")" if outer:
                last, most = most, max(most, outer.pop())
            case "{" if found := _COUNT.match(expression, at):
                step, last = found.end() - at, last * _count(found)
                most = max(most, last)
            case "*" | "+" | "?":
                pass
            case _:
                last = 1
        at += step
    return most


def _count(found: re.Match[str]) -> int:
    return max((int(number[:9]) for number in found.groups() if number), default=1)


def _words(error: str) -> str:
    """llguidance's reason, without the place in a text that only it has seen."""
    reason = re.sub(r"^at \d+\(\d+\): ", "", error.partition("\n   1 |")[0].partition("\n<state>")[0])
    reason = " ".join(reason.removeprefix("failed to compile JSON schema: ").split())
    if reason.startswith(_UNKNOWN):
        return f"what cannot be kept, and where 'strict' is not true is passed over: {reason.removeprefix(_UNKNOWN)}"
    return reason[:_LONGEST_REASON].rstrip(".") or "it cannot be kept"


class _Vocabulary:
    """One as large and as dense as a model's: what a step costs depends on that."""

    bos_token_id = eos_token_id = 0
    special_token_ids: tuple[int, ...] = ()
    tokens: tuple[bytes, ...]

    def __init__(self) -> None:
        letters, signs = string.ascii_lowercase, [chr(code) for code in range(32, 127)]
        words = [*map("".join, product(signs, signs)), *(" " + "".join(word) for word in product(letters, repeat=3))]
        self.tokens = (b"\xff<end>", *(bytes([byte]) for byte in range(256)), *(word.encode() for word in words))
        self._numbers = {token: number for number, token in enumerate(self.tokens)}
        self.special_token_ids = (0,)

    def __call__(self, text: str | bytes) -> list[int]:
        raw, found = text.encode() if isinstance(text, str) else text, []
        while raw:
            size = next((size for size in (4, 2) if raw[:size] in self._numbers), 1)
            found.append(self._numbers[raw[:size]])
            raw = raw[size:]
        return found


@cache
def _vocabulary() -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(_Vocabulary()))


def main() -> None:
    die_with_parent()
    setproctitle("inferq grammars")
    for stop in (signal.SIGINT, signal.SIGTERM):  # the parent's end is this one's
        signal.signal(stop, signal.SIG_IGN)
    _vocabulary()
    decoder = Decoder(Grammar)
    with suppress(ValueError, OSError):  # not every system can
        resource.setrlimit(resource.RLIMIT_AS, (LARGEST_TRIAL, LARGEST_TRIAL))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _say(Verdict())
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where it would say how it dies, each time
    for line in sys.stdin.buffer:
        if not (trial := os.fork()):
            _try(decoder.decode(line))
        if os.waitpid(trial, 0)[1]:
            _say(Verdict("it takes too much to be made ready: make it simpler", costly=True))


def _try(grammar: Grammar) -> NoReturn:
    """In a process of its own."""
    try:
        signal.setitimer(signal.ITIMER_PROF, LONGEST_TRIAL)  # whose signal ends it, whatever it is at
        _say(judge(grammar))
        os._exit(0)
    finally:
        os._exit(1)


def _say(verdict: Verdict) -> None:
    sys.stdout.write(json.dumps(verdict) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
