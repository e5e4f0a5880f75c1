"""`inferq batch`: a file of requests answered, at a gateway and without one."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.archive.archive import Archive
from gateway.batches.batch import Batch
from gateway.batches.open_batches import OpenBatches
from shared.config import Config
from tests.batches import nobody
from tests.calls import said
from tests.commands import environment, inferq
from tests.stack import Stack, wait_for
from tests.up import left, processes

CHATS = "/v1/chat/completions"
Start = Callable[..., subprocess.Popen[str]]


def request(name: object, text: str, **more: object) -> dict[str, Any]:
    return {
        "custom_id": f"{name}",
        "method": "POST",
        "url": CHATS,
        "body": {"model": "echo", "messages": said(text)} | more,
    }


def write(path: Path, requests: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in requests))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def begun(state: Path) -> str:
    """The id of a batch that was begun, as its folder says."""
    return str(json.loads(state.read_text())["batch"]) if state.exists() else ""


def names(path: Path) -> list[str]:
    return [each["custom_id"] for each in read(path)]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def at(stack: Stack) -> list[str]:
    return ["--url", str(stack.http().base_url)]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs a command, which does not outlive the test."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str | Path, stderr: int = subprocess.PIPE, **environ: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "inferq", *map(str, arguments)]
        how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, env=environment(**environ), stderr=stderr, **how))
        return running[-1]

    yield run
    for each in running:
        each.kill()
        each.communicate()


def test_a_gateway_answers_in_the_order_of_the_requests(tmp_path: Path, output: Path, at: list[str]) -> None:
    requests = [request(number, f"text {number}" + " long" * (number % 5)) for number in range(40)]
    requests[7]["body"]["temperature"] = requests[9]["body"]["temperature"] = "warm"
    file = write(tmp_path / "in.jsonl", requests)
    done = inferq("batch", "run", file, "-o", output, *at)
    assert done.returncode == 1
    begun, *told = done.stderr.splitlines()
    assert re.fullmatch(r"inferq: batch_\w+: [a-z ]+, \d+ of 40 answered, \d failed", begun)
    assert (done.stdout, told) == (
        "",
        [
            f"{output}: 38 answered, 2 failed",
            "  2 x Invalid type for 'temperature': expected a number, but got a string instead.",
        ],
    )
    found = read(output)
    assert names(output) == [f"{number}" for number in range(40)]
    assert [each["response"]["status_code"] for each in found] == [400 if n in (7, 9) else 200 for n in range(40)]
    assert found[4]["response"]["body"]["choices"][0]["message"]["content"] == "text 4 long long long long"
    assert not output.with_name("out.jsonl.batch").exists()
    again = inferq("batch", "run", file, "-o", output, *at)
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    errors = tmp_path / "errors.jsonl"
    assert inferq("batch", "run", file, "-o", output, "--force", "--errors", errors, *at).returncode == 1
    assert (names(errors), len(names(output))) == (["7", "9"], 38)


def test_batches_are_listed_and_cancelled(tmp_path: Path, output: Path, at: list[str], start: Start) -> None:
    file = write(tmp_path / "in.jsonl", [request("a", "a", model=nobody())])
    running = start("batch", "run", file, "-o", output, *at)
    state = tmp_path / "out.jsonl.batch" / "batch.json"
    batch_id = wait_for(lambda: begun(state), "the batch")
    assert inferq("batch", "cancel", batch_id, *at).stdout == f"{batch_id}: cancelling\n"
    listed = json.loads(inferq("batch", "list", "--json", *at).stdout)
    assert batch_id in [each["id"] for each in listed]
    assert batch_id in inferq("batch", "list", *at).stdout
    _, told = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "the batch cancelled: 0 answered, 1 failed" in told
    assert read(output)[0]["error"]["code"] == "batch_cancelled"


def test_what_goes_on_at_a_gateway_is_taken_up_again(tmp_path: Path, output: Path, at: list[str], start: Start) -> None:
    file = write(tmp_path / "in.jsonl", [request("a", "a", model=nobody()), request("b", "b")])
    running = start("batch", "run", file, "-o", output, *at)
    state = tmp_path / "out.jsonl.batch" / "batch.json"
    batch_id = wait_for(lambda: begun(state), "the batch")
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=30)
    assert running.returncode == 130
    assert f"{batch_id} goes on at" in told
    other = inferq("batch", "run", write(tmp_path / "other.jsonl", [request("c", "c")]), "-o", output, *at)
    assert (other.returncode, "to begin anew" in other.stderr) == (2, True)
    inferq("batch", "cancel", batch_id, *at)
    assert inferq("batch", "run", file, "-o", output, *at).returncode == 1
    assert (names(output), state.exists()) == (["a", "b"], False)


def test_a_terminal_has_a_progress_bar(tmp_path: Path, output: Path, at: list[str], start: Start) -> None:
    file = write(tmp_path / "in.jsonl", [request(number, "a b c") for number in range(10)])
    end, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, 120))
    running, shown = start("batch", "run", file, "-o", output, *at, stderr=inner), b""
    os.close(inner)
    with suppress(OSError):  # nobody has the other end any more
        while part := os.read(end, 65536):
            shown += part
    os.close(end)
    assert running.wait(30) == 0
    assert b"0 failed, " in shown
    assert b"tokens/s" in shown
    assert b"10 answered, 0 failed" in shown


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["{"], "line 1: This line is not parseable as valid JSON."),
        ([json.dumps(request("a", "a"))] * 2, "line 2: Line 1 has the same 'custom_id'"),
        ([json.dumps(request("a", "a") | {"url": "/v1/images"})], "batches go to /v1/chat/completions"),
        ([], "no request"),
        ([json.dumps(request("a", "a", model="other"))], "asks for the model 'other', not for 'echo'"),
    ],
)
def test_a_file_is_judged_before_anything_begins(tmp_path: Path, output: Path, lines: list[str], words: str) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("\n".join(lines))
    done = inferq("batch", "run", file, "-o", output, "-m", "echo")
    assert done.returncode == 2
    assert words in done.stderr
    assert sorted(tmp_path.iterdir()) == [file]


def test_what_is_missing_is_told(tmp_path: Path, output: Path, at: list[str]) -> None:
    file = write(tmp_path / "in.jsonl", [request("a", "a", model=None)])
    cases: list[tuple[list[str | Path], str]] = [
        ([tmp_path / "none.jsonl", "-o", output, *at], "No such file"),
        ([file, "-o", file, "--force", *at], "a file of its own"),
        ([file, "-o", output], "Give a model"),
        ([file, "-o", output, "-m", "none-such"], "none-such"),
        ([file, "-o", output, *at, "-m", "echo"], "leave it out"),
        ([file, "-o", tmp_path / "none" / "out.jsonl", *at], "cannot be written"),
    ]
    for arguments, words in cases:
        done = inferq("batch", "run", *arguments)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    away = inferq("batch", "run", file, "-o", output, "--url", "http://127.0.0.1:9")
    assert (away.returncode, "127.0.0.1:9" in away.stderr) == (1, True)
    assert sorted(tmp_path.iterdir()) == [file]


def test_without_a_gateway_it_goes_on_where_it_was(tmp_path: Path, output: Path, start: Start) -> None:
    """Killed, then interrupted, then run to its end: nothing is left running, and nothing is lost."""
    requests = [request(number, "one two three four five") for number in range(300)]
    file = write(tmp_path / "in.jsonl", requests)
    folder, batches, done = tmp_path / "out.jsonl.batch", set[str](), 0
    for number in (signal.SIGKILL, signal.SIGINT):
        running = start("batch", "run", file, "-o", output, INFERQ_ECHO_RATE="10")
        done = progress(folder, done)
        family = descendants(running.pid)
        assert len(family) >= 4
        running.send_signal(number)
        _, told = running.communicate(timeout=60)
        wait_for(partial(ended, family), "the end of all that was started", 30)
        batches.add(json.loads((folder / "batch.json").read_text())["batch"])
    assert (running.returncode, f"what is done is kept in {folder}" in told) == (130, True)
    last = inferq("batch", "run", file, "-o", output)
    assert (last.returncode, last.stderr.splitlines()[1:]) == (0, [f"{output}: 300 answered, 0 failed"])
    assert names(output) == [f"{number}" for number in range(300)]
    assert len(batches) == 1
    assert sorted(tmp_path.iterdir()) == [file, output]


def progress(folder: Path, before: int) -> int:
    """How many requests have ended of the batch that runs in a folder, once they are more than before."""

    archive = Archive.open(Config(archive=str(folder / "archive")))

    def look() -> int:
        return sum(done for thing in OpenBatches(archive).find() if (done := Batch.of(thing).completed) > before)

    found = wait_for(look, "some answers", 60)
    assert isinstance(found, int)
    return found


def ended(family: dict[int, str]) -> bool:
    return not left(family)


def descendants(pid: int) -> dict[int, str]:
    """Of a process, with their titles."""
    table, found, parents = processes(), dict[int, str](), {pid}
    while parents:
        parents = {each for each, (parent, _, _) in table.items() if parent in parents} - found.keys()
        found |= {each: table[each][2] for each in parents}
    return found
