"""Wrong keys: a guesser is slowed down, and nobody else; keys that are easy to guess are told of."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from gateway import guesses
from gateway.guesses import MOST_REMEMBERED, MOST_WRONG_KEYS, Guesses
from gateway.keys import Keys, check_strength, warn_if_open
from shared.config import ConfigError
from shared.errors import InvalidApiKey, TooManyWrongKeys
from tests.calls import problem
from tests.stack import Stack, running

ALICE, BOB = "sk-alice-0123456789", "sk-bob-9876543210"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    keys = f"alice:{ALICE},bob:{BOB}"
    with running(tmp_path_factory.mktemp("guesses"), api_keys=keys, trusted_proxies="127.0.0.1") as stack:
        stack.start_gateway(processes=1)
        yield stack


def ask(http: httpx.Client, peer: str, path: str = "/v1/models", **headers: str) -> httpx.Response:
    return http.get(path, headers={"X-Forwarded-For": peer, **headers})


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class TestGuessing:
    def test_is_slowed_down_and_tells_nothing_of_a_right_guess(self, stack: Stack, http: httpx.Client) -> None:
        answers = [ask(http, "192.0.2.1", **bearer(f"sk-alice-{number}")) for number in range(3 * MOST_WRONG_KEYS)]
        statuses = [answer.status_code for answer in answers]
        assert statuses[:MOST_WRONG_KEYS] == [401] * MOST_WRONG_KEYS
        assert statuses.count(429) > MOST_WRONG_KEYS
        slowed = next(answer for answer in answers if answer.status_code == 429)
        assert problem(slowed, 429)["code"] == "too_many_wrong_keys"
        assert slowed.headers["retry-after"] == "1"
        # Now the right one, which it never sent before: some of these are not looked at, and none of those tells.
        right = [ask(http, "192.0.2.1", **bearer(ALICE)).status_code for _ in range(2)]
        assert right[0] in (200, 429)

    def test_from_elsewhere_slows_nobody(self, http: httpx.Client) -> None:
        for number in range(2 * MOST_WRONG_KEYS):
            ask(http, "192.0.2.2", **bearer(f"wrong-{number}"))
        assert ask(http, "192.0.2.3", **bearer(BOB)).status_code == 200

    def test_behind_the_same_proxy_does_not_slow_who_was_right(self, http: httpx.Client) -> None:
        assert ask(http, "192.0.2.4", **bearer(BOB)).status_code == 200
        refused = 0
        for number in range(2 * MOST_WRONG_KEYS):
            refused += ask(http, "192.0.2.4", **bearer(f"wrong-{number}")).status_code == 429
            assert ask(http, "192.0.2.4", **bearer(BOB)).status_code == 200
        assert refused

    def test_at_an_endpoint_for_everybody_is_no_way_round(self, http: httpx.Client) -> None:
        told = [ask(http, "192.0.2.5", "/readyz", **bearer(f"wrong-{number}")) for number in range(3 * MOST_WRONG_KEYS)]
        assert {answer.text for answer in told} == {ask(http, "192.0.2.6", "/readyz").text}
        assert 429 in [ask(http, "192.0.2.5", **bearer("one-more")).status_code for _ in range(3)]

    def test_no_key_is_no_guess(self, http: httpx.Client) -> None:
        assert {ask(http, "192.0.2.7").status_code for _ in range(2 * MOST_WRONG_KEYS)} == {401}
        assert ask(http, "192.0.2.7", **bearer(BOB)).status_code == 200


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class TestTheRule:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        clock = Clock()
        monkeypatch.setattr(guesses, "time", clock)
        return clock

    def test_is_one_more_a_second(self, clock: Clock) -> None:
        door = Guesses(Keys(f"alice:{ALICE}"))
        for _ in range(MOST_WRONG_KEYS):
            with pytest.raises(InvalidApiKey):
                door.owner("wrong", "2001:db8::1")
        for key in ("wrong", ALICE):
            with pytest.raises(TooManyWrongKeys):
                door.owner(key, "2001:db8::ffff")
        clock.now += 1
        assert door.owner(ALICE, "2001:db8::1").name == "alice"
        with pytest.raises(InvalidApiKey):
            door.owner("wrong", "2001:db8::1")
        with pytest.raises(TooManyWrongKeys):
            door.owner("wrong", "2001:db8::1")
        assert door.owner(ALICE, "2001:db8::1").name == "alice"
        clock.now += MOST_WRONG_KEYS
        for _ in range(MOST_WRONG_KEYS):
            with pytest.raises(InvalidApiKey):
                door.owner("wrong", "2001:db8::2")

    def test_remembers_no_more_than_it_may(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        assert MOST_REMEMBERED > 100
        monkeypatch.setattr(guesses, "MOST_REMEMBERED", 100)
        door = Guesses(Keys(f"alice:{ALICE}"))
        for number in range(1000):
            peer = f"10.0.{number // 250}.{number % 250}"
            assert door.owner(ALICE, peer).name == "alice"
            with pytest.raises(InvalidApiKey):
                door.owner("wrong", peer)
        assert len(door._wrong) == len(door._right) == 100

    def test_a_key_that_is_taken_away_is_no_longer_right(self, clock: Clock, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text(f"alice:{ALICE}\nbob:{BOB}")
        keys = Keys(f"@{file}")
        door = Guesses(keys)
        assert door.owner(ALICE, "10.0.0.1").name == "alice"
        keys._owners = Keys(f"bob:{BOB}")._owners
        for _ in range(MOST_WRONG_KEYS):
            with pytest.raises(InvalidApiKey):
                door.owner(ALICE, "10.0.0.1")
        with pytest.raises(TooManyWrongKeys):
            door.owner(ALICE, "10.0.0.1")


class TestHeaders:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"x-api-key": ALICE}, 200),
            ({"x-api-key": ALICE, **bearer(ALICE)}, 200),
            ({"x-api-key": ALICE, "Authorization": "Basic dTpw"}, 200),
            ({"x-api-key": "", **bearer(ALICE)}, 200),
            ({"x-api-key": ALICE, "Authorization": "Bearer"}, 200),
            ({"x-api-key": ALICE, **bearer(BOB)}, 401),
            ({"x-api-key": "wrong", **bearer(BOB)}, 401),
            ({"x-api-key": f"{ALICE}, {BOB}"}, 401),
            ({"x-api-key": f"Bearer {ALICE}"}, 401),
        ],
        ids=str,
    )
    def test_of_both_kinds_hold_a_key(self, http: httpx.Client, headers: dict[str, str], status: int) -> None:
        assert ask(http, "192.0.2.8", **headers).status_code == status


class TestShortKeys:
    def test_are_told_of_by_name_and_not_shown(self, caplog: pytest.LogCaptureFixture) -> None:
        keys = Keys(f"alice:{'a' * 19},bob:short-bob,bob:{'b' * 20},carol:{'c' * 20}")
        warn_if_open(keys, "127.0.0.1")
        assert "fewer than 20 characters can be guessed: alice, bob" in caplog.text
        assert "carol" not in caplog.text
        assert "short-bob" not in caplog.text

    def test_are_told_of_when_the_file_changes(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        file = tmp_path / "keys"
        file.write_text(f"alice:{'a' * 48}")
        keys = Keys(f"@{file}")
        with caplog.at_level(logging.WARNING):
            warn_if_open(keys, "0.0.0.0")
            assert caplog.text == ""
            file.write_text(f"alice:{'a' * 48}\nbob:short")
            keys._checked -= 10
            assert keys.owner("short").name == "bob"
        assert "can be guessed: bob" in caplog.text

    def test_that_are_too_short_are_refused_where_others_come(self) -> None:
        keys = Keys("alice:1234567,bob:12345678")
        check_strength(keys, "127.0.0.1")
        with pytest.raises(ConfigError, match="a key of alice has fewer than 8") as refused:
            check_strength(keys, "0.0.0.0")
        assert "1234567" not in refused.value.message
