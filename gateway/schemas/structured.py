"""What requests say of the form of an answer."""

from __future__ import annotations

from typing import Any

from gateway.schemas.objects import Strict
from gateway.schemas.parameters import Only
from shared.protocol import Grammar


class StructuredSchema(Strict):
    guided_json = guided_regex = guided_choice = guided_grammar = Only()
    guided_decoding_backend = guided_whitespace_pattern = Only()
    grammar = grammar_string = Only("")
    json_schema = Only()


def grammar(given: dict[str, Any]) -> Grammar | None:
    """What `read` returned, as the part of `Sampling`."""
    return None
