"""Whatever dies leaves nothing behind: in Redis, and in the folder for temporary files. Run by `make memory`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.calls import CHATS, COMPLETIONS, chat, raw_post
from tests.stack import Stack, children, gone, running, scoring_hosts, wait_for
from tests.tiny import TINY

ROUNDS = 3
"""What each leaves behind is more than is allowed for at the end."""
KEPT = {b"iq:lapse", b"iq:lease", b"iq:failures", b"iq:written"}
"""Keys of the Redis itself; there is one of each."""


@pytest.fixture
def folder(short: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For temporary files."""
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setattr("tempfile.tempdir", None)
    return short


def kill_all(process: subprocess.Popen[bytes]) -> None:
    for pid in (process.pid, *children(process)):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def test_what_was_killed_is_forgotten(tmp_path: Path, folder: Path) -> None:
    with running(tmp_path, lease=2, retention=1, log_level="error") as stack:
        connections = []
        for _ in range(ROUNDS):
            gateway = stack.start_gateway(processes=2)
            stack.start_worker(echo_rate=5, slots=2)
            stack.start_worker(str(TINY), slots=1)
            known = set(stack.jobs())
            connections += [raw_post(stack, CHATS, chat(f"{i} and more" * 50, stream=i % 2 == 0)) for i in range(6)]
            wait_for(lambda known=known: len(stack.jobs().keys() - known) == 6, "the jobs")  # type: ignore[misc]  # its default
            for process in (gateway, *stack.children[-2:]):
                kill_all(process)
            wait_for(stack.port_is_free, "the end of the gateway")
        stack.start_gateway(processes=2)
        stack.start_worker(slots=1)
        stack.start_worker(str(TINY), slots=1)
        for connection in connections:
            connection.close()
        make_time_pass(stack)
        wait_for(lambda: not stack.jobs(), "the end of all jobs and their retention", 90)
        assert len(list(folder.glob("inferq-*"))) <= 4  # of the gateway and the engine host that live now
        counted = [file.name for file in folder.glob("inferq-*/*.db")]
        assert len(counted) <= 2 * len({name.rpartition("_")[0] for name in counted})
        assert stack.redis.zcard("iq:live:gateways") == 2
        assert len(list(stack.redis.scan_iter("iq:reply:*"))) <= 2
        assert check(stack) == 0
        for process in stack.children[-3:]:
            process.terminate()
            process.wait(20)
        stack.start_gateway(processes=1)  # somebody has to look
        lapse(stack, "iq:live:models")
        wait_for(lambda: not stack.redis.exists("rq:queues", "iq:counts:echo", "iq:live:models"), "the models' end")
        left = {key for key in stack.redis.scan_iter() if stack.redis.ttl(key) == -1 and b"gateways" not in key}
        assert left <= KEPT, left


IMPATIENT = "from worker.engines import host_on_demand as h; h.IDLE = 1.0; from inferq.cli import main; main()"
"""A worker whose scoring host ends a second after it was needed."""


def test_nothing_is_left_of_what_scored(tmp_path: Path, folder: Path) -> None:
    """Neither of a host that nobody needs any more, nor of one whose worker is killed while it reads."""
    with running(tmp_path, lease=2, log_level="error", slots=1) as stack:
        stack.start_gateway(processes=1)
        environ = {**os.environ, **{f"INFERQ_{name.upper()}": str(value) for name, value in stack.settings.items()}}
        command = [sys.executable, "-P", "-c", IMPATIENT, "worker", str(TINY)]
        worker = stack._start(command, env=environ)
        wait_for(stack.workers, "the worker's card", 60)
        resting, folders = children(worker), folders_of(folder)
        body = {"model": TINY.stem, "prompt": "a b c", "prompt_logprobs": 1, "max_tokens": 1}
        for _ in range(ROUNDS):
            stack.http().post(COMPLETIONS, json=body).raise_for_status()
            assert scoring_hosts(worker)
            wait_for(lambda: children(worker) == resting, "the end of the scoring host", 30)
            assert folders_of(folder) == folders
        connection = raw_post(stack, COMPLETIONS, {**body, "prompt": ["a b c " * 20] * 500})
        wait_for(lambda: scoring_hosts(worker), "a scoring host", 30)
        hosts = children(worker)
        worker.kill()
        worker.wait()
        assert all(gone(pid, 20) for pid in hosts)
        connection.close()
        stack.start_worker(str(TINY))
        wait_for(lambda: len(folders_of(folder)) <= len(folders), "the end of their folders", 30)


def folders_of(folder: Path) -> set[Path]:
    """What hosts and gateways that live have, or those that were killed have left."""
    return set(folder.glob("inferq-*"))


def lapse(stack: Stack, index: str) -> None:
    """Whatever stands there is over, all at once: in between somebody may look."""
    members: Any = stack.redis.zrange(index, 0, -1)
    if members:
        stack.redis.zadd(index, dict.fromkeys(members, 1), xx=True)


def make_time_pass(stack: Stack) -> None:
    """Minutes, for those who live no longer, and for jobs whose clients may come again."""
    for kind in ("gateways", "workers"):
        lapse(stack, f"iq:live:{kind}")  # those who live say so again
    wait_for(lambda: stack.redis.zcard("iq:live:gateways") == 2, "the end of the belief in the dead", 60)
    wait_for(lambda: stack.redis.zcard("iq:live:workers") == 2, "the same of workers", 60)

    def none_lingers() -> bool:
        for key in stack.redis.scan_iter("iq:lingering:*"):
            lapse(stack, key.decode())
        return all(state not in ("queued", "in_progress") for state in stack.jobs().values())

    wait_for(none_lingers, "the end of the jobs", 90)


def check(stack: Stack) -> int:
    environ = {**os.environ, "INFERQ_REDIS_URL": str(stack.settings["redis_url"])}
    return subprocess.run([sys.executable, "-P", "-m", "inferq", "check"], env=environ, check=False).returncode
