"""What the operator lets one request ask for: bounds that are settings, and what a refusal says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from shared.config import PREFIX, Config

_config = ContextVar("_config", default=Config())  # noqa: B039 - it is frozen: nobody can change it


@contextmanager
def capped(config: Config) -> Iterator[None]:
    """Within, these settings are in force: fields have no other way to learn of them."""
    token = _config.set(config)
    try:
        yield
    finally:
        _config.reset(token)


@dataclass(frozen=True, slots=True)
class Cap:
    """A bound by the name of its setting: the number now in force, and as text what a client may be told of it."""

    setting: str

    def __int__(self) -> int:
        return int(getattr(_config.get(), self.setting))

    def __str__(self) -> str:
        return f"{int(self)} (the operator's {PREFIX}{self.setting.upper()})"


MAX_FILE_BYTES = Cap("max_file_bytes")
MAX_TOKENS = Cap("max_tokens")
MAX_CHOICES = Cap("max_choices")
MAX_MESSAGES = Cap("max_messages")
MAX_STOPS = Cap("max_stops")
MAX_LOGIT_BIASES = Cap("max_logit_biases")
MAX_LOGPROBS = Cap("max_logprobs")
