"""The items of an input: what is said, called and thought, as clients write it or send it back.

They are made into what OpenAI lists and stores: every key in its place, all parts in arrays, and an id each.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from marshmallow import ValidationError, fields
from msgspec.json import encode

from gateway.schemas.caps import MAX_MESSAGES
from gateway.schemas.json_schema import NO_ITEMS
from gateway.schemas.message import MOST_PARTS
from gateway.schemas.objects import bound_keys, keyed, write_json
from gateway.schemas.parameters import LONGEST_TEXT, each, short, text
from gateway.schemas.problem import refuse, show, wrong_type
from gateway.schemas.responses.parts import read_parts
from gateway.schemas.responses.summaries import COMPACTION, read_summary, write_summary
from gateway.schemas.tool_calls import LONGEST_CALL_ID

Item = dict[str, Any]

ROLES = ("user", "assistant", "system", "developer")
STATUSES = ("in_progress", "completed", "incomplete")
REFERENCE = "item_reference"
"""The type of an item that stands for another one."""

_PHASES = ("commentary", "final_answer")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOSTED = "every tool is run by the client, and models here read text only"


class Input(fields.Field[list[Item]]):
    """A string, which is what the user says, or an array of items. By hand and not by schemas: a body has room for ten
    thousands."""

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [_STRING, {"type": "array", "maxItems": int(MAX_MESSAGES), "items": describe_item()}]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> list[Item]:
        if isinstance(value, str):
            return [read_item({"role": "user", "content": value})]
        return read_items(value)


def describe_item(without: str = "") -> dict[str, Any]:
    """The `json_schema` of one item, of any type but this one."""
    kinds = [kind.json_schema(name) for name, kind in _KINDS.items() if name != without]
    return {"anyOf": [*kinds, _EASY]}


def read_items(value: object) -> list[Item]:
    """The items of an array; those that have no id of their own are without one. Raises ValidationError."""
    if not isinstance(value, list):
        raise wrong_type("a string or an array of items", value)
    if len(value) > int(MAX_MESSAGES):
        raise refuse("array_above_max_length", f"at most {MAX_MESSAGES} items, but there are {len(value)}")
    return each(value, read_item)


def name_items(items: Iterable[Item], taken: Iterable[str], seed: int, place: str) -> list[Item]:
    """The items, each with an id that none of `taken` is and none before it has: its own, or one that is the same
    whenever the same is read with this seed at this place."""
    known, named = set(taken), list[Item]()
    for number, item in enumerate(items, len(known)):
        identifier = item.get("id", "")
        if not identifier or identifier in known:
            said = encode([seed, place, number, item])
            identifier = f"{_KINDS[item['type']].prefix}_{hashlib.blake2b(said, digest_size=20).hexdigest()}"
        known.add(identifier)
        named.append({"id": identifier, **{key: part for key, part in item.items() if key != "id"}})
    return named


def read_item(item: object) -> Item:
    """One item; see `read_items`."""
    if not isinstance(item, dict):
        raise wrong_type("an object", item)
    bound_keys(item)
    kind = text(_kind(item), name="type")
    if kind not in _KINDS:
        raise refuse("unsupported_value", f"{show(kind)} is none of {', '.join(_KINDS)}; {_HOSTED}", name="type")
    identifier = item.get("id")
    named = {"id": identifier} if isinstance(identifier, str) and _ID.fullmatch(identifier) else {}
    return {**named, "type": kind, **_KINDS[kind].read(item)}


def _kind(item: Mapping[str, Any]) -> object:
    """What says nothing of it is a message, where it has a role, or else a reference."""
    if item.get("type") is not None:
        return item["type"]
    if item.get("role") is None and item.get("id") is None:
        raise refuse("missing_required_parameter", name="type")
    return "message" if item.get("role") is not None else REFERENCE


def _message(item: Mapping[str, Any]) -> Item:
    role = text(_member(item, "role"), name="role")
    if role not in ROLES:
        raise refuse("invalid_value", f"{show(role)} is none of {', '.join(ROLES)}", name="role")
    said = _member(item, "content")
    content = _within("content", lambda: read_parts(said, spoken=role == "assistant"))
    phase = {"phase": item["phase"]} if role == "assistant" and item.get("phase") in _PHASES else {}
    return {"role": role, "content": content, "status": _status(item), **phase}


def _function_call(item: Mapping[str, Any]) -> Item:
    arguments = item.get("arguments")
    if not isinstance(arguments, str):
        arguments = _within("arguments", lambda: write_json(keyed({} if arguments is None else arguments)))
    said = text(arguments, name="arguments")
    return {**_call(item), "arguments": said if said.strip() else "{}", "status": _status(item)}


def _custom_call(item: Mapping[str, Any]) -> Item:
    return {**_call(item), "input": text(_member(item, "input"), name="input"), "status": _status(item)}


def _call(item: Mapping[str, Any]) -> Item:
    return {"call_id": _name(item, "call_id", LONGEST_CALL_ID), "name": _name(item, "name", LONGEST_TEXT)}


def _result(item: Mapping[str, Any]) -> Item:
    identifier, output = _name(item, "call_id", LONGEST_CALL_ID), _member(item, "output")
    said = text(output, name="output") if isinstance(output, str) else _within("output", lambda: read_parts(output))
    return {"call_id": identifier, "output": said, "status": _status(item)}


def _reasoning(item: Mapping[str, Any]) -> Item:
    """What is encrypted only OpenAI can read."""
    summary = _within("summary", lambda: _thoughts(item.get("summary"), "summary_text"))
    content = _within("content", lambda: _thoughts(item.get("content"), "reasoning_text"))
    return {"summary": summary, "content": content, "status": _status(item)}


def _thoughts(value: object, kind: str) -> list[Item]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong_type("an array of parts", value)
    if len(value) > MOST_PARTS:
        raise refuse("array_above_max_length", f"at most {MOST_PARTS} parts, but there are {len(value)}")

    def read(part: object) -> Item:
        if not isinstance(part, dict):
            raise wrong_type("an object", part)
        return {"type": kind, "text": text(_member(part, "text"), name="text")}

    return each(value, read)


def _compaction(item: Mapping[str, Any]) -> Item:
    read_summary(item.get("encrypted_content"))
    return {"encrypted_content": item["encrypted_content"]}


def _reference(item: Mapping[str, Any]) -> Item:
    if not _ID.fullmatch(short(_member(item, "id"), name="id")):
        raise refuse("invalid_value", "an id has 1 to 64 letters, digits, _ and -", name="id")
    return {}


def _status(item: Mapping[str, Any]) -> str:
    """It was over when it was sent back."""
    return "incomplete" if item.get("status") == "incomplete" else "completed"


def _member(item: Mapping[str, Any], name: str) -> Any:
    if item.get(name) is None:
        raise refuse("missing_required_parameter", name=name)
    return item[name]


def _name(item: Mapping[str, Any], name: str, longest: int) -> str:
    if not (found := short(_member(item, name), longest, name=name)):
        raise refuse("invalid_value", "the string must not be empty", name=name)
    return found


def _within(name: str, read: Callable[[], Any]) -> Any:
    """What is read of a member, whose name errors tell."""
    try:
        return read()
    except ValidationError as exc:
        raise ValidationError({name: exc.messages}) from exc


class _InputKind(NamedTuple):
    """How a type of item is read."""

    prefix: str
    """Of its id."""
    read: Callable[[Mapping[str, Any]], Item]
    required: Mapping[str, Any]
    """Members that it has to have, each with its `json_schema`."""
    further: Mapping[str, Any] = MappingProxyType({})
    """Those that it may have."""

    def json_schema(self, kind: str) -> dict[str, Any]:
        named = {"type": {"const": kind}, **self.required}
        return {"type": "object", "properties": {**named, **self.further}, "required": [*named]}


def _parts(*texts: Sequence[str]) -> dict[str, Any]:
    """The `json_schema` of a string, or of parts of these types, each with the member that is its text."""
    kinds = []
    for kind, name in texts:
        usual = name == "text"  # what has one needs no type
        named = {"type": {"enum": [kind, None] if usual else [kind]}, name: _STRING}
        kinds.append({"type": "object", "properties": named, "required": [name] if usual else ["type", name]})
    return {"anyOf": [_STRING, {"type": "array", "maxItems": MOST_PARTS, "items": {"anyOf": kinds}}]}


_STRING: dict[str, Any] = {"type": "string"}
_CALL_ID = {**_STRING, "minLength": 1, "maxLength": LONGEST_CALL_ID}
_CALL = {"call_id": _CALL_ID, "name": {**_STRING, "minLength": 1, "maxLength": LONGEST_TEXT}}
_GIVEN = _parts(("input_text", "text"), ("text", "text"))
_SPOKEN = _parts(("output_text", "text"), ("refusal", "refusal"))
_RESULT = {"call_id": _CALL_ID, "output": _GIVEN}
_MESSAGE = {"role": {"enum": [role for role in ROLES if role != "assistant"]}, "content": _GIVEN}
_EASY = {
    "type": "object",
    "properties": {"role": {"const": "assistant"}, "content": _SPOKEN},
    "required": ["role", "content"],
}
_KINDS: dict[str, _InputKind] = {
    "message": _InputKind("msg", _message, _MESSAGE),
    "function_call": _InputKind("fc", _function_call, {**_CALL, "arguments": _STRING}),
    "function_call_output": _InputKind("fco", _result, _RESULT),
    "custom_tool_call": _InputKind("ctc", _custom_call, {**_CALL, "input": _STRING}),
    "custom_tool_call_output": _InputKind("ctco", _result, _RESULT),
    "reasoning": _InputKind("rs", _reasoning, {}, {"summary": NO_ITEMS}),
    COMPACTION: _InputKind("cmp", _compaction, {"encrypted_content": {"const": write_summary("")}}),
    REFERENCE: _InputKind("ref", _reference, {"id": {**_STRING, "pattern": f"^{_ID.pattern}$"}}),
}
"""By their type."""
