"""The description as one HTML page, for people: it needs nothing else, nor a script. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from gateway.first_call import KEY_VARIABLE
from gateway.openapi.outline import Property, kinds, outline
from gateway.openapi.words import ALIAS, INERT, ONLY


def policy(style: str) -> str:
    """The Content-Security-Policy of a page that has this style, and nothing else that a browser loads or runs."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_HERE = Path(__file__).parent
_STYLE = (_HERE / "page.css").read_text("utf-8")
POLICY = policy(_STYLE)
_ALIAS, _INERT, _ONLY = ALIAS.partition("{}")[0], INERT.partition("{}")[2], ONLY.partition("{}")[2]
_EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are told together."""

    title: str
    open: bool
    lines: list[Property]


def render(document: dict[str, Any]) -> str:
    schemas = document["components"]["schemas"]
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "words": _words,
        "kinds": lambda schema: ", or ".join(kinds(schema, schemas)),
        "outline": lambda schema: outline(schema, schemas),
        "groups": lambda schema: _groups(outline(schema, schemas)),
        "call": _call,
        "breakable": lambda path: escape(path.removeprefix("/v1")).replace("/", "<wbr>/"),
    }
    chapters = {tag["name"]: (tag["description"], list[tuple[str, str, Any]]()) for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            chapters[said["tags"][0]][1].append((method.upper(), path, said))
    page = environment.get_template("page.html")
    return page.render(document=document, chapters=chapters, style=_STYLE, events=_EVENTS, key=KEY_VARIABLE)


def _words(text: str) -> str:
    """As HTML, with `code` as such."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _groups(lines: list[Property]) -> list[Group]:
    """The lines of a body, those apart that few look for."""
    inert = [line for line in lines if line.description.endswith((_INERT, _ONLY))]
    aliases = [line for line in lines if line.description.startswith(_ALIAS)]
    apart = {line.name for line in (*inert, *aliases)}
    groups = (
        Group("", True, [line for line in lines if line.name not in apart]),
        Group("Other names, as other servers have them", False, aliases),
        Group("Taken for the sake of those who send it, and asking for nothing", False, inert),
    )
    return [group for group in groups if group.lines]


def _call(said: dict[str, Any], method: str, path: str) -> str:
    """The operation in a shell; empty where that cannot be."""
    content = said.get("requestBody", {}).get("content", {})
    if "101" in said["responses"]:  # a WebSocket, of which curl knows little
        return ""
    asked = [each["name"] for each in said.get("parameters", ()) if each["in"] == "query" and each.get("required")]
    place = f'"$BASE{path}?{"&".join(f"{name}=Hello" for name in asked)}"' if asked else f"$BASE{path}"
    parts = [f"curl {place}" if method == "GET" or content else f"curl -X {method} {place}"]
    if said.get("security") != [{}]:
        parts.append(f'-H "Authorization: Bearer ${KEY_VARIABLE}"')
    for kind, body in content.items():
        if kind != "application/json":
            parts += [f"-F {name}={value}" for name, value in body.get("example", {}).items()]
        elif "example" in body:
            parts += [
                "-H 'Content-Type: application/json'",
                f"-d {shlex.quote(json.dumps(body['example'], ensure_ascii=False))}",
            ]
    return " \\\n  ".join(parts)
