"""Entries of API keys: names, keys, and what is said of them."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from gateway.keys import Keys, Owner
from shared.config import Config, ConfigError
from shared.errors import InvalidApiKey, TierRefused
from shared.ticket import Standing, Tier


class TestEntries:
    @pytest.mark.parametrize(
        ("setting", "owners"),
        [
            ("alice:k1,bob:k2", {"k1": "alice", "k2": "bob"}),
            (" alice:k1 , , bob:k2==", {"k1": "alice", "k2==": "bob"}),
            ("alice:k1,alice:k2", {"k1": "alice", "k2": "alice"}),
            ("a.b_c-1:aB0-._~+/=", {"aB0-._~+/=": "a.b_c-1"}),
            ("secret", {"secret": "key-2bb80d537b1d"}),
        ],
    )
    def test_give_names(self, setting: str, owners: dict[str, str]) -> None:
        keys = Keys(setting)
        assert {key: keys.owner(key).name for key in owners} == owners
        with pytest.raises(InvalidApiKey):
            keys.owner("k3")

    @pytest.mark.parametrize(
        ("entry", "owner"),
        [
            ("alice:k", Owner("alice", max_jobs=500)),
            ("alice:k weight=2 priority max_jobs=50", Owner("alice", 2.0, priority=True, max_jobs=50)),
            ("  alice:k\tmax_jobs=1   weight=0.001 ", Owner("alice", 0.001, max_jobs=1)),
            ("k priority", Owner("key-8254c329a928", priority=True, max_jobs=500)),
            ("alice:k max_bytes=2000000000", Owner("alice", max_jobs=500, max_bytes=2_000_000_000)),
            ("alice:k admin weight=2", Owner("alice", 2.0, max_jobs=500, admin=True)),
            ("alice:k metrics", Owner("alice", max_jobs=500, metrics=True)),
        ],
    )
    def test_give_a_standing(self, tmp_path: Path, entry: str, owner: Owner) -> None:
        file = tmp_path / "keys"
        file.write_text(f"bob:k2 weight=7 # weight=8\n{entry} # weight=9\n")
        for setting in (entry, f"bob:k2 weight=7, {entry}", f"@{file}"):
            assert Keys(setting, 500).owner("k") == owner

    def test_of_one_name_agree(self) -> None:
        keys = Keys("alice:k1 priority max_jobs=500,alice:k2 priority", 500)
        assert keys.owner("k1") == keys.owner("k2") == Owner("alice", priority=True, max_jobs=500)

    def test_say_who_may_ask_for_priority(self) -> None:
        keys = Keys("alice:k1 priority weight=2,bob:k2", 500)
        alice, bob = keys.owner("k1"), keys.owner("k2")
        for tier in Tier:
            alice.check(tier)
        assert alice.standing(Tier.PRIORITY) == Standing(Tier.PRIORITY, 2.0, 500)
        bob.check(Tier.FLEX)
        with pytest.raises(TierRefused, match="service_tier") as refused:
            bob.check(Tier.PRIORITY)
        assert refused.value.param == "service_tier"

    def test_may_be_none(self) -> None:
        assert not Keys("")

    @pytest.mark.parametrize(
        ("setting", "reason"),
        [
            (",", "INFERQ_API_KEYS: holds no keys"),
            ("a:k1,hidden key", "entry 2, word 2: it is none of `weight="),
            ("name hidden", "entry 1, word 2: it is none of"),
            ("name hidden=", "entry 1, word 2: it is none of"),
            ("a:hidden:k", "entry 1: not `name:key`"),
            ("b c:hidden", "entry 1, word 2: it is none of"),
            ("a:", "entry 1: not `name:key`"),
            (":hidden", "entry 1: not `name:key`"),
            *(
                (f"b:k1, a:hidden {word}", f"entry 2, word 2: '{word}' is none of")
                for word in ("weight", "weight=", "weight=0", "weight=0.0", "weight=-1", "weight=nan", "weight=1e3")
            ),
            *(
                (f"a:hidden weight=2 {word}", f"entry 1, word 3: '{word}' is none of")
                for word in (
                    "weight=2",
                    "priority=1",
                    "priority=",
                    "admin=yes",
                    "metrics=yes",
                    "max_jobs",
                    "max_jobs=0",
                    "max_jobs=1.5",
                    "max_jobs=²",
                )
            ),
            ("a:hidden priority weight=2 priority", "entry 1, word 4: 'priority' is none of"),
            ("a:hidden,a:hidden weight=2", "entry 2: 'a' has another weight, priority, max_jobs, max_bytes, admin or"),
            ("a:hidden admin,b:k2,a:k3", "entry 3: 'a' has another weight, priority, max_jobs, max_bytes, admin or"),
            ("a:hidden,b:hidden", "entry 2: the key of 'b' is also that of 'a'"),
            ("/run/hidden", "entry 1: a file with keys is written `@`"),
            ("@/nowhere/keys", "/nowhere/keys cannot be read: No such file"),
        ],
    )
    def test_are_refused_unseen(self, setting: str, reason: str) -> None:
        with pytest.raises(ConfigError) as refused:
            Keys(setting)
        assert reason in refused.value.message
        assert "hidden" not in refused.value.message

    def test_of_a_file_as_editors_write_it(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_bytes(b"\xef\xbb\xbf# ours\r\nalice:k1 # since May\r\n\r\n  k2\r\n")
        keys = Keys(f"@{file}")
        assert (keys.owner("k1").name, keys.owner("k2").name[:4]) == ("alice", "key-")
        with pytest.raises(InvalidApiKey):
            keys.owner("ours")

    def test_are_not_shown(self) -> None:
        assert "hidden" not in repr(Config(api_keys="hidden", redis_url="redis://:hidden@x"))


def test_every_known_key_is_compared_whichever_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the time of the answer tells nothing about the keys."""
    keys, compare, compared = Keys("a:k1,b:k2,c:k3"), hmac.compare_digest, list[int]()

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    for key in ("k1", "k3"):
        keys.owner(key)
    with pytest.raises(InvalidApiKey):
        keys.owner("k4")
    assert compared == [32] * 9
