"""`inferq up` as a user runs it: one process to start, to stop, and to hurt."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2 as httpx
import pytest
import redis

from inferq.embedded import _binary
from shared import registry
from shared.store import connect
from tests.commands import inferq
from tests.stack import Stack, free_port, wait_for
from tests.up import Up, left, up


@pytest.fixture(scope="module")
def shared_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, str]]:
    """One with echo, and its URL, for tests that leave it as it is."""
    with up(tmp_path_factory.mktemp("up") / "data", "echo", "--port", "0", INFERQ_GATEWAY_PROCESSES="0") as started:
        yield started, started.ready()


def stream_slowly(url: str) -> threading.Thread:
    """Begin an answer; returns when its first token is there, with the thread that reads the rest."""
    first = threading.Event()

    def read() -> None:
        body = {"model": "echo", "prompt": "word " * 2000, "stream": True}
        try:
            with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=60) as response:
                for _ in response.iter_lines():
                    first.set()
        except httpx.TransportError:
            pass  # what the tests do to the server

    thread = threading.Thread(target=read)
    thread.start()
    assert first.wait(20)
    return thread


def test_it_serves_and_is_private(shared_up: tuple[Up, str]) -> None:
    running, url = shared_up
    assert httpx.get(f"{url}/readyz").status_code == 200
    body = {"model": "echo", "messages": [{"role": "user", "content": "Hello there"}]}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == "Hello there"
    titles = running.family().values()
    assert any(title.startswith("inferq gateway") for title in titles)
    assert any(title.startswith("inferq worker echo") for title in titles)
    for name, mode in {".": 0o700, "run": 0o700, "run/valkey.sock": 0o600, "redis.url": 0o600}.items():
        assert stat.S_IMODE((running.data_dir / name).stat().st_mode) == mode, name


def test_its_valkey_listens_on_no_port(shared_up: tuple[Up, str]) -> None:
    running, _ = shared_up
    url = (running.data_dir / "redis.url").read_text().strip()
    assert url == f"unix://{running.data_dir}/run/valkey.sock?db=0"
    with connect(url) as client:
        assert client.config_get("port") == {"port": "0"}
        assert registry.workers(client)
    shown = inferq("status", "--data-dir", running.data_dir)
    assert "echo" in shown.stdout, shown.stderr
    assert inferq("check", "--data-dir", running.data_dir).returncode == 0


@pytest.mark.parametrize(
    ("name", "number"),
    [("d" * 100, signal.SIGTERM), ("a 'b' \"ü\" #?%20", signal.SIGINT), ("data", signal.SIGHUP)],
    ids=["SIGTERM", "SIGINT", "SIGHUP"],
)
def test_a_data_directory_may_have_any_name_and_a_signal_ends_all(
    tmp_path: Path, name: str, number: signal.Signals
) -> None:
    """Not every path fits into a socket's address, or means itself in a URL or in Valkey's configuration."""
    with up(tmp_path / name, "echo", "--port", "0", TMPDIR=str(tmp_path)) as started:
        assert httpx.get(f"{started.ready()}/readyz").status_code == 200
        shown = inferq("status", "--data-dir", started.data_dir)
        assert "echo" in shown.stdout, shown.stderr
        with connect((started.data_dir / "redis.url").read_text().strip()) as client:
            [place] = client.config_get("unixsocket").values()
        assert stat.S_IMODE(Path(place).parent.stat().st_mode) == 0o700
        family = started.family()
        os.killpg(started.process.pid, number)  # a terminal's Ctrl-C reaches the whole group
        assert started.finish() == (0, "")
        assert len(family) >= 3
        assert not left(family)
        assert "Traceback" not in started.log
        assert "killing" not in started.log
    assert not Path(place).exists()
    assert not list(tmp_path.glob("inferq-valkey-*"))


def test_a_data_directory_of_release_0_2_0_is_taken_over(tmp_path: Path) -> None:
    """Its server listened on a port, with a password, and one that a kill has left is stopped by them."""
    (tmp_path / "data").mkdir(mode=0o700)
    old, number = tmp_path / "data" / "old.conf", free_port()
    old.write_text(f"bind 127.0.0.1\nport {number}\nrequirepass old\nappendonly yes\n")
    url = f"redis://:old@127.0.0.1:{number}/0"
    with subprocess.Popen([_binary(), old], cwd=old.parent, stdout=subprocess.DEVNULL) as left_over:
        with connect(url) as client:
            wait_for(lambda: _pings(client), "the old server")
            client.set("kept", "since then")
        (old.parent / "redis.url").write_text(url + "\n")
        with up(old.parent, "echo", "--port", "0") as started:
            started.ready()
            assert left_over.wait(10) == 0
            with connect((old.parent / "redis.url").read_text().strip()) as client:
                assert client.get("kept") == b"since then"


def _pings(client: redis.Redis) -> bool:
    with suppress(redis.ConnectionError):
        return bool(client.ping())
    return False


def test_two_run_side_by_side(shared_up: tuple[Up, str], tmp_path: Path) -> None:
    body = {"model": "echo", "prompt": "Hello"}
    with up(tmp_path / "data", "echo", "--port", "0") as second:
        for url in (second.ready(), shared_up[1]):
            assert httpx.post(f"{url}/v1/completions", json=body, timeout=20).status_code == 200
        with connect((tmp_path / "data" / "redis.url").read_text().strip()) as client:
            assert len(registry.workers(client)) == 1


def test_a_named_pipe_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data" / "up.lock")
    os.mkfifo(tmp_path / "data" / "redis.url")
    refused = Up(tmp_path / "data", "echo", "--port", "0")
    assert refused.finish() == (1, "")
    assert "this is a named pipe, not a file" in refused.log
    assert "this is a named pipe, not a file" in inferq("status", "--data-dir", tmp_path / "data").stderr
    (tmp_path / "data" / "up.lock").unlink()
    (tmp_path / "data").chmod(0o777)
    with up(tmp_path / "data", "echo", "--port", "0") as started:
        started.ready()
        assert "others may write to the data directory" in started.log


def test_a_second_one_on_the_same_data_is_refused(shared_up: tuple[Up, str]) -> None:
    running, url = shared_up
    second = Up(running.data_dir, "echo", "--port", "0")
    assert second.finish() == (1, "")
    assert f"pid {running.process.pid}" in second.log
    assert len(second.log.splitlines()) == 1
    assert httpx.get(f"{url}/readyz").status_code == 200


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = Up(tmp_path / "data", "echo", "--port", str(taken.getsockname()[1]))
        assert refused.finish() == (1, "")
    assert "cannot listen on 127.0.0.1 port" in refused.log
    assert len(refused.log.splitlines()) == 1
    assert not (tmp_path / "data" / "valkey.conf").exists()


def test_a_broken_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + b"\xff" * 60)
    refused = Up(tmp_path / "data", str(file), "--port", "0")
    assert refused.finish() == (2, "")
    assert "broken.gguf" in refused.log
    assert len(refused.log.splitlines()) == 1
    assert not (tmp_path / "data" / "valkey.conf").exists()


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    refused = Up(tmp_path / "data", "echo", "echo", "--port", "0")
    assert refused.finish() == (2, "")
    assert "two models are called 'echo'" in refused.log


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with up(tmp_path / "data", "echo", "--port", "0", INFERQ_GRACE="600") as started:
        started.ready()
        family = started.family()
        os.kill(started.child("inferq worker"), signal.SIGSTOP)  # it cannot end in good order
        started.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            started.process.wait(3)
        started.process.send_signal(signal.SIGINT)
        started.finish()
        wait_for(lambda: not left(family), "the end of all children", 3)


def test_nothing_is_left_when_it_is_killed(tmp_path: Path) -> None:
    with up(tmp_path / "data", "echo", "--port", "0", "--workers", "2", INFERQ_ECHO_RATE="2") as started:
        reader = stream_slowly(started.ready())
        family = started.family()
        assert sum("inferq worker echo" in title for title in family.values()) == 2
        started.process.kill()
        wait_for(lambda: not left(family), "the end of all children", 3)
        reader.join()


def test_after_a_kill_the_next_one_starts_and_shares_no_file(tmp_path: Path) -> None:
    port = str(free_port())
    with up(tmp_path / "data", "echo", "--port", port) as first:
        first.ready()
        valkey = first.child("valkey-server")
        os.kill(valkey, signal.SIGSTOP)
        first.process.kill()
        first.process.wait()
        with up(tmp_path / "data", "echo", "--port", port) as second:  # at once: the first gateway still has the port
            try:
                wait_for(lambda: "waiting for the end of the Valkey" in second.log, "the log line")
            finally:
                os.kill(valkey, signal.SIGCONT)
            assert second.ready() == f"http://127.0.0.1:{port}"


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    """And the supervisor looks around: the server's log stays short."""
    body = {"model": "echo", "prompt": "Hello"}

    def answers(url: str) -> bool:
        try:
            return httpx.post(f"{url}/v1/completions", json=body, timeout=20).status_code == 200
        except httpx.TransportError:
            return False

    with up(tmp_path / "data", "echo", "--port", "0") as started:
        url = started.ready()
        log = tmp_path / "data" / "valkey.log"
        with log.open("ab") as file:
            file.write(b"a line of the log\n" * 100_000 + b"the end\n")
        for count, title in enumerate(("inferq worker", "inferq gateway", "valkey-server"), start=1):
            old = started.child(title)
            os.kill(old, signal.SIGKILL)
            wait_for(lambda n=count: started.log.count("ended with signal SIGKILL") == n, "the log line")  # type: ignore[misc]  # mypy guesses no type of a default
            wait_for(lambda t=title: any(t in name for name in started.family().values()), "the new child")  # type: ignore[misc]  # mypy guesses no type of a default
            assert started.child(title) != old
            wait_for(lambda: answers(url), "an answer")
            if title == "inferq worker":
                wait_for(lambda: log.stat().st_size < 1 << 20, "the cut")
                assert b"log\nthe end\n" in log.read_bytes()


