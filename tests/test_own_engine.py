"""A `llama-server` of the user's own. `LLAMA_SERVER` names a real one; else a program stands in for it that takes the
same flags, and has the library that comes along serve."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from shared.cancellation import NEVER
from shared.catalogue import Model
from shared.config import Config
from shared.errors import ModelLoadError
from shared.protocol import Completion, Sampling
from tests.answers import finish, text
from tests.stack import gone, wait_for
from tests.tiny import TINY, tiny
from tests.up import processes
from worker.engines import host, own_engine
from worker.engines.llama_cpp import LlamaCppEngine

REAL = os.environ.get("LLAMA_SERVER", "")
STAND_IN = """#!{python}
import os, signal, sys
import xllamacpp

if sys.argv[1:] == ["--help"]:
    print({knows!r})
    sys.exit()
words = iter(sys.argv[1:])
given = {{}}
switches = {{"--kv-unified", "--check-tensors", "--jinja", "--slots"}}
for word in words:
    given[word] = "" if word.startswith("--no-") or word in switches else next(words)
options = xllamacpp.CommonParams()
options.model.path = given["--model"]
options.hostnames = [given["--host"]]
options.api_keys = [os.environ["LLAMA_API_KEY"]]
options.n_ctx, options.n_parallel = int(given["--ctx-size"]), int(given["--parallel"])
options.kv_unified = "--kv-unified" in given
options.n_batch, options.n_ubatch = int(given["--batch-size"]), int(given["--ubatch-size"])
options.cpuparams.n_threads = int(given["--threads"])
options.cpuparams_batch.n_threads = int(given["--threads-batch"])
options.slot_save_path = given["--slot-save-path"]
options.prefill_assistant = False
{spoil}
server = xllamacpp.Server(options)
while server:
    signal.pause()
"""


KNOWS = """
-m,    --model FNAME      where the weights are
-np,   --parallel N       --host H --ctx-size N --batch-size N --ubatch-size N --threads N --threads-batch N
--cache-ram N --slot-save-path PATH --flash-attn F --kv-unified --no-cache-idle-slots --check-tensors
--no-prefill-assistant --no-webui --jinja --no-slots
"""
MUTE = """
import time
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

class Mute(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))  # or its sender finds it closed
        if self.path == "/props":
            time.sleep(60)
        self.send_response(200)
        self.end_headers()

    do_POST = do_GET
    log_message = print

ThreadingUnixStreamServer(given["--host"], Mute).serve_forever()
"""


LACKING = """
import json
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

ANSWERS = {{
    "/props": {{"chat_template_caps": {{}}, "default_generation_settings": {{"n_ctx": 512}}, "total_slots": 2}},
    "/tokenize": {{"tokens": [1]}},
    "/lora-adapters": [],
    "/slots/0?action=erase": {{"n_erased": 0}},
    "/apply-template": {{"prompt": ""}},
    "/completion": {{}},
    "/health": {{}},
}}
del ANSWERS[{path!r}]

