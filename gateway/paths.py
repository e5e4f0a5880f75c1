"""Where requests lead to: paths that are nearly right, and what is said of those that are not.

Clients are told a base URL and put paths behind it. With a slash too many, with `/v1` twice or not at all, it is still
clear what they mean, and they are served as if they had said it. They are not redirected: many would send the body of
a POST no further, and some the API key to nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile

from flask import Flask, request
from flask.globals import request_ctx
from werkzeug.exceptions import HTTPException, NotFound

from shared.errors import NotServed
from shared.nearest import nearest

_UNSERVED = {
    "OpenAI's": "assistants audio chatkit containers content_provenance_checks decisions edits evals"
    " fine-tunes fine_tuning images live/sessions moderations organization projects realtime safety threads"
    " vector_stores videos webhook_endpoints webhook_event_types",
    "Anthropic's": "complete compliance deployments dreams environments memory_stores messages/batches organizations"
    " sessions tunnels user_profiles",
    "OpenAI's and Anthropic's": "agents skills vaults",
    "Ollama's": "api/blobs api/copy api/create api/delete api/push",
}
"""What inferq does not do, of the APIs that it speaks, by whose it is: what paths begin with, without `/v1`."""
_OPERATORS = "models are their operator's, and `inferq pull` fetches one"
_INSTEAD = {
    **dict.fromkeys(("api/blobs", "api/copy", "api/create", "api/delete", "api/push"), _OPERATORS),
    "assistants": "/v1/responses keeps conversations",
    "complete": "/v1/messages answers chats, /v1/completions goes on with texts",
    "edits": "/v1/chat/completions answers chats",
    "threads": "/v1/conversations keeps conversations",
    "vector_stores": "/v1/embeddings makes vectors",
}
"""What comes nearest to some of that."""
_FOREIGN = {
    "Ollama's": "api/experimental api/me api/signout api/web_fetch api/web_search",
    "llama.cpp's or vLLM's": "classify completion embedding lora-adapters pooling score slots",
}
"""Endpoints of other servers: clients ask for them to find out which one they have before them."""
_VERSIONED = frozenset(
    {
        "apply-template",
        "batches",
        "chat",
        "completions",
        "conversations",
        "detokenize",
        "embeddings",
        "files",
        "infill",
        "jobs",
        "messages",
        "models",
        "props",
        "rerank",
        "responses",
        "tokenize",
        "tokenizer_info",
        "uploads",
    }
)
"""What paths begin with that belong behind `/v1`."""
_OWNERS = {name: whose for table in (_UNSERVED, _FOREIGN) for whose, names in table.items() for name in names.split()}
_PASSED = frozenset(name for names in _FOREIGN.values() for name in names.split())


def init_app(app: Flask) -> None:
    """Serve requests whose path is nearly right. Has to come before what asks for the endpoint, as for API keys."""
    app.url_map.merge_slashes = False  # it would answer with a redirect in HTML
    app.before_request(_find)


def _find() -> None:
    """Match the current request again, by what its path means, where it has led nowhere."""
    lost = isinstance(request.routing_exception, NotFound)
    if not (lost or request.path.endswith("/")) or (path := _meaning(request.path)) == request.path:
        return
    if path == "/" and request.method == "POST":
        return  # whatever it is that there is to read, it is not what this is for
    adapter, refusal = request_ctx.url_adapter, None
    assert adapter is not None, "of a request there is one"
    adapter.path_info = path
    try:
        rule, arguments = adapter.match(return_rule=True)
        request.url_rule, request.view_args = rule, dict(arguments)
    except NotFound:
        return
    except HTTPException as exc:  # the method is not allowed there
        refusal = exc
    request.path, request.routing_exception = path, refusal


def _meaning(path: str) -> str:
    """`path` with one slash in each place, none at its end, and one `/v1` before what belongs there."""
    parts = [part for part in path.split("/") if part]
    if parts[-1:] == ["reranking"] or parts[-2:] == ["v2", "rerank"]:  # as llama.cpp's server and Cohere have it, too
        parts = ["v1", "rerank"]
    versions = len(list(takewhile("v1".__eq__, parts)))
    del parts[: versions - 1 if versions else 0]
    if parts == ["v1"]:
        return "/"
    if parts and parts[0] in _VERSIONED:
        parts.insert(0, "v1")
    elif parts[:1] == ["v1"] and parts[1] in ("health", "ping", "version", "openapi.json", "docs"):
        del parts[0]
    return "/" + "/".join(parts)


def is_anthropics(path: str) -> bool:
    """Whether the path, as it was sent, is of the Messages API, also where it leads nowhere."""
    return f"{_meaning(path)}/".startswith("/v1/messages/")


def is_ollamas(method: str, path: str) -> bool:
    """Whether the path, as it was sent, is of Ollama's API, where also llm-ui has its own."""
    meant = _meaning(path)
    theirs = meant.startswith("/api/") and not meant.startswith("/api/v1/")  # which is OpenAI's, said to another server
    return theirs and (method, meant) != ("GET", "/api/chat")


def explain(method: str, path: str, rules: Iterable[str]) -> NotServed | str:
    """What to say of a path that leads nowhere, on a gateway with these rules."""
    meant = _meaning(path)
    if name := _unserved(meant.removeprefix("/v1/").strip("/")):
        whose = _OWNERS[name]
        message = f"inferq does not serve this endpoint of {whose}: {method} {path}"
        if name in _PASSED:
            return message
        instead = f"; {_INSTEAD[name]}" if name in _INSTEAD else ""
        return NotServed(f"{message}. It serves language models, which write text and make embeddings{instead}.")
    message = f"Unknown URL: {method} {path}"
    if near := _nearest(meant, [rule for rule in rules if "<" not in rule and rule != "/"]):
        return f"{message}. Did you mean {near}?"
    return f"{message}. Chats go to /v1/chat/completions: OpenAI's clients need a base URL that ends with /v1."


def _unserved(path: str) -> str | None:
    """What of the tables this path begins with."""
    first, _, rest = path.partition("/")
    return next((name for name in (f"{first}/{rest.partition('/')[0]}", first) if name in _OWNERS), None)


def _nearest(path: str, rules: list[str]) -> str:
    """The rule that stands at the end of a path, whatever stands before it; else one that is spelled alike."""
    ends = [rule for rule in rules if path.endswith(re.sub("^/(v1/)?", "", rule))]
    return max(ends, key=len, default="") or nearest(path, rules)
