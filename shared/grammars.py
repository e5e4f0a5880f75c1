"""Grammars in the words of llguidance, which the gateway has looked at, and llama.cpp's build of it keeps to."""

from __future__ import annotations

import json
from typing import assert_never

from llguidance import regex_to_lark

from shared.protocol import Grammar

_COMPACT = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
"""A model that may put in white space may do so for ever."""


def lark(grammar: Grammar) -> str:
    """As a grammar in Lark, whose first rule is `start`."""
    match grammar.kind:
        case "json":
            options = _COMPACT if grammar.strict else {**_COMPACT, "lenient": True}
            return f"start: %json {json.dumps({**json.loads(grammar.source), 'x-guidance': options})}"
        case "regex":
            return f"start: /{regex_to_lark(grammar.source)}/"
        case "choice":
            return f"start: CHOICE\nCHOICE: {' | '.join(map(json.dumps, json.loads(grammar.source)))}"
        case "lark":
            return grammar.source
        case _:
            assert_never(grammar.kind)
