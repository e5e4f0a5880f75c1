"""The parts of what an item says: in OpenAI's words as they are stored, and as the text that a model reads.

As with the messages of chats, what nobody knows in a part is ignored, silently. A part of an unknown type is refused.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.schemas.message import MOST_PARTS
from gateway.schemas.objects import bound_keys
from gateway.schemas.parameters import each, short, text
from gateway.schemas.problem import refuse, show, wrong_type

LONGEST_FILE_NAME = 1024
"""Characters of the name of a file."""

Part = dict[str, Any]

_TEXTS = ("input_text", "output_text", "text")
_TYPES = ("input_text", "input_file", "output_text", "refusal")
_TEXT_ONLY = "models here read text only"
_NO_TEXT = "the file is no text in UTF-8; models here read no other"


class FileText(NamedTuple):
    """What is in a file."""

    name: str
    content: str


Files = Mapping[str, FileText]
"""Those that are stored, by their ids."""


def read_parts(value: object, *, spoken: bool = False) -> list[Part]:
    """A string, or an array of parts, as parts of what the assistant has `spoken`, or of what it was given.

    Raises ValidationError.
    """
    if isinstance(value, str):
        return [_text(text(value), spoken=spoken)]
    if not isinstance(value, list):
        raise wrong_type("a string or an array of parts", value)
    if len(value) > MOST_PARTS:
        raise refuse("array_above_max_length", f"at most {MOST_PARTS} parts, but there are {len(value)}")
    return each(value, lambda part: _read(part, spoken=spoken))


def say(parts: str | Iterable[Part], files: Files) -> str:
    """What a model reads of them, each from a line of its own on."""
    if isinstance(parts, str):
        return parts
    return "\n".join(_say(part, files) for part in parts)


def file_ids(parts: object) -> Iterable[str]:
    """Of the stored files that they name; of parts that nobody has looked at yet."""
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and part.get("type") == "input_file" and isinstance(part.get("file_id"), str):
            yield part["file_id"]


def read_text(content: bytes, name: str) -> str:
    """What is in a file that the member `name` stands for. Raises ValidationError where that is no text."""
    try:
        found = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise refuse("unsupported_value", _NO_TEXT, name=name) from exc
    if "\0" in found or found.startswith("%PDF-"):
        raise refuse("unsupported_value", _NO_TEXT, name=name)
    return found


def _read(part: object, *, spoken: bool) -> Part:
    if isinstance(part, str):
        return _text(text(part), spoken=spoken)
    if not isinstance(part, dict):
        raise wrong_type("an object", part)
    bound_keys(part)
    if part.get("type") is None and "text" not in part:
        raise refuse("missing_required_parameter", name="type")
    kind = text("text" if part.get("type") is None else part["type"], name="type")
    if kind in _TEXTS:
        return _text(text(_member(part, "text"), name="text"), spoken=spoken)
    if kind == "refusal" and spoken:
        return {"type": "refusal", "refusal": text(_member(part, "refusal"), name="refusal")}
    if kind == "input_file" and not spoken:
        return _read_file(part)
    raise refuse("unsupported_value", f"{show(kind)} is none of {', '.join(_TYPES)}; {_TEXT_ONLY}", name="type")


def _text(said: str, *, spoken: bool) -> Part:
    """Annotations and log probabilities that a client sends back are not looked at."""
    if spoken:
        return {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": said}


def _read_file(part: Part) -> Part:
    if part.get("file_url") is not None:
        raise refuse("unsupported_parameter", "nothing is fetched from elsewhere", name="file_url")
    told = {"type": "input_file"}
    if part.get("filename") is not None:
        told["filename"] = short(part["filename"], LONGEST_FILE_NAME, name="filename")
    if part.get("file_data") is None:
        return {**told, "file_id": short(_member(part, "file_id"), name="file_id")}
    if part.get("file_id") is not None:
        raise refuse("invalid_value", "not together with 'file_data'", name="file_id")
    data = text(part["file_data"], name="file_data")
    if (found := _decode(data)) is None:
        raise refuse("invalid_value", "expected base64, or a data URL", name="file_data")
    read_text(found, "file_data")
    return {**told, "file_data": data}


def _decode(data: str) -> bytes | None:
    """The bytes of a file in base64, or of a data URL."""
    head, comma, rest = data.partition(",")
    if head.startswith("data:") and comma:
        if not head.endswith(";base64"):
            return unquote_to_bytes(rest)
        data = rest
    try:
        return b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _member(part: Mapping[str, Any], name: str) -> Any:
    if part.get(name) is None:
        raise refuse("missing_required_parameter", name=name)
    return part[name]


def _say(part: Part, files: Files) -> str:
    match part.get("type"):
        case "input_file" if "file_data" in part:
            return _tell_file(part.get("filename", ""), read_text(_decode(part["file_data"]) or b"", "file_data"))
        case "input_file":
            found = files[part["file_id"]]
            return _tell_file(part.get("filename") or found.name, found.content)
        case "refusal":
            return str(part["refusal"])
    return str(part.get("text", ""))


def _tell_file(name: str, content: str) -> str:
    return f"{name}\n{content}" if name else content
