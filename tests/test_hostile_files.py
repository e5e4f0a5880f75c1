"""What others have put where a file is looked for, and what they have written into it to steer a terminal."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gguf
import numpy as np
import pytest

from gateway.keys import Keys
from inferq import data_dir, status
from inferq.errors import NotRunning, StartError
from inferq.tools.options import template
from shared import catalogue
from shared.config import Config, ConfigError
from shared.errors import InferqError, InvalidRequest, ModelFileError
from shared.file_lock import FileLock
from shared.regular_file import read_bytes, read_text
from shared.scratch import Scratch
from shared.whole_file import write_whole
from tests.commands import environment, inferq
from worker import chat_formats
from worker.formats.checkpoint import convert
from worker.formats.description import describe
from worker.formats.gguf import read_header
from worker.formats.repack import provide_gguf

ROOT = Path(__file__).parent.parent
STEERING = "\x1b[2J\x1b]0;title\x07\x9b31m\r\x08\x7f\u202eback\u2066"
HARMLESS = "[2J]0;title31mback"
CRAFT = "é \t中 \u200d🏳️\n"
"""What is to stay as it is."""

READERS: dict[str, tuple[Callable[[Path], object], type[InferqError]]] = {
    "keys": (lambda path: Keys(f"@{path}"), ConfigError),
    "models.toml": (lambda path: catalogue.list_models(str(path)), ConfigError),
    "model": (lambda path: catalogue.resolve(str(path)), ModelFileError),
    "chat format": (lambda path: chat_formats.template(str(path)), ConfigError),
    "prompt": (template, InvalidRequest),
    "info": (describe, ModelFileError),
    "gguf": (read_header, ModelFileError),
    "legacy": (provide_gguf, ModelFileError),
    "checkpoint": (lambda path: convert(path.parent, path.parent / "out"), ModelFileError),
    "redis.url": (lambda path: status.place(path.parent, Config()), NotRunning),
    "up.lock": (lambda path: data_dir.hold(path.parent).__enter__(), StartError),
}
NAMES = {"checkpoint": "config.json", "redis.url": "redis.url", "up.lock": "up.lock"}


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def make_huge(path: Path) -> None:
    """10 GB, of which the disk holds nothing."""
    with path.open("wb") as file:
        file.truncate(10 << 30)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("put", [make_pipe, link_to_zeros, Path.mkdir, link_to_itself, make_huge])
def test_what_is_no_small_file_is_refused_at_once(tmp_path: Path, reader: str, put: Callable[[Path], None]) -> None:
    if (reader, put) == ("up.lock", make_huge):
        pytest.skip("a lock has any length")
    if (reader, put) == ("models.toml", Path.mkdir):
        pytest.skip("a folder of models is one, too")
    path = tmp_path / NAMES.get(reader, "file")
    put(path)
    read, refusal = READERS[reader]
    with pytest.raises(refusal) as error:
        read(path)
    assert path.name in str(error.value)


@pytest.mark.timeout(30)
def test_a_pipe_in_place_of_a_lock_or_a_leftover_holds_up_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(OSError, match="this is a named pipe, not a file"):
        FileLock(tmp_path / "lock")
    os.mkfifo(tmp_path / ".target.0.part")
    (tmp_path / ".target.1.part").touch()
    with write_whole(tmp_path / "target") as part:
        part.write_text("whole")
    assert not (tmp_path / ".target.1.part").exists()
    os.mkfifo(tmp_path / "scratch-pipe")
    Scratch("scratch-", tmp_path).remove()
    os.mkfifo(keys := tmp_path / "keys")
    with pytest.raises(ConfigError, match="named pipe"):
        Keys(f"@{keys}")


def test_a_prompt_without_an_end_is_refused() -> None:
    for command in ("infer", "tokens"):
        with Path("/dev/zero").open("rb") as zeros:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "inferq", command, "-m", "echo"],
                stdin=zeros, env=environment(), capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert "stdin: longer than 16777216 characters" in done.stderr


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    with pytest.raises(ConfigError, match="set HOME, or XDG_CONFIG_HOME"):
        catalogue.list_models()


def test_what_the_shell_hands_over_is_read(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"a\r\nb")
    os.close(write)
    assert read_text(Path(f"/dev/fd/{read}")) == "a\nb"
    os.close(read)
    file = tmp_path / "file"
    file.write_bytes(bytes(11))
    assert read_bytes(file, 11) == bytes(11)
    with pytest.raises(OSError, match="longer than 10 bytes"):
        read_bytes(file, 10)


def at_terminal(*arguments: str, given: str = "") -> str:
    """What a terminal is sent by a command, but for its own lines of status."""
    end, inner = pty.openpty()
    command = [sys.executable, "-P", "-m", "inferq", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=inner, stderr=inner, env=environment()) as child:
        os.close(inner)
        assert child.stdin
        child.stdin.write(given.encode())
        child.stdin.close()
        sent = b""
        while piece := _read(end):
            sent += piece
        child.wait(20)
    os.close(end)
    return re.sub(r"\r\x1b\[K(loading echo)?", "", sent.decode().replace("\r\n", "\n"))


def _read(end: int) -> bytes:
    try:
        return os.read(end, 65536)
    except OSError:  # Linux says so where nobody writes any more
        return b""


def test_a_models_text_does_not_steer_the_terminal() -> None:
    command = ("infer", "-m", "echo", "-p", STEERING + CRAFT, "-n", "100")
    shown = at_terminal(*command)
    assert shown == (HARMLESS + CRAFT) * 2 + "\n"
    assert inferq(*command).stdout.count("\x1b[2J\x1b]0;title\x07\x9b31m") == 2, "a pipe gets another text"


def test_what_a_file_says_does_not_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / f"{STEERING.replace('/', '')}.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(STEERING)
    writer.add_chat_template(STEERING)
    writer.add_token_list([STEERING.encode()])
    writer.add_tensor(STEERING, np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for command in (
        ("info", str(path)),
        ("info", "--tensors", "--tokens", str(path)),
        ("infer", "-m", str(path), "-p", "x"),
    ):
        shown = at_terminal(*command)
        assert "title" in shown, "the attack hit nothing"
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown), shown


def test_a_gateways_refusal_does_not_steer_the_terminal() -> None:
    class Refusal(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # http.server's name
            body = json.dumps({"error": {"message": STEERING}}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            shown = at_terminal("repl", "--url", url, "-m", "x", given="hello\n")
        finally:
            server.shutdown()
            thread.join()
    assert shown == f"inferq: {url}: {HARMLESS}\n"


def test_everything_is_printed_by_what_knows_terminals() -> None:
    """A print elsewhere would let through what others have chosen."""
    for path in (ROOT / "inferq").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("click.echo", "print", "sys.stdout.write"):
                assert path.name == "terminal.py", f"{path}:{node.lineno}"
