"""A chat template's own form of tools: whether it has one, and how a call begins in it.

It is found by having llama.cpp render a small conversation with and without a call.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.cancellation import Cancellable
from shared.errors import EngineError, HostDied, HostUnavailable, InvalidRequest
from shared.protocol import FineMessage, Message, Tool, ToolCall
from worker.engines.llama_cpp_server import LlamaServer
from worker.engines.llama_cpp_turns import CallIds, write_messages, write_tools

_KEY, _VALUE = "vkey", "wvalue"
_SCHEMA = {"type": "object", "properties": {_KEY: {"type": "string", "enum": [_VALUE]}}, "required": [_KEY]}
_NAMES = ("qzexample", "jxsample")
"""They begin with different letters, and no template has them of its own."""
_TOOLS = tuple(Tool(name, "", json.dumps(_SCHEMA)) for name in _NAMES)
_IDS = ("call_qzxexampleidentification", "call_jxqsampleidentification")
_ASKED = Message("user", "?")
_TEXT = "XYZZY"

Render = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Dialect:
    ids: CallIds
    opener: str
    """How an answer begins that is a call, up to the name of the tool; empty where that is not known."""
    call: str
    """A whole call, for a trial; empty as well."""
    exact: bool
    """The arguments are written as JSON, and so kept to all of their schema that llama.cpp's grammars can hold. In the
    others every text is free."""


def find_dialect(server: LlamaServer, work: Cancellable) -> Dialect | None:
    """None where the template has no form of tools, or none that llama.cpp can read."""

    def render(turns: list[Message], ids: CallIds = CallIds.GIVEN, **more: Any) -> str:
        messages, tools = write_messages(turns, ids, str), write_tools(_TOOLS, str)
        body = {"messages": messages, "tools": tools, **more}
        return str(server.ask("/apply-template", body, work)["prompt"])

    try:
        if _NAMES[0] not in render([_ASKED]):
            return None
        text = render([_ASKED, Message("assistant", _TEXT)], add_generation_prompt=False)
        ids, calls = _calls(render)
    except (InvalidRequest, EngineError) as exc:
        if isinstance(exc, HostDied | HostUnavailable):
            raise
        return None
    if not calls:
        return None
    before, _, after = text.partition(_TEXT)
    begin = _common(*calls)
    known = begin.startswith(before) and len(begin) > len(before)
    exact = f'"{_VALUE}"' in calls[0][len(begin) :]
    if not known:
        return Dialect(ids, "", "", exact)
    whole = calls[0].removesuffix(after) if after else calls[0]
    return Dialect(ids, begin[len(before) :], whole[len(before) :], exact)


def _common(one: str, other: str) -> str:
    """How both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return one[: next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))]


def _calls(render: Render) -> tuple[CallIds, list[str]]:
    """Conversations that end with a call, one of each tool, and with which ids they can be rendered."""
    failure: Exception | None = None
    for ids in CallIds:
        try:
            found = [_render_call(render, ids, name, id) for name, id in zip(_NAMES, _IDS, strict=True)]
        except InvalidRequest as exc:
            failure = exc
            continue
        begin = len(_common(*found))
        # Some write nothing of a call but its id.
        if all(name in call[begin:] for name, call in zip(_NAMES, found, strict=True)):
            return ids, found
    if failure:
        raise failure
    return CallIds.GIVEN, []


def _render_call(render: Render, ids: CallIds, name: str, id: str) -> str:
    call = ToolCall(id, name, json.dumps({_KEY: _VALUE}))
    return render([_ASKED, FineMessage("assistant", "", (call,))], ids, add_generation_prompt=False)


def try_dialect(server: LlamaServer, dialect: Dialect, work: Cancellable, steps: int) -> bool:
    """Whether llama.cpp takes a call that begins with the opener for one. One token is computed."""
    turns = [_ASKED, Message("assistant", dialect.call)]
    request = {
        "messages": write_messages(turns, dialect.ids, str),
        "tools": write_tools(_TOOLS, str),
        "tool_choice": "required",
        "continue_final_message": "content",
        "add_generation_prompt": False,
        "echo": True,
        "n_predict": 1,
        "cache_prompt": False,
        "verbose": True,
    }
    try:
        answer = server.ask("/v1/chat/completions", request, work, steps=steps, computes=True)
    except (InvalidRequest, EngineError) as exc:
        if isinstance(exc, HostDied | HostUnavailable):
            raise
        return False
    message = answer["choices"][0]["message"]
    settings = answer["__verbose"]["generation_settings"]
    calls = [call["function"] for call in message.get("tool_calls", ())]
    held = bool(settings["grammar"]) and not settings["grammar_lazy"] and not message.get("content")
    return held and bool(calls) and calls[0]["name"] == _NAMES[0] and _VALUE in calls[0]["arguments"]
