"""What answers and streams tell of log probabilities, in one form, so that they can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_LISTS = ("tokens", "token_logprobs", "top_logprobs", "text_offset", "content", "reasoning_content")


def told(answers: Iterable[dict[str, Any]]) -> dict[int | None, dict[str, Any]]:
    """Of a whole answer, or of all chunks of a stream: by choice, and of the answer itself, each list as one."""
    found: dict[int | None, dict[str, Any]] = {}
    for answer in answers:
        _glue(found.setdefault(None, {}), answer, ("prompt_logprobs",))
        for choice in answer["choices"]:
            mine = found.setdefault(choice["index"], {"text": ""})
            mine["text"] += choice.get("text", "")
            _glue(mine, choice, ("prompt_logprobs", "token_ids"))
            _glue(mine, choice["logprobs"] or {}, _LISTS)
    return found


def _glue(found: dict[str, Any], told: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if told.get(name):
            found[name] = found.get(name, []) + told[name]
