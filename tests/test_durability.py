"""A 202 is given once its job is in the append-only file, so that a SIGKILL of Redis loses none."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.protocol import Accepted, Completion, Sampling
from shared.scripts import script
from shared.tickets import Tickets
from tests.calls import CHATS, ENDLESS, LATER, chat, post_later, problem
from tests.logged import Logged
from tests.losses import lose_job
from tests.stack import Process, Stack, wait_for

SHIM = Path(__file__).parent / "fixtures" / "slow_fsync.c"


class OneSlot(Logged):
    """A worker of one slot and a hundred tokens a second, and whatever options of Valkey a test is about."""

    def __init__(self, directory: Path, *valkey_options: str, **settings: Any) -> None:
        self.valkey_options = valkey_options
        super().__init__(directory, slots=1, lease=2, echo_rate=100, max_queue=100_000, **settings)


class SlowDisk(OneSlot):
    """A stack whose Valkey believes that an fsync takes `fsync_ms`."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self._shim, self._told = directory / "slow_fsync.so", directory / "fsync_ms"
        if not shutil.which("gcc"):
            pytest.skip("a slow fsync needs gcc")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", self._shim, SHIM], check=True)
        self.fsync_takes(0)
        super().__init__(directory, **settings)

    def fsync_takes(self, ms: int) -> None:
        new = self._told.with_suffix(".new")
        new.write_text(str(ms))
        new.rename(self._told)

    def _start(self, command: list[str], **options: Any) -> Process:
        if "--appendonly" in command:
            options["env"] = {**os.environ, "LD_PRELOAD": str(self._shim), "SLOW_FSYNC": str(self._told)}
        return super()._start(command, **options)

    def writes_late(self) -> bool:
        """Whether Valkey has put off a write because of an fsync, that is: the fault hits now."""
        state: Any = self.redis.info("persistence")
        return bool(state["aof_pending_bio_fsync"] and state["aof_buffer_length"])

    def killed_while_writing_late(self) -> None:
        """SIGKILL Valkey while answers are out that it has not written, and start it again."""
        wait_for(self.writes_late, "a write that was put off")
        self.valkey.kill()
        self.valkey.wait()
        self.start_valkey()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SlowDisk]:
    stack = SlowDisk(tmp_path)
    try:
        yield stack
    finally:
        stack.close()


Accept = Callable[[], str | None]
"""Has one job accepted; its id once that is promised, None when it was refused."""


def lost(disk: SlowDisk, accept: Accept, kills: int = 3, clients: int = 16) -> tuple[set[str], set[str], int]:
    """Ids that were promised, those of them that SIGKILLs of Valkey have lost, and how often a client was refused."""
    promised, refused, over = list[str](), list[int](), threading.Event()

    def insist() -> None:
        while not over.is_set():
            job_id = accept()
            if job_id:
                promised.append(job_id)
            else:
                refused.append(1)
                over.wait(0.05)

    with ThreadPoolExecutor(clients) as pool:
        insisting = [pool.submit(insist) for _ in range(clients)]
        try:
            for _ in range(kills):
                known = len(promised)
                wait_for(lambda known=known: len(promised) >= known + clients, "further promises", 60)  # type: ignore[misc]  # mypy guesses no type of a default
                disk.killed_while_writing_late()
        finally:
            over.set()
        for one in insisting:
            one.result()
    return set(promised), set(promised) - disk.jobs().keys(), len(refused)


def test_a_sigkill_while_fsync_is_slow_loses_no_202(disk: SlowDisk) -> None:
    disk.start_gateway(processes=2)
    disk.start_worker()
    http = disk.http()
    busy_with = post_later(http, ENDLESS)
    disk.fsync_takes(900)

    def accept() -> str | None:
        answer = http.post(CHATS, json=chat("one two"), headers=LATER)
        if answer.status_code == 202:
            return str(answer.json()["id"])
        assert problem(answer, 503)["code"] == "store_unavailable"
        assert answer.headers["retry-after"] == "1"
        return None

    promised, gone, refused = lost(disk, accept)
    assert busy_with in disk.jobs()
    assert len(promised) >= 48
    assert refused >= 3
    assert gone == set()


def test_the_same_sigkill_loses_jobs_that_were_not_confirmed(disk: SlowDisk) -> None:
    """The fault hits, or the test before would prove nothing."""
    disk.fsync_takes(900)
    tickets = Tickets(redis.Redis(disk.host, disk.redis_port, protocol=2, retry=Retry(NoBackoff(), 0)))
    accepted = Accepted(Completion("m", ("once",), Sampling(seed=7)), created=1)

    def accept() -> str | None:
        try:
            return tickets.submit(uuid4().hex, accepted, reply="", max_queue=100_000, wait=60, keep=60)
        except redis.RedisError:
            return None

    promised, gone, _ = lost(disk, accept, kills=1)
    assert gone
    assert gone < promised


def test_a_sigkill_while_fsync_is_slow_loses_no_stored_answer_that_was_told(tmp_path: Path) -> None:
    """Where it is found is in Redis too, so nothing else has it."""
    disk = SlowDisk(tmp_path, archive_index="redis")
    try:
        disk.start_gateway(processes=1)
        disk.start_worker()
        http = disk.http()
        disk.fsync_takes(900)
        for _ in range(2):
            wait_for(disk.writes_late, "a write that was put off")
            told = http.post("/v1/responses", json={"model": "echo", "input": "one two"}).json()
            disk.valkey.kill()
            disk.valkey.wait()
            disk.start_valkey()
            path = f"/v1/responses/{told['id']}"
            found = wait_for(lambda path=path: _unless_away(http.get(path)), "an answer")  # type: ignore[misc]  # mypy guesses no type of a default
            assert found.json() == told
    finally:
        disk.close()


