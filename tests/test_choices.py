"""Several choices in one request: n, lists of prompts, token ids, best_of; spread over the free slots."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest
from openai import BadRequestError

from gateway.schemas.chat import ChatFormat
from gateway.schemas.completion import CompletionFormat
from shared.errors import WorkerLost
from shared.protocol import (
    Accepted,
    Chat,
    Completion,
    Delta,
    Event,
    Options,
    Progress,
    Sampling,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from tests.calls import CHATS, COMPLETIONS, LATER, chat, completion, data, post_later, said
from tests.stack import Stack, wait_for
from worker.choices import AT_ONCE, divide, pass_over, retell


def texts(answer: dict[str, Any]) -> list[str]:
    assert [choice["index"] for choice in answer["choices"]] == list(range(len(answer["choices"])))
    return [choice["text"] if "text" in choice else choice["message"]["content"] for choice in answer["choices"]]


def usage(answer: dict[str, Any]) -> tuple[int, int, int]:
    used = answer["usage"]
    return used["prompt_tokens"], used["completion_tokens"], used["total_tokens"]


def test_n_choices_and_one_summed_usage(http: httpx.Client) -> None:
    answer = http.post(CHATS, json=chat("one two three", n=6)).json()
    assert texts(answer) == ["one two three"] * 6
    assert usage(answer) == (3, 18, 21)


def test_prompts_of_every_kind_in_their_order(http: httpx.Client) -> None:
    prompts = ["one", "", "two three", [4, 5, 6], "seven"]
    answer = http.post(COMPLETIONS, json={**completion(""), "prompt": prompts, "n": 2}).json()
    expected = ["one", "", "two three", "4 5 6", "seven"]
    assert texts(answer) == [text for text in expected for _ in range(2)]
    assert usage(answer) == (7, 14, 21)
    assert texts(http.post(COMPLETIONS, json={**completion(""), "prompt": [8, 9]}).json()) == ["8 9"]


def test_each_choice_ends_for_its_own_reason(http: httpx.Client) -> None:
    body = {"model": "echo", "prompt": ["a b c", "a", "a stop b"], "max_tokens": 2, "stop": "stop"}
    answer = http.post(COMPLETIONS, json=body).json()
    assert texts(answer) == ["a b", "a", "a "]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["length", "stop", "stop"]


@pytest.mark.parametrize("n", [1, 3, 9])
def test_each_choice_of_a_stream_begins_with_an_empty_chunk_and_in_order(http: httpx.Client, n: int) -> None:
    body = chat("one two", n=n, stream=True, stream_options={"include_usage": True})
    with http.stream("POST", CHATS, json=body) as answer:
        *chunks, used, done = data(answer.iter_lines())
    choices = [chunk["choices"][0] for chunk in chunks]
    assert [c["index"] for c in choices if "role" in c["delta"]] == list(range(n))
    for index in range(n):
        first, *mine = [c for c in choices if c["index"] == index]
        assert first["delta"] == {"role": "assistant", "content": ""}
        assert "".join(c["delta"].get("content", "") for c in mine) == "one two"
        assert [c["finish_reason"] for c in mine][-1] == "stop"
        assert all("role" not in c["delta"] for c in mine)
    assert (usage(used), done) == ((2, 2 * n, 2 + 2 * n), "[DONE]")


@pytest.mark.parametrize("wire", [ChatFormat(), CompletionFormat()], ids=lambda wire: wire.name)
def test_choices_are_announced_when_they_begin(wire: ChatFormat | CompletionFormat) -> None:
    """And not all before the first word: they may be very many."""
    sampling, many = Sampling(1), 128
    task = Chat("m", (), sampling, many) if isinstance(wire, ChatFormat) else Completion("m", ("",) * 64, sampling, 2)
    frames = wire.render_frames("j", Accepted(task, 1), Options())
    made = [len(list(frames(Delta("word", index=index)))) for index in (0, 1, 1, 5, 3, 127)]
    assert made == [2, 2, 1, 5, 1, 123]


def test_streamed_completions_of_several_prompts(http: httpx.Client) -> None:
    with http.stream("POST", COMPLETIONS, json={**completion(""), "prompt": ["a b", "c"], "stream": True}) as answer:
        *chunks, _ = data(answer.iter_lines())
    choices = [chunk["choices"][0] for chunk in chunks]
    firsts = [next(c for c in choices if c["index"] == index) for index in (0, 1)]
    assert [c["text"] for c in firsts] == ["", ""]
    assert choices.index(firsts[0]) < choices.index(firsts[1])
    found = {index: "".join(c["text"] for c in choices if c["index"] == index) for index in (0, 1)}
    assert found == {0: "a b", 1: "c"}


def test_the_clients_own_stream_helper_accepts_several_choices(echo: Stack) -> None:
    with echo.client().chat.completions.stream(model="echo", messages=said("one two"), n=9) as stream:
        final = stream.get_final_completion()
    assert [choice.index for choice in final.choices] == list(range(9))
    assert [choice.message.content for choice in final.choices] == ["one two"] * 9


def test_choices_share_the_free_slots_and_leave_one_for_others(served: Stack) -> None:
    """Eight choices on four slots take three rounds, and a second request does not wait for them."""
    served.start_worker(slots=4, echo_prefill_ms=1500)
    http = served.http()
    with ThreadPoolExecutor(1) as pool:
        many = pool.submit(http.post, CHATS, json=chat("many", n=8))
        [job] = wait_for(served.jobs, "the job")
        wait_for(lambda: served.events(job) >= 3, "three slots' progress")
        assert texts(http.post(CHATS, json=chat("other")).json()) == ["other"]
        assert not many.done()
        assert texts(many.result().json()) == ["many"] * 8


def test_a_failed_choice_fails_the_request_and_stops_the_others(served: Stack) -> None:
    served.start_worker(slots=4, context=8, echo_prefill_ms=200)
    with pytest.raises(BadRequestError) as error:
        served.client().completions.create(model="echo", prompt=["a", "b", "one two three four five six seven eight"])
    assert (error.value.code, error.value.param) == ("context_length_exceeded", "prompt")
    assert texts(served.http().post(COMPLETIONS, json=completion("after")).json()) == ["after"]


def test_cancelling_stops_every_choice(served: Stack) -> None:
    served.start_worker(slots=4, echo_prefill_ms=60_000)
    http = served.http()
    job = post_later(http, "x", n=4)
    wait_for(lambda: served.events(job), "its start")
    assert http.delete(f"/v1/jobs/{job}").json()["status"] == "cancelled"
    assert all(http.post(CHATS, json=chat("x", n=4), headers=LATER).status_code == 202 for _ in range(4))
    for other, state in served.jobs().items():
        assert state == "cancelled" or http.delete(f"/v1/jobs/{other}").json()["status"] == "cancelled"


def test_best_of_answers_n_of_what_it_computes(http: httpx.Client) -> None:
    answer = http.post(COMPLETIONS, json={**completion(""), "prompt": ["a b", "c"], "n": 2, "best_of": 3}).json()
    assert texts(answer) == ["a b", "a b", "c", "c"]
    assert usage(answer) == (3, 9, 12)


class TestRealModel:
    def test_choices_differ_and_repeat_with_the_seed(self, smollm2: Stack) -> None:
        def ask(n: int, seed: int) -> list[str | None]:
            answer = smollm2.client().chat.completions.create(
                model="smollm2",
                messages=said("Tell me a story."),
                n=n,
                seed=seed,
                max_tokens=12,
                temperature=1,
                top_p=1,
            )
            return [choice.message.content for choice in answer.choices]

        three = ask(3, seed=5)
        assert len(set(three)) == 3
        assert ask(3, seed=5) == three
        assert ask(1, seed=6) == three[1:2]

    def test_best_of_is_the_likeliest(self, smollm2: Stack) -> None:
        def ask(seed: int, **options: Any) -> list[str]:
            answer = smollm2.client().completions.create(
                model="smollm2",
                prompt="The capital of France is",
                temperature=2,
                top_p=1,
                max_tokens=1,
                seed=seed,
                **options,
            )
            return [choice.text for choice in answer.choices]

        drawn = {seed: ask(seed, n=4) for seed in range(11, 17)}
        mixed = [seed for seed, texts in drawn.items() if " Paris" in texts[1:] and texts[0] != " Paris"]
        assert mixed
        assert ask(mixed[0], best_of=4) == [" Paris"]


class TestKilledWorker:
    """What was sent of each choice is not sent again, and one usage is summed."""

    @pytest.mark.parametrize("continues", [1, 0], ids=["continued", "computed again"])
    @pytest.mark.parametrize("kind", ["chat", "completion"])
    def test_every_choice_goes_on_where_it_stopped(self, served: Stack, kind: str, continues: int) -> None:
        victim = served.start_worker(slots=3, echo_rate=5, echo_continue=continues)
        http = served.http()
        text = " ".join(str(number) for number in range(12))
        path, body = (CHATS, chat(text, n=4)) if kind == "chat" else (COMPLETIONS, completion(""))
        if kind == "completion":
            body |= {"prompt": [text, "short", text], "n": 1}
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(http.post, path, json=body)
            [job] = wait_for(served.jobs, "the job")
            wait_for(lambda: served.events(job) > 8, "some text of several choices")
            victim.kill()
            served.start_worker(slots=3, echo_rate=50, echo_continue=continues)
            found = answer.result().json()
        expected = [text] * 4 if kind == "chat" else [text, "short", text]
        assert texts(found) == expected
        words = sum(len(each.split()) for each in expected)
        prompts = 12 if kind == "chat" else words
        assert usage(found) == (prompts, words, prompts + words)
        assert served.redis.hget(f"iq:job:{job}", "tries") == b"2"


class TestPassingOver:
    """An engine that cannot continue computes again; what disagrees with what was sent is told, not mixed."""

    SENT = (Delta("one", (1,)), Delta(" two", (2,)))

    def test_what_agrees_is_skipped(self) -> None:
        again: list[Event] = [
            Progress(0, 9),
            Delta("on", (1,)),
            Delta("e two th", (2,)),
            Delta("ree", (3,), finish_reason="stop"),
        ]
        assert list(pass_over(self.SENT, again)) == [
            Delta(" th"),  # two tokens were told already
            Delta("ree", (3,), finish_reason="stop"),
        ]

    def test_what_is_told_of_tokens_is_of_those_tokens(self) -> None:
        def priced(text: str, *tokens: int) -> Delta:
            return Delta(text, tokens, logprobs=tuple(TokenLogprob(token, b"", -token / 8) for token in tokens))

        sent = [priced("one", 1), priced(" two", 2, 3)]
        again = [priced("one two", 1, 2), priced(" three", 3, 4), Delta(finish_reason="stop")]
        assert list(pass_over(sent, again)) == [priced(" three", 4), Delta(finish_reason="stop")]
        with pytest.raises(WorkerLost):  # the same text, of other tokens
            list(pass_over(sent, [priced("one two", 1, 5), priced(" three", 3, 4)]))

    def test_an_end_exactly_there_is_told(self) -> None:
        assert list(pass_over(self.SENT, [Delta("one two", finish_reason="length")])) == [Delta(finish_reason="length")]

    @pytest.mark.parametrize(
        "again", [[Delta("one"), Delta(" tw0")], [Delta("x")], [Delta("one", finish_reason="stop")]]
    )
    def test_what_disagrees_is_worker_lost(self, again: list[Delta]) -> None:
        with pytest.raises(WorkerLost):
            list(pass_over(self.SENT, again))


class TestLargePieces:
    """What is held back for long, such as the beginning of a stop string, is told of many tokens at once."""

    WORDS = ("é🙂 ab" * 400).encode()

    def whole(self, text: str, **more: Any) -> Delta:
        entries = tuple(
            TokenLogprob(byte, bytes([byte]), -1.0, (TopLogprob(1, b"x", -1.0),) * 3) for byte in self.WORDS
        )
        return Delta(text, tuple(self.WORDS), logprobs=entries, **more)

    def test_they_are_told_in_several(self) -> None:
        text = self.WORDS.decode()
        piece = self.whole(text, finish_reason="stop", usage=Usage(1, 2), stop="c", prompt_tokens=(1,), reasoning=True)
        *pieces, last = list(divide(piece))
        assert len(pieces) == len(self.WORDS) * 4 // AT_ONCE
        assert all(each.likelihoods <= AT_ONCE and each.reasoning for each in (*pieces, last))
        joined = list(retell([piece], 7, likelihoods=True))
        for parts in ([*pieces, last], joined):
            assert "".join(each.text for each in parts) == text
            assert [token for each in parts for token in each.tokens] == list(self.WORDS)
            assert [entry for each in parts for entry in each.logprobs] == list(piece.logprobs)
            assert [each.prompt_tokens for each in parts if each.prompt_tokens] == [(1,)]
            assert [each.finish_reason for each in parts] == [None] * (len(parts) - 1) + ["stop"]
        for each in pieces:  # each has the text of its own tokens: none is cut within a character
            assert each.text.encode() == bytes(each.tokens)
        assert (last.usage, last.stop) == (Usage(1, 2), "c")

    def test_a_text_that_is_cut_is_told_whole(self) -> None:
        for text in ("é🙂 abé🙂 a", "", "something else"):
            pieces = list(divide(self.whole(text)))
            assert len(pieces) > 5
            assert "".join(each.text for each in pieces) == text

    def test_others_stay_as_they_are(self) -> None:
        for piece in (Delta("a", (1,)), Delta("a", (1,) * 5000), Delta(), Delta(prompt_text="a")):
            assert list(divide(piece)) == [piece]
