"""Grammars for llama.cpp, which takes llguidance's, and what becomes of an answer that does not keep to its own.

llama.cpp goes on without a grammar that its llguidance cannot compile, or that takes it too much in the middle of an
answer. So the text is followed here by the same grammar, byte by byte: that takes microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from llguidance import LLMatcher, LLTokenizer

from shared.errors import InvalidRequest
from shared.grammars import lark
from shared.protocol import Delta, Event, Grammar, Sampling

_MARK = "%llguidance {}\n"
"""By which llama.cpp tells such a grammar from one of its own."""


def rules(grammar: Grammar, ends: Sequence[int] = ()) -> str:
    """What `/completion` is to be given as `grammar`, of a model whose answers end with one of these tokens.

    llama.cpp names only one of them to llguidance, which need not be the one that the model uses: it could not end
    where more may come.
    """
    end = f" <[{','.join(map(str, ends))}]>?" if ends else ""
    return f"{_MARK}start: %lark {{\n{lark(grammar)}\n}}{end}\n"


def keep(events: Iterable[Event], sampling: Sampling) -> Iterator[Event]:
    """The events of an answer, as long as its content keeps to the grammar.

    One that is too long, or that a stop string ends, is the beginning of a text of the grammar. Raises InvalidRequest.
    """
    grammar = sampling.grammar
    assert grammar is not None, "what else should it keep to"
    matcher = LLMatcher(_bytes(), LLMatcher.grammar_from_lark(rules(grammar)), log_level=0)
    for event in events:
        if isinstance(event, Delta) and not event.reasoning:
            ends = event.finish_reason == "stop" and not sampling.stop
            if not matcher.consume_tokens(list(event.text.encode())) or (ends and not matcher.is_accepting()):
                raise InvalidRequest(
                    f"Invalid '{grammar.param}': the engine could not keep to it, for it takes too much. Please make it"
                    " simpler.",
                    param=grammar.param,
                )
        yield event


@cache
def _bytes() -> LLTokenizer:
    """Each byte is a token."""
    return LLTokenizer("byte")