def test_a_sigkill_while_fsync_is_slow_takes_back_nothing_that_was_done_in_the_archive(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    disk = SlowDisk(tmp_path, archive_index="redis")
    try:
        disk.start_gateway(processes=1)
        disk.start_worker()
        http = disk.http()

        def make(**metadata: str) -> str:
            return f"/v1/conversations/{http.post('/v1/conversations', json={'metadata': metadata}).json()['id']}"

        removed, changed = make(), make(n="1")
        disk.fsync_takes(900)
        wait_for(disk.writes_late, "a write that was put off")
        made = pool.submit(make)
        upload: dict[str, Any] = {"files": {"file": ("a.txt", b"x")}, "data": {"purpose": "user_data"}}
        stored = pool.submit(http.post, "/v1/files", **upload)
        done = [
            pool.submit(http.delete, removed),
            pool.submit(http.post, changed, json={"metadata": {"n": "2"}}),
        ]
        told = [each.result().status_code for each in (stored, *done)]
        paths = (made.result(), f"/v1/files/{stored.result().json()['id']}/content", removed, changed)
        disk.valkey.kill()
        disk.valkey.wait()
        disk.start_valkey()
        found = [wait_for(lambda path=path: _unless_away(http.get(path)), "an answer") for path in paths]  # type: ignore[misc]  # mypy guesses no type of a default
        assert told == [200, 200, 200]
        assert [each.status_code for each in found] == [200, 200, 404, 200]
        assert found[3].json()["metadata"] == {"n": "2"}
    finally:
        disk.close()


def _unless_away(answer: httpx.Response) -> httpx.Response | None:
    return None if answer.status_code == 503 else answer


@contextmanager
def serving(directory: Path, *valkey_options: str) -> Iterator[OneSlot]:
    stack = OneSlot(directory, *valkey_options)
    try:
        stack.start_gateway(processes=1)
        stack.start_worker()
        yield stack
    finally:
        stack.close()


WITHOUT_CONFIG = ("--appendfsync", "no", "--rename-command", "CONFIG", "")
"""A Redis which never tells that something is in its file, and not why."""


def test_a_202_that_cannot_be_confirmed_is_a_503_and_its_job_is_withdrawn(tmp_path: Path) -> None:
    with serving(tmp_path, *WITHOUT_CONFIG) as stack:
        refused = stack.http().post(CHATS, json=chat(ENDLESS), headers=LATER)
        assert problem(refused, 503)["code"] == "store_unavailable"
        assert refused.headers["retry-after"] == "1"
        [job_id] = stack.jobs()
        wait_for(lambda: stack.state(job_id) == "cancelled", "its withdrawal")
        assert "Redis did not write to its append-only file within 4 s" in stack.log()


def test_a_job_that_was_joined_is_not_withdrawn(tmp_path: Path) -> None:
    with serving(tmp_path, *WITHOUT_CONFIG) as stack, ThreadPoolExecutor(1) as pool:
        http, key = stack.http(), {"Idempotency-Key": "the same"}
        text = " ".join(map(str, range(800)))
        first = pool.submit(http.post, CHATS, json=chat(text), headers=key)
        wait_for(lambda: "in_progress" in stack.jobs().values(), "the start")
        assert problem(http.post(CHATS, json=chat(text), headers=LATER | key), 503)["code"] == "store_unavailable"
        assert not first.done()
        assert first.result().json()["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--appendonly", "no"), "Redis has no append-only file"),
        (("--appendfsync", "no"), "with appendfsync no"),
        (("--rename-command", "WAITAOF", ""), "Redis does not know WAITAOF"),
    ],
)
def test_a_redis_that_cannot_confirm_is_told_of_once(tmp_path: Path, options: tuple[str, ...], reason: str) -> None:
    with serving(tmp_path, *options) as stack:
        wait_for(lambda: reason in stack.log(), "the warning")
        http = stack.http()
        for _ in range(3):
            post_later(http, "one")
        assert stack.log().count("202s are not confirmed") == 1
        if "WAITAOF" not in options:
            stack.redis.config_set("appendonly", "yes")
            stack.redis.config_set("appendfsync", "everysec")
            post_later(http, "one")
            wait_for(lambda: "202s are confirmed" in stack.log(), "the end of the doubt")


def test_what_confirms_can_be_written_when_redis_is_out_of_memory(empty: Stack) -> None:
    empty.redis.config_set("maxmemory", "1")
    assert script(empty.redis, "written")(keys=[], args=["none"]) == [0]
    assert empty.redis.exists("iq:written")


def test_a_job_that_is_lost_once_it_was_made_sure_of_is_a_503(disk: SlowDisk, pool: ThreadPoolExecutor) -> None:
    """As by a machine's crash. Whoever asks for an answer has named no job, and is not told that there is none."""
    disk.start_gateway(processes=1)
    disk.start_worker(echo_rate=1)
    disk.fsync_takes(900)
    wait_for(disk.writes_late, "a write that was put off")
    http = disk.http()
    body = {"model": "echo", "input": ENDLESS, "background": True, "stream": True}
    asked = pool.submit(http.post, "/v1/responses", json=body)

    def waits() -> bool:
        return any(each["cmd"] == "waitaof" and "b" in each["flags"] for each in disk.redis.client_list())

    wait_for(waits, "the gateway's waiting for the file")
    [job_id] = disk.jobs()
    lose_job(disk, job_id)
    assert problem(asked.result(), 503)["code"] == "store_unavailable"
