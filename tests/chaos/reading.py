"""How a client takes in a stream."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.chaos.failures import Failure


@dataclass(slots=True)
class Reading:
    """What a client has read of one stream."""

    text: str = ""
    last_id: str = ""
    job: str = ""
    finish: str = ""
    usage: dict[str, Any] | None = None

    def take(self, event_id: str, data: str) -> bool:
        """Take in an event; True when it brought text. Raises Failure."""
        self.last_id = event_id or self.last_id
        chunk = json.loads(data)
        if "error" in chunk:
            raise Failure(f"the stream ended with {chunk['error']['code']}: {chunk['error']['message']}")
        if self.job and chunk["id"] != self.job:
            raise Failure(f"the stream of {self.job} went on as {chunk['id']}")
        self.job = chunk["id"]
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            self.finish += choice["finish_reason"] or ""
            text = choice["text"] if "text" in choice else choice["delta"].get("content")
            self.text += text or ""
            if text:
                return True
        return False

    def end(self) -> None:
        """Raises Failure where `[DONE]` comes too early."""
        if self.finish not in ("stop", "length"):
            raise Failure(f"finish reason {self.finish!r}")
