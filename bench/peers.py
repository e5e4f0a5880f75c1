"""What others made, to compare with: each in an environment of its own beneath the user's cache, which is made once.

    python -m bench.peers

makes them all. `llama-cpp-python` has no wheel on PyPI, so it is compiled: ten minutes on two cores.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clients import environments, table
from tests.clients.table import Client
from tests.stack import free_port, wait_for

PACKAGES = {"llama-cpp-python": ("llama-cpp-python[server]==0.3.36",), "llm-rs": ("llm-rs==0.2.15",)}


def environment(name: str, *packages: str) -> Path:
    """Its folder. Raises NotInstalled."""
    before = next(iter(table.read().values())).before
    return environments.prepare(Client(name, packages or PACKAGES[name], "bench.py", "", before))


def packages_of(folder: Path) -> Path:
    """Where its modules are."""
    (found,) = folder.glob("lib/python*/site-packages")
    return found


@contextmanager
def llama_cpp_python(path: Path, threads: int, batch_threads: int, batch: int, context: int) -> Iterator[int]:
    """Its server's port. It computes one answer at a time; a new request would end the one that is computed, which is
    its default, so that is off. Raises NotInstalled."""
    python = environment("llama-cpp-python") / "bin" / "python"
    port = free_port()
    settings = {"model": path, "model_alias": "smollm2", "host": "127.0.0.1", "port": port, "n_ctx": context}
    settings |= {"n_threads": threads, "n_threads_batch": batch_threads, "n_batch": batch, "n_ubatch": batch}
    settings |= {"interrupt_requests": False, "verbose": False}
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    server = subprocess.Popen(
        [python, "-m", "llama_cpp.server", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: _answers(port, server), "llama-cpp-python's answer", 120)
        yield port
    finally:
        server.kill()
        server.wait()


def _answers(port: int, server: subprocess.Popen[bytes]) -> bool:
    assert server.poll() is None, "llama-cpp-python's server has ended"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def main() -> None:
    for name in PACKAGES:
        try:
            print(f"{name}: {environment(name)}")
        except environments.NotInstalled as exc:
            sys.exit(f"{name}: {exc}")


if __name__ == "__main__":
    main()
