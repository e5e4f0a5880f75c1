"""A chat template's own form of tools: whether it has one, and how a call begins in it.

It is found by having llama.cpp render a small conversation with and without a call.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from shared.cancellation import Cancellable
from shared.errors import EngineError, HostDied, HostUnavailable, InvalidRequest
from shared.protocol import FineMessage, Message, Tool, ToolCall
from worker.engines.llama_cpp_server import LlamaServer
from worker.engines.llama_cpp_turns import CallIds, adapt, write_tools
from worker.engines.messages import make_messages

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
    begun: str
    """A call as far as into its arguments, for a trial; empty as well."""
    exact: bool
    """The arguments are written as JSON, and so kept to all of their schema that llama.cpp's grammars can hold. In the
    others every text is free."""

    @property
    def marked(self) -> bool:
        """A call cannot be taken for a text, which may well begin with a bracket."""
        return not self.opener.lstrip().startswith("{")


def find_dialect(server: LlamaServer, work: Cancellable) -> Dialect | None:
    """None where the template has no form of tools, or none that llama.cpp can read."""

    def render(turns: list[Message], ids: CallIds = CallIds.GIVEN, **more: Any) -> str:
        body = {"messages": _write(turns, ids), "tools": write_tools(_TOOLS, str), **more}
        return str(server.ask("/apply-template", body, work)["prompt"])

    text, ids, calls = "", CallIds.GIVEN, list[str]()
    with _refusals():
        if _NAMES[0] in render([_ASKED]):
            text = render([_ASKED, Message("assistant", _TEXT)], add_generation_prompt=False)
            ids, calls = _calls(render)
    if not calls:
        return None
    before = text.partition(_TEXT)[0]
    begin = _common(*calls)
    known = begin.startswith(before) and len(begin) > len(before)
    exact = f'"{_VALUE}"' in calls[0][len(begin) :]
    if not known:
        return Dialect(ids, "", "", exact)
    begun = calls[0][len(before) : calls[0].index(_VALUE, len(before))]
    return Dialect(ids, begin[len(before) :], begun, exact)


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


def try_dialect(server: LlamaServer, dialect: Dialect, work: Cancellable) -> bool:
    """Whether llama.cpp takes a call that begins with the opener for one. One token is computed."""
    turns = [_ASKED, Message("assistant", dialect.begun)]
    request = {
        "messages": _write(turns, dialect.ids),
        "tools": write_tools(_TOOLS, str),
        "tool_choice": "required",
        "continue_final_message": "content",
        "add_generation_prompt": False,
        "echo": True,  # of what is begun
        "n_predict": 1,
        "stream": True,
        "return_progress": True,
    }
    chunks = server.stream("/v1/chat/completions", request, work)
    with contextlib.closing(chunks), _refusals():
        for chunk in chunks:
            for choice in chunk["choices"]:
                for call in choice["delta"].get("tool_calls") or ():
                    if call["function"].get("name") == _NAMES[0]:
                        return True
    return False


def _write(turns: list[Message], ids: CallIds) -> list[dict[str, Any]]:
    return make_messages(adapt(turns, ids), lambda text, _: text)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Within `with`, llama.cpp may refuse, or fail, at what it is asked."""
    try:
        yield
    except (HostDied, HostUnavailable):
        raise
    except (InvalidRequest, EngineError):
        pass
