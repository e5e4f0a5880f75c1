"""`GET /`: where one is, for programs; its lines work as they stand, and strangers learn no model."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from gateway.first_call import FirstCall
from shared.card import Ability, Card
from tests.commands import environment
from tests.stack import Stack, running

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
KEY = "sk-somebody-0123456789"
ODD = "<img src=x onerror='alert(1)'> & \"$(touch here)"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("front"), api_keys=f"me:{KEY}", trusted_proxies="127.0.0.1") as stack:
        stack.start_gateway()
        stack.start_worker()
        yield stack


def told(http: httpx.Client, **headers: str) -> dict[str, Any]:
    answer = http.get("/", headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_who_asks_gets_what_they_can_read(echo: Stack) -> None:
    http = echo.http()
    for accept in ("*/*", "application/json", "", "no/such;q=x"):
        said = told(http, Accept=accept)
        assert (said["base_url"], said["models"]) == (f"{echo.url}/v1", ["echo"])
        assert {"/docs", "/openapi.json"} <= set(said["docs"].values())
    assert http.get("/", headers=BROWSER).headers["Content-Type"] == "text/html; charset=utf-8"
    for headers in ({}, BROWSER):
        whole, head = (http.request(method, "/", headers=headers) for method in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == whole.headers["Content-Length"]
        assert {"Accept"} <= set(re.split(", *", head.headers["Vary"]))


@pytest.mark.parametrize("key", ["", KEY])
def test_its_lines_work_as_they_stand(echo: Stack, keyed: Stack, key: str) -> None:
    stack, environ = (keyed, environment(OPENAI_API_KEY=key)) if key else (echo, environment())
    said = told(stack.http(), **({"Authorization": f"Bearer {key}"} if key else {}))
    curl, python = said["curl"], said["python"]
    assert KEY not in str(said)
    done = subprocess.run(["bash", "-c", curl], env=environ, capture_output=True, text=True, check=True)
    assert '"content":"Hello!"' in done.stdout, done
    done = subprocess.run([sys.executable, "-c", python], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "Hello!\n"


@pytest.mark.parametrize(
    ("ability", "curled", "printed"),
    [
        (Ability.COMPLETION, '"text":"Hello!"', "Hello!"),
        (Ability.EMBEDDING, '"object":"embedding"', "[0.0, "),
        (Ability.RERANK, '"relevance_score":0.73', "{'id': 'rerank-"),
    ],
)
def test_so_do_those_for_models_that_do_not_chat(echo: Stack, ability: Ability, curled: str, printed: str) -> None:
    card = Card("echo", "echo", "", 100, 1, 0, capabilities=(ability,))
    call = FirstCall.of(f"{echo.url}/v1", [card], keyed=False)
    done = subprocess.run(["bash", "-c", call.curl], env=environment(), capture_output=True, text=True, check=True)
    assert curled in done.stdout
    done = subprocess.run([sys.executable, "-c", call.python], env=environment(), capture_output=True, text=True)
    assert done.stdout.startswith(printed), done


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sk-wrong-0123456789"}], ids=["no key", "wrong key"])
def test_strangers_learn_no_model(keyed: Stack, headers: dict[str, str]) -> None:
    said = told(keyed.http(), **headers)
    assert "models" not in said
    assert "API key" in said["message"]
    assert "MODEL" in said["curl"]
    assert "echo" not in str(said)


def test_a_page_of_others_learns_no_model_and_why(echo: Stack) -> None:
    """A link that was clicked elsewhere leads here too."""
    for headers, why in (
        ({"Sec-Fetch-Site": "cross-site"}, "other origins"),
        ({"Host": "evil.example"}, "INFERQ_ALLOWED_HOSTS"),
    ):
        said = told(echo.http(), **headers)
        assert "models" not in said
        assert why in said["message"]


@pytest.mark.parametrize("host", ["a<b>c", '"><script>x</script>', "a b", "x/y", "h:999999", "[::1", "ü", ""])
def test_an_odd_host_stands_nowhere(keyed: Stack, host: str) -> None:
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", keyed.port)) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert "<script" not in answer
    assert not host or host not in answer
    if answer.startswith("HTTP/1.1 200"):
        assert f"http://127.0.0.1:{keyed.port}/v1" in answer


def test_the_scheme_is_that_of_a_proxy_that_is_trusted(echo: Stack, keyed: Stack) -> None:
    said = {"Host": "llm.example", "X-Forwarded-Proto": "https"}
    assert keyed.http().get("/", headers=said).json()["base_url"] == "https://llm.example/v1"
    assert echo.http().get("/", headers=said).json()["base_url"] == "http://llm.example/v1"


def test_a_shell_takes_any_name_for_a_name(tmp_path: Path) -> None:
    words = FirstCall("http://[::1]:8000/v1", ODD + " it's", keyed=True).curl
    show = f"curl() {{ printf '%s\\n' \"$@\"; }}; {words}"
    done = subprocess.run(
        ["bash", "-c", show], env={"OPENAI_API_KEY": "k"}, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[:3] == [
        "http://[::1]:8000/v1/chat/completions",
        "-H",
        "Content-Type: application/json",
    ]
    assert "touch here" in done.stdout
    assert not (tmp_path / "here").exists()
