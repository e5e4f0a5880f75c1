"""The first call: what somebody types who has just got the address of a gateway. Pure text, for a shell and for Python.

A key is never shown: the shell puts it in, from the variable in which OpenAI's clients look for it too.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from shared.card import Ability, Card

KEY_VARIABLE = "OPENAI_API_KEY"
_HELLO = "Hello!"
UNKNOWN = "MODEL"
"""Stands for a model where none may be named, or none is there."""
_USUAL = (Ability.CHAT, Ability.COMPLETION, Ability.EMBEDDING, Ability.RERANK)
"""What models are shown to be asked for: of all that one can, what comes first."""
_TOLD = {
    Ability.CHAT: "answer.choices[0].message.content",
    Ability.COMPLETION: "answer.choices[0].text",
    Ability.EMBEDDING: "answer.data[0].embedding[:5]",
}
"""What is shown of an answer."""


@dataclass(frozen=True, slots=True)
class FirstCall:
    base: str
    """The base URL that clients are given, ending in `/v1`."""
    model: str = UNKNOWN
    ability: Ability = Ability.CHAT
    """What the model is asked for: one of `_USUAL`."""
    keyed: bool = False
    """Whether requests need an API key."""

    @classmethod
    def of(cls, base: str, cards: Sequence[Card], *, keyed: bool) -> FirstCall:
        """To the model, of those that are ready, which can do what people ask for first."""
        asked = [(ability, card.id) for ability in _USUAL for card in cards if ability in card.abilities]
        ability, model = asked[0] if asked else (Ability.CHAT, cards[0].id if cards else UNKNOWN)
        return cls(base, model, ability, keyed)

    @property
    def curl(self) -> str:
        """A line for a shell."""
        path, asked = self._asked
        words = ["curl", shlex.quote(self.base + path), "-H 'Content-Type: application/json'"]
        if self.keyed:
            words.append(f'-H "Authorization: Bearer ${KEY_VARIABLE}"')
        return " ".join([*words, "-d", shlex.quote(json.dumps({"model": self.model, **asked}))])

    @property
    def python(self) -> str:
        """A script for the `openai` package."""
        key = f'os.environ["{KEY_VARIABLE}"]' if self.keyed else '"none"'
        path, asked = self._asked
        named = {"model": self.model, **asked}
        if self.ability is Ability.RERANK:  # of which that package knows nothing
            call, told = f"client.post({json.dumps(path)}, body={json.dumps(named)}, cast_to=object)", "answer"
        else:
            given = ", ".join(f"{name}={json.dumps(value)}" for name, value in named.items())
            call, told = f"client.{path[1:].replace('/', '.')}.create({given})", _TOLD[self.ability]
        lines = [
            *(["import os", ""] if self.keyed else []),
            "from openai import OpenAI  # pip install openai",
            "",
            f"client = OpenAI(base_url={json.dumps(self.base)}, api_key={key})",
            f"answer = {call}",
            f"print({told})",
        ]
        return "\n".join(lines)

    @property
    def _asked(self) -> tuple[str, dict[str, object]]:
        """The path, and what is asked there."""
        match self.ability:
            case Ability.EMBEDDING:
                return "/embeddings", {"input": _HELLO}
            case Ability.RERANK:
                return "/rerank", {"query": _HELLO, "documents": [_HELLO, "Goodbye."]}
            case Ability.COMPLETION:
                return "/completions", {"prompt": _HELLO}
            case _:
                return "/chat/completions", {"messages": [{"role": "user", "content": _HELLO}]}
