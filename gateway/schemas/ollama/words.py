"""What Ollama's answers say: objects, of which a stream has one for each piece, and the last says how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.schemas.anthropic.arguments import complete
from gateway.schemas.logprobs import tell_tokens
from gateway.schemas.ollama.context import pack
from gateway.schemas.speech import call_id
from shared.protocol import Accepted, Call, Done, FinishReason, TokenLogprob, Usage

NAME, LOAD, TURNS = "model", "load", "turns"
"""What of a request its answer repeats: by which name the model was asked for; why nothing is said; and, where the next
request may go on with it, what the conversation was."""
UNLOAD = "unload"
"""Why nothing is said where the model is to be let go of."""
_REASONS: Mapping[FinishReason, str] = {"length": "length", "stop": "stop", "tool_calls": "stop"}

Say = Callable[[str, str, Sequence[Any]], dict[str, Any]]
"""Makes of a text, of thoughts and of whole calls what an object says."""


def tell_thoughts(thoughts: str) -> dict[str, Any]:
    """Nothing, where there are none."""
    return {"thinking": thoughts} if thoughts else {}


def head(accepted: Accepted) -> dict[str, Any]:
    """What every object begins with."""
    name = accepted.options.asked.get(NAME, accepted.task.model)
    return {"model": name, "created_at": tell_time(accepted.created, accepted.nanoseconds)}


def tell_time(seconds: int, nanoseconds: int = 0) -> str:
    """As Go writes it: with the part of the second, where there is one."""
    part = f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{part}Z"


def tell_call(job_id: str, call: Call, arguments: str) -> dict[str, Any]:
    function = {"index": call.index, "name": call.name, "arguments": complete(arguments)}
    return {"id": call_id(job_id, 0, call.index), "function": function}


def tell_likelihoods(entries: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Of a piece; nothing, where they were not asked for."""
    return {"logprobs": list(tell_tokens(entries, as_ids=False))} if entries else {}


def tell_end(reason: FinishReason | None, done: Done, accepted: Accepted) -> dict[str, Any]:
    """Why and how the answer has ended. Times are in nanoseconds."""
    used, took = done.usage, done.timings
    whole = max(0, done.ended_ns - accepted.created_ns)
    read, wrote = (_nano(took.prompt_ms), _nano(took.completion_ms)) if took else (0, whole)
    waited = max(0, whole - read - wrote)
    return {
        "done": True,
        "done_reason": _REASONS[reason or "stop"],
        "total_duration": waited + read + max(1, wrote),
        "load_duration": waited,
        **_tell_used(used, read, max(1, wrote)),
    }


def tell_context(accepted: Accepted, text: str) -> dict[str, Any]:
    """For the next request; nothing of a conversation that the client keeps itself."""
    turns = accepted.options.asked.get(TURNS)
    numbers = pack([*turns, ["assistant", text]]) if turns else []
    return {"context": numbers} if numbers else {}


def tell_load(accepted: Accepted) -> dict[str, Any]:
    """How a request has ended that says nothing, but has the model loaded, or let go of."""
    return {"done": True, "done_reason": accepted.options.asked[LOAD]}


def _tell_used(used: Usage, read: int, wrote: int) -> dict[str, int]:
    return {
        "prompt_eval_count": used.prompt_tokens,
        "prompt_eval_duration": read,
        "eval_count": used.completion_tokens,
        "eval_duration": wrote,
    }


def _nano(milliseconds: float) -> int:
    return round(milliseconds * 1e6)
