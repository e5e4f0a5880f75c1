"""What a request for a response says of the prompt: the items that the model is given, and what stands before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError, fields, post_load, validates_schema

from gateway.schemas.caps import MAX_MESSAGES, capped
from gateway.schemas.objects import Member, Strict
from gateway.schemas.parameters import Ignored, Only, Prose, Text, Word, short
from gateway.schemas.problem import first, refuse
from gateway.schemas.reasoning import ReasoningObject, ReasoningSchema, thinking
from gateway.schemas.responses.items import REFERENCE, Input, Item, name_items
from gateway.schemas.responses.references import Referred
from gateway.schemas.responses.tools import FlatToolsSchema
from gateway.schemas.responses.turns import check_files, check_results, make_turns
from gateway.schemas.structured import ANY_OBJECT, NamedSchema
from gateway.schemas.tools import tools
from shared.config import Config
from shared.errors import NotStored
from shared.protocol import Chat, FineChat, Grammar, Message, Sampling

_ELSEWHERE = (
    "reasoning_budget",
    "reasoning_budget_tokens",
    "reasoning_effort",
    "reasoning_format",
    "think",
    "thinking",
    "thinking_budget_tokens",
    "thinking_token_budget",
)
"""Words of chats for what `reasoning` says."""


class ConversationId(fields.Field[str]):
    """Its id, or an object that has it."""

    _text = Text(empty=False)

    @property
    def json_schema(self) -> dict[str, Any]:
        named = {"type": "object", "properties": {"id": self._text.json_schema}, "required": ["id"]}
        return {"anyOf": [self._text.json_schema, named]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if not isinstance(value, dict):
            return self._text._deserialize(value)
        if value.get("id") is None:
            raise refuse("missing_required_parameter", name="id")
        if not (found := short(value["id"], name="id")):
            raise refuse("invalid_value", "the string must not be empty", name="id")
        return found


class TextFormat(NamedSchema):
    """A schema stands beside its name, without an object around them."""

    type = Word("text", "json_object", "json_schema", required=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Grammar | None:
        if data["type"] == "text":
            return None
        if data["type"] == "json_schema" and "schema" not in data:
            raise refuse("missing_required_parameter", name="schema")
        return Grammar("json", data.get("schema", ANY_OBJECT), data["strict"], param="text.format")


class TextConfig(Strict):
    format = Member(TextFormat)
    verbosity = Ignored(Word("low", "medium", "high"))


class ReasoningConfig(ReasoningObject):
    """OpenAI's, with what OpenRouter has beside it."""

    summary = generate_summary = Word("auto", "concise", "detailed")  # type: ignore[assignment]  # it is looked at, where the base ignores it
    context = Ignored(Word("auto", "current_turn", "all_turns"))
    mode = Ignored(Text())


class ResponsePromptSchema(FlatToolsSchema, ReasoningSchema):
    """What a model reads, and what is refused of it."""

    class Meta(Strict.Meta):
        exclude = _ELSEWHERE

    model = Text(empty=False, required=True)
    input = Input()
    instructions = Prose()
    previous_response_id = Text(empty=False)
    conversation = ConversationId()
    text = Member(TextConfig)
    reasoning = Member(ReasoningConfig)
    truncation = Word("auto", "disabled")
    prompt = Only(hint="prompts are kept by the client alone")

    @validates_schema
    def begins(self, data: dict[str, Any], **kwargs: Any) -> None:
        """There is something to answer."""
        if "previous_response_id" in data and "conversation" in data:
            raise refuse("invalid_value", "not together with 'previous_response_id'", name="conversation")
        if not (data.get("input") or "previous_response_id" in data or "conversation" in data):
            raise refuse("missing_required_parameter", "there is nothing to answer", name="input")

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        items = [item for item in data.get("input") or () if isinstance(item, dict)]
        sealed = any(item.get("type") == "reasoning" and item.get("encrypted_content") for item in items)
        found = ["input[].encrypted_content"] if sealed else []
        return [*super().ignored(data), *found]


def make_chat(given: dict[str, Any], items: Sequence[Item], referred: Referred, chosen: Sampling) -> Chat:
    """What `ResponsePromptSchema.read` returned, as a task; `items` is what `place_items` did."""
    instructions = given.get("instructions")
    first = [{"type": "message", "role": "system", "content": instructions}] if instructions else []
    turns: tuple[Message, ...] = make_turns([*first, *items], referred.files)
    trims = given.get("truncation") == "auto"
    return FineChat(given["model"], turns, chosen, **tools(given), **thinking(given), trims=trims).simplest()


def place_items(given: Mapping[str, Any], seed: int, config: Config, referred: Referred) -> list[Item]:
    """All items that the model is given, each with an id: first those that are inherited."""
    source = "conversation" if "conversation" in given else "previous_response_id"
    inherited, asked = referred.inherited, given.get("input", [])
    try:
        with capped(config):
            if (count := len(inherited) + len(asked)) > int(MAX_MESSAGES):
                problem = f"at most {MAX_MESSAGES} items with those before, but there are {count}"
                raise refuse("array_above_max_length", problem, name="input")
            own = [_resolve(item, place, referred) for place, item in enumerate(asked)]
            named = name_items(own, (item["id"] for item in inherited), seed, str(given.get(source, "")))
            items = [*inherited, *named]
            check_results(items, len(inherited), source)
            check_files(items, len(inherited), source, referred.files)
            if not items:
                raise refuse("missing_required_parameter", "there is nothing to answer", name="input")
            return items
    except ValidationError as exc:
        raise first(exc) from exc


def _resolve(item: Item, place: int, referred: Referred) -> Item:
    if item["type"] != REFERENCE:
        return item
    if item["id"] not in referred.items:
        raise NotStored(item["id"], param=f"input[{place}].id")
    return referred.items[item["id"]]
