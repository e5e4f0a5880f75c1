"""What of a request its response repeats, as OpenAI's do: with what holds where the request says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.json import decode

from shared.protocol import Grammar, Tool

_USUAL: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "truncation": "disabled",
    "user": None,
}
"""Where the request says nothing. How it is sampled is told as it is done, see `tell_sampling`."""


def repeat(body: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`body` is a request that was found valid, `given` what was read of it."""
    said = {name: given.get(name, usual) for name, usual in _USUAL.items()}
    thinking, text = given.get("reasoning") or {}, given.get("text") or {}
    conversation = given.get("conversation")
    return {
        **said,
        "conversation": {"id": conversation} if conversation else None,
        "metadata": given.get("metadata", {}),
        "reasoning": {
            "effort": thinking.get("effort") or None,
            "summary": thinking.get("summary") or thinking.get("generate_summary"),
        },
        "text": {"format": _form(body, text.get("format")), "verbosity": text.get("verbosity", "medium")},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": _tell_tools(body.get("tools") or (), given.get("tools", ())),
    }


def _form(body: Mapping[str, Any], grammar: Grammar | None) -> dict[str, Any]:
    asked = (body.get("text") or {}).get("format") or {}
    if grammar is None or asked["type"] != "json_schema":
        return {"type": asked.get("type", "text")}
    named = {"name": asked.get("name") or "schema", "description": asked.get("description")}
    return {"type": "json_schema", **named, "schema": decode(grammar.source), "strict": grammar.strict}


def _tell_tools(asked: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> list[dict[str, Any]]:
    return [_tell(*pair) for pair in zip(asked, tools, strict=True)]


def _tell(asked: Mapping[str, Any], tool: Tool) -> dict[str, Any]:
    named = {"name": tool.name, "description": asked.get("description")}
    if tool.custom:
        plain = {name: part for name, part in named.items() if part is not None}
        return {"type": "custom", **plain, "format": asked.get("format") or {"type": "text"}}
    parameters = decode(tool.parameters) if tool.parameters else {}
    return {"type": "function", **named, "parameters": parameters, "strict": tool.strict}