def test_a_damaged_end_of_the_queues_file_is_cut(tmp_path: Path) -> None:
    with up(tmp_path / "data", "echo", "--port", "0") as first:
        body = {"model": "echo", "prompt": "Hello"}
        assert httpx.post(f"{first.ready()}/v1/completions", json=body).status_code == 200
    [file] = (tmp_path / "data").glob("appendonlydir/*.incr.aof")
    with file.open("ab") as tail:
        tail.write(bytes(4096))
    with up(tmp_path / "data", "echo", "--port", "0") as second:
        second.ready()
        assert "damaged" in second.log
        [copy] = (tmp_path / "data").glob("damaged-*")
        assert (copy / file.name).read_bytes().endswith(bytes(4096))


def test_a_redis_of_ones_own_is_used_instead(tmp_path: Path, empty: Stack) -> None:
    own = {"INFERQ_REDIS_URL": str(empty.settings["redis_url"])}
    with up(tmp_path / "data", "echo", "--host", "0.0.0.0", "--port", "0", **own) as started:
        assert started.ready().startswith("http://127.0.0.1:")
        assert len(empty.workers()) == 1
        assert not any("valkey" in title for title in started.family().values())


def test_a_redis_that_does_not_answer_is_told(tmp_path: Path) -> None:
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    refused = Up(tmp_path / "data", "echo", "--port", "0", INFERQ_REDIS_URL=url)
    assert refused.finish() == (1, "")
    assert "INFERQ_REDIS_URL" in refused.log
    assert "secret" not in refused.log
