"""OpenAI's parameters of what is kept of a prompt: who may use it again, and for how long it lasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.schemas.objects import Strict
from gateway.schemas.parameters import Text, Word
from shared.protocol import Caching

_IN_MEMORY = ("in_memory", "in-memory")


class CachingSchema(Strict):
    prompt_cache_key = Text()
    prompt_cache_retention = Word(*_IN_MEMORY, "24h")


def caching(given: Mapping[str, Any]) -> Caching:
    """What `read` returned, as the task's part."""
    return Caching(key=given.get("prompt_cache_key", ""), kept=given.get("prompt_cache_retention") not in _IN_MEMORY)
