"""The llama.cpp engine with a tiny model: real xllamacpp, real host processes, real faults."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.cancellation import Cancellable
from shared.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    JobCancelled,
)
from shared.protocol import Chat, Completion, Delta, Done, Event, Message, Progress, Sampling
from tests.answers import Running, finish, host_of, run, text, tokens
from tests.tiny import REFERENCE, TINY, greedy, loaded
from worker.engines import UNTOLD
from worker.engines.llama_cpp import LlamaCppEngine
from worker.engines.llama_cpp_server import LlamaServer

CONTEXT = 256
ONE_TOKEN = "!"
"""A text whose n repetitions are n tokens of the tiny model."""


def chat(*messages: tuple[str, str]) -> Chat:
    turns = tuple(Message(role, content) for role, content in messages)  # type: ignore[arg-type]  # str for Literal
    return Chat("tiny", turns, Sampling(seed=1, max_tokens=1, temperature=0.0))


def in_threads(*jobs: Callable[[], None]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppEngine]:
    with loaded(slots=4) as engine:
        yield engine


def test_the_card_tells_what_the_file_and_the_server_say(engine: LlamaCppEngine) -> None:
    card = engine.card
    assert (card.id, card.engine, card.architecture) == ("tiny", "llama.cpp", "llama")
    assert (card.context, card.slots, card.created) == (CONTEXT, 4, int(TINY.stat().st_mtime))
    assert card.capabilities == ("completion", "chat", "tools")


def test_greedy_tokens_are_those_of_transformers(single: LlamaCppEngine) -> None:
    wanted: list[int] = REFERENCE["greedy"]
    events = run(single, greedy(REFERENCE["prompt"], len(wanted)))
    reason, done = finish(events)
    assert reason == "length"
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (len(REFERENCE["ids"]), len(wanted))
    assert done.timings is not None
    told = tokens(events)
    assert len(told) == len(wanted)
    assert all(token in (expected, UNTOLD) for token, expected in zip(told, wanted, strict=True))
    assert told.count(UNTOLD) < len(wanted) / 2
    assert not any(isinstance(event, Progress) for event in events)  # one step reads it all

    again = finish(run(single, greedy(REFERENCE["prompt"], 1)))[1]
    assert again.usage.cached_tokens > 0


def test_an_answer_without_text_has_been_measured_too(single: LlamaCppEngine) -> None:
    half, *_ = single.tokenize("é")
    sampling = Sampling(seed=1, max_tokens=1, temperature=0.0, ignore_eos=True, logit_bias=((half, 1000.0),))
    events = run(single, Completion("tiny", ("one two three",), sampling))
    assert text(events) == ""
    done = finish(events)[1]
    assert done.usage.completion_tokens == 1
    assert done.timings is not None
    assert done.timings.prompt_ms > 0


def test_token_ids_are_the_same_prompt(engine: LlamaCppEngine) -> None:
    ids = tuple(REFERENCE["ids"])
    assert text(run(engine, greedy(ids, 16))) == text(run(engine, greedy(REFERENCE["prompt"], 16)))
    with pytest.raises(InvalidRequest, match="512 is no token") as refused:
        run(engine, greedy((1, 512, 3), 1))
    assert refused.value.param == "prompt"


def test_a_seed_decides_the_text(engine: LlamaCppEngine) -> None:
    def drawn(seed: int, temperature: float | None) -> str:
        sampling = Sampling(seed=seed, max_tokens=30, temperature=temperature, ignore_eos=True)
        return text(run(engine, Completion("tiny", ("a",), sampling)))

    assert drawn(7, 1.0) == drawn(7, 1.0) != drawn(8, 1.0)
    assert drawn(7, None) == drawn(7, 0.5) != drawn(7, 1.0), "the file recommends a temperature of 0.5"


def test_a_chat_is_rendered_with_one_bos_whoever_adds_it(single: LlamaCppEngine, tmp_path: Path) -> None:
    task = chat(("user", "hi"))
    by_template = finish(run(single, task))[1].usage.prompt_tokens
    key = b"tokenizer.ggml.add_bos_token\x07\x00\x00\x00"
    content = TINY.read_bytes()
    assert key + b"\0" in content
    path = tmp_path / "bos.gguf"
    path.write_bytes(content.replace(key + b"\0", key + b"\1"))
    with loaded(path) as adding:
        assert finish(run(adding, task))[1].usage.prompt_tokens == by_template
        plain = greedy(ONE_TOKEN, 1)
        assert finish(run(adding, plain))[1].usage.prompt_tokens == 2
    assert finish(run(single, plain))[1].usage.prompt_tokens == 1


def test_what_the_template_refuses_is_an_invalid_request(engine: LlamaCppEngine) -> None:
    with pytest.raises(InvalidRequest, match="a system message must come first") as refusal:
        run(engine, chat(("user", "hi"), ("system", "late")))
    assert refusal.value.param == "messages"


def test_an_empty_prompt_begins_with_bos(engine: LlamaCppEngine) -> None:
    assert finish(run(engine, greedy("", 1)))[1].usage.prompt_tokens == 1


@pytest.mark.parametrize("size", [CONTEXT, CONTEXT + 1, 5 * CONTEXT])
def test_a_prompt_that_fills_the_context_is_refused_with_both_numbers(engine: LlamaCppEngine, size: int) -> None:
    with pytest.raises(ContextLengthExceeded, match=f"{CONTEXT} tokens, but the prompt has {size} tokens") as refusal:
        run(engine, greedy(ONE_TOKEN * size))
    assert refusal.value.param == "prompt"
    with pytest.raises(ContextLengthExceeded) as refusal:
        run(engine, chat(("user", ONE_TOKEN * size)))
    assert refusal.value.param == "messages"


def test_an_answer_ends_where_the_context_does(engine: LlamaCppEngine) -> None:
    reason, done = finish(run(engine, greedy(ONE_TOKEN * (CONTEXT - 1))))
    assert (reason, done.usage.prompt_tokens, done.usage.completion_tokens) == ("length", CONTEXT - 1, 1)


def test_a_stop_string_ends_the_text_before_it(engine: LlamaCppEngine) -> None:
    whole = text(run(engine, greedy(REFERENCE["prompt"], 4)))
    events = run(engine, greedy(REFERENCE["prompt"], 16, stop=(whole[3:5],)))
    assert (text(events), finish(events)[0]) == (whole[:3], "stop")


def test_the_beginning_of_a_stop_string_is_not_lost_at_the_limit(engine: LlamaCppEngine) -> None:
    whole = text(run(engine, greedy(REFERENCE["prompt"], 2)))
    events = run(engine, greedy(REFERENCE["prompt"], 2, stop=(whole[1:] + "…",)))
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
    def ask(size: int) -> None:
        done.append(finish(run(engine, greedy(ONE_TOKEN * size, 100)))[1])

    done: list[Done] = []
    in_threads(*(lambda size=size: ask(size) for size in (20, 40, 60, 80)))
    assert sorted(d.usage.prompt_tokens for d in done) == [20, 40, 60, 80]
    assert [d.usage.completion_tokens for d in done] == [100] * 4
    assert None in [d.timings for d in done], "nobody had to make room: this tested nothing"


def test_runs_are_answered_when_one_of_them_is_read_late(engine: LlamaCppEngine) -> None:
    events = engine.run(greedy(ONE_TOKEN * 20, 150), Running())
    first = [next(events) for _ in range(3)]  # it goes on in llama.cpp, unseen, until the cells run out

    def ask() -> None:
        meanwhile = engine.run(greedy(ONE_TOKEN * 100, 100), Running())
        head = [next(meanwhile) for _ in range(3)]
        begun.set()
        used.append(finish([*head, *meanwhile])[1].usage.completion_tokens)

    begun, used = threading.Event(), list[int]()
    other = threading.Thread(target=ask)
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

    def ask() -> None:
        for event in single.run(greedy(ONE_TOKEN * 200), execution):
            seen.append(event)
            if isinstance(event, moment):
                execution.cancel()

    with pytest.raises(JobCancelled):
        ask()
    assert isinstance(seen[-1], moment)
    assert finish(run(single, greedy("a", 5)))[1].usage.completion_tokens == 5


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


def test_llama_cpp_is_not_asked_for_stop_strings(engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks for them between the steps of all answers, in a time that grows with the square of their length."""
    asked: list[dict[str, Any]] = []
    stream = LlamaServer.stream

    def listen(self: LlamaServer, path: str, body: dict[str, Any], work: Cancellable, **more: float) -> Any:
        asked.append(body)
        return stream(self, path, body, work, **more)

    monkeypatch.setattr(LlamaServer, "stream", listen)
    whole = text(run(engine, greedy("one", 8)))
    events = run(engine, greedy("one", 8, stop=(whole[-3:],)))
    assert text(events) == whole[:-3]
    assert finish(events)[0] == "stop"
    assert len(asked) == 2
    assert not any("stop" in body for body in asked)
