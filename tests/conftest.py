"""Stacks that several tests share."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpcore2
import httpx2 as httpx
import hypothesis
import pytest
from openai import OpenAI

from shared import catalogue
from shared.scratch import Scratch, socket_root
from shared.tickets import Tickets
from tests.pace import slowness
from tests.stack import API_KEYS, KEYS, Stack, running
from tests.tiny import TINY, loaded
from worker.engines.llama_cpp import LlamaCppEngine
from worker.formats.quantise import quantise


@pytest.hookimpl(tryfirst=True)  # before pytest-timeout reads it
def pytest_configure(config: pytest.Config) -> None:
    """For us and all our children. A test has as much more time as this machine is slower.

    A shell has what it runs in the background ignore Ctrl-C. And threads of an engine spin while they wait for one that
    has no core, which other tests have: one thread is faster here, unless a test asks for more. With a step's size too
    nothing is left to measure. Texts and numbers that tests know are those of the weights that files have, so those are
    served as they are. What our clients trust is read once: it takes 25 ms, and they speak no TLS. An example of
    hypothesis may take as long as it takes.
    """
    if not hasattr(config, "workerinput"):  # to its workers xdist passes it on
        given = config.getoption("timeout")
        config.option.timeout = slowness() * float(config.getini("timeout") if given is None else given)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("INFERQ_THREADS", "1")
    os.environ.setdefault("INFERQ_BATCH_SIZE", "128")
    os.environ.setdefault("INFERQ_AS_IS", "1")
    hypothesis.settings.register_profile("patient", deadline=None)
    hypothesis.settings.load_profile("patient")
    httpcore2.default_ssl_context = functools.cache(httpcore2.default_ssl_context)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules of few tests first: those start processes, and one that is begun last of all keeps everybody waiting."""
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: sizes[item.path])


def pytest_sessionfinish() -> None:
    """Stacks are ended by force, and their folders of scratch go with the next one's: here is the last."""
    for prefix in ("inferq-counts-", "inferq-host-"):
        Scratch(prefix, socket_root()).remove()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for sockets, whose paths have to be short."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        yield Path(folder)


def _pull(name: str) -> Path:
    """The file of a built-in model, fetched if it is not in the cache yet."""
    subprocess.run([sys.executable, "-P", "-m", "inferq", "pull", name], check=True)
    path = catalogue.resolve(name).path
    assert path is not None
    return path


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The real model that writes texts."""
    return _pull("smollm2")


@pytest.fixture(scope="session")
def minilm_path() -> Path:
    """The real model that embeds texts."""
    return _pull("minilm")


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two gateway processes and an echo worker of four slots; for tests that hurt nothing."""
    with running(tmp_path_factory.mktemp("echo")) as stack:
        stack.start_gateway(processes=2)
        stack.start_worker()
        yield stack


@pytest.fixture(scope="module")
def stack(echo: Stack) -> Stack:
    """What `http` and `client` speak to; a module of tests that needs another one has its own `stack`."""
    return echo


@pytest.fixture(scope="module")
def http(stack: Stack) -> httpx.Client:
    """Alice's, where the stack knows her."""
    return stack.http(KEYS["alice"] if stack.settings.get("api_keys") == API_KEYS else "")


@pytest.fixture(scope="module")
def client(stack: Stack) -> OpenAI:
    return stack.client()


@pytest.fixture(scope="module")
def alice(stack: Stack) -> OpenAI:
    """Her client, where the stack has `API_KEYS`; it takes nothing that OpenAI would not say."""
    return stack.client(api_key=KEYS["alice"], _strict_response_validation=True)


@pytest.fixture(scope="module")
def bob(stack: Stack) -> OpenAI:
    return stack.client(api_key=KEYS["bob"], _strict_response_validation=True)


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Iterator[Stack]:
    """The real model on a worker of one slot, so that its text does not depend on neighbours."""
    with running(tmp_path_factory.mktemp("smollm2")) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker("smollm2", slots=1)
        yield stack


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Stack]:
    """Only Valkey; the test starts the rest, and may hurt it."""
    with running(tmp_path, lease=2) as stack:
        yield stack


@pytest.fixture(scope="session")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("gateway"), lease=2) as stack:
        stack.start_gateway()
        yield stack


@pytest.fixture
def served(_gateway: Stack) -> Iterator[Stack]:
    """A gateway and nothing else; the test starts workers, and may hurt them and Valkey, but not the gateway.

    It is `empty` with a gateway that the tests share, since its start takes longer than most of them.
    """
    yield _gateway
    _gateway.clear()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Only Valkey, for tests of the scripts."""
    with running(tmp_path_factory.mktemp("valkey")) as stack:
        yield stack


@pytest.fixture
def tickets(valkey: Stack) -> Tickets:
    """The scripts, on an empty Redis."""
    valkey.redis.flushall()
    return Tickets(valkey.redis)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Where several clients ask at once."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def prepared_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights that are prepared for this CPU are kept, in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "inferq" / "models" / "prepared"


@pytest.fixture
def slow_model(tmp_path: Path, prepared_folder: Path) -> Path:
    """The tiny model in a type for which llama.cpp has no fast kernels."""
    quantise(TINY, tmp_path / "model.gguf", "Q4_1", pure=True)
    return tmp_path / "model.gguf"


@pytest.fixture
def single() -> Iterator[LlamaCppEngine]:
    """The tiny model with one slot, so that what keeps it busy keeps everybody waiting."""
    with loaded() as engine:
        yield engine
