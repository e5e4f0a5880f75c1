"""What `GET /` tells programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.first_call import KEY_VARIABLE, FirstCall

DOCS = {
    "OpenAI's API": "https://platform.openai.com/docs/api-reference/chat",
    "OpenAI's Python client": "https://pypi.org/project/openai/",
}
"""What is spoken here. What of it inferq takes, `/docs` tells."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model, as who may use it sees it."""

    names: Sequence[str]
    """The id, and then the aliases."""
    ready: bool
    """A worker has it loaded."""


@dataclass(frozen=True, slots=True)
class Front:
    """All that there is to say."""

    call: FirstCall
    refusal: str = ""
    """Why who asks may not use the gateway; empty where they may. Such a stranger is told no models."""
    models: Sequence[Served] | None = ()
    """None: Redis does not answer."""


def render_object(front: Front) -> dict[str, Any]:
    call = front.call
    told: dict[str, Any] = {"name": "inferq", "base_url": call.base, "api_key": _key(call)}
    if front.refusal:
        told["message"] = front.refusal
    elif front.models is not None:
        told["models"] = [name for model in front.models for name in model.names if model.ready]
        told["unready"] = [model.names[0] for model in front.models if not model.ready]
    return {**told, "curl": call.curl, "python": call.python, "docs": DOCS}


def _key(call: FirstCall) -> str:
    if call.keyed:
        return f"one of this gateway's; the lines below take it from {KEY_VARIABLE}"
    return "any text: none is asked for"