class Lacking(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = ANSWERS.get(self.path, {{"error": {{"message": "File Not Found"}}}})
        self.send_response(200 if self.path in ANSWERS else 404)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    do_POST = do_GET
    log_message = print

ThreadingUnixStreamServer(given["--host"], Lacking).serve_forever()
"""


def stand_in(folder: Path, spoil: str = "", knows: str = KNOWS) -> Path:
    program = folder / "llama-server"
    program.write_text(STAND_IN.format(python=sys.executable, spoil=spoil, knows=knows))
    program.chmod(0o755)
    return program


def load(program: Path | str, path: Path = TINY) -> LlamaCppEngine:
    config = Config(slots=2, threads=1, llama_server=str(program))
    return LlamaCppEngine(Model("tiny", "", path, "llama.cpp", None), config)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppEngine]:
    with closing(load(REAL or stand_in(tmp_path_factory.mktemp("own")))) as engine:
        yield engine


TASK = Completion(model="tiny", prompt=("Once upon a time",), sampling=Sampling(temperature=0, max_tokens=12, seed=1))


def test_it_answers_as_the_one_that_comes_along(own: LlamaCppEngine, single: LlamaCppEngine) -> None:
    events = list(own.run(TASK, NEVER))
    assert finish(events)[0] == "length"
    assert text(events) == text(list(single.run(TASK, NEVER)))


@pytest.mark.skipif(not REAL, reason="LLAMA_SERVER names no real one, and the stand-in guesses nothing")
@pytest.mark.parametrize(
    ("draft", "settings"), [(TINY, {}), (None, {"speculation": "ngram"}), (None, {"kv_cache": "q8_0"})]
)
def test_it_guesses_and_remembers_as_the_one_that_comes_along(draft: Path | None, settings: dict[str, str]) -> None:
    texts = []
    for program in ("", REAL):
        model, config = tiny(draft=draft), Config(slots=2, threads=1, llama_server=program)
        with closing(LlamaCppEngine(model, replace(config, **settings))) as engine:  # type: ignore[arg-type]  # texts
            texts.append(text(list(engine.run(TASK, NEVER))))
    assert texts[0] == texts[1]


def test_its_key_stands_in_no_list_of_processes(own: LlamaCppEngine) -> None:
    assert own.host_pid is not None
    (program,) = _children(own.host_pid)
    command = Path(f"/proc/{program}/cmdline").read_bytes()
    assert b"--host" in command
    assert b"key" not in command


def test_its_death_is_survived_and_it_leaves_nothing_behind(own: LlamaCppEngine) -> None:
    host = own.host_pid
    assert host is not None
    (program,) = _children(host)
    os.kill(program, 9)
    wait_for(lambda: own.host_pid != host and not own.trouble, "the next life")
    assert text(list(own.run(TASK, NEVER)))
    host = own.host_pid
    assert host is not None
    (program,) = _children(host)
    os.kill(host, 9)
    assert gone(program, 10)


@pytest.mark.parametrize(
    ("program", "reason"),
    [("/nowhere/llama-server", "No such file"), ("/usr", "folder"), (str(TINY), "no program")],
)
def test_what_is_no_program_is_refused(program: str, reason: str) -> None:
    with pytest.raises(ModelLoadError, match=reason) as refused:
        load(program)
    assert "INFERQ_LLAMA_SERVER" in str(refused.value)


def test_one_that_ends_at_once_is_told_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="unknown flag"):
        load(stand_in(tmp_path, "sys.exit('unknown flag')"))


def test_one_that_does_not_know_what_it_is_told_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="does not know --kv-unified: take a llama-server"):
        load(stand_in(tmp_path, knows=KNOWS.replace("--kv-unified", "--kv-unified-per-slot")))


def test_another_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="is no llama-server"):
        load("/bin/ls" if Path("/bin/ls").exists() else stand_in(tmp_path, knows="Usage: ls"))


def test_one_for_another_processor_is_refused(tmp_path: Path) -> None:
    (program := tmp_path / "llama-server").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(11) + b"\xff\xfe" + bytes(100))
    program.chmod(0o755)
    with pytest.raises(ModelLoadError, match="another kind of processor"):
        load(program)


def test_one_that_does_not_answer_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_engine, "PATIENCE", 0.5)
    with pytest.raises(ModelLoadError, match="/props was not answered within"):
        load(stand_in(tmp_path, MUTE))


@pytest.mark.parametrize("path", ["/props", "/tokenize", "/lora-adapters", "/slots/0?action=erase", "/apply-template"])
def test_one_of_another_version_that_lacks_an_endpoint_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ModelLoadError, match=rf"{re.escape(path)} answers otherwise \(.*File Not Found"):
        load(stand_in(tmp_path, LACKING.format(path=path)))


def test_one_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="inferq's own"):
        load(stand_in(tmp_path, "options.rope_freq_scale = 8.0"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/nowhere/python\n", "or what starts it: a loader"),
        ("#!{python}\nimport sys\nwhile True: sys.stdout.write('--model ' * 9999)\n", "--help did not end"),
    ],
)
def test_one_that_cannot_be_started_or_tells_without_end_is_told_in_a_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    (program := tmp_path / "llama-server").write_text(text.format(python=sys.executable))
    program.chmod(0o755)
    with pytest.raises(ModelLoadError, match=reason):
        load(program)


def test_what_it_leaves_behind_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has started holds the pipe on which it says how it is used."""
    monkeypatch.setattr(host, "_PATIENCE", 60.0)
    program = stand_in(tmp_path)
    leaves = "    sys.stdout.flush()\n    os.fork() or signal.pause()\n    os._exit(0)\n"
    program.write_text(program.read_text().replace("    sys.exit()\n", leaves))
    with closing(load(program)) as engine:
        assert text(list(engine.run(TASK, NEVER)))
    assert not [title for _, _, title in processes().values() if str(program) in title]


def test_one_that_runs_and_never_listens_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_engine, "OPENING", 1)
    with pytest.raises(ModelLoadError, match="has not answered /health for 1 s"):
        load(stand_in(tmp_path, "signal.pause()"))


def test_it_starts_no_other_program(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"Permission denied|not permitted"):
        load(stand_in(tmp_path, "os.execv('/bin/true', ['true'])"))


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in listed]
