"""Bodies that say nothing, however they are sent, and bodies where nobody expects one: the same on every route."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial

import httpx2 as httpx
import pytest
from flask import Flask
from openai import OpenAI

from gateway import api, front, health
from gateway.paths import is_ollamas
from tests.calls import said
from tests.raw_http import Answer, exchange
from tests.stack import Stack

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
NONE = {"content-length": "0"}
Send = Callable[[tuple[str, int], str], Answer]


def send(headers: Mapping[str, str], body: bytes = b"", *, chunked: bool = False) -> Send:
    return lambda address, path: exchange(address, f"POST {path}", headers, body, chunked=chunked)


OBJECT = send(JSON, b"{}")
EMPTY = {
    "no length": send({}),
    "no bytes": send(NONE),
    "no bytes of JSON": send(JSON | NONE),
    "no bytes of a form": send(FORM | NONE),  # as of curl -d ''
    "no chunks": send({}, chunked=True),
    "no chunks of JSON": send(JSON, chunked=True),
    "no chunks of a form": send(FORM, chunked=True),
    "null": send(JSON, b"null"),
}


def routes(method: str) -> list[str]:
    app = Flask(__name__, static_folder=None)
    for part in (api, health, front):
        part.init_app(app)
    return sorted({rule.rule for rule in app.url_map.iter_rules() if method in (rule.methods or ())})


def address(stack: Stack) -> tuple[str, int]:
    return "127.0.0.1", stack.port


@pytest.fixture(scope="module")
def path_to(client: OpenAI) -> Callable[[str], str]:
    """A route's path, to things that are made for it."""

    def background() -> str:
        return client.responses.create(model="echo", input="Hi", background=True).id

    makers: dict[str, Callable[[], str]] = {
        "conversation_id": lambda: client.conversations.create().id,
        "chat_id": lambda: client.chat.completions.create(model="echo", messages=said("Hi"), store=True).id,
        "response_id": background,
        "job_id": background,
        "upload_id": lambda: (
            client.uploads.create(bytes=1, filename="a", mime_type="text/plain", purpose="user_data").id
        ),
        "file_id": lambda: client.files.create(file=("a.txt", b"x"), purpose="user_data").id,
        "model": lambda: "echo",
    }
    nobody = partial(str, "unheard_of")

    def path(route: str) -> str:
        return re.sub(r"<(?:path:)?(\w+)>", lambda found: makers.get(found[1], nobody)(), route)

    return path


FORMS = ("/v1/files", "/v1/uploads/<upload_id>/parts")
"""What takes a form."""
SAYS_NOTHING = ("/ping", "/v1/conversations", *(route for route in routes("POST") if route.endswith("/cancel")))
"""Where that is all that there is to say."""


@pytest.mark.parametrize("route", routes("POST"))
def test_nothing_is_an_object_with_nothing_in_it(stack: Stack, path_to: Callable[[str], str], route: str) -> None:
    usual = OBJECT(address(stack), path_to(route))
    for kind, empty in EMPTY.items():
        told = empty(address(stack), path_to(route))
        if route in FORMS:
            assert told.status in (400, 415), kind
            continue
        assert told.status == usual.status, (kind, told.body)
        if told.status == 404:
            assert "unheard_of" in path_to(route)
        elif route in SAYS_NOTHING:
            assert told.status == 200
        else:
            assert told.status == 400
            assert (error := told.json["error"]) == usual.json["error"], kind
            if is_ollamas("POST", route):
                assert "model" in error or "input" in error
            else:
                assert error.get("param") or route.startswith("/v1/messages")


def test_what_is_no_json_needs_its_name_as_soon_as_there_is_a_byte(stack: Stack) -> None:
    for headers in ({}, FORM):
        for chunked in (False, True):
            told = send(headers, b"{}", chunked=chunked)(address(stack), "/v1/conversations")
            assert (told.status, told.json["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("route", sorted({*routes("GET"), *routes("DELETE")} - {"/v1/overview/events"}))  # endless
def test_a_body_that_nobody_reads_is_in_nobodys_way(
    http: httpx.Client, path_to: Callable[[str], str], route: str
) -> None:
    """Some clients send one with every request. The connection goes on behind it."""
    methods = [method for method in ("GET", "DELETE") if route in routes(method)]
    for method in methods:
        query = "?prompt=Hi" if route == "/api/chat" else ""
        plain = http.request(method, path_to(route) + query)
        for body in (b"{}", b"no JSON", json.dumps(["x"] * 1000).encode()):
            told = http.request(method, path_to(route) + query, content=body, headers=JSON)
            assert told.status_code == plain.status_code, (method, told.text)
            assert told.status_code < 500


@pytest.mark.parametrize("route", sorted({*routes("GET"), *routes("POST"), *routes("DELETE")}))
def test_head_and_options_on_every_route(stack: Stack, path_to: Callable[[str], str], route: str) -> None:
    path = path_to(route)
    allowed = {method for method in ("GET", "POST", "DELETE") if route in routes(method)}
    options = exchange(address(stack), f"OPTIONS {path}", {})
    assert options.status == 200
    assert allowed <= set(str(options.headers["allow"]).split(", "))
    head = exchange(address(stack), f"HEAD {path}", {"connection": "close"})
    assert head.body == b""
    if "GET" in allowed and route not in ("/api/chat", "/v1/responses"):  # which would be computed, or be a socket
        assert head.status in (200, 404)
    else:
        assert head.status in (404, 405)
