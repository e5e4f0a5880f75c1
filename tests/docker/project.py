"""One compose project, built and run from docker-compose.yml as people do it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx2 as httpx
from openai import OpenAI

from tests.stack import free_port, wait_for

ROOT = Path(__file__).parents[2]
ECHO = ROOT / "tests/docker/echo.yml"

_HOSTS_OF_RUNNING_JOBS = """
local hosts = {}
for _, key in ipairs(redis.call('KEYS', 'iq:job:*')) do
  local job = redis.call('HMGET', key, 'state', 'worker')
  if job[1] == 'in_progress' then
    hosts[#hosts + 1] = cjson.decode(redis.call('GET', 'iq:card:workers:' .. job[2])).host
  end
end
return hosts
"""
_EXECUTIONS_OF_JOBS = """
local tries = {}
for _, key in ipairs(redis.call('KEYS', 'iq:job:*')) do tries[#tries + 1] = redis.call('HGET', key, 'tries') end
return tries
"""


class Project:
    """The services `redis`, `gateway` and `worker` under a project name of their own, on a free port."""

    def __init__(self) -> None:
        self.name = f"inferq-test-{os.getpid()}"
        self.port = free_port()
        self.files = [ROOT / "docker-compose.yml"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> OpenAI:
        """The unmodified client, without retries of its own: each request is sent once."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="test", max_retries=0, timeout=90)

    def up(self, workers: int, *options: str) -> None:
        """Return when every container is healthy and the gateway can serve."""
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout=120", "--scale", f"worker={workers}", *options)
            self.wait_until_ready()
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.compose('logs', '--tail=20')}") from exc

    def wait_until_ready(self) -> None:
        wait_for(self._ready, "/readyz", 60)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def compose(self, *arguments: str, check: bool = True) -> str:
        files = [option for file in self.files for option in ("--file", str(file))]
        environ = {**os.environ, "INFERQ_PORT": str(self.port)}
        return _run("docker", "compose", "--project-name", self.name, *files, *arguments, env=environ, check=check)

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """What `docker inspect` knows of the containers of a service, or of all; also of those that do not run."""
        labels = [f"com.docker.compose.project={self.name}"]
        labels += [f"com.docker.compose.service={service}"] if service else []
        found = docker("ps", "--all", "--quiet", "--no-trunc", *(f"--filter=label={label}" for label in labels)).split()
        containers: list[dict[str, Any]] = json.loads(docker("inspect", *found)) if found else []
        return containers

    def redis(self, *command: str) -> list[str]:
        """The lines of redis-cli's answer; none when it is an empty list."""
        return [line for line in self.compose("exec", "--no-TTY", "redis", "redis-cli", *command).splitlines() if line]

    def hosts_of_running_jobs(self) -> list[str]:
        """Of each running job the hostname of its worker, which is the beginning of its container's id."""
        return self.redis("EVAL", _HOSTS_OF_RUNNING_JOBS, "0")

    def executions_of_jobs(self) -> list[int]:
        """How often each job was begun."""
        return [int(tries) for tries in self.redis("EVAL", _EXECUTIONS_OF_JOBS, "0")]


def docker(*arguments: str) -> str:
    return _run("docker", *arguments)


def _run(*command: str, check: bool = True, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0 or not check, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout
