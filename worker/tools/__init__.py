"""inferq's own form of tools, for models whose template has none of its own, or none that can be kept to.

Tools, calls and results stand in the texts of the chat, and one grammar holds the answer: `docs/tool-calls.md` tells
it. Nothing here knows an engine; one that keeps to grammars computes what `own_form` makes of a task, and gives what
comes of that to `parse`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from shared.errors import EngineError, InvalidRequest
from shared.protocol import Chat, Delta, Event, FineChat, FinishReason
from worker.tools.form import OPENER
from worker.tools.grammar import write_grammar
from worker.tools.parser import CallParser
from worker.tools.prompt import write_messages

__all__ = ["OPENER", "needs_form", "own_form", "parse"]

_UNFIT = ("ignore_eos", "min_tokens", "stop_token_ids")
"""With these no grammar can be kept: see `gateway/schemas/structured.py`."""


def needs_form(chat: Chat) -> bool:
    """Whether it has tools, or has had some: calls or results."""
    return (isinstance(chat, FineChat) and bool(chat.tools)) or chat.has_called


def own_form(task: Chat, *, system: bool = True) -> Chat:
    """The same without tools, as texts and a grammar. `system`: the template takes system messages.

    Stop strings count only before OPENER. Raises InvalidRequest.
    """
    messages, sampling = write_messages(task, system=system), task.sampling
    if not isinstance(task, FineChat) or not task.tools:
        return replace(task, messages=messages)
    unfit = [name for name in _UNFIT if getattr(sampling, name)] + ["return_token_ids"] * task.token_ids
    if unfit:
        raise InvalidRequest(f"Invalid '{unfit[0]}': it cannot be kept together with 'tools'.", param=unfit[0])
    stop = () if task.must_call else sampling.stop
    sampling = replace(sampling, grammar=write_grammar(task), stop=stop)
    return replace(task, messages=messages, sampling=sampling, tools=(), must_call=False)


def parse(events: Iterable[Event], task: FineChat) -> Iterator[Event]:
    """What came of the own form of a task, as an answer to the task.

    Tokens of the form itself go with the next piece.
    """
    anywhere, waiting = task.sampling.grammar is None, Delta()
    parser = CallParser(task.tools, anywhere=anywhere, must=task.must_call)
    for event in events:
        if not isinstance(event, Delta) or event.reasoning:
            yield event
            continue
        tokens, logprobs = waiting.tokens + event.tokens, waiting.logprobs + event.logprobs
        size = waiting.prompt_size or event.prompt_size
        waiting = replace(waiting, tokens=tokens, logprobs=logprobs, prompt_size=size)
        pieces = parser.add(event.text)
        if event.finish_reason:
            pieces += parser.end(cut=event.finish_reason == "length")
        for text, call in pieces:
            yield replace(waiting, text=text, call=call)
            waiting = Delta()
        if event.finish_reason:
            reason = _reason(event.finish_reason, parser.calls, task)
            yield replace(waiting, finish_reason=reason, stop=event.stop if reason == "stop" else "")


def _reason(reason: FinishReason, calls: int, task: FineChat) -> FinishReason:
    if reason != "stop":
        return reason
    if task.must_call and not calls:
        raise EngineError("an answer that had to be a call is none")
    return "tool_calls" if calls else "stop"
