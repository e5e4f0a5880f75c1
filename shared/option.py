"""One setting: its default, what it says, its bounds, and how it is read from a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from shared.errors import InferqError


class ConfigError(InferqError):
    code = "config_error"
    permanent = True


def option(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    form: tuple[str, str] | None = None,
    secret: bool = False,
) -> Any:
    """`form` is a regular expression for a text, and what it says in words; a `secret` is never shown."""
    return field(default=default, repr=not secret, metadata={"help": doc, "low": low, "high": high, "form": form})


def one_of(*words: str) -> tuple[str, str]:
    """The form of a text that is one of these."""
    *others, last = words
    return "|".join(map(re.escape, words)), f"{', '.join(others)} or {last}" if others else last


def parse(name: str, text: str, kind: type, limits: Mapping[str, Any]) -> Any:
    try:
        value = kind(text)
    except ValueError:
        raise ConfigError(f"{name}={text!r}: not {'a whole number' if kind is int else 'a number'}") from None
    low, high = limits["low"], limits["high"]
    if low is not None and not value >= low:
        raise ConfigError(f"{name}={text!r}: must be at least {low}")
    if high is not None and value > high:
        raise ConfigError(f"{name}={text!r}: must be at most {high}")
    if limits["form"] is not None:
        pattern, words = limits["form"]
        if not re.fullmatch(pattern, text):
            raise ConfigError(f"{name}={text!r}: must be {words}")
    return value
