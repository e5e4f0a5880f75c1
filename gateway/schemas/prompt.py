"""The wire format of llm-ui's /api/chat: a prompt in the query, plain text as the answer."""

from __future__ import annotations

from collections.abc import Mapping

from marshmallow import ValidationError

from gateway.schemas.objects import Strict
from gateway.schemas.parameters import Text
from gateway.schemas.problem import first
from shared.card import Ability, Card
from shared.config import Config
from shared.protocol import Chat, Completion, Message, Sampling

LONGEST_PROMPT = 8190
"""Characters: there is no room for more in a request line."""


class PromptSchema(Strict):
    prompt = Text(longest=LONGEST_PROMPT, required=True)
    model = Text(empty=False)


PROMPT = PromptSchema()


def parse_query(query: Mapping[str, str]) -> tuple[str, str | None]:
    """The prompt, and the model if one is named. Raises InvalidRequest, naming the parameter."""
    try:
        given = PROMPT.load(query)
    except ValidationError as exc:
        raise first(exc) from exc
    return given["prompt"], given.get("model")


def prompt_task(prompt: str, card: Card, seed: int, config: Config) -> Chat | Completion:
    """A chat where the model can chat, or nobody knows yet; where it cannot, it continues the prompt."""
    sampling = Sampling(seed, config.usual_max_tokens)
    if Ability.CHAT in card.abilities or not card.capabilities:
        return Chat(card.id, (Message("user", prompt),), sampling)
    return Completion(card.id, (prompt,), sampling)
