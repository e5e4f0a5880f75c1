"""An answer as it comes, in Anthropic's events: each has its name, and says it again as its type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, assert_never

from gateway.schemas.anthropic.answer import Blocks, Ending, end, message, usage
from gateway.schemas.anthropic.failure import render_failure
from gateway.schemas.format import PAUSE, Frame
from gateway.schemas.openai import cut, encode
from gateway.schemas.outcomes import failure, outcome
from shared.protocol import Accepted, Delta, Done, Event, Failed, Options, Progress, StartOver, Told, Usage

_PING = Frame(b'{"type":"ping"}', "ping")
_PIECES = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}
"""By the type of a block: the type of its pieces, and where in them their text is."""


class MessageStream:
    """The frames of one stream."""

    def __init__(self, job_id: str, accepted: Accepted, options: Options, parameters: Mapping[str, str]) -> None:
        """For `parameters` see `Format.parameters`."""
        self._job_id, self._accepted = job_id, accepted
        self._blocks = Blocks(job_id, hides_thoughts=options.hides_reasoning)
        self._parameters = parameters
        self._prompt = 0
        """Tokens of it, as far as they are known."""
        self._begun = self._open = False
        self._ending = Ending()
        self._piece: Callable[[str], bytes]
        """Makes a piece of the open block."""

    def frames(self, event: Event) -> Iterator[Frame]:
        match event:
            case Progress():
                self._prompt = event.total
            case Delta():
                self._prompt = event.prompt_size or self._prompt
                yield from self._begin()
                yield from (_PING,) if event is PAUSE else self._say(event)
            case Done():
                yield from self._begin()
                yield from self._close()
                delta = {"stop_reason": self._ending.reason, "stop_sequence": self._ending.sequence}
                yield _frame("message_delta", delta={**delta, "stop_details": None}, usage=usage(event.usage))
                yield _frame("message_stop")
            case Failed():
                error = failure(event, self._parameters)
                words = render_failure(error, outcome(error.code).status, self._accepted.request_id or None)
                yield Frame(encode(words), "error")
            case Told():
                raise AssertionError("these are no parts of a text")
            case StartOver():
                raise AssertionError("nothing is taken back of what is read as it comes")
            case _:
                assert_never(event)

    def _begin(self) -> Iterable[Frame]:
        if self._begun:
            return ()
        self._begun = True
        begun = message(self._job_id, self._accepted, Usage(self._prompt, 0), [], Ending())
        return (_frame("message_start", message=begun),)

    def _say(self, piece: Delta) -> Iterator[Frame]:
        if self._blocks.tells(piece):
            if self._blocks.begins(piece):
                yield from self._close()
                self._blocks.begin(piece)
                yield self._start()
            if piece.text:
                yield Frame(self._piece(piece.text), "content_block_delta")
        self._ending = end(piece)

    def _start(self) -> Frame:
        self._open = True
        block = self._blocks.empty()
        kind, name = _PIECES[block["type"]]
        self._piece = cut(lambda text: self._delta({"type": kind, name: text}))
        return _frame("content_block_start", index=self._blocks.count - 1, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._blocks.count - 1, "delta": delta}

    def _close(self) -> Iterator[Frame]:
        """The end of the block that is open, if one is."""
        if self._open:
            self._open = False
            if self._blocks.thinks:
                signed = {"type": "signature_delta", "signature": self._blocks.signature()}
                yield Frame(encode(self._delta(signed)), "content_block_delta")
            yield _frame("content_block_stop", index=self._blocks.count - 1)


def _frame(name: str, **more: Any) -> Frame:
    return Frame(encode({"type": name, **more}), name)
