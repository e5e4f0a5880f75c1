"""Two hosts as network namespaces, joined by links that can be cut. Needs Linux, root and iproute2."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names of the namespaces. Link 0 joins us and `front`, 1 and 2 `front` and `back`, 3 us and `back`."""

    front: str
    back: str
    network: str
    """What the addresses of all links begin with."""

    def address(self, link: int) -> str:
        """Of `front`, on a link; of `back` on link 3."""
        return f"{self.network}{4 * link + 1}"

    def back_address(self, link: int) -> str:
        """Of `back`, on a link between the two."""
        return f"{self.network}{4 * link + 2}"

    def cut(self, *links: int) -> None:
        """Nothing arrives at the other end any more, and nobody is told."""
        for link in links:
            _ip("-n", self.front, "link", "set", f"link{link}", "down")

    def join(self, *links: int) -> None:
        for link in links:
            _ip("-n", self.front, "link", "set", f"link{link}", "up")


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Skips the test where there can be no namespaces."""
    if os.name != "posix" or not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("network namespaces need root and iproute2")
    number = os.getpid() % 256
    # 198.18.0.0/15 is set aside for tests of networks.
    hosts = Hosts(f"inferq-{number}-front", f"inferq-{number}-back", f"198.18.{number}.")
    try:
        try:
            _ip("netns", "add", hosts.front)
            _ip("netns", "add", hosts.back)
            for link, host in ((0, hosts.front), (3, hosts.back)):
                outer = f"inferq{number}-{link}"
                _ip("link", "add", outer, "type", "veth", "peer", "name", f"link{link}", "netns", host)
                _ip("address", "add", f"{hosts.network}{4 * link + 2}/30", "dev", outer)
                _ip("link", "set", outer, "up")
                _ip("-n", host, "address", "add", f"{hosts.address(link)}/30", "dev", f"link{link}")
                _ip("-n", host, "link", "set", f"link{link}", "up")
        except subprocess.CalledProcessError as exc:
            pytest.skip(f"no network namespaces here: {exc.stderr.strip()}")
        for link in (1, 2):
            name = f"link{link}"
            _ip("-n", hosts.back, "link", "add", name, "type", "veth", "peer", "name", name, "netns", hosts.front)
            _ip("-n", hosts.back, "address", "add", f"{hosts.back_address(link)}/30", "dev", name)
            _ip("-n", hosts.back, "link", "set", name, "up")
            _ip("-n", hosts.front, "address", "add", f"{hosts.address(link)}/30", "dev", name)
            hosts.join(link)
        for host in (hosts.front, hosts.back):
            _ip("-n", host, "link", "set", "lo", "up")
        yield hosts
    finally:
        for link in (0, 3):  # those of a namespace would go with it, but later
            subprocess.run(["ip", "link", "delete", f"inferq{number}-{link}"], capture_output=True, check=False)
        for host in (hosts.front, hosts.back):
            subprocess.run(["ip", "netns", "delete", host], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
