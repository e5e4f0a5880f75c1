"""Grammars that are written as rules: in llama.cpp's GBNF, or in Lark already."""

from __future__ import annotations

import re

from llguidance.gbnf_to_lark import gbnf_to_lark, is_lark_syntax

from gateway.schemas.problem import refuse, show

MOST_RULES = 256
"""Rules of a grammar in GBNF: to translate it takes a time that grows with their number's square."""

_DEFINED = "::="
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.)", re.DOTALL)


def read_grammar(source: str) -> str:
    """The same in Lark. Raises ValidationError."""
    if is_lark_syntax(source) and _DEFINED not in source:
        return source
    if (rules := source.count(_DEFINED)) > MOST_RULES:
        raise refuse("invalid_value", f"at most {MOST_RULES} rules, but there are {rules}")
    try:
        return gbnf_to_lark(_ESCAPE.sub(_spelled, source))
    except Exception as exc:  # its own have no common base; it also runs out of depth, or of digits
        reason = "it is nested too deeply" if isinstance(exc, RecursionError) else show(str(exc))
        raise refuse("invalid_value", f"this is no grammar in GBNF or Lark: {reason}") from exc


def _spelled(escape: re.Match[str]) -> str:
    """The character that is meant, where nothing else can be read in it: Lark knows fewer escapes."""
    number = next((int(digits, 16) for digits in escape.groups() if digits), 0)
    character = chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else ""
    return character if character.isalnum() or character > "\x9f" else escape[0]
