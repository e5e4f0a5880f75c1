"""How a client takes in an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.failures import Ended, Failure
from tests.chaos.forms import mark
from tests.chaos.plan import Request


@dataclass(slots=True)
class Reading:
    """What a client has read of one answer, as it comes or whole."""

    text: str = ""
    """The transcript, see `forms.mark`."""
    last_id: str = ""
    job: str = ""
    finish: str = ""
    usage: dict[str, Any] | None = None
    calls: dict[int, str] = field(default_factory=dict)
    """The ids of calls."""
    _channel: str = "content"

    def take(self, event_id: str, data: str) -> bool:
        """Take in an event; True when it brought text. Raises Failure."""
        self.last_id = event_id or self.last_id
        chunk = json.loads(data)
        if "error" in chunk:
            raise Ended(chunk["error"]["code"], chunk["error"]["message"])
        return self._take(chunk, "delta")

    def take_whole(self, answer: Mapping[str, Any]) -> None:
        """Take in an answer that came at once. Raises Failure."""
        self._take(answer, "message")
        self.end()

    def check_calls(self, known: dict[tuple[str, int], str]) -> None:
        """Compare the ids of calls with those that were read before, by job and index. Raises Failure."""
        for index, name in self.calls.items():
            if known.setdefault((self.job, index), name) != name:
                raise Failure(f"call {index} is {name}, and was {known[self.job, index]}")

    def end(self) -> None:
        """Raises Failure where `[DONE]` comes too early."""
        if self.finish not in ("stop", "length", "tool_calls"):
            raise Failure(f"finish reason {self.finish!r}")

    def wrong(self, request: Request) -> str:
        """What is wrong where the transcript is right; else empty."""
        if (known := request.answer) is None:
            return ""
        usage = self.usage or {}
        thoughts = usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
        if (usage.get("completion_tokens"), thoughts, self.finish) != (known.tokens, known.thoughts, known.finish):
            return f"usage {usage} and finish reason {self.finish!r}, not as in {known}"
        if len(set(self.calls.values())) != known.text.count("\n[call "):
            return f"the ids of its calls are {self.calls}"
        return ""

    def _take(self, answer: Mapping[str, Any], name: str) -> bool:
        if self.job and answer["id"] != self.job:
            raise Failure(f"the stream of {self.job} went on as {answer['id']}")
        before, self.job = len(self.text), answer["id"]
        self.usage = answer.get("usage") or self.usage
        for choice in answer["choices"]:
            self.finish += choice["finish_reason"] or ""
            piece = {"content": choice["text"]} if "text" in choice else choice[name]
            self._say("thoughts", piece.get("reasoning_content"))
            self._say("content", piece.get("content"))
            for place, call in enumerate(piece.get("tool_calls") or ()):
                self._call(call.get("index", place), call)
        return len(self.text) > before

    def _say(self, channel: str, text: str | None) -> None:
        if text and channel != self._channel:
            self.text += mark(channel)
            self._channel = channel
        self.text += text or ""

    def _call(self, index: int, call: Mapping[str, Any]) -> None:
        """A call is named by its first piece, and nothing else comes before its end. Raises Failure."""
        function = call["function"]
        if "id" in call:
            if index in self.calls:
                raise Failure(f"call {index} begins again")
            self.calls[index] = call["id"]
            self._channel = f"call {index} {function['name']}"
            self.text += mark(self._channel)
        elif not self._channel.startswith(f"call {index} "):
            raise Failure(f"a piece of call {index} comes within {self._channel}")
        self._say(self._channel, function["arguments"])
