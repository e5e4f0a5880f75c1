"""A prompt that cannot fit is refused where it comes in, before anybody reads it as tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from shared.cancellation import Cancellation
from shared.card import Card
from shared.context import Room, check_size
from shared.errors import ContextLengthExceeded, JobCancelled
from shared.protocol import Chat, Completion, FineChat, FineMessage, Message, Prompt, Sampling, Tool, ToolCall
from tests.fake_tokenizer import FakeServer
from tests.stack import Stack
from tests.tiny import TINY
from worker.engines import llama_cpp_text
from worker.engines.llama_cpp_text import LlamaText
from worker.formats.byte_pairs import BytePairs
from worker.formats.vocabulary import pieces

CONTEXT, LONGEST = 256, max(map(len, pieces(TINY)))
CARD = Card("m", "llama.cpp", "llama", CONTEXT, 1, 0, longest_piece=LONGEST)
FULL = CONTEXT * LONGEST
HALF = FULL // 2


def completion(*prompts: Prompt) -> Completion:
    return Completion("m", prompts, Sampling(seed=1))


def chat(*said: str) -> Chat:
    return Chat("m", tuple(Message("user", text) for text in said), Sampling(seed=1))


def calling(*said: Message, description: str = "") -> FineChat:
    return FineChat("m", said, Sampling(seed=1), tools=(Tool("f", description, "{}"),))


@pytest.mark.parametrize(
    ("task", "param", "count"),
    [
        (completion("a" * (FULL - LONGEST + 1)), "prompt", "at least 256"),
        (completion("a", "é" * FULL), "prompt", "at least 512"),
        (completion((1,) * CONTEXT), "prompt", "256"),
        (chat("a" * FULL), "messages", "at least 256"),
        (chat(*"a" * FULL), "messages", "at least 256"),
        (calling(Message("user", "a"), description="a" * FULL), "tools", "at least 257"),
        (calling(Message("user", "a" * HALF), description="a" * HALF), "messages", "at least 257"),
        (calling(FineMessage("tool", "a" * FULL)), "messages", "at least 257"),
        (calling(FineMessage("assistant", "a", (ToolCall("1", "f", "a" * FULL),))), "messages", "at least 257"),
    ],
)
def test_more_than_the_context_can_hold_is_refused(task: Chat | Completion, param: str, count: str) -> None:
    with pytest.raises(ContextLengthExceeded, match=f"{CONTEXT} tokens, but the prompt has {count} tokens") as refusal:
        check_size(task, CARD)
    assert refusal.value.param == param


def test_what_may_fit_is_not_refused() -> None:
    thought = FineMessage("assistant", "a", reasoning="a" * FULL)  # most templates leave it out
    for task in (
        completion("a" * (FULL - LONGEST)),
        completion((1,) * (CONTEXT - 1)),
        chat("a" * (FULL - LONGEST)),
        calling(thought, description="a" * HALF),
    ):
        check_size(task, CARD)
    check_size(completion("a" * 10 * FULL), replace(CARD, longest_piece=0))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with closing(Stack(tmp_path_factory.mktemp("stack"), context=CONTEXT, slots=1, threads=1)) as stack:
        stack.start_gateway()
        stack.start_worker(str(TINY))
        yield stack


def test_it_never_enters_the_queue(served: Stack) -> None:
    http = served.http()
    name = http.get("/v1/models").json()["data"][0]["id"]

    def send(prompt: Any) -> Any:
        return http.post("/v1/completions", json={"model": name, "prompt": prompt, "max_tokens": 1})

    assert send("one").status_code == 200
    before = set(served.jobs())
    for prompt in ("a" * FULL, [1] * CONTEXT):
        refused = send(prompt)
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "context_length_exceeded"
        assert refused.json()["error"]["param"] == "prompt"
    assert set(served.jobs()) <= before
    refused = send("a " * (CONTEXT + 44))
    assert refused.status_code == 400
    assert set(served.jobs()) - before, "this one only the tokenizer can tell"


def test_a_large_text_is_tokenised_in_parts_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp_text, "LARGEST_PART", 20)
    text = "some words of a line\nand of another line\n" + "x" * 50 + " 中文中文中文中文中文中文中文中文中文" * 3
    for spaced in (False, True):
        server = FakeServer()
        tokens = LlamaText(server, spaced=spaced).tokens(text, Cancellation())  # type: ignore[arg-type]  # a fake
        read = "".join(map(chr, tokens))
        assert (read.replace(" ", "") if spaced else read) == (text.replace(" ", "") if spaced else text)
        assert len(server.asked) > 5
        assert max(map(len, server.asked)) <= 21
        assert server.asked[0] == "some words of a"


def test_a_large_text_is_given_up_with_its_job_and_when_it_cannot_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp_text, "LARGEST_PART", 100)
    work = Cancellation()
    server = FakeServer(3, work.cancel)
    with pytest.raises(JobCancelled):
        LlamaText(server, spaced=False).tokens("a" * 10_000, work)  # type: ignore[arg-type]  # a fake server
    assert len(server.asked) == 3
    server = FakeServer()
    with pytest.raises(ContextLengthExceeded, match="at least 300 tokens"):
        LlamaText(server, spaced=False).tokens("a" * 10_000, Cancellation(), room=Room(250, "prompt"))  # type: ignore[arg-type]  # a fake server
    assert len(server.asked) == 3


def test_a_legacy_files_tokenizer_gives_up_likewise() -> None:
    encoder = BytePairs([bytes([byte]) for byte in range(256)])
    with pytest.raises(ContextLengthExceeded, match="at least 251 tokens"):
        encoder.encode("ab " * 100_000, room=Room(250, "prompt"))
    work = Cancellation()
    work.cancel()
    with pytest.raises(JobCancelled):
        encoder.encode("ab", work)
