"""What the browser of a stranger's page sends to a gateway without keys: it is turned away, whatever its path."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import httpx2 as httpx
import pytest
from flask import Flask

from gateway import api
from gateway.paths import is_ollamas
from shared.config import Config, ConfigError
from tests.calls import CHATS, COMPLETIONS, anthropics_problem, chat, post_later, problem
from tests.stack import Stack, running

PAGE = "https://chat.example"
CHAT = "/api/chat?prompt=x"


def requests() -> list[tuple[str, str]]:
    """All that can be asked, but for health."""
    app = Flask(__name__, static_folder=None)
    api.init_app(app)
    rules = [(method, rule) for rule in app.url_map.iter_rules() for method in rule.methods or ()]
    paths = [(method, rule.rule.replace("<path:model>", "echo").replace("<job_id>", "JOB")) for method, rule in rules]
    return [*sorted(set(paths)), ("GET", "/metrics"), ("GET", CHAT), ("GET", "/nowhere")]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway that has names, and lets the pages of one other origin in."""
    directory = tmp_path_factory.mktemp("named")
    with running(directory, allowed_hosts="gateway, Models.example", cors_origins=PAGE) as stack:
        stack.start_gateway()
        stack.start_worker()
        yield stack


http = functools.cache(Stack.http)


def ask(stack: Stack, method: str, path: str, **headers: str) -> httpx.Response:
    """With a body that would be computed."""
    body = json.dumps(chat("x")).encode() if method == "POST" else None
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return http(stack).request(method, path, content=body, headers={"Content-Type": "application/json", **told})


@pytest.mark.parametrize("headers", [{"Host": "evil.example:8000"}, {"Origin": "https://evil.example"}], ids=str)
def test_nothing_is_asked_by_a_page_of_others(echo: Stack, headers: dict[str, str]) -> None:
    """Of a name that leads here (DNS rebinding), or of one that does not."""
    job = post_later(echo.http(), "on and " * 10)
    known = echo.jobs().keys()
    asked = 0
    for method, path in requests():
        answer = ask(echo, method, path.replace("JOB", job), **headers)
        if method == "HEAD":
            assert answer.status_code == 403
        elif path.startswith("/v1/messages"):
            anthropics_problem(answer, 403, "permission_error")
        elif is_ollamas(method, path):
            assert (answer.status_code, list(answer.json())) == (403, ["error"])
        else:
            assert problem(answer, 403)["code"] == "forbidden"
        asked += 1
    assert asked > 20
    assert echo.jobs().keys() == known
    assert echo.state(job) != "cancelled"
    assert ask(echo, "GET", "/healthz", **headers).status_code == 200
    assert ask(echo, "GET", "/readyz", **headers).json() == {"status": "ready"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Referer": "http://localhost:3000/"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:1"},
        {"Referer": "https://evil.example/page?q=http://HERE/"},
        {"Referer": "http://HERE.evil.example/"},
        {"Origin": "http://HERE@evil.example"},
    ],
    ids=str,
)
def test_pages_that_are_not_ours(echo: Stack, headers: dict[str, str]) -> None:
    known = echo.jobs()
    place = f"127.0.0.1:{echo.port}"
    told = {name: value.replace("HERE", place) for name, value in headers.items()}
    for method, path in (("GET", CHAT), ("POST", CHATS), ("DELETE", "/v1/jobs/x")):
        assert "INFERQ_CORS_ORIGINS" in problem(ask(echo, method, path, **told), 403)["message"]
    assert echo.jobs() == known


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_what_a_form_can_send_is_never_computed(echo: Stack, kind: str) -> None:
    """A browser asks for no leave before it."""
    known = echo.jobs()
    for page, status in (({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403), ({}, 415)):
        for path in (CHATS, COMPLETIONS):
            problem(ask(echo, "POST", path, Content_Type=kind, **page), status)
    assert echo.jobs() == known


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"Referer": "http://HERE/"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://HERE"},
    ],
    ids=str,
)
def test_ollamas_bodies_need_a_name_where_a_browser_may_have_sent_them(named: Stack, page: dict[str, str]) -> None:
    """Not where curl has, as Ollama's users write it."""
    told = {name: value.replace("HERE", f"127.0.0.1:{named.port}") for name, value in page.items()}
    body = b'{"model": "echo", "messages": [{"role": "user", "content": "Hi"}], "stream": false}'
    for kind in ({}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}):
        chatted = http(named).post("/api/chat", content=body, headers={**kind, **told})
        shown = http(named).post("/api/show", content=b'{"model": "echo"}', headers={**kind, **told})
        if page:
            for answer in (chatted, shown):
                assert (answer.status_code, "application/json" in answer.json()["error"]) == (415, True)
        else:
            assert chatted.json()["message"]["content"] == "Hi"
            assert shown.json()["capabilities"]
            refused = http(named).post("/api/chat", content=b"model=echo", headers=kind)
            assert (refused.status_code, "JSON" in refused.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Referer": "http://HERE/"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://the-name-a-proxy-has.example"},
        {"Origin": "http://HERE"},
        {"Referer": "http://HERE/page"},
        {"Host": "LOCALHOST"},
        {"Host": "localhost.:80", "Origin": "http://localhost."},
        {"Host": "inferq.localhost:8000", "Origin": "http://inferq.localhost:8000"},
        {"Host": "[::1]:8000", "Referer": "http://[::1]:8000/"},
        {"Host": "192.0.2.1"},
        {"Host": "localhost", "Origin": "https://localhost"},
    ],
    ids=str,
)
def test_users_programs_and_pages_of_ours(echo: Stack, headers: dict[str, str]) -> None:
    told = {name: value.replace("HERE", f"127.0.0.1:{echo.port}") for name, value in headers.items()}
    assert ask(echo, "GET", CHAT, **told).text == "x"
    assert ask(echo, "POST", CHATS, **told).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "gateway", "a:b:c"]
)
def test_the_answer_to_a_name_says_what_to_set(echo: Stack, host: str) -> None:
    assert "INFERQ_ALLOWED_HOSTS" in problem(ask(echo, "GET", CHAT, Host=host), 403)["message"]


