"""A grammar as llama.cpp takes it: in llguidance's Lark, which its server tells from its own by the first word."""

from __future__ import annotations

from collections.abc import Sequence

from shared.grammars import lark
from shared.protocol import Grammar

_MARK = "%llguidance {}\n"


def rules(grammar: Grammar, ends: Sequence[int]) -> str:
    """What `/completion` is to be given as `grammar`, of a model whose answers end with one of these tokens.

    llama.cpp names only one of them to llguidance, which need not be the one that the model uses: it could not end
    where more may come.
    """
    end = f" <[{','.join(map(str, ends))}]>?" if ends else ""
    return f"{_MARK}start: %lark {{\n{lark(grammar)}\n}}{end}\n"
