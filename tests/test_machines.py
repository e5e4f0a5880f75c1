"""Several machines: links that are cut and joined again, and a Redis that asks for a password, or TLS."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.store import connect
from tests.acl import WRITTEN, documented_user
from tests.calls import CHATS, ENDLESS, LATER, chat, post_later
from tests.logged import Logged
from tests.netns import Hosts, two_hosts
from tests.stack import Process, Stack, stop, wait_for
from tests.tls import CA, tls_in_front_of


class Locked(Logged):
    """A stack whose Redis lets inferq in with a password only, and to no more than the manual says."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        rules = directory / "users.acl"
        rules.write_text(f"user default on nopass ~* &* +@all\n{documented_user()}\n")  # the former is the test's own
        self.valkey_options = ("--bind", "0.0.0.0", "--protected-mode", "no", "--aclfile", str(rules))
        super().__init__(directory, **settings)
        self.settings["redis_url"] = self.url_at(self.host)

    def url_at(self, host: str) -> str:
        return f"redis://inferq:{WRITTEN}@{host}:{self.redis_port}/0"

    def unharmed(self) -> None:
        """Nothing was denied to inferq, and nothing of the password was said."""
        denied: Any = self.redis.acl_log()
        assert denied == []
        assert not re.search("hidden", self.log())


class Machines(Locked):
    """Gateway and Valkey on one host, two workers on the other, each with a link of its own."""

    def __init__(self, directory: Path, hosts: Hosts) -> None:
        self.hosts, self.host = hosts, hosts.address(0)
        super().__init__(directory, host=self.host, lease=2, slots=2)
        self.names: dict[int, str] = {}

    def begin(self) -> None:
        self.start_gateway(processes=1)
        for link in (1, 2):
            known = self.workers()
            self.start_worker(redis_url=self.url_at(self.hosts.address(link)), echo_prefill_ms=2500)
            [self.names[link]] = self.workers() - known

    def _start(self, command: list[str], **options: Any) -> Process:
        host = self.hosts.back if "worker" in command else self.hosts.front
        return super()._start(["ip", "netns", "exec", host, *command], **options)

    def running(self, link: int) -> list[str]:
        """Jobs of the worker on that link."""
        running = [job_id for job_id, state in self.jobs().items() if state == "in_progress"]
        return [job_id for job_id in running if self.field(job_id, "worker") == self.names[link]]

    def field(self, job_id: str, name: str) -> str:
        value: Any = self.redis.hget(f"iq:job:{job_id}", name)
        return str(value.decode())

    def fenced(self) -> int:
        """How many executions have learnt that their job is another's."""
        said = self.log()
        return len(set(re.findall(r"(?:was taken from us|belongs to another execution).* job_id=(\S+)", said)))


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with two_hosts() as hosts:
        stack = Machines(tmp_path_factory.mktemp("machines"), hosts)
        try:
            stack.begin()
            yield stack
            stack.unharmed()
        finally:
            stack.close()


@contextmanager
def asked(stack: Stack, count: int) -> Iterator[list[Future[str]]]:
    """So many chats at once, of which nothing is answered yet; the answers will be `chat <i>`."""
    http = stack.http()

    def ask(i: int) -> str:
        answer = http.post(CHATS, json=chat(f"chat {i}")).json()
        return str(answer["choices"][0]["message"]["content"])

    with ThreadPoolExecutor(count) as pool:
        yield [pool.submit(ask, i) for i in range(count)]


