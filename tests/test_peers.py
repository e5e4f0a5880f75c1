"""Who is at the other end, behind proxies or not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.peers import Proxies, neighbourhood
from shared.config import ConfigError
from tests.commands import inferq
from tests.logged import Logged
from tests.stack import Stack, wait_for

CHAIN = "127.0.0.1, 10.0.0.0/8,2001:db8:1::/48"


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "client"),
    [
        ("", "127.0.0.1", "192.0.2.1", "127.0.0.1"),
        (CHAIN, "198.51.100.7", "192.0.2.1", "198.51.100.7"),
        (CHAIN, "127.0.0.1", "", "127.0.0.1"),
        (CHAIN, "127.0.0.1", "192.0.2.1", "192.0.2.1"),
        (CHAIN, "127.0.0.1", "forged, 192.0.2.9, 192.0.2.1", "192.0.2.1"),
        (CHAIN, "127.0.0.1", "192.0.2.1, 10.1.2.3,2001:db8:1::5", "192.0.2.1"),
        (CHAIN, "127.0.0.1", "10.1.2.3, 10.4.5.6", "10.1.2.3"),
        (CHAIN, "127.0.0.1", "192.0.2.1, unknown, 10.4.5.6", "10.4.5.6"),
        (CHAIN, "127.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
        (CHAIN, "127.0.0.1", "[2001:db8:2::1]:4711", "2001:db8:2::1"),
        (CHAIN, "::ffff:127.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
        (CHAIN, "127.0.0.1", ",", "127.0.0.1"),
        (CHAIN, "a path", "192.0.2.1", "a path"),
    ],
)
def test_the_client_is_the_last_that_no_proxy_is(proxies: str, peer: str, forwarded: str, client: str) -> None:
    assert Proxies.parse(proxies).client(peer, forwarded) == client


@pytest.mark.parametrize(("address", "trusted"), [("10.9.9.9", True), ("::ffff:10.0.0.1", True), ("11.0.0.1", False)])
def test_who_is_trusted(address: str, trusted: bool) -> None:
    assert Proxies.parse(CHAIN).trust(address) == trusted
    assert not Proxies.parse("").trust(address)


@pytest.mark.parametrize("setting", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "*", "127.0.0.1 10.0.0.1", "::1/x"])
def test_what_is_no_network_is_refused_by_name(setting: str) -> None:
    with pytest.raises(ConfigError, match="INFERQ_TRUSTED_PROXIES"):
        Proxies.parse(setting)


def test_a_neighbourhood_is_what_one_subscriber_has() -> None:
    assert neighbourhood("192.0.2.1") == neighbourhood("::ffff:192.0.2.1") == "192.0.2.1"
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:2") == "2001:db8::/64"
    assert neighbourhood("2001:db8:0:1::1") != neighbourhood("2001:db8::1")


FORGED = {
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/v2",
    "Forwarded": "for=192.0.2.1;host=evil.example;proto=https",
    "SCRIPT_NAME": "/v1",
    "PATH_INFO": "/v1/models",
    "Script-Name": "/v1",
}
"""What gunicorn, told nothing, takes from whoever connects from this machine."""


def answered(stack: Logged) -> list[dict[str, Any]]:
    return [line for line in stack.lines() if line["message"] == "answered"]


class TestOfAGateway:
    def test_believes_nobody_unless_told_to(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SCRIPT_NAME", "/v2")
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
        with closing(Logged(tmp_path, log_format="json")) as stack:
            stack.start_gateway()
            http = stack.http()
            for name, value in FORGED.items():
                assert http.get("/v1/models", headers={name: value}).status_code == 200, name
                assert http.get("/nowhere", headers={name: value}).status_code == 404, name
                twice = http.get("/v1/models", headers=[(name, value), (name, f"{value}x")])
                assert twice.status_code == 200, name
            lines = wait_for(lambda: (found := answered(stack))[3 * len(FORGED) - 1 :] and found, "the last line")
            assert {line["peer"] for line in lines} == {"127.0.0.1"}
            assert {line["path"] for line in lines} == {"/v1/models", "/nowhere"}

    def test_believes_its_proxies(self, tmp_path: Path) -> None:
        with closing(Logged(tmp_path, log_format="json", trusted_proxies="127.0.0.1,10.0.0.0/8")) as stack:
            stack.start_gateway()
            answer = stack.http().get(
                "/v1/models", headers={**FORGED, "X-Forwarded-For": "forged, 192.0.2.1, 10.1.1.1"}
            )
            assert answer.status_code == 200
            assert stack.line(request_id=answer.headers["x-request-id"], message="answered")["peer"] == "192.0.2.1"

    def test_does_not_start_with_what_is_no_network(self, valkey: Stack) -> None:
        for command in ("gateway", "up"):
            ended = inferq(
                command, INFERQ_TRUSTED_PROXIES="proxy.example", INFERQ_REDIS_URL=valkey.settings["redis_url"]
            )
            assert ended.returncode != 0
            assert "INFERQ_TRUSTED_PROXIES" in ended.stderr
