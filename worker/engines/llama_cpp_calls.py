"""What llama.cpp's parser finds in an answer, as pieces of it that may be sent."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from shared.errors import EngineError
from shared.protocol import Call, Delta, FineChat, FinishReason
from worker.engines import UNTOLD
from worker.engines.llama_cpp_schemas import required
from worker.engines.llama_cpp_server import Unreadable
from worker.engines.stops import Piece, Spelling, stop_strings
from worker.tools.grammar import MOST_CALLS

_ESCAPES = {chr(code): f"\\u{code:04x}" for code in range(0x20)} | {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Arguments:
    """Takes the JSON object of a call's arguments in pieces, and says when there is all of it."""

    def __init__(self) -> None:
        self.whole = False
        self._depth, self._in_text, self._escaped = 0, False, False
        self._taken: list[str] = []

    def close(self, required: Collection[str]) -> str:
        """What they lack, where that is only their last bracket."""
        if self._depth != 1 or self._in_text:  # of a whole one the depth is 0
            return ""
        try:
            return self.add("}") if json.loads("".join(self._taken) + "}").keys() >= set(required) else ""
        except ValueError:
            return ""

    def add(self, text: str) -> str:
        """As much of the text as belongs to the object. llama.cpp's grammars allow control characters within texts,
        which JSON does not: they are escaped.

        Raises EngineError where it is no object.
        """
        taken: list[str] = []
        for character in text:
            if self.whole:
                break
            if self._in_text:
                taken.append(_ESCAPES.get(character, character))
                self._in_text = self._escaped or character != '"'
                self._escaped = character == "\\" and not self._escaped
                continue
            taken.append(character)
            if character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
            elif not self._depth and not character.isspace():
                raise EngineError("llama.cpp found arguments of a call that are no object")
            self._in_text = character == '"'
            self.whole = character in "}]" and not self._depth
        self._taken += taken
        return "".join(taken)


class ChatPieces:
    """Of one answer. Stop strings are looked for in its content only.

    Where it may not have several calls it ends after its first, else after MOST_CALLS. Where it must call it has no
    content: whatever comes beside its calls is left out.
    """

    def __init__(self, task: FineChat) -> None:
        self._required = {tool.name: required(tool.parameters) for tool in task.tools}
        self._parallel, self._must_call = task.parallel_calls, task.must_call
        self.finish: FinishReason | None = None
        """Set as soon as nothing that may still come belongs to the answer."""
        self._stops = stop_strings(tuple(task.sampling.stop))
        self._spelling = Spelling(self._stops)
        self._told = 0  # tokens that have gone out, or are in the spelling
        self._index, self._name = -1, ""
        self._arguments = Arguments()
        self._begun = False  # a piece of this call has gone out

    @property
    def calls(self) -> bool:
        """Whether a call has begun."""
        return self._index >= 0

    def take(self, said: Mapping[str, Any], count: int) -> Iterator[Delta]:
        """What can be sent of what llama.cpp says after so many tokens."""
        if text := said.get("reasoning_content"):
            yield from self._release()
            yield Delta(text, self._tokens(count), reasoning=True)
        if text := said.get("content"):
            if self._must_call and self._index < 0 and text.strip():
                raise EngineError("llama.cpp found a text where a call had to be")
            if not self._must_call and (piece := self._spelling.say(text, *self._tokens(count))):
                yield piece.tell()
            if self._spelling.stopped:
                self.finish = "stop"
        for call in said.get("tool_calls") or ():
            if not self.finish:
                yield from self._release()
                yield from self._call(call, count)

    def end_unread(self, count: int) -> Iterator[Delta]:
        """The last pieces of an answer whose end llama.cpp cannot read: that may be the end of a call, which it is
        stricter about than its grammars are. What has all but its last bracket has all. Raises Unreadable."""
        needed = self._required.get(self._name)
        if needed is not None and (text := self._arguments.close(needed)):
            yield self._piece(text, count)
        if not self._arguments.whole:
            raise Unreadable("llama.cpp cannot read a call that it made")
        yield from self.end("stop", count)

    def end(self, reason: FinishReason, count: int) -> Iterator[Delta]:
        """The last pieces of an answer that ends so, after so many tokens."""
        rest = self._spelling.rest()
        if rest.text:
            yield Delta(rest.text)
        if reason != "length":
            yield from self._close(count)
            if self._index >= 0:
                reason = "tool_calls"
        stop = self._spelling.stop if reason == "stop" else ""
        yield Piece("", (*rest.tokens, *self._tokens(count))).tell(reason, stop)

    def _call(self, said: Mapping[str, Any], count: int) -> Iterator[Delta]:
        index, function = said["index"], said["function"]
        if index != self._index:
            yield from self._close(count)
            if index == (MOST_CALLS if self._parallel else 1):
                self.finish = "tool_calls"
                return
            self._index, self._name, self._arguments, self._begun = index, "", Arguments(), False
        # While its arguments have not begun, a name may be the beginning of one.
        self._name = function.get("name") or self._name
        if text := function.get("arguments"):
            yield self._piece(self._arguments.add(text), count)
        if self._arguments.whole and (not self._parallel or index + 1 == MOST_CALLS):
            self.finish = "tool_calls"

    def _close(self, count: int) -> Iterator[Delta]:
        """The call that has come to its end. One without arguments may be written so."""
        if self._index >= 0 and not self._begun:
            yield self._piece(self._arguments.add("{}"), count)
        if self._index >= 0 and not self._arguments.whole:
            raise EngineError("llama.cpp ended a call before its arguments were whole")

    def _piece(self, text: str, count: int) -> Delta:
        if self._name not in self._required:
            raise EngineError(f"llama.cpp found a call of {self._name[:100]!r}, which is no tool of the request")
        self._begun = True
        return Delta(text, self._tokens(count), call=Call(self._index, self._name))

    def _release(self) -> Iterator[Delta]:
        """What was held back of the content, where something else has begun."""
        rest = self._spelling.rest()
        if rest.text or rest.tokens:
            yield rest.tell()
        self._spelling = Spelling(self._stops)

    def _tokens(self, count: int) -> tuple[int, ...]:
        """Those since the last piece."""
        new, self._told = max(0, count - self._told), max(count, self._told)
        return (UNTOLD,) * new
