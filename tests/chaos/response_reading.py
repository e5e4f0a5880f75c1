"""How a client takes in a response, as it comes or whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.chaos.failures import Ended, Failure, Gap
from tests.chaos.forms import mark
from tests.chaos.reading import Reading

_STATES = ("response.in_progress", "response.queued")
"""Events that are told again as signs of life, under the number of the last."""


class ResponseReading(Reading):
    """See `Reading`."""

    def __init__(self) -> None:
        super().__init__()
        self.number = -1
        """Of the last event."""
        self.items = list[Any]()
        """Those that have ended."""
        self.told: Mapping[str, Any] = {}
        """The object, once it has ended."""

    def take(self, event_id: str, data: str) -> bool:
        event = json.loads(data)
        kind: str = event["type"]
        if kind == "error":
            raise Ended(event["code"], event["message"])
        before = len(self.text)
        if self._counts(event["sequence_number"], kind):
            match kind.removeprefix("response."):
                case "created":
                    self._belongs_to(event["response"]["id"])
                case "output_item.added":
                    self._begin(event["item"])
                case "output_item.done":
                    self.items.append(event["item"])
                case "completed" | "incomplete" | "failed":
                    self._fold(event["response"])
                case _ if kind.endswith(".delta"):
                    self._say(self._channel, event["delta"])
        return len(self.text) > before

    def take_whole(self, answer: Mapping[str, Any]) -> None:
        for item in answer["output"]:
            self._begin(item)
            self._say(self._channel, _text(item))
        self._take_end(answer)
        self.end()

    def _counts(self, number: int, kind: str) -> bool:
        """Raises Gap where it comes out of turn."""
        if number == self.number + 1:
            self.number = number
            return True
        if kind in _STATES and number <= self.number:
            return False
        raise Gap(f"event {number} ({kind}) comes after {self.number}")

    def _fold(self, answer: Mapping[str, Any]) -> None:
        """Raises Failure where the events were others than those of the object."""
        self._take_end(answer)
        whole = ResponseReading()
        whole.take_whole(answer)
        if (whole.text, whole.calls, list(answer["output"])) != (self.text, self.calls, self.items):
            raise Failure(f"its events fold to {self.text!r} and {self.items}, and not to {answer['output']}")

    def _take_end(self, answer: Mapping[str, Any]) -> None:
        self._belongs_to(answer["id"])
        if answer["status"] not in ("completed", "incomplete"):
            error = answer["error"] or {"type": answer["status"], "message": ""}
            raise Ended(error["type"], error["message"])
        used = answer["usage"]
        thoughts = used["output_tokens_details"]["reasoning_tokens"]
        details = {"completion_tokens_details": {"reasoning_tokens": thoughts}}
        self.usage = {"completion_tokens": used["output_tokens"], **details}
        self.finish = "length" if answer["status"] == "incomplete" else "tool_calls" if self.calls else "stop"
        self.told, self.over = answer, True

    def _begin(self, item: Mapping[str, Any]) -> None:
        if item["type"] == "function_call":
            self._begin_call(len(self.calls), item["call_id"], item["name"])
        elif (channel := {"reasoning": "thoughts"}.get(item["type"], "content")) != self._channel:
            self._channel = channel
            self.text += mark(channel)


def _text(item: Mapping[str, Any]) -> str:
    if item["type"] == "function_call":
        return str(item["arguments"])
    return "".join(part["text"] for part in (*item.get("summary", ()), *item["content"]))
