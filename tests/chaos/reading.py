"""How a client takes in an answer, in whichever words it comes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.failures import Ended, Failure
from tests.chaos.forms import Answer, Likelihood, mark
from tests.chaos.plan import Request
from tests.chaos.vectors import transcript_of

_REASONS = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
"""OpenAI's words for Anthropic's."""
_NEAR = 0.3
"""By so much a model's log probabilities may differ when it reads in other batches."""


def code_of(error: Mapping[str, Any]) -> str:
    """The code of an error, which Anthropic's words have elsewhere."""
    found: str = error["code"] if "code" in error else error["details"]["error_code"]
    return found


@dataclass(slots=True)
class Reading:
    """What a client has read of one answer, as it comes or whole."""

    text: str = ""
    """The transcript, see `forms.mark`."""
    last_id: str = ""
    job: str = ""
    finish: str = ""
    usage: dict[str, Any] | None = None
    """In OpenAI's words."""
    calls: dict[int, str] = field(default_factory=dict)
    """The ids of calls."""
    likely: list[Likelihood] = field(default_factory=list)
    scores: list[Likelihood] = field(default_factory=list)
    """Log probabilities that were told, see `forms.Answer`."""
    over: bool = False
    """The last of its events has come."""
    _channel: str = "content"
    _open: int | None = None
    """Of Anthropic's blocks."""

    def take(self, event_id: str, data: str) -> bool:
        """Take in an event; True when it brought text. Raises Failure."""
        self.last_id = event_id or self.last_id
        if data == "[DONE]":
            self.over = True
            return False
        chunk = json.loads(data)
        if "error" in chunk:
            raise Ended(code_of(chunk["error"]), chunk["error"]["message"])
        before = len(self.text)
        match chunk:
            case {"choices": _}:
                self._take(chunk, "delta")
            case {"type": str(kind)}:
                self._take_event(kind, chunk)
            case {"content": str(text), "stop": bool(over)}:
                self._say("content", text)
                if over:
                    self.over = True
                    self._take_gap(chunk)
            case {"object": "list"}:
                self.text += transcript_of(chunk)
            case _:
                self.text += json.dumps(chunk)
        return len(self.text) > before

    def take_whole(self, answer: Mapping[str, Any]) -> None:
        """Take in an answer that came at once. Raises Failure."""
        match answer:
            case {"choices": _}:
                self._take(answer, "message")
            case {"type": "message"}:
                self._take_message(answer)
            case {"content": str(text), "stop": True}:
                self._say("content", text)
                self._take_gap(answer)
            case {"object": "list"}:
                self.text += transcript_of(answer)
            case _:
                self.text += json.dumps(answer)
        self.over = True
        self.end()

    def check_calls(self, known: dict[tuple[str, int], str]) -> None:
        """Compare the ids of calls with those that were read before, by job and index. Raises Failure."""
        for index, name in self.calls.items():
            if known.setdefault((self.job, index), name) != name:
                raise Failure(f"call {index} is {name}, and was {known[self.job, index]}")

    def end(self) -> None:
        """Raises Failure where the end comes too early."""
        if self.finish not in ("stop", "length", "tool_calls") and not self.text.startswith("{"):
            raise Failure(f"finish reason {self.finish!r}")

    def known(self) -> Answer:
        """All of it, as what another reading is to find."""
        tokens = (self.usage or {}).get("completion_tokens", 0)
        return Answer(self.text, tokens, 0, self.finish, tuple(self.likely), tuple(self.scores), exact=False)

    def wrong(self, request: Request) -> str:
        """What is wrong where the transcript is right; else empty."""
        if (known := request.answer) is None:
            return ""
        usage = self.usage or {}
        thoughts = usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
        if (usage.get("completion_tokens", 0), thoughts, self.finish) != (known.tokens, known.thoughts, known.finish):
            return f"usage {usage} and finish reason {self.finish!r}, not as in {known}"
        if len(set(self.calls.values())) != known.text.count("\n[call "):
            return f"the ids of its calls are {self.calls}"
        for name, told, wanted in (("tokens", self.likely, known.likely), ("prompt", self.scores, known.scores)):
            if differs := _differ(told, wanted, exact=known.exact):
                return f"of its {name} are told {differs}"
        return ""

    def _belongs_to(self, job: str) -> None:
        if self.job and job != self.job:
            raise Failure(f"the stream of {self.job} went on as {job}")
        self.job = job

    def _take(self, answer: Mapping[str, Any], name: str) -> None:
        self._belongs_to(answer["id"])
        self.usage = answer.get("usage") or self.usage
        self._take_scores(answer)
        for choice in answer["choices"]:
            self.finish += choice["finish_reason"] or ""
            piece = {"content": choice["text"]} if "text" in choice else choice[name]
            self._take_scores(choice)
            self._take_likelihoods(choice.get("logprobs") or {})
            self._say("thoughts", piece.get("reasoning_content"))
            self._say("content", piece.get("content"))
            for place, call in enumerate(piece.get("tool_calls") or ()):
                self._call(call.get("index", place), call)

    def _take_likelihoods(self, told: Mapping[str, Any]) -> None:
        for each in (*told.get("reasoning_content", ()), *told.get("content", ())):
            self.likely.append((each["token"], each["logprob"], len(each["top_logprobs"])))
        if "tokens" in told:
            self.likely += zip(told["tokens"], told["token_logprobs"], told["text_offset"], strict=True)

    def _take_scores(self, told: Mapping[str, Any]) -> None:
        for each in told.get("prompt_logprobs") or ():
            own = next(iter(each.values())) if each else None
            self.scores.append((own["decoded_token"], own["logprob"], 0) if own else ("", None, 0))

    def _take_event(self, kind: str, event: Mapping[str, Any]) -> None:
        """One of Anthropic's. Raises Failure where it comes out of turn."""
        match kind:
            case "message_start":
                self._belongs_to(event["message"]["id"])
            case "content_block_start":
                if self._open is not None:
                    raise Failure(f"a block begins within block {self._open}")
                self._open = event["index"]
                self._begin_block(event["content_block"])
            case "content_block_delta":
                if self._open != event["index"]:
                    raise Failure(f"a piece of block {event['index']} comes within block {self._open}")
                delta = event["delta"]
                self._say(self._channel, delta.get("thinking") or delta.get("text") or delta.get("partial_json"))
            case "content_block_stop":
                self._open = None
            case "message_delta":
                self._end_message(event["delta"], event["usage"])
            case "message_stop":
                self.over = True

    def _take_message(self, message: Mapping[str, Any]) -> None:
        self._belongs_to(message["id"])
        for block in message["content"]:
            self._begin_block(block)
            text = json.dumps(block["input"]) if block["type"] == "tool_use" else block[block["type"]]
            self._say(self._channel, text)
        self._end_message(message, message["usage"])

    def _begin_block(self, block: Mapping[str, Any]) -> None:
        if block["type"] == "tool_use":
            self._begin_call(len(self.calls), block["id"], block["name"])
        elif (channel := {"thinking": "thoughts"}.get(block["type"], "content")) != self._channel:
            self._channel = channel
            self.text += mark(channel)

    def _end_message(self, ending: Mapping[str, Any], usage: Mapping[str, Any]) -> None:
        self.finish += _REASONS.get(ending["stop_reason"], str(ending["stop_reason"]))
        thoughts = usage["output_tokens_details"]["thinking_tokens"]
        details = {"completion_tokens_details": {"reasoning_tokens": thoughts}}
        self.usage = {"completion_tokens": usage["output_tokens"], **details}

    def _take_gap(self, last: Mapping[str, Any]) -> None:
        self.finish += {"limit": "length"}.get(last["stop_type"], "stop")
        self.usage = {"completion_tokens": last["tokens_predicted"]}

    def _say(self, channel: str, text: str | None) -> None:
        if text and channel != self._channel:
            self.text += mark(channel)
            self._channel = channel
        self.text += text or ""

    def _begin_call(self, index: int, name: str, tool: str) -> None:
        if index in self.calls:
            raise Failure(f"call {index} begins again")
        self.calls[index] = name
        self._channel = f"call {index} {tool}"
        self.text += mark(self._channel)

    def _call(self, index: int, call: Mapping[str, Any]) -> None:
        """A call is named by its first piece, and nothing else comes before its end. Raises Failure."""
        function = call["function"]
        if "id" in call:
            self._begin_call(index, call["id"], function["name"])
        elif not self._channel.startswith(f"call {index} "):
            raise Failure(f"a piece of call {index} comes within {self._channel}")
        self._say(self._channel, function["arguments"])


def _differ(told: Sequence[Likelihood], wanted: Sequence[Likelihood], *, exact: bool) -> str:
    """Where they do, in words; empty where they do not."""
    if len(told) != len(wanted):
        return f"{len(told)}, not {len(wanted)}"
    for number, (one, other) in enumerate(zip(told, wanted, strict=True)):
        (token, logprob, place), near = one, 0.0 if exact else _NEAR
        if None in (logprob, other[1]):
            alike = logprob == other[1]
        else:
            alike = math.isclose(logprob or 0.0, other[1] or 0.0, rel_tol=1e-12, abs_tol=near)
        if not alike or (token, place) != (other[0], other[2]):
            return f"{one} as number {number}, not {other}"
    return ""
