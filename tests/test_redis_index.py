"""What is only of the index in Redis: its memory, lost answers, deaths, and gateways that do not belong together."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway.archive import redis_index
from gateway.archive.archive import Archive
from gateway.archive.belonging import Belonging
from gateway.archive.folder_blobs import FolderBlobs
from gateway.archive.housekeeping import Housekeeping
from gateway.archive.index import Bounds, NoRoom
from gateway.archive.redis_index import RedisIndex
from gateway.archive.thing import ANSWERS, Thing, ThingKind
from shared import registry
from shared.audit import audit
from shared.config import Config, ConfigError
from shared.errors import ArchiveUnavailable, NotStored
from shared.loops import Loops
from shared.registry import GatewayProcess
from shared.store import connect
from tests.acl import PASSWORD, documented_user
from tests.indexes import BEGIN, Clock, in_redis, thing, with_blob
from tests.model.proxy import Proxy
from tests.stack import Stack, running, wait_for

AMPLE = Bounds(10**6, 10**12, 10**12)
RESPONSE, TALK, ITEM = ThingKind.RESPONSE, ThingKind.CONVERSATION, ThingKind.ITEM
MOST_BYTES = 420
"""Of Redis, that an answer of usual facts may take."""


@pytest.fixture
def index(valkey: Stack) -> Iterator[RedisIndex]:
    made: Any = in_redis(valkey, Clock())
    yield made
    assert list(made.audit()) == []
    assert audit(valkey.redis).findings == []


def answer(n: int, owner: str = "team-a") -> Thing:
    facts = {"model": "smollm2", "created": BEGIN, "status": "completed", "metadata": {"user": f"u{n}", "topic": "x"}}
    name = f"resp_{secrets.token_hex(16)}"
    return with_blob(name, owner=owner, facts=facts, expires=BEGIN + 2_592_000 + n)


def test_an_answer_takes_little(valkey: Stack, index: RedisIndex) -> None:
    def used() -> int:
        for call in valkey.redis.scan_iter("iq:archive:call:*", count=1000):
            valkey.redis.delete(call)
        info: Any = valkey.redis.info("memory")
        return int(info["used_memory_dataset"])

    index.add([answer(0)])  # so that the scripts are there
    before = used()
    for n in range(0, 4000, 20):
        index.add([answer(n + k) for k in range(20)], AMPLE)
    each = (used() - before) / 4000
    counted: Any = valkey.redis.hget("iq:archive:counts", "taken")
    assert each < MOST_BYTES
    assert 0.8 * int(counted) / 4001 < each * 1.2 < 1.5 * int(counted) / 4001  # what is counted is about what it takes


def test_what_comes_again_is_answered_alike(valkey: Stack, index: RedisIndex) -> None:
    proxy = Proxy(valkey.redis_port)
    retry = Retry(NoBackoff(), 3, supported_errors=(redis.ConnectionError,))
    lossy = RedisIndex(redis.Redis(port=proxy.port, protocol=2, retry=retry), Clock())

    def lost(work: Any) -> Any:
        before, proxy.armed = proxy.lost, True
        found = work()
        assert proxy.lost == before + 1
        return found

    index.add([thing("x")])  # the scripts are known, so that they are sent by their digests
    index.change(thing("x"), {}, 0)
    index.expire(0, 1)
    index.evict("nobody", ANSWERS, things=0, size=0, most=1)
    index.remove("ann", RESPONSE, "x")
    old = thing("a", expires=BEGIN + 5)
    assert lost(lambda: lossy.add([old, thing("b")])) is True
    assert lost(lambda: lossy.add([old])) is False
    new = lost(lambda: lossy.change(old, {"n": 1}, BEGIN + 5))
    assert (new.facts, new.version) == ({"n": 1}, 2)
    assert lost(lambda: lossy.expire(BEGIN + 5, 9)) == [new]
    assert lost(lambda: lossy.evict("ann", ANSWERS, things=1, size=0, most=1)) == [thing("b")]
    index.add([thing("conv", TALK), thing("msg", ITEM, parent="conv")])
    assert len(lost(lambda: lossy.remove("ann", TALK, "conv"))) == 2
    with pytest.raises(NotStored):
        lossy.remove("ann", TALK, "conv")
    assert index.held(None) == (0, 0)
    proxy.close()


def test_a_full_redis_takes_nothing_more_and_lets_go(valkey: Stack, index: RedisIndex) -> None:
    index.add([thing("conv", TALK), *(answer(n) for n in range(9)), thing("old", expires=BEGIN + 1)])
    valkey.redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(ArchiveUnavailable):
            index.add([answer(10)])
        with pytest.raises(ArchiveUnavailable):
            index.change(thing("conv", TALK), {"more": "x"}, 0)
        assert [gone.id for gone in index.expire(BEGIN + 1, 9)] == ["old"]
        assert len(index.evict(None, ANSWERS, things=4, size=0, most=9)) == 4
        assert len(index.remove("ann", TALK, "conv")) == 1
        assert len(index.page("team-a", RESPONSE, limit=9).things) == 5
    finally:
        valkey.redis.config_set("maxmemory", "0")


def test_the_index_has_its_part_of_redis(
    valkey: Stack, index: RedisIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info: Any = valkey.redis.info("memory")
    room = 200_000
    monkeypatch.setattr(redis_index, "MOST_OF_MEMORY", room / (2 * info["used_memory"]))
    valkey.redis.config_set("maxmemory", str(2 * info["used_memory"]))
    try:
        archive = Archive(index, FolderBlobs(tmp_path), Config())
        for n in range(900):
            assert archive.keep(answer(n))
        taken: Any = valkey.redis.hget("iq:archive:counts", "taken")
        assert 0.9 * room < int(taken) <= room
        assert 300 < index.held("team-a").things < 700
        with pytest.raises(NoRoom) as lack:
            index.add([answer(n) for n in range(5)], AMPLE)
        assert (lack.value.owner, lack.value.size) == (None, 0)
        assert 3 <= lack.value.things <= 6
    finally:
        valkey.redis.config_set("maxmemory", "0")


def test_the_documented_rights_suffice(valkey: Stack, index: RedisIndex) -> None:
    _, name, *rules = documented_user().split()
    valkey.redis.execute_command("ACL", "SETUSER", name, *rules)  # type: ignore[no-untyped-call]  # redis-py has no types for it
    mine = RedisIndex(redis.Redis(port=valkey.redis_port, username=name, password=PASSWORD, protocol=2), Clock())
    mine.add([thing("conv", TALK), answer(1), thing("msg", ITEM, parent="conv")], AMPLE)
    mine.change(thing("conv", TALK), {"x": "y"}, 0)
    assert mine.page("ann", TALK, limit=1, where={"x": "y"}).things[0].version == 2
    assert (mine.count("conv"), len(list(mine.walk())), len(mine.identity()), mine.take_turn("x", 1)) == (
        1,
        3,
        32,
        True,
    )
    assert mine.expire(BEGIN, 1) == mine.evict("nobody", ANSWERS, things=1, size=1, most=1) == []
    assert list(mine.audit()) == []
    assert len(mine.remove("ann", TALK, "conv")) == 2
    mine.close()


def work_at_random(port: int, seed: int, seconds: float) -> None:
    """Add, change, remove and make room, whatever happens to Redis."""
    rng = random.Random(seed)
    index = RedisIndex(connect(f"redis://127.0.0.1:{port}/0", timeout=2.0), Clock())
    owner, end = f"owner{seed % 2}", time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(NotStored, ArchiveUnavailable):
            work_once(index, rng, owner)


def work_once(index: RedisIndex, rng: random.Random, owner: str) -> None:
    talk, name = f"conv_{rng.randrange(4)}{owner}", f"resp_{rng.randrange(60)}"
    works = (
        lambda: index.add([with_blob(name, owner=owner, expires=BEGIN + rng.randrange(90))], AMPLE),
        lambda: index.add([thing(talk, TALK, owner=owner)]),
        lambda: index.add([thing(f"msg_{rng.random()}", ITEM, owner=owner, parent=talk) for _ in range(9)]),
        lambda: index.remove(owner, TALK, talk),
        lambda: index.remove(owner, RESPONSE, name),
        lambda: index.change(index.get(owner, RESPONSE, name), {"text": "x" * rng.randrange(200)}, 0),
        lambda: index.expire(BEGIN + rng.randrange(30), 5),
        lambda: index.evict(None, ANSWERS, things=3, size=0, most=5),
        lambda: index.page(owner, RESPONSE, limit=20, where={"text": "x"}),
    )
    rng.choice(works)()


def test_books_balance_whoever_dies(empty: Stack) -> None:
    """Each change is one script, so who dies in one is as one whose answer is lost; here Valkey dies, under four."""
    index = RedisIndex(empty.redis, Clock())
    with ThreadPoolExecutor(4) as pool:
        works = [pool.submit(work_at_random, empty.redis_port, seed, 3.0) for seed in range(4)]
        wait_for(lambda: int(empty.redis.get("iq:archive:place") or 0) > 200, "much work", 60)
        assert list(index.audit()) == []  # also while others write
        empty.valkey.kill()
        empty.valkey.wait()
        empty.start_valkey()
        for work in works:
            work.result(60)
    assert index.held(None).things > 0
    assert list(index.audit()) == []
    assert audit(empty.redis).findings == []


def refusal(stack: Stack, **settings: Any) -> str:
    """What a gateway says that refuses to start."""
    environ = {**os.environ, "INFERQ_PORT": "0"}
    environ |= {
        f"INFERQ_{name.upper()}": str(value) for name, value in {**stack.settings, **settings, "port": 0}.items()
    }
    command = [sys.executable, "-P", "-m", "inferq", "gateway"]
    found = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode != 0
    return found.stderr


def test_gateways_of_one_redis_share_one_archive(tmp_path: Path) -> None:
    with running(tmp_path, archive_index="redis") as stack:
        usual = Config(redis_url=stack.settings["redis_url"], archive=str(tmp_path / "archive"), archive_index="redis")
        other_folder = replace(usual, archive=str(tmp_path / "elsewhere"))
        other_index = replace(usual, archive_index=str(tmp_path / "index.db"))

        def check(config: Config) -> None:
            Belonging(Archive.open(config), stack.redis).check()

        registry.announce_gateway(stack.redis, GatewayProcess("iq:reply:2:x", "there", 1, 1), 4000)
        for config in (usual, other_folder, other_index):
            check(config)  # nothing is stored yet
        archive = Archive.open(usual)
        archive.keep(thing("resp_1", created=int(time.time()) - 600), [b"the answer"])
        check(usual)
        with pytest.raises(ConfigError, match="without the blobs that the index knows"):
            check(other_folder)
        assert Housekeeping(Archive.open(other_folder), Loops()).sweep() == 0
        with pytest.raises(ConfigError, match="use another archive than this one"):
            check(other_index)
        assert "use another archive than this one" in refusal(stack, archive_index="")
        registry.leave_gateway(stack.redis, "iq:reply:2:x")
        check(other_index)  # nobody uses the former one any more
        assert Housekeeping(archive, Loops()).sweep() == 0
        check(usual)
