"""API keys: nobody gets in without one, and to each the jobs of the others do not exist."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from gateway.keys import Keys, warn_if_open
from shared.config import Config, ConfigError
from tests.calls import CHATS, ENDLESS, LATER, chat, post_later, problem, said
from tests.logged import Logged
from tests.stack import Stack, wait_for

ALICE, ALICES_NEXT, BOB = "sk-alice-0123456789", "sk-alice-abcdefghij", "sk-bob+/0123456789=="
PAGE = "https://chat.example"


class Guarded(Logged):
    """A stack whose keys are in a file."""

    def __init__(self, directory: Path) -> None:
        self.keys = directory / "keys"
        self.write(f"alice:{ALICE}  # ours\n\nbob:{BOB}\n")
        super().__init__(directory, api_keys=f"@{self.keys}", cors_origins=f"{PAGE}, http://localhost:3000")

    def write(self, text: str) -> None:
        """Put a new file of keys into the place of the old one."""
        fresh = self.keys.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.keys)

    def logged(self, text: str) -> bool:
        return text in self.log()

    def by(self, key: str | None) -> httpx.Client:
        http = self.http()
        if key is not None:
            http.headers["Authorization"] = f"Bearer {key}"
        return http


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with closing(Guarded(tmp_path_factory.mktemp("keys"))) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker(echo_rate=100)
        yield stack
    output = stack.log()
    assert not [key for key in (ALICE, ALICES_NEXT, BOB) if key in output]


class TestTheDoor:
    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Bearer",
            "Bearer sk-alice",
            f"Bearer {ALICE}0",
            f"Bearer {ALICE.upper()}",
            "Bearer alice",
            f"Bearer alice:{ALICE}",
            f"Bearer {ALICE}, Bearer {BOB}",
            f"Basic {ALICE}",
            ALICE,
            b"Bearer \xff\xfe",
        ],
    )
    def test_refuses(self, stack: Guarded, header: str | bytes | None) -> None:
        headers: Any = {} if header is None else {"Authorization": header}
        response = stack.http().post(CHATS, json=chat("Hello"), headers=headers)
        error = problem(response, 401)
        assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "invalid_api_key")
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["x-should-retry"] == "false"
        assert ALICE not in response.text

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v1/models"),
            ("GET", "/v1/models/echo"),
            ("POST", "/v1/completions"),
            ("GET", "/v1/jobs/nobody"),
            ("DELETE", "/v1/jobs/nobody"),
            ("GET", "/v1/jobs/nobody/events"),
            ("GET", "/metrics"),
            ("GET", "/nowhere"),
            ("PUT", "/healthz"),
            ("GET", "/healthz/x"),
            ("OPTIONS", CHATS),
        ],
    )
    def test_guards_everything(self, stack: Guarded, method: str, path: str) -> None:
        problem(stack.http().request(method, path), 401)

    def test_a_key_for_metrics_opens_nothing_else(self, stack: Guarded) -> None:
        before = stack.keys.read_text()
        scraper = stack.by(key := "sk-scraper-0123456789")
        stack.write(f"{before}\nscraper:{key} metrics\n")
        try:
            wait_for(lambda: scraper.get("/metrics").status_code == 200, "the key to be read")
            for method, path in (("GET", "/v1/models"), ("POST", CHATS), ("GET", "/v1/overview"), ("GET", "/nowhere")):
                assert problem(scraper.request(method, path), 403)["code"] == "forbidden", path
            assert "models" not in scraper.get("/readyz").json(), "there it is a stranger"
            assert "models" in stack.by(ALICE).get("/readyz").json()
        finally:
            stack.write(before)

    def test_leaves_health_open(self, stack: Guarded) -> None:
        assert stack.http().get("/healthz").status_code == 200
        assert stack.http().get("/readyz").status_code == 200

    def test_lets_the_real_client_in(self, stack: Guarded) -> None:
        for key in (ALICE, BOB):
            with OpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=0) as client:
                answer = client.chat.completions.create(model="echo", messages=said("Hello"))
                assert answer.choices[0].message.content == "Hello"
        with (
            OpenAI(base_url=f"{stack.url}/v1", api_key="sk-mallory", max_retries=5) as client,
            pytest.raises(openai.AuthenticationError) as refused,
        ):
            client.models.list()
        assert refused.value.code == "invalid_api_key"


class TestJobs:
    def test_of_others_do_not_exist(self, stack: Guarded) -> None:
        alice, bob = stack.by(ALICE), stack.by(BOB)
        job_id = post_later(alice, ENDLESS)
        wait_for(lambda: stack.events(job_id) > 1, "its first words")
        for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
            theirs = bob.request(method, f"/v1/jobs/{job_id}{path}")
            nobodys = bob.request(method, f"/v1/jobs/{job_id[:-1]}x{path}")
            problem(theirs, 404)
            assert theirs.text.replace(job_id, f"{job_id[:-1]}x") == nobodys.text
        assert alice.get(f"/v1/jobs/{job_id}").json()["status"] == "in_progress"
        assert alice.delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"

    def test_responses_of_others_do_not_exist(self, stack: Guarded) -> None:
        alice, bob = stack.by(ALICE), stack.by(BOB)
        ended = alice.post("/v1/responses", json={"model": "echo", "input": "Hello"}).json()
        runs = alice.post("/v1/responses", json={"model": "echo", "input": ENDLESS, "background": True}).json()
        for response_id in (ended["id"], runs["id"]):
            nobodys = f"{response_id[:-1]}x"
            for method, path in (("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", "")):
                theirs = bob.request(method, f"/v1/responses/{response_id}{path}")
                problem(theirs, 404)
                there_is_none = bob.request(method, f"/v1/responses/{nobodys}{path}")
                assert theirs.text.replace(response_id, nobodys) == there_is_none.text
            assert alice.get(f"/v1/responses/{response_id}").status_code == 200
        assert alice.post(f"/v1/responses/{runs['id']}/cancel").json()["status"] == "cancelled"

    def test_are_those_of_the_name_not_of_the_key(self, stack: Guarded) -> None:
        path = stack.by(ALICE).post(CHATS, json=chat("mine"), headers=LATER).headers["location"]
        try:
            stack.write(f"alice:{ALICE}\nalice:{ALICES_NEXT}\nbob:{BOB}")
            wait_for(lambda: stack.by(ALICES_NEXT).get(path).status_code == 200, "the new key")
            assert stack.by(ALICE).get(path).status_code == 200
            stack.write(f"alice:{ALICES_NEXT}\nbob:{BOB}")
            wait_for(lambda: stack.by(ALICE).get(path).status_code == 401, "the end of the old key")
            assert stack.by(ALICES_NEXT).get(path).status_code == 200
            assert stack.by(BOB).get(path).status_code == 404
        finally:
            stack.write(f"alice:{ALICE}\nbob:{BOB}")
            wait_for(lambda: stack.by(ALICE).get("/v1/models").status_code == 200, "the first keys")


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("vanished", "No such file"),
        ("broken", "line 2: not `name:key`"),
        ("empty", "holds no keys"),
    ],
)
def test_a_file_that_is_no_good_changes_nothing(stack: Guarded, fault: str, complaint: str) -> None:
    before = stack.keys.read_text()
    try:
        match fault:
            case "vanished":
                stack.keys.unlink()
            case "broken":
                stack.write("eve:sk-eve\nbob: two words\n")
            case _:
                stack.write("# nobody\n")
        # The gateway looks when it is asked.
        wait_for(
            lambda: stack.by(ALICE).get("/v1/models").status_code == 200 and stack.logged(complaint), "a complaint"
        )
        for key, status in ((None, 401), ("sk-eve", 401), (ALICE, 200), (BOB, 200)):
            assert stack.by(key).get("/v1/models").status_code == status
        assert "two words" not in stack.output.read_text()
    finally:
        stack.write(before)


class TestOpenToTheWorld:
    @pytest.mark.parametrize(
        ("host", "setting", "warned"),
        [
            ("127.0.0.1", "", False),
            ("127.9.9.9", "", False),
            ("::1", "", False),
            ("localhost", "", False),
            ("0.0.0.0", "", True),
            ("::", "", True),
            ("192.0.2.1", "", True),
            ("gateway.example", "", True),
            ("", "", True),
            ("0.0.0.0", "a:k", False),
        ],
    )
    def test_is_warned_of(self, caplog: pytest.LogCaptureFixture, host: str, setting: str, warned: bool) -> None:
        with caplog.at_level(logging.WARNING):
            warn_if_open(Keys(setting), host)
        assert ("ANYBODY" in caplog.text) == warned

    def test_is_said_by_the_gateway(self, tmp_path: Path) -> None:
        with closing(Guarded(tmp_path)) as stack:
            stack.start_gateway(processes=1)
            stack.gateway.terminate()
            stack.gateway.wait(20)
            assert not stack.logged("ANYBODY")
            stack.settings |= {"api_keys": "", "host": "0.0.0.0"}
            stack.start_gateway(processes=1)
            assert stack.logged("ANYBODY who can reach 0.0.0.0 can use this gateway")


class TestWebPages:
    ASK: ClassVar = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-inferq-progress",
    }

    def test_are_let_in_by_origin(self, stack: Guarded) -> None:
        preflight = stack.http().options(CHATS, headers={"Origin": PAGE, **self.ASK})
        assert (preflight.status_code, preflight.content) == (204, b"")
        assert preflight.headers["access-control-allow-origin"] == PAGE
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert {"authorization", "x-inferq-progress"} <= set(
            preflight.headers["access-control-allow-headers"].split(",")
        )
        assert preflight.headers["vary"] == "Origin"
        for key, status in ((ALICE, 200), ("wrong", 401)):
            answer = stack.by(key).post(CHATS, json=chat("Hello"), headers={"Origin": PAGE})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == PAGE
            exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
            assert {"x-request-id", "location", "retry-after", "x-inferq-ignored"} <= set(exposed)

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", f"{PAGE}.evil.example", "null", "http://localhost:3001"]
    )
    def test_of_others_are_not(self, stack: Guarded, origin: str) -> None:
        for response in (
            stack.http().options(CHATS, headers={"Origin": origin, **self.ASK}),
            stack.by(ALICE).get("/v1/models", headers={"Origin": origin}),
        ):
            assert "access-control-allow-origin" not in response.headers

    def test_are_not_let_in_unless_configured(self, echo: Stack) -> None:
        preflight = echo.http().options(CHATS, headers={"Origin": PAGE, **self.ASK})
        assert not [name for name in preflight.headers if name.startswith("access-control")]

    @pytest.mark.parametrize("origins", ["chat.example", "https://a.example/path", "*,https://a.example", "https://"])
    def test_must_be_origins(self, origins: str) -> None:
        with pytest.raises(ConfigError, match="INFERQ_CORS_ORIGINS"):
            Config.from_env({"INFERQ_CORS_ORIGINS": origins})
