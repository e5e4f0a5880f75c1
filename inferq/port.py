"""The gateway's port, before there is a gateway."""

from __future__ import annotations

import errno
import socket
import time

from inferq.errors import StartError
from shared.config import ConfigError


def find(host: str, port: int, *, patience: float = 0.0) -> int:
    """Check that `port` can be listened on, for up to `patience` seconds; 0 finds a free one. Returns the port.

    Raises:
        ConfigError: the host is not an address of this machine.
        StartError: the port is taken, or may not be used.
    """
    if host == "localhost":
        host = "127.0.0.1"  # as for the gateway, which listens on the other loopback where it can
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as exc:
        raise ConfigError(f"host {host!r}: {exc.strerror}") from exc
    deadline = time.monotonic() + patience
    while True:
        try:
            with socket.socket(family, kind, proto) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                return int(probe.getsockname()[1])
        except OSError as exc:
            if time.monotonic() >= deadline:
                what = "an address with --host" if exc.errno == errno.EADDRNOTAVAIL else "a port with --port"
                raise StartError(f"cannot listen on {host} port {port}: {exc.strerror}; choose {what}") from exc
        time.sleep(0.05)


def reachable(host: str) -> str:
    """`host` as it stands in a URL on this machine: an address that means all of them becomes the loopback."""
    if host in ("", "0.0.0.0"):  # noqa: S104  # it is only compared
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host
