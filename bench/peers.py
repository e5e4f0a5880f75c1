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
from dataclasses import asdict, dataclass
from pathlib import Path

from shared import folders
from tests.clients import environments, table
from tests.clients.environments import NotInstalled
from tests.clients.table import Client
from tests.stack import free_port, wait_for

PACKAGES = {"llm-rs": ("llm-rs==0.2.15",), "llama-cpp-python": ("llama-cpp-python[server]==0.3.36",)}


def environment(name: str, *packages: str) -> Path:
    """Its folder. Raises NotInstalled."""
    before = next(iter(table.read().values())).before
    return environments.prepare(Client(name, packages or PACKAGES[name], "bench.py", "", before))


def installed(name: str) -> Path:
    """As `environment`, of one that was made before: nobody expects ten minutes of compiling within a bench."""
    if not (folders.cache() / "clients" / name / "installed").exists():
        raise NotInstalled(f"`python -m bench.peers` installs {name}")
    return environment(name)


def packages_of(folder: Path) -> Path:
    """Where its modules are."""
    (found,) = folder.glob("lib/python*/site-packages")
    return found


@dataclass(frozen=True)
class Numbers:
    """What all sides have in common."""

    threads: int
    """For one answer."""
    batch_threads: int
    """For several, and for prompts."""
    batch: int
    slots: int
    context: int

    @property
    def settings(self) -> dict[str, int]:
        """In the terms of inferq, with the file as it is."""
        return {**{name: number for name, number in asdict(self).items() if name != "batch"}, "batch_size": self.batch}


@contextmanager
def llama_cpp(path: Path, numbers: Numbers) -> Iterator[tuple[int, int]]:
    """Port and pid of llama.cpp's own HTTP server, of the library that inferq computes with."""
    port = free_port()
    told = (port, numbers.slots, numbers.threads, numbers.batch_threads, numbers.context)
    with _serving([sys.executable, "-m", "bench.llama_server", str(path), *map(str, told)], port) as pid:
        yield port, pid


@contextmanager
def llama_cpp_python(path: Path, numbers: Numbers) -> Iterator[int]:
    """Its server's port. It computes one answer at a time; a new request would end the one that is computed, which is
    its default, so that is off. Raises NotInstalled."""
    python = installed("llama-cpp-python") / "bin" / "python"
    port = free_port()
    settings = {"model": path, "model_alias": "smollm2", "host": "127.0.0.1", "port": port, "n_ctx": numbers.context}
    settings |= {"n_threads": numbers.threads, "n_threads_batch": numbers.batch_threads}
    settings |= {"n_batch": numbers.batch, "n_ubatch": numbers.batch, "interrupt_requests": False, "verbose": False}
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    with _serving([str(python), "-m", "llama_cpp.server", *flags], port):
        yield port


@contextmanager
def _serving(command: list[str], port: int) -> Iterator[int]:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers(port, server), f"the answer of {command[2]}", 120)
        yield server.pid
    finally:
        server.kill()
        server.wait()


def _answers(port: int, server: subprocess.Popen[bytes]) -> bool:
    assert server.poll() is None, "the server has ended"
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
        except NotInstalled as exc:
            sys.exit(f"{name}: {exc}")


if __name__ == "__main__":
    main()
