"""What stands for the assistant's side of a conversation after it was compacted: an item that has its summary.

OpenAI's is sealed. Here it is the text itself, in letters that no client takes for prose: a client could have sent that
text in a message too, so there is nothing to be forged.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Any

from gateway.schemas.parameters import text
from gateway.schemas.problem import refuse

COMPACTION = "compaction"
"""The type of the item."""

_MARK = "inferq1."
"""What its content begins with: others' can be read by them alone."""
_FOREIGN = "only what /v1/responses/compact of an inferq has answered can be read"


def write_summary(summary: str) -> str:
    """A summary as the `encrypted_content` of an item."""
    return _MARK + b64encode(summary.encode()).decode()


def read_summary(content: object) -> str:
    """What `write_summary` was given. Raises ValidationError."""
    name = "encrypted_content"
    if content is None:
        raise refuse("missing_required_parameter", name=name)
    sealed = text(content, name=name)
    if not sealed.startswith(_MARK):
        raise refuse("invalid_value", _FOREIGN, name=name)
    try:
        found = b64decode(sealed.removeprefix(_MARK).encode(), validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise refuse("invalid_value", _FOREIGN, name=name) from exc
    return text(found, name=name)


def tell_summary(item: dict[str, Any]) -> str:
    """What a model reads of an item that was found valid."""
    return f"Summary of the conversation so far:\n{read_summary(item['encrypted_content'])}"
