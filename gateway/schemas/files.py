"""OpenAI's files and uploads: what requests say of them, and how they are told. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from marshmallow import post_load, validates_schema

from gateway.schemas.caps import MAX_FILE_BYTES
from gateway.schemas.objects import Member, Strict
from gateway.schemas.parameters import Array, Integer, Text, Word
from gateway.schemas.problem import refuse, show
from shared.config import Config
from shared.errors import InvalidRequest

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
LISTED = (*PURPOSES, "assistants_output", "batch_output", "fine-tune-results")
_IN_LINES = ("batch", "fine-tune")
"""Purposes whose files hold JSON in lines."""
_MD5 = "[0-9A-Fa-f]{32}"
FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")
"""Those of a form beside its file."""
LONGEST_FILENAME = 512
"""Characters of a file's name."""
LONGEST_EXPIRY = 2_592_000
"""Seconds after which a file goes, where its request says when."""
MOST_PART_IDS = 10_000
"""Parts of which a file is made."""
_SHORTEST_EXPIRY = 3600
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_WHOLE = re.compile("[0-9]{1,15}")
_RANGE = re.compile("bytes=([0-9]{0,18})-([0-9]{0,18})")
_PASSIVE = re.compile(
    r"text/(plain|csv|markdown|tab-separated-values)|application/(json|jsonl|x-ndjson|pdf|zip)|(audio|video)/[\w.+-]+"
    r"|image/(png|jpeg|gif|webp|bmp|tiff)",
    re.ASCII,
)
"""Content types of which a browser runs nothing."""


class ExpirySchema(Strict):
    """When a file goes, beginning with its making."""

    anchor = Word("created_at", required=True)
    seconds = Integer(_SHORTEST_EXPIRY, LONGEST_EXPIRY, required=True)


class FileSchema(Strict):
    """What a form says beside its file."""

    purpose = Word(*PURPOSES, required=True)
    expires_after = Member(ExpirySchema)


class UploadSchema(FileSchema):
    """What a file that is to come in parts will be."""

    bytes = Integer(1, MAX_FILE_BYTES, required=True)
    filename = Text(empty=False, longest=LONGEST_FILENAME, required=True)
    mime_type = Text(longest=128, required=True)

    @post_load
    def name(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {**data, "filename": base_name(data["filename"])}

    @validates_schema(skip_on_field_errors=True)
    def lines(self, data: dict[str, Any], **kwargs: Any) -> None:
        if problem := wrong_extension(data["purpose"], data["filename"]):
            raise refuse("invalid_value", problem, name="filename")


class Checksum(Text):
    """An MD5 in hexadecimal digits."""

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_MD5}$"}


class PartsSchema(Strict):
    """Of which parts a file is made, in their order."""

    part_ids = Array(Text(longest=64), 1, MOST_PART_IDS, required=True)
    md5 = Checksum(longest=32)

    @validates_schema(skip_on_field_errors=True)
    def sense(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not re.fullmatch(_MD5, data.get("md5", "0" * 32)):
            raise refuse("invalid_value", "expected 32 hexadecimal digits", name="md5")
        if len(set(data["part_ids"])) < len(data["part_ids"]):
            raise refuse("invalid_value", "a part is named twice", name="part_ids")


UPLOAD, PARTS = UploadSchema(), PartsSchema()
_FORM, _BEGUN = FileSchema(), FileSchema(partial=True)
_BYTES = {"type": "string", "format": "binary"}
FORM = {
    "type": "object",
    "properties": {
        "file": _BYTES,
        "purpose": _FORM.described["properties"]["purpose"],
        **{f"expires_after[{name}]": field for name, field in ExpirySchema().described["properties"].items()},
    },
    "required": ["file", "purpose"],
    "additionalProperties": False,
}
"""The JSON Schema of a form that stores a file."""
PART_FORM = {"type": "object", "properties": {"data": _BYTES}, "required": ["data"], "additionalProperties": False}
"""That of one with a part of a file."""


def read_form(fields: Mapping[str, str], filename: str, config: Config, *, whole: bool) -> dict[str, Any]:
    """What a form asks for, with the name of its file; not `whole`: some of its fields are still to come.

    Raises InvalidRequest.
    """
    body: dict[str, Any] = {}
    for key, value in fields.items():
        outer, _, inner = key.rstrip("]").partition("[")
        if inner:
            body.setdefault(outer, {})[inner] = int(value) if _WHOLE.fullmatch(value) else value
        else:
            body[outer] = value
    given = (_FORM if whole else _BEGUN).read(body, config)
    name = base_name(filename)
    if len(name) > LONGEST_FILENAME:
        raise _wrong_file(f"its name has more than {LONGEST_FILENAME} characters", "string_above_max_length")
    if problem := wrong_extension(given.get("purpose", ""), name):
        raise _wrong_file(problem)
    return {**given, "filename": name}


def _wrong_file(problem: str, code: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(f"Invalid 'file': {problem}.", param="file", code=code)


def base_name(filename: str) -> str:
    """A file's name without folders and control characters."""
    name = _CONTROL.sub("", re.split(r"[/\\]", filename)[-1]).strip()
    return name if name.strip(".") else "file"


def wrong_extension(purpose: str, filename: str) -> str:
    """Why a file of that purpose must not be called so; empty where it may."""
    if purpose in _IN_LINES and not filename.lower().endswith(".jsonl"):
        return f"a file whose purpose is {purpose} holds JSON in lines: its name must end with .jsonl"
    return ""


def read_purpose(query: Mapping[str, str]) -> str:
    """That of which files are to be listed; empty for all. Raises InvalidRequest."""
    purpose = query.get("purpose", "")
    if purpose and purpose not in LISTED:
        message = f"Unsupported value for 'purpose': {show(purpose)} is none of {', '.join(LISTED)}."
        raise InvalidRequest(message, param="purpose", code="unsupported_value")
    return purpose


def read_range(header: str, size: int) -> range | None:
    """Which bytes of so many are asked for; None for all, also where several parts are. Empty where there are none."""
    found = _RANGE.fullmatch(header)
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(int(last) + 1 if last else size, size))


def render_file(identity: str, created: int, expires: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": identity,
        "object": "file",
        "bytes": facts["bytes"],
        "created_at": created,
        **({"expires_at": expires} if expires else {}),
        "filename": facts["filename"],
        "purpose": facts["purpose"],
        "status": "processed",
    }


def render_upload(
    identity: str, created: int, expires: int, facts: Mapping[str, Any], file: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "id": identity,
        "object": "upload",
        "bytes": facts["bytes"],
        "created_at": created,
        "expires_at": expires,
        "filename": facts["filename"],
        "purpose": facts["purpose"],
        "status": facts["status"],
        "file": file,
    }


def render_part(identity: str, created: int, upload_id: str) -> dict[str, Any]:
    return {"id": identity, "object": "upload.part", "created_at": created, "upload_id": upload_id}


def content_headers(filename: str, kind: str) -> dict[str, str]:
    """With which a file's bytes are sent, so that a browser stores them, and makes no page of them."""
    plain = re.sub(r"[^ !#-\[\]-~]", "_", filename)
    return {
        "Content-Type": kind if _PASSIVE.fullmatch(kind) else "application/octet-stream",
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "private, no-store",
    }
