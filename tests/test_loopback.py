"""`localhost` is 127.0.0.1 for some clients and ::1 for others, and a machine may have only one of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.calls import CHATS, chat
from tests.logged import Logged
from tests.stack import Stack, free_port


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="the machine has no IPv6")
NAMES = ("127.0.0.1", "[::1]", "localhost")


@needs_ipv6
@pytest.mark.parametrize("name", NAMES)
def test_both_loopbacks_answer(echo: Stack, name: str) -> None:
    for _ in range(4):  # so that each process has some
        answer = httpx.post(f"http://{name}:{echo.port}{CHATS}", json=chat("one"), timeout=60)
        assert answer.json()["choices"][0]["message"]["content"] == "one"


@needs_ipv6
def test_they_are_one_machine_and_may_be_called_by_either_name(tmp_path: Path) -> None:
    """A proxy beside the gateway is trusted, whichever address it has found."""
    stack = Logged(tmp_path, host="localhost", trusted_proxies="127.0.0.1", log_format="json")
    try:
        stack.start_gateway()
        for number, name in enumerate(NAMES):
            peer = f"192.0.2.{number}"
            assert httpx.get(f"http://{name}:{stack.port}/v1/models", headers={"X-Forwarded-For": peer}).is_success
            assert stack.line(path="/v1/models", peer=peer)
    finally:
        stack.close()


@needs_ipv6
def test_somebody_else_on_the_other_one_is_told_of(tmp_path: Path) -> None:
    stack = Logged(tmp_path)
    try:
        with socket.create_server(("::1", stack.port), family=socket.AF_INET6):
            stack.start_gateway()
        assert f"somebody else listens on [::1]:{stack.port}" in stack.log()
    finally:
        stack.close()


_ALONE = """
    import os, subprocess, sys, time, socket
    from urllib.request import urlopen
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    open("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "w").write("1")
    gateway = subprocess.Popen([sys.executable, "-P", "-m", "inferq", "gateway"])
    try:
        for _ in range(300):
            try:
                print(urlopen("http://127.0.0.1:%s/healthz" % os.environ["INFERQ_PORT"]).read().decode())
                break
            except OSError:
                time.sleep(0.1)
    finally:
        gateway.terminate()
        gateway.wait()
"""


def test_without_ipv6_there_is_one(tmp_path: Path) -> None:
    apart = ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*apart, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces here")
    environ = {**os.environ, "INFERQ_PORT": str(free_port()), "INFERQ_REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [*apart, sys.executable, "-c", textwrap.dedent(_ALONE)]
    told = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120, check=False)
    assert '{"status":"ok"}' in told.stdout, told.stderr
    assert "::1" not in told.stderr
