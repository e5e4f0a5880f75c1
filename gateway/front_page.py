"""What `GET /` says: for programs as an object, for people as one HTML page that needs nothing else, nor a script.

Pure. Whatever others choose, the names of models and the host by which a client has called, is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from gateway.first_call import KEY_VARIABLE, FirstCall
from gateway.pages import policy

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }
pre { padding: .8rem 1rem; border: 1px solid #8886; border-radius: 6px; background: #8881; white-space: pre-wrap;
  overflow-wrap: anywhere; }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
dt { font-weight: 600; }
dd { margin: 0 0 .6rem; overflow-wrap: anywhere; }
"""
POLICY = policy(_STYLE)
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


def render_page(front: Front) -> str:
    call = front.call
    links = ", ".join(f'<a href="{escape(url)}">{escape(name)}</a>' for name, url in DOCS.items())
    facts = {
        "Base URL": f"<code>{escape(call.base)}</code>",
        "API key": escape(_key(call)),
        "Models": _models(front),
    }
    listed = "\n".join(f"<dt>{name}</dt>\n<dd>{fact}</dd>" for name, fact in facts.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>inferq</title>
<style>{_STYLE}</style>
<h1>inferq</h1>
<p>This gateway serves language models behind the OpenAI API. Give a client the base URL, a key and a model:</p>
<dl>
{listed}
</dl>
<h2>In a shell</h2>
<pre>{escape(call.curl)}</pre>
<h2>In Python</h2>
<pre>{escape(call.python)}</pre>
<h2>More</h2>
<p><a href="/docs">/docs</a> describes all that is served here, <a href="/openapi.json">/openapi.json</a>
the same for programs.
<a href="/v1/models">/v1/models</a> lists the models, <a href="/readyz">/readyz</a> says whether they are ready.
Whose words are spoken: {links}.</p>
</html>
"""


def _key(call: FirstCall) -> str:
    if call.keyed:
        return f"one of this gateway's; the lines below take it from {KEY_VARIABLE}"
    return "any text: none is asked for"


def _models(front: Front) -> str:
    if front.refusal:
        return f"not told to strangers. {escape(front.refusal)}"
    if front.models is None:
        return "not known: Redis does not answer"
    shown = [
        f"<code>{escape(model.names[0])}</code>{_also(model)}{'' if model.ready else ' (not ready yet)'}"
        for model in front.models
    ]
    return "<br>\n".join(shown) or "none: no worker has been started yet"


def _also(model: Served) -> str:
    aliases = ", ".join(f"<code>{escape(alias)}</code>" for alias in model.names[1:])
    return f", also called {aliases}" if aliases else ""
