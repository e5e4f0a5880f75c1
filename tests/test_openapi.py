"""The description of the API: every route, every parameter, and nothing that says nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from types import SimpleNamespace
from typing import Any

import gevent
import httpx2 as httpx
import pytest
import schemathesis
from flask import Flask

from gateway import docs, endpoints
from gateway.openapi.document import Undescribed, describe
from gateway.openapi.outline import outline
from gateway.openapi.page import policy
from gateway.openapi.words import PLACE
from gateway.schemas import FORMATS
from shared.config import Config
from tests.documented import written


@pytest.fixture(scope="module")
def app() -> Flask:
    app = Flask(__name__, static_folder=None)
    endpoints.init_app(app)
    return app


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    return describe(app, Config())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and what is said."""
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            yield method.upper(), path, said


def properties(part: Any) -> Iterator[tuple[str, Any]]:
    """Every property that a description names, and what it says of it."""
    if isinstance(part, dict):
        yield from part.get("properties", {}).items()
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from properties(each)


def says_something(schema: dict[str, Any]) -> bool:
    """An empty one allows anything: then a fuzzer proves nothing."""
    return all(one.keys() & {"type", "enum", "const", "$ref", "anyOf"} for one in schema.get("anyOf", [schema]))


def test_many_who_ask_at_once_have_it_made_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(*given: Any) -> dict[str, Any]:
        made.append(given)
        return describe(*given)

    monkeypatch.setattr(docs, "describe", make)
    app.extensions["inferq"] = SimpleNamespace(config=Config())
    asking = [gevent.spawn(app.test_client().get, path) for path in ("/openapi.json", "/docs") * 4]
    assert [each.get().status_code for each in asking] == [200] * 8
    assert len(made) == 1


def test_it_is_valid(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()
    json.dumps(document, allow_nan=False)
    identities = [said["operationId"] for _, _, said in operations(document)]
    assert len(identities) == len(set(identities)) > 50


def test_every_route_is_described_and_has_words(app: Flask, document: dict[str, Any]) -> None:
    told = {(method, path.partition("{")[0]) for method, path, _ in operations(document)}
    routes = {
        (method, rule.rule.partition("<")[0])
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert told == routes
    for method, path, said in operations(document):
        assert said["summary"], (method, path)
        assert said["summary"][0].isupper(), (method, path)
        assert said["tags"], (method, path)


def test_a_route_of_which_nothing_is_said_is_found(app: Flask) -> None:
    other = Flask(__name__, static_folder=None)
    endpoints.init_app(other)
    other.add_url_rule("/v1/new", "new", lambda: "", methods=["POST"])
    with pytest.raises(Undescribed, match=r"POST /v1/new is not described: put @operation\(\.\.\.\) under"):
        describe(other, Config())


def test_every_format_and_parameter_is_described(document: dict[str, Any]) -> None:
    described = dict(properties(document["components"]))
    queries = {parameter["name"] for _, _, said in operations(document) for parameter in said.get("parameters", ())}
    assert {name for wire in FORMATS.values() for name in wire.schema.fields} <= described.keys() | queries
    assert [name for name, schema in properties(document["components"]) if not says_something(schema)] == []


def test_it_says_of_parameters_what_the_docs_do(document: dict[str, Any]) -> None:
    assert PLACE.read_text("utf-8") == written(), "the docs say something else: run `make words`"
    told = document["components"]["schemas"]["CreateChatCompletionRequest"]["properties"]
    assert told["temperature"]["description"].startswith("0 to 100 (OpenAI's end at 2);")
    assert not [name for name, schema in told.items() if "description" not in schema]


def test_bounds_are_those_of_this_gateway(app: Flask) -> None:
    for most in (7, 9):
        schemas = describe(app, Config(max_messages=most))["components"]["schemas"]
        assert schemas["CreateChatCompletionRequest"]["properties"]["messages"]["maxItems"] == most


def test_a_gateway_tells_it_to_everybody(http: httpx.Client) -> None:
    first = http.get("/openapi.json", headers={"Sec-Fetch-Site": "cross-site"})
    assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
    assert first.json()["openapi"] == "3.1.0"
    assert first.json()["servers"] == [{"url": "/"}]
    assert http.get("/v1/openapi.json").content == first.content
    again = http.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_what_the_page_gets_is_there(http: httpx.Client) -> None:
    lines = re.findall("<pre>curl (?!-X)([^<{]*)</pre>", http.get("/docs").text)
    places = [
        re.match(r'"?\$BASE([^" ]*)', unescape(line)) for line in lines if " -d " not in line and " -F " not in line
    ]
    paths = [place[1] for place in places if place]
    assert "/api/chat?prompt=Hello" in paths
    assert [path for path in paths if status(http, path) != 200] == []


def status(http: httpx.Client, path: str) -> int:
    """Without what may be an endless stream."""
    with http.stream("GET", path) as answer:
        return answer.status_code


def test_the_page_tells_everything_and_needs_nothing_else(http: httpx.Client, document: dict[str, Any]) -> None:
    answer = http.get("/docs", headers={"Accept": "text/html", "Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    style = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    assert len(style) == 1
    assert answer.headers["content-security-policy"] == policy(unescape(style[0]))
    assert not re.search(r"<script|<link|<img|<iframe|\bsrc=|\bon\w+=|\bstyle=|url\(|@import", answer.text)
    assert http.get("/docs", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert '<a href="/docs">' in http.get("/", headers={"Accept": "text/html"}).text  # where no script runs
    identities = re.findall('<h3 id="([^"]+)"', answer.text)
    assert identities == re.findall('<li><a href="#([^"]+)"', answer.text)
    assert set(identities) == {said["operationId"] for _, _, said in operations(document)}
    text = unescape(answer.text)
    missing = {
        name
        for schema in document["components"]["schemas"].values()
        for name, _ in properties(schema)
        if not re.search(rf"<code>(?:[^<]*[.])?{re.escape(name)}</code>", text)
    }
    assert not missing


def test_an_outline_names_what_is_within_and_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}, "required": ["next"]}
    kinds = [{"properties": {"kind": {"const": "a"}, "x": {"type": "integer", "minimum": 1, "maximum": 9}}}, node]
    lines = outline({"type": "object", "properties": {"one": {"anyOf": kinds}}}, {"Node": node})
    assert [(line.name, line.required, line.kinds) for line in lines] == [
        ("one", False, ["object"]),
        ("one.kind", False, ['"a"']),
        ("one.x", False, ["integer 1 to 9"]),
        ("one.next", False, ["object"]),
        ("one.next.next", True, ["object"]),
    ]
