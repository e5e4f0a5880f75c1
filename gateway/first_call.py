"""The first call: what somebody types who has just got the address of a gateway. Pure text, for a shell and for Python.

A key is never shown: the shell puts it in, from the variable in which OpenAI's clients look for it too.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

KEY_VARIABLE = "OPENAI_API_KEY"
_HELLO = "Hello!"
UNKNOWN = "MODEL"
"""Stands for a model where none may be named, or none is there."""


@dataclass(frozen=True, slots=True)
class FirstCall:
    base: str
    """The base URL that clients are given, ending in `/v1`."""
    model: str = UNKNOWN
    chat: bool = True
    """Whether the model answers chats; else it goes on from prompts."""
    keyed: bool = False
    """Whether requests need an API key."""

    @property
    def curl(self) -> str:
        """A line for a shell."""
        words = ["curl", shlex.quote(self.base + self._path), "-H 'Content-Type: application/json'"]
        if self.keyed:
            words.append(f'-H "Authorization: Bearer ${KEY_VARIABLE}"')
        return " ".join([*words, "-d", shlex.quote(json.dumps({"model": self.model, **self._asked}))])

    @property
    def python(self) -> str:
        """A script for the `openai` package."""
        key = f'os.environ["{KEY_VARIABLE}"]' if self.keyed else '"none"'
        given = ", ".join(f"{name}={json.dumps(value)}" for name, value in {"model": self.model, **self._asked}.items())
        create, text = ("chat.completions", "message.content") if self.chat else ("completions", "text")
        lines = [
            *(["import os", ""] if self.keyed else []),
            "from openai import OpenAI  # pip install openai",
            "",
            f"client = OpenAI(base_url={json.dumps(self.base)}, api_key={key})",
            f"answer = client.{create}.create({given})",
            f"print(answer.choices[0].{text})",
        ]
        return "\n".join(lines)

    @property
    def _path(self) -> str:
        return "/chat/completions" if self.chat else "/completions"

    @property
    def _asked(self) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": _HELLO}]} if self.chat else {"prompt": _HELLO}
