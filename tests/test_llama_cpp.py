"""The llama.cpp engine with a tiny model: real xllamacpp, real host processes, real faults."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from shared.catalogue import Model
from shared.config import Config
from shared.errors import (
    ContextLengthExceeded,
    EngineError,
    InvalidRequest,
    JobCancelled,
    ModelFileError,
    ModelLoadError,
)
from shared.protocol import Chat, Completion, Delta, Done, Event, Message, Progress, Prompt, Sampling, Task
from tests.answers import Running, finish, text, tokens
from worker.engines import UNTOLD
from worker.engines.llama_cpp import LlamaCppEngine

FIXTURES = Path(__file__).parent / "fixtures"
TINY = FIXTURES / "tiny-llama.gguf"
REFERENCE = json.loads((FIXTURES / "tiny-llama.json").read_text())
CONTEXT = 256
ONE_TOKEN = "!"
"""A text whose n repetitions are n tokens of the tiny model."""


def tiny(path: Path) -> Model:
    return Model("tiny", "", path, "llama.cpp", None)


def greedy(prompt: Prompt, max_tokens: int | None = None, stop: tuple[str, ...] = ()) -> Completion:
    sampling = Sampling(seed=1, max_tokens=max_tokens, temperature=0.0, stop=stop, ignore_eos=True)
    return Completion("tiny", (prompt,), sampling)


def chat(*messages: tuple[str, str]) -> Chat:
    turns = tuple(Message(role, content) for role, content in messages)  # type: ignore[arg-type]  # str for Literal
    return Chat("tiny", turns, Sampling(seed=1, max_tokens=1, temperature=0.0))


def answer(engine: LlamaCppEngine, task: Task) -> list[Event]:
    return list(engine.run(task, Running()))


def in_threads(*jobs: Callable[[], None]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def gone(pid: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # dead, and only waiting for whoever inherited it
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def host_of(engine: LlamaCppEngine) -> int:
    assert engine.host_pid is not None
    return engine.host_pid


@contextlib.contextmanager
def loaded(path: Path = TINY, slots: int = 1) -> Iterator[LlamaCppEngine]:
    engine = LlamaCppEngine(tiny(path), Config(slots=slots, threads=1))
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppEngine]:
    with loaded(slots=4) as engine:
        yield engine


@pytest.fixture
def single() -> Iterator[LlamaCppEngine]:
    """One slot, so that what keeps it busy keeps everybody waiting."""
    with loaded() as engine:
        yield engine


def test_the_card_tells_what_the_file_and_the_server_say(engine: LlamaCppEngine) -> None:
    card = engine.card
    assert (card.id, card.engine, card.architecture) == ("tiny", "llama.cpp", "llama")
    assert (card.context, card.slots, card.created) == (CONTEXT, 4, int(TINY.stat().st_mtime))
    assert card.capabilities == ("completion", "continue", "chat")


def test_greedy_tokens_are_those_of_transformers(single: LlamaCppEngine) -> None:
    wanted: list[int] = REFERENCE["greedy"]
    events = answer(single, greedy(REFERENCE["prompt"], len(wanted)))
    reason, done = finish(events)
    assert reason == "length"
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (len(REFERENCE["ids"]), len(wanted))
    assert done.timings is not None
    told = tokens(events)
    assert len(told) == len(wanted)
    assert all(token in (expected, UNTOLD) for token, expected in zip(told, wanted, strict=True))
    assert told.count(UNTOLD) < len(wanted) / 2
    assert not any(isinstance(event, Progress) for event in events)  # one step reads it all

    again = finish(answer(single, greedy(REFERENCE["prompt"], 1)))[1]
    assert again.usage.cached_tokens > 0


def test_token_ids_are_the_same_prompt(engine: LlamaCppEngine) -> None:
    ids = tuple(REFERENCE["ids"])
    assert text(answer(engine, greedy(ids, 16))) == text(answer(engine, greedy(REFERENCE["prompt"], 16)))
    with pytest.raises(InvalidRequest, match="512 is no token") as refused:
        answer(engine, greedy((1, 512, 3), 1))
    assert refused.value.param == "prompt"


def test_best_of_asks_for_log_probabilities(engine: LlamaCppEngine) -> None:
    task = replace(greedy(REFERENCE["prompt"], 4), best_of=2)
    told = [event.logprob for event in answer(engine, task) if isinstance(event, Delta) and event.tokens]
    assert told
    assert all(logprob is not None and logprob <= 0 for logprob in told)
    assert any(logprob for logprob in told)


def test_a_seed_decides_the_text(engine: LlamaCppEngine) -> None:
    def drawn(seed: int, temperature: float | None) -> str:
        sampling = Sampling(seed=seed, max_tokens=30, temperature=temperature, ignore_eos=True)
        return text(answer(engine, Completion("tiny", ("a",), sampling)))

    assert drawn(7, 1.0) == drawn(7, 1.0) != drawn(8, 1.0)
    assert drawn(7, None) == drawn(7, 0.5) != drawn(7, 1.0), "the file recommends a temperature of 0.5"


def test_a_chat_is_rendered_with_one_bos_whoever_adds_it(single: LlamaCppEngine, tmp_path: Path) -> None:
    task = chat(("user", "hi"))
    by_template = finish(answer(single, task))[1].usage.prompt_tokens
    key = b"tokenizer.ggml.add_bos_token\x07\x00\x00\x00"
    content = TINY.read_bytes()
    assert key + b"\0" in content
    path = tmp_path / "bos.gguf"
    path.write_bytes(content.replace(key + b"\0", key + b"\1"))
    with loaded(path) as adding:
        assert finish(answer(adding, task))[1].usage.prompt_tokens == by_template
        plain = greedy(ONE_TOKEN, 1)
        assert finish(answer(adding, plain))[1].usage.prompt_tokens == 2
    assert finish(answer(single, plain))[1].usage.prompt_tokens == 1


def test_what_the_template_refuses_is_an_invalid_request(engine: LlamaCppEngine) -> None:
    with pytest.raises(InvalidRequest, match="a system message must come first") as refusal:
        answer(engine, chat(("user", "hi"), ("system", "late")))
    assert refusal.value.param == "messages"


def test_an_empty_prompt_begins_with_bos(engine: LlamaCppEngine) -> None:
    assert finish(answer(engine, greedy("", 1)))[1].usage.prompt_tokens == 1


@pytest.mark.parametrize("size", [CONTEXT, CONTEXT + 1, 5 * CONTEXT])
def test_a_prompt_that_fills_the_context_is_refused_with_both_numbers(engine: LlamaCppEngine, size: int) -> None:
    with pytest.raises(ContextLengthExceeded, match=f"{CONTEXT} tokens, but the prompt has {size} tokens") as refusal:
        answer(engine, greedy(ONE_TOKEN * size))
    assert refusal.value.param == "prompt"
    with pytest.raises(ContextLengthExceeded) as refusal:
        answer(engine, chat(("user", ONE_TOKEN * size)))
    assert refusal.value.param == "messages"


def test_an_answer_ends_where_the_context_does(engine: LlamaCppEngine) -> None:
    reason, done = finish(answer(engine, greedy(ONE_TOKEN * (CONTEXT - 1))))
    assert (reason, done.usage.prompt_tokens, done.usage.completion_tokens) == ("length", CONTEXT - 1, 1)


def test_a_stop_string_ends_the_text_before_it(engine: LlamaCppEngine) -> None:
    whole = text(answer(engine, greedy(REFERENCE["prompt"], 4)))
    events = answer(engine, greedy(REFERENCE["prompt"], 16, stop=(whole[3:5],)))
    assert (text(events), finish(events)[0]) == (whole[:3], "stop")


def test_the_beginning_of_a_stop_string_is_not_lost_at_the_limit(engine: LlamaCppEngine) -> None:
    whole = text(answer(engine, greedy(REFERENCE["prompt"], 2)))
    events = answer(engine, greedy(REFERENCE["prompt"], 2, stop=(whole[1:] + "…",)))
    assert (text(events), finish(events)[0]) == (whole, "length")


def test_two_streams_run_at_once(engine: LlamaCppEngine) -> None:
    meeting = threading.Barrier(2, timeout=30)

    def stream() -> None:
        events = engine.run(greedy(REFERENCE["prompt"], 60), Running())
        first = [next(events) for _ in range(3)]
        meeting.wait()  # neither can get here if one waits for the end of the other
        assert finish([*first, *events])[1].usage.completion_tokens == 60
        ended.append(True)

    ended: list[bool] = []
    in_threads(stream, stream)
    assert len(ended) == 2


def test_runs_that_do_not_fit_together_are_all_answered(engine: LlamaCppEngine) -> None:
    def run(size: int) -> None:
        done.append(finish(answer(engine, greedy(ONE_TOKEN * size, 100)))[1])

    done: list[Done] = []
    in_threads(*(lambda size=size: run(size) for size in (20, 40, 60, 80)))
    assert sorted(d.usage.prompt_tokens for d in done) == [20, 40, 60, 80]
    assert [d.usage.completion_tokens for d in done] == [100] * 4
    assert None in [d.timings for d in done], "nobody had to make room: this tested nothing"


def test_runs_are_answered_when_one_of_them_is_read_late(engine: LlamaCppEngine) -> None:
    events = engine.run(greedy(ONE_TOKEN * 20, 150), Running())
    first = [next(events) for _ in range(3)]  # it goes on in llama.cpp, unseen, until the cells run out

    def run() -> None:
        meanwhile = engine.run(greedy(ONE_TOKEN * 100, 100), Running())
        head = [next(meanwhile) for _ in range(3)]
        begun.set()
        used.append(finish([*head, *meanwhile])[1].usage.completion_tokens)

    begun, used = threading.Event(), list[int]()
    other = threading.Thread(target=run)
    other.start()
    assert begun.wait(30)
    # A text that is read again may take more tokens than when it was made, and fill the context before its time.
    assert 100 < finish([*first, *events])[1].usage.completion_tokens <= 150
    other.join(30)
    assert 50 < used[0] <= 100


@pytest.mark.parametrize("moment", [Progress, Delta])
def test_cancelling_frees_the_slot(single: LlamaCppEngine, moment: type) -> None:
    execution = Running()
    seen: list[Event] = []

    def run() -> None:
        for event in single.run(greedy(ONE_TOKEN * 200), execution):
            seen.append(event)
            if isinstance(event, moment):
                execution.cancel()

    with pytest.raises(JobCancelled):
        run()
    assert isinstance(seen[-1], moment)
    assert finish(answer(single, greedy("a", 5)))[1].usage.completion_tokens == 5


def test_cancelling_wakes_a_run_that_waits_for_the_engine(single: LlamaCppEngine) -> None:
    execution, ended = Running(), threading.Event()
    events = single.run(greedy("a"), execution)
    next(events)

    def read() -> None:
        with contextlib.suppress(JobCancelled):
            list(events)
            return
        ended.set()

    os.kill(host_of(single), signal.SIGSTOP)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        execution.cancel()
        assert ended.wait(20)
    finally:
        os.kill(host_of(single), signal.SIGCONT)
        reader.join()


def test_a_killed_host_fails_its_runs_and_is_started_again() -> None:
    with loaded(slots=2) as engine:
        before = host_of(engine)
        runs = [engine.run(greedy("a"), Running()) for _ in range(2)]
        for events in runs:
            next(events)
        os.kill(before, signal.SIGSTOP)  # so that neither can end before the kill
        os.kill(before, signal.SIGKILL)
        for events in runs:
            with pytest.raises(EngineError, match=r"(?s)killed by SIGKILL; its log ends:.*loading .*tiny-llama"):
                list(events)
        assert finish(answer(engine, greedy("a", 5)))[1].usage.completion_tokens == 5
        assert host_of(engine) != before


def test_a_truncated_file_is_refused_without_a_host(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(TINY.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="truncated"):
        LlamaCppEngine(tiny(path), Config())


def test_what_llama_cpp_refuses_is_told_with_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    path = tmp_path / "model.gguf"
    path.write_bytes(TINY.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lxxma", 1))
    with pytest.raises(ModelLoadError, match=r"(?s)ended with status 1 .*its log ends:.*lxxma"):
        LlamaCppEngine(tiny(path), Config())
    assert not list(private.iterdir())


def test_closing_ends_the_host_and_removes_its_directory(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(short))
    with loaded() as engine:
        (directory,) = short.iterdir()
        assert directory.stat().st_mode & 0o777 == 0o700
        pid = host_of(engine)
    assert gone(pid, within=0.1)
    assert not list(short.iterdir())
    with pytest.raises(EngineError, match="closed"):
        answer(engine, greedy("a", 1))


def test_the_host_leaves_stopping_to_the_worker(single: LlamaCppEngine) -> None:
    before = host_of(single)
    events = single.run(greedy("a", 20), Running())
    next(events)
    for stop in (signal.SIGINT, signal.SIGTERM):  # as Ctrl-C and `systemctl stop` send them to the whole group
        os.kill(before, stop)
    assert finish(list(events))[1].usage.completion_tokens == 20
    assert host_of(single) == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the title from /proc")
def test_the_host_is_named_after_the_model(single: LlamaCppEngine) -> None:
    assert Path(f"/proc/{host_of(single)}/cmdline").read_bytes().startswith(b"inferq engine tiny\0")


def test_it_loads_in_a_thread_that_ends_before_it_is_used() -> None:
    def load() -> None:
        engines.append(LlamaCppEngine(tiny(TINY), Config(slots=1, threads=1)))

    engines: list[LlamaCppEngine] = []
    in_threads(load)
    time.sleep(1.2)  # a lifeline tied to that thread would have ended the host by now
    with contextlib.closing(engines[0]) as engine:
        before = host_of(engine)
        assert finish(answer(engine, greedy("a", 1)))[1].usage.completion_tokens == 1
        assert host_of(engine) == before


PARENT = """
import sys, time
from pathlib import Path
from shared.catalogue import Model
from shared.config import Config
from worker.engines.llama_cpp import LlamaCppEngine
model = Model("tiny", "", Path(sys.argv[1]), "llama.cpp", None)
print(LlamaCppEngine(model, Config(slots=1, threads=1)).host_pid, flush=True)
time.sleep(60)
"""


def test_the_host_ends_with_its_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", PARENT, str(TINY)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # nobody is left to remove the directory
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        host = int(parent.stdout.readline())
        parent.kill()
    assert gone(host, within=3)


CHILD = """
import ctypes, os
from shared.lifeline import {lifeline}
{lifeline}({argument})
os.write(1, b"ready\\n")
{wait}
"""
DEAF = "ctypes.PyDLL(None).sleep(60)"  # native code that keeps the interpreter from running, as a loading model does
FORK = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-P", "-c", sys.argv[1]], stdin=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "child",
    [
        CHILD.format(lifeline="die_with_parent", argument="", wait="import time; time.sleep(60)"),
        pytest.param(
            CHILD.format(lifeline="die_at_eof", argument="0", wait=DEAF),
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the end of a pipe"),
        ),
    ],
    ids=["die_with_parent", "die_at_eof"],
)
def test_a_lifeline_ends_a_child_whose_parent_was_killed(child: str) -> None:
    with subprocess.Popen([sys.executable, "-P", "-c", FORK, child], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        lines = sorted(parent.stdout.readline().strip() for _ in range(2))
        assert lines[1] == b"ready"
        parent.kill()
        assert gone(int(lines[0]), within=3)