class TestCutLink:
    def test_the_other_worker_takes_over_and_the_lost_one_comes_back(self, machines: Machines) -> None:
        stack, fenced = machines, machines.fenced()
        with asked(stack, 4) as answers:
            wait_for(lambda: len(stack.running(1)) == len(stack.running(2)) == 2, "two jobs on each")
            hit = stack.running(1)
            stack.hosts.cut(1)
            try:
                assert [answer.result() for answer in answers] == [f"chat {i}" for i in range(4)]
                assert {stack.field(job_id, "worker") for job_id in hit} == {stack.names[2]}
                assert {stack.field(job_id, "tries") for job_id in hit} == {"2"}
                before = {job_id: stack.events(job_id) for job_id in hit}
                assert stack.fenced() == fenced
            finally:
                stack.hosts.join(1)
        wait_for(lambda: stack.fenced() == fenced + 2, "the fencing", 15)
        assert {job_id: stack.events(job_id) for job_id in hit} == before
        self.serves_on(stack, 1)

    def test_a_whole_host_comes_back_to_its_jobs(self, machines: Machines) -> None:
        stack, fenced = machines, machines.fenced()
        with asked(stack, 4) as answers:
            wait_for(lambda: len(stack.running(1)) == len(stack.running(2)) == 2, "two jobs on each")
            hit = [*stack.running(1), *stack.running(2)]
            stack.hosts.cut(1, 2)
            try:
                wait_for(lambda: {stack.state(job_id) for job_id in hit} == {"queued"}, "the end of their leases")
                assert not any(answer.done() for answer in answers)
            finally:
                stack.hosts.join(1, 2)
            assert [answer.result() for answer in answers] == [f"chat {i}" for i in range(4)]
        assert {stack.field(job_id, "tries") for job_id in hit} == {"2"}
        wait_for(lambda: stack.fenced() == fenced + 4, "the fencing", 15)
        for link in (1, 2):
            self.serves_on(stack, link)

    def serves_on(self, stack: Machines, link: int) -> None:
        """The worker takes jobs, and hears commands."""
        name, http = stack.names[link], stack.http()
        wait_for(lambda: name in stack.workers(), "its card")
        others: list[str] = []

        def started() -> str | None:
            job_id = post_later(http, "more")
            wait_for(lambda: stack.state(job_id) == "in_progress", "its start", 10)
            if stack.field(job_id, "worker") == name:
                return str(job_id)
            others.append(job_id)
            return None

        job_id = wait_for(started, "a job on it")
        command = {"command": "stop-execution", "job_id": job_id, "execution_id": stack.field(job_id, "exec")}

        def stopped() -> bool:
            stack.redis.publish(f"rq:pubsub:{name}", json.dumps(command))
            return stack.state(job_id) != "in_progress"

        wait_for(stopped, "the end")
        assert stack.state(job_id) == "cancelled"
        for other in others:
            http.delete(f"/v1/jobs/{other}")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    stack = Locked(tmp_path_factory.mktemp("locked"))
    try:
        yield stack
        stack.unharmed()
    finally:
        stack.close()


class TestLockedRedis:
    def test_is_used_through_tls(self, locked: Locked) -> None:
        with tls_in_front_of(locked.redis_port, locked.directory) as port:
            url = f"rediss://inferq:{WRITTEN}@localhost:{port}/0?ssl_ca_certs={locked.directory / CA}"
            locked.settings["redis_url"] = url
            locked.start_gateway(processes=1)
            locked.start_worker(echo_rate=100, slots=1)
            http = locked.http()
            assert http.post(CHATS, json=chat("Hello")).json()["choices"][0]["message"]["content"] == "Hello"
            running, waiting = (http.post(CHATS, json=chat(ENDLESS), headers=LATER).headers["location"] for _ in "ab")
            wait_for(lambda: http.get(running).json()["tokens"] > 1, "its first words")
            assert http.get(waiting).json()["queue_position"] == 1
            for path in (waiting, running):
                assert http.delete(path).json()["status"] == "cancelled"
            for path in ("/readyz", "/metrics", "/v1/models", f"{running}/events"):
                assert http.get(path).status_code == 200
            for child in (locked.worker, locked.gateway):
                stop(child)
            with connect(url, retries=0) as client:
                assert client.ping()
                (held,) = client.connection_pool._connections
                locked.redis.client_kill_filter(_id=str(client.client_id()))
                assert select.select([held._sock], [], [], 10)[0], "it is closed on this side too"
                assert client.ping(), "a connection that was closed meanwhile is opened again"

    @pytest.mark.parametrize(
        ("url", "status", "reason"),
        [
            ("rediss://inferq:hidden%2Fword@localhost:{tls}/0", 1, "certificate verify failed"),
            ("rediss://inferq:hidden%2Fword@127.0.0.1:{tls}/0?ssl_ca_certs={ca}", 1, "certificate is not valid for"),
            ("redis://inferq:hidden%2Fwords@localhost:{plain}/0", 1, "invalid username-password pair"),
            ("redis://inferq:hidden/word@localhost:{plain}/0", 2, "INFERQ_REDIS_URL is not the URL of a Redis"),
            ("redis://inferq:hidden%2Fword@localhost:{plain}/0?hidden=1", 2, "INFERQ_REDIS_URL is not the URL"),
            ("hidden://localhost", 2, "INFERQ_REDIS_URL is not the URL of a Redis"),
        ],
    )
    def test_is_refused_or_missed_without_a_word_of_the_password(
        self, locked: Locked, url: str, status: int, reason: str
    ) -> None:
        with tls_in_front_of(locked.redis_port, locked.directory) as port:
            url = url.format(tls=port, plain=locked.redis_port, ca=locked.directory / CA)
            for command in (["up", "echo", "--data-dir", str(locked.directory / "data"), "--port", "0"], ["status"]):
                done = subprocess.run(
                    [sys.executable, "-P", "-m", "inferq", *command],
                    env=os.environ | {"INFERQ_REDIS_URL": url},
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                assert (done.returncode, reason in done.stderr) == (status, True), done.stderr
                assert "hidden" not in done.stderr + done.stdout
                assert "Traceback" not in done.stderr
        locked.redis.acl_log_reset()
