"""Ids that a gateway has told, so that some of what is drawn finds what it asks for."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

from tests.fuzz.drawing import Case

_PREFIXES = {
    "chatcmpl-": "chat_id",
    "resp_": "response_id",
    "conv_": "conversation_id",
    "file-": "file_id",
    "upload_": "upload_id",
    "part_": "part_ids",
    "batch_": "batch_id",
    "cmpl-": "job_id",
}
"""Which parameter takes an id that begins so."""
_ALSO = {"input_file_id": "file_id", "after": "chat_id", "job_id": "chat_id"}
"""Other names for the same."""
MOST = 50
"""Of each kind: the newest."""


class Known:
    """Those so far."""

    def __init__(self) -> None:
        self._ids = defaultdict[str, list[str]](list)
        self._items = defaultdict[str, list[str]](list)
        """Of a conversation."""

    def note(self, case: Case, told: Any) -> None:
        """What an answer tells."""
        if not isinstance(told, dict):
            return
        identity = str(told.get("id", ""))
        for prefix, name in _PREFIXES.items():
            stored = name != "chat_id" or "metadata" in told
            if identity.startswith(prefix) and stored:
                self._ids[name] = [*self._ids[name], identity][-MOST:]
        if case.path.endswith("/items") and case.path_parameters:
            self._items[case.path_parameters["conversation_id"]] += [item["id"] for item in told.get("data", ())]

    def put(self, case: Case, dice: random.Random) -> None:
        """Have a request name, as often as not, what is there."""
        for part in (case.path_parameters, case.body, case.query):
            if isinstance(part, dict):
                for name in part:
                    if (known := self._ids[_ALSO.get(name, name)] or self._ids[name]) and dice.random() < 0.5:
                        chosen = dice.choice(known)
                        part[name] = [chosen] if name == "part_ids" else chosen
        inside = case.path_parameters or {}
        if "item_id" in inside and (items := self._items.get(inside["conversation_id"])):
            inside["item_id"] = dice.choice(items)