@pytest.mark.parametrize("host", ["gateway:8000", "models.example", "MODELS.example.", "127.0.0.1"])
def test_names_that_are_set_are_answered_to(named: Stack, host: str) -> None:
    assert ask(named, "GET", CHAT, Host=host).text == "x"


def test_pages_that_cors_lets_in(named: Stack) -> None:
    for mine in ({"Origin": PAGE}, {"Referer": f"{PAGE}/page"}):
        assert ask(named, "GET", CHAT, Sec_Fetch_Site="cross-site", **mine).text == "x"
        assert ask(named, "POST", CHATS, **mine).status_code == 200
    for other in ({}, {"Origin": f"{PAGE}.evil.example"}, {"Referer": "http://chat.example/"}):
        problem(ask(named, "GET", CHAT, Sec_Fetch_Site="cross-site", **other), 403)


def test_any_name_and_any_page(empty: Stack) -> None:
    empty.settings |= {"allowed_hosts": "*", "cors_origins": "*"}
    empty.start_gateway()
    empty.start_worker()
    assert ask(empty, "GET", CHAT, Host="any.example", Origin="https://other.example").text == "x"
    assert ask(empty, "GET", CHAT, Sec_Fetch_Site="cross-site").text == "x"


def test_a_gateway_with_keys_asks_for_keys_instead(empty: Stack) -> None:
    """A page has none; and whoever has one may call it as he likes."""
    empty.settings["api_keys"] = "me:0123456789abcdef01234567"
    empty.start_gateway()
    empty.start_worker()
    page = {"Host": "evil.example", "Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}
    for method, path in requests():
        assert ask(empty, method, path, **page).status_code == 401
    assert empty.jobs() == {}
    assert ask(empty, "GET", CHAT, Authorization="Bearer 0123456789abcdef01234567", **page).text == "x"


@pytest.mark.parametrize("names", ["a b", "gateway:8000", "http://gateway", "*,a", ",a"])
def test_names_must_be_names(names: str) -> None:
    with pytest.raises(ConfigError, match="INFERQ_ALLOWED_HOSTS"):
        Config.from_env({"INFERQ_ALLOWED_HOSTS": names})
