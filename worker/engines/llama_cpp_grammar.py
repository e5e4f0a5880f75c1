"""A grammar as llama.cpp takes it: in llguidance's Lark, which its server tells from its own by the first word."""

from __future__ import annotations

from shared.grammars import lark
from shared.protocol import Grammar

_MARK = "%llguidance {}\n"


def rules(grammar: Grammar) -> str:
    """What `/completion` is to be given as `grammar`."""
    return _MARK + lark(grammar)
