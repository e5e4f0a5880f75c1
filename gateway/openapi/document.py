"""The document: every route of the application, with what is said of it where it is served.

So that no endpoint is forgotten and none is invented, and what is told of a body is what reads it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator
from copy import deepcopy
from typing import Any, NamedTuple

from apispec import APISpec
from flask import Flask

from gateway.openapi import operation
from gateway.openapi.answers import SHAPES
from gateway.openapi.chapters import Chapter, chapter_of, place
from gateway.openapi.errors import ERRORS
from gateway.openapi.kinds import divide
from gateway.openapi.operation import Operation
from gateway.openapi.schemas import SchemaPlugin
from gateway.openapi.telling import camel, tell
from gateway.schemas.caps import capped
from shared.config import Config

ABOUT = """\
The API of inferq, a gateway to language models. It is OpenAI's, Anthropic's under `/v1/messages`, and Ollama's under
`/api`, as far as it is told here; what else a request holds is refused, but for what Ollama passes over. `null` means
"not given", everywhere, and `[]` is also an empty object.
"""
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of this gateway."},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same, as Anthropic's have it.",
    },
}
_HIDDEN = frozenset({"HEAD", "OPTIONS"})
"""What Flask answers wherever there is a GET."""


class Undescribed(Exception):
    """Of a route nothing was said."""


class Route(NamedTuple):
    """What the application serves at one method of one path."""

    method: str
    path: str
    endpoint: str

    @property
    def family(self) -> str:
        return self.endpoint.partition(".")[0]

    @property
    def chapter(self) -> Chapter:
        return chapter_of(self.family)


def describe(app: Flask, config: Config, open_to_all: Collection[str] = ()) -> dict[str, Any]:
    """The description of an application whose routes are all there; those endpoints need no key.

    Bounds that are settings are told as `config` has them. Raises Undescribed.
    """
    usual: list[dict[str, list[str]]] = [{name: []} for name in _KEYS]
    plugin = SchemaPlugin()
    spec = APISpec(
        "inferq",
        "1",
        "3.1.0",
        plugins=[plugin],
        info={"description": ABOUT},
        servers=[{"url": "/"}],
        security=usual if config.api_keys else [{}, *usual],
    )
    for name, scheme in _KEYS.items():
        spec.components.security_scheme(name, dict(scheme))
    for name, shape in {**ERRORS, **SHAPES}.items():
        for part, kind in divide(name, shape).items():
            spec.components.schema(part, deepcopy(kind))
    routes = sorted(_routes(app), key=lambda route: place(route.family))
    bodies = dict[str, str]()
    with capped(config):
        for route in routes:
            said = _said(app, route)
            for schema, wire in said.bodies:
                name = plugin.component(schema, f"{camel(said.id)}Request")
                bodies[name] = f"{bodies.get(name, '')} {wire}"
            told = tell(said, route.method, route.path, app.view_functions[route.endpoint])
            told["tags"] = [route.chapter.name]
            if route.endpoint in open_to_all:
                told["security"] = [{}]
            spec.path(route.path, operations={route.method.lower(): told})
        document: dict[str, Any] = spec.to_dict()
    plugin.finish(document, bodies)
    chapters = {route.chapter.name: route.chapter.about for route in routes}
    document["tags"] = [{"name": name, "description": about} for name, about in chapters.items()]
    return document


def _routes(app: Flask) -> Iterator[Route]:
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - _HIDDEN):
            yield Route(method, path, rule.endpoint)


def _said(app: Flask, route: Route) -> Operation:
    view = app.view_functions[route.endpoint]
    said = operation.of(view, route.method, route.path)
    if said is None or not inspect.getdoc(view):
        raise Undescribed(
            f"{route.method} {route.path} is not described: put @operation(...) under the route of"
            f" {view.__module__}.{view.__name__}, and what it does into its docstring; see gateway/openapi/operation.py"
        )
    return said
